"""config.toml, written from the table of settings. A test compares it with the file of the checkout. To refresh it:

python -m supervisor.settings.render > config.toml
"""

import json
import sys
from pathlib import Path
from typing import Any

from supervisor.settings.rules import SettingEntry
from supervisor.settings.table import SECTIONS, TABLE

HEAD = """\
# Picturedesk's settings, each with its default: what is left out has the value shown here.
# Each can also be given in the environment, as PICTUREDESK__SECTION__KEY (PICTUREDESK__STATE_DIR for the
# first, lists as JSON), or by the plain name after "or". The environment is stronger than this file. Between the two
# are credentials: files named like their setting (telegram.api_hash) in the folder that CREDENTIALS_DIRECTORY names.
# A path is relative to the folder of this file.
"""


def render() -> str:
    """The whole table as a config.toml in which every setting has its default."""
    blocks = [HEAD.rstrip()]
    for section, holder in {"": None, **SECTIONS}.items():
        lines = [f"# {holder.__doc__}", f"[{section}]"] if holder else []
        lines += [line for entry in TABLE if entry.section == section and _is_here(entry) for line in _lines(entry)]
        blocks.append("\n".join(lines))
    # Tables of their own come after all sections: what stands below one belongs to it.
    blocks += ["\n".join(_lines(entry)) for entry in TABLE if not _is_here(entry)]
    return "\n\n".join(blocks) + "\n"


def _is_here(entry: SettingEntry) -> bool:
    """Whether a setting stands among the others of its section."""
    return not entry.is_tables or bool(entry.section)


def _lines(entry: SettingEntry) -> tuple[str, ...]:
    if entry.is_tables:
        return _example(entry)
    unit = f"{entry.rule.unit}; " if entry.rule.unit else ""
    plain = f"; or {entry.rule.environ}" if entry.rule.environ else ""
    value = entry.default if entry.rule.example is None else entry.rule.example
    return f"# {entry.rule.why} ({unit}{entry.allowed}{plain})", f"{entry.key} = {as_toml(value)}"


def _example(entry: SettingEntry) -> tuple[str, ...]:
    """A list of tables is empty, which can't be written: a list that stands there could not be added to below."""
    inner = [f"# {line}" for key in entry.keys.values() for line in _lines(key)]
    return f"# {entry.rule.why} ({entry.allowed})", f"# [[{entry.name}]]", *inner


def as_toml(value: Any) -> str:
    """The value as TOML writes it."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {as_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(str(value) if isinstance(value, Path) else value)


if __name__ == "__main__":
    sys.stdout.write(render())
