"""Backpressure: whether the spool has room for one more original, and the machine the memory."""

from __future__ import annotations

from typing import Any

from ipc.files.spool import Spool
from ipc.journal import Journal, figures
from ipc.transport.messages import Message, Ration


class Backpressure:
    """The spool's limit and its disk's. Options: `spool_max_bytes` on their way at once, `min_free_bytes` of the disk.

    `is_full` and `error` are the last answer of `has_room`; `is_rationed`: the root wants nothing fetched.
    """

    def __init__(self, journal: Journal, spool: Spool, options: dict[str, Any]) -> None:
        self._journal = journal
        self._spool = spool
        self._spool_max_bytes: int = options["spool_max_bytes"]
        self._min_free_bytes: int = options["min_free_bytes"]
        self.is_full = False
        self.is_rationed = False
        self.error = ""

    def hear(self, message: Message | None) -> None:
        """Take a message of the root's."""
        if isinstance(message, Ration):
            self.is_rationed = not message.intake

    def has_room(self, coming_bytes: int = 0) -> bool:
        """Whether another original may be fetched, with `coming_bytes` on their way that the journal has not yet."""
        self.is_full = figures.spool_bytes(self._journal) + coming_bytes >= self._spool_max_bytes
        free = self._spool.free_bytes()
        self.error = ""
        if free < self._min_free_bytes:
            self.error = (
                f"the spool's disk has {free // 2**20} MiB left, spool.min_free_mb is {self._min_free_bytes // 2**20}"
            )
        return not self.is_full and not self.error and not self.is_rationed
