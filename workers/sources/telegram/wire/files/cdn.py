"""A file as Telegram's content delivery network (CDN) has it: what to ask for, how to read it, and whether it is true.

The CDN keeps it encrypted, and may give anything. Telegram itself gives the key, and the SHA-256 of every block of the
file as it was before: only bytes that have passed that are given out. Blocks are of 128 KiB as a rule; only that each
comes in one answer is relied upon. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

MEGABYTE: Final = 1 << 20
"""No answer crosses a border of these."""

MIN_BYTES: Final = 128 * 1024
"""The least to ask for: less would not do to prove a block."""


class Tampered(Exception):
    """What the CDN gave are not the file's bytes."""


@dataclass(frozen=True, slots=True)
class CdnBlock:
    """The digest of `size` bytes of the file from `offset` on."""

    offset: int
    size: int
    sha256: bytes


class CdnFile:
    """One file there, as Telegram's own data centre has described it. Raises ValueError if nothing can be so."""

    def __init__(self, dc_id: int, token: bytes, key: bytes, iv: bytes, blocks: Iterable[CdnBlock]) -> None:
        if len(key) != 32 or len(iv) != 16:
            raise ValueError(f"a key of {len(key)} bytes and an initial vector of {len(iv)}, where 32 and 16 belong")
        self.dc_id = dc_id
        self.token = token
        self._key = key
        self._iv = iv
        self._blocks: dict[int, CdnBlock] = {}
        self._offsets: list[int] = []
        self.learn(blocks)

    def learn(self, blocks: Iterable[CdnBlock]) -> None:
        """Remember these digests, too."""
        self._blocks |= {one.offset: one for one in blocks if one.size > 0}
        self._offsets = sorted(self._blocks)

    def unproven(self, start: int, end: int) -> int | None:
        """The first byte from `start` to before `end` whose block's digest is not known; None if all are."""
        while start < end:
            block = self._block_at(start)
            if block is None:
                return start
            start = block.offset + block.size
        return None

    def span(self, offset: int, size: int) -> tuple[int, int]:
        """Where to begin and how much to ask for, so that whole blocks come: at least these, as Telegram allows it.

        `size` is a power of two, and `offset` a multiple of it.
        """
        size = max(size, MIN_BYTES)
        while size < MEGABYTE and self._cuts_a_block(offset - offset % size, size):
            size *= 2
        return offset - offset % size, size

    def _cuts_a_block(self, start: int, size: int) -> bool:
        first, last = self._block_at(start), self._block_at(start + size - 1)
        return (first is not None and first.offset < start) or (
            last is not None and last.offset + last.size > start + size
        )

    def opened(self, data: bytes, start: int) -> bytes:
        """What came from `start` on, decrypted. Raises Tampered unless all of it is true."""
        plain = _decrypted(data, self._key, self._iv, start)
        at = start
        while at < start + len(plain):
            block = self._block_at(at)
            if block is None or block.offset < start:
                raise Tampered(f"nothing proves its bytes at {at}")
            end = block.offset + block.size
            if sha256(plain[at - start : end - start]).digest() != block.sha256:
                raise Tampered(f"its bytes at {at} are not the file's (their SHA-256 is another)")
            at = end
        return plain

    def _block_at(self, offset: int) -> CdnBlock | None:
        number = bisect_right(self._offsets, offset) - 1
        block = self._blocks[self._offsets[number]] if number >= 0 else None
        return block if block is not None and offset < block.offset + block.size else None


def _decrypted(data: bytes, key: bytes, iv: bytes, start: int) -> bytes:
    """AES-256 in counter mode; the counter's last four bytes count the file's blocks of 16."""
    from cryptography.hazmat.primitives.ciphers import (  # noqa: PLC0415 - 8 MiB that most channels never need
        Cipher,
        algorithms,
        modes,
    )

    counter = iv[:12] + (start // 16).to_bytes(4, "big")
    decryptor = Cipher(algorithms.AES(key), modes.CTR(counter)).decryptor()
    return decryptor.update(data) + decryptor.finalize()
