"""What a decoder that a picture has taken over would do: for children that are sealed as image workers."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from ipc.transport.context import Context

MOST_FDS = 1024


def look_around(context: Context) -> None:
    """Report what is open, and what can be opened of ours."""
    context.ready()
    spool = Path(context.options["spool"])
    wanted = [
        spool / "secret",
        spool / "workers",
        spool / "workers" / "image-2" / "in" / "original",
        spool.parent / "journal.db",
        Path(__file__),
        Path("/etc/passwd"),
        Path("/proc/self/environ"),
        Path(f"/proc/{os.getppid()}/environ"),
        Path("/dev/shm"),
        Path("/tmp"),
    ]
    context.report(
        "seen",
        open=[kind for fd in range(MOST_FDS) if (kind := kind_of(fd))],
        read=[str(path) for path in wanted if can_read(path)],
        environment=sorted(os.environ),
    )
    while not context.stopping:
        context.receive(1)


def kind_of(fd: int) -> str:
    """What that descriptor is, and whether it can be written; empty if it is none."""
    try:
        mode, flags = os.fstat(fd).st_mode, fcntl.fcntl(fd, fcntl.F_GETFL)
    except OSError:
        return ""
    kinds = ((stat.S_ISFIFO, "pipe"), (stat.S_ISREG, "file"), (stat.S_ISCHR, "device"), (stat.S_ISDIR, "folder"))
    kind = next((name for check, name in kinds if check(mode)), "other")
    return f"{kind} {'r' if flags & os.O_ACCMODE == os.O_RDONLY else 'w'}"


def can_read(path: Path) -> bool:
    try:
        return any(path.iterdir()) if path.is_dir() else bool(path.read_bytes())
    except OSError:
        return False
