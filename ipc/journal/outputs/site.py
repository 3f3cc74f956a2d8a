"""The gallery: which posts are on which page, which documents there are, and what is to be made.

The gallery's thread alone writes here. What it has to do is recorded before it is done, in `site_tasks`, and each task
can be repeated: so a killed process leaves nothing undone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from ipc.journal import Journal

TaskKind = Literal["assets", "block", "channel", "index", "chunk", "sitemap", "tidy"]
DocumentKind = Literal["post", "page", "asset", "sitemap"]


class Rank(IntEnum):
    """Whose turn it is: what readers wait for comes before what is built, and a page after those that it links to."""

    BLOCK = 0
    CHANNEL = 1
    INDEX = 2
    CHUNK = 3
    SITEMAP = 4
    BUILT = 10
    """From this rank on: a whole gallery that is made, or made anew."""
    BUILT_CHANNEL = 11
    BUILT_INDEX = 12
    BUILT_CHUNK = 13
    BUILT_SITEMAP = 14
    TIDY = 20


@dataclass(frozen=True, slots=True)
class Task:
    """`number`: the first message of a block, or which chunk of the sitemap."""

    what: TaskKind
    rank: int
    channel_id: int = 0
    number: int = 0

    @property
    def is_live(self) -> bool:
        return self.rank < Rank.BUILT


@dataclass(frozen=True, slots=True)
class SiteBlock:
    """Posts of a channel, from the message `first_id` up to the next block. `newest` and `oldest` are paths of pages.

    `oldest_at` in ISO 8601. What is in one that is not `is_read` is not known yet.
    """

    channel_id: int
    first_id: int
    is_read: bool = False
    posts: int = 0
    newest: str = ""
    oldest: str = ""
    oldest_at: str = ""


@dataclass(frozen=True, slots=True)
class SiteChannel:
    """`posts` that readers see; `newest_at` in ISO 8601, empty if there is none."""

    channel_id: int
    title: str
    name: str | None
    posts: int
    newest_at: str


@dataclass(frozen=True, slots=True)
class SiteDocument:
    """A document that is there. `first_id` and `changed_at` (ISO 8601) are those of a post."""

    path: str
    kind: DocumentKind
    digest: bytes
    channel_id: int | None = None
    first_id: int | None = None
    changed_at: str | None = None


@dataclass(frozen=True, slots=True)
class PostPage:
    """The page of a post that is there: its lowest message, and when it was changed (ISO 8601)."""

    path: str
    first_id: int
    changed_at: str


# Of what version


def made(journal: Journal) -> tuple[str, str] | None:
    """The version and place of the existing gallery; None if there is none."""
    row = journal.run("site").fetchone()
    return (row["version"], row["place"]) if row else None


def begin(journal: Journal, version: str, place: str, channel_ids: Iterable[int], *, is_doubtful: bool) -> None:
    """Queue the tasks that make the whole gallery, or make it anew.

    `is_doubtful`: what was written before may not be there.
    """
    with journal.transaction():
        journal.run("set_site", version=version, place=place)
        if is_doubtful:
            journal.run("doubt_site_pages")
        for channel_id in channel_ids:
            _meet(journal, channel_id)
            add(journal, Task("channel", Rank.CHANNEL, channel_id))
        journal.run("add_site_block_tasks", channel_id=None, first_rank=Rank.BLOCK, rank=Rank.BUILT)
        add(journal, Task("assets", Rank.BLOCK), Task("index", Rank.INDEX))
        add(journal, Task("sitemap", Rank.BUILT_SITEMAP), Task("tidy", Rank.TIDY))


def renew_channel(journal: Journal, channel_id: int) -> None:
    """Queue the tasks that make all pages of the channel anew. In a transaction."""
    journal.run("add_site_block_tasks", channel_id=channel_id, first_rank=Rank.BLOCK, rank=Rank.BUILT)


def meet(journal: Journal, channel_id: int) -> None:
    """Add the channel to the gallery. In a transaction."""
    _meet(journal, channel_id)


def _meet(journal: Journal, channel_id: int) -> None:
    journal.run("add_site_channel", channel_id=channel_id)
    if block(journal, channel_id, 0) is None:
        journal.run("put_site_block", **_values(SiteBlock(channel_id, 0)))


def forget(journal: Journal) -> None:
    """Delete all that the journal has of the gallery."""
    with journal.transaction():
        journal.run("drop_site")
        journal.run("forget_site_blocks")
        journal.run("forget_site_channels")
        journal.run("forget_site_tasks")
        journal.run("forget_site_pages")


def counts(journal: Journal) -> tuple[int, int]:
    """Number of tasks that wait, and number of documents."""
    found = {row["name"]: row["value"] for row in journal.run("site_counts")}
    return found["tasks"], found["pages"]


# What is to be made


def add(journal: Journal, *tasks: Task) -> None:
    """Add these tasks. In a transaction."""
    for task in tasks:
        values = {"what": task.what, "channel_id": task.channel_id, "number": task.number, "rank": int(task.rank)}
        journal.run("add_site_task", **values)


def next_task(journal: Journal, *, is_live: bool) -> Task | None:
    """The task whose turn it is, of all tasks, or only of those that build the gallery."""
    row = journal.run("next_site_task", rank=0 if is_live else int(Rank.BUILT)).fetchone()
    return Task(row["what"], row["rank"], row["channel_id"], row["number"]) if row else None


def end(journal: Journal, task: Task) -> None:
    """Delete the task: it is done. In a transaction."""
    journal.run("end_site_task", what=task.what, channel_id=task.channel_id, number=task.number)


# Blocks


def block(journal: Journal, channel_id: int, message_id: int) -> SiteBlock | None:
    """The block that the message is in."""
    return _block(journal.run("site_block", channel_id=channel_id, message_id=message_id).fetchone())


def above(journal: Journal, one: SiteBlock) -> SiteBlock | None:
    return _block(journal.run("site_block_above", channel_id=one.channel_id, first_id=one.first_id).fetchone())


def below(journal: Journal, one: SiteBlock) -> SiteBlock | None:
    return _block(journal.run("site_block_below", channel_id=one.channel_id, first_id=one.first_id).fetchone())


def put_block(journal: Journal, one: SiteBlock, *, posts_before: int) -> None:
    """Record what is in the block. In a transaction."""
    journal.run("put_site_block", **_values(one))
    journal.run("count_site_posts", channel_id=one.channel_id, by=one.posts - posts_before)


def drop_block(journal: Journal, one: SiteBlock) -> None:
    """Delete the empty block. The block below it then reaches up to the next one. In a transaction."""
    journal.run("drop_site_block", channel_id=one.channel_id, first_id=one.first_id)
    journal.run("count_site_posts", channel_id=one.channel_id, by=-one.posts)


def _block(row: Any) -> SiteBlock | None:
    return SiteBlock(**{**dict(row), "is_read": bool(row["is_read"])}) if row else None


def _values(one: SiteBlock) -> dict[str, object]:
    return {
        "channel_id": one.channel_id,
        "first_id": one.first_id,
        "is_read": int(one.is_read),
        "posts": one.posts,
        "newest": one.newest,
        "oldest": one.oldest,
        "oldest_at": one.oldest_at,
    }


# Channels


def channel(journal: Journal, channel_id: int) -> SiteChannel:
    """The channel, which the gallery has already."""
    return SiteChannel(**dict(journal.run("site_channel", channel_id=channel_id).fetchone()))


def channels(journal: Journal, most: int) -> list[SiteChannel]:
    """The channels with posts, the one with the newest post first; at most `most`."""
    return [SiteChannel(**dict(row)) for row in journal.run("site_channels", limit=most)]


def name_channel(journal: Journal, channel_id: int, title: str, name: str | None, newest_at: str) -> None:
    """Record the channel's title and name, and the time of its newest post. In a transaction."""
    journal.run("name_site_channel", channel_id=channel_id, title=title, name=name, newest_at=newest_at)


