"""Where objects go. Here: files under a folder, by hard link or atomic rename.

A storage's promise: after `put` has returned the object is there whole; after `settle` it stays so through a power cut.
Putting the same object again costs next to nothing and changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from ipc.spool import fsync_folder


class StorageFault(Exception):
    """The storage itself fails (full, read-only, gone): no fault of the object. It counts for the breaker."""


class Storage(Protocol):
    """Objects by key."""

    def put(self, key: str, source: Path, content_type: str) -> bool:
        """Store the file `source` as `key`; False if it was there already.

        Readers see the whole object or none. Raises FileNotFoundError if `source` is not there, StorageFault if the
        storage fails.
        """

    def settle(self) -> None:
        """Make all that was put since the last call survive a power cut. Raises StorageFault."""

    def url(self, key: str) -> str:
        """Where readers find the object."""


class FileStorage:
    """Objects as files under `root`; `public_url` is where a web server of the user's serves that folder."""

    def __init__(self, root: Path, public_url: str = "") -> None:
        self._root = root.absolute()
        self._public_url = public_url.rstrip("/")
        self._unsettled: set[Path] = set()
        with contextlib.suppress(OSError):  # what is the matter is said at the first object
            self._root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, source: Path, content_type: str) -> bool:
        target = self._root / key
        try:
            is_new = not _has_size(target, source.stat().st_size)
            if is_new:
                target.parent.mkdir(parents=True, exist_ok=True)
                self._place(source, target)
        except OSError as error:
            if not source.exists():
                raise FileNotFoundError(error.errno, "not in the spool", str(source)) from error
            raise StorageFault(f"{target}: {error.strerror or error}. Check the disk and the folder's owner") from error
        # Also where it was there: a killed process may have made it and got no further.
        self._unsettled.update(folder for folder in target.parents if folder.is_relative_to(self._root.parent))
        return is_new

    def settle(self) -> None:
        try:
            for folder in self._unsettled:
                fsync_folder(folder)
        except OSError as error:
            raise StorageFault(f"{self._root}: {error.strerror or error}. Check the disk") from error
        self._unsettled.clear()

    def url(self, key: str) -> str:
        if self._public_url:
            return f"{self._public_url}/{quote(key)}"
        return (self._root / key).as_uri()

    @staticmethod
    def _place(source: Path, target: Path) -> None:
        """Give the complete, fsynced `source` the name `target` too; across file systems, copy it first."""
        part = target.with_name(f".{target.name}.part")
        part.unlink(missing_ok=True)
        try:
            _link_or_copy(source, part)
            part.chmod(0o644)  # before it has its name: whoever finds the object there asks no further
            part.replace(target)
        finally:
            # Half a copy; or rename() had two names of one file before it, does nothing then and leaves both.
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _has_size(target: Path, size: int) -> bool:
    return target.is_file() and target.stat().st_size == size


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
            raise
        _copy_durably(source, target)


def _copy_durably(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer)
        writer.flush()
        os.fsync(writer.fileno())
