"""Which requests are answered, by the name in their Host header."""

from __future__ import annotations

import ipaddress

ANY_HOST = "*"


def host_is_served(host: str | None, allowed: frozenset[str]) -> bool:
    """Whether a request with this Host header is answered: it is for this machine, or for a name of `allowed`.

    An address is no name that could have been made to lead here. A request without the header (HTTP/1.0) comes from no
    browser.

    >>> ours = frozenset({"desk.example.org"})
    >>> [host_is_served(host, ours) for host in (None, "[::1]:8080", "localhost:1", "10.0.0.7", "Desk.Example.org.:1")]
    [True, True, True, True, True]
    >>> [host_is_served(host, ours) for host in ("evil.example", "")]
    [False, False]
    """
    if host is None or ANY_HOST in allowed:
        return True
    name = name_of(host)
    return name == "localhost" or name.endswith(".localhost") or name in allowed or _is_address(name)


def name_of(host: str) -> str:
    """The header's name or address, without the port.

    >>> name_of("[::1]:8080"), name_of("Desk.Example.org.:1")
    ('::1', 'desk.example.org')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".").lower()


def is_loopback(name: str) -> bool:
    """Whether a name or an address is of this machine's loopback interface.

    >>> [is_loopback(name) for name in ("127.0.0.1", "::1", "desk.localhost", "::ffff:127.0.0.1")]
    [True, True, True, True]
    >>> is_loopback("10.0.0.7"), is_loopback("desk.example.org")
    (False, False)
    """
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
