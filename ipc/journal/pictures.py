"""Which messages have a picture, told by the digest of its original (sha256, 64 hex digits)."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ipc.jobs import Job
from ipc.journal import Journal


def known(journal: Journal, sha256s: Iterable[str]) -> set[str]:
    """The digests among these that some message's picture has, deleted messages and blocked dead letters aside."""
    return {row["sha256"] for row in journal.run("known_pictures", sha256s=json.dumps(list(sha256s)))}


def ever_known(journal: Journal, sha256s: Iterable[str]) -> set[str]:
    """The digests among these that some message has, or had when it was deleted."""
    return {row["sha256"] for row in journal.run("pictures_ever", sha256s=json.dumps(list(sha256s)))}


def posted_again(journal: Journal, sha256s: Iterable[str]) -> set[str]:
    """The digests among these that more than one message's picture has, deleted messages included."""
    return {row["sha256"] for row in journal.run("posted_again", sha256s=json.dumps(list(sha256s)))}


def under_way(journal: Journal, sha256s: Iterable[str]) -> set[str]:
    """The digests among these whose picture or row some message still waits for, dead ones included."""
    return {row["sha256"] for row in journal.run("pictures_under_way", sha256s=json.dumps(list(sha256s)))}


def published(journal: Journal, limit: int) -> list[str]:
    """The digests of some published pictures, those of the newest messages."""
    return [row["sha256"] for row in journal.run("published_pictures", limit=limit)]


def newest_published(journal: Journal, limit: int) -> list[tuple[Job, str | None]]:
    """The published pictures that were taken in last, and what their keys begin with (None: not recorded)."""
    rows = [dict(row) for row in journal.run("newest_published", limit=limit)]
    return [(Job.from_row({key: row[key] for key in row if key != "prefix"}), row["prefix"]) for row in rows]


def jobs_with(journal: Journal, sha256s: Iterable[str]) -> list[Job]:
    """The jobs whose picture is rendered and has one of these digests, deleted messages aside."""
    return [Job.from_row(row) for row in journal.run("jobs_with", sha256s=json.dumps(list(sha256s)))]


def jobs_of(journal: Journal, sha256: str) -> list[Job]:
    """All jobs that have the picture, however far they are, deleted messages aside."""
    return [Job.from_row(row) for row in journal.run("jobs_of_picture", sha256=sha256)]


# Pictures that the operator keeps out


def all_blocked(journal: Journal) -> list[tuple[str, int]]:
    """The digests of blocked pictures, each with the Unix second since when."""
    return [(row["sha256"], row["at"]) for row in journal.run("all_blocked")]


def blocked_for(journal: Journal, job_ids: Iterable[int]) -> list[str]:
    """The digests of the pictures for which some of these jobs were hidden."""
    return sorted({row["sha256"] for row in journal.run("blocked_posts", jobs=json.dumps(list(job_ids)))})


def block(journal: Journal, sha256: str, now: float) -> None:
    """Keep it out from now on. In the caller's transaction."""
    journal.run("add_blocked", sha256=sha256, now=int(now))


def unblock(journal: Journal, sha256: str) -> tuple[bool, list[int], list[int]]:
    """Whether it was kept out; the ids of the jobs that were hidden for it, and of those that are dead for it.

    In the caller's transaction.
    """
    was_blocked = journal.run("drop_blocked", sha256=sha256).rowcount == 1
    hidden = [row["job"] for row in journal.run("drop_blocked_posts", sha256=sha256).fetchall()]
    dead = [row["id"] for row in journal.run("blocked_dead", sha256=sha256)]
    return was_blocked, hidden, dead


# Originals that are published as they came


def count_as_is(journal: Journal) -> int:
    """The number of originals that are published as they came."""
    return int(journal.run("count_as_is").fetchone()[0])


def as_is(journal: Journal, after: str, limit: int) -> list[str]:
    """The digests of some of them, in order, beyond that digest."""
    return [row["sha256"] for row in journal.run("pictures_as_is", after=after, limit=limit)]


def jobs_as_is(journal: Journal, sha256: str) -> list[Job]:
    """The jobs whose picture that is, deleted messages included."""
    return [Job.from_row(row) for row in journal.run("jobs_as_is", sha256=sha256)]


def replace_original(journal: Journal, sha256: str, original: str) -> None:
    """The original is published in that way now (see `ipc.files.object_layout.Published`)."""
    with journal.transaction():
        journal.run("replace_original", sha256=sha256, original=original)
