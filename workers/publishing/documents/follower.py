"""Follows the changes of the journal, and has the documents follow them: debounced, at least once.

At its start, everything is made anew: so settings that have changed, a document that somebody has deleted and whatever
a killed process has left undone come right. From then on a change touches only what shows it. The position in the
changes moves when all is written: killed before that, the next process does it again, which changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Protocol

from ipc import failpoints
from ipc.journal import Journal
from ipc.journal.outputs import changes
from workers.publishing.documents.debounce import Debounce
from workers.publishing.documents.progress import Progress

QUIET_SECONDS = 2.0
"""An album's pictures come within a second of each other, and an editor corrects a post right after it."""

LONGEST_SECONDS = 10.0
"""How late a document may be while posts come all the time. R2 takes one write of a key in a second."""

AT_ONCE = 1000
"""Changes that are read in one go."""

MOST_POSTS = 5000
"""Posts that are collected before they are acted on at once, to bound the memory of a backlog."""

PostKey = tuple[int, int]
"""Channel id and message id."""


class Documents(Protocol):
    """What is made of the rows. Every call can be repeated. Raises ServiceFault, JobFault and OSError."""

    def build_all(self) -> int:
        """Make all documents. Returns the number of those that changed."""

    def build(self, posts: Collection[PostKey]) -> int:
        """Make the documents that show these posts, or have shown them. Returns the number of those that changed."""

    def remove_all(self) -> int:
        """Delete all documents. Returns their number."""

    def close(self) -> None:
        """Let go of the services. The next call opens them anew."""


class Follower:
    """A `Work` of a WorkThread. `name` is that of the consumer, and of the failpoints.

    `enabled`: else the documents of an earlier configuration are deleted, which nobody would keep true any more.
    """

    def __init__(
        self,
        name: str,
        journal: Journal,
        documents: Documents,
        progress: Progress,
        *,
        enabled: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._journal = journal
        self._documents = documents
        self._progress = progress
        self._enabled = enabled
        self._clock = clock
        self._debounce = Debounce(QUIET_SECONDS, LONGEST_SECONDS)
        self._posts: set[PostKey] = set()
        self._position: int | None = None
        """Changes up to this one are done or in `_posts`. None: everything is still to be made."""

    def step(self) -> int:
        """Do what is due. Returns the number of documents that changed. Raises ServiceFault, JobFault and OSError."""
        try:
            done = self._go_on() if self._enabled else self._turn_off()
        except Exception as error:
            self._progress.failed(error)
            raise
        self._progress.went_on(len(self._posts))
        return done

    @property
    def is_waiting(self) -> bool:
        """Whether there are changes that time alone makes due."""
        return self._debounce.is_waiting

    def close(self) -> None:
        self._documents.close()

    def _go_on(self) -> int:
        if self._position is None:
            return self._begin()
        self._collect(self._position)
        if not self._debounce.is_due(self._clock()) and len(self._posts) < MOST_POSTS:
            return 0
        failpoints.reach(f"{self._name}.before")
        done = self._documents.build(self._posts)
        self._note_done(done)
        return done

    def _begin(self) -> int:
        """Make everything. All changes until now are in the catalogue, so they are done with it."""
        consumer = changes.register(self._journal, self._name)
        newest = changes.newest(self._journal)
        position = max(consumer.position, newest[0] if newest else 0)
        failpoints.reach(f"{self._name}.before")
        done = self._documents.build_all()
        self._position = position
        self._note_done(done)
        if not consumer.is_built:
            changes.note_built(self._journal, self._name)
        return done

    def _collect(self, position: int) -> None:
        while len(self._posts) < MOST_POSTS and (page := changes.after(self._journal, position, AT_ONCE)):
            self._posts.update((change.channel_id, change.message_id) for change in page)
            self._position = position = page[-1].id
            self._debounce.note(self._clock())

    def _note_done(self, done: int) -> None:
        assert self._position is not None
        failpoints.reach(f"{self._name}.written")
        changes.advance(self._journal, self._name, self._position)
        failpoints.reach(f"{self._name}.after")
        self._posts.clear()
        self._debounce.reset()
        self._progress.wrote(done)

    def _turn_off(self) -> int:
        """Delete what an earlier configuration has made, once."""
        if self._name not in changes.names(self._journal):
            self.close()
            return 0
        removed = self._documents.remove_all()
        failpoints.reach(f"{self._name}.removed")
        changes.unregister(self._journal, self._name)
        self._progress.removed(removed)
        return removed
