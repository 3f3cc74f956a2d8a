"""Kills the process groups of commands when the supervisor that started them is gone, however it ended.

The kernel kills a command with its supervisor, but not the command's own children. So a supervisor with commands starts
one small process that only reads a pipe: the number of each group as it comes, with a minus as it goes. The supervisor
alone holds the other end. At the end of the pipe the process kills the groups that are left, and exits.

This file is both: the supervisor's end of the pipe, and the process, which is run with the standard library only
(`python -I -S group_killer.py FD`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path


class GroupKiller:
    """The supervisor's end. The process is started with the first group; one that was killed, with the next change."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._writer = -1

    def add(self, group: int) -> None:
        self._groups.add(group)
        self._tell(group)

    def remove(self, group: int) -> None:
        if group in self._groups:
            self._groups.discard(group)
            self._tell(-group)

    def close(self) -> None:
        """End the group killer: it is needed no more."""
        if self._process is not None:
            os.close(self._writer)
            self._process.kill()
            self._process.wait()
            self._process = None

    def _tell(self, number: int) -> None:
        """Say so, and never wait: without the process, the commands themselves still end with their supervisor."""
        with contextlib.suppress(OSError):
            if self._process is not None:
                try:
                    os.write(self._writer, b"%d\n" % number)
                except BrokenPipeError:
                    self.close()
            if self._process is None:
                self._start()

    def _start(self) -> None:
        reader, writer = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(reader)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                pass_fds=(reader,),
                start_new_session=True,
            )
        except BaseException:
            os.close(writer)
            raise
        finally:
            os.close(reader)
        self._writer = writer
        os.set_blocking(writer, False)
        for group in self._groups:
            os.write(writer, b"%d\n" % group)


def main(fd: int) -> None:
    """Be the process: read the pipe to its end, then kill the groups that are left."""
    for asks_to_leave in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(asks_to_leave, signal.SIG_IGN)
    groups: set[int] = set()
    with os.fdopen(fd, "rb") as lines:
        for line in lines:
            number = int(line)
            if number > 0:
                groups.add(number)
            else:
                groups.discard(-number)
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
