"""The one door: every message, from whatever source, enters the journal here.

A page's messages and its channel's cursor are recorded in one transaction. A message that is already there changes
nothing unless it was edited; an edit gets a higher revision, another picture a new generation. So a source may hand in
the same page as often as it likes, and a page that was lost with the journal's tail comes again by itself.

Nothing here knows where a message comes from.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b

import msgpack

from ipc import failpoints
from ipc.jobs import Job
from ipc.journal import Journal
from ipc.posts import Page, Post


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a page's posts: counts.

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


def take(journal: Journal, page: Page, now: float) -> Taken:
    """Record a page: its posts become jobs, its channel's cursor moves. `now` in Unix seconds."""
    failpoints.reach("seen.before")
    with journal.transaction():
        _move_cursor(journal, page)
        outcomes = Counter(_take_post(journal, post, now) for post in page.posts)
    failpoints.reach("seen.after")
    return Taken(**outcomes)


def _move_cursor(journal: Journal, page: Page) -> None:
    known = journal.run("channel_cursor", id=page.channel.id).fetchone()
    ignored: Counter[str] = Counter(msgpack.unpackb(known["ignored"]) if known else {})
    if known is None or page.cursor > known["cursor"]:
        ignored.update(page.ignored)
    journal.run(
        "put_channel",
        id=page.channel.id,
        title=page.channel.title,
        cursor=page.cursor,
        ignored=msgpack.packb(dict(ignored)),
    )


def _take_post(journal: Journal, post: Post, now: float) -> str:
    """Record one post; which of Taken's counts it belongs to."""
    known = journal.known(post.channel_id, post.message_id)
    message = {
        "revision": revision_of(post, known.revision if known else 0),
        "digest": digest_of(post),
        "grouped_id": post.grouped_id,
        "caption": post.caption,
        "posted_at": post.posted_at,
        "edited_at": post.edited_at,
    }
    picture = {
        "photo_id": post.photo.photo_id,
        "identity": post.photo.identity,
        "locator": msgpack.packb(post.photo.locator),
    }
    if known is None:
        address = {"channel_id": post.channel_id, "message_id": post.message_id}
        journal.run("add_job", **message, **picture, **address, now=int(now))
        return "new"
    if is_stale(post, known):
        return _unchanged(known)
    if is_other_picture(known.identity, post.photo.identity):
        journal.run("change_picture", **message, **picture, id=known.id)
        return "edited"
    if not _is_missing(post.photo.identity) and picture["locator"] != msgpack.packb(known.locator):
        journal.run("relocate", **picture, id=known.id)
    if known.digest != message["digest"]:
        journal.run("edit_message", **message, id=known.id)
        return "edited"
    return _unchanged(known)


def _unchanged(known: Job) -> str:
    return {"published": "published", "dead": "dead"}.get(known.state, "pending")


def is_stale(post: Post, known: Job) -> bool:
    """Whether the post is an older state of the message than the recorded one: an export from before an edit."""
    return max(post.edited_at or 0, post.posted_at) < max(known.edited_at or 0, known.posted_at)


def digest_of(post: Post) -> bytes:
    """16 bytes that change exactly when the message does, its picture aside: by caption, album or date.

    The edit date is left out: Telegram moves it for reactions and views too.
    """
    return blake2b(msgpack.packb([post.grouped_id, post.caption, post.posted_at]), digest_size=16).digest()


def revision_of(post: Post, previous: int) -> int:
    """The post's revision: higher than the previous one, and in step with the clock that dated the post.

    In milliseconds of that clock, so that a journal that was lost and made anew still outbids the rows of the old one
    after a real edit.
    """
    return max(previous + 1, 1000 * (post.edited_at or post.posted_at))


def is_other_picture(old: str, new: str) -> bool:
    """Whether two identities are those of different pictures.

    An identity says by its kind ("file:…") what it compares; those of two kinds can't be compared (an export's picture,
    and the same one seen live). A message seldom changes its picture, so these count as the same. A picture that the
    source left out ("missing:…") is another one once it is there; one that is missing now is the one we have.

    >>> is_other_picture("file:a", "file:b"), is_other_picture("file:a", "id:1")
    (True, False)
    >>> is_other_picture("file:a", "missing:1"), is_other_picture("missing:1", "file:a")
    (False, True)
    """
    if _is_missing(old) or _is_missing(new):
        return not _is_missing(new)
    return old.partition(":")[0] == new.partition(":")[0] and old != new


def _is_missing(identity: str) -> bool:
    return identity.startswith("missing:")
