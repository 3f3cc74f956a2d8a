"""What Telegram's answers to a login mean to the person who logs in: answer anew, or give up."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from telethon import errors
from telethon.tl import types

from ipc.process.holds import EX_CONFIG
from workers.sources.telegram.wire.translation import APPLICATION

_AGAIN: Final = {
    errors.PhoneNumberInvalidError: "Telegram does not know this phone number. Write it with the country code.",
    errors.PhoneCodeInvalidError: "This is not the code.",
    errors.PhoneCodeEmptyError: "This is not the code.",
    errors.PasswordHashInvalidError: "This is not the password.",
    errors.SrpIdInvalidError: "The password came too late.",
    errors.SendCodeUnavailableError: "Telegram has no other way to send the code: wait for the one that is under way.",
}
"""What the person may simply answer anew."""

_FINAL: Final = {
    errors.PhoneNumberBannedError: (
        "Telegram has banned this phone number (PHONE_NUMBER_BANNED)."
        " Write to recover@telegram.org, or use another account"
    ),
    errors.PhoneNumberFloodError: (
        "too many codes were asked for with this phone number (PHONE_NUMBER_FLOOD). Try again tomorrow"
    ),
    errors.PhonePasswordFloodError: "too many wrong passwords (PHONE_PASSWORD_FLOOD). Try again tomorrow",
    errors.PhoneNumberUnoccupiedError: (
        "there is no Telegram account with this phone number. Register it with a Telegram app first"
    ),
    errors.UpdateAppToLoginError: (
        "Telegram does not let this program log in (UPDATE_APP_TO_LOGIN). Update it, or try --qr"
    ),
}


class Again(Exception):
    """The answer was wrong, and why; the person is asked again."""


class CodeExpired(Exception):
    """The code is too old: another one has to be sent."""


class PasswordNeeded(Exception):
    """The account has two-step verification."""


class LoginFailed(Exception):
    """There will be no session. The text says why, and what to do; `code` is the command's exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


async def sorted_answer(answer: Awaitable[Any]) -> Any:
    """The answer; errors that only a login has become those of this module."""
    try:
        return await answer
    except errors.SessionPasswordNeededError as error:
        raise PasswordNeeded from error
    except errors.PhoneCodeExpiredError as error:
        raise CodeExpired from error
    except errors.RPCError as error:
        if text := _AGAIN.get(type(error)):
            raise Again(text) from error
        if text := _FINAL.get(type(error)):
            raise LoginFailed(text) from error
        if fault := APPLICATION.get(type(error)):
            raise LoginFailed(". ".join(fault), EX_CONFIG) from error
        raise


def signed_in(authorization: Any) -> Any:
    """The user who is logged in now. Raises LoginFailed if there is no account yet."""
    if isinstance(authorization, types.auth.AuthorizationSignUpRequired):
        raise LoginFailed(_FINAL[errors.PhoneNumberUnoccupiedError])
    return authorization.user
