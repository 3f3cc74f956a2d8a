"""The source and the uploader's stages of a node in the test's own thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ipc.jobs import State
from ipc.journal import queue, transitions
from ipc.journal.machines import taken
from ipc.transport.messages import Report
from tests.ipc.tables import scalar
from tests.servers.faults import Request
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from tests.workers.desk import Desk
from tests.workers.publisher import Publisher
from workers.sources.queue.source import QueueSource
from workers.uploader import services_of

PICTURE = b"\xff\xd8\xff, and what a picture has besides"
WAIT_SECONDS = 20.0


class Bench:
    """A node without processes: its source, its stages, and a pool that makes of any picture what `LADDER` has."""

    def __init__(self, desk: Desk, rows: RowServer, objects: ObjectServer, bucket: str, **more: Any) -> None:
        self.desk = desk
        machines = {"role": "node", "name": "worker", "lease_seconds": 60.0, "workers": 2, **more.pop("machines", {})}
        self.options = {
            "machines": machines,
            "version": "1.2.3",
            "heartbeat_seconds": 60.0,
            "retry": {"max_attempts": 2, "base_seconds": 60.0},
            "backpressure": {"spool_max_bytes": 2**30, "min_free_bytes": 0},
            "breaker": {"failures": 2, "timeout_seconds": 0.5},
            "storage": {
                "backend": "r2",
                "endpoint": objects.endpoint,
                "bucket": bucket,
                "access_key_id": objects.access_key_id,
                "secret_access_key": objects.secret_access_key,
                "public_url": "",
                "prefix": "own/",
                "originals": "as_is",
                "concurrency": 4,
                "answer_seconds": 1.0,
            },
            "catalog": {"backend": "supabase", "url": rows.url, "key": rows.keys.new_secret, "answer_seconds": 2.0},
        }
        for section, values in more.items():
            self.options[section] |= values
        self.start()

    def start(self) -> None:
        """Another incarnation of both."""
        context = self.desk.context(**self.options)
        self.source = QueueSource(context, self.desk.journal, self.desk.spool)
        self.publisher = Publisher(context, self.desk.journal, services_of(context))

    def states(self) -> list[State]:
        return [one.state for one in taken.in_hand(self.desk.journal)]

    def go_on_until(self, what: str, look: Callable[[], object]) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while not look():
            assert time.monotonic() < until, f"waited in vain for {what}: {self.states()}, {self.source.database.error}"
            self.source.go_on()

    def fetch(self, count: int = 1) -> None:
        self.go_on_until("originals", lambda: self.states().count("fetched") == count)

    def render(self) -> None:
        """What a pool would do of all that is fetched."""
        for job in queue.due(self.desk.journal, "fetched", 99):
            assert transitions.claim(self.desk.journal, job, "image-1")
            assert transitions.record_rendered(self.desk.journal, self.desk.write_ladder(job), "image-1", 0.1)

    def publish(self) -> None:
        while self.publisher.publish_due():
            pass

    def reports(self, topic: str) -> list[dict[str, Any]]:
        """What was reported on that topic since this was last asked."""
        return [said.facts for said in self.desk.said() if isinstance(said, Report) and said.topic == topic]

    def counters(self) -> tuple[int, int, int, int]:
        """Published, dead, returned, lost."""
        found = taken.origins(self.desk.journal)
        return (
            sum(one.published for one in found),
            sum(one.dead for one in found),
            sum(one.returned for one in found),
            sum(one.lost for one in found),
        )

    def is_empty(self) -> bool:
        """Whether nothing of any picture is left."""
        jobs = scalar(self.desk.journal, "SELECT count(*) FROM jobs")
        return jobs == 0 and not self.states() and self.desk.spooled() == set()


def rows_of(server: RowServer) -> list[int]:
    return [row["message_id"] for row in server.sql("select message_id from public.messages order by 1")]


def asks(name: str) -> Callable[[Request], bool]:
    return lambda request: request.target.endswith(f"/{name}")
