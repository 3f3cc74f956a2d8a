"""The body of /status: a pure function of a snapshot, but for since when each problem is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from health import machines
from health.problems.detectors import find_problems
from health.problems.first_seen import FirstSeen
from health.problems.webhooks import waiting
from health.snapshot import NO_FIGURES, Figures, Snapshot
from ipc.journal.statistics import STAGES
from ipc.posts import MORE
from ipc.text.timestamps import iso

SUMMARY_LENGTH = 300
"""Characters of a problem in the summary. A message from process to process has 4 KiB."""

HIDDEN = {"order", "started_at", "spawned", "since", "remedy", "under", "last_exit", "last_cause"} | {
    "heard",
    "beats",
    "trouble",
    "due",
}
"""What the facts of a child hold besides its row."""


def document(snapshot: Snapshot, first_seen: FirstSeen) -> dict[str, Any]:
    """The body of /status; `health.fields` describes each field."""
    problems = find_problems(snapshot)
    return {
        "ok": not problems,
        "problems": first_seen.date(problems, snapshot),
        "stats": _stats(snapshot),
        "tree": _tree(snapshot),
        "memory": _memory(snapshot),
        "channels": _channels(snapshot),
        "reloads": [{"at": iso(at), "replaced": count} for at, count in snapshot.report("reloads").get("last", ())],
        "quarantine": _quarantine(snapshot),
        "stages": _stages(snapshot.figures or NO_FIGURES),
        "webhooks": [_webhook(one, snapshot.now) for one in (snapshot.figures or NO_FIGURES).webhooks],
        "machines": machines.section(snapshot),
    }


def summarize(body: Mapping[str, Any]) -> str:
    """The body of /status in one line."""
    stats, problems = body["stats"], body["problems"]
    line = "connected" if stats["connected"] else "not connected"
    count = stats["queue_size"]
    line += f", {count} {'picture' if count == 1 else 'pictures'} waiting, {stats['dead']} dead"
    if not problems:
        return line
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{line}; {problems[0]['what'][:SUMMARY_LENGTH]}{more}"


def _stats(snapshot: Snapshot) -> dict[str, Any]:
    figures = snapshot.figures or NO_FIGURES
    connection, uploader = snapshot.report("connection"), snapshot.report("uploader")
    return {
        "started_at": iso(snapshot.root["started_at"]),
        "processed": figures.totals.get("processed", 0),
        "failed": figures.totals.get("failed", 0),
        "retried": figures.totals.get("retried", 0),
        "dead": figures.states.get("dead", 0),
        "encoder_fallbacks": figures.totals.get("encoder_fallbacks", 0),
        "renewing": sum(figures.renewals.get(step, 0) for step in ("wanted", "making", "moved")),
        "taken_down": figures.totals.get("taken_down", 0),
        "takedowns": sum(figures.takedowns.get(step, 0) for step in ("marked", "waiting", "leaving")),
        "purges": figures.takedowns.get("purging", 0),
        "not_renewed": figures.renewals.get("failed", 0),
        "connected": snapshot.is_connected,
        "queue_size": figures.queue_size,
        "r2_circuit_breaker": uploader.get("r2_circuit_breaker", "closed"),
        "r2_circuit_breaker_since": uploader.get("r2_circuit_breaker_since"),
        "r2_next_probe_at": uploader.get("r2_next_probe_at"),
        "supabase_circuit_breaker": uploader.get("supabase_circuit_breaker", "closed"),
        "supabase_circuit_breaker_since": uploader.get("supabase_circuit_breaker_since"),
        "supabase_next_probe_at": uploader.get("supabase_next_probe_at"),
        "last_error": _last_error(snapshot),
        "last_heartbeat_at": connection.get("last_heartbeat_at"),
        "seen": figures.states.get("seen", 0),
        "fetched": figures.states.get("fetched", 0),
        "rendered": figures.states.get("rendered", 0),
        "published": figures.states.get("published", 0),
        "waiting_for_retry": figures.waiting_for_retry,
        "spool_bytes": figures.spool_bytes,
        "oldest_waiting_seconds": round(figures.oldest_waiting_seconds, 1),
        "published_per_minute": round(sum(count for _, count in figures.published_by_minute) / 60, 2),
        "post_to_row_seconds": _post_to_row(figures),
        "source": {key: value for key, value in connection.items() if key != "last_heartbeat_at"},
        "feeds": dict(snapshot.report("feeds")),
        "site": dict(snapshot.report("site")),
    }


def _last_error(snapshot: Snapshot) -> str | None:
    """The newest thing that went wrong and still matters: a service, a failing job, a child's end."""
    uploader = snapshot.report("uploader")
    services = [uploader.get(key) for key in ("storage_error", "catalog_error")]
    jobs = [snapshot.figures.last_failure] if snapshot.figures else []
    ends = [
        (facts["since"], f"{name}: {facts['last_exit']}")
        for name, facts in snapshot.tree.items()
        if facts.get("last_cause") not in (None, "asked") and facts["state"] != "finished"
    ]
    newest = [text for _, text in sorted(ends, reverse=True)]
    return next(filter(None, [*services, *jobs, *newest]), None)


def _post_to_row(figures: Figures) -> dict[str, Any]:
    histogram = figures.post_to_row
    p50, p99 = (None if one is None else round(one, 2) for one in map(histogram.quantile, (0.5, 0.99)))
    return {"p50": p50, "p99": p99, "count": histogram.count}


