"""What a caption says where nothing can cover it: titles, link cards, alternative text, lines below small pictures.

A page covers what is under a spoiler until a reader wants to see it; none of these can. Pure functions.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, Final

COVER: Final = "…"
"""What stands for covered text in a line. It has no words, as the captions may be in any language."""

COVER_HTML: Final = "[spoiler]"
"""What stands for covered text in the caption of a feed, whose readers have no style of ours: the post has the text."""

_SPOILER = re.compile(r'<span class="spoiler">.*?</span>', re.DOTALL)
"""`ipc.text.caption_html` makes no span of anything else, and none within another."""

_TAG = re.compile(r"<[^>]*>")
_PLACE = "\0"
"""Placeholder for covered text. No HTML has this character."""
_PLACES = re.compile(rf"{_PLACE}(?:\s*{_PLACE})*")


def open_caption(row: Mapping[str, Any]) -> str:
    """The caption of a row of the view as plain text, without what is under a spoiler.

    A line that is covered whole is left out: it would be a title of nothing.

    >>> open_caption({"caption": "So Bob did it", "caption_html": 'So <span class="spoiler">Bob <b>did</b></span> it'})
    'So … it'
    """
    caption, given = str(row["caption"] or ""), str(row["caption_html"] or "")
    if not _SPOILER.search(given):
        return caption
    text = _TAG.sub("", _SPOILER.sub(_PLACE, given).replace("<br>", "\n"))
    lines = _PLACES.sub(COVER, html.unescape(text)).split("\n")
    return "\n".join(line for line in lines if line.strip() != COVER)


def covered_html(caption_html: str) -> str:
    """The caption's HTML, as well-formed as before, without what is under a spoiler.

    >>> covered_html('<i>So <span class="spoiler">Bob <b>did</b></span></i> it')
    '<i>So [spoiler]</i> it'
    """
    return _SPOILER.sub(COVER_HTML, caption_html)


def has_spoiler(row: Mapping[str, Any]) -> bool:
    """Whether something in its caption is under one."""
    return _SPOILER.search(str(row["caption_html"] or "")) is not None
