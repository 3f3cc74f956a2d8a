"""The sessions of those who have shown the token, and how often one may try it. Both are in memory alone."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from collections.abc import Callable

SESSION_SECONDS = 12 * 3600.0
"""How long a session lasts: a working day."""

MOST_SESSIONS = 50
"""Beyond this the oldest one ends."""

FREE_TRIES = 3
LONGEST_WAIT_SECONDS = 60.0
MOST_CLIENTS = 1000
"""How many addresses are remembered that have shown a wrong token; beyond this the first of them is forgotten."""


class Sessions:
    """Open sessions. Only a digest of each key is kept, so looking one up tells nothing by the time that it takes.

    `cookie` is the name of the cookie that has a key: a new one for each process, since a browser does not tell the
    instances of one machine apart.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until: dict[bytes, float] = {}
        self.cookie = f"picturedesk-{secrets.token_hex(4)}"

    def open(self) -> str:
        """The key of a new session."""
        now = self._monotonic()
        self._until = {digest: until for digest, until in self._until.items() if until > now}
        while len(self._until) >= MOST_SESSIONS:
            del self._until[next(iter(self._until))]
        key = secrets.token_urlsafe(32)
        self._until[_digest(key)] = now + SESSION_SECONDS
        return key

    def is_open(self, key: str) -> bool:
        return self._until.get(_digest(key), 0.0) > self._monotonic()


class Tries:
    """How often a client may try the token: after some wrong ones it waits, twice as long each time."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures: dict[str, tuple[int, float]] = {}

    def wait_seconds(self, client: str) -> float:
        """How long that address has to wait now; 0 if it may try."""
        _, until = self._failures.get(_network(client), (0, 0.0))
        return max(0.0, until - self._monotonic())

    def note_failure(self, client: str) -> None:
        network = _network(client)
        count = self._failures.pop(network, (0, 0.0))[0] + 1
        while len(self._failures) >= MOST_CLIENTS:
            del self._failures[next(iter(self._failures))]
        self._failures[network] = (count, self._monotonic() + pause_seconds(count))

    def note_success(self, client: str) -> None:
        self._failures.pop(_network(client), None)


def pause_seconds(failures: int) -> float:
    """How long to wait after that many failures.

    >>> [pause_seconds(count) for count in (1, 3, 4, 5, 9, 99)]
    [0.0, 0.0, 2.0, 4.0, 60.0, 60.0]
    """
    return 0.0 if failures <= FREE_TRIES else min(2.0 ** min(failures - FREE_TRIES, 10), LONGEST_WAIT_SECONDS)


def _network(client: str) -> str:
    """What one client is likely to have whole: an IPv4 address, or an IPv6 network of 64 bits.

    >>> _network("10.0.0.7"), _network("2001:db8::1"), _network("")
    ('10.0.0.7', '2001:db8::', '')
    """
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 4:
        return client
    return str(ipaddress.ip_network((address, 64), strict=False).network_address)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
