"""The rows that a feed is made of."""

from __future__ import annotations

from datetime import datetime, timedelta

from workers.publishing.catalog import Catalog
from workers.publishing.catalog.pictures import Position
from workers.publishing.documents.feeds.items import Row, post_of

PAGE_ROWS = 100
ALBUM_SECONDS = timedelta(seconds=10)
"""Pictures of one album are posted within this time. Telegram gives them the same second, or the next."""


def newest_rows(catalog: Catalog, channel_id: int | None, posts: int) -> tuple[list[Row], bool]:
    """The pictures of the newest posts of the channel, or of all; and whether there are older posts.

    An album counts as one. Those of two channels may be mixed, so that an album's last picture comes after another
    post's first one. Raises CatalogFault.
    """
    rows: list[Row] = []
    found: set[tuple[int, str]] = set()
    until: datetime | None = None
    before: Position | None = None
    while True:
        page = catalog.pictures(channel_id=channel_id, before=before, most=PAGE_ROWS)
        for row in page:
            if not row["src"]:
                continue
            posted_at = datetime.fromisoformat(row["posted_at"])
            if until is not None and posted_at < until:
                return rows, True
            if post_of(row) not in found and len(found) == posts:
                until = until or posted_at - ALBUM_SECONDS
                continue
            found.add(post_of(row))
            rows.append(row)
        if len(page) < PAGE_ROWS:
            return rows, until is not None
        before = (page[-1]["posted_at"], page[-1]["channel_id"], page[-1]["message_id"])
