"""What is asked of the view `pictures`, and its columns: the same in every catalogue. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

COLUMNS = (
    *("channel_id", "channel_name", "channel_title", "message_id", "grouped_id", "album_position"),
    *("posted_at", "edited_at", "post_url", "caption", "caption_html", "tags", "alt", "kind", "width", "height"),
    *("src", "srcset_avif", "srcset_webp", "preview_url", "color", "thumbhash", "phash", "has_alpha", "animated"),
)
"""The view's columns, in its order."""

MOST = 1000
"""Largest page: a hosted project gives no more rows at a time."""

Position: TypeAlias = tuple[str, int, int]
"""Where a picture stands in the order of pages: its posted_at (ISO 8601 in UTC), channel_id and message_id."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which pictures are asked for: see `Catalog.pictures`. Raises ValueError if that makes no sense."""

    channel_id: int | None
    tag: str | None
    before: Position | None
    between: tuple[int, int] | None
    message: int | None
    most: int

    def __post_init__(self) -> None:
        if not 0 < self.most <= MOST:
            raise ValueError(f"a page of {self.most} pictures: at most {MOST}, and at least one")
        if self.channel_id is None and (self.between is not None or self.message is not None):
            raise ValueError("a message's id says nothing without its channel")
        if self.between is not None and self.before is not None:
            raise ValueError("before and between are of different orders")

    @property
    def view(self) -> str:
        return "pictures" if self.tag is None else "pictures_by_tag"
