"""An origin and its nodes: several whole trees on one database, with its queues, and one bucket.

with desk(folder, export, object_server, queue_server, nodes=2) as machines:
    machines.start()
    machines.wait_until_done()
    machines.finish([2, 3, 4])

Each machine reaches the services through proxies of its own: `machines.links[node].database.set(BlackHole())`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hosted import HostedInstance
from tests.instance import DEADLINE_SECONDS, wait_for
from tests.servers.faults import FaultProxy, Pass
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

CLOSED = {
    "pd_hand_over": {"jobs": []},
    "pd_take": {"node": "x", "about": {}, "n": 9, "lease_seconds": 9},
    "pd_extend": {"node": "x", "about": {}, "receipts": [], "lease_seconds": 9},
    "pd_settle": {"node": "x", "receipts": []},
    "pd_results": {"origin": "x", "done": [], "n": 9},
    "pd_take_back": {"origin": "x", "keys": [], "untaken_only": False},
    "pd_status": {"origin": "x", "keys": []},
    "pd_machines": {"origin": "x"},
    "pd_faults": {},
    "ingest_messages": {"batch": []},
}
"""The functions that nobody may call who has no more than what a website has, with arguments that fit."""


@dataclass(frozen=True, slots=True)
class Links:
    """How one machine reaches the services."""

    storage: FaultProxy
    database: FaultProxy

    def heal(self) -> None:
        self.storage.set(Pass())
        self.database.set(Pass())


class Desk:
    """The machines; `origin` reads the export, or what `origin_more` says, `nodes` read the queues."""

    def __init__(
        self,
        open_: ExitStack,
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
        widths: Sequence[int] = (100, 200),
        more: str = "",
        origin_more: str = "",
    ) -> None:
        self.rows = rows
        self.bucket = f"machines-{time.time_ns()}"
        objects.make_bucket(self.bucket)
        self.links: dict[HostedInstance, Links] = {}

        def machine(role: str, name: str, own: str = "") -> HostedInstance:
            section = MACHINES.format(role=role, name=name, lease=lease, reconcile=reconcile, more=own)
            links = Links(*(open_.enter_context(FaultProxy(server.port)) for server in (objects, rows)))
            made = HostedInstance(
                folder / name,
                export,
                objects,
                rows,
                self.bucket,
                endpoint=links.storage.url,
                url=links.database.url,
                more=section + more + (origin_more if role == "origin" else ""),
                workers=workers,
                widths=widths,
            )
            self.links[made] = links
            return made

        self.origin = machine("origin", "origin", ORIGIN.format(above=above))
        self.nodes = [machine("node", f"node-{number}") for number in range(1, nodes + 1)]

    @property
    def machines(self) -> list[HostedInstance]:
        return [self.origin, *self.nodes]

    def start_nodes(self, **environment: str) -> None:
        """Start them, and wait until the database knows them: the origin looks for them first of all."""
        for node in self.nodes:
            node.start(**environment)
        wait_for("the nodes to be there", lambda: self.known_nodes() >= len(self.nodes))

    def start(self, **environment: str) -> None:
        """Start all of them."""
        self.start_nodes(**environment)
        self.origin.start(**environment)
        self.wait_until_running()

    def wait_until_running(self) -> None:
        for machine in self.machines:
            machine.wait_until_running()

    def known_nodes(self) -> int:
        """How many nodes the database has heard of."""
        return int(self.rows.sql("select count(*) as nodes from picturedesk.nodes")[0]["nodes"])

    def stop(self) -> None:
        """Stop all at once."""
        for machine in self.machines:
            assert machine.root is not None
            machine.root.terminate()
        assert [machine.wait() for machine in self.machines] == [0] * len(self.machines)

    def end(self) -> None:
        for machine in self.machines:
            machine.end()

    def heal(self) -> None:
        """All links pass everything on."""
        for links in self.links.values():
            links.heal()

    # How far it is

    def wait_until_done(self, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until the origin has nothing on its way, and nothing of it lies anywhere else."""
        try:
            self.origin.wait_until_done(seconds)
            wait_for("nothing of it to be anywhere else", self.is_nothing_under_way, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tell()}") from None

    def is_nothing_under_way(self) -> bool:
        """Whether no picture is between two states, in a queue, on the wire or with a node. More may come."""
        waiting = "SELECT id FROM jobs WHERE state NOT IN ('published', 'dead')"
        return not (
            ask(self.origin, waiting) or self.claims() or self.queued() or self.wire() or any(map(in_hand, self.nodes))
        )

    def tell(self) -> str:
        """Where everything is, for who reads why a test has failed."""
        told = [f"queued {self.queued()}", f"wire {self.wire()}", f"claims {self.claims()}"]
        told += [f"{node.folder.name} has {in_hand(node)}" for node in self.nodes]
        told += [f"{one.folder.name}: {(one.status() or {}).get('problems')}" for one in self.machines]
        jobs = ask(
            self.origin, "SELECT message_id, state, claimed_by, attempts, reason FROM jobs WHERE state <> 'published'"
        )
        return "\n".join([*told, f"jobs {jobs}"])

    def queued(self) -> list[str]:
        """The keys of all that is in a queue, or waits as a result."""
        tables = [f"q_{row['queue_name']}" for row in self.rows.sql("select queue_name from pgmq.meta")]
        return [
            row["key"] for tab in tables for row in self.rows.sql(f"select message ->> 'key' as key from pgmq.{tab}")
        ]

    def held(self) -> int:
        """How many pictures nodes hold now, by the database's clock."""
        return int(self.rows.sql("select count(*) as held from picturedesk.leases")[0]["held"])

    def wire(self) -> list[str]:
        """The keys of the originals that lie in the bucket for nodes."""
        return [key for key in self.origin.objects() if key.startswith("pictures/wire/")]

    def claims(self) -> list[tuple[object, ...]]:
        """What the origin has in other hands, and what is left of that."""
        return [
            *ask(self.origin, "SELECT number, job, step FROM claims"),
            *ask(self.origin, "SELECT token, key FROM claim_leftovers"),
        ]

    def published(self) -> int:
        """How many pictures have their rows."""
        return int(self.rows.sql("select count(*) as rows from public.messages")[0]["rows"])

    def published_by(self) -> dict[str, int]:
        """How many pictures each machine has published. A node that was killed may not have counted all."""
        done: dict[str, int] = {}
        for node in self.nodes:
            done[node.folder.name] = sum(int(str(count)) for (count,) in ask(node, "SELECT published FROM origins"))
        return {**done, "origin": self.published() - sum(done.values())}

    # How it has ended

    def assert_all_is_well(self, message_ids: list[int], dead: int = 0) -> None:
        """One row a message, one object a rendition, nothing anywhere else, and no machine complains."""
        self.origin.assert_published(message_ids)
        assert self.queued() == []
        for machine in self.machines if not dead else self.nodes:
            wait_for(f"{machine.folder.name} to be well", lambda of=machine: (of.status() or {}).get("ok"))  # type: ignore[misc]
        self.assert_closed()

    def assert_closed(self) -> None:
        """With what a website has nobody calls a function of ours, or sees a queue."""
        for name, values in CLOSED.items():
            assert self._answer(f"rpc/{name}", values)[0] in (401, 403, 404), name
        for path in ("q_pd_live_v1", "nodes", "leases", "pgmq.q_pd_live_v1"):
            assert self._answer(path)[0] in (401, 403, 404), path
        assert b"pd_" not in self._answer("")[1], "functions are listed"

    def _answer(self, path: str, values: object = None) -> tuple[int, bytes]:
        data = None if values is None else json.dumps(values).encode()
        headers = {"apikey": self.rows.keys.new_publishable, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.rows.url}/rest/v1/{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def assert_nothing_left(self, dead: int = 0) -> None:
        """After a stop: no process of any machine, and no file of a picture."""
        self.origin.assert_nothing_left(dead)
        self.assert_nothing_elsewhere()

    def assert_nothing_elsewhere(self) -> None:
        """After a stop: no process, no hand-over, and nothing at all on any node."""
        self.origin.wait_until_gone()
        assert self.claims() == []
        for node in self.nodes:
            node.wait_until_gone()
            assert node.job_folders() == []
            assert ask(node, "SELECT * FROM jobs") == [] == in_hand(node)

    def finish(self, message_ids: list[int], dead: int = 0, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait for the end, and see that all is as it should be."""
        self.wait_until_done(seconds)
        self.assert_all_is_well(message_ids, dead)
        self.stop()
        self.assert_nothing_left(dead)


def ask(machine: HostedInstance, query: str) -> list[tuple[object, ...]]:
    """What the journal of a machine says; nothing while there is none, or where it can't be opened from here."""
    journal = f"file:{machine.state_dir / 'journal.db'}?mode=ro"
    try:
        with closing(sqlite3.connect(journal, uri=True, timeout=DEADLINE_SECONDS)) as connection:
            return list(connection.execute(query))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_ERROR):
            raise
        return []  # there is no file, or no table yet


def in_hand(node: HostedInstance) -> list[tuple[object, ...]]:
    """What a node has in hand, as its journal says."""
    return ask(node, "SELECT key, state, claimed_by, reason FROM taken JOIN jobs ON id = job")


def signal_all(machine: HostedInstance, number: signal.Signals) -> None:
    """Send a signal to every process of a tree, the root first: it would see to the others."""
    assert machine.root is not None
    for pid in sorted(machine.left_over(), key=lambda pid: pid != machine.root.pid):  # type: ignore[union-attr]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def desk(
    folder: Path, export: Path, objects: ObjectServer, rows: RowServer, *, nodes: int = 1, **options: Any
) -> Iterator[Desk]:
    """A desk on empty services; none of its processes outlives the block."""
    rows.empty()
    rows.empty_queues()
    with ExitStack() as open_:
        machines = Desk(open_, folder, export, objects, rows, nodes=nodes, **options)
        open_.callback(machines.end)
        yield machines
