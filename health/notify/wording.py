"""The words of a message: plain text, short, for a phone. It has no captions: a notice holds what /status says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from health.notify.notices import Notice
from ipc.text.durations import duration
from ipc.text.printable import printable

SHOWN = 10
"""Notices that a summary spells out. What follows them is in /status."""

LENGTH = 600
"""Characters of a text in a message. Telegram takes 4096 in all; Apprise divides what is longer."""

TITLE_LENGTH = 150


def title(notices: Sequence[Notice], name: str) -> str:
    """One line: which instance, and what or how much. `name` is the instance's."""
    if len(notices) == 1:
        (one,) = notices
        return _cut(f"{name}: {'over: ' if one.kind == 'over' else ''}{one.what}", TITLE_LENGTH)
    problems = sum(one.kind == "problem" for one in notices)
    over = sum(one.kind == "over" for one in notices)
    counts = [f"{problems} problem{'s' if problems > 1 else ''}" if problems else "", f"{over} over" if over else ""]
    return _cut(f"{name}: {', '.join(filter(None, counts))}", TITLE_LENGTH)


def body(notices: Sequence[Notice], name: str) -> str:
    """A paragraph for each notice, in the order in which they came about."""
    paragraphs = [_paragraph(one) for one in notices[:SHOWN]]
    if more := len(notices) - SHOWN:
        paragraphs += [f"And {more} more: see /status on {printable(name)}."] if more > 0 else []
    return "\n\n".join(paragraphs)


def _paragraph(notice: Notice) -> str:
    what = _cut(notice.what, LENGTH)
    match notice.kind:
        case "problem":
            return f"Problem: {what}\nSince: {_time(notice.since)}\nWhat to do: {_cut(notice.remedy, LENGTH)}"
        case "over":
            until = notice.since if notice.until is None else notice.until
            lasted = duration(max(0.0, until - notice.since))
            return f"Over: {what}\nFrom {_time(notice.since)} to {_time(until)}, {lasted}"
        case _:
            return what


def _time(seconds: float) -> str:
    """To the second, in UTC, as /status and the log have it."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _cut(text: str, length: int) -> str:
    line = printable(text)
    return line if len(line) <= length else f"{line[: length - 1]}…"
