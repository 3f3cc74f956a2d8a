"""Every command of `bin/run` and its options, once, as a table: argparse and docs/reference.md are made from it."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from supervisor.version import VERSION


@dataclass(frozen=True, slots=True)
class Option:
    """`name` is a word with dashes, or the place of an argument in the result; `more` is for `add_argument`."""

    name: str
    help: str
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def usage(self) -> str:
        """The option as a usage line has it: `[--json]`, `DIR`, `[ID…]`."""
        shown: str = self.more.get("metavar", "")
        if self.name.startswith("--"):
            return f"[{self.name} {shown}]" if shown else f"[{self.name}]"
        return {"*": f"[{shown}…]", "?": f"[{shown}]"}.get(self.more.get("nargs", ""), shown)


@dataclass(frozen=True, slots=True)
class Subcommand:
    """`help` is its line in `bin/run --help`; `details` follow it in `bin/run NAME --help`."""

    name: str
    help: str
    details: str = ""
    options: tuple[Option, ...] = ()

    @property
    def usage(self) -> str:
        return " ".join(
            ["bin/run", self.name, *(option.usage for option in self.options if option.help != argparse.SUPPRESS)]
        )


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 <= hours < math.inf:
        raise ValueError(text)
    return hours


_hours.__name__ = "number of hours"  # as argparse names what it refuses


def _day(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


_day.__name__ = "day"
_CHANNEL = {"metavar": "CHANNEL", "action": "append", "default": []}
_SINCE = {"metavar": "DATE", "type": _day, "default": 0.0}


def _flag(name: str, help: str) -> Option:
    return Option(name, help, {"action": "store_true"})


_POST = (
    Option("post", "a link to the post, or its channel: @name, a link or an id", {"metavar": "LINK|CHANNEL"}),
    Option("message", "the message's id, after a channel", {"nargs": "?", "metavar": "MESSAGE"}),
)

_PROCESS = Option("name", "its name in `status`", {"metavar": "NAME"})

COMMON = (
    Option(
        "--config",
        "configuration file (default: PICTUREDESK_CONFIG, then ./config.toml, then that of the checkout)",
        # No default here: that of a command would take the place of an option that stands before the command.
        {"type": Path, "metavar": "PATH", "default": argparse.SUPPRESS},
    ),
)
"""Options of every command."""

COMMANDS = (
    Subcommand(
        "start",
        "run until stopped (the default); or start one process",
        "SIGTERM or Ctrl-C stops it: intake ends, the work in hand is finished (supervisor.drain_seconds), the rest"
        " stays in the journal. A second signal stops at once.",
        (
            Option("name", "a process of the running instance that was stopped", {"nargs": "?", "metavar": "NAME"}),
            Option("--export", argparse.SUPPRESS, {"type": Path}),
            Option("--parent-fd", argparse.SUPPRESS, {"type": int}),
        ),
    ),
    Subcommand(
        "import",
        "take in a Telegram Desktop export",
        'The export is a folder that Telegram Desktop wrote as "Machine-readable JSON". Where an instance runs, that'
        " instance takes it in beside its own source, and Ctrl-C stops the import alone. Otherwise one is started.",
        (
            Option("folder", "the export's folder, or its result.json", {"type": Path, "metavar": "DIR"}),
            _flag("--exit", "stop the instance that was started when everything is published or dead"),
        ),
    ),
    Subcommand(
        "status",
        "show the running instance's tree and figures",
        options=(
            _flag("--json", "print /status as the server gives it"),
            _flag("--watch", "repeat every second, until Ctrl-C"),
        ),
    ),
    Subcommand(
        "why",
        "show one post's life, where it is now, what it waits for, and what to do",
        "The post is named by its t.me link, or by its channel and its message's id. It works with and without a"
        " running instance.",
        (*_POST, _flag("--json", "print one JSON object")),
    ),
    Subcommand(
        "memory",
        "report the memory of every process, and the kills for memory",
        "For each process: memory now, its proportional share, what is its own alone, the peak, the cap and the trend."
        " Below that the last fifty kills, each with the job in hand.",
        (_flag("--json", "print one JSON object"),),
    ),
    Subcommand(
        "nodes",
        "list the machines that render for this origin",
        "With their workers, what they have in hand, how fast they are, and what is wrong there; below that what waits"
        " for them. docs/machines.md has how to make one.",
        (
            _flag("--json", "print one JSON object a line"),
            _flag("--join", "print what makes another machine a node, a line for its environment file; it is a secret"),
        ),
    ),
    Subcommand(
        "dead",
        "list the dead letters: id, message, stage, attempts, reason",
        options=(
            _flag("--json", "print one JSON object a line"),
            _flag("--webhooks", "list the messages that webhooks did not get instead"),
        ),
    ),
    Subcommand(
        "retry",
        "bring dead letters back to the stage where they died",
        options=(
            Option("ids", "ids from `bin/run dead`", {"type": int, "nargs": "*", "metavar": "ID"}),
            _flag("--all", "every dead letter"),
            Option("--reason", "those whose reason has this text, with --all or without", {"metavar": "TEXT"}),
            _flag(
                "--webhooks",
                "instead: what webhooks did not get, and the webhooks that had answered that they are gone",
            ),
        ),
    ),
    Subcommand(
        "hide",
        "take a post off the site",
        "Of an album all pictures, unless the link ends with ?single. It stays hidden, whatever its caption says, until"
        " `unhide`.",
        _POST,
    ),
    Subcommand(
        "unhide",
        "show a post that is hidden",
        "Also one that its caption hides, until that is edited.",
        _POST,
    ),
    Subcommand(
        "block",
        "keep a picture out for good, wherever it is posted; without a digest, list those that are kept out",
        "Posts that have it are hidden; what brings it later becomes a dead letter.",
        (
            Option("sha256", "digest of its original, as in images.sha256", {"nargs": "?", "metavar": "SHA256"}),
            _flag("--remove", "let it in again: posts that were hidden for it are shown"),
        ),
    ),
    Subcommand(
        "login",
        "log in to Telegram: makes the session",
        "By phone number and code, or by a QR code; two-step passwords too.",
        (
            _flag("--qr", "by a QR code, instead of phone number and code"),
            _flag("--string", "print a StringSession instead of writing a file"),
            _flag("--force", "replace an existing session without asking"),
        ),
    ),
    Subcommand(
        "check",
        "validate the configuration and try what it names",
        "Tries each channel, the bucket, the database, the export, the journal and your own commands; changes nothing.",
        (_flag("--notify", "also send a test message to notify.urls, and ping notify.heartbeat_url"),),
    ),
    Subcommand(
        "schema",
        "print the SQL that a Supabase project needs",
        "It may be applied again at any time.",
        (
            _flag(
                "--realtime",
                "what a project needs besides, to tell browsers of changes as they happen; docs/realtime.md says how to"
                " read it",
            ),
            _flag(
                "--machines",
                "what a project needs besides, to share the work among many machines: queues, and a role for nodes",
            ),
        ),
    ),
    Subcommand(
        "gc",
        "list stored objects that no row names any more, or remove them",
        "It may run beside a running instance.",
        (
            _flag("--delete", "remove them"),
            Option(
                "--older-than",
                "only objects older than this (default: 24)",
                {"type": _hours, "default": 24.0, "metavar": "HOURS"},
            ),
        ),
    ),
    Subcommand(
        "republish",
        "publish again what the settings, or this version, now want otherwise",
        "It may run beside a running instance, be interrupted, and be run again. Have the instance read new settings"
        " first (bin/run reload). `check` counts what the settings want otherwise.",
        (
            _flag("--originals", "replace originals that are published with their metadata"),
            _flag("--urls", "write rows again whose URLs do not begin with storage.public_url; their revision rises"),
            _flag(
                "--rows",
                "write rows again that lack columns: an earlier version wrote them, or the schema was not applied yet;"
                " their revision rises",
            ),
            _flag(
                "--renditions",
                "render pictures anew that another version or preset has rendered, behind all other work; the old"
                " renditions are deleted when the row names the new ones",
            ),
            Option("--channel", "with --renditions: only of this channel; may be repeated", _CHANNEL),
            Option("--since", "with --renditions: only what was posted from this day on, as 2026-11-30", _SINCE),
        ),
    ),
    Subcommand(
        "reload",
        "have the running instance read its configuration again",
        "SIGHUP does the same, unless it comes because the terminal is gone.",
    ),
    Subcommand(
        "restart",
        "replace one process of the running instance",
        "The work in hand is finished first.",
        (_PROCESS,),
    ),
    Subcommand(
        "stop",
        "stop one process of the running instance",
        "The work in hand is finished first.",
        (_PROCESS,),
    ),
)


class _Parser(argparse.ArgumentParser):
    """Options are written out: an abbreviation that works today may mean something else tomorrow."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command and its options; `command` is "start" where none is named. Exits on --help, --version, bad usage."""
    return _parser(_possible(arguments)).parse_args(arguments, argparse.Namespace(config=None))


