"""Cgroups (v2): where they are ours, the kernel itself holds a child to its cap, and says for certain when it killed
it for that.

A cgroup that limits its children may have no process of its own. So where our cgroup is delegated to us (systemd's
`Delegate=memory`), the root moves into a leaf, and with it everybody that it starts; each process of a child that
has a cap gets a leaf of its own beside that one:

    picturedesk.service
    ├── tree                 everybody else
    ├── image-1.4711.1       memory.max is its cap and a little; the pool's pid, the process' number
    └── image-2.4711.1

Nothing here raises. Where anything is not as it should be (cgroup v1, nothing delegated, read-only, others in our
cgroup) there are no leaves, and the watchdog's samples and RLIMIT_DATA do what they can.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import structlog

from ipc.kernel import proc
from supervisor.resources.memory import MIB

MOUNT = Path("/sys/fs/cgroup")
TREE = "tree"
CONTROLLER = "memory"
LIMIT = "memory.max"

SLACK_BYTES = 32 * MIB
"""What a leaf may have beyond its child's cap: page tables and sockets are charged to it as well. The child is held to
the cap itself by RLIMIT_DATA and the watchdog, which leave more of a verdict than a SIGKILL does."""

log = structlog.get_logger()


def own(mount: Path = MOUNT, path: Path = proc.PROC / "self/cgroup") -> Path | None:
    """The folder of this process' cgroup; None where there is no cgroup v2."""
    for line in proc.read(path).splitlines():
        if line.startswith("0::/"):
            folder = mount / line[len("0::/") :]
            return folder if (folder / "cgroup.controllers").is_file() else None
    return None


def divide(folder: Path | None, mount: Path = MOUNT) -> Path | None:
    """Move this process into a leaf of its cgroup and have the others limited: the folder for their leaves, or None.

    To be called before there are children: they are born where their parent is.
    """
    why_not = "there is no cgroup v2" if folder is None else unfit(folder, mount)
    if folder is not None and not why_not:
        why_not = _move_down(folder)
        if not why_not:
            log.info("cgroup.divided", cgroup=str(folder))
            return folder
    log.info("cgroup.rejected", why=why_not)
    return None


def unfit(folder: Path, mount: Path = MOUNT) -> str:
    """Why this cgroup can't be divided; empty: it can."""
    if CONTROLLER not in proc.read(folder / "cgroup.controllers").split():
        return f"no {CONTROLLER} controller in this cgroup"
    if not _is_delegated(folder, mount):
        return "this cgroup is not delegated to us"
    if proc.read(folder / "cgroup.procs").split() != [str(os.getpid())]:
        return "others are in this cgroup"
    if not all(os.access(one, os.W_OK) for one in (folder, folder / "cgroup.procs", folder / "cgroup.subtree_control")):
        return "this cgroup cannot be written"
    return ""


def _is_delegated(folder: Path, mount: Path) -> bool:
    """systemd gives a delegated cgroup to the unit's user and marks it; a container's own is the root of what it sees.

    Root may write everywhere, so for root that alone proves nothing.
    """
    if folder == mount:
        return True
    try:
        if os.geteuid() != 0:
            return folder.stat().st_uid == os.geteuid()
    except OSError:
        return False
    return any(_xattr(folder, name) == b"1" for name in ("user.delegate", "trusted.delegate"))


def _xattr(path: Path, name: str) -> bytes:
    try:
        return os.getxattr(path, name)
    except OSError:
        return b""


def _move_down(folder: Path) -> str:
    """Move into the leaf and enable the controller; why that did not work, and then all is as it was."""
    leaf = folder / TREE
    try:
        leaf.mkdir(exist_ok=True)
        _write(leaf / "cgroup.procs", str(os.getpid()))
        _write(folder / "cgroup.subtree_control", f"+{CONTROLLER}")
    except OSError as error:
        _move_back(folder, leaf)
        return f"{error.filename or leaf}: {error.strerror}"
    _sweep(folder)
    return ""


def _move_back(folder: Path, leaf: Path) -> None:
    try:
        _write(folder / "cgroup.procs", str(os.getpid()))
        leaf.rmdir()
    except OSError as error:
        log.debug("cgroup.left", cgroup=str(leaf), error=str(error))


def _sweep(folder: Path) -> list[Leaf]:
    """Remove the leaves of processes that are gone; the leaves that could not be removed."""
    return [Leaf(path) for path in folder.glob("*.*.*/") if not _remove(path)]


def _remove(leaf: Path) -> bool:
    try:
        leaf.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Leaf:
    """The cgroup of one process of a child, which is alone in it."""

    folder: Path

    def set_cap(self, cap_bytes: int) -> bool:
        """Limit its memory (0: no limit). To less than it has now would be to kill it."""
        try:
            _write(self.folder / LIMIT, str(cap_bytes + SLACK_BYTES) if cap_bytes else "max")
        except OSError as error:
            log.warning("cgroup.cap_failed", cgroup=str(self.folder), error=str(error))
            return False
        return True

    def events(self) -> dict[str, int]:
        """What has happened there, counted: "oom" (it was full, and nothing could be spared), "oom_kill" (the kernel
        has killed a process of it for want of memory, here or anywhere above), and more; empty if it can't be read.
        """
        lines = proc.read(self.folder / "memory.events").splitlines()
        return {name: int(count) for name, _, count in (line.partition(" ") for line in lines) if count.isdecimal()}

    def peak_bytes(self) -> int:
        """The highest memory use so far, with the files written; 0 if the kernel (before 5.19) doesn't say."""
        text = proc.read(self.folder / "memory.peak").strip()
        return int(text) if text.isdecimal() else 0


class Leaves:
    """Makes the leaves of one supervisor's children in `folder`, and removes them. With None there are none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._left_behind = [] if folder is None else _sweep(folder)
        self._warned = False

    def make(self, name: str, number: int, pid: int, cap_bytes: int) -> Leaf | None:
        """A leaf for process `number` of the child, which has just been started and is moved there.

        None: there are none, and its memory must be sampled.
        """
        if self._folder is None or not cap_bytes:
            return None
        leaf = Leaf(self._folder / f"{name}.{os.getpid()}.{number}")
        try:
            leaf.folder.mkdir(exist_ok=True)
            _write(leaf.folder / LIMIT, str(cap_bytes + SLACK_BYTES))
            _try_to_write(leaf.folder / "memory.swap.max", "0")
            _try_to_write(leaf.folder / "memory.oom.group", "1")
            _write(leaf.folder / "cgroup.procs", str(pid))
        except OSError as error:
            _remove(leaf.folder)
            self._warn(error)
            return None
        return leaf

    def remove(self, leaf: Leaf) -> None:
        """The child is dead. What the kernel still holds on to is removed later."""
        self._left_behind = [one for one in (*self._left_behind, leaf) if not _remove(one.folder)]

    def _warn(self, error: OSError) -> None:
        if self._warned:
            log.debug("cgroup.leaf_failed", error=str(error))
        else:
            log.warning("cgroup.leaf_failed", error=str(error))
        self._warned = True


def _write(path: Path, text: str) -> None:
    """Write to a file of the kernel's, which has to be there."""
    path.write_text(text, encoding="ascii")


def _try_to_write(path: Path, text: str) -> None:
    """Write the file, unless the kernel has none (no swap accounting)."""
    try:
        _write(path, text)
    except OSError as error:
        log.debug("cgroup.file_omitted", path=str(path), error=str(error))
