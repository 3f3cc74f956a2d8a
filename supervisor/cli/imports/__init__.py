"""`import DIR`: takes in one export, with a progress bar and a summary."""

from __future__ import annotations

from pathlib import Path

from supervisor.cli import terminal
from supervisor.cli.exit_codes import ExitCode
from supervisor.cli.imports import own_instance, running_instance
from supervisor.host import instance_lock
from supervisor.settings import Settings


def run(settings: Settings, config: Path | None, folder: Path, *, leave: bool) -> int:
    """Take in the export at `folder`, by the running instance if there is one; the exit code."""
    if not folder.exists():
        terminal.complain("import", f"{folder}: no such folder")
        return ExitCode.USAGE
    if card := instance_lock.running(settings.state_dir):
        return running_instance.run(settings, card, folder)
    return own_instance.run(settings, config, folder, leave=leave)
