"""What Telegram's and telethon's errors mean: each becomes one of `errors`, or Hold, with cause and remedy."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

import python_socks
from telethon import errors
from telethon.tl.alltlobjects import LAYER

from ipc.process.holds import Hold
from workers.sources.telegram.wire.account import LOGIN, Account
from workers.sources.telegram.wire.errors import (
    ChannelFault,
    ConnectionLost,
    Flooded,
    KeyUnknown,
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

UNKNOWN: Final = (
    "Telegram does not know it by what it was known by before",
    "It is looked up anew by itself. If that fails, check its name or id in telegram.channels",
)

_NAMES: Final = {
    **{kind: name for name, kind in errors.rpcerrorlist.rpc_errors_dict.items()},
    **{kind: pattern.replace(r"(\d+)", "X") for pattern, kind in errors.rpcerrorlist.rpc_errors_re},
}
"""Telegram's names of the errors that telethon has classes for."""

_PROXY: Final = (python_socks.ProxyError, python_socks.ProxyConnectionError, python_socks.ProxyTimeoutError)
"""Telethon makes them OSErrors, unless the library was imported before it."""

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
"""What asking Telegram may raise. Anything else is a defect of this program."""


async def translated(awaitable: Awaitable[T]) -> T:
    """The result; what telethon raises becomes one of `errors`."""
    try:
        return await awaitable
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ConnectionLost("the connection was closed") from None  # telethon cancels what it can't answer any more
    except _EXPECTED as error:
        raise meaning(error) from error


def meaning(error: Exception) -> Exception:
    """What an error means to this program."""
    match error:
        case errors.RPCError():
            return _meaning_of_answer(error)
        case errors.TypeNotFoundError():
            return Unreadable(
                f"Telegram's answer is newer than this program: unknown constructor {error.invalid_constructor_id:08x},"
                f" and it knows the schema up to layer {LAYER}"
            )
        case errors.AuthKeyNotFound():
            return KeyUnknown("the server does not know the session's key (-404)")
        case asyncio.IncompleteReadError():
            return ConnectionLost("the connection was closed by the other side")
        case OSError() | errors.InvalidBufferError():
            return ConnectionLost(str(error) or type(error).__name__)
        case python_socks.ProxyError() | python_socks.ProxyConnectionError() | python_socks.ProxyTimeoutError():
            return ConnectionLost(f"the proxy refuses: {error}")
        case _:
            return ServerTrouble(str(error))  # garbage


def _meaning_of_answer(error: Any) -> Exception:
    """What an error that Telegram has answered with means."""
    kind = type(error)
    if kind in _STALE:
        return StaleReference(_named(error))
    if kind in (errors.FloodWaitError, errors.FloodPremiumWaitError):
        return Flooded(error.seconds)
    if kind in (errors.ChannelInvalidError, errors.PeerIdInvalidError):
        return UnknownChannel(*UNKNOWN)
    if kind in _HELD:
        return Hold(*_HELD[kind])
    if kind in _CHANNEL_FAULTS:
        return ChannelFault(*_CHANNEL_FAULTS[kind])
    return ServerTrouble(f"Telegram answers {_named(error)}")


def _named(error: Any) -> str:
    """An error by Telegram's name for it and its code, with what telethon knows of it.

    Of those that it knows, telethon has the name in a table, and in the error itself only what kind of error it is.
    """
    name = _NAMES.get(type(error), error.message)
    known = "" if type(error) not in _NAMES else f": {str(error).partition(' (caused by ')[0]}"
    return f"{name} ({error.code}){known}"


def no_connection(lost: str, failure: Exception | None, account: Account, server: str) -> Exception:
    """Why there is no connection: what was `lost`, by the last error that telethon came across on its way.

    `server` is where it connects to, unless through a proxy.
    """
    where = f"the proxy {account.proxy.host}:{account.proxy.port}" if account.proxy else server
    match failure:
        case errors.SecurityError() if "fingerprint" in str(failure) and account.server:
            return Hold(
                f"the server {server} has an RSA key that is not known here",
                "Set telegram.public_key to that server's key in PEM, or empty telegram.server for Telegram's own",
            )
        case errors.SecurityError() | AssertionError():
            return ConnectionLost(f"{server} can't agree on a key, as Telegram's own servers do: {failure}")
        case TimeoutError():
            return ConnectionLost(f"{where} does not answer")
        case asyncio.IncompleteReadError():
            return ConnectionLost(f"{where} closes the connection")
        case OSError(errno=int(number)) if number in errno.errorcode:
            return ConnectionLost(f"{where}: {os.strerror(number)} ({errno.errorcode[number]})")
        case None:
            return ConnectionLost(lost)
        case _:
            return ConnectionLost(f"{where}: {str(failure) or type(failure).__name__}")