def _stages(figures: Figures) -> dict[str, Any]:
    """Each stage: how often its work succeeded, the seconds that this took in all, and its other outcomes."""
    return {
        stage: {
            "count": figures.outcomes.get((stage, "done"), 0),
            "seconds": round(figures.stages[stage].sum if stage in figures.stages else 0.0, 3),
            "failures": {
                outcome: count
                for (of, outcome), count in figures.outcomes.items()
                if of == stage and outcome != "done" and count
            },
        }
        for stage in STAGES
    }


def _webhook(one: Mapping[str, Any], now: float) -> dict[str, Any]:
    is_silent = one["silent_until"] is not None and now < one["silent_until"]
    return {
        "webhook": one["label"],
        "kind": one["kind"],
        "waiting": waiting(one),
        "delivered": one["delivered"],
        "failed": one["failed"],
        "dead": one["dead"],
        "circuit_breaker": "closed" if one["opened_at"] is None else "open" if is_silent else "half-open",
        "next_probe_at": iso(one["silent_until"]),
        "failing_since": iso(one["failing_since"]),
        "error": one["error"],
        "gone_at": iso(one["gone_at"]),
    }


def _tree(snapshot: Snapshot) -> list[dict[str, Any]]:
    """One row a process, the root first, then in the order of the tree."""
    in_order = sorted(snapshot.tree.items(), key=lambda item: item[1]["order"])
    root = {**snapshot.root, "heard": snapshot.monotonic - snapshot.silent_seconds}
    rows = [("root", root), *in_order]
    return [_row(name, facts, snapshot.monotonic, snapshot.ends.get(name, ())) for name, facts in rows]


def _row(name: str, facts: Mapping[str, Any], monotonic: float, ends: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    row = {"name": name, **{key: value for key, value in facts.items() if key not in HIDDEN}}
    if "spawned" in facts:
        row["uptime_seconds"] = round(max(0.0, monotonic - facts["spawned"]), 1)
    if "heard" in facts:
        row["last_seen_seconds"] = round(max(0.0, monotonic - facts["heard"]), 1)
    if facts.get("last_exit"):
        row["last_exit"] = {"cause": facts["last_cause"], "what": facts["last_exit"]}
    if exits := [{**end, "at": iso(end["at"])} for end in ends]:
        row["exits"] = exits
    return row


def _memory(snapshot: Snapshot) -> dict[str, Any]:
    """The tree's memory in bytes: RSS of all processes, the caps of the image workers, what the machine has left."""
    rows = [snapshot.root, *snapshot.tree.values()]
    return {
        "rss_bytes": sum(row.get("rss_bytes", 0) for row in rows),
        "peak_process_rss_bytes": max((row.get("peak_rss_bytes", 0) for row in rows), default=0),
        "cap_bytes": sum(row.get("cap_bytes", 0) for row in rows),
        "available_bytes": snapshot.available_bytes,
        "enforced_by": _enforced_by(snapshot),
        "kills": [{**kill, "at": iso(kill["at"])} for kill in snapshot.kills],
    }


def _enforced_by(snapshot: Snapshot) -> str:
    """Who holds the workers to their caps: the kernel ("cgroup"), or their supervisor ("sampling")."""
    ways = {row["enforced_by"] for row in snapshot.tree.values() if "enforced_by" in row}
    return "cgroup" if ways == {"cgroup"} else "sampling"


def _channels(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Every channel that is known or configured. `behind` counts the messages that its source has and the journal has
    not, at most; it is None while the source is not reached.

    The journal knows what has been taken, the connection how that stands against the source. A channel that could not
    be found yet has no id. One that was imported, or is not in the configuration any more, is "not configured".
    """
    rows = {row["id"]: _known_channel(row) for row in (snapshot.figures or NO_FIGURES).channels}
    source, is_connected = snapshot.report("connection"), snapshot.is_connected
    if source.get("channel") in rows:
        rows[source["channel"]]["behind"] = source["behind"] if is_connected else None
    others = []
    for report in snapshot.channel_reports:
        if report["id"] in rows:
            known = {key: value for key, value in report.items() if value is not None}
            rows[report["id"]] |= {**known, "behind": report["behind"] if is_connected else None}
            if is_connected and report["behind"] is not None:
                rows[report["id"]]["ids_total"] = rows[report["id"]]["ids_accounted"] + report["behind"]
        else:
            others.append({"cursor": 0, **report, "behind": None})
    if snapshot.all_channels_reported:
        configured = {source.get("channel"), *(report["id"] for report in snapshot.channel_reports)}
        former = [rows.pop(one) for one in list(rows) if one not in configured]
        others += [{**row, "state": "not configured"} for row in former]
    return [*rows.values(), *others]


def _known_channel(row: Mapping[str, Any]) -> dict[str, Any]:
    """A channel as far as the journal knows it. Every id from floor to cursor is accounted for: it has a picture that
    was taken, another message, or nothing.
    """
    accounted = max(0, row["cursor"] - row["floor"] + 1)
    others = sum(count for kind, count in row["ignored"].items() if kind != MORE)
    return {
        **row,
        "behind": None,
        "last_post_at": iso(row["last_post_at"]),
        "last_published_at": iso(row["last_published_at"]),
        "ids_accounted": accounted,
        "ids_total": None,
        "ids_absent": max(0, accounted - row["pictures"] - others),
    }


def _quarantine(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The pictures that were set aside for killing their workers, the newest first. `file` is below state_dir."""
    rows = (snapshot.figures or NO_FIGURES).quarantined
    return [{**row, "file": f"spool/{row['file']}/original"} for row in rows]
