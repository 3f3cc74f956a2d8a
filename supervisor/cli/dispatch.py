"""Runs the command that the command line names, with what it needs and no more: no module of another one is loaded."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ipc import failpoints
from ipc.journal import JournalError
from ipc.process.loading import loading
from supervisor.cli import belonging, terminal
from supervisor.cli.exit_codes import ExitCode
from supervisor.home import HOME
from supervisor.host import instance_lock
from supervisor.host.instance_lock import AlreadyRunning
from supervisor.processes.errors import CannotStart, CommandFailed
from supervisor.settings import Settings, SettingsError, load

Command = Callable[[Settings], int]


def run(options: argparse.Namespace, stop_fd: int | None) -> int:
    """Configure and run the command; its exit code. `stop_fd` is the pipe of signals if it runs the tree, else None."""
    if options.command == "schema":  # needed before there is a project to configure
        parts = [name for name in ("realtime", "machines") if getattr(options, name)] or ["schema"]
        for part in parts:
            terminal.write((HOME / f"deploy/{part}.sql").read_text(encoding="utf-8"))
        return ExitCode.DONE
    try:
        failpoints.arm(os.environ.get(failpoints.VARIABLE))
        read = partial(load, options.config, os.environ, Path.cwd(), HOME)
        settings = read()
    except (SettingsError, failpoints.FailpointError) as error:
        return _refuse("the configuration is refused", str(error), ExitCode.CONFIGURATION)
    try:
        if options.command == "start" and not options.name:
            return _start(options, read, stop_fd)
        with loading():
            command = _command(options)
        belonging.refuse_on_a_node(settings, options.command)
        instance_lock.look_into(settings.state_dir)
        return command(settings)
    except CannotStart as error:
        return _refuse("cannot start", str(error), ExitCode.CONFIGURATION)
    except (AlreadyRunning, JournalError, CommandFailed) as error:
        return _refuse(options.command, str(error), ExitCode.GAVE_UP)


def _start(options: argparse.Namespace, read: Callable[[], Settings], stop_fd: int | None) -> int:
    assert stop_fd is not None, "signals.is_for_root has seen this command"
    with loading():
        from supervisor import root
    return root.start(read, stop_fd, options.export, options.parent_fd)


def _command(options: argparse.Namespace) -> Command:
    """A case for each command, as flat as their table."""
    match options.command:
        case "import":
            from supervisor.cli import imports

            return partial(imports.run, config=options.config, folder=options.folder, leave=options.exit)
        case "status":
            from supervisor.cli import status

            return partial(status.run, as_json=options.json, watch_it=options.watch)
        case "memory":
            from supervisor.cli import memory

            return partial(memory.run, as_json=options.json)
        case "why":
            from supervisor.cli import why

            return partial(why.run, post=options.post, message=options.message, as_json=options.json)
        case "nodes":
            from supervisor.cli import nodes

            return partial(nodes.run, as_json=options.json, join_it=options.join)
        case "dead" | "retry":
            return _dead(options)
        case "hide" | "unhide" | "block":
            from supervisor.cli import hiding

            return partial(hiding.run, options=options)
        case "gc":
            from supervisor.cli import gc

            return partial(gc.run, delete=options.delete, hours=options.older_than)
        case "republish":
            return _republish(options)
        case "login":
            from supervisor.cli import login

            return partial(login.run, qr=options.qr, as_string=options.string, force=options.force)
        case "check":
            from supervisor.cli import check

            return partial(check.run, notify=options.notify)
        case _:
            from supervisor.cli import operation

            return partial(operation.run, action=options.command, name=options.name)


def _dead(options: argparse.Namespace) -> Command:
    from supervisor.cli import dead_letters, webhooks

    if options.command == "dead":
        return partial(webhooks.show if options.webhooks else dead_letters.show, as_json=options.json)
    retry = webhooks.retry if options.webhooks else dead_letters.retry
    return partial(retry, ids=options.ids, everything=options.all, reason=options.reason)


def _republish(options: argparse.Namespace) -> Command:
    from supervisor.cli import republish

    def run(settings: Settings) -> int:
        if not options.renditions and (options.channel or options.since):
            terminal.complain("republish", "--channel and --since go with --renditions")
            return ExitCode.USAGE
        chosen = republish.Chosen(tuple(options.channel), options.since) if options.renditions else None
        return republish.run(settings, republish.Republication(options.originals, options.urls, options.rows, chosen))

    return run


def _refuse(what: str, why: str, code: ExitCode) -> ExitCode:
    terminal.complain(what, *why.splitlines())
    return code
