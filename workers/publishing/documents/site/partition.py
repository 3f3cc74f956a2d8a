"""Which posts are on which page of a channel's archive. Pure.

Each block of posts is a page. Blocks last: a new post goes into the highest one until that is full, and a block that
gets too large (an import brought older posts) is divided. So a page's address keeps its posts, and what changes touches
the block that it is in and, at its edges, the two beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from workers.publishing.documents.site.posts import SitePost

PER_BLOCK = 18
"""Posts on a page: with the addresses of their pictures some 26 KB."""


def divided(posts: Sequence[SitePost], *, is_highest: bool, is_lowest: bool) -> list[list[SitePost]]:
    """The posts of a block, the lowest first, as blocks of at most PER_BLOCK. One that is empty stays one.

    Full pages stay full where it goes on: at the top of the highest block and at the bottom of the lowest; what is
    between is divided evenly.

    >>> def sizes(count, **kind): return [len(some) for some in divided([None] * count, **kind)]
    >>> sizes(19, is_highest=True, is_lowest=True), sizes(19, is_highest=False, is_lowest=True)
    ([18, 1], [1, 18])
    >>> sizes(37, is_highest=False, is_lowest=False), sizes(0, is_highest=True, is_lowest=False)
    ([13, 12, 12], [0])
    """
    count = len(posts)
    if count <= PER_BLOCK:
        return [list(posts)]
    number = -(-count // PER_BLOCK)
    if is_highest:
        sizes = [PER_BLOCK] * (number - 1) + [count - PER_BLOCK * (number - 1)]
    elif is_lowest:
        sizes = [count - PER_BLOCK * (number - 1)] + [PER_BLOCK] * (number - 1)
    else:
        sizes = [count // number + (place < count % number) for place in range(number)]
    blocks, at = [], 0
    for size in sizes:
        blocks.append(list(posts[at : at + size]))
        at += size
    return blocks
