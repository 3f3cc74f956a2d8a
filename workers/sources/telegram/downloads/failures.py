"""Which pictures could not be fetched, since when and why: how that is settled, and what /status says.

A picture that fails waits longer each time, so that those that were not tried yet go first. Failures are a problem to
report when nothing has been fetched for a minute, where a whole data centre gives no files, or when one picture has not
come for a quarter of an hour.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

from ipc.jobs import Job
from workers.sources.settle import Failed, Gone, NoRoom, PutOff, Withdrawn, of_os_error
from workers.sources.telegram.wire.errors import (
    ChannelFault,
    Damaged,
    ServerTrouble,
    StaleReference,
    Unanswered,
    Unreachable,
    Unreadable,
)
from workers.unforeseen import contained

FIRST_PAUSE_SECONDS: Final = 30.0
LONGEST_PAUSE_SECONDS: Final = 300.0

OUTAGE_SECONDS: Final = 86400.0
"""A picture that has failed for longer than this, while others come, is charged for it."""

GRACE_SECONDS: Final = 60.0
"""How long nothing is fetched before that is a problem."""

STUBBORN_SECONDS: Final = 900.0
"""How long one picture fails, although others come, before that is a problem."""

_NOT_TAKEN: Final = {
    "preview": "it is the picture of a link's preview, and telegram.web_previews is off",
    "video": "it is the poster of a video, which has none any more, or telegram.video_posters is off",
    "animation": "it is the poster of an animation, which has none any more, or telegram.video_posters is off",
}
"""Why messages of these kinds, for which the picture was taken once, have none any more."""

MAX_REMEMBERED: Final = 1000
"""Failing pictures that are remembered: in an outage, the others fail for the same reason."""

LAST: Final = "Nothing is lost: they are tried again by themselves. If it lasts, see the log of the connection"
THERE: Final = (
    "Nothing is lost: the files of other data centres are fetched, these by themselves once it answers. If it lasts,"
    " see whether a firewall or the proxy keeps this machine from Telegram's other addresses"
)


@dataclass(slots=True)
class _Streak:
    """One picture's failures in a row. `dc_id`: of the data centre that is to blame, or None."""

    channel_id: int
    since: float
    times: int
    reason: str
    dc_id: int | None
    is_silent: bool


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with the downloads, since when (a Unix second), and what to do."""

    what: str
    since: float
    remedy: str


class DownloadFailures:
    """The failures of downloads, by job id. Times are Unix seconds."""

    def __init__(self) -> None:
        self._all: dict[int, _Streak] = {}
        self._fetched_at = -math.inf

    # How a failure is settled

    def of_error(self, job: Job, error: Exception, now: float) -> PutOff | Failed | NoRoom:
        """What an error means for the job; what concerns the whole process is raised again."""
        match error:
            case Unreachable():
                return self._of_trouble(job, str(error), now, why=error.why, dc_id=error.dc_id, seconds=error.seconds)
            case Unanswered():
                return self._of_trouble(job, str(error), now, is_silent=True)
            case ServerTrouble() | ChannelFault() | Unreadable():
                return self._of_trouble(job, str(error), now)
            case StaleReference():
                return self._of_own_fault(job, f"a reference that was just given does not hold: {error}")
            case Damaged():
                return self._of_own_fault(job, str(error))
            case OSError():
                outcome = of_os_error(error, f"cannot be written: {error}")
                return outcome if isinstance(outcome, NoRoom) else self._of_own_fault(job, outcome.reason)
        facts = {"job": job.id, "channel": job.channel_id, "message": job.message_id}
        return self._of_trouble(job, str(contained(error, "fetching put off for an unforeseen error", **facts)), now)

    def of_absence(self, job: Job, kind: str, is_unchanged: bool, now: float) -> PutOff | Failed | Gone | Withdrawn:
        """What it means that the message, of that kind now, does not show the job's picture any more.

        `is_unchanged`: the intake saw no reason to change the job. Then it must not be asked for again at once.
        """
        if is_unchanged and kind not in _NOT_TAKEN:
            return self._of_trouble(job, f"the message does not show the picture that it had ({kind})", now)
        self.forget(job.id)
        if is_unchanged:
            return Gone(_NOT_TAKEN[kind])
        return Withdrawn()

    def _of_own_fault(self, job: Job, reason: str) -> Failed:
        self.forget(job.id)
        return Failed(reason)

    def _of_trouble(
        self,
        job: Job,
        reason: str,
        now: float,
        *,
        why: str = "",
        dc_id: int | None = None,
        is_silent: bool = False,
        seconds: float = 0.0,
    ) -> PutOff | Failed:
        """Settle a failure that is not the picture's fault: it keeps its attempts, unless it alone has failed for days.

        `why`: the reason as /status has it; `seconds`: the least to wait.
        """
        if self.seconds(job.id, now) > OUTAGE_SECONDS and self.is_the_only_one(job.id):
            return Failed(reason)  # not forgotten: the next error costs an attempt too
        pause = self.note(job.id, job.channel_id, why or reason, now, dc_id=dc_id, is_silent=is_silent)
        return PutOff(reason, max(pause, seconds))

    # What has failed

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
        """Note one more failure. Returns the seconds until the next try."""
        one = self._all.get(job_id) or _Streak(channel_id, now, 0, reason, dc_id, is_silent)
        one.times, one.reason, one.dc_id, one.is_silent = one.times + 1, reason, dc_id, is_silent
        if job_id in self._all or len(self._all) < MAX_REMEMBERED:
            self._all[job_id] = one
        return float(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(one.times - 1, 10)))

    def fetched(self, job_id: int, now: float) -> None:
        """Note that the job's file was fetched."""
        self._fetched_at = now
        self.forget(job_id)

    def forget(self, job_id: int) -> None:
        """Forget a job's failures: it is not wanted any more, or its own fault now."""
        self._all.pop(job_id, None)

    def waiting_for(self, dc_id: int) -> list[int]:
        """The pictures that only that data centre keeps from being fetched."""
        return [job_id for job_id, one in self._all.items() if one.dc_id == dc_id]

    def known(self) -> list[int]:
        return list(self._all)

    def seconds(self, job_id: int, now: float) -> float:
        """How long it has been failing, as far as this process knows."""
        one = self._all.get(job_id)
        return now - one.since if one is not None else 0.0

    def is_the_only_one(self, job_id: int) -> bool:
        """Whether others have come since this one failed first."""
        one = self._all.get(job_id)
        return one is not None and self._fetched_at > one.since

    def silent_channels(self) -> set[int]:
        """The channels with files that Telegram was asked for in vain."""
        return {one.channel_id for one in self._all.values() if one.is_silent}

    def complaint(self, now: float) -> Complaint | None:
        """What /status says now."""
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
        if now - since < GRACE_SECONDS:
            return None
        return Complaint(f"{_pictures(len(failing))} can't be fetched: {failing[-1].reason}", since, LAST)


def _pictures(count: int) -> str:
    return f"{count} picture" if count == 1 else f"{count} pictures"
