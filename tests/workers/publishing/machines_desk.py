"""An origin at a desk, its threads stepped by hand, with a real bucket and real queues; and a node of a few lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ipc.files.rows import RowLayout, rows_of
from ipc.jobs import FailureCause, Rendition, State
from ipc.journal.machines import claims
from ipc.machines.handover import Handover
from ipc.machines.result import Dead, Published, RowAddress
from ipc.transport.messages import JobDone
from tests.ipc.tables import sql
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from tests.workers.desk import CHANNEL, Desk
from workers.publishing import storage as storages
from workers.publishing.catalog.protocol import Fenced, MessageRows
from workers.publishing.catalog.supabase import SupabaseCatalog
from workers.publishing.catalog.supabase.queues import GivenOut, Queues
from workers.publishing.machines import works
from workers.publishing.machines.fleet import Fleet

URL = "https://pictures.example.org"
MADE = JobDone(0, 0, 0, "image/jpeg", "jpg", 640, 400, [[320, 200, "webp", 30]], recipe="0a1b2c3d", stripped_bytes=7)


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def sections(objects: ObjectServer, rows: RowServer, bucket: str, **machines: Any) -> dict[str, Any]:
    """The uploader's options that an origin needs."""
    given = {name: getattr(objects, name) for name in ("endpoint", "access_key_id", "secret_access_key")}
    return {
        "machines": {
            "role": "origin",
            "hand_over_above": 2,
            "wire_bucket": bucket,
            "reconcile_seconds": 300.0,
            "target_seconds": 60.0,
            "workers": 1,
            **machines,
        },
        "storage": {
            "backend": "r2",
            "bucket": bucket,
            "prefix": "p/",
            "public_url": URL,
            "originals": "stripped",
            "concurrency": 4,
            **given,
        },
        "catalog": {
            "backend": "supabase",
            "url": rows.url,
            "key": rows.keys.service_role,
            "answer_seconds": 10.0,
        },
        "images": {"ladder": {"widths": [320]}, "limits": {}, "strip": True},
    }


class Origin:
    """Both threads, and what they share. `asked` are the functions of the database that were called."""

    def __init__(self, desk: Desk, options: dict[str, Any]) -> None:
        self.desk = desk
        self.options = options
        self.clock = Clock()
        self.fleet = Fleet(options["storage"]["bucket"], self.clock)
        self.context = desk.context(**options)
        self.hand_over = works.make_hand_over(self.context, self.fleet)
        self.reconciler = works.make_reconciler(self.context, self.fleet)
        self.hand_over._clock = self.reconciler._clock = self.clock
        self.storage = storages.make({"state_dir": str(desk.state_dir), **options})
        self.asked: list[str] = []
        for queues in (self.hand_over.queues, self.reconciler.queues):
            self._listen(queues)

    def _listen(self, queues: Queues) -> None:
        call = queues.project.call

        def called(function: str, **arguments: Any) -> list[Any]:
            self.asked.append(function)
            return call(function, **arguments)

        queues.project.call = called  # type: ignore[method-assign]

    def step(self, seconds: float = 60.0) -> None:
        """Both, until nothing is to be done, with everything due."""
        self.clock.now += seconds
        for _ in range(20):
            if not self.reconciler.step() + self.hand_over.step():
                return
        raise AssertionError("there is no end to it")

    def steps(self) -> list[str]:
        """Of the claims, in their order."""
        return [one.step for one in reversed(claims.newest(self.desk.journal, 999))]

    def wire(self) -> dict[str, bytes | None]:
        """All originals in the bucket, by key."""
        return {one.key: self.storage.read(one.key) for one in self.storage.list("p/wire/")}

    def states(self) -> dict[int, str]:
        """By message."""
        found = sql(self.desk.journal, "SELECT message_id, state FROM jobs ORDER BY 1")
        return {row["message_id"]: row["state"] for row in found}

    def close(self) -> None:
        for one in (self.hand_over, self.reconciler, self.storage):
            one.close()


class Node:
    """Takes, publishes, and gives up, as the database has it."""

    def __init__(self, origin: Origin, name: str = "node-1", workers: int = 2) -> None:
        catalog = origin.options["catalog"]
        self.name = name
        self.about = {"version": "1.2.3", "workers": workers, "in_hand": 0, "published": 0, "problems": ["its disk"]}
        self.storage = origin.storage
        self.queues = Queues(catalog["url"], catalog["key"])
        self.catalog = SupabaseCatalog(catalog["url"], catalog["key"])
        self.taken: dict[int, GivenOut] = {}
        self._origin = origin

    def take(self, most: int = 99) -> list[int]:
        """Take some; the ids of their messages."""
        taken = self.queues.take(self.name, self.about, most, 120)
        found = {Handover.unpacked(one.message).post.message_id: one for one in taken}
        self.taken |= found
        return list(found)

    def publish(self, number: int) -> bool:
        """Write the row of a message that it has, if its receipt holds, from the original in the bucket."""
        taken = self.taken.pop(number)
        handover = Handover.unpacked(taken.message)
        data = self.storage.read(handover.object)
        if data is not None:
            assert hashlib.sha256(data).hexdigest() == handover.sha256
        assert handover.post.revision is not None
        rendered = replace(
            self._origin.desk.of(number),
            **{name: getattr(handover.post, name) for name in ("caption", "revision")},
            state="rendered",
            deleted_at=None,
            hidden_at=None,
            sha256=handover.sha256,
            bytes=handover.bytes,
            mime=MADE.mime,
            extension=MADE.extension,
            width=MADE.width,
            height=MADE.height,
            renditions=tuple(Rendition(*one) for one in MADE.renditions),
            recipe=MADE.recipe,
            stripped_bytes=MADE.stripped_bytes,
            original="stripped",
        )
        rows = rows_of(rendered, RowLayout(handover.terms.prefix, self.storage.url, False))
        address = RowAddress(f"{handover.terms.url}/{handover.terms.prefix}", handover.terms.prefix, 2)
        result = Published(handover.key, self.name, handover.post.revision, MADE, "stripped", address)
        channel = {"id": CHANNEL, "title": handover.channel.title, "name": handover.channel.name}
        receipt = {**taken.receipt.packed(), "result": result.packed()}
        message = rows["messages"]
        assert message is not None
        (outcome,) = self.catalog.write_many([MessageRows(channel, message, rows["images"], receipt)])
        return not isinstance(outcome, Fenced)

    def publish_all(self) -> None:
        for number in self.take():
            assert self.publish(number)

    def die(
        self,
        numbers: Iterable[int],
        state: State = "rendered",
        cause: FailureCause = "failure",
        *,
        reason: str = "no picture",
        is_doubtful: bool = False,
    ) -> None:
        settled = []
        for number in numbers:
            taken = self.taken.pop(number)
            handover = Handover.unpacked(taken.message)
            assert handover.post.revision is not None
            dead = Dead(handover.key, self.name, handover.post.revision, state, cause, reason, is_doubtful)
            settled.append((taken.receipt, dead.packed()))
        assert len(self.queues.settle(self.name, settled)) == len(settled)

    def close(self) -> None:
        self.queues.close()
        self.catalog.close()
