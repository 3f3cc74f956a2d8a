"""`gc`: lists or removes the stored objects that no row names any more."""

from __future__ import annotations

import sys

from supervisor import child_options
from supervisor.child.runtime import resolve
from supervisor.cli import terminal
from supervisor.cli.terminal import mebibytes
from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings


def run(settings: Settings, *, delete: bool, hours: float) -> int:
    """Look through the whole storage; the exit code."""
    if not (settings.state_dir / "journal.db").exists():
        raise CommandFailed(
            f"{settings.state_dir} has no journal: it knows what is on its way. Run this with the configuration that"
            " the program runs with"
        )
    faults = (resolve("workers.publishing.storage:StorageFault"), resolve("workers.publishing.catalog:CatalogFault"))
    objects = pictures = size = 0
    try:
        collect = resolve("workers.publishing.gc:collect")
        for garbage in collect(child_options.uploader_options(settings), delete=delete, grace_seconds=hours * 3600):
            pictures += 1
            objects += len(garbage.objects)
            size += garbage.bytes
            for one in garbage.objects:
                terminal.say(one.key)
    except faults as fault:  # type: ignore[misc]  # classes, resolved by name: no worker is imported here
        raise CommandFailed(
            f"{fault} ({objects} objects had been {'removed' if delete else 'found'} by then)"
        ) from fault
    if not objects:
        terminal.say(f"Every object is named by a row{f', or younger than {hours:g} hours' if hours else ''}.")
        return 0
    what = f"{objects} objects of {pictures} pictures, {mebibytes(size)}"
    hint = "" if delete else ". Nothing was removed: bin/run gc --delete does it"
    terminal.say(f"{'Removed' if delete else 'Named by no row'}: {what}{hint}", out=sys.stderr)
    return 0
