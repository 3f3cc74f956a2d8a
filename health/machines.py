"""Other machines, as an origin and a node see them: what the process that asks the database last reported.

An origin's uploader reports what the queues hold and which nodes there are; a node's connection reports what it has
taken, and for whom. With the role "all" there is nothing to be reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from health.snapshot import Snapshot
from ipc.text.timestamps import iso

TOPIC = "machines"


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
    """Since when the database has not answered; None before its first answer. An origin says how long that is, a node
    when it was.
    """
    given = snapshot.report(TOPIC)
    if (at := given.get("answered_at")) is not None:
        return float(round(max(0.0, snapshot.now - at), 1))
    return given.get("last_answer_seconds")


def nodes(snapshot: Snapshot) -> Iterator[Mapping[str, Any]]:
    """Every node that the origin knows of, as it reports them, each in a message of its own: one has 4 KiB at most."""
    for number in range(snapshot.report(TOPIC).get("node_count", 0)):
        if one := snapshot.report(f"machine {number}"):
            yield one


def queues(snapshot: Snapshot) -> Iterator[Mapping[str, Any]]:
    """The queues that pictures wait in, of all origins of the project."""
    yield from snapshot.report(TOPIC).get("queues", ())


def _of_origin(snapshot: Snapshot) -> dict[str, Any]:
    given = snapshot.report(TOPIC)
    return {
        "outstanding": given.get("outstanding", 0),
        "results_waiting": given.get("results_waiting", 0),
        "needed_workers": given.get("needed_workers", 0),
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
