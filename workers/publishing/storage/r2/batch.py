"""The objects of several pictures are put, with as few questions and as few uploads in vain as can be.

The first object of each picture goes ahead of all others, on the condition that it is not there. So of a picture that
turns out to be there, no more than that is sent in vain, and a new one costs no question. If the first one was there,
the others are asked for before they are sent.

Each object is asked for before it is sent:
- of a picture that is expected to be there, if its last object is: that costs no upload;
- if a call before this one has begun it and not come to its end;
- of the first call, since a process before this one may have come to no end;
- of the call after one that has found what was not expected there: of a bucket that is full already (the journal was
  lost), no more than one object in all is sent in vain.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from workers.publishing import threads
from workers.publishing.storage.protocol import NewObject, Put
from workers.publishing.storage.r2 import objects
from workers.publishing.storage.r2.bucket import Bucket
from workers.publishing.storage.r2.upload import Uploads

T = TypeVar("T")


class _Scout:
    """The first object of a picture on its way: once `is_back` is set, `found` says whether it was there already.

    None: unknown, since its put failed.
    """

    def __init__(self) -> None:
        self.is_back = threading.Event()
        self.found: bool | None = None


class Batches:
    """Puts the objects of pictures, `concurrency` at once, and remembers what earlier calls left open."""

    def __init__(self, bucket: Bucket, uploads: Uploads, concurrency: int) -> None:
        self._bucket = bucket
        self._uploads = uploads
        self._concurrency = concurrency
        self._in_doubt = True
        """Whether the next call asks for each object first."""
        self._unfinished: set[str] = set()
        """Keys of calls that have not come to their end."""

    def put_all(
        self, items: Iterable[NewObject], *, stop: Callable[[], bool], stored: Callable[[Put], None], tries: int
    ) -> int:
        """Like `Storage.put_all`."""
        items = list({item.key: item for item in items}.values())  # R2 takes one write of a key in a second
        ask_first = self._to_ask_for(items, stop)
        surprising = {item.key for item in items if not item.is_expected} - self._unfinished
        new, surprises = 0, 0

        def done(put: Put | None) -> None:
            nonlocal new, surprises
            if put is not None:
                new += put.is_new
                surprises += not put.is_new and put.key in surprising
                stored(put)

        keys = {item.key for item in items}
        self._unfinished |= keys
        self._run(self._calls(items, ask_first, tries), stop, done)
        self._unfinished -= keys
        self._in_doubt = surprises > 0
        return new

    def _to_ask_for(self, items: Sequence[NewObject], stop: Callable[[], bool]) -> set[str]:
        """The keys that are asked for before they are sent."""
        if self._in_doubt or not self._uploads.knows_conditions:
            return {item.key for item in items}
        known = self._known_folders(items, stop)
        return {item.key for item in items if _folder(item) in known or item.key in self._unfinished}

    def _known_folders(self, items: Sequence[NewObject], stop: Callable[[], bool]) -> set[str]:
        """The folders that were expected to be there, and whose last object is."""
        expected = {_folder(item) for item in items if item.is_expected}
        lasts = {_folder(item): item for item in items if _folder(item) in expected}
        found: list[tuple[str, int | None]] = []
        self._run([partial(self._look, folder, item) for folder, item in lasts.items()], stop, found.append)
        return {folder for folder, size in found if size is not None}

    def _look(self, folder: str, item: NewObject) -> tuple[str, int | None]:
        return folder, objects.size(self._bucket, item.key, item.content_type)

    def _calls(self, items: Sequence[NewObject], ask_first: set[str], tries: int) -> list[Callable[[], Put | None]]:
        """One call an object: the first of each picture before all others."""
        scouts: dict[str, _Scout] = {}
        first, others = list[Callable[[], Put | None]](), list[Callable[[], Put | None]]()
        for item in items:
            if item.key in ask_first:
                others.append(partial(self._uploads.put_patiently, item, tries, look_first=True))
            elif (folder := _folder(item)) not in scouts:
                scouts[folder] = _Scout()
                first.append(partial(self._send_ahead, item, tries, scouts[folder]))
            else:
                others.append(partial(self._follow, item, tries, scouts[folder]))
        return [*first, *others]

    def _send_ahead(self, item: NewObject, tries: int, scout: _Scout) -> Put:
        """Put the first object of a picture, and tell those that follow whether it was there."""
        try:
            put = self._uploads.put_patiently(item, tries, look_first=False)
            scout.found = not put.is_new
            return put
        finally:
            scout.is_back.set()

    def _follow(self, item: NewObject, tries: int, scout: _Scout) -> Put | None:
        """Put another object of the picture. None: its first one is not there, so there is no going on."""
        scout.is_back.wait()  # it was begun before this, and it has its own time-outs
        return None if scout.found is None else self._uploads.put_patiently(item, tries, look_first=scout.found)

    def _run(self, calls: Sequence[Callable[[], T]], stop: Callable[[], bool], done: Callable[[T], None]) -> None:
        threads.run(calls, threads=self._concurrency, stop=stop, done=done)


def _folder(item: NewObject) -> str:
    return item.key.rpartition("/")[0]
