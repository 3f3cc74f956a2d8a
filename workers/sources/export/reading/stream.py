"""An export's JSON as a stream: its values one by one, and the place of what is not JSON.

Promises. Memory stays constant: a message too large to be one is refused before it fills the memory. So does the time
a byte takes: what is nested too deeply to be an export is refused (`Nesting`). What old exporters wrote amiss is mended
on the way (`EscapeRepair`). A syntax error is an ExportError with line and column. Whole numbers arrive as int, at most
64 bits wide (a wider one is refused); all others as float.

`progress` is called for every chunk that is read, CHUNK_BYTES, however few values there are in it, and for those read
again to find a fault's place: it tells a long check from one that hangs.

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

from workers.sources.export.errors import ExportError

T = TypeVar("T")

CHUNK_BYTES: Final = 64 * 1024
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024  # of JSON; far above any real one
MAX_VALUE_BYTES: Final = 4 * 1024 * 1024  # of a value outside of the messages, such as the channel's name
MAX_DEPTH: Final = 64  # of arrays and objects in each other; a real export has about ten
KEY_SHOWN: Final = 40  # characters of a key in an error
_MESSAGE: Final = "messages.item"
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


class Nesting:
    """Finds the bracket that is nested too deeply; the bytes may come in any pieces.

    The parser would take time with the square of the depth: it gives the whole path to every value.

    >>> Nesting(2).feed(b'{"a": [], "[[[": ['), Nesting(2).feed(b"[[] , [ [")
    (None, 8)
    """

    # Up to the next bracket outside of a string, or to the end. There it matches in any case, so it never goes over
    # the same bytes again. `lone` is there if the end is in a string: the backslash whose partner is yet to come.
    _BRACKET: Final = re.compile(
        rb"""(?: [^"\[\]{}]++ | " (?: [^"\\]++ | \\. )*+ " )*+
             (?: (?P<opening> [\[{] ) | (?P<closing> [\]}] ) | (?: " (?: [^"\\]++ | \\. )*+ (?P<lone> \\? ) )? \Z )""",
        re.VERBOSE | re.DOTALL,
    )

    def __init__(self, max_depth: int = MAX_DEPTH) -> None:
        self._max_depth = max_depth
        self._depth = 0
        self._before = b""  # what a piece that begins in a string has to be read after

    def feed(self, piece: bytes) -> int | None:
        """Where in the piece is the first bracket too many? None: nowhere."""
        before, self._before = self._before, b""
        for match in self._BRACKET.finditer(before + piece):
            if match.lastgroup == "opening":
                self._depth += 1
                if self._depth > self._max_depth:
                    return match.start("opening") - len(before)
            elif match.lastgroup == "closing":
                self._depth -= 1
            elif match.lastgroup == "lone":
                self._before = b'"' + match["lone"]
        return None


def _chunks(stream: IO[bytes], progress: Callable[[], None]) -> Iterator[bytes]:
    """The stream's bytes, without the byte order mark that some editors add."""
    first = stream.read(CHUNK_BYTES).removeprefix(_BOM)
    for chunk in chain([first] if first else [], iter(lambda: stream.read(CHUNK_BYTES), b"")):
        progress()
        yield chunk


def _parse(
    file: Path,
    parse: Callable[..., Iterator[T]],
    progress: Callable[[], None],
    watch: Callable[[int], None] = lambda _: None,
) -> Iterator[T]:
    """ijson's events or items of the file; a syntax error becomes an ExportError with line and column."""

    def checked() -> Iterator[bytes]:
        repair, nesting, passed_bytes = EscapeRepair(), Nesting(), 0
        for chunk in _chunks(stream, progress):
            watch(len(chunk))
            too_deep = nesting.feed(chunk)
            if piece := repair.feed(chunk[:too_deep]):
                yield piece
            if too_deep is not None:  # and nothing was wrong before it
                place = _place(file, passed_bytes + too_deep, progress)
                raise ExportError(file, f"nested more than {MAX_DEPTH} levels deep", place=place)
            passed_bytes += len(chunk)
        if rest := repair.end():
            yield rest

    with file.open("rb") as stream:
        # Without use_float, an integer of over 4,300 digits can be a segmentation fault in ijson's C backend.
        events = parse(ijson.from_iter(checked()), use_float=True)
        while True:
            try:
                event = next(events)
            except StopIteration:
                return
            except _PARSER_ERRORS as error:
                raise ExportError(file, _reason(error), place=_place_of_error(file, progress)) from error
            yield event


def events(file: Path, progress: Callable[[], None] = lambda: None) -> Iterator[tuple[str, str, Any]]:
    """ijson's events: prefix, event, value. Only as much of the file is read as is asked for.

    A value that is far too long is refused by its name: the parser would take time with the square of its length.
    """
    pending_bytes = messages = 0
    place, limit = "the top level", MAX_VALUE_BYTES

    def watch(read_bytes: int) -> None:
        nonlocal pending_bytes
        pending_bytes += read_bytes
        if pending_bytes > limit:
            raise ExportError(file, f"longer than {limit} bytes, of {file.stat().st_size} of the file", place=place)

    for prefix, event, value in _parse(file, ijson.parse, progress, watch):
        pending_bytes = 0
        if event == "map_key":
            is_message = prefix.startswith(_MESSAGE)
            limit = MAX_MESSAGE_BYTES if is_message else MAX_VALUE_BYTES
            place = f"message number {messages}, {value[:KEY_SHOWN]!r}" if is_message else repr(value[:KEY_SHOWN])
        elif (prefix, event) == (_MESSAGE, "start_map"):
            messages += 1
        yield prefix, event, value


def message_values(file: Path, progress: Callable[[], None] = lambda: None) -> Iterator[object]:
    """The elements of `messages`, not yet checked. A monstrous one is refused before it fills the memory."""
    pending_bytes = 0
    index = 1

    def watch(read_bytes: int) -> None:
        nonlocal pending_bytes
        pending_bytes += read_bytes
        if pending_bytes > MAX_MESSAGE_BYTES:
            for _ in events(file, progress):  # it may be no message at all, or one value of it
                pass
            raise ExportError(file, f"longer than {MAX_MESSAGE_BYTES} bytes", place=f"message number {index}")

    for value in _parse(file, partial(ijson.items, prefix=_MESSAGE), progress, watch):
        pending_bytes = 0
        index += 1
        yield value


def _reason(error: Exception) -> str:
    """The parser's words, without its drawing of the place."""
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    found = re.search(r"(?:parse|lexical) error: (.+?)(?:\\n|\n|\Z)", str(error))
    reason = found[1].rstrip(".") if found else str(error)
    return "the file ends too early" if reason == "premature EOF" else f"not JSON, {reason}"


def _place_of_error(file: Path, progress: Callable[[], None]) -> str:
    """The place of the byte at which the parser gives up.

    The parser says only what is wrong. So it is fed again, and what it refused in smaller and smaller pieces. Not byte
    by byte at once: with every piece of a long string it begins again at the string's start.
    """
    accepted = 0
    for size in (CHUNK_BYTES, 256, 1):
        with file.open("rb") as stream:
            accepted = _accepted_bytes(_cut(_chunks(stream, progress), accepted, size), progress)
    return _place(file, accepted, progress)


def _place(file: Path, offset: int, progress: Callable[[], None]) -> str:
    """Line and column, from 1, in characters, of the byte at `offset`, a byte order mark not counted."""
    line, column, left = 1, 1, offset
    with file.open("rb") as stream:
        for chunk in _chunks(stream, progress):
            seen = chunk[:left]
            left -= len(seen)
            before, newline, last_line = seen.rpartition(b"\n")
            line += before.count(b"\n") + len(newline)
            column = (1 if newline else column) + len(last_line.translate(None, delete=_CONTINUATION))
            if not left:
                break
    return f"line {line}, column {column}"


def _accepted_bytes(pieces: Iterable[bytes], progress: Callable[[], None]) -> int:
    """How many bytes the parser takes before it refuses a piece; all of them if it misses only the rest."""
    events = ijson.sendable_list()
    parser, repair, accepted = ijson.basic_parse_coro(events, use_float=True), EscapeRepair(), 0
    with suppress(*_PARSER_ERRORS):
        for piece in pieces:
            progress()
            if repaired := repair.feed(piece):
                parser.send(repaired)
            events.clear()
            accepted += len(piece)
        if rest := repair.end():
            parser.send(rest)
        parser.close()
    return accepted


def _cut(chunks: Iterable[bytes], start: int, size: int) -> Iterator[bytes]:
    """The chunks; from the byte at `start` on, in pieces of at most `size`."""
    for chunk in chunks:
        whole, start = chunk[:start], max(0, start - len(chunk))
        if whole:
            yield whole
        yield from (chunk[i : i + size] for i in range(len(whole), len(chunk), size))
