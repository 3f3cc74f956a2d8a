"""The tables of [[supervisor.command]]: commands of the operator's own that run as children of the tree.

Each is checked key by key, so that all faults are found at once. The values of `environment` may be secrets and are
never shown.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.settings.rules import SettingEntry, keys_of, setting
from supervisor.settings.tables import Faults, Hidden, tables_of, values_of
from supervisor.settings.values import checked

WORKER = "worker"
"""The name of the child that WORKER_SCRIPT makes."""

RESERVED = re.compile(r"root|health|uploader|pool|connection|import|image|image-[0-9]+")
"""The names of the tree's own processes."""

STOP_SIGNALS = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSettings:
    """Any command as one more child, so that a program of your own is kept alive with the others"""

    name: str = setting(
        "",
        "its name in status and for restart, stop and start",
        pattern=r"[a-z][a-z0-9-]{0,31}",
        form="up to 32 lower-case letters, digits and hyphens, none of the tree's own names",
        example="ingest",
    )
    command: tuple[str, ...] = setting(
        (),
        "what to run",
        form="a line, split as a shell would and run without one, or a list of texts",
        example="python ingest.py",
    )
    directory: Path = setting(Path(), "the folder to run it in", example=".")
    environment: tuple[tuple[str, str], ...] = setting(
        (),
        "added to the environment of the program itself, less its own settings",
        form="a table of texts",
        secret=True,
        example={"LOG_LEVEL": "info"},
    )
    restart: str = setting(
        "permanent",
        "permanent: replaced whenever it ends; transient: unless with exit code 0; temporary: never",
        choices=("permanent", "transient", "temporary"),
    )
    stop_signal: str = setting("SIGTERM", "signal that asks it to stop", choices=STOP_SIGNALS)
    stop_seconds: float = setting(
        10.0, "time to stop before it and all that it has started are killed", unit="s", low=0.05, high=3600
    )
    memory_cap_mb: int = setting(0, "killed and replaced above it; 0 for none", unit="MiB", low=0, high=2**20)

    def public(self) -> dict[str, Any]:
        """The command as one JSON-able dict, without the values of `environment`."""
        hidden = {name: "(set)" for name, _ in self.environment}
        shown = {"command": list(self.command), "directory": str(self.directory), "environment": hidden}
        return {**{key: getattr(self, key) for key in KEYS}, **shown}


KEYS: dict[str, SettingEntry] = keys_of(CommandSettings)
"""The rule of each key of a table; a key of more than one form is described by its `form`, like a text."""


def read(place: str, value: Any, base: Path) -> tuple[CommandSettings, ...]:
    """The commands of a list of tables that stands at `place`; a relative folder begins at `base`. Raises Faults."""
    tables = tables_of(place, value, "supervisor.command", needed="name and command")
    faults: list[str] = []
    found = [_read_one(f"{place} {_label(table, n)}", table, base, faults) for n, table in enumerate(tables, 1)]
    names = [table["name"] for table in tables if isinstance(table.get("name"), str)]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        faults.append(f"{place}: {names.count(name)} commands are named {name!r}: each needs a name of its own")
    if faults:
        raise Faults(faults)
    return tuple(found)


def command_line(text: str) -> str:
    """The text itself, if it is a command line or empty."""
    if text.strip():
        _words(text)
    return text.strip()


def _label(table: Mapping[str, Any], number: int) -> str:
    """A table's label in messages: its name, or its number where the name is no good."""
    name = table.get("name")
    return repr(name) if isinstance(name, str) and re.fullmatch(KEYS["name"].rule.pattern, name) else f"#{number}"


def _read_one(place: str, table: Mapping[str, Any], base: Path, faults: list[str]) -> CommandSettings:
    values = values_of(place, table, KEYS, base, check=_checked, required=("name", "command"), faults=faults)
    return CommandSettings(**{"directory": base, **values})


def _checked(entry: SettingEntry, value: Any, base: Path) -> Any:
    if entry.key == "command":
        return _words(value)
    if entry.key == "environment":
        return tuple(_variables(value))
    good = checked(entry, value, base)
    if entry.key == "name" and RESERVED.fullmatch(good):
        raise ValueError("the tree has a process of that name")
    return good


def _words(value: Any) -> tuple[str, ...]:
    """Program and arguments."""
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"as a shell would say: {str(error).lower()}") from None
    if not isinstance(value, list) or not all(isinstance(word, str) and "\0" not in word for word in value):
        raise ValueError
    if not value or not value[0].strip():
        raise ValueError("it names no program")
    return tuple(value)


def _variables(value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        raise ValueError
    for name, text in value.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise Hidden(f"environment.{name} is refused; allowed: names of letters, digits and underscores")
        if not isinstance(text, str) or "\0" in text:
            raise Hidden(f"environment.{name} = (hidden) is refused; allowed: a text")
        yield name, text
