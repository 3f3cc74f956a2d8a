"""What a command writes to its standard output and error, line by line into our log.

A line is a record with the child's name and the stream; what is not text in it is replaced, and its end is cut if it is
too long for one. No command can hold up the supervisor or flood the log: it reads a little at a time, and limits the
lines and bytes a second. A command that writes more waits at the pipe, as before any slow terminal.
"""

from __future__ import annotations

import os
import re
import time

import structlog

from supervisor.processes.loop.protocols import Loop

LINES_A_SECOND = 1000
BYTES_A_SECOND = 2**20
"""What of one stream is read in a second."""

SHARE_SECONDS = 2.0
"""A share that is not used can be used later, but at most this many seconds of it: the loop may come round late."""

LINE_BYTES = 1400
"""Longest line in the log, in bytes. A record has 4 KiB, and each of these bytes may take two."""

CHUNK_BYTES = 4096
CHUNKS = 16
"""Chunks of one stream that are read in one go; then the other streams have their turn."""

LAST_LINES = 1000
"""Lines logged of what a command leaves in its pipe when it ends: the last ones, which say why."""

_BREAK = re.compile(rb"[\r\n]")
_COLOUR = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")

log = structlog.get_logger()


class Output:
    """One stream of one process. Owns `fd`, the reading end of its pipe."""

    def __init__(self, fd: int, child: str, stream: str) -> None:
        self.fd = fd
        self._child = child
        self._stream = stream
        self._rest = b""
        self._is_cut = False
        self._lines_left: float = LINES_A_SECOND
        self._bytes_left: float = BYTES_A_SECOND
        self._renewed = 0.0
        os.set_blocking(fd, False)

    def may_be_read(self, now: float) -> bool:
        """Whether it has not had its share for now (monotonic seconds)."""
        seconds, self._renewed = now - self._renewed, now
        self._lines_left = min(SHARE_SECONDS * LINES_A_SECOND, self._lines_left + seconds * LINES_A_SECOND)
        self._bytes_left = min(SHARE_SECONDS * BYTES_A_SECOND, self._bytes_left + seconds * BYTES_A_SECOND)
        return self._has_share()

    def read(self) -> bool:
        """Take what is there, as long as its share lasts. False: there will be no more."""
        for _ in range(CHUNKS):
            if not self._has_share():
                return True
            try:
                data = os.read(self.fd, CHUNK_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._take(data)
        return True

    def finish(self) -> None:
        """The command is gone: take the rest and close the pipe, though others may still write to it."""
        data = b""
        try:
            while len(data) < LAST_LINES * CHUNK_BYTES // 16 and (more := os.read(self.fd, CHUNK_BYTES)):
                data += more
        except BlockingIOError:
            pass
        os.close(self.fd)
        *lines, last = _BREAK.split(data)
        if (left_out := len(lines) - LAST_LINES) > 0:
            log.warning("command.output_omitted", child=self._child, stream=self._stream, lines=left_out)
            lines = lines[left_out:]
        self._take(b"\n".join([*lines, last, b""]))

    def _has_share(self) -> bool:
        return self._lines_left > 0 and self._bytes_left > 0

    def _take(self, data: bytes) -> None:
        self._bytes_left -= len(data)
        *lines, rest = _BREAK.split(self._rest + data)
        for line in lines:
            if self._is_cut:  # this is the end of a line whose beginning has been told
                self._is_cut = False
            else:
                self._tell(line)
        if self._is_cut:
            rest = b""
        elif len(rest) > LINE_BYTES:
            self._tell(rest)
            self._is_cut, rest = True, b""
        self._rest = rest

    def _tell(self, line: bytes) -> None:
        text = readable(line)
        if text:
            self._lines_left -= 1
            log.info("command.printed", child=self._child, stream=self._stream, line=text)


def readable(line: bytes) -> str:
    """A line as text that is fit for a log: without colours, what is not printable replaced, its end cut if need be.

    >>> readable(b"\\x1b[31mno\\x1b[0m \\xff \\0")
    'no � �'
    """
    cut = "…" if len(line) > LINE_BYTES else ""
    text = _COLOUR.sub(b"", line[:LINE_BYTES]).decode(errors="replace")
    return "".join(char if char.isprintable() or char == "\t" else "�" for char in text).rstrip() + cut


class Outputs:
    """The outputs of all commands, read in the supervisor's loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._watched: set[Output] = set()
        self._paused: set[Output] = set()

    def add(self, outputs: tuple[Output, ...]) -> None:
        for output in outputs:
            self._watch(output)

    def look(self) -> None:
        """Go on with those that had to pause. Called at least every two seconds."""
        now = time.monotonic()
        for output in [one for one in self._paused if one.may_be_read(now)]:
            self._paused.discard(output)
            self._watch(output)

    def end(self, outputs: tuple[Output, ...]) -> None:
        """Finish the outputs of a command that is gone."""
        for output in outputs:
            self._unwatch(output)
            self._paused.discard(output)
            output.finish()

    def _read(self, output: Output) -> None:
        if output not in self._watched:
            return  # in the same round, its command has been found to be gone
        if not output.read():
            self._unwatch(output)  # closed by the command, which may run on
        elif not output.may_be_read(time.monotonic()):
            self._unwatch(output)
            self._paused.add(output)

    def _watch(self, output: Output) -> None:
        self._watched.add(output)
        self._loop.watch(output.fd, lambda: self._read(output))

    def _unwatch(self, output: Output) -> None:
        if output in self._watched:
            self._watched.discard(output)
            self._loop.unwatch(output.fd)
