"""What `import` prints: its progress, and a summary of the export's own pictures."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from supervisor.cli import terminal

LINE_SECONDS = 5.0
"""Interval of the progress lines where there is no terminal."""


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """How the import ended; `text` is for people."""

    done: bool
    text: str


def is_over(source: dict[str, Any]) -> bool:
    """Whether all pictures of the export are published or dead; `source` is what its reader reports."""
    return bool(source.get("exhausted")) and source["waiting"] == 0


def finished(source: dict[str, Any]) -> int:
    """How many pictures of the export are published or dead."""
    return sum(source.get(key, 0) for key in ("published", "already_there", "dead"))


def how_far(source: dict[str, Any]) -> str:
    """The progress of an import that was ended before it was done."""
    if not source.get("photos"):
        return "it had not come to the pictures yet. The same command goes on with the rest."
    return f"{finished(source)} of {source.get('photos', 0)} pictures are done. The same command goes on with the rest."


def summary(source: dict[str, Any]) -> str:
    """How many pictures of the export were published, were there already, or are dead."""
    published, dead = source["published"], source["dead"]
    already = min(source["already_there"], source["already_published"])  # the former counts edited ones too
    changed = f", {source['edited']} edited" if source["edited"] else ""
    hint = " (bin/run dead lists them)" if dead else ""
    nothing = " Nothing has changed." if not (published or source["new"] or source["edited"]) else ""
    return (
        f"{source['photos']} pictures: {published} published, {already} already there{changed},"
        f" {dead} dead{hint}.{nothing}"
    )


class ImportBar:
    """A bar on a terminal; elsewhere a plain line at once, then every LINE_SECONDS."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._said = -math.inf

    def __enter__(self) -> ImportBar:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, source: dict[str, Any]) -> None:
        """Draw the number of the export's pictures that are published or dead, and of all of them."""
        total = source.get("photos", 0)
        if not total:
            return
        done, dead, waiting = finished(source), source["dead"], source["waiting_for_retry"]
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(total=total, unit="picture", dynamic_ncols=True)
            self._bar.set_postfix(dead=dead, retry=waiting, refresh=False)
            self._bar.update(done - self._bar.n)
        elif time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            text = f"{done} of {total} pictures, {dead} dead, {waiting} wait for another try"
            terminal.say(text, out=sys.stderr)
