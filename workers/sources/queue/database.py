"""The database with the queues: what a node asks of it, and how that stands.

A question that fails is nobody's fault here: the leases of what is in hand go on by the database's own clock. The
database is left alone for a while then, a little longer each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import random
from typing import Any, TypeVar

import structlog

from ipc.machines.receipt import Receipt
from workers.publishing.catalog.protocol import CatalogFault, RowFault
from workers.publishing.catalog.supabase import answers
from workers.publishing.catalog.supabase.queues import Queues
from workers.sources.queue.decisions import silent_seconds
from workers.unforeseen import contained

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LeasedMessage:
    """A message under lease. Nobody has looked at its content yet."""

    receipt: Receipt
    content: dict[str, Any]


class Database:
    """The queues as the node of that name sees them. `clock` is monotonic, `wall_clock` gives Unix seconds.

    `error` is why the last question had no answer, or "", `remedy` what to do where waiting won't help, `lack` what of
    deploy/machines.sql it lacks; `answered_at` is when the last answer came, in Unix seconds, or None. `about` is what
    the database is told of the node with each question.
    """

    def __init__(
        self,
        of: Queues,
        node: str,
        lease_seconds: int,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        random: Callable[[], float] = random,
    ) -> None:
        self.error = ""
        self.remedy = ""
        self.lack = ""
        self.answered_at: float | None = None
        self.about: dict[str, Any] = {}
        self._queues = of
        self._node = node
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._wall_clock = wall_clock
        self._random = random
        self._failures = 0
        self._silent_until = clock()

    @property
    def may_be_asked(self) -> bool:
        return self._clock() >= self._silent_until

    def take(self, count: int) -> list[LeasedMessage] | None:
        """Take up to `count` messages, each under lease from now on. None, here and below: no answer."""
        messages = self._ask(lambda: self._queues.take(self._node, self.about, count, self._lease_seconds))
        return None if messages is None else [LeasedMessage(one.receipt, one.message) for one in messages]

    def extend(self, receipts: Sequence[Receipt]) -> set[Receipt] | None:
        """The receipts that hold: their leases begin anew. Without any, the call is a sign of life."""
        return self._ask(lambda: self._queues.extend(self._node, self.about, receipts, self._lease_seconds))

    def knows_this_node(self) -> bool | None:
        """Whether the database has heard of this node before, within a day."""
        known = self._ask(self._queues.machines)
        return None if known is None else any(one.node == self._node for one in known.nodes)

    def settle(self, receipts: Sequence[tuple[Receipt, dict[str, Any] | None]]) -> set[Receipt] | None:
        """File a result for each of these, or give it back to others, where it is None. The receipts that held."""
        return self._ask(lambda: self._queues.settle(self._node, receipts))

    def _ask(self, question: Callable[[], T]) -> T | None:
        try:
            answer = question()
        except (CatalogFault, RowFault) as fault:
            self.lack = str(fault) if isinstance(fault, answers.Missing) else ""
            self._note_failure(str(fault), fault.remedy if isinstance(fault, CatalogFault) and fault.fatal else "")
        except Exception as error:
            self._note_failure(str(contained(error, "the database's answer can't be used")), "")
        else:
            self._note_answer()
            return answer
        return None

    def _note_failure(self, error: str, remedy: str) -> None:
        if not self._failures:
            log.warning("queue.failed", reason=error)
        self._failures += 1
        self._silent_until = self._clock() + silent_seconds(self._failures, self._random)
        self.error, self.remedy = error, remedy

    def _note_answer(self) -> None:
        if self._failures:
            log.info("queue.recovered")
        self._failures = 0
        self.error = self.remedy = self.lack = ""
        self.answered_at = self._wall_clock()
