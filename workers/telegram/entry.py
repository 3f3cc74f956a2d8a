"""One configured channel, and how it stands: whether it is read, and if not, why and what to do."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

from ipc.channel_address import Address
from ipc.messages import clip
from workers.telegram.errors import ChannelFault
from workers.telegram.watch import Watch

TROUBLE_TIMES: Final = 3
TROUBLE_SECONDS: Final = 60.0
"""So often in a row, or for so long, a channel may give no good answer before that is a problem to tell."""

FAULT_BYTES: Final = 1200
"""Of a channel's fault, and of its remedy, in a report: both go in one message."""

IT_IS_TRIED: Final = "Nothing is lost: it is tried again every few seconds. If it lasts, see the log of the connection"


@dataclass(slots=True)
class Entry:
    """One configured channel, and how it stands. `watch` is there once it has been found, `channel_id` once known.

    `since`: when it was first configured (Unix seconds). `trouble`: what the last looks got instead of an answer, how
    often in a row, and since when (monotonic). `is_hinted`: the next look is for a hint's sake.
    """

    address: Address
    watch: Watch | None = None
    fault: ChannelFault | None = None
    hints: set[int] = field(default_factory=set)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    channel_id: int | None = None
    reconcile_at: float = 0.0
    flooded_until: float = 0.0
    since: float = 0.0
    trouble: str = ""
    trouble_times: int = 0
    trouble_at: float = 0.0
    was_read: bool = False
    is_hinted: bool = False
    looked_at: float = 0.0

    @property
    def readable(self) -> Watch | None:
        return self.watch if self.fault is None else None

    @property
    def state(self) -> str:
        """In a word: is it read?"""
        if self.fault:
            return "closed"
        if self.trouble and (self.trouble_times >= TROUBLE_TIMES or self._troubled_seconds() >= TROUBLE_SECONDS):
            return "failing"
        return "read" if self.was_read else "not read yet"

    @property
    def gives_answers(self) -> bool:
        """Whether a look at it is likely to get an answer now."""
        return self.state != "failing" and time.monotonic() >= self.flooded_until

    def _troubled_seconds(self) -> float:
        return time.monotonic() - self.trouble_at

    def problem(self) -> tuple[str, str]:
        """What is the matter with it, and what to do; empty if nothing is."""
        match self.state:
            case "closed" if self.fault:
                return self.fault.what, self.fault.remedy
            case "failing":
                return f"no answer of use in {self.trouble_times} looks: {self.trouble}", IT_IS_TRIED
        return "", ""

    def has_trouble(self, why: str) -> None:
        """A look was in vain."""
        self.trouble_at = self.trouble_at if self.trouble else time.monotonic()
        self.trouble, self.trouble_times = why, self.trouble_times + 1

    def is_well(self) -> None:
        """It was read."""
        self.fault, self.trouble, self.trouble_times, self.was_read = None, "", 0, True

    def facts(self, *, connected: bool) -> dict[str, Any]:
        """What /status shows of it. How far it is behind is known while there is a line."""
        watch, fault = self.watch, self.fault
        problem, remedy = self.problem()
        return {
            "id": self.channel_id,
            "address": str(self.address),
            "title": clip(watch.title, 200) if watch else "",
            "state": self.state,
            "behind": watch.behind if watch and watch.cursor is not None and not fault and connected else None,
            "is_member": watch.peer.is_member if watch else None,
            "backfilled": watch.backfilled() if watch else None,
            "backfill_left": watch.backfill_left() if watch else None,
            "problem": clip(problem, FAULT_BYTES),
            "remedy": clip(remedy, FAULT_BYTES),
        }
