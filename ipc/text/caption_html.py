"""A caption's formatting as HTML: well-formed, everything escaped, and no link but to http, https and tg. Pure.

Telegram's formatting overlaps as it likes, and its offsets and lengths are in UTF-16 code units. Elements are closed
and opened again where they would cross; blocks (quotations, listings) are the outermost.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeGuard

MOST_SPANS: Final = 2000
"""Most formatted spans of one caption. Telegram allows a hundred."""

_ELEMENTS: Final = {
    "blockquote": "blockquote",
    "bold": "b",
    "code": "code",
    "italic": "i",
    "pre": "pre",
    "spoiler": "span",
    "strikethrough": "s",
    "underline": "u",
}
"""HTML element of each kind of formatting that sources name, but for links. Hashtags, phone numbers, e-mail addresses
and the like are plain text, and a custom emoji is the emoji that stands for it."""

_LINKS: Final = ("link", "text_link", "mention", "mention_name", "url", "text_mention")

_RANKS: Final = {"blockquote": 0, "pre": 1, "a": 2}
"""What is further out, whatever begins first; all else comes last."""

UNFIT = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What neither HTML nor XML can hold."""

_SCHEME = re.compile(r"(?:https?|tg)://[^\s\0-\x20\x7f]+", re.IGNORECASE)
_BARE = re.compile(r"[\w-]+(?:\.[\w-]+)+(?::[0-9]{1,5})?(?:[/?#][^\s\0-\x20\x7f]*)?")
_MENTION = re.compile(r"@([A-Za-z0-9_]{1,64})")
_LANGUAGE = re.compile(r"[A-Za-z0-9+#._-]{1,40}")


@dataclass(frozen=True, slots=True)
class Span:
    """Formatting of one kind, from character `start` to `end`; `more` is what its source says of it besides."""

    kind: str
    start: int
    end: int
    more: Mapping[str, Any]


def spans_of(text: str, entities: Iterable[Mapping[str, Any]]) -> list[Span]:
    """The formatting of `text` in characters. What lies outside of it is cut off; half a character counts as one."""
    begins: list[int] = []  # of each code unit, the character that it belongs to
    for place, char in enumerate(text):
        begins += [place, place] if char > "\uffff" else [place]
    found = []
    for entity in entities:
        kind, offset, length = entity.get("type"), entity.get("offset"), entity.get("length")
        if not (isinstance(kind, str) and _is_int(offset) and _is_int(length)):
            continue
        start, end = max(0, offset), min(len(begins), offset + length)
        if start < end:
            found.append(Span(kind, begins[start], begins[end - 1] + 1, entity))
    return found[:MOST_SPANS]


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def html_of(text: str, spans: Sequence[Span]) -> str:
    """`text` as HTML, with line breaks as <br>."""
    elements = sorted(_elements(text, spans), key=lambda one: one.start)
    out: list[str] = []
    inside: list[_Element] = []
    waiting, active = iter(elements), list[_Element]()
    coming = next(waiting, None)
    points = sorted({0, len(text), *(one.start for one in elements), *(one.end for one in elements)})
    for start, end in pairwise(points):
        active = [one for one in active if one.end > start]
        while coming and coming.start <= start:
            active.append(coming)
            coming = next(waiting, None)
        wanted = _nested(active)
        out += _step(inside, wanted)
        out.append(_escaped(text[start:end]))
        inside = wanted
    out += _step(inside, [])
    return "".join(out)


@dataclass(frozen=True, slots=True)
class _Element:
    """One element from character `start` to `end`. Of several of one `name` around the same text, the first counts."""

    name: str
    start: int
    end: int
    opening: str
    closing: str

    @property
    def place(self) -> tuple[int, int, int]:
        """The further out, the lower."""
        return _RANKS.get(self.name, 3), self.start, -self.end


def _elements(text: str, spans: Sequence[Span]) -> Iterator[_Element]:
    for span in spans:
        name, end = _ELEMENTS.get(span.kind, ""), span.end
        if name in ("blockquote", "pre") and text[end : end + 1] == "\n":
            end += 1  # or an empty line would be seen below it: a block ends its line by itself
        if span.kind in _LINKS and (address := _address(span, text[span.start : end])):
            yield _Element("a", span.start, end, f'<a href="{html.escape(address)}">', "</a>")
        elif name == "pre":
            yield _Element("pre", span.start, end, f"<pre><code{_language(span)}>", "</code></pre>")
        elif name == "span":
            yield _Element("span", span.start, end, '<span class="spoiler">', "</span>")
        elif name:
            yield _Element(name, span.start, end, f"<{name}>", f"</{name}>")


def _nested(active: Sequence[_Element]) -> list[_Element]:
    """The elements around one piece of text, the outermost first: one of each name, and no code within a listing."""
    first: dict[str, _Element] = {}
    for one in sorted(active, key=lambda one: one.place):
        first.setdefault(one.name, one)
    if "pre" in first:
        first.pop("code", None)
    return list(first.values())


def _step(inside: Sequence[_Element], wanted: Sequence[_Element]) -> list[str]:
    """The tags that lead from within these elements to within those."""
    common = 0
    while common < min(len(inside), len(wanted)) and inside[common] is wanted[common]:
        common += 1
    return [one.closing for one in reversed(inside[common:])] + [one.opening for one in wanted[common:]]


def _escaped(text: str) -> str:
    return html.escape(UNFIT.sub("\ufffd", text), quote=False).replace("\r", "").replace("\n", "<br>")


def _address(span: Span, text: str) -> str | None:
    """Where a link leads; None: nowhere that we would send a reader."""
    if span.kind == "mention":
        found = _MENTION.fullmatch(text)
        return f"https://t.me/{found[1]}" if found else None
    if span.kind in ("mention_name", "text_mention"):
        user = span.more.get("user_id")
        return f"tg://user?id={user}" if _is_int(user) else None
    given = span.more.get("url") if span.kind == "text_link" else text
    address = given.strip() if isinstance(given, str) else ""
    if _SCHEME.fullmatch(address):
        return UNFIT.sub("\ufffd", address)
    return f"http://{address}" if _BARE.fullmatch(address) else None


def _language(span: Span) -> str:
    """The class by which highlighters know a listing's language."""
    language = span.more.get("language")
    is_one = isinstance(language, str) and _LANGUAGE.fullmatch(language)
    return f' class="language-{html.escape(str(language))}"' if is_one else ""
