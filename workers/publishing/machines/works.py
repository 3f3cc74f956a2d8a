"""The threads of an origin, and of a machine that was one, and what they report for /status."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any

from ipc.files.spool import Spool
from ipc.journal import Journal, figures, statistics
from ipc.journal.machines import claims
from ipc.transport.context import Context
from workers.publishing.catalog.supabase.queues import Queues
from workers.publishing.machines import limits
from workers.publishing.machines.decommission import Decommission, give_up
from workers.publishing.machines.fleet import Fleet
from workers.publishing.machines.hand_over import HandOver
from workers.publishing.machines.reconciler import Reconciler
from workers.publishing.machines.results import Results
from workers.publishing.machines.wire import Wire
from workers.publishing.running.work_thread import WorkThread

POLL_SECONDS = 0.5
PAUSE_SECONDS = 5.0
"""After a failure: what is handed over waits for no more than that."""

REPORT_SECONDS = 10.0
"""Interval at which an unchanged report is sent again, in seconds. What was asked is that old, at most."""

USUAL_SECONDS = 0.5
"""What rendering a picture takes, while none was measured here."""

MOST_NODES = 200
"""Most nodes in /status. Each has a message of its own."""


def make(context: Context, stopping: Callable[[], bool]) -> list[WorkThread[Any]]:
    """The threads, as the uploader's options say."""
    if context.options["machines"]["role"] != "origin":
        return _decommission(context, stopping)
    thread = partial(WorkThread, stopping=stopping, poll_seconds=lambda _: POLL_SECONDS, pause_seconds=PAUSE_SECONDS)
    fleet = Fleet(context.options["storage"]["bucket"])
    return [
        thread("machines: hand-over", partial(make_hand_over, context, fleet)),
        thread("machines: results", partial(make_reconciler, context, fleet)),
    ]


def _decommission(context: Context, stopping: Callable[[], bool]) -> list[WorkThread[Any]]:
    """For a machine that was an origin."""
    options = context.options
    if options["catalog"].get("backend") == "supabase" and options["storage"].get("backend") == "r2":
        return [WorkThread("machines", partial(make_decommission, context), stopping)]
    with closing(Journal.open(context.journal_path, durable=True)) as journal:
        give_up(journal)
    return []


def make_hand_over(context: Context, fleet: Fleet) -> HandOver:
    """Made in its own thread: connections are not shared."""
    journal = Journal.open(context.journal_path, durable=True)
    spool = Spool(context.spool_path)
    return HandOver(context.options, journal, spool, Queues.by(context.options["catalog"]), fleet, context.wake)


def make_reconciler(context: Context, fleet: Fleet) -> Reconciler:
    """Made in its own thread, like the hand-over: connections are not shared."""
    journal = Journal.open(context.journal_path, durable=True)
    queues = Queues.by(context.options["catalog"])
    spool, origin = Spool(context.spool_path), journal.machine_id()
    results = Results(journal, spool, queues, origin, context.wake, fleet.note_misread)
    report = MachinesReport(context, journal, fleet)
    return Reconciler(context.options["machines"], journal, queues, results, fleet, report.send, context.wake)


def make_decommission(context: Context) -> Decommission:
    journal = Journal.open(context.journal_path, durable=True)
    queues = Queues.by(context.options["catalog"])
    results = Results(journal, Spool(context.spool_path), queues, journal.machine_id(), context.wake)
    return Decommission(journal, queues, Wire(context.options, journal.machine_id()), results, context.wake)


class MachinesReport:
    """The report for /status: the topic "machines", and "machine 0", "machine 1"… with a node each.

    A message has room for no more. `clock` is monotonic.
    """

    def __init__(
        self, context: Context, journal: Journal, fleet: Fleet, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._context = context
        self._journal = journal
        self._fleet = fleet
        self._clock = clock
        self._options: Mapping[str, Any] = context.options["machines"]
        self._id = journal.machine_id()
        self._sent: dict[str, tuple[float, dict[str, Any]]] = {}
        self._seen = -1
        """The fleet's changes of which the last report knew."""
        self._next_at = -math.inf

    def send(self) -> None:
        """Tell what has changed at once, all else every REPORT_SECONDS. While nothing has, nothing is reckoned."""
        now, changes = self._clock(), self._fleet.changes
        if changes == self._seen and now < self._next_at:
            return
        self._seen, self._next_at = changes, now + REPORT_SECONDS
        rows = self._fleet.rows()[:MOST_NODES]
        self._tell("machines", self._facts(len(rows)))
        for number, row in enumerate(rows):
            self._tell(f"machine {number}", row)

    def _tell(self, topic: str, facts: dict[str, Any]) -> None:
        now = self._clock()
        at, before = self._sent.get(topic, (-REPORT_SECONDS, {}))
        steady = {key: value for key, value in facts.items() if not key.endswith("_seconds")}
        if steady == before and now - at < REPORT_SECONDS:
            return
        self._sent[topic] = (now, steady)
        self._context.report(topic, **facts)

    def _facts(self, nodes: int) -> dict[str, Any]:
        said, trouble = self._fleet.said, self._fleet.trouble
        queues = said.queues if said else []
        return {
            "role": "origin",
            "id": self._id,
            "outstanding": claims.outstanding(self._journal),
            "results_waiting": said.results if said else 0,
            "needed_workers": self._needed_workers(),
            "last_answer_seconds": self._fleet.last_answer_seconds,
            "misread": self._fleet.misread,
            "other_bucket": bool(other_bucket := self._fleet.other_bucket),
            "refused": other_bucket,
            "error": trouble.text if trouble else "",
            "remedy": trouble.remedy if trouble else "",
            "is_schema_missing": bool(trouble and trouble.is_schema),
            "outdated": said.outdated if said else "",
            "queues": [
                {
                    "name": one.name,
                    "length": one.length,
                    "oldest_seconds": None if one.oldest_seconds is None else round(one.oldest_seconds, 1),
                    "taken": one.taken,
                }
                for one in queues
            ],
            "node_count": nodes,
        }

    def _needed_workers(self) -> int:
        rendering = statistics.stages(self._journal)["render"]
        seconds = rendering.sum / rendering.count if rendering.count else USUAL_SECONDS
        waiting = figures.states(self._journal)["fetched"]
        target, own = self._options["target_seconds"], self._options["workers"]
        return limits.needed_workers(waiting, seconds, target, own)
