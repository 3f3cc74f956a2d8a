"""ipc.journal between real processes: many at once, and killed in the middle."""

from __future__ import annotations

import itertools
import random
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection, Pipe
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from ipc.intake import take
from ipc.journal import Journal, figures, queue, transitions
from tests.ipc.builders import NOW, STATES, WAITING, again, done, job_values, page, post, processes, recounted, rows
from tests.lengths import length

pytestmark = pytest.mark.tree

PROCESSES = 4
JOBS = 60


def contend(folder: Path, barrier: Barrier, told: Connection) -> None:
    """Try to take every job every step of the way; say how often each step was granted."""
    journal = Journal.open(folder / "journal.db")
    granted = dict.fromkeys(("claim", "fetched", "rendered", "published", "dead"), 0)
    barrier.wait()
    while any(figures.states(journal)[state] for state in WAITING):
        for job in queue.due(journal, "seen", 5):
            granted["fetched"] += len(transitions.record_fetched(journal, [(job, "5ha", 100, None)]))
        for job in queue.due(journal, "fetched", 5):
            if transitions.claim(journal, job, "x"):
                granted["claim"] += 1
                if job.message_id % 10 == 0:
                    granted["dead"] += transitions.bury(journal, job, "why")
                else:
                    granted["rendered"] += transitions.record_rendered(journal, done(job))
        for job in queue.due(journal, "rendered", 5):
            transitions.record_stored(journal, [job])
            granted["published"] += len(transitions.record_published(journal, [again(journal, job)]))
    told.send(granted)


def take_the_same(folder: Path, barrier: Barrier) -> None:
    """Make or open the journal, and take the same pages as everybody else."""
    barrier.wait()
    journal = Journal.open(folder / "journal.db")
    for first in range(1, JOBS, 5):
        take(journal, page(*(post(number) for number in range(first, first + 5)), ignored={"text": 1}), NOW)


def work_for_ever(folder: Path, start: int) -> None:
    """New messages, every step, edits and failures, as fast as it goes."""
    journal = Journal.open(folder / "journal.db")
    for number in itertools.count(start):
        take(journal, page(post(number), post(number + 1)), NOW)
        for job in queue.due(journal, "seen", 2):
            transitions.record_fetched(journal, [(job, "5ha", 100, None)])
        for job in queue.due(journal, "fetched", 2):
            transitions.claim(journal, job, "x")
            transitions.record_rendered(journal, done(job))
        for job in queue.due(journal, "rendered", 2):
            transitions.record_stored(journal, [job])
            transitions.record_published(journal, [again(journal, job)])
        take(journal, page(post(number, caption="edited")), NOW)


def test_several_processes_on_one_new_journal_grant_every_step_once(tmp_path: Path) -> None:
    barrier = get_context("spawn").Barrier(PROCESSES)
    with processes(take_the_same, [(tmp_path, barrier)] * PROCESSES) as started:
        for process in started:
            process.join(60)
        assert [process.exitcode for process in started] == [0] * PROCESSES
    journal = Journal.open(tmp_path / "journal.db")
    assert [row["message_id"] for row in rows(journal)] == list(range(1, JOBS + 1))
    (channel,) = figures.channels(journal)
    assert (channel["cursor"], channel["ignored"]) == (JOBS, {"text": JOBS // 5})

    pipes = [Pipe(duplex=False) for _ in range(PROCESSES)]
    with processes(contend, [(tmp_path, barrier, told) for _, told in pipes]):
        found = [hear(heard) for heard, _ in pipes]
    granted = {step: sum(one[step] for one in found) for step in found[0]}
    dead = JOBS // 10
    assert granted == {"claim": JOBS, "fetched": JOBS, "rendered": JOBS - dead, "published": JOBS - dead, "dead": dead}
    assert figures.states(journal) == recounted(journal)
    assert figures.states(journal) == {**dict.fromkeys(STATES, 0), "published": JOBS - dead, "dead": dead}
    assert figures.totals(journal) == {"processed": JOBS - dead, "failed": dead, "retried": 0}
    journal.close()


def hear(heard: Connection) -> Any:
    assert heard.poll(60), "a process has said nothing for a minute"
    return heard.recv()


@pytest.mark.parametrize("seed", range(length(1, 5)))
def test_a_killed_writer_leaves_a_sound_journal(seed: int, tmp_path: Path) -> None:
    source = random.Random(seed)
    journal = Journal.open(tmp_path / "journal.db")
    for round_number in range(3):
        start = 1 + max((row["message_id"] for row in rows(journal)), default=0)
        before = len(rows(journal))
        with processes(work_for_ever, [(tmp_path, start), (tmp_path, start)]) as started:
            until = time.monotonic() + 60
            while len(rows(journal)) < before + 10:
                assert time.monotonic() < until, "the writers write nothing"
            time.sleep(source.uniform(0, 0.05))
            for process in started:
                process.kill()
                process.join()
        reopened = Journal.open(tmp_path / "journal.db")
        assert reopened.check() == []
        assert figures.states(reopened) == recounted(reopened)
        found = rows(reopened)
        cursor = figures.channels(reopened)[0]["cursor"]
        assert [row["message_id"] for row in found] == list(range(1, cursor + 1)), f"round {round_number}"
        assert figures.totals(reopened)["processed"] == sum(row["published_at"] is not None for row in found)
        reopened.close()
    finish(journal)
    assert figures.states(journal)["published"] == len(rows(journal)) == figures.totals(journal)["processed"]
    journal.close()


def finish(journal: Journal) -> None:
    """What a new tree does with whatever the killed ones have left."""
    transitions.release_claims(journal)
    for job in queue.due(journal, "seen", 10_000):
        assert transitions.record_fetched(journal, [(job, "5ha", 100, None)])
    for job in queue.due(journal, "fetched", 10_000):
        assert transitions.record_rendered(journal, done(job))
    for job in queue.due(journal, "rendered", 10_000):
        assert transitions.record_stored(journal, [job])
        assert transitions.record_published(journal, [job])


def open_one(folder: Path, barrier: Barrier) -> None:
    for number in range(12):
        barrier.wait(30)
        journal = Journal.open(folder / f"{number}.db")
        assert figures.states(journal)["seen"] == 0
        journal.close()


def test_several_processes_make_a_new_journal_at_once(tmp_path: Path) -> None:
    barrier = get_context("spawn").Barrier(PROCESSES)
    with processes(open_one, [(tmp_path, barrier)] * PROCESSES) as started:
        for process in started:
            process.join(60)
        assert [process.exitcode for process in started] == [0] * PROCESSES


def hold_a_transaction(folder: Path, told: Connection) -> None:
    journal = Journal.open(folder / "journal.db")
    with journal.transaction():
        journal.run("add_job", **job_values(1))
        told.send("inside")
        time.sleep(600)


def test_a_transaction_whose_process_is_killed_never_was(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db")
    take(journal, page(high=5), NOW)
    heard, told = Pipe(duplex=False)
    with processes(hold_a_transaction, [(tmp_path, told)]) as (process,):
        assert hear(heard) == "inside"
        process.kill()
        process.join()
        take(journal, page(post(7)), NOW)
    assert [row["message_id"] for row in rows(journal)] == [7]
    assert figures.states(journal) == recounted(journal)
    assert journal.check() == []
    journal.close()
