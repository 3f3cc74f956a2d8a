"""`check`: validates the configuration and tries what it names, without changing anything: a line for each trial.

machine.py    what the machine gives: state_dir, sandbox, memory, the port
"""

from __future__ import annotations

import os
import sys

from ipc import private_files
from ipc.journal import Journal, JournalError, OlderJournal, figures
from ipc.journal.machines import taken
from ipc.process.checklist import Checklist, Result
from supervisor import child_options, tree
from supervisor.child.runtime import resolve
from supervisor.cli import client, terminal
from supervisor.cli.check import machine
from supervisor.cli.exit_codes import ExitCode
from supervisor.commands import process
from supervisor.host import instance_lock
from supervisor.settings import Settings

CONNECTION_CHECK = "workers.connection:check"
NOTIFY_TEST = "health.notify.check:send_test"


def run(settings: Settings, *, notify: bool) -> int:
    """Print each trial as it ends, then the verdict; the exit code. `notify`: people get a test message."""
    tried = Checklist(_tell)
    if odd := private_files.links(settings.state_dir):  # as at a start, no file is opened before
        for line in odd:
            tried.fail(line)
        return _sum_up(settings, tried)
    tried.ok(f"settings: {settings.config_file or 'defaults'}, read and allowed")
    for fault in tree.faults(settings):
        tried.fail(fault)
    machine.check_state_dir(settings, tried)
    _check_journal(settings, tried)
    _note_what_is_passed_over(settings, tried)
    for target in tree.checks(settings):
        _check_one(settings, target, tried)
    _check_commands(settings, tried)
    if notify:
        resolve(NOTIFY_TEST)(child_options.notify_options(settings), tried)
    machine.check_port(settings, tried)
    machine.check_memory(settings, tried)
    machine.check_sandbox(settings, tried)
    return _sum_up(settings, tried)


def _tell(result: Result) -> None:
    """Print one result. What is not ok goes to standard error too, unless that is the same place."""
    terminal.say(f"{result.verdict:<7}  {result.what}")
    if result.verdict != "ok" and not _is_one_place():
        terminal.complain("check", f"warning: {result.what}" if result.verdict == "warning" else result.what)


def _is_one_place() -> bool:
    """Whether standard output and standard error are the same terminal, pipe or file."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return False


def _sum_up(settings: Settings, tried: Checklist) -> int:
    failed, warnings = tried.count("failed"), tried.count("warning")
    counts = [f"{len(tried.results)} tried"]
    counts += [f"{failed} failed"] if failed else []
    counts += [f"{warnings} {'warning' if warnings == 1 else 'warnings'}"] if warnings else []
    verdict = "NOT ok" if failed else "ok"
    terminal.say(f"configuration {settings.config_file or '(defaults)'}: {verdict} ({', '.join(counts)})")
    return ExitCode.CONFIGURATION if failed else ExitCode.DONE


def _note_what_is_passed_over(settings: Settings, tried: Checklist) -> None:
    """A node may have an origin's file: what it has no use for is no fault."""
    telegram = settings.telegram
    if child_options.is_node(settings) and (telegram.api_id or telegram.api_hash or telegram.channels):
        tried.ok("telegram: what is set there is passed over, as a node has no source of its own")


def _check_commands(settings: Settings, tried: Checklist) -> None:
    """Whether the operator's commands can be run."""
    for spec in map(tree.operators_own, settings.supervisor.commands()):
        if not spec.command:
            continue
        if fault := process.fault(spec.command):
            tried.fail(f"command {spec.name}: {fault}")
        else:
            tried.ok(f"command {spec.name}: it can be run")


def _check_journal(settings: Settings, tried: Checklist) -> None:
    path = settings.state_dir / "journal.db"
    if not path.exists():
        tried.ok(f"journal: {path} is not there yet: it will be made")
        return
    try:
        journal = Journal.open_to_read(path)
    except OlderJournal as older:
        tried.warn(str(older))
        return
    except JournalError as error:
        tried.fail(str(error))
        return
    faults = journal.check()
    for fault in faults:
        tried.fail(f"{path}: {fault}")
    if not faults:
        tried.ok(f"journal: {path} is sound")
        _note_pictures_of_its_own(settings, journal, tried)


def _note_pictures_of_its_own(settings: Settings, journal: Journal, tried: Checklist) -> None:
    """A node's journal is empty between two pictures, unless the machine was something else before."""
    own = sum(figures.states(journal).values()) - len(taken.in_hand(journal))
    if child_options.is_node(settings) and own:
        tried.warn(
            f'machines.role is "node", but the journal has {own} pictures of the machine itself: none of them is'
            " fetched, and what is handed over of the same messages is given back. Give a node a state_dir of its own"
        )


def _check_one(settings: Settings, target: str, tried: Checklist) -> None:
    options = tree.checks(settings)[target](settings)
    if target != CONNECTION_CHECK or not options["telegram"] or not instance_lock.running(settings.state_dir):
        resolve(target)(options, tried)
        return
    # Telegram ends a session that is used twice, so the running instance is asked instead.
    try:
        body = client.get_status(settings)
    except client.NoInstance as error:
        tried.fail(f"the channels were not checked: {error}")
        return
    resolve("workers.sources.telegram.check:from_status")(options["telegram"], body, tried)
