"""What state_dir holds is its owner's alone, whichever process makes it; and no link in it is followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ipc import private_files
from ipc.files.spool import Spool
from ipc.journal import Journal, JournalError
from ipc.private_files import IsLink
from supervisor.host import instance_lock
from tests import checking
from workers.publishing.catalog import CatalogFault
from workers.publishing.catalog.embedded import SqliteCatalog
from workers.publishing.catalog.embedded import check as check_catalog
from workers.publishing.storage.files import FileStorage

MAKERS: dict[str, Callable[[Path], object]] = {
    "instance.lock": instance_lock.Lock,
    "journal.db": lambda state_dir: Journal.open(state_dir / "journal.db"),
    "catalog.db": lambda state_dir: SqliteCatalog(state_dir / "catalog.db"),
    "spool": lambda state_dir: Spool(state_dir / "spool"),
}


@pytest.fixture(autouse=True, params=[0o000, 0o077], ids=["umask 000", "umask 077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize("first", MAKERS)
def test_what_is_made_is_its_owners_alone(first: str, tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    private_files.make_state_dir(state_dir, has_media=False)
    assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700
    made = MAKERS[first](state_dir)
    found = modes(state_dir)
    assert {name: mode for name, mode in found.items() if mode & 0o077} == {} and first in found
    if first.endswith(".db"):
        assert f"{first}-wal" in found
    del made


def test_the_storage_leaves_a_way_through_for_a_web_server(tmp_path: Path, umask: int) -> None:
    """And no more than that: it may be the first to make state_dir, from `check`."""
    storage = FileStorage(tmp_path / "a" / "state" / "media")
    (source := tmp_path / "picture").write_bytes(b"x")
    storage.put("ab/cd/320.webp", source, "image/webp")
    expected = {
        "a": 0o755,
        "a/state": 0o711,
        "a/state/media": 0o755,
        "a/state/media/ab/cd": 0o755,
        "a/state/media/ab/cd/320.webp": 0o644,
    }
    for name, mode in expected.items():
        found = stat.S_IMODE((tmp_path / name).stat().st_mode)
        assert found == (mode if name.endswith(".webp") else mode & ~umask), name


@pytest.mark.parametrize("target", ["there", "nowhere"])
@pytest.mark.parametrize("name", MAKERS)
def test_a_link_is_not_followed(name: str, target: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "there").mkdir() if name == "spool" else (elsewhere / "there").write_bytes(b"precious")
    before = sorted(elsewhere.rglob("*"))
    (state_dir := tmp_path / "state").mkdir()
    (state_dir / name).symlink_to(elsewhere / target)
    [said] = private_files.links(state_dir)
    assert said.startswith(f"{state_dir / name} is a symbolic link to {elsewhere / target}") and "rm " in said
    if name == "catalog.db":  # which is tried again at every batch
        with pytest.raises(CatalogFault, match="is a symbolic link"):
            SqliteCatalog(state_dir / name).referenced([])
    else:
        with pytest.raises((IsLink, JournalError), match="is a symbolic link"):
            MAKERS[name](state_dir)
    assert instance_lock.running(state_dir) is None
    assert sorted(elsewhere.rglob("*")) == before and (state_dir / name).is_symlink()
    if target == "there" and name != "spool":
        assert (elsewhere / "there").read_bytes() == b"precious"


@pytest.mark.parametrize("name", [*MAKERS, "export.lock", "control.sock", "journal.db-wal", "catalog.db-shm"])
def test_a_fifo_is_told_of(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    [said] = private_files.links(tmp_path)
    assert said.startswith(f"{tmp_path / name} is a FIFO or a device, and was not opened") and "rm " in said


def test_nobody_waits_for_a_fifo_in_the_place_of_a_database(tmp_path: Path) -> None:
    for name in ("journal.db", "catalog.db"):
        os.mkfifo(tmp_path / name)
    for opened in (Journal.open, Journal.open_to_read):
        with pytest.raises(JournalError, match="is a FIFO or a device"):
            opened(tmp_path / "journal.db")
    with pytest.raises(CatalogFault, match="is a FIFO or a device"):
        SqliteCatalog(tmp_path / "catalog.db").referenced([])
    [said] = checking.faults(check_catalog, tmp_path / "catalog.db")
    assert "is a FIFO or a device" in said


@pytest.mark.parametrize("has_media", [False, True])
def test_what_an_earlier_version_left_open_is_closed(has_media: bool, tmp_path: Path) -> None:
    for name in ("journal.db", "journal.db-wal", "catalog.db", "telegram.session", "instance.lock", "config.toml"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    for name in ("media", "spool"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o2777)
    if not has_media:
        (tmp_path / "media").rmdir()
    (tmp_path / "journal.db-shm").touch(0o600)
    (tmp_path / "other.session").symlink_to("/etc/hostname")
    tmp_path.chmod(0o777)
    passable = "0711" if has_media else "0700"
    found = list(private_files.loose(tmp_path, has_media=False))
    assert sorted(one.change for one in found) == sorted(
        [
            "catalog.db: 0644 to 0600",
            "instance.lock: 0644 to 0600",
            "journal.db-wal: 0644 to 0600",
            "journal.db: 0644 to 0600",
            "spool: 2777 to 2700",
            "telegram.session: 0644 to 0600",
            f"{tmp_path.name}: 0777 to {passable}",
        ]
    )
    before = Path("/etc/hostname").stat().st_mode
    for one in found:
        private_files.tighten(one)
    assert list(private_files.loose(tmp_path, has_media=False)) == []
    assert stat.S_IMODE(tmp_path.stat().st_mode) == int(passable, 8)
    assert modes(tmp_path)["config.toml"] == 0o644, "none of ours"
    assert not has_media or modes(tmp_path)["media"] == 0o2777
    assert Path("/etc/hostname").stat().st_mode == before


def test_what_is_stricter_stays_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert list(private_files.loose(tmp_path, has_media=True)) == []
    private_files.make_state_dir(tmp_path, has_media=True)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
