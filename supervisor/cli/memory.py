"""`memory`: reports the memory of every process, whether it grows, and the kills for memory."""

from __future__ import annotations

from typing import Any

from ipc.transport.exits import FOR_MEMORY
from supervisor.cli import client, terminal
from supervisor.cli.terminal import mebibytes, table
from supervisor.settings import Settings


def run(settings: Settings, *, as_json: bool) -> int:
    """Print the report; the exit code."""
    body = client.get_status(settings)
    kills = body["memory"].pop("kills", [])
    report = {"memory": body["memory"], "processes": body["tree"], "kills": kills}
    if as_json:
        terminal.say_json(report)
    else:
        terminal.say(*describe(report))
    return 0


def describe(report: dict[str, Any]) -> list[str]:
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
