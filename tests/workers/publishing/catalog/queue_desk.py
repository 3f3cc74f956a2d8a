"""Hand-overs, results and rows for the tests of the queues."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ipc.machines.receipt import Receipt
from tests.servers.rows import RowServer
from tests.workers.publishing.catalog.builders import entry
from workers.publishing.catalog import MessageRows
from workers.publishing.catalog.supabase.queues import GivenOut, Queues, Waiting

ORIGIN = "00ff00ff00ff"
OTHER_ORIGIN = "a0a0a0a0a0a0"


def key(number: int, origin: str = ORIGIN) -> str:
    return f"{origin}:7:{number}:1:1"


def message(number: int, origin: str = ORIGIN) -> dict[str, Any]:
    """What the queues look at of a hand-over."""
    post = {"id": number, "revision": 3}
    return {"v": 1, "key": key(number, origin), "origin": origin, "channel": {"id": 7}, "message": post}


def published(number: int, origin: str = ORIGIN) -> dict[str, Any]:
    return {"v": 1, "outcome": "published", "key": key(number, origin), "node": "a", "revision": 3}


def dead(number: int) -> dict[str, Any]:
    return {"v": 1, "outcome": "dead", "key": key(number), "node": "a", "revision": 3, "reason": "it is broken"}


def rows(revision: int, number: int, receipt: Receipt) -> MessageRows:
    """Rows of a picture that was taken, with its result."""
    plain = entry(revision, number)
    return MessageRows(plain.channel, plain.message, plain.image, {**receipt.packed(), "result": published(number)})


def hand_over(queues: Queues, *numbers: int, queue: Any = "live") -> None:
    queues.hand_over([(queue, message(number)) for number in numbers])


def take(queues: Queues, node: str = "a", most: int = 10, seconds: int = 60) -> list[GivenOut]:
    return queues.take(node, {"workers": 1}, most, seconds)


def numbers(taken: Iterable[GivenOut]) -> list[int]:
    return [one.message["message"]["id"] for one in taken]


def results(queues: Queues, done: Iterable[int] = ()) -> list[Waiting]:
    return queues.results(ORIGIN, done, 100)


def expire(server: RowServer) -> None:
    """As if a minute had gone by, in which nobody did anything: every lease of a minute has run out."""
    server.sql("update pgmq.q_pd_live_v1 set vt = clock_timestamp() where vt > clock_timestamp()")
    server.sql(
        "update picturedesk.leases set taken_at = taken_at - interval '60 s', until = until - interval '60 s';"
        "update picturedesk.nodes set last_seen = last_seen - interval '60 s'"
    )
