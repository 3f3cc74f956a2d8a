"""The sessions of those who have shown the token, and how often one may try it."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Callable

SESSION_SECONDS = 12 * 3600.0
"""How long a session lasts: a working day."""

FREE_TRIES = 3
LONGEST_WAIT_SECONDS = 60.0
MOST_CLIENTS = 1000
"""How many addresses are remembered that have shown a wrong token; beyond this the first of them is forgotten."""


class Sessions:
    """Sessions that nobody has to remember: a key says until when it is good, and a digest proves that we have said so.
    So they outlast this process, which may be replaced at any moment.

    They end with the token, and with the root, which makes a `secret` at its start. `cookie` is the name of the cookie
    that has a key: another one for each instance, since a browser does not tell those of one machine apart.
    """

    def __init__(self, monotonic: Callable[[], float], secret: str, token: str) -> None:
        self._monotonic = monotonic
        self._secret = hmac.digest(secret.encode(), token.encode("utf-8", "replace"), "sha256")
        self.cookie = f"picturedesk-{self._proof('cookie')[:8]}"

    def open(self) -> str:
        """The key of a new session."""
        text = f"{int(self._monotonic() + SESSION_SECONDS)}.{secrets.token_hex(8)}"
        return f"{text}.{self._proof(text)}"

    def is_open(self, key: str) -> bool:
        text, _, proof = key.rpartition(".")
        if not hmac.compare_digest(proof.encode("utf-8", "replace"), self._proof(text).encode()):
            return False
        return int(text.partition(".")[0]) > self._monotonic()

    def _proof(self, text: str) -> str:
        return hmac.digest(self._secret, text.encode("utf-8", "replace"), "sha256").hex()


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
