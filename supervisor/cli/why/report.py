"""A finding and its answer, for people and for programs."""

from __future__ import annotations

from typing import Any

from ipc.jobs import Job
from ipc.journal import life
from ipc.journal.life import KEPT, MEANINGS
from ipc.text.timestamps import iso
from supervisor.cli.terminal import table
from supervisor.cli.why.answers import Explanation
from supervisor.cli.why.findings import Finding


def lines(finding: Finding, answer: Explanation) -> list[str]:
    """What `why` prints."""
    title = f" of {finding.channel['title']!r}" if finding.channel and finding.channel["title"] else ""
    said = [f"{finding.address.link}: message {finding.address.message_id}{title}"]
    if finding.job:
        said += ["", *_life(finding.job), ""]
    said.append(f"{answer.state}: {answer.what}")
    for wait in answer.waits_for:
        said.append(f"  waits for: {wait.what}")
        if wait.remedy:
            said.append(f"    {wait.remedy}")
    if answer.remedy:
        said.append(f"  {answer.remedy}")
    return said


def _life(job: Job) -> list[str]:
    steps = life.read(job.life)
    if not steps:
        return [f"Its steps were not recorded by the version that took them. It was seen {iso(job.seen_at)}."]
    more = [f"(the last {KEPT} steps)"] if len(steps) == KEPT else []
    return [*more, *table([(iso(one.at), one.process, MEANINGS[one.step]) for one in steps])]


def document(finding: Finding, answer: Explanation) -> dict[str, Any]:
    """What `why --json` prints."""
    job, channel = finding.job, finding.channel
    return {
        "link": finding.address.link,
        "channel_id": finding.channel_id,
        "message_id": finding.address.message_id,
        "channel": {key: channel[key] for key in ("title", "floor", "cursor")} if channel else None,
        "is_configured": finding.is_configured,
        "job": job.id if job else None,
        "state": answer.state,
        "what": answer.what,
        "remedy": answer.remedy,
        "waits_for": [{"what": wait.what, "remedy": wait.remedy} for wait in answer.waits_for],
        "before": finding.before,
        "attempts": job.attempts if job else None,
        "next_at": iso(job.next_at) if job and job.next_at else None,
        "reason": job.reason if job else None,
        "life": [
            {"at": iso(one.at), "step": one.step.name.lower(), "process": one.process}
            for one in (life.read(job.life) if job else ())
        ],
    }
