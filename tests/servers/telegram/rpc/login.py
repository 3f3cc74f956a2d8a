"""Logging in and out: by code, by password, by another device's consent (QR), and in a second data centre."""

from __future__ import annotations

import base64
import os
import secrets
from dataclasses import dataclass, field
from typing import Any

from telethon.tl import types

from tests.servers.telegram.keys import Authorization
from tests.servers.telegram.media import moment
from tests.servers.telegram.rpc.registry import Call, method
from tests.servers.telegram.srp import Challenge, algorithm
from tests.servers.telegram.tl import RpcError
from tests.servers.telegram.world import HOME_DC

TOKEN_SECONDS = 30
PASSWORD_NEEDED = RpcError(401, "SESSION_PASSWORD_NEEDED")


@dataclass
class Token:
    """A QR code: whose it is, until when, and whether another device has accepted it."""

    authorization: Authorization
    expires: float
    accepted: bool = False


@dataclass
class Logins:
    """Logins under way."""

    code_hashes: set[str] = field(default_factory=set)
    expired_hashes: set[str] = field(default_factory=set)
    challenges: dict[int, Challenge] = field(default_factory=dict)
    tokens: dict[bytes, Token] = field(default_factory=dict)
    exported: dict[bytes, tuple[int, Authorization]] = field(default_factory=dict)

    def expire_codes(self) -> None:
        """Codes sent so far are too old."""
        self.expired_hashes |= self.code_hashes

    def accept(self, token: bytes | str) -> Authorization:
        """Another device has scanned the code; whom to tell. KeyError if it isn't one of ours."""
        if isinstance(token, str):
            text = token.rsplit("token=", 1)[-1]
            token = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        self.tokens[token].accepted = True
        return self.tokens[token].authorization


@method("auth.sendCode", without_login=True)
def send_code(call: Call, request: Any) -> Any:
    _check_app(call, request)
    if request.phone_number.lstrip("+") != call.world.phone:
        raise RpcError(400, "PHONE_NUMBER_INVALID")
    _check_home(call)
    return _sent_code(call)


@method("auth.resendCode", without_login=True)
def resend_code(call: Call, request: Any) -> Any:
    _check_code_hash(call, request.phone_code_hash)
    return _sent_code(call)


@method("auth.signIn", without_login=True)
def sign_in(call: Call, request: Any) -> Any:
    if request.phone_number.lstrip("+") != call.world.phone:
        raise RpcError(400, "PHONE_NUMBER_INVALID")
    if not request.phone_code:
        raise RpcError(400, "PHONE_CODE_EMPTY")
    _check_code_hash(call, request.phone_code_hash)
    if request.phone_code != call.world.code:
        raise RpcError(400, "PHONE_CODE_INVALID")
    call.hub.logins.code_hashes.discard(request.phone_code_hash)
    return _half_way(call)


@method("account.getPassword", without_login=True)
def get_password(call: Call, request: Any) -> Any:
    if not call.authorization.logged_in and not call.authorization.awaits_password:
        raise RpcError(401, "AUTH_KEY_UNREGISTERED")
    common: dict[str, Any] = {
        "new_algo": algorithm(os.urandom(8), os.urandom(16)),
        "new_secure_algo": types.SecurePasswordKdfAlgoUnknown(),
        "secure_random": os.urandom(256),
    }
    if call.world.password is None:
        return types.account.Password(**common)
    challenge = Challenge(call.world.password)
    call.hub.logins.challenges[challenge.id] = challenge
    return types.account.Password(
        **common, has_password=True, current_algo=challenge.algorithm, srp_B=challenge.b, srp_id=challenge.id
    )


@method("auth.checkPassword", without_login=True)
def check_password(call: Call, request: Any) -> Any:
    challenge = call.hub.logins.challenges.pop(getattr(request.password, "srp_id", 0), None)
    if challenge is None or not call.authorization.awaits_password:
        raise RpcError(400, "SRP_ID_INVALID")
    if not challenge.accepts(request.password.A, request.password.M1):
        raise RpcError(400, "PASSWORD_HASH_INVALID")
    return _logged_in(call)


@method("auth.exportLoginToken", without_login=True)
def export_login_token(call: Call, request: Any) -> Any:
    """A token to show as a QR code; or, when the last one was accepted, the login."""
    _check_app(call, request)
    tokens = call.hub.logins.tokens
    for token, entry in list(tokens.items()):
        if entry.authorization is call.authorization and entry.accepted:
            del tokens[token]
            return types.auth.LoginTokenSuccess(_half_way(call))
    token = os.urandom(32)
    tokens[token] = Token(call.authorization, call.world.now() + TOKEN_SECONDS)
    return types.auth.LoginToken(moment(tokens[token].expires), token)


@method("auth.exportAuthorization")
def export_authorization(call: Call, request: Any) -> Any:
    if request.dc_id == call.dc_id or request.dc_id not in call.hub.ports:
        raise RpcError(400, "DC_ID_INVALID")
    ticket = os.urandom(128)
    call.hub.logins.exported[ticket] = (request.dc_id, call.authorization)
    return types.auth.ExportedAuthorization(call.world.user_id, ticket)


@method("auth.importAuthorization", without_login=True)
def import_authorization(call: Call, request: Any) -> Any:
    dc_id, parent = call.hub.logins.exported.pop(request.bytes, (0, call.authorization))
    if dc_id != call.dc_id or request.id != call.world.user_id:
        raise RpcError(400, "AUTH_BYTES_INVALID")
    call.authorization.parent = parent
    return _logged_in(call)


@method("auth.logOut")
def log_out(call: Call, request: Any) -> Any:
    call.authorization.logged_in = False
    return types.auth.LoggedOut()


def _check_app(call: Call, request: Any) -> None:
    if (request.api_id, request.api_hash) != (call.hub.api_id, call.hub.api_hash):
        raise RpcError(400, "API_ID_INVALID")


def _check_home(call: Call) -> None:
    if call.dc_id != HOME_DC:
        raise RpcError(303, f"PHONE_MIGRATE_{HOME_DC}")


def _check_code_hash(call: Call, code_hash: str) -> None:
    logins = call.hub.logins
    if not code_hash:
        raise RpcError(400, "PHONE_CODE_HASH_EMPTY")
    if code_hash not in logins.code_hashes or code_hash in logins.expired_hashes:
        raise RpcError(400, "PHONE_CODE_EXPIRED")


def _sent_code(call: Call) -> Any:
    code_hash = secrets.token_hex(9)
    call.hub.logins.code_hashes.add(code_hash)
    return types.auth.SentCode(types.auth.SentCodeTypeApp(len(call.world.code)), code_hash, timeout=60)


def _half_way(call: Call) -> Any:
    """The first step is done: in, unless there is a password."""
    if call.world.password is not None:
        call.authorization.awaits_password = True
        raise PASSWORD_NEEDED
    return _logged_in(call)


def _logged_in(call: Call) -> Any:
    call.authorization.logged_in, call.authorization.awaits_password = True, False
    return types.auth.Authorization(call.world.user())
