"""The tables of [[telegram.rules]]: which posts are taken and which are left. The first rule that fits a post decides.

What a rule leaves out is no condition. `ipc.rules` decides.
"""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipc.text import channel_address
from supervisor.settings.rules import SettingEntry, keys_of, setting
from supervisor.settings.tables import Faults, tables_of, values_of
from supervisor.settings.values import checked

_DAY = "a day, as 2026-11-30"
_LARGEST = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """Which posts are taken, also of an export: the first rule whose every condition fits decides; else one is taken"""

    action: str = setting("take", "whether a fitting post is taken or left", choices=("take", "leave"), example="leave")
    channel: str = setting(
        "", "only in this channel", read=channel_address.parse, form=channel_address.FORM, example="@news"
    )
    tags: tuple[str, ...] = setting(
        (), "only with one of these hashtags, anywhere in its album", form="a list of hashtags", example=["draft"]
    )
    kind: str = setting("", "only of this kind; empty for any", choices=("", "photo", "video"), example="photo")
    min_width: int = setting(0, "only at least as wide; 0 for no bound", unit="px", low=0, high=_LARGEST)
    max_width: int = setting(0, "only at most as wide; 0 for no bound", unit="px", low=0, high=_LARGEST)
    min_bytes: int = setting(0, "only files at least as large; 0 for no bound", unit="bytes", low=0, high=_LARGEST)
    max_bytes: int = setting(0, "only files at most as large; 0 for no bound", unit="bytes", low=0, high=_LARGEST)
    since: str = setting("", "only what was posted on this day (UTC) or later", form=_DAY, example="2026-01-01")
    until: str = setting("", "only what was posted on this day (UTC) or earlier", form=_DAY, example="2026-12-31")

    def public(self) -> dict[str, Any]:
        """The rule as one JSON-able dict."""
        return {**{key: getattr(self, key) for key in KEYS}, "tags": list(self.tags)}

    def options(self) -> dict[str, Any]:
        """The rule as `ipc.rules.Rule.of` reads it."""
        bounds = ("min_width", "max_width", "min_bytes", "max_bytes")
        last = _seconds(self.until) + 86399 if self.until else None
        return {
            "action": self.action,
            "channel": channel_address.parse(self.channel).key if self.channel else "",
            "tags": list(self.tags),
            "kind": self.kind or None,
            **{key: getattr(self, key) or None for key in bounds},
            "since": _seconds(self.since) if self.since else None,
            "until": last,
        }


KEYS: dict[str, SettingEntry] = keys_of(RuleSettings)
"""The rule of each key of a table."""


def read(place: str, value: Any, base: Path) -> tuple[RuleSettings, ...]:
    """The rules of a list of tables that stands at `place`. Raises Faults."""
    tables = tables_of(place, value, "telegram.rules", needed="action")
    faults: list[str] = []
    found = [_read_one(f"{place} #{number}", table, base, faults) for number, table in enumerate(tables, 1)]
    if faults:
        raise Faults(faults)
    return tuple(found)


def _read_one(place: str, table: Mapping[str, Any], base: Path, faults: list[str]) -> RuleSettings:
    one = RuleSettings(**values_of(place, table, KEYS, base, check=_checked, required=("action",), faults=faults))
    for low, high in (("min_width", "max_width"), ("min_bytes", "max_bytes"), ("since", "until")):
        least, most = getattr(one, low), getattr(one, high)
        if least and most and least > most:
            faults.append(f"{place}: {low} = {least} is refused; allowed: at most {high} = {most}")
    return one


def _checked(entry: SettingEntry, value: Any, base: Path) -> Any:
    if entry.key == "tags":
        return _tags(value)
    if entry.key in ("since", "until"):
        return _day(value)
    return "" if entry.key == "channel" and value == "" else checked(entry, value, base)


def _tags(value: Any) -> tuple[str, ...]:
    """The hashtags in lower case, without #, each once."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError
    names = [one.strip().removeprefix("#").lower() for one in value]
    for name in names:
        if not re.fullmatch(r"[\w\u00b7\u200c]{1,256}", name):
            raise ValueError("a hashtag has letters, digits and underscores only")
    return tuple(dict.fromkeys(names))


def _day(value: Any) -> str:
    """TOML has days of its own; a text is as good."""
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value.isoformat()
    if not isinstance(value, str) or not re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})?", value):
        raise ValueError
    if value:
        _seconds(value)
    return value


def _seconds(day: str) -> int:
    """The Unix second at which the day begins. Raises ValueError if there is no such day."""
    try:
        return int(datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.UTC).timestamp())
    except ValueError:
        raise ValueError("there is no such day") from None
