"""The newest posts of a channel, or of all, read from the catalogue: no more rows than a page needs."""

from __future__ import annotations

from workers.publishing.catalog import Catalog
from workers.publishing.catalog.pictures import Position
from workers.publishing.documents.site.partition import PER_BLOCK
from workers.publishing.documents.site.posts import SitePost, posts_of

FEW_ROWS, MOST_ROWS = PER_BLOCK + 6, 12 * PER_BLOCK
"""Enough for a page of single pictures; enough for a page of albums. A row has some 3 KB, and a hosted project counts
what it sends."""


def newest_posts(
    catalog: Catalog, channel_id: int | None, before: Position | None = None, below: int | None = None
) -> list[SitePost]:
    """More posts than fit on a page, or all posts. Posts that may have more pictures are left out.

    `before`: older than that; `below`: whose lowest message is below that. By channel and then the lowest first.
    Raises CatalogFault.
    """
    posts: list[SitePost] = []
    for most in (FEW_ROWS, MOST_ROWS):
        rows = catalog.pictures(channel_id=channel_id, before=before, most=most)
        posts = [post for post in posts_of(rows) if below is None or post.first_id < below]
        if len(rows) < most:
            break
        posts = [post for post in posts if rows[-1] not in post.pictures]
        if len(posts) > PER_BLOCK:
            break
    return posts
