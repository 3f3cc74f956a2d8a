"""sd_notify: what a service tells systemd about itself, one datagram a message, as sd_notify(3) has it.

Nothing here ever raises or blocks: a service that cannot be heard goes on. A caller that must be heard looks at the
answer and repeats the message. Without NOTIFY_SOCKET nothing is sent. Children do not see the socket: they have an
environment of their own (`supervisor.processes.process.environment`), and systemd listens to the main process alone
(NotifyAccess=main).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping


class SystemdNotifier:
    """Messages to systemd. Every method returns whether its message is out; True as well where none is wanted."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds = _watchdog_seconds(environ, pid)
        """Time within which systemd wants to hear `alive`, in seconds; 0 if it does not."""
        self.was_ready = False
        self.owes_ready = False
        """Whether a READY=1 did not get out: without the one that ends a reload, systemd would wait for ever."""

    def ready(self) -> bool:
        """The start, or a reload, is over."""
        is_out = self._send("READY=1")
        self.was_ready = self.was_ready or is_out
        self.owes_ready = not is_out
        return is_out

    def starting(self, within_seconds: float) -> bool:
        """Ask systemd to allow the start this many seconds from now, even beyond TimeoutStartSec=."""
        return self._send(f"EXTEND_TIMEOUT_USEC={round(within_seconds * 1e6)}")

    def reloading(self) -> bool:
        """A reload begins; `ready` ends it."""
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, within_seconds: float) -> bool:
        """The stop begins. Ask systemd to allow it this many seconds from now, even beyond TimeoutStopSec=."""
        return self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={round(within_seconds * 1e6)}")

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self._send(f"STATUS={' '.join(text.split())}")

    def alive(self) -> bool:
        return self._send("WATCHDOG=1")

    def _send(self, message: str) -> bool:
        if not self._address:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.setblocking(False)
                line.sendto(message.encode(), self._address)
        except OSError:  # there is no listener, or its queue is full
            return False
        return True


def _address(name: str) -> str:
    """The socket's address; an abstract one is written with @ for the zero byte. Empty: there is none that we know."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else ""


def _watchdog_seconds(environ: Mapping[str, str], pid: int) -> float:
    """WATCHDOG_USEC, unless WATCHDOG_PID says that it is meant for another process."""
    try:
        if int(environ.get("WATCHDOG_PID") or pid) != pid:
            return 0.0
        return max(0, int(environ.get("WATCHDOG_USEC") or 0)) / 1e6
    except ValueError:
        return 0.0
