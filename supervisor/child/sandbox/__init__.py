"""The sandbox of a child that opens what strangers made: it gives up, for good and in every thread, the network, other
programs and processes, all capabilities, and every file but those that it is for.

What is open stays open: its inbox and outbox, the log, the liveness pipe. It may read the folders of the interpreter
and the libraries, for what they import at their first use. The layers:

- no capabilities, and no new ones by an exec (`supervisor.child.privileges`)
- files: Landlock, where the kernel has it (`landlock`)
- system calls: seccomp, on x86-64 and arm64 (`filter`, `syscalls`)

A process that breaks the rules of the filter dies by SIGSYS. A file that it may not have is answered with EACCES.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from supervisor.child import privileges
from supervisor.child.sandbox import filter, landlock

_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
"""Where a library may be that is loaded at its first use."""

_PROCESSORS: Final = ("/sys/devices/system/cpu", "/proc/cpuinfo")
"""What encoders look at to choose their number of threads."""


@dataclass(frozen=True, slots=True)
class Level:
    """How well a process is sealed. `landlock` is the version of the kernel's interface, 0 without.

    `faults`: the layers that the kernel has and refused, and why.
    """

    seccomp: bool
    landlock: int
    faults: tuple[str, ...] = ()

    def __str__(self) -> str:
        layers = ["seccomp"] * self.seccomp + [f"Landlock {self.landlock}"] * bool(self.landlock)
        return ", ".join(layers) or "none"


NONE: Final = Level(seccomp=False, landlock=0)

REMEDY: Final = (
    "Use a kernel with seccomp on x86-64 or arm64, and let the container or the unit allow the calls seccomp and"
    ' landlock_*; or set pool.sandbox = "auto", which seals the image workers as well as the machine can'
)


def best() -> Level:
    """The best that can be had here."""
    return Level(filter.is_there(os.uname().machine), landlock.version())


def enter(readable: Iterable[Path], writable: Iterable[Path]) -> Level:
    """Seal this process; how well. To be called while there is one thread, after the imports of what it runs.

    Besides the folders of the interpreter it may read what is in `readable`, and read and write what is in `writable`.
    """
    machine = os.uname().machine
    faults: list[str] = []
    version, has_filter = 0, False
    try:
        privileges.give_up()
        version = landlock.restrict([*interpreter(), *readable], writable)
    except OSError as error:
        faults.append(str(error))
    try:
        if filter.is_there(machine):
            filter.install(machine)
            has_filter = True
    except OSError as error:
        faults.append(str(error))
    return Level(has_filter, version, tuple(faults))


def interpreter() -> list[Path]:
    """The folders that Python and its libraries read of: what `import` and the loader of shared libraries need."""
    paths = sysconfig.get_paths()
    own = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    base = Path(sys.base_prefix) / "lib"
    return [Path(path) for path in (*sorted(own), str(base), *_LIBRARIES, *_PROCESSORS)]
