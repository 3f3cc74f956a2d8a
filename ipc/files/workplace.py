"""An image worker's workplace: the only folders of ours that it may open. One a worker, for one job at a time.

    {spool}/workers/{name}/in/original      the file to render, a second name of the one in the job's folder
    {spool}/workers/{name}/out/…            what the worker makes of it

The worker may read the one and write into the other (Landlock keeps it to them, and its rules can't grow), so the pool
lends it each original and takes the results away. The two folders themselves stay as long as a worker lives in them.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ipc import private_files
from ipc.files.spool import ORIGINAL, WORKPLACES

_NO_LINKS = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)


MOST_FILES: Final = 1000
MOST_BYTES: Final = 2 * 2**30
"""What a worker makes is far less: two files for each width of the ladder, a JPEG, a preview, a stripped original."""


class Workplace:
    """The workplace of the worker `name` in the spool at `spool`."""

    def __init__(self, spool: Path, name: str) -> None:
        self._folder = spool / WORKPLACES / name

    @property
    def readable(self) -> Path:
        return self._folder / "in"

    @property
    def writable(self) -> Path:
        return self._folder / "out"

    def make(self) -> None:
        """Make the folders, where they are not there."""
        for folder in (self._folder.parent, self._folder, self.readable, self.writable):
            private_files.make_folder(folder)

    def clear(self) -> None:
        """Empty the two folders, as far as they are there."""
        for folder in (self.readable, self.writable):
            with suppress(FileNotFoundError):
                _empty(folder)

    def is_overfull(self) -> bool:
        """Whether the worker has written more than any picture needs: to empty that takes its time."""
        size = 0
        with suppress(FileNotFoundError), os.scandir(self.writable) as entries:
            for number, entry in enumerate(entries):
                if number >= MOST_FILES or size > MOST_BYTES:
                    return True
                with suppress(FileNotFoundError):
                    size += 512 * entry.stat(follow_symlinks=False).st_blocks
        return size > MOST_BYTES

    def lend(self, original: Path) -> None:
        """Put the original into the workplace, and nothing else.

        By a link, which costs no room; by a copy where the file system has no links. Raises FileNotFoundError where
        there is no original, OSError as the disk does.
        """
        self.clear()
        target = self.readable / ORIGINAL
        try:
            os.link(original, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copyfile(original, target, follow_symlinks=False)


def remove_others(spool: Path, names: Iterable[str]) -> None:
    """Delete the workplaces of all workers but these."""
    kept = set(names)
    with suppress(FileNotFoundError):
        for folder in (spool / WORKPLACES).iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)


def _empty(folder: Path) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)
