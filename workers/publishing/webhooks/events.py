"""A signed message for each change, to one webhook: at least once, and in order per picture.

1. Changes become deliveries in the journal, in the transaction that moves the webhook's position past them.
2. The next deliveries, each of another picture, go out at once; each is recorded when it was accepted, or put off.

Whose a failure is: while the breaker is closed, others get through, so it costs the delivery an attempt; the last one
makes it a dead letter. While the breaker is open it is the receiver's, however long it lasts.

One that is gone may stay so for ever. Deliveries are kept for it until they are as many as are kept of any; after that
the changes pass it by, so that the journal does not keep them for nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import structlog

from ipc import failpoints
from ipc.journal import Journal
from ipc.journal.outputs import changes, webhooks
from ipc.journal.outputs.webhooks import MOST_WAITING, Delivery
from ipc.retry import RetryPolicy
from workers.publishing import threads
from workers.publishing.catalog import Catalog
from workers.publishing.service.faults import JobFault, ServiceFault
from workers.publishing.webhooks.answers import ReceiverFault, ReceiverGone
from workers.publishing.webhooks.message import WebhookMessage, message_of
from workers.publishing.webhooks.standing import Standing
from workers.publishing.webhooks.target import Target

AT_ONCE = 4
"""Messages on their way at the same time."""

ROUND_SECONDS = 60.0
"""Longest for the messages that go out at once: a receiver may send its answer's head in drops."""

DeliveryOutcome = ServiceFault | JobFault | ReceiverGone | None

log = structlog.get_logger()


class Sender(Protocol):
    """What sends messages: see `receiver.Receiver`."""

    def open(self) -> None: ...
    def send(self, message: WebhookMessage) -> None: ...
    def close(self) -> None: ...


class Events:
    """One webhook's work. `stopping` says when to leave what is on its way to itself."""

    def __init__(
        self,
        target: Target,
        journal: Journal,
        catalog: Catalog,
        receiver: Sender,
        standing: Standing,
        policy: RetryPolicy,
        stopping: Callable[[], bool],
    ) -> None:
        self._target = target
        self._journal = journal
        self._catalog = catalog
        self._receiver = receiver
        self._standing = standing
        self._policy = policy
        self._stopping = stopping

    def step(self) -> int:
        """Take changes over and deliver what is due. Returns the number that went a step on. Raises CatalogFault."""
        now = webhooks.standing(self._journal, self._target.name)
        went_on = self._take_over(MOST_WAITING - now["waiting"])
        if now["gone_at"] is not None:
            return went_on or self._pass_by()
        if room := self._standing.room(AT_ONCE):
            due = webhooks.due(self._journal, self._target.name, room)
            went_on += self._deliver(due, str(now["token"]))
        return went_on

    def close(self) -> None:
        """Let go of receiver and catalogue."""
        self._receiver.close()
        self._catalog.close()

    def _take_over(self, most: int) -> int:
        if most <= 0:
            return 0
        position = webhooks.position(self._journal, self._target.name)
        found = changes.after(self._journal, position, most)
        if not found:
            return 0
        failpoints.reach("webhook.before")
        webhooks.take_over(self._journal, self._target.name, found)
        failpoints.reach("webhook.taken")
        return len(found)

    def _pass_by(self) -> int:
        """The webhook is gone: skip all new changes. Returns 0."""
        newest = changes.newest(self._journal)
        if newest is not None and newest[0] > webhooks.position(self._journal, self._target.name):
            changes.advance(self._journal, self._target.name, newest[0])
        return 0

    def _deliver(self, due: list[Delivery], token: str) -> int:
        messages = []
        for one in due:
            message = message_of(one, token, self._row(one))
            if message.what in self._target.events:
                messages.append((one, message))
            else:
                webhooks.end(self._journal, one, accepted=False)
        if messages:
            self._send(messages)
        return len(due)

    def _row(self, one: Delivery) -> Mapping[str, Any] | None:
        """The row of the post, as readers see it now; None if they see none."""
        rows = self._catalog.pictures(channel_id=one.channel_id, message=one.message_id, most=1)
        return rows[0] if rows else None

    def _send(self, messages: list[tuple[Delivery, WebhookMessage]]) -> None:
        """Send all messages at once. One without an answer in time counts as failed."""
        left = {one.change: one for one, _ in messages}
        until = time.monotonic() + ROUND_SECONDS

        def settle(result: tuple[Delivery, DeliveryOutcome]) -> None:
            del left[result[0].change]
            self._settle(*result)

        self._receiver.open()
        calls = [partial(self._try, one, message) for one, message in messages]
        try:
            threads.run(calls, threads=AT_ONCE, done=settle, stop=lambda: self._stopping() or time.monotonic() > until)
        except threads.Interrupted:
            self._receiver.close()
            if not self._stopping():
                for one in list(left.values()):
                    settle((one, ReceiverFault(f"no answer within {ROUND_SECONDS:g} s")))

    def _try(self, one: Delivery, message: WebhookMessage) -> tuple[Delivery, DeliveryOutcome]:
        try:
            self._receiver.send(message)
        except (ServiceFault, JobFault, ReceiverGone) as fault:
            return one, fault
        return one, None

    def _settle(self, one: Delivery, outcome: DeliveryOutcome) -> None:
        label = self._target.label
        match outcome:
            case None:
                failpoints.reach("webhook.sent")
                webhooks.end(self._journal, one, accepted=True)
                failpoints.reach("webhook.after")
                self._standing.accepted()
                log.debug("webhook.delivered", webhook=label, channel=one.channel_id, message=one.message_id)
            case ReceiverGone():
                webhooks.note_gone(self._journal, self._target.name, str(outcome))
                log.error("webhook.gone", webhook=label, reason=str(outcome))
            case _:
                self._failed(one, outcome)

    def _failed(self, one: Delivery, fault: ServiceFault | JobFault) -> None:
        is_probe = not self._standing.is_closed
        self._standing.failed(fault)
        facts = {"webhook": self._target.label, "channel": one.channel_id, "message": one.message_id}
        if isinstance(fault, ServiceFault) and (is_probe or not self._standing.is_closed):
            # Behind those that were never put off: so one that is never taken is not the probe each time.
            webhooks.put_off(self._journal, one, one.attempts, 0.0, str(fault))
            log.warning("webhook.failed", **facts, reason=str(fault), outcome="later")
            return
        attempts = one.attempts + 1
        seconds = self._policy.delay_seconds(attempts, self._journal.random)
        failpoints.reach("webhook.failed")
        if seconds is None:
            webhooks.bury(self._journal, one, attempts, str(fault))
            log.error("webhook.failed", **facts, reason=str(fault), outcome="dead")
        else:
            webhooks.put_off(self._journal, one, attempts, seconds, str(fault))
            log.warning("webhook.failed", **facts, reason=str(fault), outcome="later")
