"""The pool's router: gives fetched pictures to idle image workers, one each, and judges what comes back.

A job is claimed in the journal before its worker gets it, so a worker's death is laid at the door of the picture that
it had in hand. A picture that kills `poison_after` workers is set aside as a dead letter. Where memory was short, or
may have been, that is no verdict on the picture: its next try is by itself and under twice the cap. Where it was the
machine's memory that was short, or the machine has kept the worker from working, it is nobody's fault: no strike. Nor
is it where a codec of ours is broken: pictures wait until it is mended.

While the machine is short of memory, only some of the workers get jobs, and the others are stopped when they are idle.

The pool never opens a picture, and never waits for a worker.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import structlog
from ipc.journal.transitions import POISON

from ipc import failpoints
from ipc.files.spool import Spool
from ipc.jobs import DeadCause, Job
from ipc.journal import Journal, queue, transitions
from ipc.retry import RetryPolicy
from ipc.transport.context import Context
from ipc.transport.messages import ChildState, Ended, JobDone, JobFailed, Message, Ration
from ipc.transport.messages import Job as Order
from ipc.transport.router import Tree
from workers.rendering.codec_health import CodecHealth
from workers.rendering.deadline import Deadline, Verdict
from workers.rendering.reply_check import is_sound
from workers.rendering.worker_rows import WorkerRows

POLL_SECONDS = 2.0
"""How often the journal is asked for work when nobody hints at any."""

PAUSE_SECONDS = 5.0
"""How long nothing is given out after the spool's disk was found full."""

BROKEN_SECONDS = 600.0
"""How long a picture waits after a codec that it needs was found broken."""

LARGE_CAP = 2
"""A picture that ran out of memory gets this many times the cap, alone."""

ALONE_SECONDS = 15.0
"""How long the others may keep a picture waiting that must be alone, and how long they have between two of those."""

LOOK_SECONDS = 1.0
"""How often the time that a job takes is looked at."""

MAYBE_MEMORY = frozenset(f"killed by {name}" for name in ("SIGSEGV", "SIGABRT", "SIGBUS"))
"""How a codec dies that doesn't look whether it got its memory. The AV1 encoder does so well below the cap, where no
sample shows it: so a crash is always given the benefit of one try alone."""

GAVE_BACK = ("asked", "finished", "terminated", "short of processes")
"""How a worker ends that has nothing against its job."""

