"""What was told and what waits, in a file: a health process that takes over neither repeats nor forgets a message. Only
one that was sent in the two seconds before a kill -9 may come twice.

A file of its own, not the journal: health only reads the journal, so that nothing which shows what happens can stand in
the way of what works; and messages must go out when the journal can't be written, which is one of the problems they
tell of.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from health.notify.decisions import Episode, Told
from health.notify.notices import Notice
from ipc import private_files

NAME = "notify.json"


@dataclass(frozen=True, slots=True)
class NotifyState:
    """`waiting` has the undelivered notices by position in notify.urls. No address is in it."""

    told: Told = field(default_factory=Told)
    waiting: Sequence[Sequence[Notice]] = ()


def to_text(state: NotifyState) -> str:
    """The state as JSON."""
    return json.dumps(
        {
            "seen": [[*key, since] for key, since in state.told.seen.items()],
            "episodes": {subject: asdict(episode) for subject, episode in state.told.episodes.items()},
            "waiting": [[asdict(notice) for notice in notices] for notices in state.waiting],
        },
        ensure_ascii=False,
    )


def from_text(text: str) -> NotifyState:
    """The state that the JSON holds. Raises ValueError for anything else."""
    try:
        document = json.loads(text)
        seen = {(str(subject), str(id)): float(since) for subject, id, since in document["seen"]}
        episodes = {str(subject): _episode(facts) for subject, facts in document["episodes"].items()}
        waiting = [[_notice(facts) for facts in notices] for notices in document["waiting"]]
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not as this program writes it: {error!r}") from error
    return NotifyState(Told(seen, episodes), waiting)


def _episode(facts: Any) -> Episode:
    gone_at = facts["gone_at"]
    return Episode(
        tuple(map(str, facts["ids"])),
        str(facts["what"]),
        float(facts["since"]),
        None if gone_at is None else float(gone_at),
    )


def _notice(facts: Any) -> Notice:
    kind, until = facts["kind"], facts["until"]
    if kind not in ("problem", "over", "test"):
        raise ValueError(f"no kind of notice: {kind!r}")
    return Notice(
        kind,
        str(facts["what"]),
        str(facts["remedy"]),
        float(facts["since"]),
        None if until is None else float(until),
    )


def read(state_dir: Path) -> NotifyState:
    """The state that the process before left; an empty one if there is none. Raises OSError and ValueError."""
    path = state_dir / NAME
    private_files.refuse_link(path)
    try:
        return from_text(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return NotifyState()


def write(state_dir: Path, text: str) -> None:
    """Replace the file, as a whole, its owner's alone. Raises OSError."""
    path, new = state_dir / NAME, state_dir / f"{NAME}.new"
    private_files.refuse_link(path)
    fd = private_files.open_file(new, os.O_WRONLY | os.O_TRUNC)
    with os.fdopen(fd, "wb") as file:
        file.write(text.encode(errors="replace"))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
