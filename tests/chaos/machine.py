"""A machine on a bad day, for one instance: a clock that is wrong, a slow disk, no process or no thread to be had.

    with bad_machine(tmp_path) as machine:
        instance.through = machine.through
        machine.set(clock_seconds=3600)

`shim.c` is loaded into every process of the instance, by an /etc/ld.so.preload that is in its mount namespace alone.
"""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_MOUNT = 'mount --bind "$0" /etc && exec "$@"'
_FIGURES = struct.Struct("=qqqq")


class BadMachine:
    """`set` takes effect at once, in all processes."""

    def __init__(self, etc: Path, figures: Path) -> None:
        self.through = ["unshare", "--mount", "--map-root-user", "sh", "-c", _MOUNT, str(etc)]
        self._figures = figures

    def set(
        self,
        *,
        clock_seconds: int = 0,
        fsync_seconds: float = 0.0,
        no_processes: bool = False,
        no_threads: bool = False,
    ) -> None:
        """What is not named is as it should be."""
        with self._figures.open("r+b") as file:
            file.write(_FIGURES.pack(clock_seconds, int(1e6 * fsync_seconds), no_processes, no_threads))


@contextlib.contextmanager
def bad_machine(folder: Path) -> Iterator[BadMachine]:
    """A machine that is well, for now. Needs a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler: install gcc")
    figures, library, etc = folder / "figures", folder / "shim.so", folder / "etc"
    source = Path(__file__).with_name("shim.c")
    define = f'-DSHIM_FIGURES="{figures}"'
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", define, "-o", library, source, "-ldl"], check=True
    )
    figures.write_bytes(_FIGURES.pack(0, 0, 0, 0))
    with contextlib.suppress(shutil.Error):  # what only its owner may read, nobody here needs
        shutil.copytree("/etc", etc, symlinks=True)
    (etc / "ld.so.preload").write_text(f"{library}\n")
    yield BadMachine(etc, figures)
    shutil.rmtree(etc)
