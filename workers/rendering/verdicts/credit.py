"""How often a worker's word is taken where it costs its picture nothing. A worker that a picture has taken over could
have that picture rendered for ever by such words, and keep the others waiting.

What the pool can see for itself it looks at. For the rest each picture has a credit; after that it costs an attempt.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ipc.files.spool import Spool
from ipc.jobs import Job
from workers.rendering.verdicts.verdicts import FetchAgain, GiveBack, Retry, Verdict, WaitForDisk

TIMES: Final = 3
"""A picture's credit."""

ROOM_BYTES: Final = 64 * 1024 * 1024
"""A disk that has this much left is not full: a job writes a few MiB, and at most its original besides."""

_PICTURES: Final = 1000
"""Pictures whose used-up credit is remembered: the latest ones."""


class Credit:
    """What the pictures of one pool have used up."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._used: OrderedDict[tuple[int, int], int] = OrderedDict()

    def honour(self, job: Job, verdict: Verdict) -> Verdict:
        """The verdict on a worker's word, or an attempt in its place."""
        match verdict:
            case FetchAgain() if self._spool.original(job.id, job.generation).exists():
                return Retry("its worker said that the original is missing, which is there")
            case WaitForDisk(reason) if self._spool.has_room(ROOM_BYTES) and self._is_used_up(job):
                return Retry(f"its worker said: {reason}; but there is room")
            case GiveBack() if self._is_used_up(job):
                return Retry("its worker left it again and again")
        return verdict

    def _is_used_up(self, job: Job) -> bool:
        """Whether this is once too often."""
        key = (job.id, job.generation)
        self._used[key] = used = self._used.pop(key, 0) + 1
        if len(self._used) > _PICTURES:
            self._used.popitem(last=False)
        return used > TIMES
