"""Values of an export's JSON, and the refusal of what can't be one."""

from __future__ import annotations

from typing import Final, TypeGuard

from ipc.posts import clean

INT64_MAX: Final = 2**63 - 1


class Malformed(Exception):
    """A message that is not as Telegram Desktop writes it. Its text is the reason."""


def is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def positive(value: object) -> int | None:
    """A size or an id. Nothing depends on it and old exporters leave it out: a strange one is passed over."""
    return value if is_int(value) and 0 < value <= INT64_MAX else None


def words(value: object) -> str | None:
    """A text that is there and not empty, fit to be stored."""
    return clean(value) if isinstance(value, str) and value else None
