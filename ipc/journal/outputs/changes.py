"""What has changed for readers, and who follows it: the feeds, the site, each webhook.

A change is written in the transaction that records a row as published: none is lost, and their order is that of the
rows. A consumer does its work first and moves its position then, so it does the last part again after a crash. What a
picture looks like now it reads from the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ipc.jobs import ChangeKind, Job
from ipc.journal import Journal

"""published: readers see the picture, which they did not before; deleted: they see it no more, since its post is
deleted or hidden; changed: picture or post is another now."""


@dataclass(frozen=True, slots=True)
class Change:
    """`at` in Unix seconds."""

    id: int
    channel_id: int
    message_id: int
    what: ChangeKind
    at: int


@dataclass(frozen=True, slots=True)
class Consumer:
    """Who follows. `position`: the change up to which its work is done. `is_built`: and what there was before its first
    change is done too.
    """

    name: str
    position: int
    is_built: bool


def register(journal: Journal, name: str) -> Consumer:
    """Follow from now on, or go on where it was. What there is already, a new consumer has to look for itself."""
    with journal.transaction():
        journal.run("add_consumer", name=name)
        row = journal.run("consumer", name=name).fetchone()
    return Consumer(row["name"], row["position"], bool(row["built"]))


def unregister(journal: Journal, name: str) -> None:
    """Delete the consumer."""
    with journal.transaction():
        journal.run("drop_consumer", name=name)
        journal.run("forget_changes")


def names(journal: Journal) -> list[str]:
    """The names of all consumers."""
    return [row["name"] for row in journal.run("consumer_names")]


def note_built(journal: Journal, name: str) -> None:
    """Note that the consumer has done what there was before its first change."""
    with journal.transaction():
        journal.run("note_built", name=name)


def after(journal: Journal, position: int, most: int) -> list[Change]:
    """The next changes beyond that position, at most `most`, in their order."""
    rows = journal.run("changes_after", position=position, limit=most)
    return [Change(row["id"], row["channel_id"], row["message_id"], row["what"], row["at"]) for row in rows]


def newest(journal: Journal) -> tuple[int, int] | None:
    """Id and Unix second of the newest change that is kept."""
    row = journal.run("newest_change").fetchone()
    return (row["id"], row["at"]) if row else None


def advance(journal: Journal, name: str, position: int) -> None:
    """Move the consumer's position: its work is done up to there. Changes that all have passed are deleted."""
    with journal.transaction():
        journal.run("move_consumer", name=name, position=position)
        journal.run("forget_changes")


def note(journal: Journal, published: Iterable[Job], now: int) -> None:
    """Note a change for each of these jobs whose row is written. In the transaction that records it.

    `published` are the jobs as they were before.
    """
    for job in published:
        if job.shown or job.is_public:
            is_known = job.shown and job.published_at is not None
            what: ChangeKind = "deleted" if not job.is_public else "changed" if is_known else "published"
            address = {"channel_id": job.channel_id, "message_id": job.message_id}
            journal.run("note_change", **address, what=what, at=now)
