"""What a caption says to readers, and what it says to us: alt text, tags, and whether its post is hidden. Pure.

With `editor_commands`, three things in a caption are for us, and readers don't see them: the first line `alt: …` is the
picture's alternative text, `#hide` takes the post off the site, `#cover` marks the first picture of an album. Case does
not matter. Within code, links and the like they are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Final

from ipc.text.caption_html import Span, html_of, spans_of

HIDE: Final = "hide"
COVER: Final = "cover"
COMMANDS: Final = (HIDE, COVER)
"""The hashtags that are commands."""

_TAG = re.compile(r"(?<![\w#/\u00b7\u200c])#([\w\u00b7\u200c]{1,256})(?![\w\u00b7\u200c]*#)")
"""A hashtag as Telegram finds it, but for a part of an address: letters, digits and underscores."""

_ALT = re.compile(r"^[^\S\n]*alt:(.*)$", re.IGNORECASE | re.MULTILINE)

_OPAQUE: Final = {"bank_card", "bot_command", "code", "email", "link", "mention", "phone", "pre", "text_link"}
"""Formatting in which nothing is a hashtag, nor for us."""


@dataclass(frozen=True, slots=True)
class Caption:
    """`html` and `text` are what readers see. `tags` are in order, lower case, each once, without their #."""

    html: str
    text: str
    alt: str | None
    tags: tuple[str, ...]
    hide: bool
    cover: bool


def shown(caption: str, entities: Sequence[Mapping[str, Any]], editor_commands: bool) -> Caption:
    """What a caption with that formatting (see `ipc.posts.Post`) shows, and what it asks for.

    Whatever the formatting is, `html` is well-formed and has all of `text`: what is unknown, or outside of the caption,
    is left out.
    """
    spans = spans_of(caption, entities)
    tags = _tags(caption, spans)
    commands = [tag for tag in tags if editor_commands and tag.name in COMMANDS]
    alt = _alt_line(caption, spans) if editor_commands else None
    text, left = caption, spans
    if commands or alt:
        kept = _kept(caption, commands, alt)
        text, left = "".join(caption[place] for place, is_kept in enumerate(kept) if is_kept), _moved(spans, kept)
    said = {tag.name for tag in commands}
    seen = (tag.name for tag in tags if tag.name not in said and not (alt and tag.is_in(alt)))
    return Caption(
        html=html_of(text, left),
        text=text,
        alt=_alt_text(caption, alt, commands) if alt else None,
        tags=tuple(dict.fromkeys(seen)),
        hide=HIDE in said,
        cover=COVER in said,
    )


def hides(caption: str, entities: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an editor's caption takes its post off the site."""
    return f"#{HIDE}" in caption.lower() and shown(caption, entities, True).hide


@dataclass(frozen=True, slots=True)
class _Tag:
    """A hashtag: its name in lower case, and where it is, # included, in characters."""

    name: str
    start: int
    end: int

    def is_in(self, line: re.Match[str]) -> bool:
        return line.start() <= self.start < line.end()


def _tags(caption: str, spans: Sequence[Span]) -> list[_Tag]:
    """The hashtags in order: those that the source has marked, and what reads as one.

    An export names one kind of formatting for each piece of text: a hashtag in bold type is bold there. A rich message
    has no formatting at all.
    """
    found: dict[int, _Tag] = {}
    for span in spans:
        if span.kind == "hashtag" and (match := _TAG.match(caption[span.start : span.end])):
            found[span.start] = _Tag(match[1].lower(), span.start, span.start + match.end())
    opaque = [span for span in spans if span.kind in _OPAQUE]
    for match in _TAG.finditer(caption):
        is_name = any(not char.isdecimal() for char in match[1])
        if is_name and not any(span.start <= match.start() < span.end for span in opaque):
            found.setdefault(match.start(), _Tag(match[1].lower(), match.start(), match.end()))
    return [found[start] for start in sorted(found)]


def _alt_line(caption: str, spans: Sequence[Span]) -> re.Match[str] | None:
    """The first line that is alternative text."""
    code = [span for span in spans if span.kind in ("code", "pre")]
    lines = (line for line in _ALT.finditer(caption) if not any(one.start <= line.start() < one.end for one in code))
    return next(lines, None)


def _alt_text(caption: str, line: re.Match[str], commands: Sequence[_Tag]) -> str | None:
    """What the line says, without commands that stand in it."""
    begin, pieces = line.start(1), []
    for tag in commands:
        if tag.is_in(line):
            pieces.append(caption[begin : tag.start])
            begin = tag.end
    pieces.append(caption[begin : line.end()])
    return " ".join("".join(pieces).split()) or None


# What is left of a caption


def _kept(caption: str, commands: Sequence[_Tag], alt: re.Match[str] | None) -> list[bool]:
    """Whether each character stays. With a command goes a blank beside it, or its line if there is nothing else in it,
    and an empty line that would follow another one.
    """
    kept = [True] * len(caption)
    was_blank, was_dropped = True, False
    for start, end in _lines(caption):
        cuts = [(tag.start, tag.end) for tag in commands if start <= tag.start < end]
        if alt and alt.start() == start:
            cuts.append(alt.span())
        for cut in cuts:
            _strike(kept, caption, *cut, end)
        is_blank = not any(kept[place] and not caption[place].isspace() for place in range(start, end))
        if is_blank and (cuts or (was_dropped and was_blank)):
            kept[start : end + 1] = [False] * (min(end + 1, len(caption)) - start)
            was_dropped = True
        else:
            was_blank, was_dropped = is_blank, False
    _strike_ends(kept, caption)
    return kept


def _lines(caption: str) -> Iterator[tuple[int, int]]:
    """Where each line begins and ends, its line break aside."""
    start = 0
    for line in caption.split("\n"):
        yield start, start + len(line)
        start += len(line) + 1


def _strike(kept: list[bool], caption: str, start: int, end: int, line_end: int) -> None:
    """Strike out a part of a line, with the blanks behind it, or before it if nothing is behind it."""
    while end < line_end and caption[end] in " \t":
        end += 1
    while end == line_end and start and caption[start - 1] in " \t":
        start -= 1
    kept[start:end] = [False] * (end - start)


def _strike_ends(kept: list[bool], caption: str) -> None:
    """Strike out blanks and line breaks at both ends of what is left."""
    for places in (range(len(caption)), range(len(caption) - 1, -1, -1)):
        for place in places:
            if kept[place] and not caption[place].isspace():
                break
            kept[place] = False


def _moved(spans: Sequence[Span], kept: Sequence[bool]) -> list[Span]:
    """The formatting of what is left, as it lies there."""
    places = [0, *accumulate(kept)]
    moved = (replace(span, start=places[span.start], end=places[span.end]) for span in spans)
    return [span for span in moved if span.start < span.end]
