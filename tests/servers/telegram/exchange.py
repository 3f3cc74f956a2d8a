"""The exchange that gives a client its authorisation key: req_pq_multi, req_DH_params, set_client_DH_params.

With a key pair of the server's own: the client's process must trust it first, `telethon.crypto.rsa.add_key(
server.public_key, old=False)`. It is the scheme that Telethon speaks: SHA1 and plain RSA, not RSA_PAD.
"""

from __future__ import annotations

import functools
import os
import secrets
import struct
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

import rsa
from telethon.crypto import AES, AuthKey
from telethon.extensions import BinaryReader
from telethon.helpers import generate_key_data_from_nonce
from telethon.tl import TLObject, functions, types

from tests.servers.telegram.transports import BadStream

PRIME = int(
    "C71CAEB9C6B1C9048E6C522F70F13F73980D40238E3E21C14934D037563D930F48198A0AA7C14058229493D22530F4DB"
    "FA336F6E0AC925139543AED44CCE7C3720FD51F69458705AC68CD4FE6B6B13ABDC9746512969328454F18FAF8C595F64"
    "2477FE96BB2A941D5BCD1D4AC8CC49880708FA9B378E3C4F3A9060BEE67CF9A4A4A695811051907E162753B56B0F6B41"
    "0DBA74D8A84B2A14B3144E0EF1284754FD17ED950D5965B4B9DD46582DB1178D169C6BC465B0D6FF9CA3928FEF5B9AE4"
    "E418FC15E83EBEA0F87FA9FF5EED70050DED2849F47BF959D956850CE929851F0D8115F635B105EE2E4E15D04B2454BF"
    "6F4FADF034B10403119CD8E3B92FCC5B",
    16,
)
"""Telegram's published 2048-bit prime; clients know it to be a good one, which saves them testing it."""

GENERATOR = 3

# The client factors their product in Python: small ones take it no time. It reads the product as a signed number, so
# its highest bit may not be a byte's highest.
P, Q = 300007, 1000003

_SMALL_PRIMES = [n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2))]


@dataclass(frozen=True)
class ServerKey:
    """The server's RSA key pair."""

    n: int
    e: int
    d: int

    @property
    def public(self) -> str:
        """The public half as PEM (PKCS#1), as clients take it."""
        return str(rsa.PublicKey(self.n, self.e).save_pkcs1().decode())

    @property
    def fingerprint(self) -> int:
        both = b"".join(TLObject.serialize_bytes(_big_endian(part)) for part in (self.n, self.e))
        return int(struct.unpack("<q", sha1(both).digest()[-8:])[0])

    def decrypt(self, data: bytes) -> bytes:
        return pow(int.from_bytes(data, "big"), self.d, self.n).to_bytes(256, "big")[1:]


@functools.cache
def server_key(of: str = "Telegram") -> ServerKey:
    """One key pair a process for Telegram, and another one for its CDN.

    Made when first needed: half a second, against several of a library in pure Python.
    """
    e = 65537
    while True:
        p, q = _prime(1024), _prime(1024)
        n, phi = p * q, (p - 1) * (q - 1)
        if n.bit_length() == 2048 and phi % e:
            return ServerKey(n, e, pow(e, -1, phi))


class Exchange:
    """One client's exchange, step by step. `now` is the server's clock; `key` is there when it has succeeded."""

    def __init__(self, now: int, server_key: ServerKey) -> None:
        self._now = now
        self._server_key = server_key
        self._server_nonce = int.from_bytes(os.urandom(16), "little", signed=True)
        self._secret = secrets.randbits(512) | 1 << 511
        self._new_nonce = 0
        self.key: Any = None

    def answer(self, request: Any) -> Any:
        """What to answer; BadStream for what doesn't belong here."""
        if isinstance(request, (functions.ReqPqMultiRequest, functions.ReqPqRequest)):
            return types.ResPQ(
                nonce=request.nonce,
                server_nonce=self._server_nonce,
                pq=_big_endian(P * Q),
                server_public_key_fingerprints=[self._server_key.fingerprint],
            )
        if getattr(request, "server_nonce", None) != self._server_nonce:
            raise BadStream("a nonce that isn't ours")
        if isinstance(request, functions.ReqDHParamsRequest):
            return self._parameters(request)
        if isinstance(request, functions.SetClientDHParamsRequest):
            return self._key_made(request)
        raise BadStream("not a step of the exchange")

    def _parameters(self, request: Any) -> Any:
        inner = _hashed(self._server_key.decrypt(request.encrypted_data))
        self._new_nonce = inner.new_nonce
        answer = bytes(
            types.ServerDHInnerData(
                nonce=request.nonce,
                server_nonce=self._server_nonce,
                g=GENERATOR,
                dh_prime=_big_endian(PRIME),
                g_a=_big_endian(pow(GENERATOR, self._secret, PRIME)),
                server_time=self._now,
            )
        )
        encrypted = AES.encrypt_ige(sha1(answer).digest() + answer + bytes(-(20 + len(answer)) % 16), *self._cipher())
        return types.ServerDHParamsOk(request.nonce, self._server_nonce, encrypted)

    def _key_made(self, request: Any) -> Any:
        inner = _hashed(AES.decrypt_ige(request.encrypted_data, *self._cipher()))
        shared = _big_endian(pow(int.from_bytes(inner.g_b, "big"), self._secret, PRIME))
        key = AuthKey(shared)
        # One key in 256 begins with a zero byte, which Telethon leaves out and then loses when it saves the session.
        if len(shared) != 256:
            return types.DhGenRetry(request.nonce, self._server_nonce, key.calc_new_nonce_hash(self._new_nonce, 2))
        self.key = key
        return types.DhGenOk(request.nonce, self._server_nonce, key.calc_new_nonce_hash(self._new_nonce, 1))

    def _cipher(self) -> Any:
        return generate_key_data_from_nonce(self._server_nonce, self._new_nonce)


def _hashed(data: bytes) -> Any:
    """The object after a SHA1 of itself and before some padding."""
    with BinaryReader(data[20:]) as reader:
        inner = reader.tgread_object()
        if sha1(data[20 : 20 + reader.tell_position()]).digest() != data[:20]:
            raise BadStream("a hash that doesn't fit")
    return inner


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _prime(bits: int) -> int:
    while True:
        # The two highest bits set, so that the product of two has all its bits.
        candidate = secrets.randbits(bits) | 3 << (bits - 2) | 1
        if all(candidate % small for small in _SMALL_PRIMES) and _is_prime(candidate):
            return candidate


def _is_prime(n: int) -> bool:
    """Miller and Rabin's test; for numbers of this size a few rounds leave no real doubt."""
    twos = ((n - 1) & -(n - 1)).bit_length() - 1
    for _ in range(6):
        x = pow(secrets.randbelow(n - 3) + 2, (n - 1) >> twos, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True
