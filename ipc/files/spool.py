"""The spool: where a picture's files lie while it is on its way. One folder a job and generation.

    {root}/{job}.{generation}/original          the file as it came
    {root}/{job}.{generation}/{width}.{format}  its renditions: .webp, .avif, .jpg
    {root}/{job}.{generation}/preview.jpg       the picture for link cards, where there is one
    {root}/{job}.{generation}/stripped          the original without metadata, where it can be stripped
    {root}/workers/{name}/                      a workplace (see `ipc.files.workplace`)

Promises. A file that the journal speaks of is complete and was fsynced, folder entries included, before the journal
said so. Any other file here is a stray of a process that was killed: `sweeping` deletes it. Dead letters keep their
original, so that `retry` needs no second download.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import IO, TypeAlias, TypeVar

from ipc import failpoints, private_files

T = TypeVar("T")

Unfinished: TypeAlias = Callable[[Iterable[int]], Mapping[tuple[int, int], str]]
"""State by (job, generation) of those of these jobs whose folder is still needed."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def has_no_room(error: OSError) -> bool:
    """Whether an error is the disk's that the spool is on (full, over quota, read-only) and no fault of a picture."""
    return error.errno in _NO_ROOM


PROBE_BYTES = 64 * 1024
SWEPT_AT_ONCE = 256
GENERATIONS = 8
ORIGINAL = "original"
STRIPPED = "stripped"
PREVIEW = "preview.jpg"
WORKPLACES = "workers"
"""The folder of the image workers' workplaces. No job's folder has such a name."""

_PART = "original.part"


class Spool:
    """The spool at `root`, a folder that is made if it is not there. A link is refused: what is no job's is deleted."""

    def __init__(self, root: Path) -> None:
        self._root = root
        private_files.refuse_link(root)
        private_files.make_folder(root)

    @property
    def root(self) -> Path:
        return self._root

    def folder(self, job_id: int, generation: int) -> Path:
        return self._root / f"{job_id}.{generation}"

    def original(self, job_id: int, generation: int) -> Path:
        return self.folder(job_id, generation) / ORIGINAL

    @contextmanager
    def original_being_made(self, job_id: int, generation: int) -> Iterator[Path]:
        """A temporary name to write the original under, whole and fsynced; afterwards it has its own.

        If the block raises, nothing is left behind.
        """
        try:
            yield self.part(job_id, generation)
        except BaseException:
            self.discard_part(job_id, generation)
            raise
        self.name_original(job_id, generation)
        self.sync()

    def part(self, job_id: int, generation: int) -> Path:
        """The temporary name of an original that is being made, in a folder that is there."""
        folder = self.folder(job_id, generation)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / _PART

    def discard_part(self, job_id: int, generation: int) -> None:
        """Leave nothing of an original that was being made."""
        folder = self.folder(job_id, generation)
        (folder / _PART).unlink(missing_ok=True)
        remove_if_empty(folder)

    def name_original(self, job_id: int, generation: int) -> None:
        """Give an original, whole and fsynced, its own name. It is safe after the next `sync`."""
        folder = self.folder(job_id, generation)
        failpoints.reach("fetched.written")
        (folder / _PART).rename(folder / ORIGINAL)
        fsync_folder(folder)

    def sync(self) -> None:
        """Make the folders of all originals that were named durable."""
        fsync_folder(self._root)

    def write_original(self, job_id: int, generation: int, write: Callable[[Path], T]) -> T:
        """Have `write` make the original at the path that it gets, whole and fsynced. Returns what `write` does."""
        with self.original_being_made(job_id, generation) as part:
            return write(part)

    def put_original(self, job_id: int, generation: int, data: bytes) -> None:
        """Write these bytes as the original, whole and fsynced."""

        def write(part: Path) -> None:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

        self.write_original(job_id, generation, write)

    def free_bytes(self) -> int:
        """What is left on the disk that the spool is on."""
        return shutil.disk_usage(self._root).free

    def can_be_written(self) -> bool:
        """Whether the disk takes anything, found out by trying."""
        try:
            with self._probe() as probe:
                return probe.write(bytes(PROBE_BYTES)) == PROBE_BYTES
        except OSError:
            return False

    def has_room(self, size: int) -> bool:
        """Whether the disk has room for that many bytes, found out by asking for it."""
        try:
            with self._probe() as probe:
                os.posix_fallocate(probe.fileno(), 0, size)
        except OSError:
            return False
        return True

    def _probe(self) -> IO[bytes]:
        """A file without a name, unbuffered."""
        from tempfile import TemporaryFile  # noqa: PLC0415 - few of the processes with a spool try its disk

        return TemporaryFile(dir=self._root, buffering=0)

    def remove(self, job_id: int, generation: int) -> None:
        """Delete all that lies here of a job."""
        shutil.rmtree(self.folder(job_id, generation), ignore_errors=True)

    def remove_generations(self, job_id: int, last: int) -> None:
        """Delete what lies here of a job's last generations, up to that one. Older ones are strays, and swept."""
        for generation in range(max(1, last - GENERATIONS + 1), last + 1):
            self.remove(job_id, generation)

    def keep_original_only(self, job_id: int, generation: int) -> None:
        """Delete a dead letter's half-made renditions."""
        _keep_only(self.folder(job_id, generation), ORIGINAL)

    def sweeping(self, unfinished: Unfinished) -> Iterator[int]:
        """Delete all but the folders of jobs that `unfinished` names, SWEPT_AT_ONCE at a time. Yields their numbers.

        Folders are listed before `unfinished` is asked about them: one that is made in between belongs to a job that
        was recorded before it, and is not among them.
        """
        with os.scandir(self._root) as entries:
            names = (entry.name for entry in entries if entry.name != WORKPLACES)
            while some := {name: _parse(name) for name in islice(names, SWEPT_AT_ONCE)}:
                needed = unfinished(job_id for job_id, _ in some.values())
                yield sum(self._sweep_one(name, needed.get(key)) for name, key in some.items())

    def _sweep_one(self, name: str, state: str | None) -> bool:
        """Whether that folder, whose job is in that state, is gone."""
        if state is None:
            return _delete(self._root / name)
        if state == "dead":
            _keep_only(self._root / name, ORIGINAL)
        return False


def _parse(name: str) -> tuple[int, int]:
    """Job and generation of a folder; (0, 0), which no job has, if the name is none that `folder` gives."""
    match = re.fullmatch(r"([1-9][0-9]*)\.([1-9][0-9]*)", name)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _keep_only(folder: Path, name: str) -> None:
    try:
        others = [path for path in folder.iterdir() if path.name != name]
    except (FileNotFoundError, NotADirectoryError):
        return
    for other in others:
        _delete(other)
    remove_if_empty(folder)


def _delete(path: Path) -> bool:
    """Delete a file or a folder, as far as possible. Returns whether it is gone. A link is deleted, not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
    return not os.path.lexists(path)


def remove_if_empty(folder: Path) -> bool:
    """Delete an empty folder. Returns whether it is gone."""
    try:
        folder.rmdir()
    except OSError:
        return False  # not empty: then it is still needed
    return True


def fsync_folder(folder: Path) -> None:
    """Make the folder's entries durable: a rename or a new file is safe only after this."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
