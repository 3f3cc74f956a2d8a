"""Updates: what happens in the world, pushed to all who are connected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from telethon.tl import types

from tests.servers.telegram.channel import Change, Channel
from tests.servers.telegram.faults import Faults
from tests.servers.telegram.media import moment
from tests.servers.telegram.tl import UNKNOWN
from tests.servers.telegram.world import World


class Subscriber(Protocol):
    """A connection that is sent updates."""

    def send(self, body: list[bytes | memoryview], /) -> None: ...


class Pusher:
    """Between the world's changes, made in any thread, and the connections in the server's loop."""

    def __init__(self, world: World, faults: Faults, subscribers: Callable[[], list[Subscriber]]) -> None:
        self.pushed = 0
        self._world = world
        self._faults = faults
        self._subscribers = subscribers
        self._held: list[bytes] = []
        self._outgoing: list[bytes] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.stop = world.listen(self._changed, self._any)

    def start(self) -> None:
        """To be called in the loop."""
        self._loop = asyncio.get_running_loop()

    def _changed(self, channel: Channel, changes: list[Change]) -> None:
        """Called under the world's lock by the code that changed it; what is pushed is the state of now."""
        if not changes or not (channel.member or changes[0].kind == "info") or not self._subscribers():
            return
        found = [self._world.update(channel, change) for change in changes]
        self._push_soon(channel, [update for update in found if update is not None])

    def _any(self, channel: Channel, update: Any) -> None:
        self._push_soon(channel, [update])

    def _push_soon(self, channel: Channel, updates: list[Any]) -> None:
        """Decide now what is done with them, so that a later fault doesn't touch them; send them in the loop."""
        packed = self._pack([self._world.chat(channel)], updates)
        match self._faults.take_update(channel.id):
            case "lost":
                return
            case "swapped":
                self._held.append(packed)
                return
            case "doubled":
                packets = [packed, packed]
            case "unreadable":
                packets = [self._pack([], [UNKNOWN])]
            case _:
                packets = [packed]
        # One wake-up for all that comes while the loop is busy: a thousand posts would otherwise cost a thousand.
        idle = not self._outgoing
        self._outgoing += packets + self._held
        self._held.clear()
        if idle and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._push)

    def _pack(self, chats: list[Any], updates: list[Any]) -> bytes:
        return bytes(types.Updates(updates, [], chats, moment(self._world.now()), 0))

    def _push(self) -> None:
        with self._world.lock:
            packets, self._outgoing = self._outgoing, []
        subscribers = self._subscribers()
        self.pushed += len(packets)
        for packed in packets:
            for connection in subscribers:
                connection.send([packed])
