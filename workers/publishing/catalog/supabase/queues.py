"""The queues of a Supabase project, by which many machines share their work: the functions of deploy/machines.sql.

Each method is one request, in one transaction, and can be repeated: an answer that was lost has done no harm. All of
them raise CatalogFault, and RowFault where what is sent is refused. A `Queues` is for one thread, as `Project` is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, TypeVar

from ipc.machines import storable
from ipc.machines.receipt import Receipt
from workers.publishing.catalog.supabase import answers
from workers.publishing.catalog.supabase.project import TIMEOUT, Project, Timeout, timeout_in

T = TypeVar("T")

KEYS: Final = 1000
"""Most keys, or receipts, in one request."""

VERSION: Final = 2
"""Of deploy/machines.sql, as pd_machines() has it. All of this goes on with an earlier one, for better or worse."""

QueueName: TypeAlias = Literal["live", "backfill"]


@dataclass(frozen=True, slots=True)
class GivenOut:
    """A message that was given out; `message` is not looked at."""

    receipt: Receipt
    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A result that waits for its origin; `result` is not looked at."""

    msg_id: int
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the queues know it. `about` is what it says of itself, `finished` the number of pictures it settled.

    `in_hand` is what it was given, and nobody else since: its leases may have run out.
    """

    node: str
    about: dict[str, Any]
    last_seen_seconds: float
    in_hand: int
    finished: int


@dataclass(frozen=True, slots=True)
class Queue:
    """`name` is live or backfill. Nodes have `taken` of `length`; `oldest_seconds` is None if it is empty."""

    name: str
    length: int
    oldest_seconds: float | None
    taken: int


@dataclass(frozen=True, slots=True)
class Machines:
    """How things are: the nodes of the last day, the queues, and how many results wait for that origin. `version` is
    that of deploy/machines.sql which was applied.
    """

    nodes: list[Node]
    queues: list[Queue]
    results: int
    version: int = VERSION

    @property
    def outdated(self) -> str:
        """What is wrong with a version that is not today's; "" if it is not an earlier one."""
        if self.version >= VERSION:
            return ""
        return (
            f"machines.sql was applied by an earlier version of this program ({self.version}; today's is {VERSION}): it"
            " lacks what was mended since"
        )


