"""Receipts: a node proves by one that a message is its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Receipt:
    """Which message of which queue, and how often it was given out. It holds until the message is given to somebody
    else, or is gone: the database takes no answer without one that holds.

    `key` is the hand-over's: the numbers of a database that was restored are given to other messages once more. None:
    the message has none that is text.
    """

    queue: str
    msg_id: int
    read_ct: int
    key: str | None = None

    @classmethod
    def of(cls, packed: Mapping[str, Any]) -> Receipt:
        """The receipt in what goes to the database, which may have a result besides."""
        return cls(packed["queue"], packed["msg_id"], packed["read_ct"], packed["key"])

    def packed(self) -> dict[str, Any]:
        """The receipt as the database's functions take it."""
        return {"queue": self.queue, "msg_id": self.msg_id, "read_ct": self.read_ct, "key": self.key}
