"""The server's half of two-step verification: SRP as Telegram does it."""

from __future__ import annotations

import os
import secrets
from hashlib import pbkdf2_hmac, sha256
from typing import Any

from telethon.tl import types

from tests.servers.telegram.exchange import GENERATOR, PRIME

SIZE = 256


class Challenge:
    """One question for a password, to be answered once."""

    def __init__(self, password: str) -> None:
        self.id = secrets.randbits(62)
        self.algorithm = algorithm(os.urandom(8), os.urandom(16))
        self._secret = secrets.randbits(2000)
        self._verifier = pow(GENERATOR, _number(_password_hash(self.algorithm, password)), PRIME)
        k = _number(sha256(_padded(PRIME) + _padded(GENERATOR)).digest())
        self.b = _padded((k * self._verifier + pow(GENERATOR, self._secret, PRIME)) % PRIME)

    def accepts(self, a: bytes, proof: bytes) -> bool:
        """Whether the client's `A` and `M1` show that it knows the password."""
        a = a.rjust(SIZE, b"\0")
        u = _number(sha256(a + self.b).digest())
        shared = pow(_number(a) * pow(self._verifier, u, PRIME), self._secret, PRIME)
        groups = (x ^ y for x, y in zip(_hash(_padded(PRIME)), _hash(_padded(GENERATOR)), strict=True))
        salts = _hash(self.algorithm.salt1) + _hash(self.algorithm.salt2)
        return _hash(bytes(groups) + salts + a + self.b + _hash(_padded(shared))) == proof


def algorithm(salt1: bytes, salt2: bytes) -> Any:
    """The only algorithm that Telegram has for it."""
    kind = types.PasswordKdfAlgoSHA256SHA256PBKDF2HMACSHA512iter100000SHA256ModPow
    return kind(salt1, salt2, GENERATOR, _padded(PRIME))


def _password_hash(salts: Any, password: str) -> bytes:
    once = _hash(salts.salt1 + password.encode() + salts.salt1)
    twice = _hash(salts.salt2 + once + salts.salt2)
    slow = pbkdf2_hmac("sha512", twice, salts.salt1, 100_000)
    return _hash(salts.salt2 + slow + salts.salt2)


def _hash(data: bytes) -> bytes:
    return sha256(data).digest()


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _padded(number: int) -> bytes:
    return number.to_bytes(SIZE, "big")
