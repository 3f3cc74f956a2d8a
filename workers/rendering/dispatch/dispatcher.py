"""Gives fetched pictures to idle image workers, one each, and ends a worker whose job takes too long.

A job is claimed in the journal before its worker gets it, so that a worker's death is put down to the picture that it
had in hand. Nothing here waits for a worker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import structlog

from ipc import failpoints
from ipc.files.spool import Spool
from ipc.files.workplace import Workplace
from ipc.jobs import Job
from ipc.journal import Journal, queue, transitions
from ipc.journal.machines import taken
from ipc.transport.messages import RenderRequest
from ipc.transport.router import Tree
from workers.rendering.deadline import Deadline, Timing
from workers.rendering.dispatch.alone import Turns
from workers.rendering.dispatch.ration import WorkerRation
from workers.rendering.dispatch.threads import share
from workers.rendering.pool_options import PoolOptions
from workers.rendering.verdicts import verdicts
from workers.rendering.verdicts.verdicts import Verdict

POLL_SECONDS = 2.0
"""How often the journal is asked for work when no hint comes."""

PAUSE_SECONDS = 5.0
"""How long nothing is given out after the spool's disk was found full."""

LOOK_SECONDS = 1.0
"""Interval at which a job's time is checked, in seconds."""

RENDERED_BY = ("limits", "ladder", "strip")
"""The origin's terms that an image worker gets."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class InHand:
    """The job that a worker has, its time so far, and why the worker was ended, where it took too long."""

    job: Job
    deadline: Deadline
    threads: int
    ended: Timing | None = None


class Dispatcher:
    """Which worker has which job in hand. `options` are in force from when they are set; `clock` is monotonic.

    `settle` takes a job that was claimed and can't be given out, and the verdict on it.
    """

    def __init__(
        self,
        tree: Tree,
        journal: Journal,
        spool: Spool,
        ration: WorkerRation,
        options: PoolOptions,
        settle: Callable[[Job, Verdict], None],
        clock: Callable[[], float],
    ) -> None:
        self._tree = tree
        self._journal = journal
        self._spool = spool
        self._ration = ration
        self._settle = settle
        self._clock = clock
        self._in_hand: dict[str, InHand] = {}
        self._turns = Turns()
        self._polled_at = -math.inf
        self._paused_until = -math.inf
        self.options = options

    @property
    def busy(self) -> Collection[str]:
        """The workers that have a job in hand."""
        return self._in_hand.keys()

    def jobs(self) -> dict[str, int]:
        """The id of the job that each of them has."""
        return {worker: hand.job.id for worker, hand in self._in_hand.items()}

    def in_hand(self, worker: str) -> InHand | None:
        return self._in_hand.get(worker)

    def seconds(self, hand: InHand) -> float:
        """For how long the worker has had the job."""
        return self._clock() - hand.deadline.began

    def put_down(self, worker: str) -> None:
        """The worker's job is done, or its worker gone. What of it is still in the workplace goes."""
        hand = self._in_hand.pop(worker)
        Workplace(self._spool.root, worker).clear()
        if hand.job.alone:
            self._turns.ended(self._clock())

    def pause(self) -> None:
        """Give nothing out for `PAUSE_SECONDS`."""
        self._paused_until = self._clock() + PAUSE_SECONDS

    def poll_soon(self) -> None:
        """Have the next `poll` look, however long ago the last one was."""
        self._polled_at = -math.inf

    def poll(self) -> None:
        """Give out what is due, if the last look was `POLL_SECONDS` ago."""
        if self._clock() - self._polled_at >= POLL_SECONDS:
            self.give_out()

    def give_out(self) -> None:
        """Give each idle worker a job that is due, the oldest first."""
        now = self._polled_at = self._clock()
        if now < self._paused_until:
            return
        idle = self._idle()
        if self._tree.stopping or not idle or any(hand.job.alone for hand in self._in_hand.values()):
            return
        due = self._due(now, len(idle))
        in_hand = [hand.threads for hand in self._in_hand.values()]
        threads = share(len(due), idle=len(idle), processors=self.options.processors, in_hand=in_hand)
        for job, count in zip(due, threads, strict=True):
            self._give(idle.pop(), job, count)

    def _idle(self) -> list[str]:
        """The workers that can get a job now."""
        allowed = self._ration.allowed()
        idle = [name for name in allowed if name not in self._in_hand and self._tree.is_ready(name)]
        return idle[: self._ration.left(len(self._in_hand))]

    def _due(self, now: float, limit: int) -> list[Job]:
        """The jobs to give out now, at most `limit`."""
        due = queue.due(self._journal, "fetched", limit)
        alone = next((job for job in due if job.alone), None)
        if alone is None:
            self._turns.none_waits()
            return due
        others = queue.due(self._journal, "fetched", limit, alone=False)
        turn = self._turns.next(now, others_in_hand=bool(self._in_hand), others_due=bool(others))
        return {"alone": [alone], "others": others, "nobody": []}[turn]

    def _give(self, worker: str, job: Job, threads: int) -> None:
        if not transitions.claim(self._journal, job, worker):
            return
        failpoints.reach("rendered.claimed")
        try:
            Workplace(self._spool.root, worker).lend(self._spool.original(job.id, job.generation))
        except OSError as error:
            self._settle(job, verdicts.of_lending(error))
            return
        failpoints.reach("rendered.lent")
        cap_bytes = self.options.cap_bytes * self.options.large_cap if job.alone else self.options.cap_bytes
        threads = 1 if job.alone else threads  # each takes memory, which it has run out of before
        self._tree.set_cap(worker, cap_bytes)
        self._in_hand[worker] = InHand(job, Deadline.start(self._clock(), self._tree.cpu_usage(worker)), threads)
        seconds = self.options.job_seconds
        message = RenderRequest(job.id, job.generation, cap_bytes, seconds, threads, self._terms(job))
        if not self._tree.send(worker, message):
            del self._in_hand[worker]
            transitions.release(self._journal, job)

    def _terms(self, job: Job) -> dict[str, Any]:
        """How another machine wants its picture rendered; empty for one of this machine's."""
        if job.source != "queue":
            return {}
        found = taken.of(self._journal, [job.id])
        return {name: found[job.id].terms[name] for name in RENDERED_BY} if found else {}

    def end_overdue(self) -> None:
        """End each worker whose job takes too long, once."""
        now = self._clock()
        for worker, hand in self._in_hand.items():
            if hand.ended or now - hand.deadline.looked < min(LOOK_SECONDS, self.options.job_seconds / 4):
                continue
            deadline = hand.deadline.look(now, self._tree.cpu_usage(worker))
            timing = deadline.timing(self.options.job_seconds, self.options.deadline_multiplier)
            ended = None if timing is Timing.WITHIN else timing
            self._in_hand[worker] = looked_at = replace(hand, deadline=deadline, ended=ended)
            if ended:
                self._end(worker, looked_at, ended)

    def _end(self, worker: str, hand: InHand, timing: Timing) -> None:
        log.error(
            "job.timed_out",
            worker=worker,
            job=hand.job.id,
            seconds=round(self.seconds(hand), 1),
            cpu_seconds=round(hand.deadline.cpu_seconds, 1),
            withheld_seconds=round(hand.deadline.withheld_seconds, 1),
            timing=timing.value,
        )
        self._tree.kill_hung(worker)
