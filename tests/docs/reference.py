"""The tables of docs/reference.md and docs/security.md, made from the tables of the code.

    python -m tests.docs.reference --write     # PYTHON: .venv-test/bin/python, in the checkout

Each stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`; the prose around them is written by hand. A test
compares the pages with what this module makes.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from health import fields as status_fields
from health.metrics.families import FAMILIES
from supervisor import tree
from supervisor.child.sandbox import syscalls
from supervisor.cli.exit_codes import MEANINGS
from supervisor.cli.parser import COMMANDS, COMMON, Option, Subcommand
from supervisor.log_events import EVENTS, FIELDS
from supervisor.processes.spec import numbered
from supervisor.settings import commands as command_settings
from supervisor.settings import load, post_rules, webhooks
from supervisor.settings.render import as_toml
from supervisor.settings.rules import SettingEntry
from supervisor.settings.table import SECTIONS, TABLE
from supervisor.settings.webhooks import WebhookSettings
from supervisor.start import Start

DOCS = Path(__file__).parents[2] / "docs"


def commands() -> str:
    return _table(("Command", ""), ((f"`{command.usage}`", _about(command)) for command in COMMANDS))


def _about(command: Subcommand) -> str:
    return f"{_sentence(command.help)} {command.details}".strip()


def options() -> str:
    rows: dict[tuple[str, str], list[str]] = {}
    for where, option in [("all", one) for one in COMMON] + [(c.name, o) for c in COMMANDS for o in c.options]:
        if option.help != argparse.SUPPRESS and option.name.startswith("--"):
            rows.setdefault((_usage(option), option.help), []).append(where)
    rows["`--version`", "print the version"] = ["`bin/run` itself"]
    return _table(("Option", "Of", ""), ((name, ", ".join(where), text) for (name, text), where in rows.items()))


def _usage(option: Option) -> str:
    return f"`{option.usage.strip('[]')}`"


def exit_codes() -> str:
    return _table(("Code", ""), ((str(int(code)), meaning) for code, meaning in MEANINGS.items()))


def settings() -> str:
    parts = []
    for section, holder in {"": None, **SECTIONS}.items():
        rows = [_setting(entry) for entry in TABLE if entry.section == section]
        head = f"`[{section}]`: {holder.__doc__}\n\n" if holder else ""
        parts.append(head + _table(("Setting", "Default", "Unit", "Allowed", "Meaning"), rows))
    return "\n\n".join(parts)


def command_keys() -> str:
    return _table(("Key", "Default", "Unit", "Allowed", "Meaning"), map(_setting, command_settings.KEYS.values()))


def rule_keys() -> str:
    return _table(("Key", "Default", "Unit", "Allowed", "Meaning"), map(_setting, post_rules.KEYS.values()))


def webhook_keys() -> str:
    return _table(("Key", "Default", "Unit", "Allowed", "Meaning"), map(_setting, webhooks.KEYS.values()))


def _setting(entry: SettingEntry) -> tuple[str, ...]:
    rule = entry.rule
    default = "" if entry.is_tables or entry.default in ("", (), Path()) else f"`{as_toml(entry.default)}`"
    plain = f"; also `{rule.environ}`" if rule.environ else ""
    return f"`{entry.name}`", default, rule.unit, entry.allowed, f"{rule.why}{plain}"


def events() -> str:
    return _table(("Event", "Text", "Fields"), ((f"`{name}`", *_event(name)) for name in sorted(EVENTS)))


def _event(name: str) -> tuple[str, str]:
    text, fields = EVENTS[name]
    return text, ", ".join(f"`{field}`" for field in fields.split())


def event_fields() -> str:
    return _table(("Field", ""), ((f"`{name}`", FIELDS[name]) for name in sorted(FIELDS)))


def status() -> str:
    return status_fields.table()


def processes() -> str:
    """Every process of the tree with all settings set: what it runs, which secrets it is told, how it is sealed."""
    secrets = [entry for entry in TABLE if entry.rule.secret and entry.kind in (str, tuple[str, ...])]
    canaries = {entry.name: f"canary of {entry.name}" for entry in secrets}
    settings = load(None, {}, DOCS, DOCS)
    settings = replace(settings, telegram=replace(settings.telegram, api_id=1))
    for entry in secrets:
        canary = canaries[entry.name]
        section = replace(getattr(settings, entry.section), **{entry.key: canary if entry.kind is str else (canary,)})
        settings = replace(settings, **{entry.section: section})
    canaries["webhook.secret"] = "canary of a webhook"
    settings = replace(settings, webhook=(WebhookSettings(secret=canaries["webhook.secret"]),))
    children = [*tree.children(settings, 0, Start.now()), *numbered(tree.image_worker(settings), 1)]
    rows = [("root", "`supervisor.root`", "all", "hidden")]
    for child in (one for one in children if one.target):
        text = repr(child.options)
        known = ", ".join(f"`{name}`" for name, value in canaries.items() if value in text) or "none"
        sealed = "hidden; network, programs, processes and files closed" if child.sandbox else "hidden"
        rows.append((child.name.replace("image-1", "image-N"), f"`{child.target.split(':')[0]}`", known, sealed))
    return _table(("Process", "Runs", "Secrets that it is told", "Sandbox"), rows)


def calls() -> str:
    rows = [
        ("allowed", ", ".join(f"`{name}`" for name in sorted(syscalls.ALLOWED))),
        ("allowed to itself alone", ", ".join(f"`{name}`" for name in sorted(syscalls.SELF))),
        ("allowed with some arguments", "`clone` (threads), `fcntl`, `prctl`, `prlimit64` (its own limits)"),
        (
            "ends the worker",
            ", ".join(f"`{name}`" for name in sorted(syscalls.KILLED))
            + ", `clone` of a process or with a new namespace",
        ),
        ("fails with EPERM", "every other call"),
    ]
    return _table(("System call", ""), rows)


def metrics() -> str:
    rows = ((f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.help) for one in FAMILIES)
    return _table(("Metric", "Type", "Labels", "Meaning"), rows)


SECTIONS_OF_PAGE: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "options": options,
    "exit codes": exit_codes,
    "settings": settings,
    "commands of your own": command_keys,
    "rules": rule_keys,
    "webhook keys": webhook_keys,
    "status": status,
    "metrics": metrics,
    "events": events,
    "event fields": event_fields,
}


PAGES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "reference.md": SECTIONS_OF_PAGE,
    "security.md": {"processes": processes, "calls": calls},
}


def filled(name_of_page: str) -> str:
    """The page with each of its tables made anew. Raises LookupError for a table that the page does not have."""
    page = (DOCS / name_of_page).read_text(encoding="utf-8")
    for name, make in PAGES[name_of_page].items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise LookupError(f"docs/{name_of_page} needs {begin} and {end}, once")
        before, rest = page.split(begin)
        page = f"{before}{begin}\n{make()}\n{end}{rest.split(end)[1]}"
    return page


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(map(_cell, line))} |".replace("  ", " ") for line in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def _cell(text: str) -> str:
    """As Markdown: a bar would end the cell, and `<` might begin a tag."""
    return re.sub(r"([|<])", r"\\\1", text) if "`" not in text else text.replace("|", "\\|")


if __name__ == "__main__":
    for name in PAGES:
        made = filled(name)
        if sys.argv[1:] == ["--write"]:
            (DOCS / name).write_text(made, encoding="utf-8")
        else:
            sys.stdout.write(made)
