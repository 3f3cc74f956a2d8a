"""A workplace: an original is lent without a copy, and nothing of a job stays."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ipc.files import workplace
from ipc.files.spool import Spool
from ipc.files.workplace import Workplace


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    made = Workplace(Spool(tmp_path / "spool").root, "image-1")
    made.make()
    return made


@pytest.fixture
def original(tmp_path: Path) -> Path:
    (tmp_path / "original").write_bytes(b"picture")
    return tmp_path / "original"


def test_an_original_is_lent_by_a_link_and_alone(place: Workplace, original: Path) -> None:
    (place.writable / "320.webp").write_bytes(b"of the job before")
    (place.writable / "folder").mkdir()
    (place.readable / "link").symlink_to("/etc")
    place.lend(original)
    assert [path.name for path in place.readable.iterdir()] == ["original"]
    assert (place.readable / "original").samefile(original)
    assert list(place.writable.iterdir()) == []
    place.clear()
    assert list(place.readable.iterdir()) == [] and original.read_bytes() == b"picture"


@pytest.mark.parametrize("code", [errno.EPERM, errno.EXDEV, errno.EMLINK])
def test_without_links_it_is_copied(
    place: Workplace, original: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*words: object, **more: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    place.lend(original)
    assert (place.readable / "original").read_bytes() == b"picture"
    assert not (place.readable / "original").samefile(original)


def test_a_lost_original_and_a_full_disk_are_told(
    place: Workplace, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        place.lend(original.parent / "gone")
    monkeypatch.setattr(os, "link", lambda *words, **more: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        place.lend(original)


def test_an_original_that_is_a_link_is_not_followed(place: Workplace, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    place.lend(tmp_path / "link")
    assert (place.readable / "original").is_symlink(), "the worker may not read where it leads"


def test_workplaces_of_workers_that_are_no_more_go(place: Workplace, tmp_path: Path) -> None:
    other = Workplace(tmp_path / "spool", "image-2")
    other.make()
    workplace.remove_others(tmp_path / "spool", ["image-2"])
    assert not place.readable.exists() and other.readable.exists()
    workplace.remove_others(tmp_path / "nowhere", [])


def test_the_sweep_leaves_workplaces_alone(place: Workplace, original: Path, tmp_path: Path) -> None:
    place.lend(original)
    (tmp_path / "spool" / "7.1").mkdir()
    assert sum(Spool(tmp_path / "spool").sweeping(lambda jobs: {})) == 1
    assert (place.readable / "original").exists()
