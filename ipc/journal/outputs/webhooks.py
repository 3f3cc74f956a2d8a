"""The webhooks: what each has still to be told, and how it stands.

A change becomes a delivery in the transaction that moves the webhook's position past it, and a delivery ends in the one
that counts it: so none is lost, and one that is cut off in between is made again. Of one picture only the first
delivery is due.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ipc.jobs import ChangeKind
from ipc.journal import Journal
from ipc.retry import FARTHEST_SECONDS
from ipc.transport.messages import clip

WebhookKind = Literal["events", "rebuild"]


MOST_WAITING = 1000
"""Deliveries of one webhook that wait; what comes after them stays among the changes, unless the webhook is gone. So
many pictures that are all put off keep the others waiting.
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One change that one webhook is to be told of. `at`: Unix seconds of the change; `attempts` failed."""

    webhook: str
    change: int
    channel_id: int
    message_id: int
    what: ChangeKind
    at: int
    attempts: int
    reason: str | None


def follow(journal: Journal, name: str, kind: WebhookKind, label: str) -> str:
    """Have a webhook of the settings follow the changes, from now on or from where it was. Returns its token."""
    with journal.transaction():
        journal.run("add_consumer", name=name)
        journal.run("add_webhook", name=name, kind=kind, label=label, token=secrets.token_hex(8))
        return str(journal.run("webhook", name=name).fetchone()["token"])


def forget_others(journal: Journal, wanted: Collection[tuple[str, WebhookKind]]) -> list[str]:
    """Drop the webhooks that are no more in the settings, or of another kind there, with all that they were to be told.

    Returns their labels.
    """
    found = [row for row in journal.run("webhook_names") if (row["name"], row["kind"]) not in wanted]
    labels = []
    with journal.transaction():
        for name in (row["name"] for row in found):
            labels.append(str(journal.run("webhook", name=name).fetchone()["label"]))
            journal.run("drop_deliveries", name=name)
            journal.run("drop_webhook", name=name)
            journal.run("drop_consumer", name=name)
        if found:
            journal.run("forget_changes")
    return labels


def standing(journal: Journal, name: str) -> dict[str, Any]:
    """The webhook's row, as `schema.sql` has it."""
    return dict(journal.run("webhook", name=name).fetchone())


def position(journal: Journal, name: str) -> int:
    """The change up to which the webhook was told, or has deliveries."""
    return int(journal.run("consumer", name=name).fetchone()["position"])


def take_over(journal: Journal, name: str, changes: Sequence[Any]) -> None:
    """Make deliveries of these changes (`ipc.journal.outputs.changes.Change`), at least one, and move past them."""
    with journal.transaction():
        for one in changes:
            journal.run(
                "add_delivery",
                name=name,
                change=one.id,
                channel_id=one.channel_id,
                message_id=one.message_id,
                what=one.what,
                at=one.at,
            )
        journal.run("move_consumer", name=name, position=changes[-1].id)
        journal.run("forget_changes")


def due(journal: Journal, name: str, most: int) -> list[Delivery]:
    """The next deliveries, each of another picture; what was never put off comes first."""
    now = journal.clock()
    rows = journal.run("due_deliveries", name=name, now=now, farthest=now + FARTHEST_SECONDS, limit=most)
    return [Delivery(**dict(row)) for row in rows]


def end(journal: Journal, one: Delivery, *, accepted: bool) -> None:
    """Delete the delivery: it was accepted, or there is nothing to tell any more."""
    with journal.transaction():
        journal.run("end_delivery", name=one.webhook, change=one.change)
        if accepted:
            journal.run("webhook_accepted", name=one.webhook)


def put_off(journal: Journal, one: Delivery, attempts: int, seconds: float, reason: str) -> None:
    with journal.transaction():
        journal.run(
            "put_off_delivery",
            name=one.webhook,
            change=one.change,
            attempts=attempts,
            next_at=journal.clock() + seconds,
            reason=clip(reason),
        )


def bury(journal: Journal, one: Delivery, attempts: int, reason: str) -> None:
    """Give the delivery up until somebody brings it back: it is dead."""
    with journal.transaction():
        journal.run("bury_delivery", name=one.webhook, change=one.change, attempts=attempts, reason=clip(reason))


def note_failure(journal: Journal, name: str, error: str, remedy: str, silent_seconds: float | None) -> None:
    """Record a failed attempt. Nothing is sent for `silent_seconds`; None: its circuit breaker is closed."""
    now = journal.clock()
    with journal.transaction():
        journal.run(
            "webhook_failed",
            name=name,
            now=now,
            error=clip(error),
            remedy=clip(remedy),
            silent_until=None if silent_seconds is None else now + silent_seconds,
        )


def note_gone(journal: Journal, name: str, error: str) -> None:
    """Record that the receiver wants nothing more."""
    with journal.transaction():
        journal.run("webhook_gone", name=name, now=int(journal.clock()), error=clip(error))


def rebuilt(journal: Journal, name: str, position: int) -> None:
    """Record an accepted rebuild that shows all changes up to `position`."""
    with journal.transaction():
        journal.run("webhook_accepted", name=name)
        journal.run("move_consumer", name=name, position=position)
        journal.run("forget_changes")


def put_off_rebuild(journal: Journal, name: str, seconds: float) -> None:
    with journal.transaction():
        journal.run("put_off_rebuild", name=name, next_at=journal.clock() + seconds)


def still_to_tell(journal: Journal, channel_id: int, message_id: int) -> list[tuple[str, str]]:
    """The webhooks that have still to be told of that message: label, and what each last failed with, if it does."""
    rows = journal.run("deliveries_of", channel_id=channel_id, message_id=message_id)
    return [(row["label"], row["error"]) for row in rows]


def dead(journal: Journal) -> list[dict[str, Any]]:
    """The dead deliveries of all webhooks."""
    return [dict(row) for row in journal.run("dead_deliveries")]


@dataclass(frozen=True, slots=True)
class Revived:
    """The number of deliveries, and the labels of the webhooks that were gone.

    `missing`: those of them that may miss changes, as they had as many deliveries waiting as are kept.
    """

    deliveries: int
    webhooks: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def revive(journal: Journal) -> Revived:
    """Bring all dead deliveries back, and the webhooks that were gone."""
    deliveries, came_back = 0, []
    with journal.transaction():
        for name in [row["name"] for row in journal.run("webhook_names")]:
            before = standing(journal, name)
            deliveries += journal.run("revive_deliveries", name=name).rowcount
            if journal.run("revive_webhook", name=name).rowcount:
                came_back.append(before)
    labels = tuple(str(one["label"]) for one in came_back)
    missing = tuple(str(one["label"]) for one in came_back if one["waiting"] >= MOST_WAITING)
    return Revived(deliveries, labels, missing)


def figures(journal: Journal) -> list[dict[str, Any]]:
    """Every webhook's row, and the number of changes that it has not taken over yet, at most (`behind`)."""
    return sorted((dict(row) for row in journal.run("webhook_figures")), key=lambda row: str(row["label"]))
