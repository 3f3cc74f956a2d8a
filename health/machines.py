"""Other machines, as an origin and a node see them: what the process that asks the database last reported.

An origin's uploader reports what the queues hold and which nodes there are; a node's connection reports what it has
taken, and for whom. With the role "all" there is nothing to be reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from health.snapshot import NO_FIGURES, Figures, Snapshot
from ipc.text.timestamps import iso

TOPIC = "machines"

UNMEASURED_SECONDS = 1.0
"""What a picture is taken to need of a worker before the first one was rendered here."""


def role(snapshot: Snapshot) -> str:
    """`all`, `origin` or `node`."""
    return str(snapshot.machines.get("role", "all"))


def section(snapshot: Snapshot) -> dict[str, Any] | None:
    """`machines` of /status; `health.fields` describes it."""
    given = snapshot.report(TOPIC)
    if role(snapshot) == "all":
        return None
    common = {
        "role": role(snapshot),
        "id": given.get("id", ""),
        "name": given.get("name") or snapshot.machines.get("name", ""),
        "last_answer_seconds": last_answer_seconds(snapshot),
        "error": given.get("error", ""),
    }
    return {**common, **(_of_origin(snapshot) if role(snapshot) == "origin" else _of_node(given))}


def last_answer_seconds(snapshot: Snapshot) -> float | None:
    """Since when the database has not answered; None before its first answer."""
    at = snapshot.report(TOPIC).get("answered_at")
    return None if at is None else round(max(0.0, snapshot.now - at), 1)


def nodes(snapshot: Snapshot) -> Iterator[Mapping[str, Any]]:
    """Every node that the origin knows of, as it reports them: in one report, or in several (`machines nodes 1`, …),
    since a message has no more than 4 KiB. `node_reports` says how many there are besides the first.
    """
    given = snapshot.report(TOPIC)
    yield from given.get("nodes", ())
    for number in range(1, given.get("node_reports", 0) + 1):
        yield from snapshot.report(f"{TOPIC} nodes {number}").get("nodes", ())


def queues(snapshot: Snapshot) -> Iterator[Mapping[str, Any]]:
    """The queues that pictures wait in, of all origins of the project."""
    yield from snapshot.report(TOPIC).get("queues", ())


def needed(snapshot: Snapshot) -> int:
    """How many image workers, the origin's own among them, would render in time what waits to be rendered."""
    figures = snapshot.figures or NO_FIGURES
    backlog = figures.states.get("fetched", 0)
    return needed_workers(backlog, render_seconds(figures), snapshot.machines.get("target_seconds", 60.0))


def needed_workers(backlog: int, render_seconds: float, target_seconds: float) -> int:
    """How many workers render `backlog` pictures within the target, each taking `render_seconds`.

    >>> needed_workers(0, 2.0, 60.0), needed_workers(1, 2.0, 60.0), needed_workers(30, 2.0, 60.0)
    (0, 1, 1)
    >>> needed_workers(31, 2.0, 60.0), needed_workers(10_000, 0.5, 60.0)
    (2, 84)
    """
    return math.ceil(round(backlog * render_seconds / target_seconds, 9))


def render_seconds(figures: Figures) -> float:
    """What a picture takes a worker, in the mean."""
    times = figures.stages.get("render")
    return times.sum / times.count if times and times.count else UNMEASURED_SECONDS


def _of_origin(snapshot: Snapshot) -> dict[str, Any]:
    given = snapshot.report(TOPIC)
    return {
        "outstanding": given.get("outstanding", 0),
        "results_waiting": given.get("results_waiting", 0),
        "needed_workers": needed(snapshot),
        "queues": [_queue(one) for one in queues(snapshot)],
        "nodes": [_node(one) for one in nodes(snapshot)],
    }


def _queue(one: Mapping[str, Any]) -> dict[str, Any]:
    names = ("name", "length", "oldest_seconds", "taken")
    return {name: one.get(name) for name in names}


def _node(one: Mapping[str, Any]) -> dict[str, Any]:
    """A node of another version may leave out what it does not know of."""
    return {
        "name": one["name"],
        "version": one.get("version", ""),
        "workers": one.get("workers", 0),
        "in_hand": one.get("in_hand", 0),
        "rate_per_minute": round(one.get("rate_per_minute", 0.0), 1),
        "problems": list(one.get("problems", ())),
        "last_seen_seconds": round(one["last_seen_seconds"], 1),
    }


def _of_node(given: Mapping[str, Any]) -> dict[str, Any]:
    names = ("origin", "in_hand", "published", "dead", "returned", "lost")
    taken = [{**{name: one[name] for name in names}, "last_at": iso(one["last_at"])} for one in given.get("taken", ())]
    return {"in_hand": given.get("in_hand", 0), "taken": taken}
