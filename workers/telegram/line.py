"""One connection to Telegram: what the rest asks of it, in its own words.

Promises. Every request ends: with an answer, or with one of `errors` in its time. Nothing is tried again in here and
nothing is waited for but the answer; whoever asks decides. An update is told as a hint: which channel, which messages.

What telethon does by itself is kept to the least: it does not reconnect (a line that is lost is closed and another one
made), it does not wait out floods, it does not catch up, and its session is in memory.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import cryptg  # noqa: F401 - telethon uses it if it is there; without it, a download takes 11 to 200 times as long
from telethon import TelegramClient, events, utils
from telethon.crypto import rsa
from telethon.network import connection as transports
from telethon.sessions import MemorySession, SQLiteSession, StringSession
from telethon.tl import functions, types

from ipc.holds import Hold
from ipc.posts import clean
from workers.telegram.account import LOGIN, Account
from workers.telegram.address import Address
from workers.telegram.answers import PRIVATE, translated
from workers.telegram.errors import ChannelFault, Flooded, LineLost, ServerTrouble, Unanswered
from workers.telegram.media import File, Message, read_message

REQUEST_SECONDS: Final = 20.0
"""How long an answer may take. Telegram answers within a second; a slow proxy may need some."""

CONNECT_SECONDS: Final = 30.0
"""For all of connecting: the proxy's handshake, Telegram's, the first requests."""

CLOSE_SECONDS: Final = 5.0

PAGE: Final = 100
"""Messages in one answer: Telegram gives no more."""

PART_BYTES: Final = 512 * 1024
"""Of a file in one answer: Telegram gives no more."""


SLOW_PART_SECONDS: Final = 2.0
"""A part that takes longer than this has waited behind others, and so does every other answer."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A channel, and the account's way to it. `is_member`: its posts are told at once, others only by asking."""

    channel_id: int
    access_hash: int
    title: str
    is_member: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Messages, ascending. `title` is the channel's as it is now; `count` how many messages it has in all."""

    messages: tuple[Message, ...]
    title: str
    count: int


@dataclass(frozen=True, slots=True)
class Hint:
    """Something has happened in a channel; None: anywhere. `message_ids` were edited or deleted."""

    channel_id: int | None
    message_ids: tuple[int, ...] = ()


