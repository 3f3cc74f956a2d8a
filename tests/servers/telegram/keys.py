"""The authorisation keys that the server knows, and what it remembers with each."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from typing import Any

from telethon.crypto import AuthKey

from tests.servers.telegram.tl import RpcError

DUPLICATED = RpcError(406, "AUTH_KEY_DUPLICATED")
UNREGISTERED = RpcError(401, "AUTH_KEY_UNREGISTERED")


def new_salt() -> int:
    # Never 0: that is what a client begins with, and it must be told better.
    return secrets.randbelow(2**63 - 1) + 1


@dataclass(eq=False)
class Authorization:
    """One key of one data centre: who has logged in with it, and how far a login has come."""

    key: Any
    dc_id: int
    logged_in: bool = False
    awaits_password: bool = False
    layer: int = 0
    salt: int = field(default_factory=new_salt)
    sessions: set[int] = field(default_factory=set)
    refusal: RpcError | None = None
    parent: Authorization | None = None
    """Whose login it was made from, if it came from another data centre: it ends with that one."""

    def refused(self) -> RpcError | None:
        """What every request of this key is answered with, if it is no longer welcome."""
        return self.refusal or (self.parent.refused() if self.parent else None)


class Keys:
    """All keys of all data centres; each data centre knows only its own."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Authorization] = {}

    def make(self, dc_id: int, *, logged_in: bool) -> Authorization:
        """A new key that no exchange was needed for."""
        return self.add(AuthKey(os.urandom(256)), dc_id, logged_in=logged_in)

    def add(self, key: Any, dc_id: int, *, logged_in: bool = False) -> Authorization:
        return self._known.setdefault((dc_id, key.key_id), Authorization(key, dc_id, logged_in))

    def find(self, dc_id: int, key_id: int) -> Authorization | None:
        return self._known.get((dc_id, key_id))

    def all(self) -> list[Authorization]:
        return list(self._known.values())

    def forget(self) -> None:
        """Know none any more: a client that comes with an old one gets the transport error 404."""
        self._known.clear()
