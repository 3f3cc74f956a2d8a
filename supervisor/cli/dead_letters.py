"""`dead` and `retry`: list the dead letters, and bring them back."""

from __future__ import annotations

from typing import Any

from ipc.jobs import Job
from ipc.journal import Journal, lookup, transitions
from ipc.journal.outputs import webhooks
from supervisor.cli import terminal
from supervisor.cli.exit_codes import ExitCode
from supervisor.cli.terminal import table
from supervisor.host import instance_lock
from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings


def show(settings: Settings, *, as_json: bool) -> int:
    """Print the dead letters; the exit code."""
    path = settings.state_dir / "journal.db"
    journal = Journal.open_to_read(path) if path.exists() else None
    letters = lookup.dead(journal) if journal else []
    if as_json:
        for job in letters:
            terminal.say_json(_letter(job), indent=None)
        return 0
    if others := sum(row["dead"] for row in webhooks.figures(journal)) if journal else 0:
        terminal.say(f"Webhooks did not get {others} messages: bin/run dead --webhooks lists them.")
    if not letters:
        terminal.say("No dead letters.")
        return 0
    rows = [[str(value) for value in {**_letter(job), "reason": job.reason or ""}.values()] for job in letters]
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


def retry(settings: Settings, ids: list[int], *, everything: bool, reason: str | None = None) -> int:
    """Bring dead letters back to the stage where they died; the exit code. `reason`: all whose reason has that text."""
    if bool(ids) == (everything or reason is not None):
        terminal.complain("retry", "name the ids of dead letters (bin/run dead lists them), --reason TEXT, or --all")
        return ExitCode.USAGE
    if not (settings.state_dir / "journal.db").exists():
        raise CommandFailed(f"{settings.state_dir} has no journal yet: nothing is dead there")
    journal = Journal.open(settings.state_dir / "journal.db")
    wanted = ids or [job.id for job in lookup.dead(journal) if (reason or "") in (job.reason or "")]
    revived = transitions.revive(journal, wanted)
    running = instance_lock.running(settings.state_dir) is not None
    when = "now" if running else "when the program runs"
    terminal.say(f"{len(revived)} brought back; tried again {when}.")
    came_back = set(revived)  # a set: there may be a hundred thousand
    missing = [str(job_id) for job_id in wanted if job_id not in came_back]
    if missing:
        raise CommandFailed(
            f"not dead, or blocked: {', '.join(missing)}. bin/run dead lists the dead letters, bin/run block what is"
            " blocked"
        )
    return 0
