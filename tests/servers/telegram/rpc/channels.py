"""Channels: found by name or invitation, joined, described, listed."""

from __future__ import annotations

from typing import Any

from telethon.tl import types

from tests.servers.telegram.channel import Channel
from tests.servers.telegram.media import moment
from tests.servers.telegram.rpc.account import state
from tests.servers.telegram.rpc.registry import Call, method
from tests.servers.telegram.tl import RpcError
from tests.servers.telegram.world import INVITE, USERNAME

MAX_DIALOGS = 100


@method("contacts.resolveUsername")
def resolve_username(call: Call, request: Any) -> Any:
    if not USERNAME.fullmatch(request.username):
        raise RpcError(400, "USERNAME_INVALID")
    channel = call.world.by_username(request.username)
    if channel is None:
        raise RpcError(400, "USERNAME_NOT_OCCUPIED")
    return types.contacts.ResolvedPeer(types.PeerChannel(channel.id), [call.world.chat(channel)], [])


@method("messages.checkChatInvite")
def check_chat_invite(call: Call, request: Any) -> Any:
    channel = _invited(call, request.hash)
    if channel.member:
        return types.ChatInviteAlready(call.world.chat(channel))
    return types.ChatInvite(
        title=channel.title, photo=types.PhotoEmpty(0), participants_count=1, color=1, channel=True, broadcast=True
    )


@method("messages.importChatInvite")
def import_chat_invite(call: Call, request: Any) -> Any:
    channel = _invited(call, request.hash)
    if channel.member:
        raise RpcError(400, "USER_ALREADY_PARTICIPANT")
    return _join(call, channel)


@method("channels.joinChannel")
def join_channel(call: Call, request: Any) -> Any:
    return _join(call, call.channel(request.channel))


@method("channels.leaveChannel")
def leave_channel(call: Call, request: Any) -> Any:
    channel = call.channel(request.channel)
    if not channel.member:
        raise RpcError(400, "USER_NOT_PARTICIPANT")
    channel.leave()
    return _joined(call, channel)


@method("channels.getChannels")
def get_channels(call: Call, request: Any) -> Any:
    found = [call.channel(one, readable=False) for one in request.id]
    # Of one that the account was thrown out of there is still its forbidden form; of one that it never saw, nothing.
    if any(not one.readable and not one.banned for one in found):
        raise RpcError(400, "CHANNEL_PRIVATE")
    return types.messages.Chats([call.world.chat(one) for one in found])


@method("messages.getChats")
def get_chats(call: Call, request: Any) -> Any:
    """Basic groups, of which an id is enough to ask."""
    if unknown := [one for one in request.id if one not in call.world.basic_groups]:
        raise RpcError(400, "CHAT_ID_INVALID" if len(unknown) == 1 else "PEER_ID_INVALID")
    return types.messages.Chats([call.world.basic_groups[one] for one in request.id])


@method("channels.getFullChannel")
def get_full_channel(call: Call, request: Any) -> Any:
    channel = call.channel(request.channel)
    full = types.ChannelFull(
        id=channel.id,
        about="",
        read_inbox_max_id=0,
        read_outbox_max_id=0,
        unread_count=len(channel.ids),
        chat_photo=types.PhotoEmpty(0),
        notify_settings=types.PeerNotifySettings(),
        bot_info=[],
        pts=channel.pts,
        participants_count=1,
    )
    return types.messages.ChatFull(full, [call.world.chat(channel)], [])


@method("messages.getDialogs")
def get_dialogs(call: Call, request: Any) -> Any:
    """The channels one is a member of, the one with the newest message first."""
    everything = sorted((one for one in call.world.channels.values() if one.member), key=_last, reverse=True)
    start = next((n for n, one in enumerate(everything, 1) if one.id == _id(request.offset_peer)), 0)
    part = everything[start : start + min(request.limit or MAX_DIALOGS, MAX_DIALOGS)]
    if len(part) == len(everything):
        return types.messages.Dialogs(**_dialogs(call, part))
    return types.messages.DialogsSlice(count=len(everything), **_dialogs(call, part))


@method("messages.getPeerDialogs")
def get_peer_dialogs(call: Call, request: Any) -> Any:
    channels = [call.channel(getattr(one, "peer", None)) for one in request.peers]
    return types.messages.PeerDialogs(**_dialogs(call, channels), state=state(call))


def dialog(channel: Channel) -> Any:
    """What a list of chats says of it: its newest message and its pts."""
    return types.Dialog(
        peer=types.PeerChannel(channel.id),
        top_message=channel.top_id,
        read_inbox_max_id=0,
        read_outbox_max_id=0,
        unread_count=len(channel.ids),
        unread_mentions_count=0,
        unread_reactions_count=0,
        unread_poll_votes_count=0,
        notify_settings=types.PeerNotifySettings(),
        pts=channel.pts,
    )


def _dialogs(call: Call, channels: list[Channel]) -> dict[str, Any]:
    tops = [message for one in channels if one.ids for message in call.world.messages(one, [one.posts[one.top_id]])]
    return {
        "dialogs": [dialog(one) for one in channels],
        "messages": tops,
        "chats": [call.world.chat(one) for one in channels],
        "users": [],
    }


def _invited(call: Call, invite: str) -> Channel:
    if not invite:
        raise RpcError(400, "INVITE_HASH_EMPTY")
    if not INVITE.fullmatch(invite):
        raise RpcError(400, "INVITE_HASH_INVALID")
    channel = call.world.by_invite(invite)
    if channel is None:
        raise RpcError(400, "INVITE_HASH_EXPIRED")
    if channel.banned:
        raise RpcError(400, "CHANNEL_PRIVATE")
    return channel


def _join(call: Call, channel: Channel) -> Any:
    channel.join()
    return types.messages.ChatInviteJoinResultOk(_joined(call, channel))


def _joined(call: Call, channel: Channel) -> Any:
    chats = [call.world.chat(channel)]
    return types.Updates([types.UpdateChannel(channel.id)], [], chats, moment(call.world.now()), 0)


def _last(channel: Channel) -> tuple[float, float]:
    # Dates are whole seconds: of two in one second, the later one.
    return (channel.posts[channel.top_id].date.timestamp(), channel.changes[-1].at) if channel.ids else (0.0, 0.0)


def _id(peer: Any) -> int:
    return int(getattr(peer, "channel_id", 0))
