"""A slot's row of /status, as health gets it: plain facts, with times by the monotonic clock."""

from __future__ import annotations

from typing import Any

from supervisor.processes.process import Process
from supervisor.processes.slot import Slot


def row_of(slot: Slot) -> dict[str, Any]:
    """The slot's row; a child that is down has no pid."""
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
