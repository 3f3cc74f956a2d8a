"""`check`: validates the configuration and tries what it names, without changing anything."""

from __future__ import annotations

from ipc import private_files
from ipc.journal import Journal, JournalError, OlderJournal
from supervisor import tree
from supervisor.child import sandbox
from supervisor.child.runtime import resolve
from supervisor.cli import client, terminal
from supervisor.cli.exit_codes import ExitCode
from supervisor.commands import process
from supervisor.host import instance_lock
from supervisor.settings import Settings

CONNECTION_CHECK = "workers.connection:check"
NOTIFY_TEST = "health.notify.check:send_test"
WARNING = "warning: "
"""Prefix of a line that is no fault."""


def run(settings: Settings, *, notify: bool) -> int:
    """Print what is wrong; the exit code. `notify`: people get a test message."""
    if odd := private_files.links(settings.state_dir):  # as at a start, no file is opened before
        terminal.complain("check", *odd)
        return ExitCode.CONFIGURATION
    found = [line for target in tree.CHECKS for line in _check_one(settings, target)]
    workers = tree.image_processors(settings)
    found += [*_check_commands(settings), *_check_journal(settings)]
    if notify:
        found += resolve(NOTIFY_TEST)(tree.notify_options(settings), terminal.say)
    terminal.complain("check", *found)
    terminal.say(f"image workers: {workers.count} ({workers.why}), sandbox: {_sandbox(settings)}")
    faults = [line for line in found if not line.startswith(WARNING)]
    terminal.say(f"configuration {settings.config_file or '(defaults)'}: {'NOT ' if faults else ''}ok")
    return ExitCode.CONFIGURATION if faults else ExitCode.DONE


def _sandbox(settings: Settings) -> str:
    """How well image workers are sealed on this machine."""
    return 'none (pool.sandbox = "off")' if settings.pool.sandbox == "off" else str(sandbox.best())


def _check_commands(settings: Settings) -> list[str]:
    """The operator's commands that cannot be run."""
    specs = map(tree.operators_own, settings.supervisor.commands())
    faults = [(spec.name, process.fault(spec.command)) for spec in specs if spec.command]
    return [f"command {name}: {fault}" for name, fault in faults if fault]


def _check_journal(settings: Settings) -> list[str]:
    path = settings.state_dir / "journal.db"
    if not path.exists():
        return []
    try:
        journal = Journal.open_to_read(path)
    except OlderJournal as older:
        return [f"{WARNING}{older}"]
    except JournalError as error:
        return [str(error)]
    return [f"{path}: {fault}" for fault in journal.check()]


def _check_one(settings: Settings, target: str) -> list[str]:
    """What one check finds wrong."""
    options = tree.CHECKS[target](settings)
    if target != CONNECTION_CHECK or not options["telegram"]:
        return list(resolve(target)(options))
    if not instance_lock.running(settings.state_dir):
        return list(resolve(target)(options, terminal.say))  # prints each channel once it is tried: that takes time
    # Telegram ends a session that is used twice, so the running instance is asked instead.
    try:
        body = client.get_status(settings)
    except client.NoInstance as error:
        return [f"the channels were not checked: {error}"]
    return list(resolve("workers.sources.telegram.check:from_status")(options["telegram"], body, terminal.say))
