"""What a check of `bin/run check` finds, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipc.process.checklist import Checklist


def faults(check: Callable[..., object], *options: Any) -> list[str]:
    """What is not ok, a warning with the word before it."""
    checklist = Checklist()
    check(*options, checklist)
    prefix = {"warning": "warning: ", "failed": ""}
    return [prefix[one.verdict] + one.what for one in checklist.results if one.verdict != "ok"]


def good(check: Callable[..., object], *options: Any) -> list[str]:
    """What is ok."""
    checklist = Checklist()
    check(*options, checklist)
    return [one.what for one in checklist.results if one.verdict == "ok"]
