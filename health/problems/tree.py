"""Problems of the processes: the root is silent; a child is held, keeps dying, is stopped, is down or is silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from health.problems.problem import Problem
from health.snapshot import GRACE_SECONDS, START_SECONDS, Snapshot
from ipc.text.timestamps import iso

SILENT_SECONDS = 10.0
"""How long a child that runs may give no sign of life before that is a problem. More than two of its heartbeats."""

Facts = Mapping[str, Any]
"""What the root said last of a child."""


def root_silent(snapshot: Snapshot) -> Iterator[Problem]:
    if snapshot.root_is_silent:
        yield Problem(
            "root.silent",
            "root",
            f"the root has not been heard of for {snapshot.silent_seconds:.0f} s",
            f"If somebody has stopped it: kill -CONT {snapshot.root['pid']}. If it lasts, restart the program",
            snapshot.now - snapshot.silent_seconds,
        )


def children_down(snapshot: Snapshot) -> Iterator[Problem]:
    """Problems of the children, at most one each: the first of `DOWN` that applies."""
    for name, facts in snapshot.tree.items():
        if _is_explained(snapshot, facts):
            continue
        problems = (detect(name, facts, snapshot) for detect in DOWN)
        if problem := next(filter(None, problems), None):
            yield problem


def _is_explained(snapshot: Snapshot, facts: Facts) -> bool:
    """Whether the child is down with its supervisor, or for want of memory: each is a problem of its own."""
    supervisor = snapshot.child(facts.get("under", ""))
    is_at_rest = bool(facts.get("resting")) and facts["state"] in ("stopping", "stopped")
    return is_at_rest or supervisor.get("state", "running") != "running"


def _crash_looping(name: str, facts: Facts, snapshot: Snapshot) -> Problem | None:
    trouble, is_held = facts.get("trouble"), facts["state"] == "held"
    if not trouble or not (is_held or facts["state"] in ("starting", "running")):
        return None
    how = "is held" if is_held else "was held, and is tried once more"
    return Problem(
        "child.crash_looping",
        f"child {name}",
        f"{name} {how}: {trouble}",
        _remedy_of_held(facts, snapshot),
        snapshot.unix(facts["since"]),
    )


def _held(name: str, facts: Facts, snapshot: Snapshot) -> Problem | None:
    if facts["state"] != "held":
        return None
    return Problem(
        "child.held",
        f"child {name}",
        f"{name} is held: {facts.get('last_exit', '')}",
        _remedy_of_held(facts, snapshot),
        snapshot.unix(facts["since"]),
    )


def _remedy_of_held(facts: Facts, snapshot: Snapshot) -> str:
    remedy: str = facts.get("remedy") or "See the log for what it said last"
    if "due" in facts:
        remedy += f". Else it is tried again at {iso(snapshot.unix(facts['due']))}"
    return remedy


def _stopped(name: str, facts: Facts, snapshot: Snapshot) -> Problem | None:
    if facts["state"] != "stopped" or snapshot.monotonic - facts["since"] <= GRACE_SECONDS:
        return None
    return Problem(
        "child.stopped",
        f"child {name}",
        f"{name} is stopped: {facts.get('last_exit', '')}",
        f"bin/run start {name}",
        snapshot.unix(facts["since"]),
    )


def _not_running(name: str, facts: Facts, snapshot: Snapshot) -> Problem | None:
    state = facts["state"]
    if state not in ("waiting", "starting") or snapshot.monotonic - facts["since"] <= _grace_seconds(facts):
        return None
    trouble, last = facts.get("trouble"), facts.get("last_exit")
    why = f": {trouble}" if trouble else f" after: {last}" if last else ""
    return Problem(
        "child.not_running",
        f"child {name}",
        f"{name} is not running ({state}){why}",
        facts.get("remedy") or "It is started again by itself; if it keeps dying, its log records say why",
        snapshot.unix(facts["since"]),
    )


def _grace_seconds(facts: Facts) -> float:
    """How long a child may be down (seconds). A first start is slower, while nothing is known to be wrong."""
    is_first = not facts["restarts"] and not facts.get("last_exit") and not facts.get("trouble")
    return START_SECONDS if is_first else GRACE_SECONDS


DOWN: tuple[Callable[[str, Facts, Snapshot], Problem | None], ...] = (_crash_looping, _held, _stopped, _not_running)


def children_silent(snapshot: Snapshot) -> Iterator[Problem]:
    """Children that run, as far as is known, and say nothing."""
    if snapshot.root_is_silent:
        return
    for name, facts in snapshot.tree.items():
        if facts["state"] != "running" or not facts.get("beats") or "heard" not in facts:
            continue
        # What is heard of a supervisor's own children is heard through it: while it is silent, they seem to be.
        supervisor = snapshot.child(facts.get("under", ""))
        until = supervisor.get("heard", snapshot.monotonic)
        if until - max(facts["heard"], snapshot.awake_since) > SILENT_SECONDS:
            yield Problem(
                "child.silent",
                f"silence {name}",
                f"{name} has given no sign of life for {snapshot.monotonic - facts['heard']:.0f} s",
                "It is ended and replaced by itself if that lasts."
                f" If somebody has stopped it: kill -CONT {facts['pid']}",
                snapshot.unix(facts["heard"]),
            )