class Line:
    """One connection. `previews`: messages with a web-page preview are taken for its picture.

    `heard_at`: when Telegram has last answered anything (monotonic). `is_slow`: the last part of a file took long.
    """

    def __init__(self, account: Account, on_hint: Callable[[Hint], None], *, previews: bool = False) -> None:
        self._client = make_client(account, load_session(account))
        self._on_hint = on_hint
        self._previews = previews
        self.account_id = 0
        self.heard_at = -math.inf
        self.is_slow = False

    async def connect(self) -> None:
        """Connect and make sure that the account is logged in. Raises LineLost, ServerTrouble, Flooded and Hold."""
        self._client.add_event_handler(self._hear, events.Raw())
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await translated(self._client.connect())
                me = await translated(self._client(functions.users.GetUsersRequest([types.InputUserSelf()])))
        except TimeoutError as error:
            raise LineLost(f"no connection within {CONNECT_SECONDS:.0f} s") from error
        if not me:
            raise Hold("the session is not logged in", LOGIN)
        self.account_id = me[0].id

    async def lost(self) -> None:
        """Wait until the connection is gone. Raises LineLost then, or Hold where the reason is for good."""
        await translated(self._client.disconnected)
        raise LineLost("the connection was closed")

    async def close(self) -> None:
        """Close the connection, whatever state it is in."""
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._client.disconnect()
        ended = self._client.disconnected
        if ended.done() and not ended.cancelled():
            ended.exception()  # nobody may have waited for it; asyncio would complain of that

    async def ask(self, request: Any, seconds: float = REQUEST_SECONDS) -> Any:
        """Telegram's answer. Raises what `errors` has, and Hold."""
        try:
            async with asyncio.timeout(seconds):
                answer = await translated(self._client(request))
        except TimeoutError as error:
            raise Unanswered(f"no answer to {type(request).__name__} within {seconds:.0f} s") from error
        self.heard_at = time.monotonic()
        return answer

    # Channels

    async def resolve(self, address: Address) -> Peer:
        """Find a channel that this account has never had to do with. Raises ChannelFault."""
        match address.kind:
            case "name":
                found = await self.ask(functions.contacts.ResolveUsernameRequest(address.value))
                chats = [chat for chat in found.chats if chat.id == getattr(found.peer, "channel_id", None)]
                return _peer(chats[0] if chats else None)
            case "invite":
                invite = await self.ask(functions.messages.CheckChatInviteRequest(address.value))
                if not isinstance(invite, types.ChatInviteAlready):
                    raise ChannelFault("the account has not joined it", "Open the invite link with this account, join")
                return _peer(invite.chat)
            case _:
                return await self._find_by_id(int(address.value))

    async def _find_by_id(self, channel_id: int) -> Peer:
        """An id alone says nothing to Telegram: the channel has to be among those that the account has joined."""
        offset: tuple[Any, int, Any] = (None, 0, types.InputPeerEmpty())
        while True:
            answer = await self.ask(
                functions.messages.GetDialogsRequest(
                    offset_date=offset[0], offset_id=offset[1], offset_peer=offset[2], limit=PAGE, hash=0
                )
            )
            for chat in answer.chats:
                if chat.id == channel_id and not isinstance(chat, types.Chat | types.ChatForbidden | types.ChatEmpty):
                    return _peer(chat)
            if not isinstance(answer, types.messages.DialogsSlice) or len(answer.dialogs) < PAGE:
                raise ChannelFault(
                    "no channel with this id is among the account's chats",
                    "Join it with this account, or write its @name",
                )
            offset = _offset_after(answer)

    async def refresh(self, peer: Peer) -> Peer:
        """The channel as it is now. Raises ChannelFault, UnknownChannel if the access hash does not hold."""
        answer = await self.ask(functions.channels.GetChannelsRequest([_channel(peer)]))
        return _peer(answer.chats[0] if answer.chats else None)

    async def tops(self, peers: Sequence[Peer]) -> dict[int, int]:
        """The newest message's id by channel; a channel that Telegram says nothing of is left out."""
        found: dict[int, int] = {}
        for start in range(0, len(peers), PAGE):
            asked = [types.InputDialogPeer(_input(peer)) for peer in peers[start : start + PAGE]]
            answer = await self.ask(functions.messages.GetPeerDialogsRequest(asked))
            for dialog in answer.dialogs:
                if isinstance(dialog.peer, types.PeerChannel):
                    found[dialog.peer.channel_id] = dialog.top_message
        return found

    async def probe(self, seconds: float) -> None:
        """Prove that Telegram answers. Raises LineLost if it does not."""
        asked_at = time.monotonic()
        try:
            await self.ask(functions.updates.GetStateRequest(), seconds)
        except Unanswered as error:
            if self.heard_at > asked_at:
                return  # a narrow line: our answer waits behind others
            raise LineLost(f"Telegram has not answered for {seconds:.0f} s") from error
        except (Flooded, ServerTrouble):
            pass  # it is an answer

    async def time(self) -> float:
        """Telegram's clock, as a Unix time in whole seconds."""
        state = await self.ask(functions.updates.GetStateRequest())
        return float(state.date.timestamp())

    # Messages

    async def after(self, peer: Peer, message_id: int) -> Page:
        """The first messages after that one, at most `PAGE`. The page may begin with some that come before."""
        return await self._history(peer, offset_id=message_id + 1, add_offset=-PAGE)

    async def before(self, peer: Peer, message_id: int, limit: int = PAGE, *, skip: int = 0) -> Page:
        """The last messages before that one but for `skip`, at most `limit`; before 0: the newest of all."""
        return await self._history(peer, offset_id=message_id, add_offset=skip, limit=limit)

    async def _history(self, peer: Peer, *, offset_id: int, add_offset: int = 0, limit: int = PAGE) -> Page:
        request = functions.messages.GetHistoryRequest(
            peer=_input(peer),
            offset_id=offset_id,
            offset_date=None,
            add_offset=add_offset,
            limit=limit,
            max_id=0,
            min_id=0,
            hash=0,
        )
        return self._page(peer, await self.ask(request))

    async def by_ids(self, peer: Peer, message_ids: Iterable[int]) -> Page:
        """These messages, at most `PAGE` of them; one that is not there is of the kind "absent"."""
        asked = [types.InputMessageID(one) for one in message_ids]
        return self._page(peer, await self.ask(functions.channels.GetMessagesRequest(_channel(peer), asked)))

    def _page(self, peer: Peer, answer: Any) -> Page:
        messages = (read_message(one, peer.channel_id, previews=self._previews) for one in answer.messages)
        titles = [chat.title for chat in answer.chats if chat.id == peer.channel_id]
        return Page(
            messages=tuple(sorted(messages, key=lambda message: message.id)),
            title=clean(titles[0]) if titles else peer.title,
            count=getattr(answer, "count", len(answer.messages)),
        )

    # Files

    async def part(self, file: File, offset: int, seconds: float) -> bytes:
        """The file's bytes from `offset` on, a multiple of `PART_BYTES`: so many, or fewer where it ends."""
        download = self._client.iter_download(
            file.location,
            offset=offset,
            limit=1,
            request_size=PART_BYTES,
            file_size=file.bytes,
            dc_id=file.dc_id,
        )
        asked_at = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                data = bytes(await translated(anext(download, b"")))
        except TimeoutError as error:
            self.is_slow = True
            raise Unanswered(f"no part of the file within {seconds:.0f} s") from error
        finally:
            with suppress(Exception):
                await download.close()
        now = time.monotonic()
        self.is_slow = now - asked_at > SLOW_PART_SECONDS
        if file.dc_id == self._client.session.dc_id:  # another data centre has a line of its own
            self.heard_at = now
        return data

    # Hints

    async def _hear(self, update: Any) -> None:
        """Told by telethon of every update. Nobody but us sees what goes wrong here, so nothing may."""
        self._on_hint(hint_of(update))


