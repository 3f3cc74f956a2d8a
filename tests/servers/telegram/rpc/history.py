"""Messages: the history in windows, single ones by id, and what has changed since a pts."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime
from typing import Any

from telethon.tl import types

from tests.servers.telegram.channel import Channel
from tests.servers.telegram.posts import absent
from tests.servers.telegram.rpc.channels import dialog
from tests.servers.telegram.rpc.registry import Call, method
from tests.servers.telegram.tl import RpcError

MAX_MESSAGES = 100
MAX_DIFFERENCE = 1000
"""Beyond this number of changes the client is told to look for itself."""


def window(ids: list[int], offset_id: int, add_offset: int, limit: int) -> list[int]:
    """What getHistory gives of `ids` (ascending), newest first.

    The window begins behind the ids not below `offset_id` (0: at the newest), moved by `add_offset`, and has `limit`
    ids. What would lie above the newest is cut off its start, and not added to its end.
    """
    newer = len(ids) - bisect_left(ids, offset_id) if offset_id > 0 else 0
    start = newer + add_offset
    end = len(ids) - max(start, 0)
    return ids[max(len(ids) - (start + limit), 0) : max(end, 0)][::-1] if start + limit > 0 else []


@method("messages.getHistory")
def get_history(call: Call, request: Any) -> Any:
    channel = call.channel(request.peer)
    offset_id = request.offset_id or _first_at(channel, request.offset_date)
    found = window(channel.ids, offset_id, request.add_offset, max(0, min(request.limit, MAX_MESSAGES)))
    if request.max_id:
        found = [one for one in found if one < request.max_id]
    found = [one for one in found if one > request.min_id]
    if call.hub.faults.take_empty(channel.id):
        found = []
    return _messages(call, channel, call.world.messages(channel, map(channel.posts.__getitem__, found)))


@method("channels.getMessages")
def get_messages(call: Call, request: Any) -> Any:
    channel = call.channel(request.channel)
    if len(request.id) > MAX_MESSAGES:
        # Telegram leaves the rest out without a word: a test should hear of it.
        call.hub.unexpected.append(f"channels.getMessages of {len(request.id)} ids")
    wanted = [getattr(one, "id", 0) for one in request.id[:MAX_MESSAGES]]
    posts = channel.posts
    if call.hub.faults.take_omit(channel.id):
        wanted = [one for one in wanted if one in posts]
    found = [posts[one].tl(channel.id, call.world.reference_epoch) if one in posts else absent(one) for one in wanted]
    return _messages(call, channel, found)


@method("updates.getChannelDifference")
def get_channel_difference(call: Call, request: Any) -> Any:
    """New messages as they are now; edits and deletions as updates, with the pts that they had."""
    channel = call.channel(request.channel)
    if request.pts < 1:
        raise RpcError(400, "PERSISTENT_TIMESTAMP_EMPTY")
    if request.pts > channel.pts:
        raise RpcError(400, "PERSISTENT_TIMESTAMP_INVALID")
    changes = channel.changes[bisect_left(channel.changes, request.pts + 1, key=lambda change: change.pts) :]
    chats = [call.world.chat(channel)]
    if call.hub.faults.take_too_long(channel.id) or len(changes) > MAX_DIFFERENCE:
        newest = [channel.posts[one] for one in channel.ids[: -MAX_MESSAGES - 1 : -1]]
        messages = call.world.messages(channel, newest)
        return types.updates.ChannelDifferenceTooLong(dialog(channel), messages, chats, [], final=True)
    if not changes:
        return types.updates.ChannelDifferenceEmpty(channel.pts, final=True, timeout=30)
    part = changes[: max(1, min(request.limit, MAX_MESSAGES))]
    new = [change.ids[0] for change in part if change.kind == "new"]
    others = [call.world.update(channel, change) for change in part if change.kind != "new"]
    return types.updates.ChannelDifference(
        pts=part[-1].pts,
        new_messages=call.world.messages(channel, (channel.posts[one] for one in new if one in channel.posts)),
        other_updates=[update for update in others if update is not None],
        chats=chats,
        users=[],
        final=len(part) == len(changes),
        timeout=30,
    )


def _messages(call: Call, channel: Channel, messages: list[Any]) -> Any:
    return types.messages.ChannelMessages(
        pts=channel.pts,
        count=len(channel.ids),
        messages=messages,
        topics=[],
        chats=[call.world.chat(channel)],
        users=[],
    )


def _first_at(channel: Channel, date: datetime | None) -> int:
    """The id behind the last message that was posted before the date; 0 without a date."""
    if date is None or date.timestamp() <= 0:
        return 0
    return next((one + 1 for one in reversed(channel.ids) if channel.posts[one].date < date), 1)
