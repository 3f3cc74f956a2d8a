"""A mailbox: one pipe, one writer, one reader, made anew for each incarnation of a child.

A shared `multiprocessing.Queue` breaks for all its users when one of them is killed while it holds the queue's lock,
and an idle reader holds it all the time. A mailbox has no lock between processes: each of its ends belongs to one
process, and a message is one atomic write (see `ipc.transport.messages`). So a killed process can spoil nothing but its
own two mailboxes, and those go with it.
"""

from __future__ import annotations

import os
import select
import threading
from multiprocessing.connection import Connection, Pipe

from ipc.transport.messages import MAX_BYTES, Message, MessageError, decode, encode


class Closed(Exception):
    """The other end of the mailbox is gone, or as good as gone."""


class Outbox:
    """The writing end. Threads of one process may share it."""

    def __init__(self, connection: Connection, *, blocking: bool) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        os.set_blocking(connection.fileno(), blocking)

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, message: Message) -> bool:
        """Write one message. False: the mailbox is full (non-blocking end only) and the message is dropped.

        Raises Closed if the reader is gone.
        """
        data = encode(message)
        with self._lock:
            try:
                self._connection.send_bytes(data)
            except BlockingIOError:
                return False
            except OSError as error:
                raise Closed(str(error)) from error
        return True

    def close(self) -> None:
        self._connection.close()


class Inbox:
    """The reading end. One thread reads it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._poll = select.poll()  # not the connection's own, which makes a selector each time
        self._poll.register(connection.fileno(), select.POLLIN)

    def fileno(self) -> int:
        return self._connection.fileno()

    def receive(self) -> Message | None:
        """The next message if one is there, else None.

        Raises Closed when the writer is gone and all is read, and when it has sent what is no message: its supervisor
        hears it no more then, and replaces it.
        """
        try:
            if not self._poll.poll(0):
                return None
            return decode(self._connection.recv_bytes(MAX_BYTES))
        except (EOFError, OSError, MessageError) as error:
            raise Closed(str(error)) from error

    def close(self) -> None:
        self._connection.close()


def pair() -> tuple[Connection, Connection]:
    """A new pipe as (reading end, writing end); neither is inherited by a child unless it is passed on by name."""
    return Pipe(duplex=False)


def inbox_from_fd(fd: int) -> Inbox:
    """The reading end that was passed on to this process as file descriptor `fd`."""
    return Inbox(Connection(fd, writable=False))


def outbox_from_fd(fd: int) -> Outbox:
    """The writing end that was passed on to this process as file descriptor `fd`. It blocks while it is full."""
    return Outbox(Connection(fd, readable=False), blocking=True)
