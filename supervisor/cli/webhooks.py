"""`dead --webhooks` and `retry --webhooks`: the messages that webhooks did not get, and how they are brought back."""

from __future__ import annotations

from typing import Any

from ipc.journal import Journal
from ipc.journal.outputs import webhooks
from ipc.text.timestamps import iso
from supervisor.cli import terminal
from supervisor.cli.exit_codes import ExitCode
from supervisor.cli.terminal import table
from supervisor.host import instance_lock
from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings


def show(settings: Settings, *, as_json: bool) -> int:
    """Print them; the exit code."""
    path = settings.state_dir / "journal.db"
    letters = [_letter(one) for one in webhooks.dead(Journal.open_to_read(path))] if path.exists() else []
    if as_json:
        for letter in letters:
            terminal.say_json(letter, indent=None)
        return 0
    if not letters:
        terminal.say("No dead letters of webhooks.")
        return 0
    rows = [[str(value) for value in letter.values()] for letter in letters]
    terminal.say(*table([("webhook", "event", "at", "channel", "message", "attempts", "reason"), *rows]))
    return 0


def _letter(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "webhook": one["label"],
        "event": one["what"],
        "at": iso(one["at"]),
        "channel_id": one["channel_id"],
        "message_id": one["message_id"],
        "attempts": one["attempts"],
        "reason": one["reason"] or "",
    }


def retry(settings: Settings, ids: list[int], *, everything: bool, reason: str | None = None) -> int:
    """Bring all back, and the webhooks that had answered that they are gone; the exit code."""
    if ids or everything or reason is not None:
        terminal.complain("retry", "--webhooks goes alone: it brings all of theirs back")
        return ExitCode.USAGE
    path = settings.state_dir / "journal.db"
    if not path.exists():
        raise CommandFailed(f"{settings.state_dir} has no journal yet: nothing is dead there")
    revived = webhooks.revive(Journal.open(path))
    when = "now" if instance_lock.running(settings.state_dir) is not None else "when the program runs"
    terminal.say(f"{revived.deliveries} brought back; tried again {when}.")
    for label in revived.webhooks:
        terminal.say(f"{label} is told of changes again.")
        if label in revived.missing:
            kept = f"{webhooks.MOST_WAITING} messages were kept for it, and no more"
            terminal.say(f"{label}: {kept}. Have its receiver read the view pictures once.")
    return 0
