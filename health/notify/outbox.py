"""What waits to be delivered, for each recipient: when it is sent, and what follows from the answer. Times are in
monotonic seconds.

All that waits for a recipient goes out as one message. After a message the recipient is left in peace for a while, so
that many problems become a summary; after a failure for longer each time. Nothing is given up for want of an answer:
what waits is bounded in number, and the tries in pace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from health.notify.notices import Notice
from health.snapshot import Undelivered

PAUSE_SECONDS = 5.0
"""Between two messages to one recipient. Services allow some messages a minute (a Telegram bot 20 in a group)."""

RETRY_SECONDS, RETRY_SECONDS_MAX = 15.0, 900.0
"""Before the first retry, doubled for each further one, and at most."""

MOST_WAITING = 50
"""Notices that wait for a recipient; beyond that the oldest are dropped."""

ANSWER_SECONDS = 120.0
"""Seconds after which a message under way counts as unanswered. Apprise itself waits 4 s, for most services."""

FAILURES = 2
"""Failures in a row that are a problem. One alone is mended by the retry, most likely."""


@dataclass
class Recipient:
    """One recipient of notify.urls. `label` names it without its secrets; `unusable` says why it can never work."""

    label: str
    waiting: tuple[Notice, ...] = ()
    under_way: int = 0
    sent_at: float = 0.0
    not_before: float = 0.0
    failures: int = 0
    failing_since: float = 0.0
    reason: str = ""
    unusable: str = ""


class NoticeOutbox:
    """The recipients in the order of notify.urls."""

    def __init__(self, labels: Iterable[str], waiting: Sequence[Sequence[Notice]], now: float) -> None:
        """`waiting` is what the process before could not deliver, by recipient."""
        self.recipients = [Recipient(label, failing_since=now) for label in labels]
        for recipient, notices in zip(self.recipients, waiting, strict=False):
            recipient.waiting = tuple(notices)

    def add(self, notices: Sequence[Notice]) -> Iterator[tuple[str, int]]:
        """Queue the notices for every recipient. Yields the label of each with too many, and the number it loses."""
        for recipient in self.recipients:
            after = (*recipient.waiting, *notices)
            # What is under way comes first, and is not dropped: the answer to it counts.
            dropped = max(0, len(after) - max(MOST_WAITING, recipient.under_way))
            recipient.waiting = after[: recipient.under_way] + after[recipient.under_way + dropped :]
            if dropped:
                yield recipient.label, dropped

    def due(self, now: float) -> Iterator[tuple[int, tuple[Notice, ...]]]:
        """The recipients, by position, that are to get a message now, with its notices. They count as sent."""
        for position, recipient in enumerate(self.recipients):
            if recipient.waiting and not recipient.under_way and not recipient.unusable and now >= recipient.not_before:
                recipient.under_way, recipient.sent_at = len(recipient.waiting), now
                yield position, recipient.waiting

    def accepted(self, position: int, now: float) -> int:
        """The message that is under way has arrived. Returns the number of its notices."""
        recipient = self.recipients[position]
        count, recipient.under_way = recipient.under_way, 0
        recipient.waiting = recipient.waiting[count:]
        recipient.failures, recipient.reason, recipient.not_before = 0, "", now + PAUSE_SECONDS
        return count

    def refused(self, position: int, reason: str, now: float) -> float:
        """The message that is under way has not arrived. Returns the seconds until it is tried again."""
        recipient = self.recipients[position]
        if not recipient.failures:
            recipient.failing_since = recipient.sent_at
        recipient.under_way, recipient.failures, recipient.reason = 0, recipient.failures + 1, reason
        pause = min(RETRY_SECONDS * 2.0 ** min(recipient.failures - 1, 10), RETRY_SECONDS_MAX)
        recipient.not_before = now + pause
        return pause

    def undelivered(self, now: float) -> tuple[Undelivered, ...]:
        """The recipients that messages do not reach."""
        found = ((recipient, _why(recipient, now)) for recipient in self.recipients)
        return tuple(
            Undelivered(recipient.label, why, len(recipient.waiting), _since(recipient))
            for recipient, why in found
            if why
        )


def _why(recipient: Recipient, now: float) -> str:
    if recipient.unusable:
        return recipient.unusable
    if recipient.under_way and now - recipient.sent_at > ANSWER_SECONDS:
        return "no answer"
    return recipient.reason if recipient.failures >= FAILURES else ""


def _since(recipient: Recipient) -> float:
    return recipient.failing_since if recipient.unusable or recipient.failures else recipient.sent_at
