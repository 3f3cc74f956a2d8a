"""ipc.files.spool: an original is complete or not there; a sweep takes strays and nothing that is needed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from ipc.files.spool import Spool, fsync_folder
from ipc.journal import Journal, lookup, queue, transitions
from tests.ipc.builders import HOME, PYTHON, STATES, open_journal, processes, push, put

WRITE = """
import sys
from pathlib import Path
from ipc import failpoints
from ipc.files.spool import Spool
failpoints.arm(sys.argv[2])
Spool(Path(sys.argv[1])).write_original(1, 1, lambda part: part.write_bytes(b"whole"))
failpoints.reach("fetched.before")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool"


@pytest.fixture
def spool(root: Path) -> Spool:
    return Spool(root)


def write(spool: Spool, job_id: int, generation: int = 1, *more: str) -> Path:
    """A folder with an original, and empty files of the names in `more`."""
    spool.write_original(job_id, generation, lambda part: part.write_bytes(b"whole"))
    for name in more:
        (spool.folder(job_id, generation) / name).touch()
    return spool.folder(job_id, generation)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_the_root_is_made_for_its_owner_alone(spool: Spool, root: Path) -> None:
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE(write(spool, 1).stat().st_mode) == 0o700
    assert Spool(root).original(1, 1).read_bytes() == b"whole"


# --- writing ------------------------------------------------------------------------------------------------


def test_an_original_has_its_name_only_when_it_is_whole(spool: Spool, root: Path) -> None:
    def look(part: Path) -> str:
        part.write_bytes(b"ha")
        assert not spool.original(5, 2).exists()
        part.write_bytes(b"whole")
        return "what it returned"

    assert spool.write_original(5, 2, look) == "what it returned"
    assert names(root) == {"5.2", "5.2/original"}
    assert spool.original(5, 2).read_bytes() == b"whole"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("has_written", [True, False])
def test_a_write_that_fails_leaves_nothing(
    error: type[BaseException], has_written: bool, spool: Spool, root: Path
) -> None:
    def fail(part: Path) -> None:
        if has_written:
            part.write_bytes(b"ha")
        raise error

    with pytest.raises(error):
        spool.write_original(5, 2, fail)
    assert names(root) == set()


def test_a_write_that_fails_leaves_what_was_there(spool: Spool, root: Path) -> None:
    write(spool, 5, 2, "320.webp")

    def fail(part: Path) -> None:
        part.write_bytes(b"ha")
        raise OSError

    with pytest.raises(OSError):
        spool.write_original(5, 2, fail)
    assert names(root) == {"5.2", "5.2/original", "5.2/320.webp"}
    assert spool.original(5, 2).read_bytes() == b"whole"


def test_an_original_is_replaced_whole(spool: Spool, root: Path) -> None:
    write(spool, 5)
    spool.write_original(5, 1, lambda part: part.write_bytes(b"another"))
    assert spool.original(5, 1).read_bytes() == b"another"
    assert names(root) == {"5.1", "5.1/original"}


