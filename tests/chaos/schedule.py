"""What goes wrong and when, as plain data: the same seed gives the same schedule.

A deck of all that can be done to the tree is shuffled and dealt, card after card, again and again for as long as asked.
So within one deck everything comes up in proportion, in an order that nobody would think of. Nothing here does
anything: that is `tests.chaos.rage`.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

CHILDREN: Final = ("health", "uploader", "pool", "image-1", "image-2", "connection")

FOR_EVER: Final = math.inf


@dataclass(frozen=True, slots=True)
class Step:
    """Something done `at_seconds` after the beginning.

    What lasts ends after `lasts_seconds`, or is never ended by us (FOR_EVER). `detail`: the failpoint of a root that is
    started again, the kind of a fault.
    """

    at_seconds: float
    action: str
    target: str = ""
    lasts_seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One thing that can be done. It lasts between `least` and `most` seconds."""

    action: str
    target: str = ""
    least: float = 0.0
    most: float = 0.0
    detail: str = ""


KILLS: Final = tuple(Card("kill", child) for child in CHILDREN)
CRASHES: Final = tuple(Card("crash", child) for child in CHILDREN)
FREEZES: Final = tuple(Card("freeze", child, 0.5, 3.0) for child in CHILDREN)
HANGS: Final = tuple(Card("freeze", child, FOR_EVER, FOR_EVER) for child in ("image-1", "image-2"))
"""Image workers alone: the pool ends them after job_seconds. Others are found to hang after a minute."""

PICTURES: Final = tuple(Card("post", kind) for kind in ("hog", "endless", "damaged"))
LOCKS: Final = (Card("lock", "", 0.5, 3.0),)
SERVICES: Final = tuple(
    Card("fault", service, 0.3, 3.0, fault)
    for service in ("storage", "catalogue")
    for fault in ("refuse", "reset", "error", "silence")
)
LINES: Final = (Card("drop", "telegram"), Card("down", "telegram", 0.3, 2.0), Card("flood", "telegram"))

DECK: Final = (
    *2 * KILLS,
    *CRASHES,
    *FREEZES,
    Card("freeze", "root", 0.5, 3.0),
    *HANGS,
    *PICTURES,
    *2 * LOCKS,
    *SERVICES,
    *LINES,
)
"""Besides the root's death, which comes once in this number of steps: it ends all processes."""

MINOR_DECK: Final = (
    *[card for card in (*2 * KILLS, *CRASHES, *FREEZES, *HANGS) if card.target.startswith("image")],
    *PICTURES,
    *LOCKS,
    *SERVICES,
    *LINES,
)
"""Nobody but the image workers ends: the others live on, and show what they gain with time."""

ROOT_EVERY: Final = 20
"""Steps from one death of the root to the next."""


def make(
    seed: int,
    seconds: float,
    *,
    pace_seconds: float,
    deck: tuple[Card, ...] = DECK,
    failpoints: tuple[str, ...] = (),
    root_dies: bool = True,
) -> list[Step]:
    """The steps of a run of `seconds`, one every `pace_seconds` on average.

    Every second time that the root is started again, it is with one of the `failpoints`.
    """
    dice = random.Random(seed)
    steps: list[Step] = []
    hand: list[Card] = []
    points: list[str] = []
    roots = 0
    at = dice.uniform(0.5, 1.5) * pace_seconds
    while at < seconds:
        if root_dies and len(steps) % ROOT_EVERY == ROOT_EVERY - 1:
            roots += 1
            points = points or dice.sample(failpoints, len(failpoints))
            detail = points.pop() if points and roots % 2 else ""
            steps.append(Step(at, "kill", "root", detail=detail))
        else:
            hand = hand or dice.sample(deck, len(deck))
            card = hand.pop()
            lasts = card.least if math.isinf(card.most) else dice.uniform(card.least, card.most)
            steps.append(Step(at, card.action, card.target, lasts, card.detail))
        at += dice.uniform(0.5, 1.5) * pace_seconds
    return steps
