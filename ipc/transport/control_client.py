"""The client's end of the control socket, by which the commands and the page ask the root for an operation.

A request is one line of JSON, and so is the answer; then the connection is closed.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "control.sock"

ANSWER_SECONDS = 30.0
"""How long a client waits for the root, which may be busy."""


def ask(state_dir: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of the root on that state_dir. Raises OSError, ValueError if there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, short_address(state_dir) as address:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(address)
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as reader:
            answer: dict[str, Any] = json.loads(reader.readline())
    return answer


@contextlib.contextmanager
def short_address(folder: Path) -> Iterator[str]:
    """An address of the socket that fits into the 107 bytes that one may have, however deep the folder lies."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{NAME}"
    finally:
        os.close(fd)
