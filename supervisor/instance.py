"""One instance a state_dir: a lock that the kernel takes back when its holder dies, and a card that names him."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ipc import private_files
from supervisor.failed import Failed

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
    """Who runs here, and where it answers."""

    pid: int
    url: str
    config: str


class Lock:
    """The lock on a state_dir. Held until `release` or the process' end, however that comes."""

    def __init__(self, state_dir: Path) -> None:
        private_files.make_folder(state_dir)
        self._path = state_dir / "instance.lock"
        self._fd = private_files.open_file(self._path, os.O_RDWR)
        if not self._acquire():
            card = _read(self._path)
            os.close(self._fd)
            raise AlreadyRunning(state_dir, card.pid if card else 0)
        self.write(Card(os.getpid(), "", ""))

    def _acquire(self) -> bool:
        """Take the lock. Whoever merely looks (see `running`) has it for microseconds: those do not count."""
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
        # One write of one length: whoever reads it meanwhile sees the old card or the new one.
        os.pwrite(self._fd, json.dumps(asdict(card)).encode().ljust(CARD_BYTES), 0)

    def release(self) -> None:
        os.close(self._fd)


def running(state_dir: Path) -> Card | None:
    """The card of the instance that runs on this state_dir, or None if none does. Raises Failed if nobody can tell."""
    path = state_dir / "instance.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError as error:
        raise Failed(
            f"state_dir {state_dir} can't be looked into: {error.strerror}. Run this as the user who runs the program"
        ) from error
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    finally:
        os.close(fd)
    return None


def _read(path: Path) -> Card | None:
    try:
        return Card(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
