"""When the program was started."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Start:
    """When the program was started, by both clocks: the one that people read can be set, durations need the other.

    `secret` tells this start from all others: sessions of the page end with it.
    """

    unix: float
    monotonic: float
    secret: str = field(repr=False)

    @classmethod
    def now(cls) -> Start:
        return cls(time.time(), time.monotonic(), os.urandom(32).hex())
