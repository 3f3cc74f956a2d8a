"""HTML that is safe by its type: whatever is put into a template is escaped, unless it is HTML already.

Twenty lines instead of a template engine: the gallery has five pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape as escaped

from ipc.text.caption_html import UNFIT


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
    return Html("" if value is None else escaped(UNFIT.sub("\N{REPLACEMENT CHARACTER}", str(value))))


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
    r"</?(?:b|i|u|s|blockquote)>|<br>|<pre><code(?: class=\"language-[A-Za-z0-9+#._-]*\")?>|</code></pre>|</?code>"
    r'|<span class="spoiler">|</span>|<a href="(?i:https?|tg)://[^"<>]*">|</a>'
)
"""What `ipc.text.caption_html` makes, and nothing else."""


def caption_html(text: str) -> Html | None:
    """A caption's HTML as the catalogue has it. None if it has any other tag than captions have, or a stray bracket.

    >>> caption_html('<b>So</b> <a href="https://example.org/">so</a>'), caption_html("<img src=x onerror=y>")
    ('<b>So</b> <a href="https://example.org/">so</a>', None)
    """
    rest = _CAPTION_TAG.sub("", text)
    return None if "<" in rest or ">" in rest or UNFIT.search(text) else Html(text)
