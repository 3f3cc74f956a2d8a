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


class LifeStep(enum.IntEnum):
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
    LifeStep.SEEN: "seen: recorded, with its channel's cursor",
    LifeStep.CHANGED: "the message got another picture: begun anew",
    LifeStep.MOVED: "the same picture was found in another place",
    LifeStep.EDITED: "the message was edited",
    LifeStep.WITHDRAWN: "the message was deleted: its row becomes a tombstone",
    LifeStep.FETCHED: "fetched: the original is in the spool",
    LifeStep.CLAIMED: "given to an image worker",
    LifeStep.RELEASED: "given back untouched",
    LifeStep.RENDERED: "rendered: all renditions are in the spool",
    LifeStep.STORED: "stored: every object is in the storage",
    LifeStep.PUBLISHED: "published: the row is written",
    LifeStep.DOUBTED: "cannot be decoded: to be fetched again",
    LifeStep.LOST: "the spool had lost its files: to be fetched again",
    LifeStep.RENDITIONS_LOST: "the spool had lost its renditions: to be rendered again",
    LifeStep.REWRITTEN: "republish wants its row written again",
    LifeStep.POSTPONED: "put off, for no fault of its own",
    LifeStep.STRUCK: "cost an image worker its life or its memory: tried again",
    LifeStep.RETRIED: "failed: to be tried again later",
    LifeStep.DEAD: "became a dead letter",
    LifeStep.REVIVED: "brought back from the dead",
    LifeStep.RENEWED: "republish wants its renditions made anew: its row and its objects stay meanwhile",
    LifeStep.RESTORED: "not made anew: it is what it was before",
    LifeStep.TAKEN_DOWN: "hidden for long enough: its objects go",
    LifeStep.HIDDEN: "hidden from readers",
    LifeStep.UNHIDDEN: "shown to readers again",
    LifeStep.BLOCKED: "its picture is blocked: it goes no further",
    LifeStep.HANDED_OVER: "kept for other machines: it is handed over",
    LifeStep.MADE: "rendered by another machine, which has stored its objects and written a row",
}

CONNECTION, POOL, UPLOADER, OPERATOR = 1, 2, 3, 4
"""Who takes a step; an image worker is `_FIRST_WORKER` and its number, as far as that goes."""

_FIRST_WORKER = 15
_NAMES = {CONNECTION: "connection", POOL: "pool", UPLOADER: "uploader", OPERATOR: "operator"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One step. `at` in Unix seconds, `process` is a child's name, or "operator"."""

    at: int
    step: LifeStep
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


def record(step: LifeStep, process: int, now: float) -> bytes:
    """The bytes of one step."""
    return _RECORD.pack(min(max(int(now), 0), _LATEST), step, process)


def read(life: bytes) -> list[Entry]:
    """The steps, oldest first. Of a later version's, those that this one does not know are left out.

    >>> read(record(LifeStep.CLAIMED, number_of("image-2"), 7.9))
    [Entry(at=7, step=<LifeStep.CLAIMED: 7>, process='image-2')]
    """
    whole = life[len(life) % _RECORD.size :]
    known = set(LifeStep)
    return [
        Entry(at, LifeStep(step), _NAMES.get(process, f"image-{process - _FIRST_WORKER}"))
        for at, step, process in _RECORD.iter_unpack(whole)
        if step in known
    ]
