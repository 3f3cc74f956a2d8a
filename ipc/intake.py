"""The one door: every message, of any source, enters the journal here, and its deletion too.

A page's messages and its channel's cursor are recorded in one transaction. A message that is already there changes
nothing unless it was edited; an edit gets a higher revision, another picture a new generation. So a source may hand in
the same page any number of times, and a page that was lost with the journal's tail comes again by itself.

What is known of a channel is one range of messages, from its `floor` to its `cursor`. A page moves them only if it
joins the range: one that lies apart (an old export of some weeks) would leave a gap that is never looked into.

Nothing here asks a source for anything. How an arrow changes a job is in `ipc.journal.transitions`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import msgpack

from ipc import failpoints
from ipc.editing import NO_EDITING, Editing, apply_visibility, left_by_rules, may_change_visibility
from ipc.identities import Identity, has_other_picture
from ipc.jobs import Job
from ipc.journal import Journal, lookup, transitions
from ipc.journal.outputs import takedowns
from ipc.posts import MORE, Channel, Page, Photo, Post
from ipc.rules import LEFT


@dataclass(frozen=True, slots=True)
class Taken:
    """Counts of a page's posts, by what they changed.

    `new` were never seen before, `edited` show something else now; of those that changed nothing, `published` and
    `dead` are done with and `pending` are still on their way.
    """

    new: int = 0
    edited: int = 0
    published: int = 0
    dead: int = 0
    pending: int = 0

    def __add__(self, other: Taken) -> Taken:
        return Taken(
            self.new + other.new,
            self.edited + other.edited,
            self.published + other.published,
            self.dead + other.dead,
            self.pending + other.pending,
        )


def take(journal: Journal, page: Page, now: float, editing: Editing = NO_EDITING) -> Taken:
    """Record a page: its posts become jobs, its channel's range grows. `now` in Unix seconds.

    Posts that a rule leaves are counted among what is ignored; captions that say so hide theirs.
    """
    failpoints.reach("seen.before")
    with journal.transaction():
        page = _without(page, left_by_rules(journal, page, editing))
        _extend_range(journal, page)
        outcomes = _take_posts(journal, page, now, editing)
    failpoints.reach("seen.after")
    return Taken(**outcomes)


def take_handed_over(
    journal: Journal, channel: Channel, post: Post, priority: int, now: float, also: Callable[[Job], None]
) -> bool:
    """Record a post that an origin has handed over, and with it what `also` records of its job, in one transaction.

    False: the journal has a job of that message, and nothing is changed. Nor is the range of a channel that it knows:
    which messages are known there is another source's affair.
    """
    failpoints.reach("seen.before")
    with journal.transaction():
        if lookup.known(journal, post.channel_id, post.message_id) is not None:
            return False
        known = lookup.channel_range(journal, channel.id)
        low, high, _ = known or (post.message_id, post.message_id, 0)
        page = Page(channel, (post,), low, high, {}, priority=priority)
        _extend_range(journal, page)
        _take_post(journal, page, post, None, now)
        job = lookup.known(journal, post.channel_id, post.message_id)
        assert job is not None, "it was just recorded"
        also(job)
    failpoints.reach("seen.after")
    return True


def _without(page: Page, left: Set[int]) -> Page:
    if not left:
        return page
    posts = tuple(post for post in page.posts if post.message_id not in left)
    return replace(page, posts=posts, ignored={**page.ignored, LEFT: page.ignored.get(LEFT, 0) + len(left)})


def _take_posts(journal: Journal, page: Page, now: float, editing: Editing) -> Counter[str]:
    """Record all posts, then what their captions hide: an album is hidden as a whole."""
    outcomes: Counter[str] = Counter()
    groups: dict[tuple[bool, int], tuple[int, bool]] = {}
    for post in page.posts:
        known = lookup.known(journal, post.channel_id, post.message_id)
        outcome = _take_post(journal, page, post, known, now)
        outcomes[outcome] += 1
        is_edited = outcome == "edited"
        if may_change_visibility(editing, post, known, is_edited=is_edited):
            group = (post.grouped_id is not None, post.grouped_id or post.message_id)
            _, was_edited = groups.get(group, (0, False))
            groups[group] = (post.message_id, is_edited or was_edited)
    for message_id, is_edited in groups.values():
        job = lookup.known(journal, page.channel.id, message_id)
        assert job is not None, "it was just recorded"
        apply_visibility(journal, job, editing, now, is_edited=is_edited)
    return outcomes


def withdraw(
    journal: Journal, channel_id: int, message_ids: Iterable[int], now: float, *, is_told: bool = False
) -> list[int]:
    """Record that messages are gone, or have no photo any more; the ids of those that had a job.

    What was under way stops, and the row becomes a tombstone. The source has made sure of it: there is no way back but
    to see the message again. `is_told`: it has said so, of each of these; else it is inferred from its silence, and the
    pictures stay where they are.
    """
    gone = []
    with journal.transaction():
        for message_id in message_ids:
            known = lookup.known(journal, channel_id, message_id)
            if known is None:
                continue
            if known.deleted_at is None:
                revision = max(known.revision + 1, 1000 * int(now))
                transitions.withdraw(journal, known, revision, now, is_told=is_told)
                gone.append(message_id)
            elif is_told:
                takedowns.mark(journal, known, now)
    return gone


def _extend_range(journal: Journal, page: Page) -> None:
    known = journal.run("channel_range", id=page.channel.id).fetchone()
    if known is None:
        journal.run(
            "add_channel",
            id=page.channel.id,
            title=page.channel.title,
            name=page.channel.name,
            floor=page.low,
            cursor=page.high,
            ignored=msgpack.packb(page.ignored),
        )
        return
    floor, cursor = extended(known["floor"], known["cursor"], page.low, page.high)
    ignored: Counter[str] = Counter(msgpack.unpackb(known["ignored"]))
    if (floor, cursor) != (known["floor"], known["cursor"]):
        ignored.update(page.ignored)
    journal.run(
        "move_channel",
        id=page.channel.id,
        title=page.channel.title,
        name=page.channel.name,
        floor=floor,
        cursor=cursor,
        backfilled=(len(page.posts) + sum(page.ignored.values()) - page.ignored.get(MORE, 0))
        if floor < known["floor"]
        else 0,
        ignored=msgpack.packb(dict(ignored)),
    )


def extended(floor: int, cursor: int, low: int, high: int) -> tuple[int, int]:
    """The known range after a page from `low` to `high`: their union if they overlap or touch, else as it was.

    >>> extended(5, 9, 8, 12), extended(5, 9, 1, 4), extended(5, 9, 11, 12), extended(5, 9, 6, 7)
    ((5, 12), (1, 9), (5, 9), (5, 9))
    """
    if low > cursor + 1 or high < floor - 1:
        return floor, cursor
    return min(floor, low), max(cursor, high)


def _take_post(journal: Journal, page: Page, post: Post, known: Job | None, now: float) -> str:
    """Record one post whose job is `known`; which of Taken's counts it belongs to."""
    message, picture = _message_columns(post, known), _picture_columns(post.photo)
    if known is None:
        transitions.see(journal, post.channel_id, post.message_id, page.priority, message, picture, now)
        return "new"
    if not page.is_present and is_behind(post, known):
        return _unchanged(known)
    if known.deleted_at is not None or has_other_picture(known, post.photo):
        transitions.change_picture(journal, known, message, picture)
        return "edited"
    return _update(journal, known, message, picture)


