"""How far the pictures of one export are: counted by themselves, whatever else the journal holds."""

from __future__ import annotations

from collections import Counter

from ipc.journal import Journal, lookup
from ipc.posts import Page

AT_ONCE = 1000
"""Pictures asked for in one query, for the sake of memory: a reader keeps no writer waiting."""


class Progress:
    """The number of taken pictures that are published or dead, and of those that wait.

    `since` is the Unix second that this import began at: what was published before is "already there", also for a
    process that has taken over from one that was killed. A picture that is done is not looked at again.
    """

    def __init__(self, journal: Journal, since: int) -> None:
        self._journal = journal
        self._since = since
        self._open: set[int] = set()
        self._channel_id = 0
        self._done: Counter[str] = Counter()
        self._put_off = 0

    def add(self, page: Page) -> None:
        self._channel_id = page.channel.id
        self._open.update(post.message_id for post in page.posts)

    @property
    def is_done(self) -> bool:
        """Whether all that were taken were published or dead when it was last looked."""
        return not self._open

    def look(self) -> None:
        """Look at those that were not done yet."""
        ids, self._put_off = sorted(self._open), 0
        for start in range(0, len(ids), AT_ONCE):
            fates = lookup.fates(self._journal, self._channel_id, ids[start : start + AT_ONCE])
            self._open -= {*ids[start : start + AT_ONCE]} - {fate.message_id for fate in fates}  # left by a rule
            for fate in fates:
                self._put_off += fate.is_put_off
                if fate.state in ("published", "dead"):
                    is_old = fate.state == "published" and (fate.published_at or 0) < self._since
                    self._done["already_there" if is_old else fate.state] += 1
                    self._open.discard(fate.message_id)

    def counts(self) -> dict[str, int]:
        return {
            "published": self._done["published"],
            "already_there": self._done["already_there"],
            "dead": self._done["dead"],
            "waiting": len(self._open),
            "waiting_for_retry": self._put_off,
        }
