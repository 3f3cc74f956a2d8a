"""What this process knows: the root's messages, the journal's figures and the machine's memory, made into snapshots."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from typing import Any

from health.problems.first_seen import Dated, FirstSeen
from health.snapshot import GRACE_SECONDS, Snapshot, Undelivered
from health.status import document, summarize
from health.view.exit_counts import ExitCounter
from health.view.figures import JournalReader, Standstill
from health.view.messages import Messages
from ipc.kernel import proc
from ipc.transport.context import Context

LIVE_SECONDS = 60.0
"""How long the root may be silent before it counts as hung, so that only a restart of the whole can help. It speaks
every two or three seconds.
"""


class View:
    """The source of every answer. `monotonic` is the clock by which durations are measured. `undelivered` says at a
    moment of that clock which messages to people do not arrive.
    """

    def __init__(
        self,
        context: Context,
        monotonic: Callable[[], float] = time.monotonic,
        undelivered: Callable[[float], tuple[Undelivered, ...]] = lambda _: (),
    ) -> None:
        self._context = context
        self._monotonic = monotonic
        self._undelivered = undelivered
        self._ends = ExitCounter(context.journal_path)
        self._messages = Messages(context.inbox, monotonic, self._ends.add)
        self._journal = JournalReader(context.journal_path)
        self._progress = Standstill(monotonic())
        self._first_seen = FirstSeen()
        self._awake_since = -math.inf
        self._summary = ""

    def take_messages(self) -> None:
        """Take in what the root has sent."""
        self._messages.receive()

    def note_pause(self) -> None:
        """Note that this process has not run for a while: the others may have been frozen with it."""
        self._awake_since = self._monotonic()

    def snapshot(self) -> Snapshot:
        """Everything that is known now."""
        self.take_messages()
        messages, root = self._messages, self._context.options["root"]
        figures, error = self._journal.read()
        monotonic = self._monotonic()
        return Snapshot(
            now=time.time(),
            monotonic=monotonic,
            root={
                **root,
                "state": "running",
                "restarts": 0,
                **_memory_of(root["pid"]),
                **messages.reports.get("root", {}),
                "cap_bytes": 0,
            },
            silent_seconds=monotonic - messages.received_at,
            tree=messages.tree,
            ends=messages.ends,
            kills=messages.kills,
            reports=messages.reports,
            figures=figures,
            journal_error=error,
            unmoved_seconds=self._progress.unmoved_seconds(figures, messages.reports.get("connection", {}), monotonic),
            available_bytes=proc.available_bytes() or 0,
            awake_since=self._awake_since,
            undelivered=self._undelivered(monotonic),
            version=self._context.options["version"],
            spool_limit_bytes=self._context.options["spool_max_bytes"],
            disk_free_bytes=_free_bytes(self._context.options["state_dir"]),
            disk_reserve_bytes=self._context.options["min_free_bytes"],
            machines=self._context.options.get("machines", {}),
        )

    def look(self) -> dict[str, Any]:
        """The body of /status, now."""
        return document(self.snapshot(), self._first_seen)

    @property
    def problems(self) -> list[Dated]:
        """What was wrong at the last look."""
        return self._first_seen.problems

    def changes(self) -> int:
        """A counter that grows whenever a process is replaced or changes state."""
        self.take_messages()
        return self._messages.changes

    def is_live(self) -> bool:
        """Whether the tree lives, whatever is wrong with what it needs from outside."""
        self.take_messages()
        return self._monotonic() - self._messages.received_at < LIVE_SECONDS

    def sum_up(self) -> None:
        """Look, and send the root one line when it differs: the root tells systemd, and reads no journal.

        Not while the root is silent: it may not read either, and this process would have to wait for it.
        """
        self._ends.go_on()
        summary = summarize(self.look())
        if summary != self._summary and self._monotonic() - self._messages.received_at < GRACE_SECONDS:
            self._summary = summary
            self._context.report("summary", text=summary)

    def close(self) -> None:
        """Close the journal, once the ends of processes are in it, or after a second."""
        self._ends.wait(1.0)
        self._journal.close()


def _free_bytes(state_dir: str) -> int | None:
    """Room left on the disk of state_dir; None while it can't be asked."""
    try:
        return shutil.disk_usage(state_dir).free
    except OSError:
        return None


def _memory_of(pid: int) -> dict[str, int]:
    """Resident memory of a process, now and at its peak, in bytes; 0 if the kernel does not say."""
    sizes = proc.process_sizes(pid)
    return {"rss_bytes": sizes.get("VmRSS", 0), "peak_rss_bytes": sizes.get("VmHWM", 0)}
