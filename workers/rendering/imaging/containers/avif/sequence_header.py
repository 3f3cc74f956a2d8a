"""The sequence header of an AV1 stream: what it says of its colours (AV1 Bitstream & Decoding Process, 5.3 to 5.5)."""

from __future__ import annotations

from typing import Final, NamedTuple

LONGEST: Final = 4096
"""Bytes of a stream within which libavif looks for the header; so a browser does not look further either."""

_SEQUENCE_HEADER: Final = 1
"""The obu_type of a sequence header."""

_SRGB: Final = (1, 13, 0)
"""The codes of RGB itself, which always has the full range."""


class BadStream(Exception):
    """The stream has no sequence header, or ends within it."""


class Colours(NamedTuple):
    """Codes of ITU-T H.273: primaries, transfer function and matrix; 2 each if not stated."""

    primaries: int
    transfer: int
    matrix: int
    full_range: bool


class _Bits:
    """Reads numbers bit by bit, the highest bit first. Raises BadStream if the data ends before."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def next(self, count: int = 1) -> int:
        if count > self._left:
            raise BadStream("the stream ends within its sequence header")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def skip(self, *counts: int) -> None:
        self.next(sum(counts))

    def skip_uvlc(self) -> None:
        """A number of a length of its own (4.10.3)."""
        zeros = 0
        while not self.next():
            zeros += 1
        if zeros < 32:
            self.skip(zeros)


def colours(stream: bytes) -> Colours:
    """What the first sequence header in these bytes says. Raises BadStream, and nothing else."""
    stream = stream[:LONGEST]
    at = 0
    while at < len(stream):
        head = stream[at]
        at += 2 if head & 4 else 1  # a byte of layers may follow
        size = len(stream) - at
        if head & 2:
            size, at = _leb128(stream, at)
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            return _of_header(_Bits(stream[at : at + size]))
        at += size
    raise BadStream("the stream has no sequence header")


def _leb128(stream: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends (4.10.5)."""
    value = 0
    for place in range(8):
        byte = stream[at + place : at + place + 1]
        if not byte:
            raise BadStream("the stream ends within a size")
        value |= (byte[0] & 0x7F) << 7 * place
        if byte[0] < 0x80:
            return value, at + place + 1
    raise BadStream("a size of more than eight bytes")


def _of_header(bits: _Bits) -> Colours:
    profile, _, is_reduced = bits.next(3), bits.next(), bits.next()
    if is_reduced:
        bits.skip(5)  # its level
    else:
        _skip_operating_points(bits)
    sides = bits.next(4) + 1, bits.next(4) + 1
    bits.skip(*sides)
    if not is_reduced and bits.next():
        bits.skip(4, 3)  # how long the numbers of frames are
    bits.skip(3)  # block size and intra tools
    if not is_reduced:
        _skip_inter_tools(bits)
    bits.skip(3)  # super resolution and filters
    return _of_colours(bits, profile)


def _skip_operating_points(bits: _Bits) -> None:
    """Times and levels."""
    has_model, delay_bits = 0, 0
    if bits.next():
        bits.skip(32, 32)
        if bits.next():
            bits.skip_uvlc()
        has_model = bits.next()
        if has_model:
            delay_bits = bits.next(5) + 1
            bits.skip(32, 5, 5)
    has_delays = bits.next()
    for _ in range(bits.next(5) + 1):
        bits.skip(12)
        if bits.next(5) > 7:
            bits.skip(1)
        if has_model and bits.next():
            bits.skip(delay_bits, delay_bits, 1)
        if has_delays and bits.next():
            bits.skip(4)


def _skip_inter_tools(bits: _Bits) -> None:
    """How frames are predicted, and what is done for screens."""
    bits.skip(4)
    has_order = bits.next()
    if has_order:
        bits.skip(2)
    is_chosen = bits.next()
    if (is_chosen or bits.next()) and not bits.next():
        bits.skip(1)
    if has_order:
        bits.skip(3)


def _of_colours(bits: _Bits, profile: int) -> Colours:
    is_high = bits.next()
    if profile == 2 and is_high:
        bits.skip(1)  # 12 bits
    is_grey = bool(profile != 1 and bits.next())
    codes = (bits.next(8), bits.next(8), bits.next(8)) if bits.next() else (2, 2, 2)
    full_range = (codes == _SRGB and not is_grey) or bool(bits.next())
    return Colours(*codes, full_range)
