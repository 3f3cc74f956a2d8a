"""`republish`: what is published in a way that the settings don't want any more is put right."""

from __future__ import annotations

import sys
from collections import Counter

from supervisor import tree
from supervisor.child.runtime import resolve
from supervisor.cli import terminal
from supervisor.host import instance_lock
from supervisor.processes.errors import Failed
from supervisor.settings import Settings


def run(settings: Settings, *, originals: bool, urls: bool) -> int:
    """Do what was asked for; the exit code."""
    if not (originals or urls):
        terminal.complain("republish", "say what: --originals, --urls, or both")
        return 2
    if not (settings.state_dir / "journal.db").exists():
        raise Failed(f"{settings.state_dir} has no journal: it knows what is published, and how")
    if originals:
        _replace_originals(settings)
    if urls:
        _write_rows_again(settings)
    return 0


def _replace_originals(settings: Settings) -> None:
    """Each that is published as it came, with a line for each."""
    if settings.storage.originals == "as_is":
        raise Failed(
            'storage.originals = "as_is": originals are wanted as they came. Set it to "stripped" or "none", and have'
            " the program read it (bin/run reload), before they are replaced"
        )
    became: Counter[str] = Counter()
    faults = (resolve("workers.publishing.storage:StorageFault"),)
    try:
        for one in resolve("workers.publishing.republish:replace_originals")(tree.uploader_options(settings)):
            became[one.became] += 1
            terminal.say(f"{one.became} {one.key}{f': {one.why}' if one.why else ''}")
    except faults as fault:  # type: ignore[misc]  # a class, but resolved by name: we import no worker
        raise Failed(f"{fault} ({_sum(became)} by then; the same command goes on with the rest)") from fault
    terminal.say(f"Originals that were published as they came: {_sum(became)}.", out=sys.stderr)
    if left := became["missing"] + became["damaged"] + became["failed"]:
        raise Failed(f"{left} could not be replaced: the lines above say why")


def _sum(became: Counter[str]) -> str:
    """How many went which way."""
    return f"{became['stripped']} replaced by stripped ones, {became['removed']} removed"


def _write_rows_again(settings: Settings) -> None:
    """All whose URLs begin otherwise than today's. The uploader writes them: its settings have to be these."""
    count = sum(resolve("workers.publishing.republish:write_rows_again")(tree.uploader_options(settings)))
    if not count:
        terminal.say("The URLs of all rows begin as they should.")
    elif instance_lock.running(settings.state_dir):
        terminal.say(
            f"{count} rows are written again now, behind what is posted (bin/run reload first, if that is still due)."
        )
    else:
        terminal.say(f"{count} rows are written again when the program runs.")
