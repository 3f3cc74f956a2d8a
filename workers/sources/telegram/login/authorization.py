"""A login under way: what Telegram is asked, step by step, and what its answers mean to the person who logs in.

Every request ends in its time. A connection that is lost while a person is thinking is made again. A login that is done and
was not kept is ended at Telegram too.

The connection lives in a thread of its own: the main thread waits for the person, so that Ctrl-C works at any moment.
"""

from __future__ import annotations

import asyncio
import base64
import re
import threading
import time
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from telethon import TelegramClient, errors, events
from telethon.password import compute_check
from telethon.sessions import MemorySession, StringSession
from telethon.tl import functions, types

from ipc.holds import EX_CONFIG, Hold
from ipc.posts import clean
from ipc.text.durations import duration
from workers.sources.telegram.login.session import write_session
from workers.sources.telegram.wire.account import LOGIN, Account
from workers.sources.telegram.wire.client import connect, make_client
from workers.sources.telegram.wire.connection import CLOSE_SECONDS, CONNECT_SECONDS, REQUEST_SECONDS
from workers.sources.telegram.wire.errors import (
    UNREACHABLE,
    ConnectionLost,
    Flooded,
    ServerTrouble,
    StaleReference,
    Unreadable,
)
from workers.sources.telegram.wire.translation import APPLICATION, translated

T = TypeVar("T")

LEAST_QR_SECONDS: Final = 1.0
MOST_QR_SECONDS: Final = 60.0
"""How long one code is shown, whatever the clocks say. Telegram's live for 30 s."""

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


