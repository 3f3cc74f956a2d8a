"""What the answer of a receiver means: whose fault it is, and what to do. Pure functions.

Nothing of an answer's body is ever shown: it may repeat the address, and in it a secret.
"""

from __future__ import annotations

from http import HTTPStatus

from workers.publishing.service.faults import JobFault, ServiceFault
from workers.publishing.service.retry_after import pause_seconds

ADDRESS = "check its url and secret in the settings, and what runs at that address"


class ReceiverFault(ServiceFault):
    """The receiver fails, whatever it is sent."""


class MessageFault(JobFault):
    """The receiver works, and refuses this message."""


class ReceiverGone(Exception):
    """The receiver wants nothing any more (410)."""


def fault_of(status: int, retry_after: str, now: float) -> ReceiverFault | MessageFault | ReceiverGone | None:
    """The fault that a status stands for; None for an accepted message. `now` in Unix seconds."""
    if 200 <= status < 300:
        return None
    said = f"it answered {status}{_phrase(status)}"
    if status == HTTPStatus.GONE:
        return ReceiverGone(said)
    if 300 <= status < 400:
        remedy = "put the address itself into its url: no redirect is followed"
        return ReceiverFault(f"{said}, which leads elsewhere", fatal=True, remedy=remedy)
    if status in (401, 403, 404, 405, 407):
        return ReceiverFault(said, fatal=True, remedy=ADDRESS)
    if status in (408, 425, 429) or not 400 <= status < 500:
        return ReceiverFault(said, retry_after_seconds=pause_seconds(retry_after, now))
    return MessageFault(said)


def _phrase(status: int) -> str:
    """
    >>> _phrase(503), _phrase(599)
    (' (Service Unavailable)', '')
    """
    try:
        return f" ({HTTPStatus(status).phrase})"
    except ValueError:
        return ""
