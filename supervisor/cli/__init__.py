"""The command line: `bin/run [COMMAND]`.

Exit codes: 0 done, 1 gave up, 2 usage, 78 configuration (sysexits EX_CONFIG).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from ipc import failpoints
from ipc.holds import EX_CONFIG
from ipc.journal import JournalError
from supervisor import root
from supervisor.child import HOME
from supervisor.failed import Failed
from supervisor.instance import AlreadyRunning
from supervisor.settings import WITHOUT_EFFECT, Settings, SettingsError, load


def main(arguments: list[str], stop_fd: int | None) -> int:
    """Run one command; its exit code. `stop_fd` is there if the command is `start`."""
    options = _parser().parse_args(arguments)
    try:
        failpoints.arm(os.environ.get(failpoints.VARIABLE))
        settings = load(options.config, os.environ, Path.cwd(), HOME)
    except (SettingsError, failpoints.FailpointError) as error:
        return _refuse("the configuration is refused", str(error), EX_CONFIG)
    for name in WITHOUT_EFFECT:
        if os.environ.get(name):
            print(f"picturedesk: {name} is set, but has no effect in this version", file=sys.stderr)
    try:
        return _run(options, settings, stop_fd)
    except root.CannotStart as error:
        return _refuse("cannot start", str(error), EX_CONFIG)
    except (AlreadyRunning, JournalError, Failed) as error:
        return _refuse(options.command, str(error), 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # `bin/run status | head`
        return 1
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace, settings: Settings, stop_fd: int | None) -> int:
    if options.command == "start":
        assert stop_fd is not None, "signals.is_for_root has seen this command"
        return root.start(settings, stop_fd, options.export, options.parent_fd)
    # Imported here, because the root stays small: it has no use for a progress bar or an HTTP client.
    from supervisor.cli import commands, importing  # noqa: PLC0415

    match options.command:
        case "import":
            return importing.run(settings, options.config, options.folder, leave=options.exit)
        case "status":
            return commands.status(settings, as_json=options.json, watch=options.watch)
        case "dead":
            return commands.dead(settings, as_json=options.json)
        case "retry":
            return commands.retry(settings, options.ids, everything=options.all)
        case _:
            return commands.check(settings)


def _refuse(what: str, why: str, code: int) -> int:
    for line in why.splitlines():
        print(f"picturedesk: {what}: {line}", file=sys.stderr)
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
    parser.set_defaults(config=None, command="start", export=None, parent_fd=None)
    sub = parser.add_subparsers(metavar="COMMAND", dest="given")
    _add_start(sub.add_parser("start", parents=[common], help="run until stopped (the default)"))
    _add_import(sub.add_parser("import", parents=[common], help="take in a Telegram Desktop export"))
    status = sub.add_parser("status", parents=[common], help="show the running instance's tree and figures")
    status.add_argument("--json", action="store_true", help="as the server gives it")
    status.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    dead = sub.add_parser("dead", parents=[common], help="list the dead letters")
    dead.add_argument("--json", action="store_true", help="one JSON object a line")
    retry = sub.add_parser("retry", parents=[common], help="bring dead letters back")
    retry.add_argument("ids", type=int, nargs="*", metavar="ID", help="as `dead` lists them")
    retry.add_argument("--all", action="store_true", help="every dead letter")
    check = sub.add_parser("check", parents=[common], help="validate the configuration and what it names")
    for name, command in (("status", status), ("dead", dead), ("retry", retry), ("check", check)):
        command.set_defaults(command=name)
    return parser


def _add_start(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command="start")
    parser.add_argument("--export", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--parent-fd", type=int, help=argparse.SUPPRESS)


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command="import")
    parser.add_argument("folder", type=Path, metavar="DIR", help="the export's folder, or its result.json")
    parser.add_argument("--exit", action="store_true", help="stop when everything is published or dead")
