"""The command line, `bin/run [COMMAND]`: a module for each command, their table in `parser`."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

from ipc import failpoints
from ipc.journal import JournalError
from ipc.loading import loading
from supervisor import root
from supervisor.cli import belonging, terminal
from supervisor.cli.exit_codes import ExitCode
from supervisor.cli.parser import parse
from supervisor.host import instance_lock
from supervisor.host.instance_lock import AlreadyRunning
from supervisor.processes.errors import CommandFailed
from supervisor.processes.process import HOME
from supervisor.settings import Settings, SettingsError, load


def main(arguments: list[str], stop_fd: int | None) -> int:
    """Run one command; its exit code. `stop_fd` is the pipe of signals if the command runs the tree, else None."""
    options = parse(arguments)
    try:
        if options.command == "schema":  # needed before there is a project to configure
            parts = [name for name in ("realtime", "machines") if getattr(options, name)] or ["schema"]
            for part in parts:
                terminal.write((HOME / f"deploy/{part}.sql").read_text(encoding="utf-8"))
            return ExitCode.DONE
        return _configure_and_run(options, stop_fd)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # `bin/run status | head`
        return ExitCode.GAVE_UP
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _configure_and_run(options: argparse.Namespace, stop_fd: int | None) -> int:
    try:
        failpoints.arm(os.environ.get(failpoints.VARIABLE))
        read = partial(load, options.config, os.environ, Path.cwd(), HOME)
        settings = read()
    except (SettingsError, failpoints.FailpointError) as error:
        return _refuse("the configuration is refused", str(error), ExitCode.CONFIGURATION)
    try:
        if options.command == "start" and not options.name:
            assert stop_fd is not None, "signals.is_for_root has seen this command"
            return root.start(read, stop_fd, options.export, options.parent_fd)
        return _run(options, settings)
    except root.CannotStart as error:
        return _refuse("cannot start", str(error), ExitCode.CONFIGURATION)
    except (AlreadyRunning, JournalError, CommandFailed) as error:
        return _refuse(options.command, str(error), ExitCode.GAVE_UP)


def _run(options: argparse.Namespace, settings: Settings) -> int:
    """A case for each command, as flat as their table."""
    # Imported here, because the root stays small: it has no use for a progress bar or an HTTP client.
    with loading():
        from supervisor.cli import (  # noqa: PLC0415
            check,
            gc,
            hiding,
            imports,
            login,
            memory,
            nodes,
            operation,
            status,
            why,
        )

    belonging.refuse_on_a_node(settings, options.command)
    instance_lock.look_into(settings.state_dir)
    match options.command:
        case "import":
            return imports.run(settings, options.config, options.folder, leave=options.exit)
        case "status":
            return status.run(settings, as_json=options.json, watch_it=options.watch)
        case "memory":
            return memory.run(settings, as_json=options.json)
        case "why":
            return why.run(settings, options.post, options.message, as_json=options.json)
        case "nodes":
            return nodes.run(settings, as_json=options.json, join_it=options.join)
        case "dead" | "retry":
            return _dead(options, settings)
        case "hide" | "unhide" | "block":
            return hiding.run(settings, options)
        case "gc":
            return gc.run(settings, delete=options.delete, hours=options.older_than)
        case "republish":
            return _republish(options, settings)
        case "login":
            return login.run(settings, qr=options.qr, as_string=options.string, force=options.force)
        case "check":
            return check.run(settings, notify=options.notify)
        case _:
            return operation.run(settings, options.command, options.name)


def _dead(options: argparse.Namespace, settings: Settings) -> int:
    from supervisor.cli import dead_letters, webhooks  # noqa: PLC0415 - as above

    if options.command == "dead":
        show = webhooks.show if options.webhooks else dead_letters.show
        return show(settings, as_json=options.json)
    retry = webhooks.retry if options.webhooks else dead_letters.retry
    return retry(settings, options.ids, everything=options.all, reason=options.reason)


def _republish(options: argparse.Namespace, settings: Settings) -> int:
    from supervisor.cli import republish  # noqa: PLC0415 - as above

    if not options.renditions and (options.channel or options.since):
        terminal.complain("republish", "--channel and --since go with --renditions")
        return ExitCode.USAGE
    chosen = republish.Chosen(tuple(options.channel), options.since) if options.renditions else None
    return republish.run(settings, republish.Wanted(options.originals, options.urls, options.rows, chosen))


def _refuse(what: str, why: str, code: ExitCode) -> ExitCode:
    terminal.complain(what, *why.splitlines())
    return code
