"""The children's rows of /status: reported to the router at every change, and now and then without one."""

from __future__ import annotations

import math
import time
from typing import Any

from supervisor.processes.loop.shared import Shared
from supervisor.processes.process import Process
from supervisor.processes.slot import Slot

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


def row_of(slot: Slot) -> dict[str, Any]:
    """The slot's row of /status, with times by the monotonic clock; a child that is down has no pid."""
    row: dict[str, Any] = {
        "state": slot.state.value,
        "restarts": slot.restarts,
        "since": round(slot.since, 1),
        "cap_bytes": slot.spec.cap_bytes,
    }
    if slot.rests:
        row["resting"] = True
    if slot.tried_again_at is not None:
        row["due"] = round(slot.tried_again_at, 1)
    if slot.process is not None:
        row |= _process_facts(slot.process, beats=slot.spec.command is None)
    if slot.last_exit is not None:
        row |= {
            "last_exit": slot.last_exit.text[:300],
            "last_cause": slot.last_exit.cause.value,
            "remedy": slot.last_exit.remedy[:500],
            "exit_causes": dict(slot.exit_causes),
        }
    if slot.heard is not None:
        row["heard"] = round(slot.heard, 1)
    trouble, remedy = slot.trouble
    if trouble:
        row |= {"trouble": trouble[:300], "remedy": remedy}
    return row


def _process_facts(process: Process, *, beats: bool) -> dict[str, Any]:
    """What the row says of the process that fills the slot. `beats`: it gives signs of life."""
    facts: dict[str, Any] = {
        "pid": process.pid,
        "spawned": process.spawned,
        "rss_bytes": process.rss_bytes,
        "peak_rss_bytes": process.peak_rss_bytes,
        **process.history.facts(),
        "cap_bytes": process.cap_bytes,
        "beats": beats,
    }
    if process.cap_bytes:
        facts["enforced_by"] = "cgroup" if process.leaf else "sampling"
    if process.sandbox is not None:
        facts["sandbox"] = process.sandbox
    if process.leaf_peak_bytes:
        facts["cgroup_peak_bytes"] = process.leaf_peak_bytes
    return facts
