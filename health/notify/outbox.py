"""What waits to be delivered, for each address: when it is sent, and what follows from the answer. Times are monotonic
seconds.

All that waits for an address goes out as one message. After a message the address is left in peace for a while, so
that many problems become a digest; after a failure for longer each time. Nothing is given up for want of an answer:
what waits is bounded in number, and the tries in pace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from health.notify.notices import Notice
from health.snapshot import Undelivered

PAUSE_SECONDS = 5.0
"""Between two messages to one address. Services allow some messages a minute (a Telegram bot 20 in a group)."""

RETRY_SECONDS, RETRY_SECONDS_MAX = 15.0, 900.0
"""Before the first retry, doubled for each further one, and at most."""

MOST_WAITING = 50
"""Notices that wait for an address; beyond that the oldest are dropped."""

ANSWER_SECONDS = 120.0
"""When a message that is still under way counts as not answered. Apprise itself waits 4 s, for most services."""

FAILURES = 2
"""Failures in a row that are a problem. One alone is mended by the retry, most likely."""


@dataclass
class Address:
    """One address of notify.urls. `label` names it without its secrets; `unusable` says why it can never work."""

    label: str
    waiting: tuple[Notice, ...] = ()
    under_way: int = 0
    sent_at: float = 0.0
    not_before: float = 0.0
    failures: int = 0
    failing_since: float = 0.0
    reason: str = ""
    unusable: str = ""


class Outbox:
    """The addresses in the order of notify.urls."""

    def __init__(self, labels: Iterable[str], waiting: Sequence[Sequence[Notice]], now: float) -> None:
        """`waiting` is what the process before could not deliver, by address."""
        self.addresses = [Address(label, failing_since=now) for label in labels]
        for address, notices in zip(self.addresses, waiting, strict=False):
            address.waiting = tuple(notices)

    def add(self, notices: Sequence[Notice]) -> Iterator[tuple[str, int]]:
        """Have every address get the notices; the label of each that has too many, and how many it loses."""
        for address in self.addresses:
            after = (*address.waiting, *notices)
            # What is under way comes first, and is not dropped: the answer to it counts.
            dropped = max(0, len(after) - max(MOST_WAITING, address.under_way))
            address.waiting = after[: address.under_way] + after[address.under_way + dropped :]
            if dropped:
                yield address.label, dropped

    def due(self, now: float) -> Iterator[tuple[int, tuple[Notice, ...]]]:
        """The addresses, by position, that are to get a message now, with its notices. They count as sent."""
        for position, address in enumerate(self.addresses):
            if address.waiting and not address.under_way and not address.unusable and now >= address.not_before:
                address.under_way, address.sent_at = len(address.waiting), now
                yield position, address.waiting

    def accepted(self, position: int, now: float) -> int:
        """The message that is under way has arrived; the number of its notices."""
        address = self.addresses[position]
        count, address.under_way = address.under_way, 0
        address.waiting = address.waiting[count:]
        address.failures, address.reason, address.not_before = 0, "", now + PAUSE_SECONDS
        return count

    def refused(self, position: int, reason: str, now: float) -> float:
        """The message that is under way has not arrived; after how many seconds it is tried again."""
        address = self.addresses[position]
        if not address.failures:
            address.failing_since = address.sent_at
        address.under_way, address.failures, address.reason = 0, address.failures + 1, reason
        pause = min(RETRY_SECONDS * 2.0 ** min(address.failures - 1, 10), RETRY_SECONDS_MAX)
        address.not_before = now + pause
        return pause

    def undelivered(self, now: float) -> tuple[Undelivered, ...]:
        """The addresses that messages do not reach."""
        found = ((address, _why(address, now)) for address in self.addresses)
        return tuple(
            Undelivered(address.label, why, len(address.waiting), _since(address)) for address, why in found if why
        )


def _why(address: Address, now: float) -> str:
    if address.unusable:
        return address.unusable
    if address.under_way and now - address.sent_at > ANSWER_SECONDS:
        return "no answer"
    return address.reason if address.failures >= FAILURES else ""


def _since(address: Address) -> float:
    return address.failing_since if address.unusable or address.failures else address.sent_at
