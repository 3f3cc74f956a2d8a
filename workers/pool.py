"""The pool's router: what it does when a hint, an answer or an exit comes, and on each round of its supervisor's loop.

The pool never opens a picture, and never waits for a worker.

    start   takes back what the previous pool had given out
    loop    `dispatcher` gives jobs to idle workers; `verdicts` judges answers and exits; `settlement` records them
    stop    while the tree is stopping, jobs in hand are finished and none is given out
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from ipc.files import workplace
from ipc.files.spool import Spool
from ipc.files.workplace import Workplace
from ipc.jobs import Job
from ipc.journal import Journal, transitions
from ipc.transport.context import Context
from ipc.transport.exits import Cause, Exit
from ipc.transport.messages import ChildState, Ended, JobDone, JobFailed, Message, Ration
from ipc.transport.router import Tree
from workers.rendering.codec_health import CodecHealth
from workers.rendering.dispatch.dispatcher import LOOK_SECONDS, Dispatcher, InHand
from workers.rendering.dispatch.ration import WorkerRation
from workers.rendering.pool_options import PoolOptions
from workers.rendering.verdicts import verdicts
from workers.rendering.verdicts.credit import Credit
from workers.rendering.verdicts.reply_check import is_sound
from workers.rendering.verdicts.results import FalseResult
from workers.rendering.verdicts.settlement import Settlement
from workers.rendering.verdicts.verdicts import GiveBack, Verdict, WaitForCodec, WaitForDisk
from workers.rendering.worker_rows import WorkerRows

log = structlog.get_logger()


class Pool:
    """See `ipc.transport.router.Router`. `clock` is monotonic."""

    def __init__(self, tree: Tree, context: Context, clock: Callable[[], float] = time.monotonic) -> None:
        self._tree = tree
        self._context = context
        self._clock = clock
        self._options = options = PoolOptions.read(context.options)
        journal, spool = Journal.open(context.journal_path), Spool(context.spool_path)
        self._ration = WorkerRation(tree)
        self._settlement = Settlement(journal, spool, context.wake, options.retry)
        self._dispatcher = Dispatcher(tree, journal, spool, self._ration, options, self._settle, clock)
        self._codecs = CodecHealth()
        self._credit = Credit(spool)
        self._rows = WorkerRows()
        self._spool_error = ""
        self._reported = self._facts()
        self._died_of: dict[str, int] = {}
        """The job that each worker had in hand at its last exit."""
        self._answered: set[str] = set()
        """Workers that have answered since their start: their end is put down to a picture, and not to the program."""
        self._looked_at = -math.inf
        workplace.remove_others(spool.root, tree.names())
        self._spool = spool
        released = transitions.release_claims(journal)
        if released:
            log.info("claims.released", jobs=released)

    def on_options(self, options: Mapping[str, Any]) -> None:
        """Set the options that are in force from now on."""
        self._options = self._dispatcher.options = PoolOptions.read(options)
        self._settlement.policy = self._options.retry

    # The loop

    def on_supervisor_message(self, message: Message) -> None:
        """Take a message of the root: a hint that there is a job, or a ration."""
        if isinstance(message, Ration):
            self._ration.limit = message.workers
            self._ration.enforce(self._dispatcher.busy)
        self._dispatcher.give_out()

    def on_start(self, child: str) -> None:
        Workplace(self._spool.root, child).make()  # here, where a full disk is waited for

    def on_ready(self, child: str) -> None:
        self._dispatcher.give_out()

    def on_tick(self) -> None:
        self._context.progress()
        self._dispatcher.end_overdue()
        self._end_overfull()
        self._ration.enforce(self._dispatcher.busy)
        self._dispatcher.poll()
        for worker, facts in self._rows.outdated(self._dispatcher.jobs(), self._clock()):
            self.on_state(worker, facts)

    def _end_overfull(self) -> None:
        """End each worker, busy or not, that fills the disk with what no picture needs."""
        if self._clock() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = self._clock()
        for worker in self._tree.names():
            if self._tree.is_ready(worker) and Workplace(self._spool.root, worker).is_overfull():
                log.error("worker.overfull", worker=worker, job=self._dispatcher.jobs().get(worker))
                self._tree.kill_for_protocol_error(worker)

    def is_busy(self) -> bool:
        return bool(self._dispatcher.busy)

    # Answers

    def on_message(self, child: str, message: Message) -> None:
        if not isinstance(message, JobDone | JobFailed):
            return
        hand = self._dispatcher.in_hand(child)
        if hand is None or (hand.job.id, hand.job.generation) != (message.job_id, message.generation):
            return
        if not is_sound(message):
            self._on_false_answer(child, hand.job, "a field holds what it can't hold")
            return
        try:
            verdict = None if isinstance(message, JobFailed) else self._on_done(child, hand, message)
        except FalseResult as false:
            self._on_false_answer(child, hand.job, str(false))
            return
        self._dispatcher.put_down(child)
        self._answered.add(child)
        if isinstance(message, JobFailed):
            self._on_failed(child, hand, message)
        elif verdict:
            self._settle(hand.job, verdict)
        fits = self._tree.set_cap(child, self._options.cap_bytes)
        if not fits or 0 < self._options.soft_cap_bytes < message.rss_bytes:
            log.info("worker.replaced", worker=child, rss_bytes=message.rss_bytes)
            self._tree.recycle(child)
        self._dispatcher.give_out()

    def _on_false_answer(self, worker: str, job: Job, why: str) -> None:
        log.error("worker.protocol_error", worker=worker, job=job.id, why=why)
        self._tree.kill_for_protocol_error(worker)  # its exit is the job's strike

    def _on_done(self, worker: str, hand: InHand, done: JobDone) -> Verdict | None:
        """Take what the worker has made; a verdict where the disk has kept it from that."""
        try:
            self._settlement.record_rendered(worker, done, self._dispatcher.seconds(hand))
        except OSError as error:
            return verdicts.of_lending(error)
        self._codecs.rendered(worker, done)
        self._spool_error = ""
        self._report()
        return None

    def _on_failed(self, worker: str, hand: InHand, failed: JobFailed) -> None:
        is_broken = failed.verdict == "broken"
        is_spoilt = is_broken and self._codecs.broke(worker, failed.codec, failed.reason)
        verdict = verdicts.of_failure(
            failed, hand.job, poison_after=self._options.poison_after, is_worker_spoilt=is_spoilt
        )
        self._settle(hand.job, self._credit.honour(hand.job, verdict))
        if is_spoilt:
            self._tree.recycle(worker)

    def _settle(self, job: Job, verdict: Verdict) -> None:
        self._settlement.apply(job, verdict)
        if isinstance(verdict, WaitForDisk):
            self._dispatcher.pause()
            self._spool_error = f"the spool cannot be written: {verdict.reason}"
        if isinstance(verdict, WaitForDisk | WaitForCodec):
            self._report()

    # Exits

    def on_exit(self, child: str, end: Exit) -> bool:
        hand = self._dispatcher.in_hand(child)
        has_answered = child in self._answered
        self._answered.discard(child)
        self._codecs.forget(child)
        if hand is None:
            return not has_answered
        self._dispatcher.put_down(child)
        self._dispatcher.poll_soon()
        self._died_of[child] = hand.job.id
        verdict = verdicts.of_exit(
            end,
            hand.job,
            timing=hand.ended,
            seconds=self._dispatcher.seconds(hand),
            poison_after=self._options.poison_after,
        )
        if end.cause is not Cause.ASKED:
            verdict = self._credit.honour(hand.job, verdict)
        if isinstance(verdict, GiveBack):
            log.info("job.given_back", worker=child, job=hand.job.id, why=end.text)
        else:
            log.error("worker.died", worker=child, job=hand.job.id, cause=end.cause.value, why=end.text)
        self._settlement.apply(hand.job, verdict)
        return False

    # What /status is told

    def on_ended(self, child: str, facts: dict[str, Any]) -> None:
        job_id = self._died_of.pop(child, None)
        self._context.send(Ended(child, facts if job_id is None else {**facts, "job": job_id}))

    def on_state(self, child: str, facts: dict[str, Any]) -> None:
        hand = self._dispatcher.in_hand(child)
        self._rows.sent(child, facts, hand.job.id if hand else None, self._clock())
        if not facts:
            self._context.send(ChildState(child, {}))
            return
        job = {"job": hand.job.id, "job_seconds": round(self._dispatcher.seconds(hand), 1)} if hand else {}
        order = [1 + self._tree.names().index(child)]
        self._context.send(ChildState(child, {**facts, **job, "order": order}))

    def _facts(self) -> dict[str, Any]:
        return {"spool_error": self._spool_error, **self._codecs.facts()}

    def _report(self) -> None:
        """Tell /status of the spool and the codecs, where that has changed."""
        facts = self._facts()
        if facts != self._reported:
            self._reported = facts
            self._context.report("pool", **facts)
