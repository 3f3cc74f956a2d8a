"""Failpoints: named places where a test makes the process that reaches them kill -9 itself.

`PICTUREDESK_FAILPOINT=name[:n]` kills the process that reaches `name` for the n-th time (the first, if n is left out).
Several can be given, with commas between: each kills the process that reaches it.
The supervisor hands the variable on to a child's first incarnation only: the one that replaces the killed child runs
through. Unset, a failpoint is a call of a function that does nothing.

`NAMES` is the whole list; every arrow of the flow has one before it and one after it.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

VARIABLE = "PICTUREDESK_FAILPOINT"

NAMES: dict[str, str] = {
    "seen.before": "connection: a page of messages is read, nothing is recorded",
    "seen.after": "connection: messages and cursor are recorded",
    "queue.taken": "connection of a node: pictures are under lease, nothing is recorded",
    "queue.forgotten": "connection of a node: what is given back is forgotten, the database does not know",
    "queue.settled": "connection of a node: the database has its answer, the journal does not know",
    "fetched.written": "connection: the original is complete under its temporary name",
    "fetched.before": "connection: the original has its name in the spool, nothing is recorded",
    "fetched.after": "connection: the original is recorded",
    "rendered.claimed": "pool: the job is claimed, no image worker has it",
    "rendered.lent": "pool: the original is in the worker's workplace, the worker has no job",
    "rendered.started": "image worker: it has the job, nothing is decoded",
    "rendered.written": "image worker: all renditions are in its workplace, the pool does not know",
    "rendered.moved": "pool: the first of them is in the job's folder",
    "rendered.before": "pool: it knows that the renditions are there, nothing is recorded",
    "rendered.after": "pool: the renditions are recorded",
    "published.before": "uploader: it has the job, nothing is stored",
    "published.put": "uploader: the first object is stored",
    "published.stored": "uploader: all objects are stored, nothing is recorded",
    "published.recorded": "uploader: it is recorded that all is stored, the spool files are still there",
    "published.deleted": "uploader: the spool files are deleted, there is no row yet",
    "published.row": "uploader: the row is written, the journal does not know",
    "published.after": "uploader: published is recorded",
    "renewed.before": "uploader: the original of a published picture is in the spool once more, nothing is recorded",
    "renewed.begun": "uploader: it is recorded that the picture is rendered anew",
    "renewed.moved": "uploader: its row names the new objects, the old ones are there",
    "renewed.deleted": "uploader: the old objects are deleted, the journal does not know",
    "renewed.after": "uploader: it is recorded that they are",
    "takedown.due": "uploader: a deleted or hidden post's objects may go, nothing is recorded",
    "takedown.begun": "uploader: it is recorded that they go, and a hidden post's job has forgotten its picture",
    "takedown.noted": "uploader: the addresses to purge are recorded, the objects are there",
    "takedown.deleted": "uploader: the objects are deleted, the journal does not know",
    "takedown.after": "uploader: it is recorded that they are",
    "takedown.purged": "uploader: the CDN has forgotten its copies, the journal does not know",
    "hidden.before": "command: posts are to be hidden, shown or blocked, nothing is recorded",
    "hidden.after": "command: it is recorded that they are",
    "webhook.before": "uploader: changes that a webhook is to be told of are read, nothing is recorded or sent",
    "webhook.taken": "uploader: they are recorded as its deliveries",
    "webhook.sent": "uploader: the receiver has accepted a message or a rebuild, the journal does not know",
    "webhook.after": "uploader: it is recorded that it has",
    "webhook.failed": "uploader: a delivery has failed, that it loses an attempt is not recorded",
    "feeds.before": "uploader: something has changed, no feed is written",
    "feeds.put": "uploader: the first document of a feed is written, the other one is not",
    "feeds.written": "uploader: all feeds are written, the journal does not know",
    "feeds.after": "uploader: it is recorded that they are",
    "feeds.removed": "uploader: feeds that are turned off are deleted, the journal does not know",
    "site.begun": "uploader: the gallery looks otherwise now, or is new, nothing is recorded",
    "site.before": "uploader: changes are read for the gallery, nothing is recorded",
    "site.noted": "uploader: what they touch is recorded, the gallery's place in the changes is not",
    "site.divided": "uploader: of a part that nobody has read the newest posts have a page of their own",
    "site.read": "uploader: the posts of a page are read, nothing is recorded",
    "site.planned": "uploader: it is recorded which posts are on the page, nothing is written",
    "site.put": "uploader: one document of the gallery is written, the journal does not know",
    "site.deleted": "uploader: one document of the gallery is deleted, the journal does not know",
    "site.written": "uploader: all documents of a task are written, the journal does not know",
    "site.after": "uploader: it is recorded that they are",
    "site.removed": "uploader: a gallery that is turned off is deleted, it is still recorded that there is one",
    "machines.before": "uploader: pictures are to be handed over, nothing is recorded",
    "machines.claimed": "uploader: it is recorded that they are, no original is in the bucket",
    "machines.put": "uploader: their originals are in the bucket, the journal does not know",
    "machines.noted": "uploader: it is recorded that they are, the queue has none of the pictures",
    "machines.sent": "uploader: the queue has them, the journal does not know",
    "machines.after": "uploader: it is recorded that it has",
    "machines.answered": "uploader: results of nodes are read, nothing is recorded",
    "machines.recorded": "uploader: they are recorded, the database still has them",
    "machines.confirmed": "uploader: the database has none of them any more",
    "machines.compared": "uploader: it is known what the queue has lost, nothing is recorded",
    "machines.taken_back": "uploader: pictures are taken out of the queue, the journal does not know",
    "machines.brought_back": "uploader: it is recorded that our own workers have them",
    "machines.voided": "uploader: the queue has nothing of claims that have ended, their originals are in the bucket",
    "machines.deleted": "uploader: these are deleted, the journal does not know",
    "machines.cleared": "uploader: it is recorded that they are",
    "dead.before": "any stage: the job is beyond help, nothing is recorded",
    "dead.after": "any stage: the dead letter is recorded",
}


class FailpointError(Exception):
    """PICTUREDESK_FAILPOINT names no failpoint."""


def parse(text: str) -> dict[str, int]:
    """The n of each name in a value of PICTUREDESK_FAILPOINT.

    >>> parse("fetched.before:3,rendered.lent")
    {'fetched.before': 3, 'rendered.lent': 1}
    """
    wanted = {}
    for point in text.split(","):
        name, _, count = point.partition(":")
        if name not in NAMES or not re.fullmatch("[0-9]*", count) or int(count or "1") < 1:
            raise FailpointError(
                f"{VARIABLE}={text}: allowed is name[:n], or several with commas between, with n ≥ 1 and one of"
                f" {', '.join(NAMES)}"
            )
        wanted[name] = int(count or "1")
    return wanted


def _make_reach(text: str | None) -> Callable[[str], None]:
    if not text:
        return lambda name: None
    left = parse(text)

    def reach(name: str) -> None:
        if name in left:
            left[name] -= 1
            if left[name] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reach


reach: Callable[[str], None] = _make_reach(None)
"""Call it at a failpoint with its name."""


def arm(text: str | None) -> None:
    """Take PICTUREDESK_FAILPOINT's value. Called once, when a process starts."""
    global reach  # noqa: PLW0603 - the one switch of the module; callers write `failpoints.reach(name)`
    reach = _make_reach(text)
