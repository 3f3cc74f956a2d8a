"""Makes the value of a setting from what a file or the environment gives.

Pure. A ValueError means that the value is not allowed; its text, if any, is a hint for the user beyond
`SettingEntry.allowed` and never contains the value.
"""

import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from supervisor.settings.rules import MAX_WIDTHS, SettingEntry

SHOWN_CHARACTERS = 80

TRUTH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def from_text(entry: SettingEntry, text: str) -> Any:
    """The value of a variable's text, typed as TOML types it. A list is JSON, or values between commas (texts: what
    `Rule.separator` says).
    """
    word = text.strip()
    if word in entry.rule.words:
        return word
    if entry.kind is bool:
        if word.lower() not in TRUTH:
            raise ValueError("in the environment also 1 or 0, yes or no, on or off")
        return TRUTH[word.lower()]
    if entry.kind is int:
        return _whole(word)
    if entry.kind is float:
        return _number(word)
    if entry.is_widths:
        return json.loads(word) if word.startswith("[") else [_whole(part.strip()) for part in word.split(",")]
    if entry.is_tables:
        return json.loads(word)
    if entry.kind is str and "true" in entry.rule.choices:
        return TRUTH.get(word.lower(), word)
    if entry.is_texts:
        separated = word.split(entry.rule.separator)
        return json.loads(word) if word.startswith("[") else [part.strip() for part in separated]
    return text


def checked(entry: SettingEntry, value: Any, base: Path) -> Any:
    """`value` as the setting holds it: paths absolute, from `base`; widths ascending, each once."""
    if entry.kind is bool:
        return _require(isinstance(value, bool), value)
    if isinstance(value, str) and value in entry.rule.words:
        return value
    if entry.kind is int:
        return _require(_in_range(entry, value, int), value)
    if entry.kind is float:
        return float(_require(_in_range(entry, value, int | float), value))
    if entry.is_widths:
        return _widths(entry, value)
    if entry.is_texts:
        return _texts(entry, value)
    if isinstance(value, bool) and {"true", "false"} <= set(entry.rule.choices):
        value = json.dumps(value)  # as TOML writes it, without quotes
    _require(isinstance(value, str), value)
    return _path(value, base) if entry.kind is Path else _text(entry, value)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or an empty string. Case doesn't matter."""
    import difflib  # noqa: PLC0415 - where all is right nobody needs it

    by_folded = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.7)
    return by_folded[found[0]] if found else ""


def refusal(place: str, entry: SettingEntry, value: Any, hint: str) -> str:
    """The message for a value that is not allowed."""
    value = "(hidden)" if entry.rule.secret else shown(value)
    return f"{place} = {value} is refused; allowed: {entry.allowed}" + (f"; {hint}" if hint else "")


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _require(good: bool, value: Any) -> Any:
    if not good:
        raise ValueError
    return value


def _whole(word: str) -> int:
    _require(re.fullmatch(r"[+-]?[0-9]{1,20}", word) is not None, word)
    return int(word)


def _number(word: str) -> float:
    _require(re.fullmatch(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?", word) is not None, word)
    return float(word)


def _in_range(entry: SettingEntry, value: Any, kind: Any) -> bool:
    # No comparison with NaN holds.
    return isinstance(value, kind) and not isinstance(value, bool) and entry.rule.low <= value <= entry.rule.high


def _widths(entry: SettingEntry, value: Any) -> tuple[int, ...]:
    _require(isinstance(value, list) and all(_in_range(entry, width, int) for width in value), value)
    widths = tuple(sorted(set(value)))
    _require(1 <= len(widths) <= MAX_WIDTHS, value)
    return widths


def _texts(entry: SettingEntry, value: Any) -> tuple[str, ...]:
    """The texts, each once. A number stands for its digits, so that a channel's id needs no quotes."""
    good = isinstance(value, list) and all(isinstance(one, str | int) and not isinstance(one, bool) for one in value)
    _require(good, value)
    found: dict[Any, str] = {}
    for one in value:
        text = _text(entry, str(one).strip())
        found.setdefault(entry.rule.read(text) if entry.rule.read else text, text)
    return tuple(found.values())


def _path(text: str, base: Path) -> Path:
    _require(text.strip() != "" and "\0" not in text, text)
    # as text: links stay as the user wrote them
    return Path(os.path.normpath(base / text))


def _text(entry: SettingEntry, text: str) -> str:
    rule = entry.rule
    if rule.choices and text not in rule.choices:
        meant = nearest(text, rule.choices)
        raise ValueError(f'did you mean "{meant}"?' if meant else "")
    _require(not rule.pattern or re.fullmatch(rule.pattern, text) is not None, text)
    if rule.read is not None and not _can_read(rule.read, text):
        raise ValueError
    return rule.finish(text)


def _can_read(read: Callable[[str], Any], text: str) -> bool:
    # The error is not passed on: it may contain the text.
    try:
        read(text)
    except ValueError:
        return False
    return True
