"""A job's life: its last steps, each with its time and the process that took it.

They lie in the job's own row, 6 bytes each (Unix second, step, process), the newest last: a transition adds one in its
UPDATE, and none reads them but `bin/run why`. The numbers are in journals: none is ever given to another meaning.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from functools import cache

KEPT = 32
"""Steps that are kept, as `queries.sql` has it in bytes."""

_RECORD = struct.Struct(">IBB")
_LATEST = 2**32 - 1


class Step(enum.IntEnum):
    """What happened to the job. The meaning of each is in `MEANINGS`."""

    SEEN = 1
    CHANGED = 2
    MOVED = 3
    EDITED = 4
    WITHDRAWN = 5
    FETCHED = 6
    CLAIMED = 7
    RELEASED = 8
    RENDERED = 9
    STORED = 10
    PUBLISHED = 11
    DOUBTED = 12
    LOST = 13
    RENDITIONS_LOST = 14
    REWRITTEN = 15
    POSTPONED = 16
    STRUCK = 17
    RETRIED = 18
    DEAD = 19
    REVIVED = 20
    RENEWED = 21
    RESTORED = 22
    TAKEN_DOWN = 26
    HIDDEN = 23
    UNHIDDEN = 24
    BLOCKED = 25
    HANDED_OVER = 27
    MADE = 28


MEANINGS = {
    Step.SEEN: "seen: recorded, with its channel's cursor",
    Step.CHANGED: "the message got another picture: begun anew",
    Step.MOVED: "the same picture was found in another place",
    Step.EDITED: "the message was edited",
    Step.WITHDRAWN: "the message was deleted: its row becomes a tombstone",
    Step.FETCHED: "fetched: the original is in the spool",
    Step.CLAIMED: "given to an image worker",
    Step.RELEASED: "given back untouched",
    Step.RENDERED: "rendered: all renditions are in the spool",
    Step.STORED: "stored: every object is in the storage",
    Step.PUBLISHED: "published: the row is written",
    Step.DOUBTED: "cannot be decoded: to be fetched again",
    Step.LOST: "the spool had lost its files: to be fetched again",
    Step.RENDITIONS_LOST: "the spool had lost its renditions: to be rendered again",
    Step.REWRITTEN: "republish wants its row written again",
    Step.POSTPONED: "put off, for no fault of its own",
    Step.STRUCK: "cost an image worker its life or its memory: tried again",
    Step.RETRIED: "failed: to be tried again later",
    Step.DEAD: "became a dead letter",
    Step.REVIVED: "brought back from the dead",
    Step.RENEWED: "republish wants its renditions made anew: its row and its objects stay meanwhile",
    Step.RESTORED: "not made anew: it is what it was before",
    Step.TAKEN_DOWN: "hidden for long enough: its objects go",
    Step.HIDDEN: "hidden from readers",
    Step.UNHIDDEN: "shown to readers again",
    Step.BLOCKED: "its picture is blocked: it goes no further",
    Step.HANDED_OVER: "kept for other machines: it is handed over",
    Step.MADE: "rendered by another machine, which has stored its objects and written a row",
}

CONNECTION, POOL, UPLOADER, OPERATOR = 1, 2, 3, 4
"""Who takes a step; an image worker is `_FIRST_WORKER` and its number, as far as that goes."""

_FIRST_WORKER = 15
_NAMES = {CONNECTION: "connection", POOL: "pool", UPLOADER: "uploader", OPERATOR: "operator"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One step. `at` in Unix seconds, `process` is a child's name, or "operator"."""

    at: int
    step: Step
    process: str


@cache
def number_of(worker: str) -> int:
    """The number of an image worker's name in a record; the pool's for any other name.

    >>> number_of("image-1"), number_of("image-1000"), number_of("x")
    (16, 255, 2)
    """
    prefix, _, number = worker.rpartition("-")
    if prefix != "image" or not number.isdecimal():
        return POOL
    return min(_FIRST_WORKER + int(number), 255)


def record(step: Step, process: int, now: float) -> bytes:
    """The bytes of one step."""
    return _RECORD.pack(min(max(int(now), 0), _LATEST), step, process)


def read(life: bytes) -> list[Entry]:
    """The steps, oldest first. Of a later version's, those that this one does not know are left out.

    >>> read(record(Step.CLAIMED, number_of("image-2"), 7.9))
    [Entry(at=7, step=<Step.CLAIMED: 7>, process='image-2')]
    """
    whole = life[len(life) % _RECORD.size :]
    known = set(Step)
    return [
        Entry(at, Step(step), _NAMES.get(process, f"image-{process - _FIRST_WORKER}"))
        for at, step, process in _RECORD.iter_unpack(whole)
        if step in known
    ]
