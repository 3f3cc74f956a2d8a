"""An origin and its nodes: several whole trees on one database, with its queues, and one bucket.

with desk(folder, export, object_server, queue_server, nodes=2) as desk:
    desk.start()
    desk.wait_until_done()
    desk.assert_all_is_well([2, 3, 4])
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hosted import HostedInstance
from tests.instance import DEADLINE_SECONDS, wait_for
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer

MACHINES = """
[machines]
role = "{role}"
name = "{name}"
lease_seconds = {lease}
reconcile_seconds = {reconcile}
{more}
"""

ORIGIN = "hand_over_above = {above}"
"""How many pictures an origin keeps for its own workers."""


class Desk:
    """The machines; `origin` reads the export, `nodes` read the queues."""

    def __init__(
        self,
        folder: Path,
        export: Path,
        objects: ObjectServer,
        rows: RowServer,
        *,
        nodes: int = 1,
        above: int = 1,
        lease: int = 4,
        reconcile: int = 2,
        workers: int = 1,
        more: str = "",
    ) -> None:
        self.rows = rows
        self.bucket = f"machines-{time.time_ns()}"
        objects.make_bucket(self.bucket)

        def machine(role: str, name: str, own: str = "") -> HostedInstance:
            section = MACHINES.format(role=role, name=name, lease=lease, reconcile=reconcile, more=own)
            return HostedInstance(
                folder / name, export, objects, rows, self.bucket, more=section + more, workers=workers
            )

        self.origin = machine("origin", "origin", ORIGIN.format(above=above))
        self.nodes = [machine("node", f"node-{number}") for number in range(1, nodes + 1)]

    @property
    def machines(self) -> list[HostedInstance]:
        return [self.origin, *self.nodes]

    def start(self, **environment: str) -> None:
        """The nodes first, so that they are there when the origin looks for some."""
        for node in self.nodes:
            node.start(**environment)
        wait_for("the nodes to be there", lambda: self.known_nodes() >= len(self.nodes))
        self.origin.start(**environment)
        for machine in self.machines:
            machine.wait_until_running()

    def known_nodes(self) -> int:
        """How many nodes the database has heard of."""
        return int(self.rows.sql("select count(*) as nodes from picturedesk.nodes")[0]["nodes"])

    def stop(self) -> None:
        """Stop all in order."""
        for machine in self.machines:
            machine.stop()

    def end(self) -> None:
        for machine in self.machines:
            machine.end()

    def wait_until_done(self, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until the origin has nothing on its way, and nothing of it lies anywhere else."""
        self.origin.wait_until_done(seconds)
        wait_for("the queues to be empty", lambda: not self.queued(), seconds)
        wait_for("the claims to be gone", lambda: not self.claims(), seconds)

    def queued(self) -> list[str]:
        """The keys of all that is in a queue, or waits as a result."""
        tables = [f"q_{row['queue_name']}" for row in self.rows.sql("select queue_name from pgmq.meta")]
        return [
            row["key"] for tab in tables for row in self.rows.sql(f"select message ->> 'key' as key from pgmq.{tab}")
        ]

    def claims(self) -> list[str]:
        """The keys of the originals that lie in the bucket for nodes."""
        return [key for key in self.origin.objects() if key.startswith("pictures/wire/")]

    def published_by(self) -> dict[str, int]:
        """How many pictures each machine has published."""
        done = {machine.folder.name: (machine.status() or {})["stats"]["processed"] for machine in self.nodes}
        everything = (self.origin.status() or {})["stats"]["processed"]
        return {**done, "origin": everything - sum(done.values())}

    def assert_all_is_well(self, message_ids: list[int]) -> None:
        """One row a message, one object a rendition, nothing anywhere else, and no machine complains."""
        self.origin.assert_published(message_ids)
        assert self.queued() == []
        for machine in self.machines:
            wait_for(f"{machine.folder.name} to be well", lambda of=machine: (of.status() or {}).get("ok"))  # type: ignore[misc]

    def assert_nothing_left(self, dead: int = 0) -> None:
        """After a stop: no process of any machine, and no file of a picture."""
        self.origin.assert_nothing_left(dead)
        for node in self.nodes:
            node.wait_until_gone()
            assert node.job_folders() == []


@contextmanager
def desk(
    folder: Path, export: Path, objects: ObjectServer, rows: RowServer, *, nodes: int = 1, **options: int | str
) -> Iterator[Desk]:
    """A desk on empty services; none of its processes outlives the block."""
    rows.empty()
    rows.empty_queues()
    machines = Desk(folder, export, objects, rows, nodes=nodes, **options)  # type: ignore[arg-type]
    try:
        yield machines
    finally:
        machines.end()