class Queues:
    """The queues of the project at `url`. Makes no connection yet."""

    def __init__(self, url: str, key: str, timeout: Timeout = TIMEOUT) -> None:
        self.project = Project(url, key, timeout)

    @classmethod
    def by(cls, settings: Mapping[str, Any]) -> Queues:
        """The queues of the project that the settings' section `catalog` names."""
        return cls(settings["url"], settings["key"], timeout_in(settings))

    @classmethod
    def of(cls, project: Project) -> Queues:
        """The queues, over that connection."""
        queues = cls.__new__(cls)
        queues.project = project
        return queues

    @property
    def where(self) -> str:
        """The project's host."""
        return self.project.where

    def last_sign(self) -> float:
        """When the last answer came, by the monotonic clock."""
        return self.project.last_sign

    def close(self) -> None:
        """Close what is open. It can be used again, and opens it anew."""
        self.project.close()

    # For an origin

    def hand_over(self, jobs: Iterable[tuple[QueueName, Mapping[str, Any]]]) -> dict[str, int | None]:
        """Put messages into their queues, those with a known key not again; by key the number there.

        None: its result is waiting. In one transaction: some dozens of 8 KB at a time, as the caller has it.
        """
        sent = [{"queue": queue, "message": dict(message)} for queue, message in jobs]
        if not sent:
            return {}
        return dict(self._ask(_handed, "pd_hand_over", jobs=sent))

    def results(self, origin: str, done: Iterable[int], most: int) -> list[Waiting]:
        """Forget the results that are `done`, then the next ones, the oldest first. Each comes until it is done."""
        return self._ask(_waiting, "pd_results", origin=origin, done=list(done), n=most)

    def take_back(self, origin: str, keys: Sequence[str], *, untaken_only: bool) -> set[str]:
        """Take messages out of the queues, or only those that no node holds.

        The keys that are in no queue now and have no result waiting: nobody will tell of them any more. Up to `KEYS`.
        """
        return self._among(keys, "pd_take_back", origin=origin, untaken_only=untaken_only)

    def status(self, origin: str, keys: Sequence[str]) -> set[str]:
        """The keys among these that are in a queue, or have a result waiting. Up to `KEYS` at a time."""
        return self._among(keys, "pd_status", origin=origin)

    def queued(self, origin: str) -> set[str]:
        """The keys of all that is in a queue of that origin's, up to `KEYS`."""
        return set(self._ask(_text, "pd_queued", origin=origin))

    # For a node

    def take(self, node: str, about: Mapping[str, Any], most: int, lease_seconds: int) -> list[GivenOut]:
        """Take up to `most` messages, the urgent ones first; with none the node says only that it is alive.

        If `about` has a `bucket`, only those for that one; if it has `reads`, a version, none that is newer.
        """
        told = storable(about)
        return self._ask(_taken, "pd_take", node=node, about=told, n=most, lease_seconds=lease_seconds)

    def extend(
        self, node: str, about: Mapping[str, Any], receipts: Iterable[Receipt], lease_seconds: int
    ) -> set[Receipt]:
        """Keep these for `lease_seconds` from now; the receipts that hold. Up to `KEYS` at a time."""
        sent = [receipt.packed() for receipt in receipts]
        told = storable(about)
        return set(self._ask(_receipt, "pd_extend", node=node, about=told, receipts=sent, lease_seconds=lease_seconds))

    def settle(self, node: str, settled: Iterable[tuple[Receipt, Mapping[str, Any] | None]]) -> set[Receipt]:
        """Give these up: with a dead result, or returned (None); the receipts that held. Up to `KEYS` at a time."""
        sent = [{**receipt.packed(), "result": result and dict(result)} for receipt, result in settled]
        return set(self._ask(_receipt, "pd_settle", node=node, receipts=sent)) if sent else set()

    # For both

    def machines(self, origin: str = "") -> Machines:
        """How things are. Without an origin no results are counted."""
        (machines,) = self._ask(_machines, "pd_machines", origin=origin) or (None,)
        if machines is None:
            raise answers.of_nonsense([], where=self.where)
        return machines

    def faults(self) -> list[str]:
        """What of deploy/machines.sql is missing, or is other than it should be."""
        return self._ask(_text, "pd_faults")

    def _among(self, keys: Sequence[str], function: str, **arguments: Any) -> set[str]:
        """The keys among these that the function names."""
        if not keys:
            return set()
        found = set(self._ask(_text, function, keys=list(keys), **arguments))
        if not found <= set(keys):
            raise answers.of_nonsense(sorted(found), where=self.where)
        return found

    def _ask(self, read: Callable[[Any], T], function: str, **arguments: Any) -> list[T]:
        try:
            answer = self.project.call(function, **arguments)
        except answers.Missing as missing:
            raise missing.of_machines() from missing
        try:
            return [read(one) for one in answer]
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise answers.of_nonsense(answer, where=self.where) from error


def _handed(one: Any) -> tuple[str, int | None]:
    return _text(one["key"]), None if one["msg_id"] is None else _number(one["msg_id"])


def _taken(one: Any) -> GivenOut:
    message = _object(one["message"])
    key = message.get("key")
    receipt = replace(_receipt(one), key=key if isinstance(key, str) else None)
    return GivenOut(receipt, message)


def _receipt(one: Any) -> Receipt:
    key = one.get("key")
    return Receipt(
        _text(one["queue"]), _number(one["msg_id"]), _number(one["read_ct"]), None if key is None else _text(key)
    )


def _waiting(one: Any) -> Waiting:
    return Waiting(_number(one["msg_id"]), _object(one["result"]))


def _machines(one: Any) -> Machines:
    nodes = [
        Node(
            _text(node["node"]),
            _object(node["about"]),
            _seconds(node["last_seen_seconds"]),
            _number(node["in_hand"]),
            _number(node["finished"]),
        )
        for node in one["nodes"]
    ]
    queues = [
        Queue(
            _text(queue["queue"]),
            _number(queue["length"]),
            None if queue["oldest_seconds"] is None else _seconds(queue["oldest_seconds"]),
            _number(queue["taken"]),
        )
        for queue in one["queues"]
    ]
    return Machines(nodes, queues, _number(one["results"]), _number(one.get("version", 1)))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(value)
    return value


def _seconds(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0:
        raise TypeError(value)
    return float(value)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(value)
    return value
