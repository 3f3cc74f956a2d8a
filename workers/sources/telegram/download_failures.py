"""Which pictures could not be fetched, since when and why: when each is tried again, and what /status says. Pure.

A picture that fails waits longer each time, so that those that were not tried yet go first. Failures are a problem to
tell when nothing has been fetched for a minute, where a whole data centre gives no files, or when one picture has not
come for a quarter of an hour.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

FIRST_PAUSE_SECONDS: Final = 30.0
LONGEST_PAUSE_SECONDS: Final = 300.0

PATIENCE_SECONDS: Final = 60.0
"""So long may nothing be fetched before that is a problem."""

STUBBORN_SECONDS: Final = 900.0
"""A picture that has not come for so long is a problem although others come."""

MOST: Final = 1000
"""So many are remembered: in an outage it is the same with all others."""

LAST: Final = "Nothing is lost: they are tried again by themselves. If it lasts, see the log of the connection"
THERE: Final = (
    "Nothing is lost: the files of other data centres are fetched, these by themselves once it answers. If it lasts,"
    " see whether a firewall or the proxy keeps this machine from Telegram's other addresses"
)


@dataclass(slots=True)
class Setback:
    """One picture's failures in a row. Times are Unix seconds; `dc_id` of the data centre that is to blame, or None."""

    channel_id: int
    since: float
    times: int
    reason: str
    dc_id: int | None
    is_silent: bool


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is the matter with the downloads, since when, and what to do."""

    what: str
    since: float
    remedy: str


class DownloadFailures:
    """By job id."""

    def __init__(self) -> None:
        self._all: dict[int, Setback] = {}
        self._fetched_at = -math.inf

    def note(
        self,
        job_id: int,
        channel_id: int,
        reason: str,
        now: float,
        *,
        dc_id: int | None = None,
        is_silent: bool = False,
    ) -> float:
        """One more; in how many seconds to try again."""
        one = self._all.get(job_id) or Setback(channel_id, now, 0, reason, dc_id, is_silent)
        one.times, one.reason, one.dc_id, one.is_silent = one.times + 1, reason, dc_id, is_silent
        if job_id in self._all or len(self._all) < MOST:
            self._all[job_id] = one
        return float(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(one.times - 1, 10)))

    def fetched(self, job_id: int, now: float) -> None:
        """It has come."""
        self._fetched_at = now
        self.forget(job_id)

    def forget(self, job_id: int) -> None:
        """Nobody wants it any more, or it is its own fault now."""
        self._all.pop(job_id, None)

    def waiting_for(self, dc_id: int) -> list[int]:
        """Those that could not be fetched for that data centre's sake."""
        return [job_id for job_id, one in self._all.items() if one.dc_id == dc_id]

    def known(self) -> list[int]:
        return list(self._all)

    def seconds(self, job_id: int, now: float) -> float:
        """For how long it has been failing, as far as this process knows."""
        one = self._all.get(job_id)
        return now - one.since if one is not None else 0.0

    def is_the_only_one(self, job_id: int) -> bool:
        """Whether others have come since this one failed first."""
        one = self._all.get(job_id)
        return one is not None and self._fetched_at > one.since

    def silent_channels(self) -> set[int]:
        """The channels with files that nobody has sent although they were asked for."""
        return {one.channel_id for one in self._all.values() if one.is_silent}

    def complaint(self, now: float) -> Complaint | None:
        """What there is to tell now."""
        elsewhere = [one for one in self._all.values() if one.dc_id is not None]
        if elsewhere:
            centres = Counter(one.dc_id for one in elsewhere)
            where = " and ".join(
                f"data centre {dc_id} ({_pictures(count)})" for dc_id, count in sorted(centres.items())
            )
            what = f"nothing can be fetched from {where}: {elsewhere[-1].reason}"
            return Complaint(what, min(one.since for one in elsewhere), THERE)
        failing = [
            one for one in self._all.values() if one.since >= self._fetched_at or now - one.since >= STUBBORN_SECONDS
        ]
        since = min((one.since for one in failing), default=math.inf)
        if now - since < PATIENCE_SECONDS:
            return None
        return Complaint(f"{_pictures(len(failing))} can't be fetched: {failing[-1].reason}", since, LAST)


def _pictures(count: int) -> str:
    return f"{count} picture" if count == 1 else f"{count} pictures"
