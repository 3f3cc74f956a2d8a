"""The children's rows of /status: reported to the router at every change, and now and then without one."""

from __future__ import annotations

import math
import time
from typing import Any

from supervisor.processes.loop.shared import Shared
from supervisor.processes.slot import Slot
from supervisor.processes.slot_row import row_of

LOOK_SECONDS = 1.0
"""Between two looks at what has changed in the rows, at least."""

REPEAT_SECONDS = 10.0
BUSY_REPEAT_SECONDS = 2.0
"""How often a row is reported though nothing in it has changed. A busy router adds to it how far the work is, and
readers of /status are to see a child's signs of life before they miss them.
"""


class Rows:
    """Reports rows, each with the facts of its slot."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._looked_at = 0.0
        self._busy_at = -math.inf

    def look(self) -> None:
        """Report what has changed, at most once a second."""
        now = time.monotonic()
        if self._shared.router.is_busy():
            self._busy_at = now
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            for slot in self._shared.slots.values():
                self.report(slot)

    def report(self, slot: Slot) -> None:
        """Report the slot's row, unless it is as it was and was reported not long ago."""
        now = time.monotonic()
        if slot.process is not None and slot.spec.command is not None:
            slot.process.heard = now  # it says nothing, but the kernel would have told of its end
        facts = row_of(slot)
        was_busy = now - self._busy_at < REPEAT_SECONDS  # for a while after, or the row would show the last work
        pause = BUSY_REPEAT_SECONDS if was_busy or _is_heard_anew(slot, facts) else REPEAT_SECONDS
        if not _is_the_same(facts, slot.reported) or now - slot.reported_at >= pause:
            slot.reported, slot.reported_at = facts, now
            self._shared.router.on_state(slot.spec.name, facts)


def _is_heard_anew(slot: Slot, facts: dict[str, Any]) -> bool:
    """Whether a child that beats has given a sign of life since its row was reported."""
    return slot.spec.command is None and facts.get("heard") != slot.reported.get("heard")


def _is_the_same(facts: dict[str, Any], reported: dict[str, Any]) -> bool:
    """Whether nothing has changed but when the child was last heard of."""
    return {**facts, "heard": None} == {**reported, "heard": None}