def _message_columns(post: Post, known: Job | None) -> dict[str, Any]:
    """The columns of a job that say what its message is."""
    return {
        "revision": revision_of(post, known.revision if known else 0),
        "digest": digest_of(post),
        "grouped_id": post.grouped_id,
        "caption": post.caption,
        "entities": msgpack.packb(post.entities),
        "forwarded_from": msgpack.packb(post.forwarded_from) if post.forwarded_from else None,
        "reply_to": post.reply_to,
        "posted_at": post.posted_at,
        "edited_at": post.edited_at,
    }


def _picture_columns(photo: Photo) -> dict[str, Any]:
    """The columns of a job that say what its picture is, and where its bytes are."""
    return {
        "kind": photo.kind,
        "photo_id": photo.photo_id,
        "identity": photo.identity,
        "source": photo.source,
        "locator": msgpack.packb(photo.locator),
    }


def _update(journal: Journal, known: Job, message: dict[str, Any], picture: dict[str, Any]) -> str:
    """Record what is new of a message whose picture is the same; which of Taken's counts it belongs to."""
    is_moved = not Identity.read(picture["identity"]).is_missing and picture["locator"] != msgpack.packb(known.locator)
    if is_moved:
        transitions.relocate(journal, known, picture)
    is_edited = known.digest != message["digest"]
    if is_edited:
        transitions.edit(journal, known, message)
    may_succeed_now = is_edited or (is_moved and known.dead_state == "seen")
    is_revived = may_succeed_now and transitions.revive_changed(journal, known)
    return "edited" if is_edited else "pending" if is_revived else _unchanged(known)


def _unchanged(known: Job) -> str:
    return {"published": "published", "dead": "dead"}.get(known.state, "pending")


def is_behind(post: Post, known: Job) -> bool:
    """Whether a copy from the past shows nothing newer than what is recorded, or a message that is deleted by now."""
    return known.deleted_at is not None or is_stale(post, known) or is_poorer(post, known)


def is_stale(post: Post, known: Job) -> bool:
    """Whether the post is an older state of the message than the recorded one: an export from before an edit."""
    return max(post.edited_at or 0, post.posted_at) < max(known.edited_at or 0, known.posted_at)


def is_poorer(post: Post, known: Job) -> bool:
    """Whether the post is an export's view of a message that was seen live and has not been edited since.

    An export knows less (no album ids, no file to ask Telegram for): what it overwrote, live would write again.
    """
    newer = max(post.edited_at or 0, post.posted_at) > max(known.edited_at or 0, known.posted_at)
    return not newer and known.source == "telegram" != post.photo.source


def digest_of(post: Post) -> bytes:
    """16 bytes that change exactly when the message does, its picture aside.

    The edit date is left out: Telegram moves it for reactions and views too. So is what version 1 of the journal did
    not know, where a message has none of it: it would count as edited, and its row be written again, for nothing.
    """
    shown: list[object] = [post.grouped_id, post.caption, post.posted_at]
    newer: list[object] = [post.entities, post.forwarded_from, post.reply_to]
    if any(newer):
        shown += newer
    return blake2b(msgpack.packb(shown), digest_size=16).digest()


def revision_of(post: Post, previous: int) -> int:
    """The post's revision: higher than the previous one, and in step with the clock that dated the post.

    In milliseconds of that clock, so that a journal that was lost and made anew still outbids the rows of the old one
    after a real edit. One that an origin has given is taken as it is: its journal alone says which row wins.
    """
    if post.revision is not None:
        return post.revision
    return max(previous + 1, 1000 * (post.edited_at or post.posted_at))
