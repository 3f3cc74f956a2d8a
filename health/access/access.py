"""Who may read what, and who may act: by the Host header, the token or a session's cookie, and where a request is from.

The page asks more than /status. Without a token only a browser on this machine sees it, and it offers no action.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from health.access.hosts import host_is_served, is_loopback, name_of
from health.access.sessions import Sessions
from health.answers import Answer, Headers, Scope, header, json_answer

CHALLENGE = (b"www-authenticate", b"Bearer")
FORWARDED = (b"forwarded", b"x-forwarded-for", b"via")
"""A request with one of these comes through a proxy: its address is not the reader's."""


class Access:
    """The rules, with the token (empty: there is none), the names that are served, and the sessions that are open."""

    def __init__(self, token: str, allowed_hosts: Iterable[str], sessions: Sessions) -> None:
        self.has_token = bool(token)
        self._token = token
        self._hosts = frozenset(host.lower().rstrip(".") for host in allowed_hosts)
        self._sessions = sessions

    def refuse_host(self, headers: Headers) -> Answer | None:
        """The refusal of a request whose Host header names another machine."""
        host = header(headers, b"host")
        return None if host_is_served(host, self._hosts) else json_answer({"error": _wrong_host(host)}, 421)

    def is_token(self, given: str) -> bool:
        """Whether that is the token. It takes as long for any wrong one."""
        return self.has_token and hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())

    def is_authorized(self, headers: Headers) -> bool:
        """Whether there is a token and the request has shown it: by itself, or for its session."""
        scheme, _, given = (header(headers, b"authorization") or "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(given.strip()):  # the scheme's name has no case
            return True
        return self.has_token and self._sessions.is_open(_cookie(headers, self._sessions.cookie))

    def may_read(self, headers: Headers) -> bool:
        """Whether the request may read /status."""
        return not self.has_token or self.is_authorized(headers)

    def refuse_page(self, scope: Scope) -> Answer | None:
        """The refusal of a request for the page, which needs a token unless all of it stays on this machine."""
        if refusal := self.refuse_host(scope["headers"]):
            return refusal
        if self.has_token or _is_local(scope):
            return None
        what = "without health.token the page is for this machine alone: set health.token (PICTUREDESK__HEALTH__TOKEN)"
        return json_answer({"error": f"{what}, or open it under http://localhost"}, 403)

    def refuse_data(self, scope: Scope) -> Answer | None:
        """The refusal of a request for what the page shows."""
        if refusal := self.refuse_page(scope):
            return refusal
        return None if self.may_read(scope["headers"]) else needs_token()

    def refuse_action(self, headers: Headers) -> Answer | None:
        """The refusal of a request that is to change something."""
        if not self.has_token:
            return json_answer({"error": "actions need health.token (PICTUREDESK__HEALTH__TOKEN) to be set"}, 403)
        return None if self.is_authorized(headers) else needs_token()


def needs_token() -> Answer:
    return json_answer({"error": "this needs the header Authorization: Bearer and health.token"}, 401, CHALLENGE)


def _cookie(headers: Headers, name: str) -> str:
    """The value of our cookie; empty if there is none. Read by hand: others' cookies on this machine may have any form.

    >>> _cookie([(b"cookie", b'other={"a":1}; =; mine=key')], "mine"), _cookie([], "mine")
    ('key', '')
    """
    pairs = (one.strip().partition("=") for one in (header(headers, b"cookie") or "").split(";"))
    return next((value for key, _, value in pairs if key == name), "")


def _is_local(scope: Scope) -> bool:
    """Whether the request comes from this machine, by itself and under a name of this machine."""
    headers, client = scope["headers"], scope.get("client")
    host = header(headers, b"host")
    return (
        client is not None
        and is_loopback(client[0])
        and (host is None or is_loopback(name_of(host)))
        and not any(header(headers, name) is not None for name in FORWARDED)
    )


def _wrong_host(host: str | None) -> str:
    return (
        f"this server is not asked for by the name {name_of(host or '')!r}. If it is a name of this server's, add it to"
        " health.allowed_hosts (PICTUREDESK__HEALTH__ALLOWED_HOSTS, names with commas between them)"
    )
