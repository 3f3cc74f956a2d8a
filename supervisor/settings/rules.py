"""The rule that a setting's field carries in the table, and the row that they make."""

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

MAX_WIDTHS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRule:
    """What is known of a setting besides its name, type and default; bounds are inclusive."""

    why: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()  # texts that a number may be as well
    pattern: str = ""
    read: Callable[[str], Any] | None = None  # refuses with ValueError; texts that it reads alike are one
    form: str = ""  # what `pattern` or `read` asks for, in words
    environ: str = ""  # the plain name that the environment may use as well
    finish: Callable[[str], str] = str  # brings an accepted text into its one form
    secret: bool = False  # its value is never shown
    separator: str | None = ","  # between the texts of a list, in the environment; None: blanks or line ends
    example: Any = None  # shown where there is no default that would say anything


@dataclass(frozen=True, slots=True)
class SettingEntry:
    """One row of the table. `section` is empty for the settings at the top level."""

    section: str
    key: str
    kind: type
    default: Any
    rule: ValueRule

    @property
    def name(self) -> str:
        """Dotted, as messages say it: images.max_bytes."""
        return f"{self.section}.{self.key}" if self.section else self.key

    @property
    def variable(self) -> str:
        """The name in the environment that every setting has: PICTUREDESK__IMAGES__MAX_BYTES."""
        return "__".join(["PICTUREDESK", *self.name.upper().split(".")])

    @property
    def is_widths(self) -> bool:
        return self.kind == tuple[int, ...]

    @property
    def is_texts(self) -> bool:
        return self.kind == tuple[str, ...]

    @property
    def is_tables(self) -> bool:
        return any(map(dataclasses.is_dataclass, get_args(self.kind)))

    @property
    def keys(self) -> "dict[str, SettingEntry]":
        """The rule of each key, for a list of tables."""
        return keys_of(get_args(self.kind)[0])

    @property
    def allowed(self) -> str:
        """What is accepted, in words."""
        if self.rule.choices:
            return " or ".join(json.dumps(choice) for choice in self.rule.choices)
        if self.kind is bool:
            return "true or false"
        if self.is_tables:
            return "a list of tables"
        if self.kind is str:
            return self.rule.form or "text"
        if self.kind is Path:
            return "a path"
        if self.is_texts:
            return f"a list, each of it {self.rule.form}"
        span = f"{self.rule.low:.15g} to {self.rule.high:.15g}"
        if self.is_widths:
            return f"1 to {MAX_WIDTHS} whole numbers, each {span}"
        words = "".join(f"{json.dumps(word)} or " for word in self.rule.words)
        return f"{words}{'a whole' if self.kind is int else 'a'} number, {span}"


def setting(default: Any, why: str, **rule: Any) -> Any:
    """A dataclass field that carries its rule."""
    return field(default=default, repr=not rule.get("secret"), metadata={"rule": ValueRule(why=why, **rule)})


def keys_of(holder: type) -> dict[str, SettingEntry]:
    """The rule of each key of a table that `holder`, a dataclass, is made of; one of any other type is like a text."""
    kinds = (str, float, int, Path)
    return {
        f.name: SettingEntry("", f.name, f.type if f.type in kinds else str, f.default, f.metadata["rule"])
        for f in dataclasses.fields(holder)
    }
