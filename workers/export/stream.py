"""An export's JSON as a stream: its values one by one, and the place of what is not JSON.

Promises. Memory stays constant: a message too large to be one is refused before it fills the memory. What old
exporters wrote amiss is mended on the way (`EscapeRepair`). A syntax error is an ExportError with line and column.
Whole numbers arrive as int, at most 64 bits wide (a wider one is refused); all others as float.

Left to others: what the values mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import ijson

from workers.export.errors import ExportError

T = TypeVar("T")

CHUNK_BYTES: Final = 64 * 1024
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024  # of JSON; far above any real one
_BOM: Final = b"\xef\xbb\xbf"
_CONTINUATION: Final = bytes(range(0x80, 0xC0))  # the bytes of UTF-8 that begin no character
_PARSER_ERRORS: Final = (ijson.JSONError, UnicodeDecodeError)


class EscapeRepair:
    r"""Makes an export's escapes ones that a parser and its readers can bear; the bytes may come in any
    pieces.

    Old exporters wrote a control character as `\x1F`, which is not JSON: it becomes `\u001F`. Half of a
    surrogate pair is no character and can't be stored as UTF-8: it becomes U+FFFD.

    >>> EscapeRepair().feed(rb'"bell \x07, backslash \\x07, half \ud83d."')
    b'"bell \\u0007, backslash \\\\x07, half \\ufffd."'
    """

    # A backslash occurs in strings only, and escapes are matched one after the other from the start: so an
    # escaped backslash is passed over whole. `tail` is an escape, or a pair's first half, whose end is yet to
    # come.
    _ESCAPE: Final = re.compile(
        rb"""\\(?: (?P<tail> (?: x [0-9a-f]?
                               | u [0-9a-f]{0,3}
                               | u d[89ab][0-9a-f]{2} (?: \\ (?: u [0-9a-f]{0,3} )? )? )? \Z )
                 | u d[89ab][0-9a-f]{2} \\u d[c-f][0-9a-f]{2}
                 | (?P<half> u d[89a-f][0-9a-f]{2} )
                 | x (?P<byte> [0-9a-f]{2} )
                 | . )""",
        re.VERBOSE | re.DOTALL | re.IGNORECASE,
    )

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """What can be passed on by now; may be empty."""
        piece, self._held = self._held + piece, b""
        return self._ESCAPE.sub(self._repair, piece) if b"\\" in piece else piece

    def end(self) -> bytes:
        """What is held back when the bytes have ended."""
        return self._held

    def _repair(self, escape: re.Match[bytes]) -> bytes:
        if escape["tail"] is not None:
            self._held = escape[0]
            return b""
        if escape["half"]:
            return rb"\ufffd"
        return rb"\u00" + escape["byte"] if escape["byte"] else escape[0]


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """The stream's bytes, without the byte order mark that some editors add."""
    first = stream.read(CHUNK_BYTES).removeprefix(_BOM)
    return chain([first] if first else [], iter(lambda: stream.read(CHUNK_BYTES), b""))


def _parse(
    file: Path,
    parse: Callable[..., Iterator[T]],
    watch: Callable[[int], None] = lambda _: None,
) -> Iterator[T]:
    """ijson's events or items of the file; a syntax error becomes an ExportError with line and column."""

    def repaired() -> Iterator[bytes]:
        repair = EscapeRepair()
        for chunk in _chunks(stream):
            watch(len(chunk))
            if piece := repair.feed(chunk):
                yield piece
        if rest := repair.end():
            yield rest

    with file.open("rb") as stream:
        # Without use_float, an integer of over 4,300 digits can be a segmentation fault in ijson's C backend.
        events = parse(ijson.from_iter(repaired()), use_float=True)
        while True:
            try:
                event = next(events)
            except StopIteration:
                return
            except _PARSER_ERRORS as error:
                raise ExportError(file, _reason(error), place=_place_of_error(file)) from error
            yield event


def events(file: Path) -> Iterator[tuple[str, str, Any]]:
    """ijson's events: prefix, event, value. Only as much of the file is read as is asked for."""
    return _parse(file, ijson.parse)


def message_values(file: Path) -> Iterator[object]:
    """The elements of `messages`, not yet checked. A monstrous one is refused before it fills the memory."""
    pending_bytes = 0
    index = 1

    def watch(read_bytes: int) -> None:
        nonlocal pending_bytes
        pending_bytes += read_bytes
        if pending_bytes > MAX_MESSAGE_BYTES:
            raise ExportError(file, f"longer than {MAX_MESSAGE_BYTES} bytes", place=f"message number {index}")

    for value in _parse(file, partial(ijson.items, prefix="messages.item"), watch):
        pending_bytes = 0
        index += 1
        yield value


def _reason(error: Exception) -> str:
    """The parser's words, without its drawing of the place."""
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    told = re.search(r"(?:parse|lexical) error: (.+?)(?:\\n|\n|\Z)", str(error))
    reason = told[1].rstrip(".") if told else str(error)
    return "the file ends too early" if reason == "premature EOF" else f"not JSON, {reason}"


def _place_of_error(file: Path) -> str:
    """Line and column, from 1, in characters, of the byte at which the parser gives up.

    The parser says only what is wrong. So it is fed again: all but the chunk that it refused, then byte by
    byte.
    """
    with file.open("rb") as stream:
        refused = _accepted_bytes(_chunks(stream))
    with file.open("rb") as stream:
        offset = _accepted_bytes(_single_bytes(_chunks(stream), start=refused))
    line, column, left = 1, 1, offset
    with file.open("rb") as stream:
        for chunk in _chunks(stream):
            seen = chunk[:left]
            left -= len(seen)
            before, newline, last_line = seen.rpartition(b"\n")
            line += before.count(b"\n") + len(newline)
            column = (1 if newline else column) + len(last_line.translate(None, delete=_CONTINUATION))
            if not left:
                break
    return f"line {line}, column {column}"


def _accepted_bytes(pieces: Iterable[bytes]) -> int:
    """How many bytes the parser takes before it refuses a piece; all of them if it misses only the rest."""
    events = ijson.sendable_list()
    parser, repair, accepted = ijson.basic_parse_coro(events, use_float=True), EscapeRepair(), 0
    with suppress(*_PARSER_ERRORS):
        for piece in pieces:
            if repaired := repair.feed(piece):
                parser.send(repaired)
            events.clear()
            accepted += len(piece)
        if rest := repair.end():
            parser.send(rest)
        parser.close()
    return accepted


def _single_bytes(chunks: Iterable[bytes], start: int) -> Iterator[bytes]:
    """The chunks; from the one at `start` on, single bytes."""
    for chunk in chunks:
        if start > 0:
            start -= len(chunk)
            yield chunk
        else:
            yield from (chunk[i : i + 1] for i in range(len(chunk)))
