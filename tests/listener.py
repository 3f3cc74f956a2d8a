"""systemd's end of the line: a socket that a service under test sends its sd_notify messages to."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Self


class Listener:
    """A datagram socket of the kernel's; `messages` has everything that has come so far, oldest first."""

    def __init__(self, address: Path | str) -> None:
        """At a path, or at an abstract address, written with @."""
        self.address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{self.address[1:]}" if self.address.startswith("@") else self.address)
        self._socket.setblocking(False)
        self._messages: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def messages(self) -> list[str]:
        try:
            while True:
                self._messages.append(self._socket.recv(65536).decode())
        except BlockingIOError:
            return list(self._messages)

    def count(self, message: str) -> int:
        return self.messages.count(message)

    def statuses(self) -> list[str]:
        return [one.removeprefix("STATUS=") for one in self.messages if one.startswith("STATUS=")]
