"""A mailbox: one pipe, one writer, one reader, made anew for each incarnation of a child.

A shared `multiprocessing.Queue` breaks for all its users when one of them is killed while it holds the queue's lock,
and an idle reader holds it all the time. A mailbox has no lock between processes: each of its ends belongs to one
process, and a message is one atomic write (see `ipc.transport.messages`). So a killed process can spoil nothing but its
own two mailboxes, and those go with it.
"""

from __future__ import annotations

import os
import select
import struct
import threading
from io import FileIO

from ipc.transport.messages import MAX_BYTES, Message, MessageError, decode, encode

_LENGTH = struct.Struct("!i")
"""The header of each message: its length in bytes."""


class Closed(Exception):
    """The other end of the mailbox is gone, or as good as gone."""


class Outbox:
    """The writing end. Threads of one process may share it."""

    def __init__(self, pipe: FileIO, *, blocking: bool) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        os.set_blocking(pipe.fileno(), blocking)

    def fileno(self) -> int:
        return self._pipe.fileno()

    def send(self, message: Message) -> bool:
        """Write one message. False: the mailbox is full (non-blocking end only) and the message is dropped.

        Raises Closed if the reader is gone.
        """
        data = encode(message)
        with self._lock:
            try:
                written = self._pipe.write(_LENGTH.pack(len(data)) + data)  # all of it or, where there is no room, None
            except (OSError, ValueError) as error:  # ValueError: this end is closed
                raise Closed(str(error)) from error
        return written is not None

    def close(self) -> None:
        self._pipe.close()


class Inbox:
    """The reading end. One thread reads it."""

    def __init__(self, pipe: FileIO) -> None:
        self._pipe = pipe
        self._poll = select.poll()
        self._poll.register(pipe.fileno(), select.POLLIN)

    def fileno(self) -> int:
        return self._pipe.fileno()

    def receive(self) -> Message | None:
        """The next message if one is there, else None.

        Raises Closed when the writer is gone and all is read, and when it has sent what is no message: its supervisor
        hears it no more then, and replaces it.
        """
        try:
            if not self._poll.poll(0):
                return None
            (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
            if not 0 < length <= MAX_BYTES:
                raise MessageError(f"a message of {length} bytes")
            return decode(self._read(length))
        except (OSError, EOFError, ValueError, MessageError) as error:  # ValueError: this end is closed
            raise Closed(str(error)) from error

    def _read(self, length: int) -> bytes:
        """The next `length` bytes. EOFError: the writer is gone. MessageError: it has written half a message."""
        data = self._pipe.read(length)
        if data == b"":
            raise EOFError("the writer is gone")
        if data is None or len(data) < length:  # the rest never comes: a message is one write
            raise MessageError("half a message")
        return data

    def close(self) -> None:
        self._pipe.close()


def pair() -> tuple[FileIO, FileIO]:
    """A new pipe as (reading end, writing end); neither is inherited by a child unless it is passed on by name."""
    reading, writing = os.pipe()
    return FileIO(reading, "rb"), FileIO(writing, "wb")


def inbox_from_fd(fd: int) -> Inbox:
    """The reading end that was passed on to this process as file descriptor `fd`."""
    return Inbox(FileIO(fd, "rb"))


def outbox_from_fd(fd: int) -> Outbox:
    """The writing end that was passed on to this process as file descriptor `fd`. It blocks while it is full."""
    return Outbox(FileIO(fd, "wb"), blocking=True)
