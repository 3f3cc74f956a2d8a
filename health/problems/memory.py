"""The machine is short of memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from health.problems.problem import Problem
from health.snapshot import Snapshot

REMEDY = (
    "Nothing is lost, and all are at work again when it is over. If it happens often: bin/run memory says who has how"
    " much; lower pool.workers, or give the machine more memory"
)


def machine_short_of_memory(snapshot: Snapshot) -> Iterator[Problem]:
    machine = snapshot.report("machine")
    if machine.get("rationed"):
        yield Problem("machine.short_of_memory", "machine", _shortage(machine), REMEDY, machine["since"])


def _shortage(machine: Mapping[str, Any]) -> str:
    """What is the matter with the machine's memory, and what is done about it."""
    available, percent = machine["available_bytes"], machine["pressure_percent"]
    left = "" if available is None else f"{available // 2**20} MiB left"
    waits = "" if percent is None else f"processes wait for it {percent:.0f} % of the time"
    begin = "is short of memory" if machine["state"] == "short" else "was short of memory until just now"
    intake = "pictures are fetched" if machine["intake"] else "nothing is fetched"
    workers = machine["workers"]
    done = f"{workers} image worker{'s' if workers > 1 else ''} at work, {intake}"
    return f"the machine {begin} ({', '.join(filter(None, (left, waits)))}): {done}"
