"""One bare POST to a static host's deploy hook when pictures have changed, and rest again: at least once.

Its position moves when the host has accepted a rebuild, to the newest change before the request: so what changes
meanwhile, or was cut off, brings another one. It never becomes a dead letter: the next rebuild shows everything.
"""

from __future__ import annotations

from typing import Any, Protocol

import structlog

from ipc import failpoints
from ipc.journal import Journal
from ipc.journal.outputs import changes, webhooks
from ipc.journal.outputs.changes import Change
from ipc.retry import FARTHEST_SECONDS, RetryPolicy
from workers.publishing.service.faults import JobFault, ServiceFault
from workers.publishing.webhooks.answers import ReceiverGone
from workers.publishing.webhooks.standing import Standing
from workers.publishing.webhooks.target import Target

QUIET_SECONDS = 60.0
"""How long nothing has changed before a rebuild is asked for: an album, or a burst of posts, makes one."""

LONGEST_SECONDS = 600.0
"""How long a change waits for a rebuild at most. A host's builds are counted, and take minutes."""

PAGE = 1000
"""Changes that are looked at in one go."""

log = structlog.get_logger()


class Pinger(Protocol):
    """What sends the request: see `receiver.Receiver`."""

    def ping(self) -> None: ...
    def close(self) -> None: ...


class Rebuild:
    """One webhook's work."""

    def __init__(
        self,
        target: Target,
        journal: Journal,
        receiver: Pinger,
        standing: Standing,
        policy: RetryPolicy,
        quiet_seconds: float = QUIET_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._target = target
        self._journal = journal
        self._receiver = receiver
        self._standing = standing
        self._policy = policy
        self._quiet_seconds = quiet_seconds
        self._longest_seconds = longest_seconds

    def step(self) -> int:
        """Ask for a rebuild if one is due. Returns 1 if it was accepted, else 0."""
        now = webhooks.standing(self._journal, self._target.name)
        if now["gone_at"] is not None:
            self._pass_by()
            return 0
        first, newest = self._first(), changes.newest(self._journal)
        if first is None or newest is None:
            return 0
        clock = self._journal.clock()
        is_time = not clock < now["next_at"] < clock + FARTHEST_SECONDS
        is_calm = is_due(first.at, newest[1], clock, self._quiet_seconds, self._longest_seconds)
        if not is_time or not is_calm or not self._standing.room(1):
            return 0
        return self._ask(newest[0], now)

    def close(self) -> None:
        self._receiver.close()

    def _first(self) -> Change | None:
        """The first change that a rebuild is wanted for; those before it are passed over."""
        while True:
            found = changes.after(self._journal, webhooks.position(self._journal, self._target.name), PAGE)
            wanted = next((one for one in found if one.what in self._target.events), None)
            passed = [one for one in found if wanted is None or one.id < wanted.id]
            if passed:
                changes.advance(self._journal, self._target.name, passed[-1].id)
            if wanted is not None or not found:
                return wanted

    def _pass_by(self) -> None:
        """The webhook is gone: keep only the last change that wants a rebuild, should it be brought back.

        That change is given up when a page of others has come after it: the journal keeps no more for it.
        """
        position = webhooks.position(self._journal, self._target.name)
        found = changes.after(self._journal, position, PAGE)
        last = next((one.id - 1 for one in reversed(found) if one.what in self._target.events), None)
        if found and (last is None or (last <= position and len(found) == PAGE)):
            last = found[-1].id
        if last is not None and last > position:
            changes.advance(self._journal, self._target.name, last)

    def _ask(self, newest: int, now: dict[str, Any]) -> int:
        label = self._target.label
        failpoints.reach("webhook.before")
        try:
            self._receiver.ping()
        except ReceiverGone as gone:
            webhooks.note_gone(self._journal, self._target.name, str(gone))
            log.error("webhook.gone", webhook=label, reason=str(gone))
            return 0
        except (ServiceFault, JobFault) as fault:
            self._standing.failed(fault)
            failures = min(now["attempts"] + 1, max(1, self._policy.max_attempts))
            pause = RetryPolicy(failures, self._policy.base_seconds).delay_seconds(failures, self._journal.random)
            webhooks.put_off_rebuild(self._journal, self._target.name, pause or 0.0)
            log.warning("webhook.failed", webhook=label, reason=str(fault), outcome="later")
            return 0
        failpoints.reach("webhook.sent")
        webhooks.rebuilt(self._journal, self._target.name, newest)
        failpoints.reach("webhook.after")
        self._standing.accepted()
        log.info("webhook.rebuilt", webhook=label)
        return 1


def is_due(first_at: float, newest_at: float, now: float, quiet_seconds: float, longest_seconds: float) -> bool:
    """Whether changes that began and last came then (Unix seconds) have rested, or waited, for long enough. A time from
    the future was written before the clock was set back.

    >>> is_due(0, 50, 100, 60, 600), is_due(0, 50, 110, 60, 600), is_due(0, 590, 600, 60, 600)
    (False, True, True)
    """
    return abs(now - newest_at) >= quiet_seconds or abs(now - first_at) >= longest_seconds
