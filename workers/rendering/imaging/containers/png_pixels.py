"""A PNG's pixels as far as zlib tells: whether every row is there, and the checksum behind them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type."""

_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of Adam7: the first column and row, and the steps between columns and rows."""

_PIECE_BYTES: Final = 65_536
_MOST_BYTES: Final = 512 * 1024 * 1024
"""What is inflated at most, a piece at a time: 64 megapixels of 16 bits have it."""


class _Inflated(NamedTuple):
    """How many bytes the stream has beyond those that the header asks for, negative where it lacks some; their
    Adler-32, and where in the stream that should stand; None where it is cut.
    """

    surplus: int
    adler: int
    end: int | None


def are_all_there(data: bytes, idats: list[tuple[int, int]]) -> bool:
    """Whether the stream in these chunks, each from its start to its end, has all bytes that the header asks for."""
    found = _inflated(data, _stream(data, idats))
    return found is None or found.surplus >= 0


def with_its_checksum(data: bytes, idats: list[tuple[int, int]]) -> bytes | None:
    """The stream in these chunks with the right Adler-32; None where it has that, or a row is missing."""
    stream = _stream(data, idats)
    found = _inflated(data, stream)
    if found is None or found.surplus or found.end is None:
        return None
    adler = struct.pack(">I", found.adler)
    return None if stream[found.end : found.end + 4] == adler else stream[: found.end] + adler


def _stream(data: bytes, idats: list[tuple[int, int]]) -> bytes:
    return b"".join(data[at + 8 : end - 4] for at, end in idats)


def _expected_bytes(data: bytes) -> int | None:
    """Of all rows with their filters, by the header; None where that says nothing, or more than is ever looked at."""
    width, height, bits, colours, _, _, lace = struct.unpack_from(">IIBBBBB", data, 16)
    bits *= _CHANNELS.get(colours, 0)
    passes = _PASSES if lace else ((0, 0, 1, 1),)
    total = 0
    for column, row, across, down in passes:
        wide, high = -(-(width - column) // across), -(-(height - row) // down)
        if wide > 0 and high > 0:
            total += high * (1 + (wide * bits + 7) // 8)
    return total if bits and total <= _MOST_BYTES else None


def _inflated(data: bytes, stream: bytes) -> _Inflated | None:
    """As much as the header asks for, and a byte; None where it asks for nothing, or the stream breaks before."""
    most = _expected_bytes(data)
    if most is None:
        return None
    inflater, size, adler, at = zlib.decompressobj(-zlib.MAX_WBITS), 0, 1, 2
    try:
        for one in _pieces(stream, 2):
            at += len(one)
            found, rest = b"?", one
            while (found or rest) and not inflater.eof and size <= most:
                found = inflater.decompress(rest, min(_PIECE_BYTES, most + 1 - size))
                size, adler, rest = size + len(found), zlib.adler32(found, adler), inflater.unconsumed_tail
            if inflater.eof or size > most:
                break
    except zlib.error:
        return None
    return _Inflated(size - most, adler, at - len(inflater.unused_data) if inflater.eof else None)


def _pieces(stream: bytes, start: int) -> Iterator[bytes]:
    return (stream[at : at + _PIECE_BYTES] for at in range(start, len(stream), _PIECE_BYTES))
