"""Problems of webhooks: a receiver fails, or wants nothing more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from health.problems.problem import Problem
from health.snapshot import NO_FIGURES, Snapshot
from ipc.text.timestamps import iso

FAILING_SECONDS = 60.0
"""How long nothing has been accepted, while something waits, before that is a problem: a first retry may help."""


def webhooks_failing(snapshot: Snapshot) -> Iterator[Problem]:
    for one in (snapshot.figures or NO_FIGURES).webhooks:
        if one["gone_at"] is None and _fails(one, snapshot.now):
            yield Problem(
                "webhook.failing",
                one["label"],
                f"{one['label']} accepts nothing: {one['error']}; {_waits(one)}",
                _remedy(one),
                one["failing_since"],
            )


def webhooks_gone(snapshot: Snapshot) -> Iterator[Problem]:
    for one in (snapshot.figures or NO_FIGURES).webhooks:
        if one["gone_at"] is not None:
            yield Problem(
                "webhook.gone",
                one["label"],
                f"{one['label']} wants nothing more: {one['error']}; {_waits(one)}",
                "Take it out of the settings, then bin/run reload: what it was to be told is dropped. If its receiver"
                " is back: bin/run retry --webhooks brings what waits, at most a thousand messages",
                float(one["gone_at"]),
            )


def _fails(one: Mapping[str, Any], now: float) -> bool:
    since = one["failing_since"]
    if since is None or not waiting(one):
        return False
    return one["opened_at"] is not None or abs(now - since) >= FAILING_SECONDS  # abs: the clock may have been set back


def waiting(one: Mapping[str, Any]) -> int:
    """How many messages it has still to get, at most; rebuilds: one."""
    if one["kind"] == "rebuild":
        return int(one["behind"] > 0)
    return int(one["waiting"] + one["behind"])


def _waits(one: Mapping[str, Any]) -> str:
    if one["kind"] == "rebuild":
        return "a rebuild waits"
    count = waiting(one)
    return f"{count} message{'s wait' if count != 1 else ' waits'}"


def _remedy(one: Mapping[str, Any]) -> str:
    again = f" at {iso(one['silent_until'])}" if one["silent_until"] is not None else ""
    waits = f"Nothing is lost; it is tried again by itself{again}"
    todo = one["remedy"]
    if todo:
        return f"{todo[0].upper()}{todo[1:]}. After a change of the configuration: bin/run reload. {waits}"
    return f"{waits}. If it lasts, check the receiver and the network"
