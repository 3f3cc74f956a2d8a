"""What Telegram knows a channel by: an id, and an access hash that holds for one account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from telethon import utils
from telethon.tl import functions, types

from ipc.posts import clean
from ipc.text.channel_address import Address, marked
from workers.sources.telegram.wire.errors import ChannelFault, ServerTrouble, UnknownChannel
from workers.sources.telegram.wire.translation import PRIVATE, UNKNOWN

PAGE: Final = 100
"""Chats in one answer: Telegram gives no more."""

Ask = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Peer:
    """A channel, and the account's way to it. `is_member`: its posts come as updates, others' only by asking.

    `name` is its public name without the @: empty if it has none, None if that is not known.
    """

    channel_id: int
    access_hash: int
    title: str
    is_member: bool
    name: str | None = None


async def resolve(ask: Ask, address: Address) -> Peer:
    """Find a channel that this account has never had to do with. Raises ChannelFault."""
    match address.kind:
        case "name":
            found = await ask(functions.contacts.ResolveUsernameRequest(address.value))
            chats = [chat for chat in found.chats if chat.id == getattr(found.peer, "channel_id", None)]
            return peer_of(chats[0] if chats else None)
        case "invite":
            invite = await ask(functions.messages.CheckChatInviteRequest(address.value))
            if not isinstance(invite, types.ChatInviteAlready):
                raise ChannelFault("the account has not joined it", "Open the invite link with this account, join")
            return peer_of(invite.chat)
        case _:
            return await _find_by_id(ask, int(address.value))


async def refresh(ask: Ask, peer: Peer) -> Peer:
    """The channel as it is now. Raises ChannelFault; UnknownChannel if the access hash does not hold (any more).

    Telegram says so with an error, or says nothing of the channel, or calls it empty.
    """
    answer = await ask(functions.channels.GetChannelsRequest([input_channel(peer)]))
    chat = next((one for one in answer.chats if one.id == peer.channel_id), None)
    if chat is None or isinstance(chat, types.ChatEmpty):
        raise UnknownChannel(*UNKNOWN)
    found = peer_of(chat)
    return found if found.access_hash else replace(found, access_hash=peer.access_hash)


def input_peer(peer: Peer) -> Any:
    return types.InputPeerChannel(peer.channel_id, peer.access_hash)


def input_channel(peer: Peer) -> Any:
    return types.InputChannel(peer.channel_id, peer.access_hash)


def peer_of(chat: Any) -> Peer:
    """The channel of Telegram's description. Raises ChannelFault if it is none that can be read."""
    match chat:
        case types.ChannelForbidden():
            raise ChannelFault(*PRIVATE)
        case types.Chat() | types.ChatForbidden():
            raise _basic_group(chat)
        case types.ChatEmpty():
            raise ServerTrouble("Telegram says that it is there, and nothing of what it is (chatEmpty)")
        case types.Channel():
            # A "min" description has a hash that opens nothing but the messages it came with.
            access_hash = 0 if chat.min else chat.access_hash or 0
            return Peer(chat.id, access_hash, clean(chat.title), not chat.left, name_of(chat))
        case _:
            raise ChannelFault("it is not a channel", "Name a channel or a supergroup in telegram.channels")


def name_of(chat: Any) -> str:
    """The public name of a channel without the @, empty if it has none; the first active one of several."""
    others = [one.username for one in chat.usernames or () if one.active]
    return clean(chat.username or "") or (others[0] if others else "")


def _basic_group(chat: Any) -> ChannelFault:
    """The fault of a basic group: its messages have neither ids of its own nor a link to find a row by."""
    successor = getattr(chat, "migrated_to", None)
    if successor is not None:
        supergroup = marked(successor.channel_id)
        return ChannelFault(
            f"it is the basic group {clean(chat.title)!r}, which has become the supergroup {supergroup}",
            f"Write {supergroup} into telegram.channels instead",
        )
    return ChannelFault(
        f"it is the basic group {clean(chat.title)!r}, and only channels and supergroups can be read",
        "Have its owner make it a supergroup (let new members see the chat's history), then write its new id",
    )


async def _find_by_id(ask: Ask, chat_id: int) -> Peer:
    """An id alone says nothing to Telegram: the channel has to be among those that the account has joined.

    A basic group may have the same id: a channel is what is wanted.
    """
    offset: tuple[Any, int, Any] | None = (None, 0, types.InputPeerEmpty())
    while offset is not None:
        answer = await ask(
            functions.messages.GetDialogsRequest(
                offset_date=offset[0], offset_id=offset[1], offset_peer=offset[2], limit=PAGE, hash=0
            )
        )
        for chat in answer.chats:
            is_channel = isinstance(chat, types.Channel | types.ChannelForbidden)
            if is_channel and chat.id == chat_id and not getattr(chat, "min", False):
                return peer_of(chat)
        is_last = not isinstance(answer, types.messages.DialogsSlice) or len(answer.dialogs) < PAGE
        after = None if is_last else _offset_after(answer)
        offset = after if after != offset else None
    raise await _fault_of_id(ask, chat_id)


async def _fault_of_id(ask: Ask, chat_id: int) -> ChannelFault:
    """What to say of an id that no channel among the account's chats has. Of basic groups, an id is enough to ask."""
    try:
        answer = await ask(functions.messages.GetChatsRequest([chat_id]))
        for chat in answer.chats:
            if chat.id == chat_id and isinstance(chat, types.Chat | types.ChatForbidden):
                return _basic_group(chat)
    except (ServerTrouble, ChannelFault):
        pass  # there is none
    return ChannelFault(
        "no channel with this id is among the account's chats", "Join it with this account, or write its @name"
    )


def _offset_after(answer: Any) -> tuple[Any, int, Any] | None:
    """Where the next page of dialogs begins: after the last one whose chat and message are there; None without any."""
    dates = {(utils.get_peer_id(one.peer_id), one.id): one.date for one in answer.messages}
    known = {utils.get_peer_id(one): one for one in (*answer.chats, *answer.users)}
    for last in reversed(answer.dialogs):
        peer_id = utils.get_peer_id(last.peer)
        if peer_id in known and (date := dates.get((peer_id, last.top_message))):
            return date, last.top_message, utils.get_input_peer(known[peer_id])
    return None
