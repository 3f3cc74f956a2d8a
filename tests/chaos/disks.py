"""A small disk of a test's own, in a mount namespace that only those see who are started `through` it.

    with SmallDisk(instance.state_dir, mib=8) as disk:
        instance.through = disk.through
        disk.fill()
        ...
        disk.bring_home()       # what is on it now lies in the folder, for everybody

The tests themselves see its files under `inside` (but SQLite takes no such path: it would resolve it to the folder that
the disk is mounted on).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$0" && echo mounted && exec sleep infinity'


class SmallDisk:
    """The disk. It lives as long as the process that holds its namespace."""

    def __init__(self, folder: Path, holder: subprocess.Popen[str]) -> None:
        self._folder = folder
        self._ballast = 0
        user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        self.through = ["nsenter", f"--target={holder.pid}", *user, "--mount", f"--wd={folder.parent}"]
        self.inside = Path(f"/proc/{holder.pid}/root{folder}")

    def fill(self) -> None:
        """Leave not one byte."""
        self._ballast += 1
        with contextlib.suppress(OSError), (self.inside / f"ballast-{self._ballast}").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)

    def make_room(self) -> None:
        for file in self.inside.glob("ballast-*"):
            file.unlink()

    def make_read_only(self) -> None:
        """While no file on it is open for writing."""
        command = ["mount", "-o", "remount,ro", str(self._folder)]
        subprocess.run([*self.through, *command], check=True, capture_output=True)

    def bring_home(self) -> None:
        shutil.copytree(self.inside, self._folder, dirs_exist_ok=True)


@contextlib.contextmanager
def small_disk(folder: Path, mib: float) -> Iterator[SmallDisk]:
    """A disk of that size, mounted on the folder, which is made."""
    folder.mkdir(parents=True)
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    holder = subprocess.Popen(
        ["unshare", "--mount", *user, "sh", "-c", _MOUNT, str(folder), f"{int(mib * 1024)}k"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mounted\n"
        yield SmallDisk(folder, holder)
    finally:
        holder.kill()
        holder.communicate()
