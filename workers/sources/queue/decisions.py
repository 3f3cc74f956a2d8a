"""What a node decides: how many pictures it takes, when it asks, what it gives back. Pure, times in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ipc.jobs import State
from ipc.retry import pause_seconds

FASTEST_SECONDS, SLOWEST_SECONDS = 0.25, 5.0
"""Seconds between two questions for work: while there is some, and after a while without any."""

EXTENSIONS = 4
"""Extensions in each lease. Two may be lost, and a third one is still in time."""

TO_RENDER = 2
IN_HAND = 4
"""Pictures for each image worker: to be rendered (fetched, or being fetched), and in hand with those being published.
"""

MOST_AT_ONCE, MOST_IN_HAND = 64, 900
"""Most pictures of one question, and of one node. The database extends a thousand leases at once."""

SILENT_SECONDS, LONGEST_SILENT_SECONDS = 1.0, 30.0
"""Seconds without a question after one that failed, doubled with each further failure; and the longest."""

STAY_SECONDS = 600.0
"""How long a picture may stay that this node does not get on with. Then another one may do better. No healthy one
has a picture wait for that long, as it has no more than some for each worker."""

FETCHES = 8
FETCHED_BYTES = 64 * 2**20
"""Originals that are fetched at once, and their largest size together: they are in memory meanwhile."""


def room(workers: int, to_render: int, in_hand: int) -> int:
    """Number of pictures that may be taken besides.

    >>> room(2, 0, 0), room(2, 3, 3), room(2, 1, 7), room(2, 4, 4), room(2, 9, 9), room(999, 0, 899)
    (4, 1, 1, 0, 0, 1)
    """
    most = min(IN_HAND * workers, MOST_IN_HAND)
    return max(0, min(TO_RENDER * workers - to_render, most - in_hand, MOST_AT_ONCE))


def poll_seconds(nothing_came: int, random: Callable[[], float]) -> float:
    """Seconds until the next question for work, after `nothing_came` questions in a row that brought nothing.

    >>> [poll_seconds(times, lambda: 0.5) for times in (0, 1, 2, 3, 5, 99)]
    [0.25, 0.25, 0.5, 1.0, 4.0, 5.0]
    """
    return pause_seconds(max(1, nothing_came), FASTEST_SECONDS, SLOWEST_SECONDS, random)


def silent_seconds(failures: int, random: Callable[[], float]) -> float:
    """How long a service is not asked after `failures` failures in a row, from 1."""
    return pause_seconds(failures, SILENT_SECONDS, LONGEST_SILENT_SECONDS, random)


def extension_seconds(lease_seconds: float) -> float:
    """Seconds between two extensions of all leases, or between two signs of life if nothing is in hand."""
    return lease_seconds / EXTENSIONS


def has_overstayed(state: State, seconds: float, *, is_stored: bool, is_claimed: bool) -> bool:
    """Whether a picture that was taken `seconds` ago is given back, since this node does not get on with it.

    Its bucket, its disk or its codecs may fail, or its workers may rest. Not while an image worker has it, nor
    when only its row is missing: that would be the same elsewhere.

    >>> has_overstayed("seen", 601, is_stored=False, is_claimed=False)
    True
    >>> has_overstayed("fetched", 601, is_stored=False, is_claimed=True)
    False
    """
    is_here = state in ("seen", "fetched") or (state == "rendered" and not is_stored)
    return seconds > STAY_SECONDS and not is_claimed and is_here


def to_fetch(sizes: Iterable[int], under_way: int, under_way_bytes: int) -> int:
    """How many of the pictures of these sizes, in their order, are fetched now. One may always be.

    >>> to_fetch([1000] * 20, 3, 3000), to_fetch([40 * 2**20] * 3, 0, 0), to_fetch([99 * 2**20], 0, 0)
    (5, 1, 1)
    """
    count = 0
    for size in sizes:
        is_first = under_way + count == 0
        if not is_first and (under_way + count >= FETCHES or under_way_bytes + size > FETCHED_BYTES):
            break
        count, under_way_bytes = count + 1, under_way_bytes + size
    return count
