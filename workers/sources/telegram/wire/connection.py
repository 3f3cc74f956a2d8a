"""One connection to Telegram: what the rest asks of it, in its own words.

Promises. Every request ends: with an answer, or with one of `errors` in its time. Nothing is tried again in here and
nothing is waited for but the answer; the caller decides. An update becomes a hint: which channel, which messages.

Telethon does as little as possible by itself: it does not reconnect (a connection that is lost is closed and another
one made), it does not wait out floods, it does not catch up, and its session is in memory.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from telethon import events
from telethon.tl import functions, types

from ipc.posts import clean
from ipc.process.holds import Hold
from ipc.text.channel_address import Address
from ipc.text.durations import duration
from workers.sources.telegram.wire import peers
from workers.sources.telegram.wire.account import LOGIN, Account
from workers.sources.telegram.wire.client import connect, load_session, make_client, overhear, stay
from workers.sources.telegram.wire.errors import ConnectionLost, Flooded, ServerTrouble, Unanswered
from workers.sources.telegram.wire.files.files import Files
from workers.sources.telegram.wire.hints import Hint, hint_of
from workers.sources.telegram.wire.media import File, Message, read_message
from workers.sources.telegram.wire.peers import PAGE, Peer, input_channel, input_peer, name_of
from workers.sources.telegram.wire.translation import translated
from workers.unforeseen import contained

REQUEST_SECONDS: Final = 20.0
"""How long an answer may take. Telegram answers within a second; a slow proxy may need some."""

CONNECT_SECONDS: Final = 30.0
"""For all of connecting: the proxy's handshake, Telegram's, the first requests."""

CLOSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Messages, ascending. `title` and `name` are the channel's as they are now (see `Peer`)."""

    messages: tuple[Message, ...]
    title: str
    name: str | None = None