# Documents


def digest(journal: Journal, path: str) -> bytes | None:
    """The digest of the document at that path, empty if in doubt; None if there is no document."""
    row = journal.run("site_page", path=path).fetchone()
    return bytes(row["digest"]) if row else None


def record(journal: Journal, pages: Iterable[SiteDocument], gone: Iterable[str] = ()) -> None:
    """Record that `pages` are written and the documents at `gone` are deleted. In a transaction."""
    for page in pages:
        journal.run(
            "put_site_page",
            path=page.path,
            kind=page.kind,
            digest=page.digest,
            channel_id=page.channel_id,
            first_id=page.first_id,
            changed_at=page.changed_at,
        )
    for path in gone:
        journal.run("drop_site_page", path=path)


def posts_between(journal: Journal, channel_id: int, low: int, high: int) -> list[PostPage]:
    """The pages of posts whose first message is between `low` and `high`, both included."""
    rows = journal.run("site_posts_between", channel_id=channel_id, low=low, high=high)
    return [PostPage(**dict(row)) for row in rows]


def paths(journal: Journal, kind: Literal["asset", "sitemap"]) -> list[str]:
    return [row["path"] for row in journal.run("site_pages_of_kind", kind=kind)]


def some_paths(journal: Journal, most: int) -> list[str]:
    """The paths of any documents, at most `most`."""
    return [row["path"] for row in journal.run("some_site_pages", limit=most)]
