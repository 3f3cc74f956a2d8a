"""How many pictures are handed over, and how many brought back. Pure functions."""

from __future__ import annotations

MOST_OUTSTANDING = 500
"""Hand-overs at once, at most: the queue stays short, so that PostgreSQL's vacuum keeps up with it."""

PER_WORKER = 4
"""Hand-overs for each worker of a node: two in its hand, and as many again that wait for it."""

ALONE_AT_ONCE = 100
"""Pictures that are brought back in one go while there is no node."""


def room(keep: int, workers: int, outstanding: int) -> int:
    """How many may be handed over now. `keep` stay for our own workers, `workers` are those of all nodes.

    >>> room(4, 0, 0), room(4, 2, 3), room(4, 1000, 0)
    (0, 5, 500)
    """
    if not workers:
        return 0
    return max(0, min(MOST_OUTSTANDING, max(2 * keep, PER_WORKER * workers)) - outstanding)


def to_bring_back(keep: int, left: int, outstanding: int, *, is_alone: bool) -> int:
    """How many our own workers have time for, `left` being there for them. `is_alone`: there is no node.

    >>> to_bring_back(4, 3, 10, is_alone=False), to_bring_back(4, 4, 10, is_alone=False)
    (1, 0)
    >>> to_bring_back(4, 4, 10, is_alone=True)
    10
    """
    if is_alone:
        return min(ALONE_AT_ONCE, outstanding)
    return min(max(0, keep - left), outstanding)


def needed_workers(waiting: int, seconds: float, target_seconds: float, own: int) -> int:
    """Workers of nodes that would render what waits within the target, besides our own. `seconds`: of one picture.

    >>> needed_workers(1200, 0.5, 60.0, 2), needed_workers(3, 0.5, 60.0, 2)
    (8, 0)
    """
    return max(0, -int(-waiting * seconds // target_seconds) - own)
