"""The commands that look at an instance or at its journal. Each returns an exit code."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from ipc.holds import EX_CONFIG
from ipc.jobs import Job
from ipc.journal import Journal
from supervisor import instance, tree
from supervisor.cli import client
from supervisor.failed import Failed
from supervisor.runtime import resolve
from supervisor.settings import Settings

WATCH_SECONDS = 1.0


def status(settings: Settings, *, as_json: bool, watch: bool) -> int:
    """Print the running instance's tree and figures."""
    while True:
        try:
            body = client.get_status(settings)
        except client.Unreachable as error:
            raise Failed(str(error)) from error
        text = json.dumps(body, ensure_ascii=False, indent=1) if as_json else "\n".join(describe(body))
        if watch and sys.stdout.isatty():
            print("\x1b[H\x1b[2J", end="")
        print(text, flush=True)
        if not watch:
            return 0
        time.sleep(WATCH_SECONDS)


def describe(body: dict[str, Any]) -> list[str]:
    """The lines that `status` prints."""
    stats = body["stats"]
    lines = ["ok" if body["ok"] else "NOT OK"]
    lines += [f"  ! {one['what']} (since {one['since']})\n    {one['remedy']}" for one in body["problems"]]
    header = ("process", "state", "pid", "restarts", "uptime", "memory", "peak", "cap", "at")
    lines += ["", *table([header, *map(_tree_row, body["tree"])]), ""]
    names = ("processed", "queue_size", "dead", "failed", "retried", "connected", "waiting_for_retry")
    lines.append("  ".join(f"{name} {stats[name]}" for name in names))
    lines.append(
        f"storage breaker {stats['r2_circuit_breaker']}  catalogue breaker {stats['supabase_circuit_breaker']}"
    )
    if stats["last_error"]:
        lines.append(f"last error: {stats['last_error']}")
    lines += [
        f"channel {one['id']} {one['title']!r}: cursor {one['cursor']}, behind {one['behind']}"
        for one in body["channels"]
    ]
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


def mebibytes(size: int | None) -> str:
    """A size as people read it; nothing and zero are "-"."""
    return f"{size / 2**20:.0f}M" if size else "-"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text in aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def dead(settings: Settings, *, as_json: bool) -> int:
    """List the dead letters."""
    journal = _journal(settings)
    letters = journal.dead() if journal else []
    if as_json:
        for job in letters:
            print(json.dumps(_letter(job), ensure_ascii=False))
        return 0
    if not letters:
        print("No dead letters.")
        return 0
    rows = [
        (
            str(job.id),
            str(job.channel_id),
            str(job.message_id),
            str(job.dead_state),
            str(job.attempts),
            job.reason or "",
        )
        for job in letters
    ]
    print("\n".join(table([("id", "channel", "message", "stage", "attempts", "reason"), *rows])))
    return 0


def _letter(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "channel_id": job.channel_id,
        "message_id": job.message_id,
        "stage": job.dead_state,
        "attempts": job.attempts,
        "reason": job.reason,
    }


def retry(settings: Settings, ids: list[int], *, everything: bool) -> int:
    """Bring dead letters back to where they died."""
    if bool(ids) == everything:
        print("picturedesk: retry: name the ids of dead letters (bin/run dead lists them), or --all", file=sys.stderr)
        return 2
    if not (settings.state_dir / "journal.db").exists():
        raise Failed(f"{settings.state_dir} has no journal yet: nothing is dead there")
    journal = Journal.open(settings.state_dir / "journal.db")
    wanted = [job.id for job in journal.dead()] if everything else ids
    revived = journal.revive(wanted)
    running = instance.running(settings.state_dir) is not None
    when = "now" if running else "when the program runs"
    print(f"{len(revived)} brought back; tried again {when}.")
    missing = [str(job_id) for job_id in wanted if job_id not in revived]
    if missing:
        raise Failed(f"not dead: {', '.join(missing)}. bin/run dead lists the dead letters")
    return 0


def check(settings: Settings) -> int:
    """Validate what the configuration names, as far as that can be done without changing anything."""
    faults = [fault for target, options in tree.CHECKS.items() for fault in resolve(target)(options(settings))]
    journal = _journal(settings)
    faults += [f"{settings.state_dir / 'journal.db'}: {fault}" for fault in (journal.check() if journal else [])]
    for fault in faults:
        print(f"picturedesk: check: {fault}", file=sys.stderr)
    print(f"configuration {settings.config_file or '(defaults)'}: {'NOT ' if faults else ''}ok")
    return EX_CONFIG if faults else 0


def _journal(settings: Settings) -> Journal | None:
    path = settings.state_dir / "journal.db"
    return Journal.open_to_read(path) if path.exists() else None