def _possible(arguments: list[str]) -> Sequence[Subcommand]:
    """The commands that these can mean: a parser for each of all others would take as long as a tenth of `status`.

    >>> [one.name for one in _possible(["--config", "c.toml", "status", "--json"])]
    ['status']
    >>> len(_possible(["statsu", "why"])) == len(_possible(["--help", "status"])) == len(COMMANDS)
    True
    """
    place = 2 if arguments[:1] == ["--config"] else 0
    named = [one for one in COMMANDS if one.name in arguments[place : place + 1]]
    return named or COMMANDS


def _parser(commands: Sequence[Subcommand]) -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    _add(common, COMMON)
    parser = _Parser(
        prog="bin/run",
        parents=[common],
        description="Every photo of a Telegram channel becomes web-ready renditions and a row. No command: start.",
    )
    parser.add_argument("--version", action="version", version=f"picturedesk {VERSION}")
    parser.set_defaults(command="start", name=None, export=None, parent_fd=None)
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="given")
    for command in commands:
        about = f"{command.help[0].upper()}{command.help[1:]}. {command.details}"
        subparser = subparsers.add_parser(command.name, parents=[common], help=command.help, description=about)
        subparser.set_defaults(command=command.name)
        _add(subparser, command.options)
    return parser


def _add(parser: argparse.ArgumentParser, options: tuple[Option, ...]) -> None:
    for option in options:
        parser.add_argument(option.name, help=option.help, **option.more)