def hint_of(update: Any) -> Hint:
    """What an update is a hint at."""
    match update:
        case types.UpdateNewChannelMessage(message=message):
            return Hint(getattr(message.peer_id, "channel_id", None))
        case types.UpdateEditChannelMessage(message=message):
            return Hint(getattr(message.peer_id, "channel_id", None), (message.id,))
        case types.UpdateDeleteChannelMessages(channel_id=channel_id, messages=message_ids):
            return Hint(channel_id, tuple(message_ids))
        case _:
            return Hint(getattr(update, "channel_id", 0))


def load_session(account: Account) -> MemorySession:
    """The account's session, in memory. Raises Hold if there is none."""
    try:
        return StringSession(account.session) if account.is_string else _from_file(account)
    except ValueError as error:
        raise Hold("telegram.session is not a StringSession", LOGIN) from error


def _from_file(account: Account) -> MemorySession:
    if not account.path.is_file():
        raise Hold(f"there is no session at {account.path}", LOGIN)
    try:
        stored = SQLiteSession(str(account.path))
    except Exception as error:
        raise Hold(f"the session {account.path} cannot be read: {error}", LOGIN) from error
    session = MemorySession()
    session.set_dc(stored.dc_id, stored.server_address, stored.port)
    session.auth_key = stored.auth_key
    stored.close()
    return session


def make_client(account: Account, session: MemorySession) -> TelegramClient:
    """A client that does nothing of itself. A session that is new is led to the configured server."""
    if account.public_key:
        rsa.add_key(account.public_key, old=False)
    if account.server and not session.auth_key:
        session.set_dc(account.server.dc, account.server.host, account.server.port)
    transport, proxy = _transport(account)
    quiet = logging.getLogger("telethon")
    quiet.setLevel(logging.CRITICAL)  # what goes wrong is raised, and told in our words
    return TelegramClient(
        session,
        account.api_id,
        account.api_hash,
        connection=transport,
        proxy=proxy,
        use_ipv6=":" in (session.server_address or ""),
        timeout=10,
        request_retries=1,
        connection_retries=1,
        retry_delay=0,
        auto_reconnect=False,
        flood_sleep_threshold=0,
        raise_last_call_error=True,
        catch_up=False,
        device_model="Picturedesk",
        app_version="1",
        base_logger=quiet,
    )


def _transport(account: Account) -> tuple[type, Any]:
    proxy = account.proxy
    if proxy is None:
        return transports.ConnectionTcpFull, None
    if proxy.kind == "mtproxy":
        transport = transports.ConnectionTcpMTProxyRandomizedIntermediate
        return transport, (proxy.host, proxy.port, proxy.secret)
    return transports.ConnectionTcpFull, {
        "proxy_type": proxy.kind,
        "addr": proxy.host,
        "port": proxy.port,
        "username": proxy.user,
        "password": proxy.password,
        "rdns": True,
    }


def _peer(chat: Any) -> Peer:
    if isinstance(chat, types.ChannelForbidden):
        raise ChannelFault(*PRIVATE)
    if not isinstance(chat, types.Channel):
        raise ChannelFault("it is not a channel", "Name a channel or a supergroup in telegram.channels")
    return Peer(chat.id, chat.access_hash or 0, clean(chat.title), not chat.left)


def _input(peer: Peer) -> Any:
    return types.InputPeerChannel(peer.channel_id, peer.access_hash)


def _channel(peer: Peer) -> Any:
    return types.InputChannel(peer.channel_id, peer.access_hash)


def _offset_after(answer: Any) -> tuple[Any, int, Any]:
    """Where the next page of dialogs begins: after the last one that has a message."""
    dates = {(utils.get_peer_id(one.peer_id), one.id): one.date for one in answer.messages}
    known = {utils.get_peer_id(one): one for one in (*answer.chats, *answer.users)}
    last = answer.dialogs[-1]
    key = (utils.get_peer_id(last.peer), last.top_message)
    return dates.get(key), last.top_message, utils.get_input_peer(known[key[0]])