Turn = Literal["alone", "others", "nobody"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class InHand:
    """What a worker is at: the job, its time so far, and why it was ended, where it took too long."""

    job: Job
    watch: Deadline
    ended: Verdict | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.watch.began


def turn(*, others_in_hand: bool, others_due: bool, waited_seconds: float, rested_seconds: float) -> Turn:
    """Whose turn it is where a picture waits that must be alone.

    It waits until nobody is at work, but not for ever: after `ALONE_SECONDS` nothing more is given out until then. And
    the others must not wait for ever either, however many such pictures there are: so long since the last one
    (`rested_seconds`) it is their turn.
    """
    may = rested_seconds >= ALONE_SECONDS or not (others_due or others_in_hand)
    if not others_in_hand:
        return "alone" if may else "others"
    return "nobody" if may and waited_seconds >= ALONE_SECONDS else "others"


class Dispatch:
    """Dispatch, time limit and quarantine of the image workers."""

    def __init__(self, tree: Tree, context: Context) -> None:
        self._tree = tree
        self._context = context
        self._journal = Journal.open(context.journal_path)
        self._spool = Spool(context.spool_path)
        self.on_options(context.options)
        self._in_hand: dict[str, InHand] = {}
        self._rows = WorkerRows()
        self._alone_since: float | None = None
        self._alone_ended = -math.inf
        self._limit = 0
        self._resting: set[str] = set()
        self._died_of: dict[str, int] = {}
        self._condemned: set[str] = set()
        self._polled = 0.0
        self._paused_until = 0.0
        self._spool_error = ""
        self._codecs = CodecHealth()
        self._told: dict[str, Any] = {"spool_error": "", **self._codecs.facts()}
        released = transitions.release_claims(self._journal)
        if released:
            log.info("took back what the previous pool had given out", jobs=released)

    def on_options(self, options: Mapping[str, Any]) -> None:
        """These are in force from now on."""
        self._policy = RetryPolicy(**options["retry"])
        self._job_seconds: float = options["job_seconds"]
        self._patience: float = options["patience"]
        self._poison_after: int = options["poison_after"]
        self._cap_bytes: int = options["cap_bytes"]
        self._soft_cap_bytes: int = options["soft_cap_bytes"]

    # Giving out

    def on_order(self, message: Message) -> None:
        """A hint from above: there is something to do; or how many may work."""
        if isinstance(message, Ration):
            self._limit = message.workers
            self._rest_and_wake()
        self._give_out()

    def on_start(self, child: str) -> None:
        pass

    def on_ready(self, child: str) -> None:
        self._give_out()

    def on_tick(self) -> None:
        self._context.progress()
        self._end_overdue()
        self._rest_and_wake()
        if time.monotonic() - self._polled >= POLL_SECONDS:
            self._give_out()
        jobs = {worker: hand.job.id for worker, hand in self._in_hand.items()}
        for worker, facts in self._rows.outdated(jobs, time.monotonic()):
            self.on_state(worker, facts)

    def is_busy(self) -> bool:
        return bool(self._in_hand)

    def _idle(self) -> list[str]:
        """Who can be given a job now."""
        idle = [name for name in self._at_work() if name not in self._in_hand and self._tree.is_ready(name)]
        return idle[: max(0, self._limit - len(self._in_hand))] if self._limit else idle

    def _at_work(self) -> list[str]:
        """Who is to get jobs: the first so many of those that are to run at all."""
        names = self._tree.names()
        return [name for name in names if self._tree.is_wanted(name)][: self._limit] if self._limit else names

    def _rest_and_wake(self) -> None:
        """Have those stop that may not work, when they are idle; have those run again that may."""
        if self._tree.stopping or not (self._limit or self._resting):
            return
        at_work = self._at_work()
        for name in self._tree.names():
            if name not in at_work and name not in self._resting and name not in self._in_hand:
                self._resting.add(name)
                self._tree.rest(name)
            elif name in at_work and name in self._resting:
                self._resting.remove(name)
                self._tree.wake(name)
        self._resting &= set(self._tree.names())

    def _give_out(self) -> None:
        now = self._polled = time.monotonic()
        if now < self._paused_until:
            return
        idle = self._idle()
        if self._tree.stopping or not idle or any(hand.job.alone for hand in self._in_hand.values()):
            return
        due = queue.due(self._journal, "fetched", len(idle))
        alone = next((job for job in due if job.alone), None)
        if alone is None:
            self._alone_since = None
        else:
            due = queue.due(self._journal, "fetched", len(idle), alone=False)
            whose = self._turn(now, others_due=bool(due))
            due = {"alone": [alone], "others": due, "nobody": []}[whose]
        for job in due:
            self._give(idle.pop(), job)

    def _turn(self, now: float, *, others_due: bool) -> Turn:
        if self._alone_since is None:
            self._alone_since = now
        return turn(
            others_in_hand=bool(self._in_hand),
            others_due=others_due,
            waited_seconds=now - self._alone_since,
            rested_seconds=now - self._alone_ended,
        )

    def _give(self, worker: str, job: Job) -> None:
        if not transitions.claim(self._journal, job, worker):
            return
        failpoints.reach("rendered.claimed")
        cap_bytes = self._cap_bytes * LARGE_CAP if job.alone else self._cap_bytes
        folder = str(self._spool.folder(job.id, job.generation))
        self._tree.set_cap(worker, cap_bytes)
        self._in_hand[worker] = InHand(job, Deadline.start(time.monotonic(), self._tree.effort(worker)))
        if not self._tree.send(worker, Order(job.id, job.generation, folder, cap_bytes, self._job_seconds)):
            del self._in_hand[worker]
            transitions.release(self._journal, job)

    def _end_overdue(self) -> None:
        now = time.monotonic()
        for worker, hand in self._in_hand.items():
            if hand.ended or now - hand.watch.looked < min(LOOK_SECONDS, self._job_seconds / 4):
                continue
            watch = hand.watch.look(now, self._tree.effort(worker))
            self._in_hand[worker] = replace(hand, watch=watch)
            verdict = watch.verdict(self._job_seconds, self._patience)
            if verdict is not Verdict.WITHIN:
                self._end(worker, replace(hand, watch=watch, ended=verdict))

    def _end(self, worker: str, hand: InHand) -> None:
        """Its time is over: end the worker."""
        self._in_hand[worker] = hand
        log.error(
            "job takes too long",
            worker=worker,
            job=hand.job.id,
            seconds=round(hand.seconds, 1),
            cpu_seconds=round(hand.watch.cpu_seconds, 1),
            withheld_seconds=round(hand.watch.withheld_seconds, 1),
            verdict=hand.ended and hand.ended.value,
        )
        self._tree.kill_hung(worker)

    # What comes back

    def on_message(self, child: str, message: Message) -> None:
        if not isinstance(message, JobDone | JobFailed):
            return
        hand = self._in_hand.get(child)
        if hand is None or (hand.job.id, hand.job.generation) != (message.job_id, message.generation):
            return
        if not is_sound(message):
            log.error("a worker talks nonsense", worker=child, job=hand.job.id)
            self._tree.kill_mad(child)  # its exit is the job's strike
            return
        self._put_down(child, hand)
        if hand.ended:
            self._condemned.add(child)  # just in time for the job; the worker is being ended already
        if isinstance(message, JobDone):
            self._codecs.rendered(child, message)
            self._rendered(hand, message)
        else:
            self._failed(child, hand.job, message)
        fits = self._tree.set_cap(child, self._cap_bytes)
        if not fits or 0 < self._soft_cap_bytes < message.rss_bytes:
            log.info("replacing a worker that holds on to memory", worker=child, rss_bytes=message.rss_bytes)
            self._tree.recycle(child)
        self._give_out()

    def _put_down(self, child: str, hand: InHand) -> None:
        """The worker has nothing in hand any more."""
        del self._in_hand[child]
        if hand.job.alone:
            self._alone_since, self._alone_ended = None, time.monotonic()

    def _rendered(self, hand: InHand, done: JobDone) -> None:
        self._say("")
        failpoints.reach("rendered.before")
        if not transitions.record_rendered(self._journal, done):
            self._spool.remove(done.job_id, done.generation)  # the message has another picture by now
            return
        failpoints.reach("rendered.after")
        self._context.wake("rendered")
        log.info(
            "rendered",
            job=done.job_id,
            renditions=len(done.renditions),
            seconds=round(hand.seconds, 3),
        )

    def _failed(self, worker: str, job: Job, failed: JobFailed) -> None:
        match failed.verdict:
            case "bad":
                self._doubt(job, failed.reason)
            case "memory":
                self._strike(job, f"out of memory: {failed.reason}", memory=True)
            case "missing":
                log.warning("the original is not in the spool, it is fetched again", job=job.id)
                transitions.send_back(self._journal, job)
                self._context.wake("seen")
            case "machine":
                self._wait_for_the_disk(job, failed.reason)
            case "broken":
                self._wait_for_the_codec(worker, job, failed)
            case _:
                self._try_again(job, failed.reason, self._policy)

    def _doubt(self, job: Job, reason: str) -> None:
        """It may have come damaged: fetched once more, the same bytes are the verdict.

        The original stays until another takes its place: the source may be gone by now.
        """
        self._spool.keep_original_only(job.id, job.generation)  # first: once it is "seen", its fetcher writes here
        if not transitions.doubt(self._journal, job, reason):
            self._bury(job, reason)
            return
        log.warning("the original can't be decoded, it is fetched once more", job=job.id, reason=reason)
        self._context.wake("seen")

    def _wait_for_the_disk(self, job: Job, reason: str) -> None:
        """No picture's fault: it keeps its attempts, and for a while nothing is given out."""
        self._spool.keep_original_only(job.id, job.generation)
        transitions.release(self._journal, job)
        self._paused_until = time.monotonic() + PAUSE_SECONDS
        self._say(f"the spool cannot be written: {reason}")
        log.error("rendering waits", job=job.id, reason=reason)

    def _wait_for_the_codec(self, worker: str, job: Job, failed: JobFailed) -> None:
        """No picture's fault: it keeps its attempts, and waits, unless only this worker has come to be spoilt."""
        if self._codecs.broke(worker, failed.codec, failed.reason):
            self._try_again(job, failed.reason, self._policy)
            self._tree.recycle(worker)
            return
        self._spool.keep_original_only(job.id, job.generation)
        transitions.postpone(self._journal, job, BROKEN_SECONDS, failed.reason)
        self._say(self._spool_error)
        log.error("rendering waits", job=job.id, reason=failed.reason)

    def _say(self, spool_error: str) -> None:
        self._spool_error = spool_error
        facts = {"spool_error": spool_error, **self._codecs.facts()}
        if facts != self._told:
            self._told = facts
            self._context.report("pool", **facts)

    # Deaths

    def on_exit(self, child: str, cause: str, text: str) -> bool:
        hand = self._in_hand.get(child)
        was_condemned = child in self._condemned
        self._condemned.discard(child)
        self._codecs.forget(child)
        if hand is None:
            return not was_condemned
        self._put_down(child, hand)
        self._died_of[child] = hand.job.id
        self._polled = 0.0
        if cause in GAVE_BACK:
            transitions.release(self._journal, hand.job)
            log.info("a worker left before it was done with its job", worker=child, job=hand.job.id, what=text)
            return False
        log.error("worker died of a job", worker=child, job=hand.job.id, cause=cause, what=text)
        at_once = replace(self._policy, base_seconds=0.0)
        match cause:
            # What is somebody else's doing is no evidence against the picture, but not to be repeated for ever either.
            case "signalled" if text.endswith("SIGKILL"):
                self._try_again(hand.job, f"its worker was {text} from outside", at_once)
            case "machine out of memory" | "perhaps out of memory":
                self._try_again(hand.job, f"its worker was lost: {text}", at_once, alone=True)
            case "hung" if hand.ended is Verdict.HINDERED:
                reason = f"its worker was kept from working, for {hand.seconds:.0f} s in all, and was ended"
                self._try_again(hand.job, reason, self._policy)
            case _:
                self._strike(hand.job, f"its worker was lost: {text}", memory=cause == "out of memory", crash=text)
        return False

    def _try_again(self, job: Job, reason: str, policy: RetryPolicy, *, alone: bool = False) -> None:
        """Later, as the policy says, or never."""
        outcome = transitions.fail(self._journal, job, reason, policy, alone=alone)
        self._tidy(job, outcome)
        log.warning("rendering failed", job=job.id, reason=reason, outcome=outcome)

    def _strike(self, job: Job, reason: str, *, memory: bool, crash: str = "") -> None:
        """The job cost a worker its life, or all its memory. Where memory was short, or may have been, it gets its try
        alone, always.
        """
        tries = job.deaths + 1
        maybe_memory = crash in MAYBE_MEMORY
        is_enough = memory or tries >= self._poison_after
        if is_enough and (job.alone or not (memory or maybe_memory)):
            self._bury(job, f"{POISON} after {tries} tries: {reason}", cause="poison")
        elif not transitions.strike(self._journal, job, reason, alone=memory or maybe_memory):
            self._tidy(job, "moved on")
        elif not crash:  # a worker that died of it has its record
            log.warning("rendering failed", job=job.id, reason=reason, outcome="later, alone")

    def _bury(self, job: Job, reason: str, *, cause: DeadCause = "failure") -> None:
        buried = transitions.bury(self._journal, job, reason, cause=cause)
        self._tidy(job, "dead" if buried else "moved on")
        if not buried:
            return
        log.error("dead letter", job=job.id, channel=job.channel_id, message=job.message_id, reason=reason)

    def _tidy(self, job: Job, outcome: str) -> None:
        """Delete from the spool what this outcome leaves behind."""
        if outcome == "dead":
            self._spool.keep_original_only(job.id, job.generation)
        elif outcome == "moved on":
            self._spool.remove(job.id, job.generation)  # the message has another picture by now

    # Telling

    def on_ended(self, child: str, facts: dict[str, Any]) -> None:
        job_id = self._died_of.pop(child, None)
        self._context.send(Ended(child, facts if job_id is None else {**facts, "job": job_id}))

    def on_state(self, child: str, facts: dict[str, Any]) -> None:
        hand = self._in_hand.get(child)
        self._rows.sent(child, facts, hand.job.id if hand else None, time.monotonic())
        if not facts:
            self._context.send(ChildState(child, {}))
            return
        job = {"job": hand.job.id, "job_seconds": round(hand.seconds, 1)} if hand else {}
        order = [1 + self._tree.names().index(child)]
        self._context.send(ChildState(child, {**facts, **job, "order": order}))
