"""A login under way, step by step. One that is done and was not kept is ended at Telegram too."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from telethon.password import compute_check
from telethon.sessions import StringSession
from telethon.tl import functions, types

from workers.sources.telegram.login.answers import CodeExpired, LoginFailed, signed_in
from workers.sources.telegram.login.asker import Asker
from workers.sources.telegram.login.descriptions import how_sent, shown
from workers.sources.telegram.login.session import write_session
from workers.sources.telegram.wire.account import Account


class Login:
    """Each step may raise Again, CodeExpired, PasswordNeeded and LoginFailed.

    `user` is there (telethon's) once the account is logged in.
    """

    def __init__(self, account: Account) -> None:
        self.user: Any = None
        self._account = account
        self._asker = Asker(account)
        self._kept = False
        self._phone = self._code_hash = ""
        self._by_email = False
        self._token_expires = 0.0

    def __enter__(self) -> Self:
        self._asker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asker.end(log_out=self.user is not None and not self._kept)

    def connect(self) -> None:
        """Connect, so that it is known to work before the person is asked for anything."""
        self._asker.ask(functions.help.GetNearestDcRequest())

    # By a code

    def send_code(self, phone: str = "") -> str:
        """Have a code sent to that phone, or to the same one again. Returns how it is sent."""
        self._phone = phone or self._phone
        account = self._account
        return self._note_sent(
            functions.auth.SendCodeRequest(self._phone, account.api_id, account.api_hash, types.CodeSettings())
        )

    def resend_code(self) -> str:
        """Have the code sent in another way. Returns how it is sent."""
        try:
            return self._note_sent(functions.auth.ResendCodeRequest(self._phone, self._code_hash))
        except CodeExpired:
            return self.send_code()

    def _note_sent(self, request: Any) -> str:
        sent = self._asker.ask(request)
        if isinstance(sent, types.auth.SentCodeSuccess):
            self.user = signed_in(sent.authorization)
            return "Telegram wants no code."
        if not isinstance(sent, types.auth.SentCode):
            raise LoginFailed("Telegram wants a paid subscription before it sends this number a code. Try --qr")
        if isinstance(sent.type, types.auth.SentCodeTypeSetUpEmailRequired):
            raise LoginFailed("Telegram wants an e-mail address for this account. Set it up in the app, or try --qr")
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
        self.user = signed_in(self._asker.ask(functions.auth.SignInRequest(self._phone, self._code_hash, **proof)))

    # By a password, after either

    def password_hint(self) -> str:
        """What the owner has written down as a reminder."""
        return shown(self._asker.ask(functions.account.GetPasswordRequest()).hint or "")

    def check_password(self, password: str) -> None:
        """Log in with the password of two-step verification."""
        challenge = self._asker.ask(functions.account.GetPasswordRequest())
        try:
            proof = compute_check(challenge, password)
        except ValueError as error:
            raise LoginFailed(f"this kind of password is not known here: {error}") from error
        self.user = signed_in(self._asker.ask(functions.auth.CheckPasswordRequest(proof)))

    # By a QR code

    def login_address(self) -> str | None:
        """What the next QR code says; None if a code was accepted, and the account is logged in."""
        answer = self._asker.next_token()
        if isinstance(answer, types.auth.LoginTokenSuccess):
            self.user = signed_in(answer.authorization)
            return None
        self._token_expires = answer.expires.timestamp()
        return f"tg://login?token={base64.urlsafe_b64encode(answer.token).decode().rstrip('=')}"

    def await_acceptance(self) -> None:
        """Wait until the code is accepted, or too old."""
        self._asker.await_acceptance(self._token_expires)

    # What comes of it

    def keep_as_string(self) -> str:
        """The session as Telethon's StringSession."""
        self._kept = True
        return str(StringSession.save(self._asker.session))

    def keep_as_file(self, path: Path) -> None:
        """Write the session. Raises LoginFailed."""
        try:
            write_session(self._asker.session, path)
        except Exception as error:
            raise LoginFailed(f"{path} could not be written, the login was undone: {error}") from error
        self._kept = True
