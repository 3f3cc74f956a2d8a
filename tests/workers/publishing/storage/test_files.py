"""Files as a storage, what only they have: links and copies, folders and modes, and a disk's own faults."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from tests.instance import HOME
from workers.publishing.storage import FileStorage, ObjectFault, StorageFault
from workers.publishing.storage import files as module

KEY = "ab/abcdef/320.webp"
SHM = Path("/dev/shm")


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def storage(media: Path) -> FileStorage:
    return FileStorage(media)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another file system."""
    if not SHM.is_dir() or not os.access(SHM, os.W_OK):
        pytest.skip("there is no second file system to write on")
    folder = Path(tempfile.mkdtemp(dir=SHM))
    yield folder
    shutil.rmtree(folder)


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def put(storage: FileStorage, source: Path, key: str = KEY) -> bool:
    return storage.put(key, source, "image/webp")


def test_put(storage: FileStorage, media: Path, source: Path) -> None:
    assert put(storage, source)
    assert files(media) == {KEY: b"a rendition"}
    assert source.exists()


def test_again_changes_nothing(storage: FileStorage, media: Path, source: Path) -> None:
    put(storage, source)
    before = (media / KEY).stat()
    assert not put(storage, source)
    after = (media / KEY).stat()
    assert (before.st_ino, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_ino,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )


def test_the_same_content_from_another_place_changes_nothing(
    storage: FileStorage, media: Path, source: Path, tmp_path: Path
) -> None:
    put(storage, source)
    before = (media / KEY).stat().st_ino
    twin = tmp_path / "twin"
    twin.write_bytes(source.read_bytes())
    assert not put(storage, twin)
    assert (media / KEY).stat().st_ino == before


def test_another_size_is_no_whole_object_and_is_replaced(storage: FileStorage, media: Path, source: Path) -> None:
    (media / KEY).parent.mkdir(parents=True)
    (media / KEY).write_bytes(b"half")
    assert put(storage, source)
    assert files(media) == {KEY: b"a rendition"}


@pytest.mark.parametrize("left_over", ["a copy", "a link"])
def test_what_a_killed_process_left_is_in_nobodys_way(
    storage: FileStorage, media: Path, source: Path, left_over: str
) -> None:
    part = media / "ab/abcdef/.320.webp.part"
    part.parent.mkdir(parents=True)
    if left_over == "a copy":
        part.write_bytes(b"half")
    else:
        os.link(source, part)
    assert put(storage, source)
    assert files(media) == {KEY: b"a rendition"}


def test_replacing_by_a_link_to_the_same_file_leaves_no_second_name(
    storage: FileStorage, media: Path, source: Path
) -> None:
    """rename() of two names of one file does nothing. So it is when the size on disk is looked at too early."""
    put(storage, source)
    storage._place(source, media / KEY)
    assert files(media) == {KEY: b"a rendition"}


def test_a_deep_key(storage: FileStorage, media: Path, source: Path) -> None:
    key = "/".join(["a"] * 40) + "/x.webp"
    assert put(storage, source, key)
    assert files(media) == {key: b"a rendition"}


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_readers_may_read_it(storage: FileStorage, media: Path, source: Path, mode: int) -> None:
    source.chmod(mode)
    put(storage, source)
    assert (media / KEY).stat().st_mode & 0o777 == 0o644


