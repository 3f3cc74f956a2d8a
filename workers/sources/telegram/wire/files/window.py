"""How many bytes of files are asked for at once, and in parts of which size: what comes in a second or so. Pure.

Telegram answers on one connection in turn. What is asked for beyond what the connection carries only waits there, and
keeps every other answer waiting, until they count as lost; and it cannot be taken back. So, as TCP does it: begin with
little, double while answers come promptly, halve when they come slowly, and after silence begin with the least.
"""

from __future__ import annotations

import math
from typing import Final

MIN_BYTES: Final = 64 * 1024
"""The smallest part, and the least that is asked for at once: at 4 kB/s it takes 16 s."""

FIRST_BYTES: Final = 256 * 1024
MAX_BYTES: Final = 8 * 1024 * 1024
MAX_PART_BYTES: Final = 512 * 1024
"""Largest part of a file in one answer, in bytes. Telethon gives no more either."""

PROMPT_SECONDS: Final = 1.0
SLOW_SECONDS: Final = 3.0
"""An answer that takes longer than this has waited behind others, and so does every other one."""


class Window:
    """The window of one connection. `in_flight` bytes are asked for, `window` bytes may be."""

    def __init__(self) -> None:
        self.window = FIRST_BYTES
        self.in_flight = 0
        self._narrowed_at = -math.inf

    def fits(self, size: int) -> bool:
        """Whether `size` bytes more may be asked for now. One request always may."""
        return self.in_flight == 0 or self.in_flight + size <= self.window

    def part_bytes(self, offset: int, left: int) -> int:
        """The size of the part at `offset`, of which there are `left` bytes: a power of two that Telegram allows.

        No part may cross the border of a megabyte, so each begins at a multiple of its size. Where the file ends, it
        asks for more than there is: so a file that is longer than it should be shows.
        """
        size = MIN_BYTES
        while size < MAX_PART_BYTES and size <= left and 4 * size <= self.window and offset % (2 * size) == 0:
            size *= 2
        return size

    def asked(self, size: int) -> None:
        """Note that `size` bytes were asked for."""
        self.in_flight += size

    def answered(self, size: int, asked_at: float, now: float) -> None:
        """Note that `size` bytes have come."""
        was_full = 2 * self.in_flight > self.window
        self.in_flight -= size
        if now - asked_at > SLOW_SECONDS:
            self._narrow(self.window // 2, asked_at, now)
        elif now - asked_at < PROMPT_SECONDS and was_full:
            self.window = min(MAX_BYTES, self.window + size)

    def unanswered(self, size: int, asked_at: float, now: float) -> None:
        """Note that `size` bytes have not come in their time."""
        self.in_flight -= size
        self._narrow(MIN_BYTES, asked_at, now)

    def gave_up(self, size: int) -> None:
        """Note that `size` bytes are not waited for any more."""
        self.in_flight -= size

    def _narrow(self, window: int, asked_at: float, now: float) -> None:
        """Narrow the window, once for all that was asked for before the last time: it waited for the same reason."""
        if asked_at >= self._narrowed_at:
            self.window = max(MIN_BYTES, window)
            self._narrowed_at = now
        elif window == MIN_BYTES:
            self.window = MIN_BYTES
