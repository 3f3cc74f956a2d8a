"""`status` for a pipe, a file or a terminal that can't move its cursor: lines that scripts read."""

from __future__ import annotations

from typing import Any

from supervisor.cli.status import words
from supervisor.cli.terminal import mebibytes, table

BAR_WIDTH = 30


def describe(body: dict[str, Any]) -> list[str]:
    """The lines that `status` prints."""
    stats = body["stats"]
    lines = ["ok" if body["ok"] else "NOT OK"]
    for one in body["problems"]:
        lines += [f"  ! {one['what']} (since {one['since']})", f"    {one['remedy']}"]
    header = ("process", "state", "pid", "restarts", "uptime", "memory", "peak", "cap", "at")
    lines += ["", *table([header, *map(_tree_row, body["tree"])]), ""]
    names = ("processed", "queue_size", "dead", "failed", "retried", "connected", "waiting_for_retry")
    lines.append("  ".join(f"{name} {stats[name]}" for name in names))
    lines.append(
        f"storage breaker {stats['r2_circuit_breaker']}  catalogue breaker {stats['supabase_circuit_breaker']}"
    )
    if stats["renewing"] or stats["not_renewed"]:
        lines.append(f"rendered anew: {stats['renewing']} to go, {stats['not_renewed']} could not be")
    for one in body.get("webhooks", ()):
        state = "gone" if one["gone_at"] else f"breaker {one['circuit_breaker']}"
        counts = f"waiting {one['waiting']}, delivered {one['delivered']}, dead {one['dead']}"
        lines.append(f"{one['webhook']}: {counts}, {state}")
    lines += [f"{name}: {text}" for name, text, _ in words.outputs({**body, "webhooks": ()})]
    lines += [f"{name}: {text}" for name, text, _ in words.machines(body)]
    if stats["last_error"]:
        lines.append(f"last error: {stats['last_error']}")
    for one in body["channels"]:
        lines += _channel_lines(one)
    return lines


def _tree_row(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        row["state"],
        str(row.get("pid", "-")),
        str(row["restarts"]),
        f"{row['uptime_seconds']:.0f}s" if "uptime_seconds" in row else "-",
        mebibytes(row.get("rss_bytes")),
        mebibytes(row.get("peak_rss_bytes")),
        mebibytes(row.get("cap_bytes")),
        f"job {row['job']}" if "job" in row else "",
    )


def _channel_lines(one: dict[str, Any]) -> list[str]:
    """A channel: how far it is read; below that its problem, and how far its backfill is."""
    if one["id"] is None:
        return [f"channel {one['address']}: not found yet", *([f"  {one['problem']}"] if one["problem"] else [])]
    behind = f"behind {'unknown' if one['behind'] is None else one['behind']}"
    behind = "not configured" if one.get("state") == "not configured" else behind
    lines = [f"channel {one['id']} {one['title']!r}: cursor {one['cursor']}, {behind}"]
    if one.get("problem"):
        lines.append(f"  {one['problem']}")
    if one.get("backfill_left"):
        lines.append(f"  backfill {_bar(one['backfilled'], one['backfilled'] + one['backfill_left'])}")
    return lines


def _bar(done: int, total: int) -> str:
    """A progress bar, drawn once.

    >>> _bar(1, 3)
    '[##########....................] 1 of 3 (33 %)'
    """
    filled = BAR_WIDTH * done // total
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {done:,} of {total:,} ({100 * done // total} %)"
