"""One instance a state_dir: a lock that the kernel takes back when its holder dies, and a card that names it.

The lock is on a file, not on a path: who removes or replaces the folder lets a second instance in. So the holder looks
again and again whether the file that it has locked is still the one at that path (`Lock.loss`).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ipc import private_files
from supervisor.processes.errors import CommandFailed

CARD_BYTES = 8192
"""A card is padded to this size; a longest path goes in twice."""


class AlreadyRunning(Exception):
    """Another instance has this state_dir; its process id is in `pid` (0: not known)."""

    def __init__(self, state_dir: Path, pid: int) -> None:
        super().__init__(
            f"{state_dir}: another instance is running here (pid {pid or 'unknown'})."
            f" Stop it first (kill {pid or 'PID'}), or give this one a state_dir of its own"
        )
        self.pid = pid


@dataclass(frozen=True, slots=True)
class Card:
    """Which process runs here, and where it answers."""

    pid: int
    url: str
    config: str


class Lock:
    """The lock on a state_dir. Held until `release` or the process' end, however that comes."""

    def __init__(self, state_dir: Path) -> None:
        private_files.make_folder(state_dir)
        self._path = state_dir / "instance.lock"
        self._files: dict[Path, tuple[int, int]] = {}
        self._has_stable_numbers = True
        self._take(state_dir)
        if self.loss():  # put in its place at this very moment, or a file system without stable numbers
            os.close(self._fd)
            self._take(state_dir)
            self._has_stable_numbers = not self.loss()
        self.write(Card(os.getpid(), "", ""))

    def _take(self, state_dir: Path) -> None:
        self._fd = private_files.open_file(self._path, os.O_RDWR)
        if not self._acquire():
            card = _read(self._path)
            os.close(self._fd)
            raise AlreadyRunning(state_dir, card.pid if card else 0)
        self._files[self._path] = _numbers(os.fstat(self._fd))

    def _acquire(self) -> bool:
        """Take the lock. A process that merely looks (see `running`) has it for microseconds, which do not count."""
        for _ in range(20):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.01)
            else:
                return True
        return False

    def write(self, card: Card) -> None:
        """Put the holder's card into the lock file."""
        # One write of one length: a reader sees the old card or the new one.
        os.pwrite(self._fd, json.dumps(asdict(card)).encode().ljust(CARD_BYTES), 0)

    def keep_an_eye_on(self, path: Path) -> None:
        """Have this file watched, too: it must stay the same as long as the lock is held. Others have it open."""
        self._files[path] = _numbers(path.stat())

    def loss(self) -> str:
        """What has become of the folder under the holder; empty: it is where it was. A matter of microseconds.

        The holder's own lock and open files stay good wherever the folder goes, so they say nothing. But whoever opens
        a file by its path finds another folder there, or none, and so does a second instance. A file system that gives
        one file ever new numbers (some in user space do) can only say that the file is gone.
        """
        for path, numbers in self._files.items():
            try:
                is_here = _numbers(path.stat()) == numbers
            except FileNotFoundError:
                return f"{path} is gone: it was removed, moved or unmounted"
            except OSError:
                continue  # unknown: a file system that fails for a moment has not lost the file
            if not is_here and self._has_stable_numbers:
                return f"{path} is another file now: something else was put in its place"
        return ""

    def release(self) -> None:
        os.close(self._fd)


def _numbers(stat: os.stat_result) -> tuple[int, int]:
    """What tells this file from any other."""
    return stat.st_dev, stat.st_ino


def running(state_dir: Path) -> Card | None:
    """The card of the instance on this state_dir; None if none runs. Raises CommandFailed if that is unknown."""
    path = state_dir / "instance.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError as error:
        raise _closed(state_dir, error) from error
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    finally:
        os.close(fd)
    return None


def look_into(state_dir: Path) -> None:
    """Raises CommandFailed if the folder is there and closed to this user: it is its owner's alone."""
    try:
        (state_dir / "journal.db").lstat()
    except PermissionError as error:
        raise _closed(state_dir, error) from error
    except OSError:
        pass


def _closed(state_dir: Path, error: OSError) -> CommandFailed:
    return CommandFailed(
        f"state_dir {state_dir} can't be looked into: {error.strerror}. Run this as the user who runs the program"
    )


def _read(path: Path) -> Card | None:
    try:
        return Card(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