def test_the_entries_are_durable_before_it_returns(spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order: the name in the folder, then the folder in the spool."""
    synced: list[tuple[str, bool]] = []

    def fsync(fd: int) -> None:
        synced.append((str(Path(f"/proc/self/fd/{fd}").readlink()), spool.original(5, 1).exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write(spool, 5)
    assert synced == [(str(root / "5.1"), True), (str(root), True)]


def test_fsync_folder_of_one_that_is_not_there(root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fsync_folder(root)


@pytest.mark.tree
@pytest.mark.parametrize(
    ("failpoint", "left"), [("fetched.written", {"1.1/original.part"}), ("fetched.before", {"1.1/original"})]
)
def test_a_writer_that_is_killed_leaves_no_half_and_no_hindrance(
    failpoint: str, left: set[str], spool: Spool, root: Path
) -> None:
    command = [*PYTHON, "-c", WRITE, str(root), failpoint]
    killed = subprocess.run(command, env={"PYTHONPATH": str(HOME)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert names(root) == {"1.1"} | left
    write(spool, 1)
    assert names(root) == {"1.1", "1.1/original"}


# --- deleting -----------------------------------------------------------------------------------------------


def test_remove(spool: Spool, root: Path) -> None:
    write(spool, 1, 1, "320.webp", "original.part")
    write(spool, 1, 2)
    spool.remove(1, 1)
    assert names(root) == {"1.2", "1.2/original"}


def test_what_is_not_there_needs_no_removing(spool: Spool, root: Path) -> None:
    spool.remove(1, 1)
    spool.keep_original_only(1, 1)
    assert names(root) == set()


def test_a_dead_letter_keeps_its_original_only(spool: Spool, root: Path) -> None:
    folder = write(spool, 1, 1, "320.webp", "640.avif.part")
    (folder / "a folder").mkdir()
    (folder / "a folder" / "file").touch()
    spool.keep_original_only(1, 1)
    assert names(root) == {"1.1", "1.1/original"}


def test_a_dead_letter_without_its_original_keeps_nothing(spool: Spool, root: Path) -> None:
    write(spool, 1, 1, "320.webp")
    spool.original(1, 1).unlink()
    spool.keep_original_only(1, 1)
    assert names(root) == set()


# --- the sweep ----------------------------------------------------------------------------------------------


def test_the_sweep_takes_what_no_unfinished_job_needs(spool: Spool, root: Path) -> None:
    for job_id, generation in ((1, 1), (1, 2), (2, 1), (3, 1), (4, 1)):
        write(spool, job_id, generation, "320.webp")
    assert sum(spool.sweeping(lambda ids: {(1, 2): "seen", (2, 1): "rendered", (3, 1): "dead", (9, 1): "fetched"})) == 2
    assert names(root) == {
        "1.2",
        "1.2/original",
        "1.2/320.webp",
        "2.1",
        "2.1/original",
        "2.1/320.webp",
        "3.1",
        "3.1/original",
    }


def test_the_sweep_by_the_journal(spool: Spool, root: Path, tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    for number, state in enumerate(STATES, 1):
        write(spool, put(journal, number, state).id, 1, "320.webp")
    write(spool, 99)
    assert sum(spool.sweeping(partial(lookup.unfinished, journal))) == 2
    assert {name for name in names(root) if "/" not in name} == {"1.1", "2.1", "3.1", "5.1"}
    assert names(root / "5.1") == {"original"}
    journal.close()


def test_the_sweep_asks_about_some_folders_at_a_time(spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipc.files.spool.SWEPT_AT_ONCE", 3)
    for number in range(1, 9):
        write(spool, number)
    asked: list[list[int]] = []

    def unfinished(ids: Iterable[int]) -> dict[tuple[int, int], str]:
        asked.append(list(ids))
        return {(number, 1): "dead" for number in asked[-1] if number % 2}

    assert sum(spool.sweeping(unfinished)) == 4
    assert [len(ids) for ids in asked] == [3, 3, 2] and sorted(number for ids in asked for number in ids) == list(
        range(1, 9)
    )
    assert {name for name in names(root) if "/" not in name} == {"1.1", "3.1", "5.1", "7.1"}


@pytest.mark.parametrize(
    "name", ["lost+found", "1", "1.", ".1", "1.1.1", "01.1", "1.01", "0.0", "-1.1", " 1.1", "².1", "١.1", "1.1~", ".x"]
)
@pytest.mark.parametrize("is_folder", [True, False])
def test_foreign_names_are_strays(name: str, is_folder: bool, spool: Spool, root: Path) -> None:
    folder = write(spool, 1)
    stray = root / name
    if is_folder:
        stray.mkdir()
        (stray / "file").touch()
    else:
        stray.touch()
    assert sum(spool.sweeping(lambda ids: {(1, 1): "fetched"})) == 1
    assert names(root) == {"1.1", "1.1/original"}
    assert folder.is_dir()
    assert sum(spool.sweeping(lambda ids: {(1, 1): "fetched"})) == 0


@pytest.mark.parametrize("is_dead", [True, False])
def test_a_link_is_deleted_and_never_followed(is_dead: bool, spool: Spool, root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    place = write(spool, 1) if is_dead else root
    (place / "link").symlink_to(elsewhere)
    sum(spool.sweeping(lambda ids: {(1, 1): "dead"}))
    assert not os.path.lexists(place / "link")
    assert (elsewhere / "precious").exists()


def test_what_cannot_be_deleted_is_not_counted(spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(spool, 1)
    monkeypatch.setattr("shutil.rmtree", lambda path, ignore_errors: None)
    assert sum(spool.sweeping(lambda ids: {})) == 0


@pytest.mark.parametrize("name", ["1.1", "2.1"])
def test_a_needed_name_that_is_no_folder_stops_nothing(name: str, spool: Spool, root: Path) -> None:
    (root / name).touch()
    sum(spool.sweeping(lambda ids: {(1, 1): "dead", (2, 1): "seen"}))
    assert names(root) == {name}


def test_a_folder_that_is_made_during_the_sweep_is_safe(spool: Spool, root: Path) -> None:
    """The sweep lists before it asks: what is made after the listing is asked about later, or not at all."""
    write(spool, 1)
    recorded: dict[tuple[int, int], str] = {}

    def unfinished(ids: Iterable[int]) -> dict[tuple[int, int], str]:
        answer = dict(recorded)
        recorded[2, 1] = "seen"
        write(spool, 2)  # recorded after the answer was read, made before the deletions begin
        return answer

    assert sum(spool.sweeping(unfinished)) == 1
    assert names(root) == {"2.1", "2.1/original"}


def test_a_folder_that_goes_during_the_sweep(spool: Spool, root: Path) -> None:
    write(spool, 1)
    write(spool, 2)

    def unfinished(ids: Iterable[int]) -> dict[tuple[int, int], str]:
        spool.remove(1, 1)
        spool.remove(2, 1)
        return {(2, 1): "dead"}

    sum(spool.sweeping(unfinished))
    assert names(root) == set()


def sweep_for_ever(state_dir: Path) -> None:
    spool, journal = Spool(state_dir / "spool"), Journal.open(state_dir / "journal.db")
    while True:
        sum(spool.sweeping(partial(lookup.unfinished, journal)))


@pytest.mark.tree
def test_a_sweep_never_takes_what_another_process_makes(tmp_path: Path) -> None:
    spool, journal = Spool(tmp_path / "spool"), open_journal(tmp_path)
    with processes(sweep_for_ever, [(tmp_path,)]) as (sweeper,):
        for number in range(1, 200):
            job = put(journal, number)
            write(spool, job.id)
            job = push(journal, job, "fetched")
            (spool.folder(job.id, 1) / "320.webp").touch()
            assert names(spool.folder(job.id, 1)) == {"original", "320.webp"}
            if number % 2:
                oldest = queue.due(journal, "fetched", 1)[0]
                assert transitions.bury(journal, oldest, "why")
                spool.keep_original_only(oldest.id, 1)
        assert sweeper.is_alive()
    sum(spool.sweeping(partial(lookup.unfinished, journal)))
    waiting = {(job.id, 1) for job in queue.due(journal, "fetched", 1000)}
    dead = {(job.id, 1) for job in lookup.dead(journal)}
    assert len(dead) == 100
    assert all(names(spool.folder(*key)) == {"original", "320.webp"} for key in waiting)
    assert all(names(spool.folder(*key)) == {"original"} for key in dead)
    assert len(names(tmp_path / "spool")) == 3 * len(waiting) + 2 * len(dead)
    journal.close()
