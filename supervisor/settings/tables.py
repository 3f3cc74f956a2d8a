"""Settings that are lists of tables, as [[webhook]]: each table is checked key by key, so that all faults are found at
once. What may be a secret is never shown.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from supervisor.settings.rules import SettingEntry
from supervisor.settings.values import nearest, refusal

Check = Callable[[SettingEntry, Any, Path], Any]
"""`(entry, value, base)` gives the value as the setting holds it, or raises ValueError or `Hidden`."""


class Faults(ValueError):
    """The faults of all tables of a list, a line each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Hidden(ValueError):
    """A fault, in words that show no value."""


def tables_of(place: str, value: Any, name: str, *, needed: str) -> list[Mapping[str, Any]]:
    """The value as a list of tables; raises Faults. `needed` says which keys each must have."""
    if isinstance(value, Mapping):
        raise Faults([f"{place} is a list of tables: write [[{name}]], with two brackets"])
    if not isinstance(value, list) or not all(isinstance(table, Mapping) for table in value):
        raise Faults([f"{place} = (hidden) is refused; allowed: a list of tables, each with {needed}"])
    return value


def values_of(
    place: str,
    table: Mapping[str, Any],
    keys: Mapping[str, SettingEntry],
    base: Path,
    *,
    check: Check,
    required: tuple[str, ...],
    faults: list[str],
) -> dict[str, Any]:
    """The checked values of one table by key; what is wrong with it is added to `faults`."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in keys:
            near = nearest(key, keys)
            known = f"known here: {', '.join(keys)}"
            faults.append(f"{place}: unknown key {key}; " + (f"did you mean {near}?" if near else known))
            continue
        try:
            values[key] = check(keys[key], value, base)
        except Hidden as hidden:
            faults.append(f"{place}: {hidden}")
        except ValueError as error:
            faults.append(refusal(f"{place}: {key}", keys[key], value, str(error)))
    for key in required:
        if key not in table:
            faults.append(f"{place}: {key} is missing; allowed: {keys[key].allowed}")
    return values
