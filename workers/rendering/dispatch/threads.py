"""How many threads each picture gets: as many as workers have nothing to do, so that no processor is idle while few
pictures wait. Pure.
"""

from __future__ import annotations


def share(jobs: int, *, idle: int, processors: int, in_hand: list[int]) -> list[int]:
    """The threads of each of the `jobs` that are given out now to as many of the `idle` workers; each has at least one.

    `in_hand`: the threads of each job that a worker has already. Those beyond its first are workers' that are idle. All
    jobs together have no more threads than workers and `processors`, but for the first of each: so a worker whose
    threads are lent is not kept from a job of its own, and the last to come share with those that were first.

    >>> share(1, idle=4, processors=4, in_hand=[])
    [4]
    >>> share(2, idle=3, processors=4, in_hand=[1])
    [2, 1]
    >>> share(1, idle=3, processors=4, in_hand=[4])
    [1]
    """
    if not jobs:
        return []
    lent = sum(in_hand) - len(in_hand)
    spare = max(0, min(idle - jobs - lent, processors - sum(in_hand) - jobs))
    return [1 + spare // jobs + (number < spare % jobs) for number in range(jobs)]
