"""Snapshots for the tests: all is well, unless said otherwise."""

from __future__ import annotations

from typing import Any

from health.problems.first_seen import FirstSeen
from health.snapshot import Figures, Snapshot
from health.status import document

NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z
CHANNEL = {
    "id": 77,
    "title": "Wires",
    "floor": 1,
    "cursor": 40,
    "backfilled": 0,
    "ignored": {"text": 3},
    "last_post_at": int(NOW) - 70,
    "last_published_at": int(NOW) - 60,
    "pictures": 30,
}

WEBHOOK = {
    **{
        "name": "webhook:0a",
        "kind": "events",
        "label": "webhook 1 (https://example.org…)",
        "token": "0b",
        "attempts": 0,
    },
    **{"waiting": 3, "behind": 2, "dead": 4, "delivered": 50, "failed": 6, "next_at": 0.0, "failing_since": None},
    **{"error": "", "remedy": "", "opened_at": None, "silent_until": None, "gone_at": None},
}
"""As `ipc.journal.outputs.webhooks.figures` gives it, of one that works."""

FAILING = {
    **{"failing_since": NOW - 9, "error": "it answered 404 (Not Found)", "remedy": "check its url"},
    **{"opened_at": NOW - 9, "silent_until": NOW + 51},
}


ORIGIN = {"role": "origin", "name": "alpha"}
"""What the health process of an origin is told."""

NODE = {
    **{"name": "beta", "version": "1.2.3", "workers": 4, "in_hand": 2, "rate_per_minute": 81.25},
    **{"problems": ["the bucket is away"], "last_seen_seconds": 1.25},
}

OF_ORIGIN = {
    **{"id": "00ff00ff00ff", "outstanding": 7, "results_waiting": 1, "needed_workers": 9, "last_answer_seconds": 2.2},
    **{"error": "", "remedy": "", "is_schema_missing": False, "node_count": 1},
    "queues": [
        {"name": "live", "length": 3, "oldest_seconds": 4.5, "taken": 1},
        {"name": "backfill", "length": 0, "oldest_seconds": None, "taken": 0},
    ],
}
"""As an origin's uploader reports it, and each node besides."""

OF_ORIGINS = {"machines": OF_ORIGIN, "machine 0": NODE}

TAKEN = {
    "origin": "00ff00ff00ff",
    "in_hand": 2,
    "published": 9,
    "dead": 1,
    "returned": 3,
    "lost": 4,
    "last_at": NOW - 1,
}

OF_NODE = {"id": "aa00aa00aa00", "name": "beta-aa00", "in_hand": 2, "answered_at": None, "error": "", "taken": [TAKEN]}
"""As a node's connection reports it."""


def child(state: str = "running", **more: Any) -> dict[str, Any]:
    up = {"pid": 100, "spawned": NOW - 50, "rss_bytes": 10, "peak_rss_bytes": 30} if state == "running" else {}
    return {"state": state, "restarts": 0, "since": int(NOW) - 50, "cap_bytes": 0, "order": [1], **up, **more}


def figures(**more: Any) -> Figures:
    given = {
        "states": {"seen": 1, "fetched": 2, "rendered": 3, "published": 40, "dead": 5},
        "totals": {"processed": 44, "failed": 6, "retried": 7},
        "channels": (CHANNEL,),
        "waiting_for_retry": 1,
        "spool_bytes": 999,
        "last_failure": None,
    }
    return Figures(**{**given, **more})


def in_a_loop(state: str, **more: Any) -> dict[str, Any]:
    """A command that has outrun its intensity."""
    ended = {"last_exit": "x", "last_cause": "crashed", "since": NOW - 6}
    return child(state, trouble="it has ended 9 times", **ended, **more)


def snapshot(**more: Any) -> Snapshot:
    """All is well, unless said otherwise."""
    given: dict[str, Any] = {
        "now": NOW,
        "root": {
            "pid": 1,
            "started_at": NOW - 60,
            "spawned": NOW - 60,
            "state": "running",
            "restarts": 0,
            "rss_bytes": 5,
            "peak_rss_bytes": 6,
            "cap_bytes": 0,
        },
        "monotonic": NOW,
        "silent_seconds": 1.0,
        "tree": {
            "image-2": child(order=[3, 2], cap_bytes=500),
            "connection": child(order=[4]),
            "image-1": child(order=[3, 1], cap_bytes=500, peak_rss_bytes=90, job=8, job_seconds=0.5),
            "health": child(order=[1]),
            "pool": child(order=[3]),
            "uploader": child(order=[2]),
        },
        "reports": {
            "connection": {"connected": True, "last_heartbeat_at": "2023-11-14T22:13:00Z", "channel": 77, "behind": 4},
            "uploader": {"r2_circuit_breaker": "closed", "supabase_circuit_breaker": "closed"},
        },
        "figures": figures(),
        "unmoved_seconds": 10.0,
        "available_bytes": 12345,
    }
    return Snapshot(**{**given, **more})


def body_of(given: Snapshot) -> dict[str, Any]:
    """As a health process that has just begun makes it."""
    return document(given, FirstSeen())


def whats(given: Snapshot) -> list[str]:
    return [problem["what"] for problem in body_of(given)["problems"]]


SHORT = {
    "state": "short",
    "since": int(NOW) - 7,
    "available_bytes": 99 * 2**20,
    "pressure_percent": 12.3,
    "workers": 1,
    "intake": False,
    "rationed": True,
}

HELD = child("held", last_cause="held", last_exit="the account is banned", remedy="Get another", since=int(NOW) - 500)
STOPPED = child("stopped", last_cause="asked", last_exit="stopped as asked", since=int(NOW) - 6)
LATE = child("waiting", last_cause="crashed", last_exit="exit code 1", since=int(NOW) - 6)
BREAKERS = {"r2_circuit_breaker": "open", "storage_error": "HTTP 503"}
AWAY = {"connected": False, "error": "no route"}
