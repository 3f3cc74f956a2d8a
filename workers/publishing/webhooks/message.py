"""A change as the message that a webhook gets. Pure functions.

The row is that of now, which may be another than at the change: so a receiver that takes each message as the truth ends
with the truth, whatever was delivered late, twice or after it was brought back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ipc.jobs import ChangeKind
from ipc.journal.outputs.webhooks import Delivery
from ipc.text.timestamps import iso


class WebhookMessage(NamedTuple):
    """`id` is the same at each attempt: a receiver knows a repetition by it."""

    id: str
    what: ChangeKind
    body: bytes


def message_of(delivery: Delivery, token: str, row: Mapping[str, Any] | None) -> WebhookMessage:
    """`row` is what the view `pictures` has of it now; None: readers do not see it."""
    what = what_of(delivery.what, is_shown=row is not None)
    data = row if row is not None else {"channel_id": delivery.channel_id, "message_id": delivery.message_id}
    content = {"type": f"picture.{what}", "timestamp": iso(delivery.at), "data": dict(data)}
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=str)
    return WebhookMessage(f"msg_{token}_{delivery.change}", what, body.encode("utf-8", "replace"))


def what_of(what: ChangeKind, *, is_shown: bool) -> ChangeKind:
    """The change as it is true now.

    >>> what_of("changed", is_shown=True), what_of("changed", is_shown=False), what_of("deleted", is_shown=True)
    ('changed', 'deleted', 'published')
    """
    if not is_shown:
        return "deleted"
    return "published" if what == "deleted" else what
