"""The pool's router: who gets which picture, what an answer leads to, and what a death is put down to."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import structlog

from ipc.files import workplace
from ipc.files.spool import Spool
from ipc.files.workplace import Workplace
from ipc.intake import withdraw
from ipc.jobs import Job
from ipc.journal import figures, lookup, queue, transitions
from ipc.journal.machines import taken
from ipc.machines.receipt import Receipt
from ipc.transport import messages
from ipc.transport.exits import Exit
from ipc.transport.messages import ChildState, JobDone, JobFailed, Leaving, Message, Ration, Starved, Wake
from ipc.transport.router import CpuUsage
from supervisor.processes import policy
from supervisor.processes.policy import Intent, Oom
from tests.workers.desk import CHANNEL, POSTED, Desk, FakeTree
from workers.pool import Pool
from workers.rendering.dispatch.alone import ALONE_SECONDS
from workers.rendering.dispatch.dispatcher import LOOK_SECONDS, PAUSE_SECONDS, POLL_SECONDS
from workers.rendering.verdicts.credit import TIMES
from workers.rendering.verdicts.settlement import BROKEN_SECONDS

MIB = 1024 * 1024
LARGE_CAP = 2
CAP = 600 * MIB
SOFT_CAP = 300 * MIB
PROCESSORS = 4

Opener = Callable[..., tuple[Pool, FakeTree]]


class Clock:
    """The pool's: it stands still until it is put forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_pool(desk: Desk, clock: Clock) -> Opener:
    """Makes a pool with that number of image workers, all of them ready."""

    def open_pool(workers: int = 2, **options: Any) -> tuple[Pool, FakeTree]:
        tree = FakeTree(*(f"image-{number}" for number in range(1, workers + 1)))
        for name in tree.names():
            Workplace(desk.spool.root, name).make()
        settings = {
            "job_seconds": 60.0,
            "deadline_multiplier": 4,
            "poison_after": 2,
            "cap_bytes": CAP,
            "large_cap": LARGE_CAP,
            "soft_cap_bytes": SOFT_CAP,
            "processors": PROCESSORS,
        }
        return Pool(tree, desk.context(**{**settings, **options}), clock), tree

    return open_pool


def orders(tree: FakeTree) -> dict[str, messages.RenderRequest]:
    """The last order that each worker got."""
    return {worker: message for worker, message in tree.sent if isinstance(message, messages.RenderRequest)}


def whose(tree: FakeTree, job: Job) -> str:
    """The worker that was given the job last."""
    requests = [(name, sent) for name, sent in tree.sent if isinstance(sent, messages.RenderRequest)]
    return [name for name, request in requests if request.job_id == job.id][-1]


def failed(job: Job, verdict: str, reason: str = "because", rss_bytes: int = 0) -> JobFailed:
    return JobFailed(job.id, job.generation, rss_bytes, verdict, reason)


def broken(job: Job, codec: str, reason: str) -> JobFailed:
    return JobFailed(job.id, job.generation, 0, "broken", reason, codec)


def replace_worker(pool: Pool, tree: FakeTree, name: str, end: Exit) -> bool:
    """The worker ends so, and another takes its place."""
    tree.ready.discard(name)
    counts = pool.on_exit(name, end)
    tree.ready.add(name)
    pool.on_ready(name)
    return counts


def ended(
    returncode: int, intent: Intent | None = None, words: Starved | Leaving | None = None, *, oom: Oom = Oom.NO
) -> Exit:
    """An end as the supervisor judges it: in its words, not in this test's."""
    return policy.judge(returncode, intent, words, oom)


# Giving out


def test_each_worker_gets_one_job_and_the_oldest_come_first(desk: Desk, open_pool: Opener) -> None:
    jobs = [desk.fetch(number) for number in (1, 2, 3)]
    pool, tree = open_pool(2)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_supervisor_message(Wake("fetched"))
    assert len(tree.sent) == 2
    assert {order.job_id for order in orders(tree).values()} == {jobs[0].id, jobs[1].id}
    assert pool.is_busy()
    order = orders(tree)[whose(tree, jobs[0])]
    lent = Workplace(desk.spool.root, whose(tree, jobs[0])).readable / "original"
    assert lent.samefile(desk.spool.original(jobs[0].id, 1))
    assert (order.generation, order.cap_bytes, tree.caps["image-1"]) == (1, CAP, CAP)


def test_a_picture_of_another_machine_is_rendered_as_that_one_wants_it(desk: Desk, open_pool: Opener) -> None:
    own, other = desk.fetch(1), desk.take(2)
    terms = {"limits": {"max_bytes": 9}, "ladder": {"widths": [90]}, "strip": True}
    with desk.journal.transaction():
        desk.journal.run(
            "relocate",
            id=other.id,
            locator=b"\x80",
            identity="queue:a",
            source="queue",
            kind="photo",
            photo_id=None,
            step=b"",
        )
        taken.put(desk.journal, other, "a", Receipt("q", 1, 1, "a:1:2:1:1"), {**terms, "prefix": "a/"}, 1.0)
    desk.fetch(2)
    pool, tree = open_pool(2)
    pool.on_supervisor_message(Wake("fetched"))
    given = {order.job_id: order.terms for order in orders(tree).values()}
    assert given == {own.id: {}, other.id: terms}


def finish(desk: Desk, pool: Pool, tree: FakeTree, job: Job) -> None:
    """The worker that has the job answers that it is done."""
    worker = whose(tree, job)
    pool.on_message(worker, desk.work(job, worker))


def threads(tree: FakeTree) -> list[int]:
    """Those that each order gave, in their order."""
    return [message.threads for _, message in tree.sent if isinstance(message, messages.RenderRequest)]


def test_a_picture_alone_gets_the_threads_of_idle_workers(desk: Desk, open_pool: Opener) -> None:
    first = desk.fetch(1)
    pool, tree = open_pool(4)
    pool.on_supervisor_message(Wake("fetched"))
    assert threads(tree) == [4]
    for number in (2, 3):
        desk.fetch(number)
    pool.on_supervisor_message(Wake("fetched"))
    assert threads(tree) == [4, 1, 1], "they are lent already"
    finish(desk, pool, tree, first)
    desk.fetch(4)
    pool.on_supervisor_message(Wake("fetched"))
    assert threads(tree) == [4, 1, 1, 2], "and given back with the answer"


