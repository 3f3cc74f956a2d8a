"""Files of state_dir: their owner's alone, whichever process makes them and with any umask; never a link or a FIFO.

Promises. A folder or a file that is made here has its mode from its first moment on: 0700 and 0600. A symbolic link in
the place of a file of ours is neither followed nor replaced: a user who may write to state_dir could have put it there
to have us write elsewhere. Nor is a FIFO opened, which would take for ever. state_dir itself may be a link, as may
media/, which a web server is meant to read: a state_dir with media/ lets others pass through (0711), and media/ keeps
its modes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER, FILE = 0o700, 0o600
PASSABLE = 0o711
"""Mode of a folder in which others may reach what they may read, and which they can't list."""

SERVED = 0o755
"""A folder of media/, and one above state_dir."""

FILES = (
    "instance.lock",
    "export.lock",
    "journal.db*",
    "catalog.db*",
    "*.session*",
    ".*.session*",
    "session-*.lock",
    "notify.json*",
)
NO_LINKS = (
    "instance.lock",
    "export.lock",
    "control.sock",
    "spool",
    "notify.json",
    "notify.json.new",
    *(f"{name}{part}" for name in ("journal.db", "catalog.db") for part in ("", "-wal", "-shm")),
)


class IsLink(OSError):
    """Where a file of ours should be is a symbolic link, a FIFO or a device. The text says which, and what to do."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.ELOOP, _describe(path), str(path))

    def __str__(self) -> str:
        return str(self.strerror)


def make_folder(path: Path, mode: int = FOLDER) -> None:
    """Make the folder with that mode at most, unless it is there; those missing above it can be read by all."""
    try:
        path.mkdir(mode=mode)
    except FileExistsError:
        if not path.is_dir():
            raise
    except FileNotFoundError:
        make_folder(path.parent, SERVED)
        make_folder(path, mode)


def make_state_dir(path: Path, *, has_media: bool) -> None:
    """Make state_dir, unless it is there."""
    make_folder(path, PASSABLE if has_media else FOLDER)


def open_file(path: Path | str, flags: int) -> int:
    """A descriptor of the file, which is made if it is not there. Raises IsLink for a symbolic link."""
    try:
        return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise IsLink(Path(path)) from error
        raise


def create_file(path: Path) -> None:
    """Make the file, empty, unless it is there: then it is not even opened. Raises IsLink as `refuse_link` does."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE))
    except FileExistsError:
        refuse_link(path)


def refuse_link(path: Path) -> None:
    """Raises IsLink if there is a symbolic link, a FIFO or a device."""
    if _is_odd(path):
        raise IsLink(path)


def links(state_dir: Path) -> list[str]:
    """A description of each symbolic link, FIFO or device in the place of a file of ours."""
    return [_describe(path) for name in NO_LINKS if _is_odd(path := state_dir / name)]


def _is_odd(path: Path) -> bool:
    """Whether it is a link, a FIFO or a device: in the place of a file of ours, an intruder's work or a mistake."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return any(is_it(mode) for is_it in (stat.S_ISLNK, stat.S_ISFIFO, stat.S_ISCHR, stat.S_ISBLK))


def _describe(path: Path) -> str:
    if not path.is_symlink():
        return (
            f"{path} is a FIFO or a device, and was not opened: whoever may write to the folder may have put it there."
            f" Remove it (rm {path})"
        )
    try:
        target = str(path.readlink())
    except OSError:
        target = "somewhere else"
    return (
        f"{path} is a symbolic link to {target}, and nothing was read or written through it: whoever may write to the"
        f" folder may have put it there. Remove it (rm {path}); to keep the files elsewhere, set state_dir to there"
    )


@dataclass(frozen=True, slots=True)
class Loose:
    """A file or folder that others can read. `change` says from which mode to which."""

    path: Path
    mode: int
    wanted: int

    @property
    def change(self) -> str:
        return f"{self.path.name}: {self.mode:04o} to {self.wanted:04o}"


def loose(state_dir: Path, *, has_media: bool) -> Iterator[Loose]:
    """Paths of state_dir that others can get at, without media/ and the inside of the spool. Links are passed over."""
    passable = has_media or (state_dir / "media").exists()
    allowed = {state_dir: PASSABLE if passable else FOLDER, state_dir / "spool": FOLDER}
    allowed |= {path: FILE for pattern in FILES for path in sorted(state_dir.glob(pattern))}
    for path, most in allowed.items():
        try:
            found = path.stat() if path == state_dir else path.lstat()
        except OSError:
            continue
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISLNK(found.st_mode) and mode & ~most & 0o777:
            yield Loose(path, mode, mode & (most | 0o7000))


def tighten(one: Loose) -> None:
    """Give it the mode that it should have. Not while this process has it open: closing a file ends SQLite's locks."""
    fd = os.open(one.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if one.wanted == FILE else 0))
    try:
        os.fchmod(fd, one.wanted)
    finally:
        os.close(fd)
