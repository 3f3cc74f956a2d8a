"""One configured channel, and how it stands: whether it is read, and if not, why and what to do."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

from ipc.text.channel_address import Address
from ipc.transport.messages import clip
from workers.sources.telegram.history.history import History
from workers.sources.telegram.wire.errors import ChannelFault

TROUBLE_TIMES: Final = 3
TROUBLE_SECONDS: Final = 60.0
"""How often in a row, or for how long, a channel gives no good answer before that is a problem to report."""

HINT_PAUSE_SECONDS: Final = 0.5
"""Between two looks that hints have asked for: a burst of posts is read in pages, and not one by one."""

CLOSED_SECONDS: Final = 5.0
RESOLVE_SECONDS: Final = 60.0
"""How often hints have a channel tried that can't be read. Looking up an address is rationed by the day."""

UNFORESEEN_SECONDS: Final = 5.0
MAX_REST_SECONDS: Final = 300.0
"""Between two looks at a channel with an unforeseen error: doubled each time, whatever hints come."""

FAULT_BYTES: Final = 1200
"""Longest fault of a channel in a report, and longest remedy, in bytes: both go in one message."""

A_DEFECT: Final = (
    "Nothing is lost: it is tried again by itself, ever more rarely. Tell Picturedesk's makers what the log has of it,"
    " or update Picturedesk"
)
IT_IS_TRIED: Final = "Nothing is lost: it is tried again every few seconds. If it lasts, see the log of the connection"


@dataclass(slots=True)
class ChannelState:
    """One configured channel, and how it stands. `history` is there once it has been found, `channel_id` once known.

    `since`: when it was first configured (Unix seconds). `trouble`: what the last looks got instead of an answer, how
    often in a row, since when (monotonic) and what to do; `is_defect`: an unforeseen error, so it is reported at once.
    `is_hinted`: the next look is for a hint's sake. `rest_until` (monotonic): no look before, whatever asks for one.
    `last_title` is its title when it could last be read.
    """

    address: Address
    history: History | None = None
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
    trouble_remedy: str = ""
    is_defect: bool = False
    fault_times: int = 0
    rest_until: float = 0.0
    last_title: str = ""
    was_read: bool = False
    is_hinted: bool = False
    looked_at: float = 0.0

    @property
    def readable(self) -> History | None:
        return self.history if self.fault is None else None

    @property
    def state(self) -> str:
        """Whether the channel is read, in a word."""
        if self.fault:
            return "closed"
        if self.is_defect:
            return "failing"
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
        """What is wrong with it, and what to do; empty if nothing is."""
        match self.state:
            case "closed" if self.fault:
                return self.fault.what, self.fault.remedy
            case "failing":
                looks = "1 look" if self.trouble_times == 1 else f"{self.trouble_times} looks"
                return f"no answer of use in {looks}: {self.trouble}", self.trouble_remedy
        return "", ""

    def is_concerned_by(self, channel_id: int | None, *, is_of_membership: bool) -> bool:
        """Whether it is to be looked at since something has happened in that channel (None: anywhere).

        One that could not be found yet may be the one that the account has just joined.
        """
        if channel_id is None or self.channel_id is None:
            return self.history is not None if channel_id is None else self.fault is not None and is_of_membership
        return channel_id == self.channel_id

    def has_fault(self, fault: ChannelFault) -> None:
        """Note that the channel can't be read, and why."""
        self.fault, self.fault_times = fault, self.fault_times + 1
        longest = CLOSED_SECONDS if self.channel_id is not None else RESOLVE_SECONDS
        self.rest_until = time.monotonic() + min(longest, HINT_PAUSE_SECONDS * 2 ** min(self.fault_times, 10))

    def has_trouble(self, why: str, remedy: str = IT_IS_TRIED) -> None:
        """Note that a look was in vain."""
        self.trouble_at = self.trouble_at if self.trouble else time.monotonic()
        self.trouble, self.trouble_remedy, self.trouble_times = why, remedy, self.trouble_times + 1
        self.is_defect = False

    def has_defect(self, why: str) -> float:
        """Note that a look has met an unforeseen error. Returns the seconds until the next look."""
        self.has_trouble(why, A_DEFECT)
        self.is_defect = True
        seconds: float = min(MAX_REST_SECONDS, UNFORESEEN_SECONDS * 2 ** min(self.trouble_times - 1, 10))
        self.rest_until = time.monotonic() + seconds
        return seconds

    def is_well(self) -> None:
        """Note that the channel was read."""
        self.fault, self.fault_times, self.rest_until = None, 0, 0.0
        self.trouble, self.trouble_times, self.is_defect, self.was_read = "", 0, False, True

    def close(self) -> None:
        """Forget the peer: what was known of it does not hold any more."""
        self.last_title, self.history = self.title, None

    @property
    def title(self) -> str:
        return self.history.title if self.history else self.last_title

    def facts(self, *, connected: bool) -> dict[str, Any]:
        """What /status shows of it. How far it is behind is known while connected."""
        history, fault = self.history, self.fault
        problem, remedy = self.problem()
        return {
            "id": self.channel_id,
            "address": str(self.address),
            "title": clip(self.title, 200),
            "state": self.state,
            "behind": history.behind if history and history.cursor is not None and not fault and connected else None,
            "is_member": history.peer.is_member if history else None,
            "backfilled": history.backfill.done() if history else None,
            "backfill_left": history.backfill.left() if history else None,
            "problem": clip(problem, FAULT_BYTES),
            "remedy": clip(remedy, FAULT_BYTES),
        }
