"""`republish`: publishes again what the settings want otherwise than it was published."""

from __future__ import annotations

import sys
from collections import Counter

from supervisor import tree
from supervisor.child.runtime import resolve
from supervisor.cli import terminal
from supervisor.cli.exit_codes import ExitCode
from supervisor.host import instance_lock
from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings


def run(settings: Settings, *, originals: bool, urls: bool) -> int:
    """Replace originals, write rows again, or both; the exit code."""
    if not (originals or urls):
        terminal.complain("republish", "say what: --originals, --urls, or both")
        return ExitCode.USAGE
    if not (settings.state_dir / "journal.db").exists():
        raise CommandFailed(f"{settings.state_dir} has no journal: it knows what is published, and how")
    if originals:
        _replace_originals(settings)
    if urls:
        _write_rows_again(settings)
    return 0


def _replace_originals(settings: Settings) -> None:
    """Replace each original that is published as it came; print a line for each."""
    if settings.storage.originals == "as_is":
        raise CommandFailed(
            'storage.originals = "as_is": originals are wanted as they came. Set it to "stripped" or "none", and have'
            " the program read it (bin/run reload), before they are replaced"
        )
    outcomes: Counter[str] = Counter()
    faults = (resolve("workers.publishing.storage:StorageFault"),)
    try:
        for one in resolve("workers.publishing.republish:replace_originals")(tree.uploader_options(settings)):
            outcomes[one.became] += 1
            terminal.say(f"{one.became} {one.key}{f': {one.why}' if one.why else ''}")
    except faults as fault:  # type: ignore[misc]  # a class, resolved by name: no worker is imported here
        raise CommandFailed(f"{fault} ({_sum(outcomes)} by then; the same command goes on with the rest)") from fault
    terminal.say(f"Originals that were published as they came: {_sum(outcomes)}.", out=sys.stderr)
    if left := outcomes["missing"] + outcomes["damaged"] + outcomes["failed"]:
        raise CommandFailed(f"{left} could not be replaced: the lines above say why")


def _sum(outcomes: Counter[str]) -> str:
    return f"{outcomes['stripped']} replaced by stripped ones, {outcomes['removed']} removed"


def _write_rows_again(settings: Settings) -> None:
    """Have the uploader write the rows again whose URLs do not begin with storage.public_url."""
    count = sum(resolve("workers.publishing.republish:write_rows_again")(tree.uploader_options(settings)))
    if not count:
        terminal.say("The URLs of all rows begin as they should.")
    elif instance_lock.running(settings.state_dir):
        terminal.say(
            f"{count} rows are written again now, behind what is posted (bin/run reload first, if that is still due)."
        )
    else:
        terminal.say(f"{count} rows are written again when the program runs.")
