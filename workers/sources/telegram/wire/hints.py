"""Hints: an update says which channel has something new, and nothing that is believed without asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from telethon.tl import types


@dataclass(frozen=True, slots=True)
class Hint:
    """Something has happened in a channel; None: anywhere. `message_ids` were edited or deleted, `new_id` posted.

    `is_of_membership`: the channel itself has changed, or the account has joined or left it.
    """

    channel_id: int | None
    message_ids: tuple[int, ...] = ()
    new_id: int = 0
    is_of_membership: bool = False


def hint_of(update: Any) -> Hint | None:
    """What an update is a hint at: none, unless it speaks of a channel's messages."""
    match update:
        case types.UpdateNewChannelMessage(message=message):
            return Hint(getattr(message.peer_id, "channel_id", None), new_id=message.id)
        case types.UpdateEditChannelMessage(message=message):
            return Hint(getattr(message.peer_id, "channel_id", None), (message.id,))
        case types.UpdateDeleteChannelMessages(channel_id=channel_id, messages=message_ids):
            return Hint(channel_id, tuple(message_ids))
        case types.UpdateChannelTooLong(channel_id=channel_id):
            return Hint(channel_id)
        case types.UpdateChannel(channel_id=channel_id):
            return Hint(channel_id, is_of_membership=True)
        case _:
            return None