class Connection:
    """One connection. `previews`: messages with a web-page preview are taken for its picture; `posters`: videos for
    their poster.

    `heard_at`: when Telegram has last answered anything (monotonic). `clock_ahead`: how far its clock, which dates the
    messages, is ahead of this machine's in seconds, as far as is known.
    """

    def __init__(
        self, account: Account, on_hint: Callable[[Hint], None], *, previews: bool = False, posters: bool = False
    ) -> None:
        self._client = make_client(account, load_session(account))
        stay(self._client)
        overhear(self._client, self._overhear)
        self._files = Files(self._client, self._heard)
        self._on_hint = on_hint
        self._previews = previews
        self._posters = posters
        self.account_id = 0
        self.heard_at = -math.inf
        self.clock_ahead = 0.0

    async def connect(self) -> None:
        """Connect as an account that is logged in. Raises ConnectionLost, ServerTrouble, Flooded and Hold."""
        self._client.add_event_handler(self._hear, events.Raw())
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connect(self._client)
                me = await translated(self._client(functions.users.GetUsersRequest([types.InputUserSelf()])))
        except TimeoutError as error:
            raise ConnectionLost(f"no connection within {duration(CONNECT_SECONDS)}") from error
        if not me:
            raise Hold("the session is not logged in", LOGIN)
        self.account_id = me[0].id

    async def lost(self) -> None:
        """Wait until the connection is gone, or one of telethon's own tasks, without which it is deaf, has ended.

        Raises ConnectionLost then, or Hold where the reason is for good.
        """
        client = self._client
        ended = client._sender._disconnected  # `client.disconnected` makes one more, lost if this task is cancelled
        await asyncio.wait({ended, client._updates_handle, client._keepalive_handle}, return_when="FIRST_COMPLETED")
        if not ended.done() and client.is_connected():
            raise ConnectionLost("telethon takes no updates any more")
        await translated(ended)
        raise ConnectionLost("the connection was closed")

    async def close(self) -> None:
        """Close the connection, whatever state it is in."""
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._files.close()
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._client.disconnect()
        ended = self._client.disconnected
        if ended.done() and not ended.cancelled():
            ended.exception()  # asyncio would complain if nothing had waited for it

    async def ask(self, request: Any, seconds: float = REQUEST_SECONDS) -> Any:
        """Telegram's answer. Raises what `errors` has, and Hold."""
        try:
            async with asyncio.timeout(seconds):
                answer = await translated(self._client(request))
        except TimeoutError as error:
            raise Unanswered(f"no answer to {type(request).__name__} within {duration(seconds)}") from error
        self.heard_at = time.monotonic()
        return answer

    # Channels

    async def resolve(self, address: Address) -> Peer:
        """Find a channel that this account has never had to do with. Raises ChannelFault."""
        return await peers.resolve(self.ask, address)

    async def refresh(self, peer: Peer) -> Peer:
        """The channel as it is now. Raises ChannelFault, UnknownChannel if the access hash does not hold."""
        return await peers.refresh(self.ask, peer)

    async def tops(self, peers: Sequence[Peer]) -> dict[int, int]:
        """The newest message's id by channel; a channel that Telegram says nothing of is left out."""
        found: dict[int, int] = {}
        for start in range(0, len(peers), PAGE):
            asked = [types.InputDialogPeer(input_peer(peer)) for peer in peers[start : start + PAGE]]
            answer = _with("dialogs", "state", of=await self.ask(functions.messages.GetPeerDialogsRequest(asked)))
            self.clock_ahead = answer.state.date.timestamp() - time.time()
            for dialog in answer.dialogs:
                if isinstance(dialog.peer, types.PeerChannel):
                    found[dialog.peer.channel_id] = dialog.top_message
        return found

    async def probe(self, seconds: float) -> None:
        """Prove that Telegram answers. Raises ConnectionLost if it does not."""
        asked_at = time.monotonic()
        try:
            await self.ask(functions.updates.GetStateRequest(), seconds)
        except Unanswered as error:
            if self.heard_at > asked_at:
                return  # a slow connection: this answer waits behind others
            raise ConnectionLost(f"Telegram has not answered for {duration(seconds)}") from error
        except (Flooded, ServerTrouble):
            pass  # it is an answer

    async def time(self) -> float:
        """Telegram's clock, as a Unix time in whole seconds."""
        state = await self.ask(functions.updates.GetStateRequest())
        self.clock_ahead = state.date.timestamp() - time.time()
        return float(state.date.timestamp())

    # Messages

    async def after(self, peer: Peer, message_id: int) -> HistoryPage:
        """The first messages after that one, at most `PAGE`. The page may begin with some that come before."""
        return await self._history(peer, offset_id=message_id + 1, add_offset=-PAGE)

    async def before(self, peer: Peer, message_id: int, limit: int = PAGE, *, skip: int = 0) -> HistoryPage:
        """The last messages before that one but for `skip`, at most `limit`; before 0: the newest of all."""
        return await self._history(peer, offset_id=message_id, add_offset=skip, limit=limit)

    async def before_time(self, peer: Peer, seconds: int, *, skip: int = 0) -> HistoryPage:
        """The last message that was posted before that Unix time (Telegram's) but for `skip`, if there is any."""
        return await self._history(peer, offset_id=0, offset_date=seconds, add_offset=skip, limit=1)

    async def _history(
        self, peer: Peer, *, offset_id: int, offset_date: int | None = None, add_offset: int = 0, limit: int = PAGE
    ) -> HistoryPage:
        request = functions.messages.GetHistoryRequest(
            peer=input_peer(peer),
            offset_id=offset_id,
            offset_date=offset_date,
            add_offset=add_offset,
            limit=limit,
            max_id=0,
            min_id=0,
            hash=0,
        )
        return self._page(peer, await self.ask(request))

    async def by_ids(self, peer: Peer, message_ids: Iterable[int]) -> HistoryPage:
        """The messages with these ids, at most `PAGE`; a missing one is of the kind "absent", or is left out."""
        asked = [types.InputMessageID(one) for one in message_ids]
        return self._page(peer, await self.ask(functions.channels.GetMessagesRequest(input_channel(peer), asked)))

    def _page(self, peer: Peer, answer: Any) -> HistoryPage:
        answer = _with("messages", "chats", of=answer)
        messages = (self._read(one, peer) for one in answer.messages)
        chats = [chat for chat in answer.chats if chat.id == peer.channel_id and hasattr(chat, "title")]
        names = [name_of(chat) for chat in chats if isinstance(chat, types.Channel)]
        return HistoryPage(
            messages=tuple(sorted(messages, key=lambda message: message.id)),
            title=clean(chats[0].title) if chats else peer.title,
            name=names[0] if names else peer.name,
        )

    def _read(self, message: Any, peer: Peer) -> Message:
        """The message. One that this program can't read keeps no other one from being read."""
        try:
            return read_message(message, peer.channel_id, previews=self._previews, posters=self._posters)
        except Exception as error:
            facts = {"channel": peer.channel_id, "message": message.id, "kind": type(message).__name__}
            contained(error, "message can't be read and is passed over", **facts)
            return Message(message.id, "unreadable")

    # Files

    def part_bytes(self, file: File, offset: int) -> int:
        """How large a part of the file to ask for at `offset`: on a slow connection, a small one."""
        return self._files.part_bytes(file, offset)

    async def part(self, file: File, offset: int, size: int, seconds: float) -> bytes:
        """`size` bytes of the file from `offset` on, or fewer where it ends; its turn comes as the connection has room.

        Raises Unreachable besides what `ask` does, where the data centre that keeps it gives no files.
        """
        return await self._files.part(file, offset, size, seconds)

    def dc_ids(self, file: File) -> tuple[int, ...]:
        """The data centres that this file comes from."""
        return self._files.dc_ids(file)

    # Hints

    def _heard(self) -> None:
        self.heard_at = time.monotonic()

    def _overhear(self, pushed: Any) -> None:
        """Hear all that Telegram pushes. Telethon swallows what is raised here, so nothing is."""
        if isinstance(pushed, types.UpdatesTooLong):
            self._on_hint(Hint(None))
        for update in getattr(pushed, "updates", None) or [getattr(pushed, "update", None)]:
            try:
                self._tell(update)
            except Exception as error:
                contained(error, "an update can't be read: all channels are looked at", kind=type(update).__name__)
                self._on_hint(Hint(None))  # whatever it was about is found by asking

    async def _hear(self, update: Any) -> None:
        """Hear from telethon the same once more, and what it has found by asking for differences."""
        self._tell(update)

    def _tell(self, update: Any) -> None:
        hint = hint_of(update)
        if hint is not None and not getattr(update, "was_told", False):
            update.was_told = True
            self._on_hint(hint)


def _with(*names: str, of: Any) -> Any:
    """An answer that has these fields. Raises ServerTrouble for any other, such as messagesNotModified unasked."""
    if missing := [name for name in names if not hasattr(of, name)]:
        raise ServerTrouble(f"Telegram answers with {type(of).__name__}, which has no {missing[0]}")
    return of
