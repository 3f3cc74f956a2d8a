"""Rich messages: posts made of blocks, as an article is. Which pictures they show, in order, and what they say. Pure.

Blocks are distinguished by what they have, not by their types: each layer of Telegram's schema brings new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

MAX_CHARACTERS: Final = 4096
"""Longest text, as of any other message of Telegram. A rich one may have eight times as much."""


def picture_ids(rich: Any) -> list[int]:
    """The ids of its photos and documents: first those in blocks, as they are shown, then the others."""
    shown = [one for block in rich.blocks for one in _ids_in(block)]
    others = [one.id for one in (*rich.photos, *rich.documents)]
    return list(dict.fromkeys([*shown, *others]))


def plain_text(rich: Any) -> str:
    """What it says, a line a block, without its formatting."""
    return "\n".join(line for block in rich.blocks for line in _lines(block) if line.strip())[:MAX_CHARACTERS]


def _ids_in(block: Any) -> Iterator[int]:
    for name in ("photo_id", "document_id"):
        if (number := getattr(block, name, None)) is not None:
            yield number
    for one in _children(block):
        yield from _ids_in(one)


def _lines(block: Any) -> Iterator[str]:
    yield _text(getattr(block, "title", None))
    yield _text(getattr(block, "text", None))
    for row in getattr(block, "rows", None) or ():
        yield " ".join(filter(None, (_text(cell.text) for cell in row.cells)))
    for one in _children(block):
        yield from _lines(one)
    yield _text(getattr(block, "caption", None))


def _children(block: Any) -> Iterable[Any]:
    cover = getattr(block, "cover", None)
    return [
        *([cover] if cover else []),
        *(getattr(block, "blocks", None) or ()),
        *(getattr(block, "items", None) or ()),
    ]


def _text(rich: Any) -> str:
    """A text of nested pieces, each of one format, as it is without them."""
    if rich is None or isinstance(rich, str):
        return rich or ""
    if (pieces := getattr(rich, "texts", None)) is not None:
        return "".join(map(_text, pieces))
    inner = next((getattr(rich, name) for name in ("text", "alt", "source") if getattr(rich, name, None)), None)
    return _text(inner)
