"""The commands that look at an instance or at its journal. Each returns an exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from ipc import private_files
from ipc.holds import EX_CONFIG
from ipc.jobs import Job
from ipc.journal import Journal, JournalError, OlderJournal, lookup, transitions
from ipc.text.printable import printable
from ipc.transport.exits import FOR_MEMORY
from supervisor import tree
from supervisor.child.runtime import resolve
from supervisor.cli import client, terminal
from supervisor.commands import process
from supervisor.host import instance_lock
from supervisor.processes.errors import Failed
from supervisor.settings import Settings

WATCH_SECONDS = 1.0


def status(settings: Settings, *, as_json: bool, watch: bool) -> int:
    """Print the running instance's tree and figures."""
    while True:
        try:
            body = client.get_status(settings)
        except client.Unreachable as error:
            raise Failed(str(error)) from error
        if watch and sys.stdout.isatty():
            terminal.write("\x1b[H\x1b[2J")
        if as_json:
            terminal.say_json(body)
        else:
            terminal.say(*describe(body))
        if not watch:
            return 0
        time.sleep(WATCH_SECONDS)


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
    if stats["last_error"]:
        lines.append(f"last error: {stats['last_error']}")
    for one in body["channels"]:
        lines += _channel_lines(one)
    return lines


def _channel_lines(one: dict[str, Any]) -> list[str]:
    """A channel in `status`: how far it is taken, and below that what is the matter, and how far backfill is."""
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


BAR_WIDTH = 30


def _bar(done: int, total: int) -> str:
    """A progress bar, drawn once.

    >>> _bar(1, 3)
    '[##########....................] 1 of 3 (33 %)'
    """
    filled = BAR_WIDTH * done // total
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {done:,} of {total:,} ({100 * done // total} %)"


def memory(settings: Settings, *, as_json: bool) -> int:
    """Report who has how much memory, whether it grows, and who was killed for it."""
    try:
        body = client.get_status(settings)
    except client.Unreachable as error:
        raise Failed(str(error)) from error
    kills = body["memory"].pop("kills", [])
    report = {"memory": body["memory"], "processes": body["tree"], "kills": kills}
    if as_json:
        terminal.say_json(report)
    else:
        terminal.say(*describe_memory(report))
    return 0


def describe_memory(report: dict[str, Any]) -> list[str]:
    """The lines that `memory` prints."""
    header = ("process", "now", "share", "own", "peak", "cap", "trend", "killed")
    rows = [
        (
            row["name"],
            mebibytes(row.get("rss_bytes")),
            mebibytes(row.get("pss_bytes")),
            mebibytes(row.get("uss_bytes")),
            mebibytes(max(row.get("cgroup_peak_bytes", 0), row.get("peak_rss_bytes", 0))),
            mebibytes(row.get("cap_bytes")),
            _trend(row.get("rss_trend_bytes_per_hour")),
            str(sum(row.get("exit_causes", {}).get(cause, 0) for cause in FOR_MEMORY) or "-"),
        )
        for row in report["processes"]
    ]
    total = report["memory"]
    lines = [*table([header, *rows]), ""]
    lines.append(
        f"all {mebibytes(total['rss_bytes'])}  the machine has {mebibytes(total['available_bytes'])} left"
        f"  caps are held by {total['enforced_by']}"
    )
    for end in report["kills"]:
        job = f", with job {end['job']}" if "job" in end else ""
        peak = f", at {mebibytes(end['peak_bytes'])}" if end.get("peak_bytes") else ""
        lines.append(f"{end['at']} {end['process']}: {end['what']}{job}{peak}")
    return lines


def _trend(bytes_per_hour: int | None) -> str:
    """How memory grows.

    >>> _trend(3 * 2**20), _trend(-2**20), _trend(None)
    ('+3M/h', '-1M/h', '-')
    """
    return "-" if bytes_per_hour is None else f"{bytes_per_hour / 2**20:+.0f}M/h"


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
    """Rows of text in aligned columns. It is made safe to show first: after that it may be longer."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def dead(settings: Settings, *, as_json: bool) -> int:
    """List the dead letters."""
    journal = _journal(settings)
    letters = lookup.dead(journal) if journal else []
    if as_json:
        for job in letters:
            terminal.say_json(_letter(job), indent=None)
        return 0
    if not letters:
        terminal.say("No dead letters.")
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
    terminal.say(*table([("id", "channel", "message", "stage", "attempts", "reason"), *rows]))
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
        terminal.complain("retry", "name the ids of dead letters (bin/run dead lists them), or --all")
        return 2
    if not (settings.state_dir / "journal.db").exists():
        raise Failed(f"{settings.state_dir} has no journal yet: nothing is dead there")
    journal = Journal.open(settings.state_dir / "journal.db")
    wanted = [job.id for job in lookup.dead(journal)] if everything else ids
    revived = transitions.revive(journal, wanted)
    running = instance_lock.running(settings.state_dir) is not None
    when = "now" if running else "when the program runs"
    terminal.say(f"{len(revived)} brought back; tried again {when}.")
    came_back = set(revived)  # there may be a hundred thousand
    missing = [str(job_id) for job_id in wanted if job_id not in came_back]
    if missing:
        raise Failed(f"not dead: {', '.join(missing)}. bin/run dead lists the dead letters")
    return 0


CONNECTION_CHECK = "workers.connection:check"
WARNING = "warning: "
"""How a check's line begins that is no fault."""


def check(settings: Settings) -> int:
    """Validate what the configuration names, as far as that can be done without changing anything."""
    if odd := private_files.links(settings.state_dir):  # a start looks no further either: no file is opened before
        terminal.complain("check", *odd)
        return EX_CONFIG
    found = [line for target in tree.CHECKS for line in _check_one(settings, target)]
    workers = tree.image_processors(settings)
    found += [*_check_commands(settings), *_check_journal(settings)]
    terminal.complain("check", *found)
    terminal.say(f"image workers: {workers.count} ({workers.why})")
    faults = [line for line in found if not line.startswith(WARNING)]
    terminal.say(f"configuration {settings.config_file or '(defaults)'}: {'NOT ' if faults else ''}ok")
    return EX_CONFIG if faults else 0


def _check_commands(settings: Settings) -> list[str]:
    """Which of the operator's own commands cannot be run."""
    specs = map(tree.operators_own, settings.supervisor.commands())
    faults = [(spec.name, process.fault(spec.command)) for spec in specs if spec.command]
    return [f"command {name}: {fault}" for name, fault in faults if fault]


def _check_journal(settings: Settings) -> list[str]:
    try:
        journal = _journal(settings)
    except OlderJournal as older:
        return [f"{WARNING}{older}"]
    except JournalError as error:
        return [str(error)]
    return [f"{settings.state_dir / 'journal.db'}: {fault}" for fault in (journal.check() if journal else [])]


def _check_one(settings: Settings, target: str) -> list[str]:
    """What one of the checks finds wrong."""
    options = tree.CHECKS[target](settings)
    if target != CONNECTION_CHECK or not options["telegram"]:
        return list(resolve(target)(options))
    if not instance_lock.running(settings.state_dir):
        return list(resolve(target)(options, terminal.say))  # what is good is told as it is found: asking takes time
    # Its session must not be used a second time: Telegram would end it. But it can be asked.
    try:
        body = client.get_status(settings)
    except client.Unreachable as error:
        return [f"the channels were not checked: {error}"]
    return list(resolve("workers.sources.telegram.check:from_status")(options["telegram"], body, terminal.say))


def _journal(settings: Settings) -> Journal | None:
    path = settings.state_dir / "journal.db"
    return Journal.open_to_read(path) if path.exists() else None
