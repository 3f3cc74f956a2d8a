"""Where methods are found by name, and what each is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tests.servers.telegram.tl import RpcError

if TYPE_CHECKING:
    from tests.servers.telegram.channel import Channel
    from tests.servers.telegram.hub import Hub
    from tests.servers.telegram.keys import Authorization
    from tests.servers.telegram.world import World


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, and where."""

    hub: Hub
    dc_id: int
    authorization: Authorization

    @property
    def world(self) -> World:
        return self.hub.world

    def channel(self, given: Any, *, readable: bool = True) -> Channel:
        """The channel that an InputChannel or InputPeer means, if the account may see it."""
        channel = self.world.channels.get(getattr(given, "channel_id", 0))
        if channel is None or channel.access_hash != getattr(given, "access_hash", None):
            raise RpcError(400, "CHANNEL_INVALID" if hasattr(given, "channel_id") else "PEER_ID_INVALID")
        if readable and not channel.readable:
            raise RpcError(400, "CHANNEL_PRIVATE")
        return channel


Method = Callable[[Call, Any], Any]
M = TypeVar("M", bound=Method)

METHODS: dict[str, Method] = {}
WITHOUT_LOGIN: set[str] = set()


def method(name: str, *, without_login: bool = False) -> Callable[[M], M]:
    """Register a method by its name in Telegram's documentation."""

    def register(function: M) -> M:
        METHODS[name] = function
        if without_login:
            WITHOUT_LOGIN.add(name)
        return function

    return register
