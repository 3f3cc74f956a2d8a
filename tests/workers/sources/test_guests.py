"""workers/sources/guests.py: what a node has in hand is forgotten whole, wherever it is killed meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ipc.intake import take_handed_over
from ipc.jobs import Job
from ipc.journal.machines import taken
from ipc.machines.receipt import Receipt
from ipc.posts import LIVE, Channel, Photo, Post
from tests.instance import HOME
from tests.workers.desk import CHANNEL, Desk
from workers import connection
from workers.publishing.spool_sweep import SpoolSweep
from workers.sources import guests

ORIGIN = "00ff00ff00ff"

KILLED = """
import os, signal, sys
from pathlib import Path
from ipc.files.spool import Spool
from tests.workers.desk import Desk
from workers.sources import guests
desk = Desk(Path(sys.argv[1]))
Spool.remove = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
guests.forget_all(desk.journal, desk.spool)
"""


def host(desk: Desk, number: int) -> Job:
    """Have that message taken of an origin, with its original in the spool."""
    photo = Photo(
        1,
        f"queue:{number}",
        {"object": "wire/a", "sha256": "5a", "bytes": 9},
        source="queue",
        bytes=9,
        width=None,
        height=None,
        mime=None,
        sha256="5a",
    )
    post = Post(CHANNEL, number, 1_738_404_000, None, None, "", photo)
    key = f"{ORIGIN}:{CHANNEL}:{number}:1:{number}"

    def note(job: Job) -> None:
        taken.put(desk.journal, job, ORIGIN, Receipt("pd_live_v1", number, 1, key), {}, 1.0)

    assert take_handed_over(desk.journal, Channel(CHANNEL, "News", None), post, LIVE, 1.0, note)
    job = desk.of(number)
    desk.spool.write_original(job.id, job.generation, Path.touch)
    return job


@pytest.mark.parametrize("role", ["all", "origin"])
def test_a_machine_that_was_a_node_forgets_its_guests_and_keeps_its_own(desk: Desk, role: str) -> None:
    """Their originals are not fetched here, nor their leases extended, so others get them."""
    own = desk.fetch(1)
    host(desk, 2)
    host(desk, 3)
    for _ in range(2):
        connection._start(desk.context(machines={"role": role}))
        assert taken.in_hand(desk.journal) == [] and desk.known(2) is None and desk.known(3) is None
        assert desk.of(1) == own and desk.spooled() == {f"{own.id}.1/original"}


def test_a_node_keeps_its_guests_over_a_start(desk: Desk) -> None:
    job = host(desk, 2)
    connection._start(desk.context(machines={"role": "node"}))
    assert [one.job for one in taken.in_hand(desk.journal)] == [job.id]
    assert desk.spooled() == {f"{job.id}.1/original"}


def test_what_a_kill_leaves_in_the_spool_is_swept_and_no_other_job_finds_it(desk: Desk) -> None:
    own, job = desk.fetch(1), host(desk, 2)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(desk.state_dir)], cwd=HOME, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert taken.in_hand(desk.journal) == [], "the journal speaks of no file that may be gone"
    assert desk.spooled() == {f"{own.id}.1/original", f"{job.id}.1/original"}
    later = host(desk, 3)
    assert later.id > job.id
    SpoolSweep(desk.spool, desk.journal).go_on()
    assert desk.spooled() == {f"{own.id}.1/original", f"{later.id}.1/original"}


def test_only_what_it_applied_to_loses_its_files(desk: Desk) -> None:
    job = host(desk, 2)
    assert guests.forget(desk.journal, desk.spool, "dead", [job.id, 99]) == []
    assert desk.spooled() == {f"{job.id}.1/original"}