class GaveUp(Exception):
    """There will be no session; why, what to do, and the command's exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class Login:
    """A login under way, step by step. Each step may raise Again, CodeExpired, PasswordNeeded and GaveUp.

    `user` is there (telethon's) once the account is logged in.
    """

    def __init__(self, account: Account) -> None:
        self.user: Any = None
        self._account = account
        self._session = MemorySession()
        self._client: TelegramClient | None = None
        self._kept = False
        self._phone = self._code_hash = ""
        self._by_email = False
        self._accepted = asyncio.Event()
        self._token_expires = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="telegram", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(self._leave())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    # The steps

    def connect(self) -> None:
        """Connect, so that it is known to work before anybody is asked for anything."""
        self._run(self._ask(functions.help.GetNearestDcRequest()))

    def send_code(self, phone: str = "") -> str:
        """Have a code sent to that phone, or to the same one again; how it is sent."""
        self._phone = phone or self._phone
        account = self._account
        return self._note(
            functions.auth.SendCodeRequest(self._phone, account.api_id, account.api_hash, types.CodeSettings())
        )

    def resend_code(self) -> str:
        """Have the code sent in another way; in which."""
        try:
            return self._note(functions.auth.ResendCodeRequest(self._phone, self._code_hash))
        except CodeExpired:
            return self.send_code()

    def _note(self, request: Any) -> str:
        sent = self._run(self._ask(request))
        if isinstance(sent, types.auth.SentCodeSuccess):
            self._enter(sent.authorization)
            return "Telegram wants no code."
        if not isinstance(sent, types.auth.SentCode):
            raise GaveUp("Telegram wants a paid subscription before it sends this number a code. Try --qr")
        if isinstance(sent.type, types.auth.SentCodeTypeSetUpEmailRequired):
            raise GaveUp("Telegram wants an e-mail address for this account. Set it up in the app, or try --qr")
        self._code_hash = sent.phone_code_hash
        self._by_email = isinstance(sent.type, types.auth.SentCodeTypeEmailCode)
        return how_sent(sent)

    def sign_in(self, code: str) -> None:
        """Log in with the code."""
        digits = re.sub(r"[\s-]", "", code)
        code = digits if digits.isdigit() else code
        proof: dict[str, Any] = {"phone_code": code}
        if self._by_email:
            proof = {"email_verification": types.EmailVerificationCode(code)}
        self._enter(self._run(self._ask(functions.auth.SignInRequest(self._phone, self._code_hash, **proof))))

    def password_hint(self) -> str:
        """What the owner has written down to be reminded by."""
        return shown(self._run(self._ask(functions.account.GetPasswordRequest())).hint or "")

    def check_password(self, password: str) -> None:
        """Log in with the password of two-step verification."""
        self._enter(self._run(self._prove(password)))

    def login_address(self) -> str | None:
        """What the next QR code says; None if a code was accepted, and the account is logged in."""
        answer = self._run(self._next_token())
        if isinstance(answer, types.auth.LoginTokenSuccess):
            self._enter(answer.authorization)
            return None
        self._token_expires = answer.expires.timestamp()
        return f"tg://login?token={base64.urlsafe_b64encode(answer.token).decode().rstrip('=')}"

    def await_acceptance(self) -> None:
        """Wait until the code is accepted, or too old."""
        self._run(self._await_acceptance())

    def keep_as_string(self) -> str:
        """The session as Telethon's StringSession."""
        self._kept = True
        return str(StringSession.save(self._session))

    def keep_as_file(self, path: Path) -> None:
        """Write the session. Raises GaveUp."""
        try:
            write_session(self._session, path)
        except Exception as error:
            raise GaveUp(f"{path} could not be written, the login was undone: {error}") from error
        self._kept = True

    def _enter(self, authorization: Any) -> None:
        if isinstance(authorization, types.auth.AuthorizationSignUpRequired):
            raise GaveUp(_FINAL[errors.PhoneNumberUnoccupiedError])
        self.user = authorization.user

    # In the thread

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the work done in the loop's thread, and wait for it where a Ctrl-C arrives."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _ask(self, request: Any) -> Any:
        """Telegram's answer; on a new connection if the old one is gone by now."""
        trouble = ""
        for _ in range(2):
            try:
                client = await self._connected()
                return await self._limited(client(request), REQUEST_SECONDS)
            except ConnectionLost as error:
                trouble = str(error)
                await self._disconnect()
        raise GaveUp(f"Telegram cannot be reached: {trouble}. {UNREACHABLE}")

    async def _limited(self, answer: Awaitable[Any], seconds: float) -> Any:
        """The answer in its time; what is no answer becomes one of ours, or ConnectionLost."""
        try:
            async with asyncio.timeout(seconds):
                return await translated(_sorted(answer))
        except TimeoutError as error:
            raise ConnectionLost(f"no answer within {duration(seconds)}") from error
        except Flooded as flood:
            raise GaveUp(
                f"Telegram asks to wait for {duration(flood.seconds)} before the next attempt. Run bin/run login then"
            ) from flood
        except (ServerTrouble, Unreadable, StaleReference) as error:
            raise GaveUp(f"{error}. Try again later") from error
        except Hold as hold:
            raise GaveUp(hold.what if LOGIN in hold.remedy else str(hold)) from hold

    async def _connected(self) -> TelegramClient:
        if self._client is None or not self._client.is_connected():
            await self._disconnect()
            self._client = make_client(self._account, self._session)
            self._client.add_event_handler(self._hear_acceptance, events.Raw(types.UpdateLoginToken))
            await self._limited(connect(self._client), CONNECT_SECONDS)
        return self._client

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await client.disconnect()

    async def _leave(self) -> None:
        """End it: nobody has a use for a login that was not kept."""
        with suppress(Exception):
            if self.user is not None and not self._kept and self._client is not None:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._client(functions.auth.LogOutRequest())
        await self._disconnect()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _prove(self, password: str) -> Any:
        challenge = await self._ask(functions.account.GetPasswordRequest())
        try:
            proof = compute_check(challenge, password)
        except ValueError as error:
            raise GaveUp(f"this kind of password is not known here: {error}") from error
        return await self._ask(functions.auth.CheckPasswordRequest(proof))

    async def _next_token(self) -> Any:
        self._accepted.clear()
        account = self._account
        answer = await self._ask(functions.auth.ExportLoginTokenRequest(account.api_id, account.api_hash, []))
        if isinstance(answer, types.auth.LoginTokenMigrateTo):  # the account lives in another data centre
            client = await self._connected()
            await self._limited(client._switch_dc(answer.dc_id), CONNECT_SECONDS)
            answer = await self._ask(functions.auth.ImportLoginTokenRequest(answer.token))
        return answer

    async def _await_acceptance(self) -> None:
        client = await self._connected()
        # By the server's clock, which the key exchange has shown.
        left = self._token_expires - time.time() - client._sender._state.time_offset
        with suppress(TimeoutError):
            async with asyncio.timeout(min(max(left, LEAST_QR_SECONDS), MOST_QR_SECONDS)):
                await self._accepted.wait()

    async def _hear_acceptance(self, update: Any) -> None:
        self._accepted.set()


async def _sorted(answer: Awaitable[Any]) -> Any:
    """The answer; errors that only a login has become ours."""
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
            raise GaveUp(text) from error
        if fault := APPLICATION.get(type(error)):
            raise GaveUp(". ".join(fault), EX_CONFIG) from error
        raise


def how_sent(sent: Any) -> str:
    """In what way Telegram has sent the code."""
    match sent.type:
        case types.auth.SentCodeTypeApp():
            return "Telegram has sent a code to your Telegram app, into the chat “Telegram”."
        case types.auth.SentCodeTypeSms() | types.auth.SentCodeTypeFirebaseSms():
            return "Telegram has sent a code by SMS."
        case types.auth.SentCodeTypeSmsWord() | types.auth.SentCodeTypeSmsPhrase():
            return "Telegram has sent words by SMS: they are the code."
        case types.auth.SentCodeTypeCall():
            return "Telegram calls you, and says the code."
        case types.auth.SentCodeTypeMissedCall(prefix=prefix, length=length):
            return (
                f"Telegram calls from +{shown(prefix)}… and hangs up: the number's last {length} digits are the code."
            )
        case types.auth.SentCodeTypeFlashCall():
            return "Telegram calls you and hangs up: the calling number is the code."
        case types.auth.SentCodeTypeFragmentSms(url=url):
            return f"Telegram has sent a code to your anonymous number: {shown(url)}"
        case types.auth.SentCodeTypeEmailCode(email_pattern=pattern):
            return f"Telegram has sent a code by e-mail to {shown(pattern)}."
        case _:
            return "Telegram has sent a code."


def describe(user: Any) -> str:
    """Who an account is, without what others need not read over a shoulder: of the phone its last two digits."""
    name = shown(" ".join(part for part in (user.first_name, user.last_name) if part)) or "(no name)"
    names = [user.username, *(one.username for one in user.usernames or () if one.active)]
    username = next((f"@{one}" for one in names if one), "")
    phone = f"phone …{user.phone[-2:]}" if user.phone else ""
    about = ", ".join(part for part in (username, phone) if part)
    return f"{name} ({about})" if about else name


def shown(text: str) -> str:
    """A text of others on one connection of a terminal, which it can't take over."""
    return "".join(char if char.isprintable() else " " for char in clean(text)).strip()