def test_with_a_full_queue_each_picture_has_one_thread(desk: Desk, open_pool: Opener) -> None:
    jobs = [desk.fetch(number) for number in range(1, 6)]
    pool, tree = open_pool(2)
    pool.on_supervisor_message(Wake("fetched"))
    for job in jobs[:3]:
        finish(desk, pool, tree, job)
    assert threads(tree) == [1, 1, 1, 1, 1]
    finish(desk, pool, tree, jobs[3])
    desk.fetch(6)
    finish(desk, pool, tree, jobs[4])
    assert threads(tree) == [1, 1, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("workers", "processors", "limit", "expected"),
    [(1, 4, 0, 1), (4, 2, 0, 2), (4, 4, 2, 2), (4, 4, 1, 1), (8, 1, 0, 1)],
    ids=["one worker", "fewer processors", "memory is short", "memory is very short", "one processor"],
)
def test_threads_are_bounded(
    desk: Desk, open_pool: Opener, workers: int, processors: int, limit: int, expected: int
) -> None:
    desk.fetch(1)
    pool, tree = open_pool(workers, processors=processors)
    pool.on_supervisor_message(Ration(limit, intake=True))
    assert threads(tree) == [expected]


def test_what_ran_out_of_memory_gets_one_thread(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(4)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message(whose(tree, job), failed(job, "memory"))
    assert threads(tree) == [4, 1]


def test_a_job_is_claimed_before_its_worker_hears_of_it(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1)
    claims = []

    def send(name: str, message: Message) -> bool:
        claims.append(desk.of(1).claimed_by)
        return True

    tree.send = send  # type: ignore[method-assign]
    pool.on_ready("image-1")
    assert claims == ["image-1"]
    assert queue.due(desk.journal, "fetched", 9) == [], job


def test_a_worker_that_becomes_ready_gets_a_job(desk: Desk, open_pool: Opener) -> None:
    desk.fetch(1)
    pool, tree = open_pool(1)
    tree.ready.clear()
    pool.on_supervisor_message(Wake("fetched"))
    assert not tree.sent
    assert desk.of(1).claimed_by is None
    tree.ready.add("image-1")
    pool.on_ready("image-1")
    assert len(tree.sent) == 1


def test_without_a_hint_the_journal_is_polled(desk: Desk, open_pool: Opener, clock: Clock) -> None:
    pool, tree = open_pool(1)
    pool.on_tick()
    desk.fetch(1)
    clock.advance(POLL_SECONDS - 0.1)
    pool.on_tick()
    assert not tree.sent  # not at every tick
    clock.advance(0.1)
    pool.on_tick()
    assert len(tree.sent) == 1


def test_a_full_inbox_gives_the_job_back(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1)
    tree.full.add("image-1")
    pool.on_supervisor_message(Wake("fetched"))
    assert not pool.is_busy()
    assert desk.of(1) == job
    tree.full.clear()
    pool.on_supervisor_message(Wake("fetched"))
    assert len(tree.sent) == 1


def test_a_job_that_has_moved_on_is_not_given_out(desk: Desk, open_pool: Opener) -> None:
    """Its message is deleted while the pool gives out the one before it."""
    first, second = desk.fetch(1), desk.fetch(2)
    pool, tree = open_pool(2)
    sent = []

    def send(name: str, message: Message) -> bool:
        sent.append(message)
        withdraw(desk.journal, CHANNEL, [1, 2], POSTED)
        return True

    tree.send = send  # type: ignore[method-assign]
    pool.on_supervisor_message(Wake("fetched"))
    assert [order.job_id for order in sent if isinstance(order, messages.RenderRequest)] == [first.id], second


def test_new_options_are_in_force_at_once(desk: Desk, open_pool: Opener, clock: Clock) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    settings = {
        "job_seconds": 0.4,
        "deadline_multiplier": 4,
        "poison_after": 1,
        "cap_bytes": 2 * CAP,
        "large_cap": LARGE_CAP,
        "soft_cap_bytes": 0,
        "processors": PROCESSORS,
    }
    pool.on_options({**settings, "retry": {"max_attempts": 0, "base_seconds": 0.0}})
    clock.advance(0.5)
    pool.on_tick()
    assert tree.killed == ["image-1"], "also within a second"
    assert not replace_worker(pool, tree, "image-1", ended(-9, Intent.STOP))
    assert orders(tree)["image-1"].cap_bytes == 2 * CAP
    pool.on_message("image-1", failed(job, "passing"))
    assert desk.of(1).state == "dead"


def test_while_draining_nothing_is_given_out(desk: Desk, open_pool: Opener) -> None:
    first, second = desk.fetch(1), desk.fetch(2)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    tree.stopping = True
    pool.on_message("image-1", desk.work(first))
    pool.on_tick()
    pool.on_ready("image-1")
    assert [message.job_id for _, message in tree.sent if isinstance(message, messages.RenderRequest)] == [first.id]
    assert desk.of(1).state == "rendered"  # the work in hand is finished
    assert desk.of(2) == second
    assert not pool.is_busy()


def test_a_new_pool_takes_back_what_its_predecessor_had_given_out(desk: Desk, open_pool: Opener) -> None:
    desk.fetch(1)
    killed, _ = open_pool(1)
    killed.on_supervisor_message(Wake("fetched"))
    assert desk.of(1).claimed_by == "image-1"
    pool, tree = open_pool(1)
    assert desk.of(1).claimed_by is None
    pool.on_ready("image-1")
    assert len(tree.sent) == 1
    assert (desk.of(1).attempts, desk.of(1).deaths) == (0, 0)


# Answers


def test_what_is_rendered_is_recorded_and_told(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    second = desk.fetch(2)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", desk.work(job))
    now = desk.of(1)
    assert (now.state, now.mime, now.extension, now.width, now.height) == ("rendered", "image/jpeg", "jpg", 640, 400)
    assert [(one.width, one.format) for one in now.renditions] == [(320, "webp"), (320, "avif"), (640, "webp")]
    assert now.claimed_by is None
    assert desk.wakes() == ["rendered"]
    assert orders(tree)["image-1"].job_id == second.id  # and the worker goes on at once


@pytest.mark.parametrize("verdict", ["done", "bad", "memory", "missing", "passing"])
def test_an_answer_about_a_message_that_is_gone(desk: Desk, open_pool: Opener, verdict: str) -> None:
    job = desk.fetch(1)
    pool, _ = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    done = desk.work(job)
    assert withdraw(desk.journal, CHANNEL, [1], POSTED) == [1]
    gone = desk.of(1)
    pool.on_message("image-1", done if verdict == "done" else failed(job, verdict))
    assert desk.of(1) == gone
    sum(desk.spool.sweeping(partial(lookup.unfinished, desk.journal)))
    assert not desk.spooled()
    assert figures.totals(desk.journal) == {"processed": 0, "failed": 0, "retried": 0}
    assert not pool.is_busy()


def test_a_worker_that_dies_of_a_message_that_is_gone(desk: Desk, open_pool: Opener) -> None:
    desk.fetch(1)
    pool, tree = open_pool(1, poison_after=1)
    pool.on_supervisor_message(Wake("fetched"))
    withdraw(desk.journal, CHANNEL, [1], POSTED)
    gone = desk.of(1)
    assert not replace_worker(pool, tree, "image-1", ended(-signal.SIGSEGV))
    assert desk.of(1) == gone
    assert len(tree.sent) == 1
    assert not desk.spooled()


@pytest.mark.parametrize("verdict", ["done", "bad"])
def test_an_answer_about_a_picture_that_is_no_longer_wanted(desk: Desk, open_pool: Opener, verdict: str) -> None:
    old = desk.fetch(1)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    done = desk.work(old)
    new = desk.take(1, picture="b", edited_at=desk.of(1).posted_at + 5)
    assert new.generation == 2
    pool.on_message("image-1", done if verdict == "done" else failed(old, verdict))
    assert desk.of(1) == new
    assert not desk.spooled()
    assert not desk.spool.folder(old.id, 1).exists()
    assert figures.totals(desk.journal)["failed"] == 0
    assert not pool.is_busy()
    assert tree.ready == {"image-1"}


def test_a_bad_picture_is_fetched_once_more(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1, b"damaged on its way")
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    desk.work(job)
    pool.on_message("image-1", failed(job, "bad", "truncated"))
    now = desk.of(1)
    assert (now.state, now.doubted, now.reason, now.claimed_by) == ("seen", job.sha256, "truncated", None)
    assert desk.wakes() == ["seen"]
    assert desk.spooled() == {f"{job.id}.1/original"}, "until another takes its place: the source may be gone"
    assert not pool.is_busy()

    whole = desk.fetch(1, b"\xff\xd8\xff, whole")
    pool.on_supervisor_message(Wake("fetched"))
    assert len(tree.sent) == 2
    pool.on_message("image-1", desk.work(whole))
    assert (desk.of(1).state, desk.of(1).sha256) == ("rendered", whole.sha256)
    assert figures.totals(desk.journal) == {"processed": 0, "failed": 0, "retried": 1}


def test_a_bad_picture_is_dead_when_it_comes_again_and_keeps_its_original(desk: Desk, open_pool: Opener) -> None:
    pool, tree = open_pool(1)
    for data in (b"damaged", b"damaged otherwise", b"damaged otherwise"):
        assert desk.take(1).state == "seen"
        job = desk.fetch(1, data)
        pool.on_supervisor_message(Wake("fetched"))
        desk.work(job)
        pool.on_message("image-1", failed(job, "bad", "truncated"))
    now = desk.of(1)
    assert (now.state, now.dead_state, now.reason, now.claimed_by) == ("dead", "fetched", "truncated", None)
    assert desk.spooled() == {f"{job.id}.1/original"}
    assert desk.wakes() == ["seen", "seen"]
    assert len(tree.sent) == 3
    assert figures.totals(desk.journal) == {"processed": 0, "failed": 1, "retried": 2}


def test_a_bad_picture_whose_source_is_gone_keeps_its_original(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1, b"damaged")
    pool, _ = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", failed(job, "bad", "truncated"))
    assert transitions.bury(desk.journal, desk.of(1), "no such file")
    sum(desk.spool.sweeping(partial(lookup.unfinished, desk.journal)))
    assert desk.spooled() == {f"{job.id}.1/original"}


def test_what_is_fetched_once_more_is_not_deleted_under_its_fetcher(
    desk: Desk, open_pool: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is another process: from when the job is "seen", the folder is for it to write in."""
    job = desk.fetch(1, b"damaged")
    pool, _ = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    states = []
    keep_original_only = Spool.keep_original_only

    def keep(spool: Spool, job_id: int, generation: int) -> None:
        states.append(desk.of(1).state)
        keep_original_only(spool, job_id, generation)

    monkeypatch.setattr(Spool, "keep_original_only", keep)
    monkeypatch.setattr(Spool, "remove", keep)
    pool.on_message("image-1", failed(job, "bad", "truncated"))
    assert desk.of(1).state == "seen"
    assert states == ["fetched"]


def test_a_missing_original_is_fetched_again(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, _ = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    desk.spool.original(job.id, 1).unlink()
    pool.on_message("image-1", failed(job, "missing"))
    assert (desk.of(1).state, desk.of(1).claimed_by, desk.of(1).attempts) == ("seen", None, 0)
    assert desk.wakes() == ["seen"]


def test_a_passing_failure_is_tried_later_and_in_the_end_dead(desk: Desk, open_pool: Opener) -> None:
    pool, _ = open_pool(1, retry={"max_attempts": 1, "base_seconds": 0.0})
    job = desk.fetch(1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", failed(job, "passing", "OSError: disk full"))
    assert (desk.of(1).state, desk.of(1).attempts, desk.of(1).reason) == ("fetched", 1, "OSError: disk full")
    assert pool.is_busy()  # with no pause to wait for, it is given out again
    pool.on_message("image-1", failed(job, "passing", "OSError: disk full"))
    assert desk.of(1).state == "dead"
    assert "OSError: disk full (after 2 attempts)" in str(desk.of(1).reason)


def test_with_a_broken_codec_pictures_wait_and_are_none_the_worse(desk: Desk, open_pool: Opener) -> None:
    """After a broken upgrade, say: every picture fails, and none is fetched again, blamed or dead."""
    pool, tree = open_pool(1, retry={"max_attempts": 0, "base_seconds": 0.0})
    jobs = [desk.fetch(number) for number in (1, 2)]
    for job in jobs:
        pool.on_supervisor_message(Wake("fetched"))
        desk.work(job)
        pool.on_message("image-1", broken(job, "WebP encoder", "our WebP encoder failed"))
        now = desk.of(job.message_id)
        assert (now.state, now.attempts, now.deaths, now.doubted) == ("fetched", 0, 0, None)
        assert (now.reason, now.claimed_by) == ("our WebP encoder failed", None)
        assert BROKEN_SECONDS - 60 < now.next_at - time.time() <= BROKEN_SECONDS
    assert len(tree.sent) == 2 and not pool.is_busy() and not tree.recycled
    assert desk.spooled() == {f"{job.id}.1/original" for job in jobs}
    facts = {"spool_error": "", "broken_codecs": {"WebP encoder": "our WebP encoder failed"}, "encoder_fallback": ""}
    assert desk.reported() == facts

    whole = desk.fetch(3)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", desk.work(whole))
    assert desk.reported()["broken_codecs"] == {}
    assert figures.totals(desk.journal)["retried"] == 0


def test_a_codec_that_fails_where_it_had_worked_costs_the_worker_and_a_try(desk: Desk, open_pool: Opener) -> None:
    """The picture before, or this one, may have spoilt the process: in a fresh one it would show."""
    pool, tree = open_pool(1)
    good, bad = desk.fetch(1), desk.fetch(2)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", desk.work(good))
    pool.on_message("image-1", broken(bad, "JPEG decoder", "our JPEG decoder failed"))
    assert (desk.of(2).state, desk.of(2).attempts, tree.recycled) == ("fetched", 1, ["image-1"])
    assert "broken_codecs" not in desk.reported()

    pool.on_exit("image-1", ended(0))
    tree.ready.add("image-1")
    other = desk.fetch(3)
    pool.on_ready("image-1")
    pool.on_message("image-1", broken(other, "JPEG decoder", "our JPEG decoder failed"))
    assert (desk.of(3).attempts, tree.recycled) == (0, ["image-1"])
    assert desk.reported()["broken_codecs"] == {"JPEG decoder": "our JPEG decoder failed"}


def test_fallbacks_are_counted_and_told_when_they_are_many(desk: Desk, open_pool: Opener) -> None:
    pool, _ = open_pool(1)
    for number in (1, 2, 3):
        assert not desk.reported()
        job = desk.fetch(number)
        pool.on_supervisor_message(Wake("fetched"))
        done = replace(desk.work(job), fallbacks=1, fallback_reason="SVT-AV1: not there")
        pool.on_message("image-1", done)
    assert figures.totals(desk.journal)["encoder_fallbacks"] == 3
    assert desk.reported()["encoder_fallback"] == "SVT-AV1: not there"
    for number in range(4, 8):
        job = desk.fetch(number)
        pool.on_supervisor_message(Wake("fetched"))
        pool.on_message("image-1", desk.work(job))
    assert desk.reported()["encoder_fallback"] == ""
    assert figures.totals(desk.journal)["encoder_fallbacks"] == 3


def test_a_pause_is_kept(desk: Desk, open_pool: Opener) -> None:
    pool, tree = open_pool(1)
    job = desk.fetch(1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", failed(job, "passing"))
    pool.on_supervisor_message(Wake("fetched"))
    assert len(tree.sent) == 1
    assert figures.waiting_for_retry(desk.journal)[0] == 1


# Memory


def test_out_of_memory_is_tried_alone_under_a_larger_cap(desk: Desk, open_pool: Opener) -> None:
    large, other = desk.fetch(1), desk.fetch(2)
    pool, tree = open_pool(2)
    pool.on_supervisor_message(Wake("fetched"))
    first, second = whose(tree, large), whose(tree, other)

    with structlog.testing.capture_logs() as logged:
        pool.on_message(first, failed(large, "memory", "12 MP"))
    assert [(record["event"], record["job"], record["outcome"]) for record in logged] == [
        ("rendering.failed", large.id, "later, alone")
    ]
    assert (desk.of(1).alone, desk.of(1).deaths, desk.of(1).claimed_by) == (True, 1, None)
    assert len(tree.sent) == 2  # its turn comes when the other worker has finished

    pool.on_message(second, desk.work(other, second))
    assert len(tree.sent) == 3
    worker = whose(tree, large)
    assert orders(tree)[worker].cap_bytes == tree.caps[worker] == LARGE_CAP * CAP

    third = desk.fetch(3)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_ready("image-1")
    pool.on_tick()
    assert len(tree.sent) == 3  # nobody else is at work meanwhile

    pool.on_message(worker, desk.work(large, worker))
    assert desk.of(1).state == "rendered"
    assert len(tree.sent) == 4
    assert orders(tree)[whose(tree, third)].cap_bytes == CAP
    assert tree.caps == {"image-1": CAP, "image-2": CAP}


def test_the_others_go_on_while_a_picture_waits_to_be_alone_but_not_for_ever(
    desk: Desk, open_pool: Opener, clock: Clock
) -> None:
    jobs = [desk.fetch(number) for number in range(1, 6)]
    pool, tree = open_pool(2)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message(whose(tree, jobs[0]), failed(jobs[0], "memory", "12 MP"))
    assert orders(tree)[whose(tree, jobs[2])].job_id == jobs[2].id, "the worker goes on with another at once"
    pool.on_message(whose(tree, jobs[1]), desk.work(jobs[1], whose(tree, jobs[1])))
    assert len(tree.sent) == 4

    clock.advance(ALONE_SECONDS)  # it has waited long enough
    pool.on_message(whose(tree, jobs[2]), desk.work(jobs[2], whose(tree, jobs[2])))
    assert len(tree.sent) == 4, "nothing more is given out"
    pool.on_message(whose(tree, jobs[3]), desk.work(jobs[3], whose(tree, jobs[3])))
    assert orders(tree)[whose(tree, jobs[0])].cap_bytes == LARGE_CAP * CAP
    assert len(tree.sent) == 5


def test_many_that_must_be_alone_do_not_keep_the_others_waiting(desk: Desk, open_pool: Opener) -> None:
    """However long the row of them at the head of the queue is."""
    jobs = [desk.fetch(number) for number in range(1, 7)]
    for job in jobs[:5]:
        assert transitions.strike(desk.journal, job, "memory", alone=True)
    pool, tree = open_pool(2)
    pool.on_supervisor_message(Wake("fetched"))
    assert [worker for worker in tree.names() if worker in orders(tree)] == [whose(tree, jobs[0])]
    pool.on_message(whose(tree, jobs[0]), desk.work(jobs[0], whose(tree, jobs[0])))
    assert orders(tree)[whose(tree, jobs[5])].cap_bytes == CAP, "the last of all: it is not one of them"
    assert len(tree.sent) == 2


def test_after_a_large_picture_the_cap_is_the_usual_one(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", failed(job, "memory"))
    assert tree.caps == {"image-1": LARGE_CAP * CAP}
    pool.on_message("image-1", desk.work(job))
    assert tree.caps == {"image-1": CAP}


@pytest.mark.parametrize("how", ["verdict", "killed"])
def test_out_of_memory_alone_is_dead(desk: Desk, open_pool: Opener, how: str) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    for _ in range(2):
        if how == "verdict":
            pool.on_message("image-1", failed(job, "memory", "12 MP"))
        else:
            assert not replace_worker(pool, tree, "image-1", ended(-9, Intent.MEMORY))
    assert [order.cap_bytes for _, order in tree.sent if isinstance(order, messages.RenderRequest)] == [
        CAP,
        LARGE_CAP * CAP,
    ]
    assert desk.of(1).state == "dead"
    assert "out of memory" in str(desk.of(1).reason)
    assert "after 2 tries" in str(desk.of(1).reason)
    assert desk.spooled() == {f"{job.id}.1/original"}


def test_want_of_memory_gets_its_try_alone_whatever_came_before(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    assert not replace_worker(pool, tree, "image-1", ended(1))  # one death more would be poison
    pool.on_message("image-1", failed(job, "memory"))
    assert (desk.of(1).state, desk.of(1).alone, desk.of(1).deaths) == ("fetched", True, 2)
    assert orders(tree)["image-1"].cap_bytes == LARGE_CAP * CAP
    pool.on_message("image-1", failed(job, "memory"))
    assert desk.of(1).state == "dead"


def test_want_of_memory_is_no_poison(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, _ = open_pool(1, poison_after=1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", failed(job, "memory"))
    assert (desk.of(1).state, desk.of(1).alone) == ("fetched", True)


def test_a_failure_that_is_final_leaves_no_half_made_rendition(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, _ = open_pool(1, retry={"max_attempts": 0, "base_seconds": 1.0})
    pool.on_supervisor_message(Wake("fetched"))
    (desk.spool.folder(job.id, 1) / "320.webp").write_bytes(b"half of it")
    pool.on_message("image-1", failed(job, "passing"))
    assert desk.of(1).state == "dead"
    assert desk.spooled() == {f"{job.id}.1/original"}


def test_a_full_disk_is_no_pictures_fault(desk: Desk, open_pool: Opener, clock: Clock) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    (desk.spool.folder(job.id, 1) / "320.webp").write_bytes(b"half of it")
    pool.on_message("image-1", failed(job, "machine", "No space left on device"))
    assert (desk.of(1).state, desk.of(1).attempts, desk.of(1).deaths, desk.of(1).claimed_by) == ("fetched", 0, 0, None)
    assert desk.spooled() == {f"{job.id}.1/original"}
    assert desk.reported()["spool_error"] == "the spool cannot be written: No space left on device"
    clock.advance(PAUSE_SECONDS - 0.1)
    pool.on_supervisor_message(Wake("fetched"))
    assert len(tree.sent) == 1, "for a while nothing is given out"
    clock.advance(0.1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", desk.work(job))
    assert desk.of(1).state == "rendered"


def test_an_original_that_is_there_is_not_fetched_again_whatever_a_worker_says(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, _ = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", failed(job, "missing"))
    assert (desk.of(1).state, desk.of(1).attempts) == ("fetched", 1)


def test_a_worker_cannot_put_its_picture_off_for_ever(desk: Desk, open_pool: Opener, clock: Clock) -> None:
    """By saying that the disk is full, which it is not."""
    job = desk.fetch(1)
    pool, _ = open_pool(1)
    for _ in range(TIMES):
        pool.on_supervisor_message(Wake("fetched"))
        pool.on_message("image-1", failed(job, "machine", "No space left on device"))
        assert desk.of(1).attempts == 0
        clock.advance(PAUSE_SECONDS)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", failed(job, "machine", "No space left on device"))
    assert (desk.of(1).attempts, desk.of(1).reason) == (
        1,
        "its worker said: No space left on device; but there is room",
    )


@pytest.mark.parametrize("end", [ended(0), ended(0, words=Leaving())], ids=["finished", "terminated"])
def test_a_worker_cannot_leave_its_picture_for_ever(desk: Desk, open_pool: Opener, end: Exit) -> None:
    desk.fetch(1)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    for _ in range(TIMES):
        replace_worker(pool, tree, "image-1", end)
        assert desk.of(1).attempts == 0
    replace_worker(pool, tree, "image-1", end)
    assert (desk.of(1).attempts, desk.of(1).reason) == (1, "its worker left it again and again")


def test_workers_that_are_asked_to_stop_use_up_no_credit(desk: Desk, open_pool: Opener) -> None:
    desk.fetch(1)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    for _ in range(TIMES + 2):
        replace_worker(pool, tree, "image-1", ended(0, Intent.STOP))
    assert desk.of(1).attempts == 0


def test_a_worker_that_holds_on_to_memory_is_replaced(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    desk.fetch(2)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", replace(desk.work(job), rss_bytes=SOFT_CAP + 1))
    assert desk.of(1).state == "rendered"
    assert tree.recycled == ["image-1"]
    assert len(tree.sent) == 1  # not to one that is about to end
    replace_worker(pool, tree, "image-1", ended(0, Intent.STOP))
    assert len(tree.sent) == 2


@pytest.mark.parametrize(("soft_cap", "rss_bytes"), [(SOFT_CAP, SOFT_CAP), (0, 100 * SOFT_CAP)])
def test_a_worker_within_the_soft_cap_stays(desk: Desk, open_pool: Opener, soft_cap: int, rss_bytes: int) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1, soft_cap_bytes=soft_cap)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", failed(job, "bad", rss_bytes=rss_bytes))
    assert not tree.recycled


# Deaths


def test_a_death_without_a_job_counts_against_the_worker(open_pool: Opener) -> None:
    pool, _ = open_pool(1)
    assert pool.on_exit("image-1", ended(1))


def test_a_death_after_an_answer_is_put_down_to_a_picture(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, _ = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", desk.work(job))
    assert not pool.on_exit("image-1", ended(-11))
    assert (desk.of(1).state, desk.of(1).deaths) == ("rendered", 0)
    assert pool.on_exit("image-1", ended(-11)), "the next one had no picture yet"


@pytest.mark.parametrize(
    ("end", "attempts", "deaths", "alone"),
    [
        pytest.param(ended(0, Intent.STOP), 0, 0, False, id="asked to stop"),
        pytest.param(ended(-9, Intent.STOP), 0, 0, False, id="asked to stop, and killed in the end"),
        pytest.param(ended(0), 0, 0, False, id="finished by itself"),
        pytest.param(ended(-signal.SIGKILL), 1, 0, False, id="killed from outside"),
        pytest.param(ended(-signal.SIGSEGV), 0, 1, True, id="SIGSEGV"),
        pytest.param(ended(-signal.SIGABRT), 0, 1, True, id="SIGABRT"),
        pytest.param(ended(-signal.SIGXCPU), 0, 1, False, id="SIGXCPU"),
        pytest.param(ended(1), 0, 1, False, id="crashed"),
        pytest.param(ended(-9, Intent.HUNG), 0, 1, False, id="hung"),
        pytest.param(ended(-9, Intent.MEMORY), 0, 1, True, id="over its cap"),
        pytest.param(ended(-9, oom=Oom.OURS), 0, 1, True, id="killed by the kernel for its cgroup"),
        pytest.param(ended(-9, Intent.STOP, oom=Oom.OURS), 0, 1, True, id="the same while it was stopping"),
        pytest.param(ended(-9, oom=Oom.OTHERS), 1, 0, True, id="killed by the kernel for all of us"),
        pytest.param(ended(-9, oom=Oom.PERHAPS), 1, 0, True, id="killed by the kernel, perhaps"),
        pytest.param(ended(1, words=Starved("no memory left")), 0, 1, True, id="MemoryError"),
    ],
)
def test_what_a_death_is_put_down_to(
    desk: Desk, open_pool: Opener, end: Exit, attempts: int, deaths: int, alone: bool
) -> None:
    desk.fetch(1)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    tree.ready.clear()
    assert pool.on_exit("image-1", (end)) is False
    job = desk.of(1)
    assert (job.state, job.claimed_by) == ("fetched", None)
    assert (job.attempts, job.deaths, job.alone) == (attempts, deaths, alone)
    assert not pool.is_busy()
    tree.ready.add("image-1")
    pool.on_tick()  # at once, with no pause, and no wait for the next poll
    assert len(tree.sent) == 2


def test_kills_from_outside_are_not_repeated_for_ever(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1)  # 2 attempts after the first
    pool.on_supervisor_message(Wake("fetched"))
    for _ in range(3):
        assert not replace_worker(pool, tree, "image-1", ended(-9))
    assert desk.of(1).state == "dead"
    assert "killed by SIGKILL from outside (after 3 attempts)" in str(desk.of(1).reason)
    assert len(tree.sent) == 3
    assert f"{job.id}.1/original" in desk.spooled()


@pytest.mark.parametrize("end", [ended(1), ended(-signal.SIGXCPU), ended(-9, Intent.HUNG)], ids=lambda end: end.text)
@pytest.mark.parametrize("poison_after", [1, 2, 3])
def test_poison_is_set_aside_by_name(desk: Desk, open_pool: Opener, end: Exit, poison_after: int) -> None:
    poison, other = desk.fetch(1), desk.fetch(2)
    pool, tree = open_pool(1, poison_after=poison_after)
    pool.on_supervisor_message(Wake("fetched"))
    for _ in range(poison_after):
        assert orders(tree)["image-1"].job_id == poison.id
        desk.work(poison)
        assert not replace_worker(pool, tree, "image-1", end)
    now = desk.of(1)
    assert (now.state, now.dead_state) == ("dead", "fetched")
    assert now.reason == f"poison, set aside after {poison_after} tries: its worker was lost: {end.text}"
    where = {"job": now.id, "channel": now.channel_id, "message": now.message_id, "file": f"{now.id}.1"}
    assert figures.quarantined(desk.journal, 5) == [{**where, "reason": now.reason}]
    assert desk.spooled() == {f"{poison.id}.1/original", f"{other.id}.1/original"}
    assert orders(tree)["image-1"].job_id == other.id  # the rest go on
    assert figures.totals(desk.journal) == {"processed": 0, "failed": 1, "retried": poison_after - 1}


@pytest.mark.parametrize(("poison_after", "tries"), [(1, 2), (2, 2), (3, 3)])
def test_a_crash_in_a_codec_is_poison_only_when_it_was_tried_alone(
    desk: Desk, open_pool: Opener, poison_after: int, tries: int
) -> None:
    """The encoder may have died for want of memory: under the larger cap, that is no excuse any more."""
    poison = desk.fetch(1)
    pool, tree = open_pool(1, poison_after=poison_after)
    pool.on_supervisor_message(Wake("fetched"))
    for number in range(1, tries + 1):
        assert orders(tree)["image-1"].job_id == poison.id
        assert orders(tree)["image-1"].cap_bytes == (CAP if number == 1 else LARGE_CAP * CAP)
        assert not replace_worker(pool, tree, "image-1", ended(-signal.SIGSEGV))
    reason = f"poison, set aside after {tries} tries: its worker was lost: killed by SIGSEGV"
    assert (desk.of(1).state, desk.of(1).reason) == ("dead", reason)


def test_the_machines_want_of_memory_is_no_pictures_fault(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1, poison_after=1)
    pool.on_supervisor_message(Wake("fetched"))
    for oom in (Oom.PERHAPS, Oom.OTHERS):
        assert not replace_worker(pool, tree, "image-1", ended(-9, oom=oom))
    assert (desk.of(1).state, desk.of(1).alone, desk.of(1).deaths, desk.of(1).attempts) == ("fetched", True, 0, 2)
    assert orders(tree)["image-1"].cap_bytes == LARGE_CAP * CAP
    assert not replace_worker(pool, tree, "image-1", ended(-9, oom=Oom.OTHERS))
    assert desk.of(1).state == "dead", "but it is not repeated for ever"
    assert "no memory left for all of us (after 3 attempts)" in str(desk.of(1).reason), job


def test_a_worker_that_has_more_than_its_usual_cap_is_replaced_and_not_killed(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1, soft_cap_bytes=0)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", failed(job, "memory"))
    tree.holds["image-1"] = CAP + 1
    pool.on_message("image-1", desk.work(job))
    assert tree.recycled == ["image-1"]
    assert tree.caps == {"image-1": LARGE_CAP * CAP}, "until it is gone"


# Time


def test_a_job_that_takes_too_long_is_ended_once(desk: Desk, open_pool: Opener, clock: Clock) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    clock.advance(60.1)
    pool.on_tick()
    clock.advance(60.0)
    pool.on_tick()
    assert tree.killed == ["image-1"]
    assert pool.is_busy()
    assert not pool.on_exit("image-1", ended(-9, Intent.HUNG))
    assert (desk.of(1).deaths, desk.of(1).state) == (1, "fetched"), job


def test_a_job_within_its_time_is_left_alone(desk: Desk, open_pool: Opener, clock: Clock) -> None:
    desk.fetch(1)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    clock.advance(59.9)
    pool.on_tick()
    assert not tree.killed


def test_a_job_that_has_used_up_its_processor_time_is_ended(desk: Desk, open_pool: Opener, clock: Clock) -> None:
    desk.fetch(1)
    pool, tree = open_pool(1)
    tree.cpu_usages["image-1"] = CpuUsage(3.0, 0.0)
    pool.on_supervisor_message(Wake("fetched"))
    clock.advance(30.0)  # of wall time there is plenty left: it has several threads
    tree.cpu_usages["image-1"] = CpuUsage(3.0 + 60.1, 0.0)
    pool.on_tick()
    assert tree.killed == ["image-1"]
    assert not pool.on_exit("image-1", ended(-9, Intent.HUNG))
    assert desk.of(1).deaths == 1


def test_a_job_that_was_kept_from_working_is_no_strike(desk: Desk, open_pool: Opener, clock: Clock) -> None:
    desk.fetch(1)
    pool, tree = open_pool(1)  # with a deadline multiplier of 4
    tree.cpu_usages["image-1"] = CpuUsage(3.0, 0.0)
    pool.on_supervisor_message(Wake("fetched"))
    for seconds in range(1, 242):
        assert not tree.killed, seconds
        clock.advance(1.0)
        tree.cpu_usages["image-1"] = CpuUsage(3.0, float(seconds))
        pool.on_tick()
    assert tree.killed == ["image-1"]
    assert not pool.on_exit("image-1", ended(-9, Intent.HUNG))
    assert (desk.of(1).deaths, desk.of(1).attempts, desk.of(1).alone) == (0, 1, False)
    assert desk.of(1).reason == "its worker was kept from working, for 241 s in all, and was ended"


def test_a_worker_that_answers_while_it_is_being_ended_counts_for_nobody(
    desk: Desk, open_pool: Opener, clock: Clock
) -> None:
    """Its answer came just in time for the job, and its death is the pool's own doing."""
    job = desk.fetch(1)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    clock.advance(61.0)
    pool.on_tick()
    assert tree.killed == ["image-1"]
    pool.on_message("image-1", desk.work(job))
    assert not pool.on_exit("image-1", ended(-9, Intent.HUNG))
    assert (desk.of(1).state, desk.of(1).deaths) == ("rendered", 0)
    assert pool.on_exit("image-1", ended(-9, Intent.HUNG)), "the next one counts again"


# While the machine is short of memory


def test_only_some_workers_get_jobs_while_memory_is_short(desk: Desk, open_pool: Opener) -> None:
    jobs = [desk.fetch(number) for number in range(1, 9)]
    pool, tree = open_pool(4)
    pool.on_supervisor_message(Wake("fetched"))
    assert len(tree.sent) == 4
    pool.on_supervisor_message(Ration(2, False))
    assert not tree.resting, "each may finish what it has in hand"
    pool.on_message("image-4", desk.work(whose_job(tree, jobs, "image-4"), "image-4"))
    pool.on_tick()
    assert tree.resting == ["image-4"]
    pool.on_message("image-1", desk.work(whose_job(tree, jobs, "image-1"), "image-1"))
    assert len(tree.sent) == 4, "two are still at work"
    pool.on_message("image-3", desk.work(whose_job(tree, jobs, "image-3"), "image-3"))
    pool.on_tick()
    assert sorted(tree.resting) == ["image-3", "image-4"]
    assert len(tree.sent) == 5 and tree.sent[-1][0] == "image-1"

    pool.on_supervisor_message(Ration(0, True))
    assert tree.resting == []
    pool.on_ready("image-3")
    assert len(tree.sent) == 7
    pool.on_tick()
    assert not tree.recycled and not tree.killed


def test_a_ration_of_one_is_one_at_a_time(desk: Desk, open_pool: Opener) -> None:
    for number in range(1, 4):
        desk.fetch(number)
    pool, tree = open_pool(2)
    pool.on_supervisor_message(Ration(1, False))
    assert [name for name, _ in tree.sent] == ["image-1"] and tree.resting == ["image-2"]
    pool.on_supervisor_message(Ration(1, False))
    assert tree.resting == ["image-2"], "once"


def test_while_the_whole_stops_nobody_is_stopped_or_started_besides(desk: Desk, open_pool: Opener) -> None:
    pool, tree = open_pool(2)
    pool.on_supervisor_message(Ration(1, False))
    tree.stopping = True
    pool.on_supervisor_message(Ration(0, True))
    pool.on_tick()
    assert tree.resting == ["image-2"]


def whose_job(tree: FakeTree, jobs: list[Job], worker: str) -> Job:
    return next(job for job in jobs if job.id == orders(tree)[worker].job_id)


# What a worker may say, and the pool must stand


@pytest.mark.parametrize("odd", [Wake("fetched"), Wake("?"), messages.Ready(), messages.RenderRequest(1, 1, 0, 0.0)])
def test_odd_messages_change_nothing(desk: Desk, open_pool: Opener, odd: Message) -> None:
    desk.fetch(1)
    pool, _ = open_pool(1)
    pool.on_supervisor_message(odd)
    before = desk.of(1)
    assert before.claimed_by == "image-1"  # from above, any message is a hint
    pool.on_message("image-1", odd)
    assert desk.of(1) == before
    assert pool.is_busy()


def test_an_answer_to_another_order_does_not_lose_the_job(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, _ = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", failed(replace(job, id=job.id + 7), "bad"))
    pool.on_message("image-1", failed(replace(job, generation=9), "bad"))
    pool.on_message("image-2", failed(job, "bad"))
    assert pool.is_busy()
    assert desk.of(1).state == "fetched"
    pool.on_message("image-1", desk.work(job))
    assert desk.of(1).state == "rendered"


def test_nonsense_costs_the_worker_its_life_and_the_picture_a_strike(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", replace(desk.work(job), extension="/../../../journal.db"))
    assert tree.killed == ["image-1"]
    assert desk.of(1).state == "fetched"
    assert not pool.on_exit("image-1", ended(-9, Intent.HUNG))
    assert desk.of(1).deaths == 1


@pytest.mark.parametrize("is_busy", [True, False])
@pytest.mark.parametrize("what", ["files", "bytes"])
def test_a_worker_that_fills_the_disk_is_ended(
    desk: Desk, open_pool: Opener, clock: Clock, monkeypatch: pytest.MonkeyPatch, what: str, is_busy: bool
) -> None:
    monkeypatch.setattr(workplace, "MOST_FILES" if what == "files" else "MOST_BYTES", 9 if what == "files" else 30000)
    pool, tree = open_pool(2)
    if is_busy:
        desk.fetch(1)
        pool.on_supervisor_message(Wake("fetched"))
    out = Workplace(desk.spool.root, "image-1").writable
    for number in range(9):
        (out / str(number)).write_bytes(b"x")
    pool.on_tick()
    assert not tree.killed or what == "bytes"
    (out / "much").write_bytes(bytes(40000))
    clock.advance(LOOK_SECONDS)
    pool.on_tick()
    assert tree.killed == ["image-1"]


# Telling


def test_a_workers_row_of_status_says_what_it_is_at(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(2)
    pool.on_supervisor_message(Wake("fetched"))
    desk.said()
    busy = whose(tree, job)
    idle = next(name for name in tree.names() if name != busy)
    pool.on_state(busy, {"state": "running", "pid": 7})
    pool.on_state(idle, {"state": "running", "pid": 8})
    first, second = (message for message in desk.said() if isinstance(message, ChildState))
    assert first.name == busy
    assert (first.facts["job"], first.facts["pid"]) == (job.id, 7)
    assert first.facts["job_seconds"] >= 0
    assert "job" not in second.facts
    assert {tuple(one.facts["order"]) for one in (first, second)} == {(1,), (2,)}


def rows(desk: Desk) -> list[ChildState]:
    return [message for message in desk.said() if isinstance(message, ChildState)]


def test_a_job_that_is_done_is_in_no_row_any_more(desk: Desk, open_pool: Opener) -> None:
    """However soon it was done after the last row."""
    job = desk.fetch(1)
    pool, _ = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_state("image-1", {"state": "running", "pid": 7})
    pool.on_message("image-1", desk.work(job))
    desk.said()
    for expected in (1, 0):
        pool.on_tick()
        found = rows(desk)
        assert len(found) == expected and all("job" not in row.facts and row.facts["pid"] == 7 for row in found)


def test_a_job_that_has_begun_is_in_the_row_within_a_second(desk: Desk, open_pool: Opener, clock: Clock) -> None:
    job = desk.fetch(1)
    pool, _ = open_pool(1)
    pool.on_state("image-1", {"state": "running", "pid": 7})
    pool.on_supervisor_message(Wake("fetched"))
    desk.said()
    pool.on_tick()
    assert not rows(desk), "many jobs, one row"
    clock.advance(1.0)
    pool.on_tick()
    pool.on_tick()
    (row,) = rows(desk)
    assert row.facts["job"] == job.id


def test_a_worker_that_is_no_more_has_no_row(desk: Desk, open_pool: Opener) -> None:
    desk.fetch(1)
    pool, _ = open_pool(1)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_state("image-1", {"state": "running", "pid": 7})
    pool.on_state("image-1", {})
    pool.on_exit("image-1", ended(0, Intent.STOP))
    desk.said()
    pool.on_tick()
    assert not rows(desk)


def test_a_round_of_the_loop_is_progress(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {
        "job_seconds": 1.0,
        "deadline_multiplier": 4,
        "poison_after": 2,
        "cap_bytes": 0,
        "large_cap": LARGE_CAP,
        "soft_cap_bytes": 0,
        "processors": PROCESSORS,
    }
    context = desk.context(**options)
    pool = Pool(FakeTree("image-1"), context)
    rounds = []
    monkeypatch.setattr(context, "progress", lambda: rounds.append("round"))
    pool.on_tick()
    assert rounds == ["round"]


def test_no_cap_is_no_cap_for_a_large_picture_either(desk: Desk, open_pool: Opener) -> None:
    job = desk.fetch(1)
    pool, tree = open_pool(1, cap_bytes=0)
    pool.on_supervisor_message(Wake("fetched"))
    pool.on_message("image-1", failed(job, "memory"))
    assert [order.cap_bytes for _, order in tree.sent if isinstance(order, messages.RenderRequest)] == [0, 0]
    assert isinstance(desk.work(job), JobDone)


def test_while_memory_is_short_who_may_work_is_chosen_among_those_that_run(desk: Desk, open_pool: Opener) -> None:
    """An operator has stopped the first one: the second is not to rest for it."""
    desk.fetch(1)
    pool, tree = open_pool(2)
    tree.unwanted.add("image-1")
    tree.ready.discard("image-1")
    pool.on_supervisor_message(Ration(1, False))
    pool.on_tick()
    assert "image-2" not in tree.resting
    assert list(orders(tree)) == ["image-2"]
