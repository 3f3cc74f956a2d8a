"""Objects as files under a folder, by hard link or atomic rename. Putting the same again costs next to nothing."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from ipc import private_files
from ipc.files.object_layout import public_url
from ipc.files.spool import fsync_folder, remove_if_empty
from workers.publishing.storage.protocol import (
    DOCUMENT_CACHE_CONTROL,
    NewObject,
    ObjectFault,
    Put,
    StorageFault,
    Stored,
    ignore,
)
from workers.publishing.threads import never

_PART = (".", ".part")
"""Around the name of an object that is not whole yet."""


FOLDER_TRIES = 20
"""How often a folder is made anew that a removal of objects takes away, empty as it is, before there is one in it."""


class FileStorage:
    """Objects as files under `root`; `public_url` is where a web server of the operator's serves that folder."""

    def __init__(self, root: Path, public_url: str = "") -> None:
        self._root = root.absolute()
        self._public_url = public_url.rstrip("/")
        self._unsynced: set[Path] = set()
        self._last_sign = time.monotonic()
        with contextlib.suppress(OSError):  # the first object fails with the same error
            private_files.make_state_dir(self._root.parent, has_media=True)
            private_files.make_folder(self._root, private_files.SERVED)

    def put(self, key: str, source: Path, content_type: str) -> bool:
        return self._put(NewObject(key, source, content_type)).is_new

    def put_all(
        self,
        items: Iterable[NewObject],
        *,
        stop: Callable[[], bool] = never,
        stored: Callable[[Put], None] = ignore,
        tries: int = 1,
    ) -> int:
        """One after another and to the end, since it takes no time: `stop` is asked only as a sign of life.

        Nothing is tried twice: what a disk refuses it refuses again.
        """
        new = 0
        for item in items:
            put = self._put(item)
            new += put.is_new
            stored(put)
            stop()
        return new

    def _put(self, item: NewObject) -> Put:
        target = self._path(item.key)
        try:
            is_new = not _is_there(target, item) and self._make(item, target)
            size = target.stat().st_size
        except OSError as error:
            if not item.source.exists():
                raise FileNotFoundError(error.errno, "not in the spool", str(item.source)) from error
            if error.errno == errno.ENAMETOOLONG:
                raise ObjectFault(f"{item.key}: {error.strerror}") from error
            raise StorageFault(f"{target}: {error.strerror or error}. Check the disk and the folder's owner") from error
        # Also where it was there: a killed process may have made it and got no further.
        self._unsynced.update(folder for folder in target.parents if folder.is_relative_to(self._root.parent))
        return Put(item.key, is_new, size)

    def probe(self) -> None:
        part = self._root / f"{_PART[0]}probe{_PART[1]}"
        try:
            part.write_bytes(b"probe")
            part.unlink()
        except OSError as error:
            raise StorageFault(f"{part}: {error.strerror or error}. Check the disk and the folder's owner") from error

    def last_sign(self) -> float:
        return self._last_sign

    def _note_sign(self) -> None:
        self._last_sign = time.monotonic()

    def sync(self) -> None:
        try:
            for folder in self._unsynced:
                with contextlib.suppress(
                    FileNotFoundError
                ):  # empty by now, and removed: that is noted of the one above
                    fsync_folder(folder)
        except OSError as error:
            raise StorageFault(f"{self._root}: {error.strerror or error}. Check the disk") from error
        self._unsynced.clear()

    def put_document(
        self, key: str, data: bytes, content_type: str, cache_control: str = DOCUMENT_CACHE_CONTROL
    ) -> None:
        target = self._path(key)
        try:
            self._replace(target, data)
            for folder in target.parents:
                fsync_folder(folder)
                if folder == self._root:
                    break
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise ObjectFault(f"{key}: {error.strerror}") from error
            raise StorageFault(f"{target}: {error.strerror or error}. Check the disk and the folder's owner") from error
        self._note_sign()

    def url(self, key: str) -> str:
        if self._public_url:
            return public_url(self._public_url, key)
        return (self._root / key).as_uri()

    def read(self, key: str, most_bytes: int | None = None) -> bytes | None:
        path = self._path(key)
        try:
            if most_bytes is not None and path.stat().st_size > most_bytes:
                raise ObjectFault(f"{path}: larger than {most_bytes:,} bytes")
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageFault(f"{path}: {error.strerror or error}. Check the disk and the folder's owner") from error

    def delete(self, key: str) -> None:
        """Also the folders that are empty then, but not the root. Until the next `sync` a power cut may undo it."""
        path = self._path(key)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StorageFault(f"{path}: {error.strerror or error}. Check the disk and the folder's owner") from error
        for folder in path.parents:
            if folder == self._root or not remove_if_empty(folder):
                self._unsynced.add(folder)
                return

    def list(self, prefix: str = "") -> Iterator[Stored]:
        above, _, _ = prefix.rpartition("/")
        for folder, _, names in os.walk(self._path(above) if above else self._root, onerror=self._refuse):
            for name in names:
                path = Path(folder, name)
                key = path.relative_to(self._root).as_posix()
                if not key.startswith(prefix) or _is_part(name):
                    continue
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    facts = path.stat()
                    yield Stored(key, facts.st_size, facts.st_mtime)

    def close(self) -> None:
        """Does nothing: there is nothing to let go of."""

    def _path(self, key: str) -> Path:
        """The object's file. Never one outside the root, whatever the key."""
        if any(part in ("", ".", "..") for part in key.split("/")) or "\0" in key:
            raise ObjectFault(f"{key!r} cannot be the name of a file")
        return self._root / key

    @staticmethod
    def _refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise StorageFault(f"{error.filename}: {error.strerror}. Check the disk and the folder's owner") from error

    def _make(self, item: NewObject, target: Path) -> bool:
        """Place the object unless another process does meanwhile. A folder may be removed, being empty, just before."""
        for tries_left in reversed(range(FOLDER_TRIES)):
            private_files.make_folder(target.parent, private_files.SERVED)
            try:
                with _locked(target.parent):
                    if _is_there(target, item):
                        return False
                    self._place(item.source, target)
                    return True
            except FileNotFoundError:
                if not tries_left or not item.source.exists():
                    raise
        raise AssertionError("the last try returns or raises")

    def _replace(self, target: Path, data: bytes) -> None:
        """Write `data` as the file `target`, whatever it was. Its folder may be removed, being empty, just before."""
        for tries_left in reversed(range(FOLDER_TRIES)):
            private_files.make_folder(target.parent, private_files.SERVED)
            try:
                with _locked(target.parent):
                    _write_durably(target.with_name(f"{_PART[0]}{target.name}{_PART[1]}"), target, data)
                return
            except FileNotFoundError:
                if not tries_left:
                    raise

    def _place(self, source: Path, target: Path) -> None:
        """Give the complete, fsynced `source` the name `target` too; across file systems, copy it first."""
        part = target.with_name(f"{_PART[0]}{target.name}{_PART[1]}")
        part.unlink(missing_ok=True)
        try:
            self._link_or_copy(source, part)
            part.chmod(0o644)  # before it has its name: a process that finds the object there does not look at its mode
            part.replace(target)
        finally:
            # Half a copy; or rename() had two names of one file before it, does nothing then and leaves both.
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def _link_or_copy(self, source: Path, target: Path) -> None:
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
                raise
            self._copy_durably(source, target)

    def _copy_durably(self, source: Path, target: Path) -> None:
        with source.open("rb") as reader, target.open("wb") as writer:
            shutil.copyfileobj(_Source(reader, self._note_sign), writer)
            writer.flush()
            os.fsync(writer.fileno())


def _write_durably(part: Path, target: Path, data: bytes) -> None:
    """Give `data` the name `target` when it is whole on the disk; until then it is `part`."""
    part.unlink(missing_ok=True)
    try:
        with part.open("xb") as writer:
            os.fchmod(writer.fileno(), 0o644)
            writer.write(data)
            writer.flush()
            os.fsync(writer.fileno())
        part.replace(target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


class _Source:
    """A file that is copied. Each block is a sign of life: a large one on a slow disk is no silence."""

    def __init__(self, reader: BinaryIO, note: Callable[[], None]) -> None:
        self._reader = reader
        self._note = note

    def read(self, most: int = -1, /) -> bytes:
        self._note()
        return self._reader.read(most)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Exclude other threads and processes from making objects in a folder: they share the name of the part file."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks; there is one uploader, so none is missed
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _is_part(name: str) -> bool:
    return name.startswith(_PART[0]) and name.endswith(_PART[1])


def _is_there(target: Path, item: NewObject) -> bool:
    """Whether the file at `target` will do. The source's size comes first: one that is not there is an error."""
    wanted = item.source.stat().st_size
    if not target.is_file():
        return False
    found = target.stat().st_size
    return found == wanted or (found > 0 and not item.is_exact)
