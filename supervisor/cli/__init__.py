"""The command line: `bin/run [COMMAND]`.

Exit codes: 0 done, 1 gave up, 2 usage, 78 configuration (sysexits EX_CONFIG).
"""

from __future__ import annotations

import argparse
import math
import os
from functools import partial
from pathlib import Path
from typing import Any

from ipc import failpoints
from ipc.holds import EX_CONFIG
from ipc.journal import JournalError
from supervisor import root
from supervisor.cli import terminal
from supervisor.host import instance_lock
from supervisor.host.instance_lock import AlreadyRunning
from supervisor.processes.errors import Failed
from supervisor.processes.process import HOME
from supervisor.settings import Settings, SettingsError, load


def main(arguments: list[str], stop_fd: int | None) -> int:
    """Run one command; its exit code. `stop_fd` is there if the command is `start`."""
    # `config` is no default of the parser's: that of a command would take the place of what stands before it.
    options = _parser().parse_args(arguments, argparse.Namespace(config=None))
    try:
        if options.command == "schema":  # wanted before there is a project to configure
            terminal.write((HOME / "deploy" / "schema.sql").read_text(encoding="utf-8"))
            return 0
        return _configure_and_run(options, stop_fd)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # `bin/run status | head`
        return 1
    except KeyboardInterrupt:
        return 130


def _configure_and_run(options: argparse.Namespace, stop_fd: int | None) -> int:
    try:
        failpoints.arm(os.environ.get(failpoints.VARIABLE))
        read = partial(load, options.config, os.environ, Path.cwd(), HOME)
        settings = read()
    except (SettingsError, failpoints.FailpointError) as error:
        return _refuse("the configuration is refused", str(error), EX_CONFIG)
    try:
        if options.command == "start" and not options.name:
            assert stop_fd is not None, "signals.is_for_root has seen this command"
            return root.start(read, stop_fd, options.export, options.parent_fd)
        return _run(options, settings)
    except root.CannotStart as error:
        return _refuse("cannot start", str(error), EX_CONFIG)
    except (AlreadyRunning, JournalError, Failed) as error:
        return _refuse(options.command, str(error), 1)


def _run(options: argparse.Namespace, settings: Settings) -> int:
    # Imported here, because the root stays small: it has no use for a progress bar or an HTTP client.
    from supervisor.cli import commands, garbage, importing, login, ordering, republishing  # noqa: PLC0415

    instance_lock.look_into(settings.state_dir)
    match options.command:
        case "import":
            return importing.run(settings, options.config, options.folder, leave=options.exit)
        case "status":
            return commands.status(settings, as_json=options.json, watch=options.watch)
        case "memory":
            return commands.memory(settings, as_json=options.json)
        case "dead":
            return commands.dead(settings, as_json=options.json)
        case "retry":
            return commands.retry(settings, options.ids, everything=options.all)
        case "gc":
            return garbage.run(settings, delete=options.delete, hours=options.older_than)
        case "republish":
            return republishing.run(settings, originals=options.originals, urls=options.urls)
        case "login":
            return login.run(settings, qr=options.qr, as_string=options.string, force=options.force)
        case "reload" | "restart" | "stop" | "start":
            return ordering.run(settings, options.command, options.name)
        case _:
            return commands.check(settings)


def _refuse(what: str, why: str, code: int) -> int:
    terminal.complain(what, *why.splitlines())
    return code


class _Parser(argparse.ArgumentParser):
    """Options are written out: an abbreviation that works today may mean something else tomorrow."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument(
        "--config",
        type=Path,
        metavar="PATH",
        default=argparse.SUPPRESS,
        help="configuration file (default: PICTUREDESK_CONFIG, then ./config.toml)",
    )
    parser = _Parser(
        prog="bin/run",
        parents=[common],
        description="Every photo of a Telegram channel becomes web-ready renditions and a row. No command: start.",
    )
    parser.set_defaults(command="start", name=None, export=None, parent_fd=None)
    sub = parser.add_subparsers(metavar="COMMAND", dest="given")
    _add_start(sub.add_parser("start", parents=[common], help="run until stopped (the default); or start one process"))
    _add_import(sub.add_parser("import", parents=[common], help="take in a Telegram Desktop export"))
    status = sub.add_parser("status", parents=[common], help="show the running instance's tree and figures")
    status.add_argument("--json", action="store_true", help="as the server gives it")
    status.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    memory = sub.add_parser(
        "memory", parents=[common], help="report the memory of every process, and who was killed for it"
    )
    memory.add_argument("--json", action="store_true", help="one JSON object")
    dead = sub.add_parser("dead", parents=[common], help="list the dead letters")
    dead.add_argument("--json", action="store_true", help="one JSON object a line")
    retry = sub.add_parser("retry", parents=[common], help="bring dead letters back")
    retry.add_argument("ids", type=int, nargs="*", metavar="ID", help="as `dead` lists them")
    retry.add_argument("--all", action="store_true", help="every dead letter")
    _add_login(sub.add_parser("login", parents=[common], help="log in to Telegram: makes the session"))
    check = sub.add_parser("check", parents=[common], help="validate the configuration and what it names")
    schema = sub.add_parser("schema", parents=[common], help="print the SQL that a Supabase project needs")
    gc = sub.add_parser("gc", parents=[common], help="list stored objects that no row names any more, or remove them")
    gc.add_argument("--delete", action="store_true", help="remove them")
    gc.add_argument(
        "--older-than", type=_hours, default=24.0, metavar="HOURS", help="only such objects (default: %(default)g)"
    )
    republish = sub.add_parser("republish", parents=[common], help="publish again what the settings want otherwise now")
    republish.add_argument("--originals", action="store_true", help="originals that are published as they came")
    republish.add_argument("--urls", action="store_true", help="rows whose URLs begin as public_url says no more")
    reload = sub.add_parser("reload", parents=[common], help="have the running instance read its configuration again")
    restart = sub.add_parser("restart", parents=[common], help="replace one process of the running instance")
    stop = sub.add_parser("stop", parents=[common], help="stop one process of the running instance")
    for command in (restart, stop):
        command.add_argument("name", metavar="NAME", help="as `status` lists it")
    named = {
        "status": status,
        "memory": memory,
        "dead": dead,
        "retry": retry,
        "check": check,
        "schema": schema,
        "gc": gc,
        "republish": republish,
    }
    named |= {"reload": reload, "restart": restart, "stop": stop}
    for name, command in named.items():
        command.set_defaults(command=name)
    return parser


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 <= hours < math.inf:
        raise ValueError(text)
    return hours


_hours.__name__ = "number of hours"  # as argparse names what it refuses


def _add_start(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command="start")
    parser.add_argument("name", nargs="?", metavar="NAME", help="a process of the running instance that was stopped")
    parser.add_argument("--export", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--parent-fd", type=int, help=argparse.SUPPRESS)


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command="import")
    parser.add_argument("folder", type=Path, metavar="DIR", help="the export's folder, or its result.json")
    parser.add_argument("--exit", action="store_true", help="stop when everything is published or dead")


def _add_login(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command="login")
    parser.add_argument("--qr", action="store_true", help="by a QR code, instead of phone number and code")
    parser.add_argument("--string", action="store_true", help="print a StringSession instead of writing a file")
    parser.add_argument("--force", action="store_true", help="replace a session that is there without asking")
