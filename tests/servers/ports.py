"""Free ports of the loopback interface, for the servers of tests.

A port is free when it is given out; nothing reserves it. They are drawn at random from below the range that Linux gives
to outgoing connections, so that neither a client nor another run of the tests is likely to take one in between.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Container

HOST = "127.0.0.1"

PORTS = range(10_001, 22_001)
"""With 10000 more they still lie below 32768, where the ports of outgoing connections begin."""


def free_port() -> int:
    """A port that nothing listens on."""
    return free_ports(1)[0]


def free_ports(count: int, *, companion: int = 0, but: Container[int] = ()) -> list[int]:
    """`count` different ports that nothing listens on, where the port `companion` above each of them is free too.

    None of either is in `but`.

    >>> len(set(free_ports(3, companion=10_000)))
    3
    """
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            return found
        if port in but or port + companion in but:
            continue
        if _is_free(port) and (not companion or _is_free(port + companion)):
            found.append(port)
    raise OSError(f"there are no {count} free ports between {PORTS[0]} and {PORTS[-1]}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections that were closed a minute ago are in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
