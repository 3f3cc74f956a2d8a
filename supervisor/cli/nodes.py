"""`nodes`: the machines that render for this origin; and the word that makes another machine one of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from supervisor.cli import client, terminal
from supervisor.cli.exit_codes import ExitCode
from supervisor.cli.terminal import table
from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings, join
from supervisor.settings.rules import SettingEntry
from supervisor.settings.table import TABLE, lookup

VARIABLE = "PICTUREDESK__MACHINES__JOIN"
HEADER = ("node", "version", "workers", "in hand", "per minute", "last seen", "problems")
NO_NODES = "No nodes. docs/machines.md has how to make one in five minutes; bin/run nodes --join prints what it needs."


def run(settings: Settings, *, as_json: bool, join_it: bool) -> int:
    """Print the nodes, or what a new one needs; the exit code. Raises CommandFailed."""
    if settings.machines.role != "origin":
        raise CommandFailed(_no_origin(settings))
    return _print_join(settings, as_json=as_json) if join_it else _show(settings, as_json=as_json)


def _no_origin(settings: Settings) -> str:
    if settings.machines.role == "node":
        return "this machine is a node: run this at an origin, which knows its nodes"
    return 'machines.role is "all": this machine does everything itself. Set it to "origin" to have nodes'


def _show(settings: Settings, *, as_json: bool) -> int:
    machines = client.get_status(settings).get("machines")
    if not machines or machines["role"] != "origin":
        raise CommandFailed("the running instance is no origin yet: bin/run reload has it read the settings again")
    nodes = machines["nodes"]
    if as_json:
        for one in nodes:
            terminal.say_json(one, indent=None)
        return ExitCode.DONE
    terminal.say(*describe(machines))
    return ExitCode.DONE


def describe(machines: Mapping[str, Any]) -> list[str]:
    """The lines for an origin's `machines` of /status."""
    nodes = machines["nodes"]
    lines = table([HEADER, *map(_row, nodes)]) if nodes else [NO_NODES]
    waiting = " and ".join(f"{one['length'] - one['taken']} {one['name']}" for one in machines["queues"])
    lines += [
        f"pictures that wait for a node, of all origins: {waiting or 'unknown'}",
        f"of this origin: {machines['outstanding']} handed over and not finished; results to be read:"
        f" {machines['results_waiting']}; workers needed on nodes: {machines['needed_workers']}",
    ]
    return [*lines, *([f"! {machines['error']}"] if machines["error"] else [])]


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        one["name"],
        one["version"] or "-",
        str(one["workers"]),
        str(one["in_hand"]),
        f"{one['rate_per_minute']:.1f}",
        f"{one['last_seen_seconds']:.0f}s ago",
        "; ".join(one["problems"]),
    )


def _print_join(settings: Settings, *, as_json: bool) -> int:
    """One line for a node's environment file, on standard output alone: it can go into that file as it is. Or the same
    as JSON.
    """
    terminal.complain(
        "nodes",
        "the line below is a secret: it has the keys of your bucket. Put it into the node's environment file, beside"
        " PICTUREDESK__MACHINES__ROLE=node and PICTUREDESK__CATALOG__KEY, and nowhere else",
    )
    word = word_of(settings)
    terminal.write(f"{json.dumps({VARIABLE: word})}\n" if as_json else f"{VARIABLE}={word}\n")
    return ExitCode.DONE


def word_of(settings: Settings) -> str:
    """The value of `machines.join` for a node of this origin."""
    by_name: dict[str, SettingEntry] = {entry.name: entry for entry in TABLE}
    return join.packed({name: lookup(settings, by_name[name]) for name in join.NAMES})