def test_readers_may_read_it_from_its_first_moment(
    storage: FileStorage, media: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the rename, nobody comes back for what remains to be done: the object is there already."""
    source.chmod(0o600)
    replace = Path.replace

    def replace_and_die(self: Path, target: Path) -> Path:
        replace(self, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", replace_and_die)
    with pytest.raises(KeyboardInterrupt):
        put(storage, source)
    monkeypatch.undo()
    assert not put(storage, source)
    assert (media / KEY).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("there_already", [False, True])
def test_every_folder_on_the_way_is_made_durable(
    storage: FileStorage, media: Path, source: Path, monkeypatch: pytest.MonkeyPatch, there_already: bool
) -> None:
    """Also where it is there already: who made it may have been killed before it came to this."""
    if there_already:
        put(storage, source)
    durable: list[Path] = []
    monkeypatch.setattr(module, "fsync_folder", durable.append)
    put(storage, source)
    storage.sync()
    assert set(durable) == {media / "ab/abcdef", media / "ab", media, media.parent}
    storage.sync()
    assert len(durable) == 4, "once is enough"


# Across file systems


def test_from_another_file_system_it_is_copied(source: Path, elsewhere: Path) -> None:
    storage = FileStorage(elsewhere / "media")
    assert put(storage, source)
    assert files(elsewhere / "media") == {KEY: b"a rendition"}
    assert (elsewhere / "media" / KEY).stat().st_nlink == 1
    assert not put(storage, source)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES])
def test_where_links_cannot_be_made_it_is_copied(
    storage: FileStorage, media: Path, source: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "link", refuse(number))
    assert put(storage, source)
    assert files(media) == {KEY: b"a rendition"}
    assert (media / KEY).stat().st_ino != source.stat().st_ino


def test_a_copy_is_on_disk_before_it_has_its_name(
    storage: FileStorage, media: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bytes, bool]] = []
    fsync = os.fsync

    def watch(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        if path.is_file():
            synced.append((path.name, path.read_bytes(), (media / KEY).exists()))
        fsync(fd)

    monkeypatch.setattr(os, "link", refuse(errno.EXDEV))
    monkeypatch.setattr(os, "fsync", watch)
    put(storage, source)
    assert synced == [(".320.webp.part", b"a rendition", False)]


def test_a_copy_that_fails_leaves_nothing(
    storage: FileStorage, media: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(reader: object, writer: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse(errno.EXDEV))
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(StorageFault, match="No space left"):
        put(storage, source)
    assert files(media) == {}


COPIER = """
import os, shutil, signal, sys
from pathlib import Path
from workers.publishing.storage import FileStorage

def die_halfway(reader, writer):
    writer.write(reader.read(4))
    writer.flush()
    os.kill(os.getpid(), signal.SIGKILL)

def no_link(source, target):
    raise OSError(18, "Invalid cross-device link")

shutil.copyfileobj, os.link = die_halfway, no_link
FileStorage(Path(sys.argv[1])).put(sys.argv[2], Path(sys.argv[3]), "image/webp")
"""


def test_a_copier_killed_in_the_middle_leaves_nothing_that_readers_see(media: Path, source: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", COPIER, str(media), KEY, str(source)], cwd=HOME, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert files(media) == {"ab/abcdef/.320.webp.part": b"a re"}
    assert put(FileStorage(media), source)
    assert files(media) == {KEY: b"a rendition"}


# Faults


def refuse(number: int) -> object:
    def link(source: object, target: object) -> None:
        raise OSError(number, os.strerror(number))

    return link


def in_the_way_of_a_folder(media: Path) -> None:
    (media / "ab").write_text("a file where a folder should be")


def in_the_way_of_the_object(media: Path) -> None:
    (media / KEY / "inner").mkdir(parents=True)


def gone(media: Path) -> None:
    media.rmdir()
    media.write_text("not a folder any more")


@pytest.mark.parametrize("spoil", [in_the_way_of_a_folder, in_the_way_of_the_object, gone])
def test_the_storages_own_faults(storage: FileStorage, media: Path, source: Path, spoil: object) -> None:
    assert callable(spoil)
    spoil(media)
    with pytest.raises(StorageFault, match=r"320\.webp.*Check the disk"):
        put(storage, source)
    assert source.read_bytes() == b"a rendition"


def test_a_full_disk(storage: FileStorage, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refuse(errno.ENOSPC))
    with pytest.raises(StorageFault, match="No space left on device"):
        put(storage, source)


# Where readers find it


def test_the_address_without_a_public_url_is_the_files(tmp_path: Path, source: Path) -> None:
    storage = FileStorage(tmp_path / "mit Leerzeichen & ü#?")
    put(storage, source)
    assert Path(unquote(urlparse(storage.url(KEY)).path)).read_bytes() == b"a rendition"


def test_a_relative_root_has_absolute_addresses(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert FileStorage(Path("media")).url(KEY) == (tmp_path / "media" / KEY).as_uri()


# Keys and folders


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/x", "a//b", "", ".", "a/.", "a\0b"])
def test_no_key_leads_out_of_the_folder(storage: FileStorage, tmp_path: Path, source: Path, key: str) -> None:
    before = files(tmp_path)
    for ask in (lambda: put(storage, source, key), lambda: storage.read(key), lambda: storage.delete(key)):
        with pytest.raises(ObjectFault, match="cannot be the name of a file"):
            ask()
    assert files(tmp_path) == before


def test_deleting_the_last_object_of_a_folder_deletes_the_folder(
    storage: FileStorage, media: Path, source: Path
) -> None:
    put(storage, source, "a/b/c/1")
    put(storage, source, "a/2")
    storage.delete("a/b/c/1")
    assert [path.name for path in (media / "a").iterdir()] == ["2"]
    storage.delete("a/2")
    assert media.is_dir() and not list(media.iterdir())


def test_what_is_half_there_is_not_listed(storage: FileStorage, media: Path, source: Path) -> None:
    put(storage, source)
    (media / "ab/abcdef/.640.webp.part").write_bytes(b"half")
    assert [one.key for one in storage.list()] == [KEY]


LIST = """
import sys
from pathlib import Path
from workers.publishing.storage import FileStorage, StorageFault
try:
    print([one.key for one in FileStorage(Path(sys.argv[1])).list()])
except StorageFault as fault:
    print(fault)
"""
AS_ANYBODY = ("setpriv", *(f"--{which}=-dac_override,-dac_read_search" for which in ("inh-caps", "bounding-set")))
"""Root may read everything; without these capabilities it is kept out like anybody."""


def test_a_folder_that_may_not_be_read_is_not_just_empty(storage: FileStorage, media: Path, source: Path) -> None:
    put(storage, source)
    (media / "ab").chmod(0)
    words = [*(AS_ANYBODY if os.geteuid() == 0 else ()), sys.executable, "-c", LIST, str(media)]
    try:
        listed = subprocess.run(words, cwd=HOME, capture_output=True, text=True, check=True)
    finally:
        (media / "ab").chmod(0o755)
    assert "Permission denied. Check the disk and the folder's owner" in listed.stdout


@pytest.mark.parametrize("times", [1, 3])
def test_a_folder_that_a_removal_takes_away_just_before(
    storage: FileStorage, media: Path, source: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """It was empty between the making of the folder and of the object in it."""
    left = [times]
    really_open = os.open

    def remove_first(path: Any, *rest: Any) -> int:
        if Path(path) == (media / KEY).parent and left[0]:
            left[0] -= 1
            Path(path).rmdir()
        return really_open(path, *rest)

    monkeypatch.setattr("os.open", remove_first)
    assert put(storage, source)
    assert left == [0]
    assert storage.read(KEY) == b"a rendition"


def test_a_folder_where_the_object_should_be(storage: FileStorage, media: Path) -> None:
    in_the_way_of_the_object(media)
    with pytest.raises(StorageFault, match="Check the disk"):
        storage.read(KEY)
    with pytest.raises(StorageFault, match="Check the disk"):
        storage.delete(KEY)
