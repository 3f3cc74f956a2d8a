"""The bytes of an export's picture: found inside the export's folder, copied, and hashed on the way.

Promises. Nothing outside of the export's folder is opened, whatever its result.json says. A copy is whole and fsynced,
or it is not there. What can't be had for good (MissingFile) is not what may pass (OSError).

Left to others: whether the bytes are a picture.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import IO, Final

from ipc import private_files
from workers.sources.export.fetching.names import spelled
from workers.sources.settle import Fetched, Gone, LeftOut, TooLarge

CHUNK_BYTES: Final = 64 * 1024


class MissingFile(Exception):
    """A picture can't be had, and trying again won't help; `outcome` says why."""

    def __init__(self, outcome: Gone | LeftOut | TooLarge) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


# What no disk that is plugged in and no chmod can mend: the export names something that is no picture file.
_PERMANENT: Final = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.ENAMETOOLONG: "no such file",
    errno.ELOOP: "not a regular file",
    errno.ENXIO: "not a regular file",
    errno.ENODEV: "not a regular file",
}


def sha256_of(
    locator: Mapping[str, str | int], bytes_expected: int | None, declared_bytes: int | None = None
) -> str | None:
    """The digest of the picture where it lies; None if it has another size than is expected. Raises as `fetch` does."""
    with _opened(locator, declared_bytes) as source:
        if bytes_expected not in (None, os.fstat(source.fileno()).st_size):
            return None
        return hashlib.file_digest(source, "sha256").hexdigest()


def fetch(locator: Mapping[str, str | int], target: Path, max_bytes: int, declared_bytes: int | None = None) -> Fetched:
    """Copy the picture to `target`, fsynced. On any error `target` is not there.

    `declared_bytes`: the size that the export says it has, if it does. It may have another.

    Raises MissingFile if it can't be had for good. Any other OSError may pass: an input/output error, a full disk, the
    whole export gone (a disk that is not mounted), a permission (which an operator can give).
    """
    with _opened(locator, declared_bytes) as source:
        size = os.fstat(source.fileno()).st_size
        if size > max_bytes:
            raise MissingFile(TooLarge(size, max_bytes))
        try:
            return _copy(source, target, max_bytes)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def _opened(locator: Mapping[str, str | int], declared_bytes: int | None) -> BufferedReader:
    """The picture's file. Raises MissingFile if it can't be had for good."""
    if "missing" in locator:
        raise MissingFile(LeftOut(f"not in the export: {locator['missing']}"))
    folder, name = str(locator["export"]), str(locator["file"])
    if not Path(folder).is_dir():
        raise FileNotFoundError(errno.ENOENT, "the export's folder is not there", folder)
    return os.fdopen(_open_inside(folder, name, declared_bytes), "rb")


def _open_inside(folder: str, name: str, declared_bytes: int | None) -> int:
    """A descriptor of a regular file of the export, and of none outside of it, whatever its result.json says.

    It may be spelled differently on the disk: what is found so is held against the same rules.

    This guards against a hostile export, not against a change of the folder meanwhile.
    """
    try:
        root = os.path.realpath(folder)
        path = os.path.realpath(Path(root, spelled(Path(root), name, declared_bytes)))
        if Path(name).is_absolute() or os.path.commonpath([root, path]) != root:
            raise MissingFile(Gone(f"outside of the export's folder: {name}"))
        # O_NONBLOCK: opening a FIFO must not wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except ValueError:  # a NUL in the name
        raise MissingFile(Gone(f"no such file: {name!r}")) from None
    except OSError as error:
        if error.errno in _PERMANENT:
            raise MissingFile(Gone(f"{_PERMANENT[error.errno]}: {name}")) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MissingFile(Gone(f"not a regular file: {name}"))
    return descriptor


def _copy(source: IO[bytes], target: Path, max_bytes: int) -> Fetched:
    digest, size, began = hashlib.sha256(), 0, time.monotonic()
    with os.fdopen(private_files.open_file(target, os.O_WRONLY | os.O_TRUNC), "wb") as sink:
        while chunk := source.read(CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:  # it grew meanwhile
                raise MissingFile(TooLarge(size, max_bytes))
            digest.update(chunk)
            sink.write(chunk)
        sink.flush()
        os.fsync(sink.fileno())
    return Fetched(digest.hexdigest(), size, time.monotonic() - began)
