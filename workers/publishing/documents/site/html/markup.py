"""HTML that is safe by its type: whatever is put into a template is escaped, unless it is HTML already.

Twenty lines instead of a template engine, which would cost the uploader 8 MiB: the gallery has five pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape as escaped

_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""What a document may not have: control characters, and halves of one that is not in Unicode's base plane."""


class Html(str):
    """Text that is HTML. Made by `html`, by `join`, and of what has been checked."""

    __slots__ = ()


def escape(value: object) -> Html:
    """The value as HTML: text is escaped for contents and for attributes in double quotes.

    >>> escape('<a href="x">'), escape(Html("<b>")), escape(None)
    ('&lt;a href=&quot;x&quot;&gt;', '<b>', '')
    """
    if isinstance(value, Html):
        return value
    return Html("" if value is None else escaped(_NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", str(value))))


def html(template: str, /, **values: object) -> Html:
    """The template, a literal, with the values in its braces, each escaped.

    >>> html('<p title="{title}">{text}</p>', title='"', text=Html("<b>bold</b>"))
    '<p title="&quot;"><b>bold</b></p>'
    """
    return Html(template.format_map({name: escape(value) for name, value in values.items()}))


def join(parts: Iterable[object], between: str = "") -> Html:
    """The parts as HTML, one after another."""
    return Html(between.join(escape(part) for part in parts))


_CAPTION_TAG = re.compile(
    r"</?(?:b|strong|i|em|u|ins|s|del|code|pre|blockquote|p|span|q|mark)>|<br ?/?>|</a>|<blockquote expandable>"
    r'|<(?:code|span|blockquote|pre) class="[a-z0-9 _-]*">'
    r'|<a href="(?:https?|tg|mailto|tel):[^"<>]*"(?: (?:rel|target)="[a-z _]*")*>'
)


def caption_html(text: str) -> Html | None:
    """A caption's HTML as the catalogue has it. None if it has any other tag than captions have, or a stray bracket.

    >>> caption_html('<b>So</b> <a href="https://example.org/">so</a>'), caption_html("<img src=x onerror=y>")
    ('<b>So</b> <a href="https://example.org/">so</a>', None)
    """
    rest = _CAPTION_TAG.sub("", text)
    return None if "<" in rest or ">" in rest or _NOT_TEXT.search(text) else Html(text)
