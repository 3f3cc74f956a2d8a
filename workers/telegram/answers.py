"""What Telegram's and telethon's errors mean: each becomes one of `errors`, or Hold, with cause and remedy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

import python_socks
from telethon import errors

from ipc.holds import Hold
from workers.telegram.account import LOGIN
from workers.telegram.errors import (
    ChannelFault,
    Flooded,
    KeyUnknown,
    LineLost,
    ServerTrouble,
    StaleReference,
    UnknownChannel,
    Unreadable,
)

T = TypeVar("T")

_STALE: Final = (
    errors.FileReferenceExpiredError,
    errors.FileReferenceInvalidError,
    errors.FileReferenceEmptyError,
    errors.FilerefUpgradeNeededError,
)

_APPS: Final = "Copy telegram.api_id and telegram.api_hash from https://my.telegram.org/apps"

APPLICATION: Final = {
    errors.ApiIdInvalidError: (
        "telegram.api_id and telegram.api_hash are not a pair that Telegram knows (API_ID_INVALID)",
        _APPS,
    ),
    errors.ConnectionApiIdInvalidError: (
        "Telegram does not know telegram.api_id (CONNECTION_API_ID_INVALID)",
        _APPS,
    ),
    errors.ApiIdPublishedFloodError: (
        "telegram.api_id is in public use, and Telegram refuses it (API_ID_PUBLISHED_FLOOD)",
        "Make one of your own on https://my.telegram.org/apps",
    ),
}
"""What is wrong with the application's credentials, and what to do."""

_HELD: Final = {
    **APPLICATION,
    errors.AuthKeyDuplicatedError: (
        "the session was used in two places at once, and Telegram has ended it (AUTH_KEY_DUPLICATED)",
        f"Make sure that nothing else uses this session. {LOGIN}",
    ),
    errors.AuthKeyUnregisteredError: ("Telegram does not know the session (AUTH_KEY_UNREGISTERED)", LOGIN),
    errors.AuthKeyInvalidError: ("Telegram refuses the session's key (AUTH_KEY_INVALID)", LOGIN),
    errors.AuthKeyPermEmptyError: ("the session was never logged in (AUTH_KEY_PERM_EMPTY)", LOGIN),
    errors.SessionRevokedError: ("the session was ended from another device (SESSION_REVOKED)", LOGIN),
    errors.SessionExpiredError: ("the session has expired (SESSION_EXPIRED)", LOGIN),
    errors.UserDeactivatedError: (
        "the account was deleted (USER_DEACTIVATED)",
        "Log in with another account: bin/run login",
    ),
    errors.UserDeactivatedBanError: (
        "Telegram has banned the account (USER_DEACTIVATED_BAN)",
        "Write to recover@telegram.org, or log in with another account: bin/run login",
    ),
}

PRIVATE: Final = ("it is private, and the account is not (or no longer) a member", "Let the account join it again")

_CHANNEL_FAULTS: Final = {
    errors.ChannelPrivateError: PRIVATE,
    errors.UserBannedInChannelError: ("the account is banned from it", "Ask the channel's owner"),
    errors.ChannelPublicGroupNaError: ("it is not available", "Look at it in the Telegram app"),
    errors.UsernameNotOccupiedError: (
        "nobody has this name (was the channel renamed?)",
        "Write its new name, or better its id, into telegram.channels",
    ),
    errors.UsernameInvalidError: ("this is not a name that Telegram allows", "Correct it in telegram.channels"),
    errors.InviteHashExpiredError: ("the invite link has expired", "Get a new one, or write the channel's id"),
    errors.InviteHashInvalidError: ("the invite link is not valid", "Correct it in telegram.channels"),
    errors.InviteHashEmptyError: ("the invite link is not valid", "Correct it in telegram.channels"),
}


_PROXY: Final = (python_socks.ProxyError, python_socks.ProxyConnectionError, python_socks.ProxyTimeoutError)
"""Telethon makes them OSErrors, unless somebody has imported the library before it."""

_EXPECTED: Final[tuple[type[Exception], ...]] = (
    errors.RPCError,
    errors.TypeNotFoundError,
    errors.AuthKeyNotFound,
    OSError,
    ValueError,
    BufferError,
    EOFError,
    *_PROXY,
)
"""What asking Telegram may raise. Anything else is a defect of ours."""


async def translated(awaitable: Awaitable[T]) -> T:
    """The result; what telethon raises is raised in our words."""
    try:
        return await awaitable
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise LineLost("the connection was closed") from None  # telethon cancels what it can't answer any more
    except _EXPECTED as error:
        raise meaning(error) from error


def meaning(error: Exception) -> Exception:
    """What an error means to us."""
    match error:
        case errors.RPCError():
            return _meaning_of_answer(error)
        case errors.TypeNotFoundError():
            return Unreadable(f"unknown constructor {error.invalid_constructor_id:08x}")
        case errors.AuthKeyNotFound():
            return KeyUnknown("the server does not know the session's key (-404)")
        case asyncio.IncompleteReadError():
            return LineLost("the connection was closed by the other side")
        case OSError() | errors.InvalidBufferError():
            return LineLost(str(error) or type(error).__name__)
        case python_socks.ProxyError() | python_socks.ProxyConnectionError() | python_socks.ProxyTimeoutError():
            return LineLost(f"the proxy refuses: {error}")
        case _:
            return ServerTrouble(str(error))  # garbage


def _meaning_of_answer(error: Any) -> Exception:
    """What an error that Telegram has answered with means."""
    kind = type(error)
    if kind in _STALE:
        return StaleReference(str(error))
    if kind in (errors.FloodWaitError, errors.FloodPremiumWaitError):
        return Flooded(error.seconds)
    if kind in (errors.ChannelInvalidError, errors.PeerIdInvalidError):
        return UnknownChannel("Telegram does not know it", "Check its name or id in telegram.channels")
    if kind in _HELD:
        return Hold(*_HELD[kind])
    if kind in _CHANNEL_FAULTS:
        return ChannelFault(*_CHANNEL_FAULTS[kind])
    return ServerTrouble(f"Telegram answers {error.code} {error.message}")
