"""An origin and its nodes as a user has them: whole trees on one real database, with its queues, and one bucket.

Whatever happens to any of them, in the end there is one row a message and one object a rendition, and nothing lies
anywhere else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from ipc import failpoints
from ipc.journal.leases import LEASE_SECONDS as REMOVAL_SECONDS
from tests import lengths
from tests.chaos import rage
from tests.chaos.disks import small_disk
from tests.hosted import HostedInstance
from tests.instance import DEADLINE_SECONDS, wait_for
from tests.machines import Desk, ask, desk, in_hand, signal_all
from tests.pictures import make_export, message, write_result
from tests.servers.faults import BlackHole, LostAnswer, Mode, Pass, Refuse, Request, Reset
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from tests.servers.telegram import Channel, TelegramServer
from tests.workers.sources.telegram.desk import settings_text

pytestmark = pytest.mark.chaos

FEW, MANY, PLENTY = 12, 60, 300
MESSAGES: Final = list(range(1, MANY + 1))

LEASE_SECONDS: Final = 4
LONG_SECONDS: Final = 3 * DEADLINE_SECONDS

RANDOM_SECONDS: Final = 120.0
"""For how long something happens every other second."""

WIDTHS: Final = (320, 640, 1280)
"""Rendering these takes so long that our own worker does not do it all before nodes have some, or are struck."""

SHARE: Final = 3
"""How many pictures each machine has to have published meanwhile, at least."""

FAILPOINTS: Final = [name for name in failpoints.NAMES if name.startswith(("machines.", "queue."))]

ORIGINS_CALLS: Final = ("pd_hand_over", "pd_results", "pd_take_back", "pd_status", "pd_machines")
NODES_CALLS: Final = ("pd_take", "pd_extend", "pd_settle")

POISON: Final = {
    "PICTUREDESK__IMAGES__WIDTHS": json.dumps([100, 200, *range(1990, 2000)]),
    "PICTUREDESK__POOL__JOB_SECONDS": "3",
    "PICTUREDESK__POOL__MEMORY_CAP_MB": "300",
    "PICTUREDESK__POOL__MEMORY_SOFT_MB": "200",
}
"""With these settings some pictures take for ever, or all memory."""

TAKEN_DOWN_SOON: Final = {"PICTUREDESK__STORAGE__TAKEDOWN_AFTER_SECONDS": "1"}
"""The objects of a deleted post go while nodes have others in hand."""

in_long_runs = pytest.mark.skipif(not lengths.is_long, reason="other chaos of many machines: bin/test --long")

Make = Callable[..., contextlib.AbstractContextManager[Desk]]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("machines") / "export", FEW)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("machines") / "export", MANY, size=(1200, 900))


@pytest.fixture(scope="module")
def plenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("machines") / "export", PLENTY, size=(1600, 1200))


@pytest.fixture
def make(object_server: ObjectServer, queue_server: RowServer, tmp_path: Path) -> Make:
    """Makes a desk that reads this export; two nodes and short leases, unless it is told otherwise."""

    def make(export: Path, **options: Any) -> contextlib.AbstractContextManager[Desk]:
        return desk(
            tmp_path,
            export,
            object_server,
            queue_server,
            **{"nodes": 2, "lease": LEASE_SECONDS, "widths": WIDTHS, **options},
        )

    return make


def test_two_nodes_share_an_origins_work(few: Path, make: Make) -> None:
    """All three have a share, however busy the machine is: their image workers are frozen until each has a picture."""
    with make(few, lease=60) as machines:
        machines.start_nodes()
        frozen = [node.strike("image-1", signal.SIGSTOP) for node in machines.nodes]
        machines.origin.start()
        frozen.append(machines.origin.strike("image-1", signal.SIGSTOP))
        wait_for("both nodes to have some", lambda: all(map(in_hand, machines.nodes)))
        for worker in frozen:
            os.kill(worker, signal.SIGCONT)
        machines.wait_until_done()
        shares = machines.published_by()
        assert min(shares.values()) > 0 and sum(shares.values()) == FEW, shares
        machines.finish(list(range(1, FEW + 1)))


# kill -9


@in_long_runs
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(3))
def test_everything_at_any_time(number: int, plenty: Path, make: Make, queue_server: RowServer) -> None:
    """kill -9 of any process of any tree, of whole nodes and of the origin, some of which reach a failpoint afterwards;
    and what else there is: partitions, lost answers, frozen machines, queues that lose all. Each node has its share.
    """
    seed = lengths.seed_of_the_run(number)
    with make(plenty, reconcile=5) as machines:
        machines.start()
        chaos = Chaos(machines, queue_server, random.Random(seed))
        chaos.run(RANDOM_SECONDS)
        shares = machines.published_by()
        print(chaos.done, f"{sum(shares.values())} of {PLENTY} are published", shares)
        chaos.settle()
        assert min(shares.values()) >= SHARE, shares
        retry_those_shot(machines)
        machines.finish(list(range(1, PLENTY + 1)), seconds=LONG_SECONDS)


class Chaos:
    """What is done to the machines, at random. What lasts is ended by `settle` at the latest."""

    def __init__(self, machines: Desk, rows: RowServer, dice: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self._machines = machines
        self._rows = rows
        self._dice = dice
        self._lasting: list[tuple[float, Callable[[], object]]] = []

    def run(self, seconds: float) -> None:
        """Strike any of them for so long; then, until each has published its share, none that has not."""
        until = time.monotonic() + seconds
        while time.monotonic() < until or self._lacking():
            spared = self._lacking() if time.monotonic() >= until else set()
            if struck := [machine for machine in self._machines.machines if machine not in spared]:
                self._strike(self._dice.choice(struck))
            time.sleep(self._dice.uniform(0.2, 3.0))
            self._end([one for one in self._lasting if one[0] < time.monotonic()])
            self._revive()

    def _strike(self, machine: HostedInstance) -> None:
        acts = {self.kill: 8, self.restart: 2, self.reach: 2, self.cut: 5, self.freeze: 3, self.lose: 4, self.empty: 1}
        (act,) = self._dice.choices(list(acts), list(acts.values()))
        self.done[act.__name__] += 1
        end = act(machine)
        if end is not None:
            self._lasting.append((time.monotonic() + self._dice.uniform(0.5, 3 * LEASE_SECONDS), end))

    def _lacking(self) -> set[HostedInstance]:
        """The machines that have not published their share; none if hardly anything is left."""
        shares = self._machines.published_by()
        is_over = sum(shares.values()) > PLENTY - SHARE
        return {one for one in self._machines.machines if not is_over and shares[one.folder.name] < SHARE}

    def settle(self) -> None:
        self._end(list(self._lasting))
        self._machines.heal()
        self._revive()

    def _end(self, over: list[tuple[float, Callable[[], object]]]) -> None:
        for one in over:
            self._lasting.remove(one)
            one[1]()

    def _revive(self) -> None:
        """The kernel ends a tree with its root, but somebody has to start it again."""
        for machine in self._machines.machines:
            if machine.root is not None and machine.root.poll() is not None:
                restart(machine)

    # The acts; each gives what ends it, if it lasts

    def kill(self, machine: HostedInstance) -> None:
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(self._dice.choice(machine.left_over()), signal.SIGKILL)

    def restart(self, machine: HostedInstance) -> None:
        restart(machine)

    def reach(self, machine: HostedInstance) -> None:
        restart(machine, self._dice.choice(FAILPOINTS))

    def cut(self, machine: HostedInstance) -> Callable[[], object]:
        links = self._machines.links[machine]
        link = self._dice.choice([links.storage, links.database])
        modes: list[Mode] = [Refuse(), BlackHole(), Reset(), Reset(40)]
        link.set(self._dice.choice(modes))
        return lambda: link.set(Pass())

    def lose(self, machine: HostedInstance) -> Callable[[], object]:
        links = self._machines.links[machine]
        link = self._dice.choice([links.storage, links.database])
        link.set(LostAnswer(self._dice.randint(1, 5)))
        return lambda: link.set(Pass())

    def freeze(self, machine: HostedInstance) -> Callable[[], object]:
        signal_all(machine, signal.SIGSTOP)
        return lambda: signal_all(machine, signal.SIGCONT)

    def empty(self, machine: HostedInstance) -> None:
        empty_queues(self._rows)


def empty_queues(rows: RowServer) -> None:
    """Whatever was in them is lost."""
    for row in rows.sql("select format('pgmq.%I', 'q_' || queue_name) as tab from pgmq.meta"):
        rows.sql(f"truncate {row['tab']}")


def restart(machine: HostedInstance, point: str = "") -> None:
    """kill -9 the root, if it is there still, and start the tree again."""
    if machine.root is not None and machine.root.poll() is None:
        machine.kill()
    signal_all(machine, signal.SIGCONT)  # who was frozen as it began is not yet ended with its parent
    machine.wait_until_gone()
    machine.start(**({failpoints.VARIABLE: point} if point else {}))


def retry_those_shot(machines: Desk) -> None:
    """A good picture whose workers were shot again and again was taken for poison."""
    machines.wait_until_done(LONG_SECONDS)
    dead = ask(machines.origin, "SELECT id, reason FROM jobs WHERE state = 'dead'")
    print(f"taken for poison: {dead}")
    assert [
        reason for _, reason in dead if "poison" not in str(reason) and "more than 5 times" not in str(reason)
    ] == []
    if dead:
        assert machines.origin.command("retry", *(str(job) for job, _ in dead)).returncode == 0


@in_long_runs
@pytest.mark.parametrize("point", FAILPOINTS)
def test_kill_9_at_each_failpoint(point: str, make: Make, tmp_path: Path) -> None:
    """Of the origin's uploader, or of nodes' connections, once what the point needs has come about."""
    dead = list(range(3, FEW, 2)) if point == "queue.settled" else []
    bad = {number: b"\xff\xd8\xff no picture %d" % number for number in dead}
    with make(make_export(tmp_path / "export", FEW, bad=bad)) as machines:
        machines.start_nodes(**{failpoints.VARIABLE: point})
        frozen = [node.strike("image-1", signal.SIGSTOP) for node in machines.nodes if point in NODES_HOLD]
        machines.origin.start(**{failpoints.VARIABLE: point})
        if point not in ORIGIN_IS_IDLE:
            frozen.append(machines.origin.strike("image-1", signal.SIGSTOP))
        if point == "queue.forgotten":
            wait_for("both to hold some", lambda: all(len(in_hand(node)) > 1 for node in machines.nodes))
            for node in machines.nodes:
                assert node.root is not None
                node.root.terminate()
        wait_for("the failpoint to be reached", lambda: was_reached(point, machines))
        for worker in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)
        if point == "queue.forgotten":
            for node in machines.nodes:
                assert node.wait() == 0
                node.start()
        machines.wait_until_running()
        machines.finish([one for one in range(1, FEW + 1) if one not in dead], dead=len(dead))


ORIGIN_IS_IDLE: Final = ("machines.taken_back", "machines.brought_back")
"""Points that are reached once its own worker has nothing to do. At all others the nodes get nearly all."""

NODES_HOLD: Final = (*ORIGIN_IS_IDLE, "machines.compared", "queue.forgotten")
"""Points that are reached while nodes don't get on with what they have. At all others they publish it."""


def was_reached(point: str, machines: Desk) -> bool:
    """Whether the process that reaches it was killed: of both nodes, but one of them is enough that has settled."""
    if point.startswith("machines."):
        return was_killed(machines.origin, "uploader")
    reached = [was_killed(node, "connection") for node in machines.nodes]
    return any(reached) if point == "queue.settled" else all(reached)


def was_killed(machine: HostedInstance, child: str) -> bool:
    """Also after it was asked to stop."""
    return any(one.get("child") == child and "killed by SIGKILL" in str(one.get("what")) for one in machine.records())


@in_long_runs
def test_kill_9_of_the_database(many: Path, make: Make, queue_server: RowServer) -> None:
    queue_server.committed_for_good()
    try:
        with make(many) as machines:
            machines.start()
            for share in (5, 15, 25):
                wait_for("some to be published", lambda share=share: machines.published() >= share)  # type: ignore[misc]
                queue_server.kill_postgres()
            queue_server.wait_until_ready()
            machines.finish(MESSAGES, seconds=LONG_SECONDS)
    finally:
        queue_server.committed_for_good(False)


@in_long_runs
def test_kill_9_of_postgrest(many: Path, make: Make, queue_server: RowServer) -> None:
    with make(many) as machines:
        machines.start()
        for share in (3, 10, 20, 30):
            wait_for("some to be published", lambda share=share: machines.published() >= share)  # type: ignore[misc]
            queue_server.kill_postgrest()
            queue_server.wait_until_ready()
        machines.finish(MESSAGES, seconds=LONG_SECONDS)


# What lies between them


@in_long_runs
@pytest.mark.parametrize("how", [Refuse(), BlackHole(), Reset()], ids=["refused", "silent", "reset"])
@pytest.mark.parametrize("whom", ["node and database", "node and bucket", "origin and database", "origin and both"])
def test_a_partition_for_longer_than_a_lease(whom: str, how: Any, many: Path, make: Make) -> None:
    with make(many) as machines:
        machines.start()
        wait_for("the nodes to hold some", lambda: machines.held() > 1)
        name, _, which = whom.partition(" and ")
        links = machines.links[machines.origin if name == "origin" else machines.nodes[0]]
        if which != "bucket":
            links.database.set(how)
        if which != "database":
            links.storage.set(how)
        time.sleep(3 * LEASE_SECONDS)  # the partition itself
        machines.heal()
        machines.finish(MESSAGES, seconds=LONG_SECONDS)


@in_long_runs
@pytest.mark.parametrize("call", [*ORIGINS_CALLS, *NODES_CALLS, "ingest_messages"])
def test_answers_are_lost(call: str, make: Make, tmp_path: Path) -> None:
    """The database does as it was asked, several times, and nobody hears of it. Some pictures are dead letters."""
    export = make_export(tmp_path / "export", MANY, size=(1200, 900))
    dead = list(range(5, MANY, 5))
    for number in dead:
        (picture,) = (export / "photos").glob(f"photo_{number}@*")
        os.truncate(picture, picture.stat().st_size // 2)
    with make(export) as machines:
        machines.start_nodes()

        def is_hit(request: Request) -> bool:
            return request.target.endswith(f"/rpc/{call}")

        for machine in machines.machines:
            machines.links[machine].database.set(LostAnswer(3, is_hit))
        machines.origin.start()
        machines.wait_until_done(LONG_SECONDS)
        asked = [len(list(filter(is_hit, machines.links[one].database.requests))) for one in machines.machines]
        print(call, asked)
        assert sum(asked) > 1
        machines.finish([one for one in MESSAGES if one not in dead], dead=len(dead))


@in_long_runs
def test_each_is_delivered_to_two_nodes(make: Make, tmp_path: Path) -> None:
    """Whatever a frozen node has in hand as its leases end, another one gets; then both go on with it."""
    export = make_export(tmp_path / "export", 8)
    text, *pictures = json.loads((export / "result.json").read_text())["messages"]
    text = message(text["id"])
    write_result(export, [text])
    with make(export, workers=2) as machines:
        origin, (first, second) = machines.origin, machines.nodes
        first.start()
        wait_for("the node to be there", machines.known_nodes)
        origin.start()
        frozen = freeze_workers(first) + freeze_workers(origin)
        wait_for("the export to be read", origin.is_done)
        write_result(export, [text, *pictures])  # two for the origin's workers, one that it keeps, two for each worker
        origin.strike("connection")
        wait_for("the node to hold four", lambda: len(in_hand(first)) == 4)
        signal_all(first, signal.SIGSTOP)
        second.start()
        frozen += freeze_workers(second)
        wait_for("the other one to hold the same", lambda: keys_in_hand(second) == keys_in_hand(first))
        signal_all(first, signal.SIGCONT)
        for worker in frozen:
            os.kill(worker, signal.SIGCONT)
        machines.wait_until_running()
        machines.finish(list(range(2, 9)))
        assert ask(first, "SELECT sum(lost) FROM origins") == [(4,)]


def freeze_workers(machine: HostedInstance) -> list[int]:
    """Its image workers, once all of them can be given a job; their process ids."""
    machine.wait_until_running()
    return [machine.strike(name, signal.SIGSTOP) for name in machine.processes if name.startswith("image-")]


def keys_in_hand(node: HostedInstance) -> set[object]:
    return {key for key, *_ in in_hand(node)}


@in_long_runs
def test_nodes_that_are_frozen_in_turn(few: Path, make: Make) -> None:
    """Each past its leases: what one has, another one gets."""
    with make(few, lease=1) as machines:
        machines.start_nodes()
        machines.origin.start()
        machines.origin.strike("image-1", signal.SIGSTOP)
        until = time.monotonic() + 40.0
        turn = 0
        while time.monotonic() < until and machines.published() < FEW - 2:
            node = machines.nodes[turn % 2]
            turn += 1
            with contextlib.suppress(AssertionError):
                wait_for("it to hold some", lambda of=node: in_hand(of), 6.0)  # type: ignore[misc]
            signal_all(node, signal.SIGSTOP)
            time.sleep(2.5)  # the freeze itself: its leases, of a second, run out
            signal_all(node, signal.SIGCONT)
        lost = [ask(node, "SELECT sum(lost) FROM origins") for node in machines.nodes]
        print(lost, machines.tell())
        signal_all(machines.origin, signal.SIGCONT)
        retry_those_shot(machines)
        machines.finish(list(range(1, FEW + 1)), seconds=LONG_SECONDS)


@in_long_runs
@pytest.mark.parametrize("seconds", [1.5 * LEASE_SECONDS, 5 * LEASE_SECONDS])
def test_a_frozen_node(seconds: float, many: Path, make: Make) -> None:
    with make(many) as machines:
        machines.start()
        wait_for("both to hold some", lambda: all(map(in_hand, machines.nodes)))
        signal_all(machines.nodes[0], signal.SIGSTOP)
        time.sleep(seconds)  # the freeze itself
        signal_all(machines.nodes[0], signal.SIGCONT)
        machines.finish(MESSAGES, seconds=LONG_SECONDS)


@in_long_runs
def test_the_queues_lose_all(many: Path, make: Make, queue_server: RowServer) -> None:
    with make(many, reconcile=1) as machines:
        machines.start()
        for share in (3, 12, 24, 36):
            wait_for("some to be published", lambda share=share: machines.published() >= share)  # type: ignore[misc]
            empty_queues(queue_server)
        machines.finish(MESSAGES, seconds=LONG_SECONDS)


# What is wrong with pictures and machines


@in_long_runs
def test_poison_for_every_node(make: Make, tmp_path: Path) -> None:
    """Two kill whoever renders them, one can't be decoded: the origin tries them too, then each is a dead letter."""
    bad = {3: rage.endless_picture(), 7: rage.endless_picture() + b" ", 9: b"\xff\xd8\xff no picture"}
    export = make_export(tmp_path / "export", 20, bad=bad)
    with make(export) as machines:
        machines.start(**POISON)
        machines.origin.strike("image-1", signal.SIGSTOP)
        machines.wait_until_done(LONG_SECONDS)
        found = ask(machines.origin, "SELECT message_id, reason FROM jobs WHERE state = 'dead'")
        dead = {message: str(reason) for message, reason in found}
        print(dead)
        assert dead.keys() == bad.keys()
        ends = [one["child"] for node in machines.nodes for one in node.records() if one["event"] == "child.exited"]
        assert any(child.startswith("image-") for child in ends), "no node has tried them"
        machines.finish([one for one in range(1, 21) if one not in bad], dead=len(bad))


@in_long_runs
def test_a_nodes_disk_is_full(many: Path, make: Make) -> None:
    with make(many, more="[spool]\nmin_free_mb = 0") as machines:
        node = machines.nodes[0]
        with small_disk(node.state_dir, mib=16) as disk:
            folder, node.through, node.state_dir = node.state_dir, disk.through, disk.inside
            machines.start()
            wait_for("some to be published", lambda: machines.published() > 3)
            disk.fill()
            machines.origin.wait_until_done(LONG_SECONDS)
            disk.make_room()
            machines.wait_until_done(LONG_SECONDS)
            machines.assert_all_is_well(MESSAGES)
            machines.stop()
            disk.bring_home()
            node.state_dir = folder
        machines.assert_nothing_left()


@in_long_runs
@pytest.mark.timeout(900)
@pytest.mark.parametrize("nodes", [4, 8])
def test_many_nodes_of_which_some_are_killed(nodes: int, many: Path, make: Make) -> None:
    with make(many, nodes=nodes, lease=10) as machines:
        machines.start()
        wait_for("the nodes to hold some", lambda: machines.held() > nodes // 2)
        for node in machines.nodes[::2]:
            restart(node)
        print(machines.published_by())
        machines.finish(MESSAGES, seconds=LONG_SECONDS)


# What changes


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with TelegramServer() as server:
        yield server


@in_long_runs
def test_messages_change_while_nodes_have_them(make: Make, telegram: TelegramServer, queue_server: RowServer) -> None:
    """Of what was deleted or hidden the objects go as well, also those that arrive long after; `gc` has the rest."""
    dice = random.Random(lengths.seed_of_the_run())
    channel = telegram.world.add_channel("Chaos", "chaosdesk")
    channel.post_text("from before")
    with make(Path("/nonexistent"), origin_more=settings_text(telegram, ["@chaosdesk"], {})) as machines:
        origin = machines.origin
        machines.start(**TAKEN_DOWN_SOON)
        wait_for(
            "the channel to be seen",
            lambda: any(one["cursor"] for one in (origin.status() or {"channels": []})["channels"]),
        )
        frozen = origin.strike("image-1", signal.SIGSTOP)
        captions, pictures = change_at_random(channel, dice)
        for message in dice.sample(list(captions), 5):
            done = origin.command("hide", f"https://t.me/chaosdesk/{message}")
            assert done.returncode == 0, done.stderr
            del captions[message]
        os.kill(frozen, signal.SIGCONT)
        wait_for("the rows to be as the channel is", lambda: shown(queue_server) == captions, LONG_SECONDS)
        wait_for("nothing to be on its way", machines.is_nothing_under_way, LONG_SECONDS)
        assert {one["message_id"]: one["sha256"] for one in origin.rows()} == {one: pictures[one] for one in captions}
        assert telegram.unexpected == []
        print(machines.published_by())
        looked_for = look_for_removed_pictures(origin)
        stored = digests_of(origin)
        assert not stored & {digest for message, digest in pictures.items() if message not in captions}
        print(f"{len(looked_for)} were looked for twice, {len(stored) - len(captions)} are left to gc")
        assert origin.command("gc", "--delete", "--older-than", "0").returncode == 0
        wait_for("the spool to be swept", lambda: not origin.job_folders())
        machines.assert_all_is_well(sorted(captions))
        machines.stop()
        machines.assert_nothing_elsewhere()


def change_at_random(channel: Channel, dice: random.Random) -> tuple[dict[int, str], dict[int, str]]:
    """Post 60 pictures, then edit, replace and delete some: the captions of those that are there, and the digest of the
    last picture of each, by message id.
    """
    captions, pictures = dict[int, str](), dict[int, str]()
    for number in range(60):
        data = rage.good_picture(dice)
        message = channel.post_photo(data, f"caption {number}")
        captions[message], pictures[message] = f"caption {number}", hashlib.sha256(data).hexdigest()
    for _ in range(80):
        message = dice.choice(list(captions))
        match dice.choice(["edit", "edit", "photo", "delete"]):
            case "edit":
                captions[message] = f"edited {dice.random()}"
                channel.edit(message, captions[message])
            case "photo":
                data = rage.good_picture(dice)
                channel.edit(message, photo=data)
                pictures[message] = hashlib.sha256(data).hexdigest()
            case "delete" if len(captions) > 30:
                channel.delete(message)
                del captions[message]
        time.sleep(dice.uniform(0.0, 0.2))
    return captions, pictures


def look_for_removed_pictures(origin: HostedInstance) -> set[str]:
    """Have the running origin look again for what nodes may have stored late, and one has; the digests of all that.

    It does so once nobody can write such an object any more, some quarter of an hour later: that passes while it is
    stopped. In the end nothing is left to be removed.
    """

    def is_looked_for_once() -> bool:
        first = f"SELECT 1 FROM takedowns WHERE step <> 'leaving' OR looks > 1 OR at <= {time.time()}"
        return not ask(origin, first)

    wait_for("the objects to be looked for once", is_looked_for_once, LONG_SECONDS)
    removed = {str(sha256) for (sha256,) in ask(origin, "SELECT DISTINCT sha256 FROM takedowns")}
    assert removed, "no picture was removed while it was elsewhere"
    assert not removed & digests_of(origin)
    assert origin.stop() == 0
    origin.wait_until_gone()
    late, shown = min(removed), origin.rows()[0]
    for rendition in shown["renditions"]:
        key = rendition["key"].replace(shown["sha256"], late).replace(f"/{shown['sha256'][:2]}/", f"/{late[:2]}/")
        origin.client.put_object(Bucket=origin.bucket, Key=key, Body=b"late")
    assert late in digests_of(origin)
    with closing(sqlite3.connect(origin.state_dir / "journal.db")) as journal, journal:
        for table in ("takedowns", "removals"):
            journal.execute(f"UPDATE {table} SET at = at - ?", [REMOVAL_SECONDS])
    origin.start(**TAKEN_DOWN_SOON)
    origin.wait_until_running()
    wait_for("them to be looked for again", lambda: not ask(origin, "SELECT 1 FROM takedowns"), LONG_SECONDS)
    return removed


def digests_of(origin: HostedInstance) -> set[str]:
    """The digests of the pictures that the bucket has objects of."""
    return {key.split("/")[2] for key in origin.objects()}


def shown(rows: RowServer) -> dict[int, str]:
    """The captions of what a website shows, by message id."""
    query = "select message_id, caption from public.messages where deleted_at is null and hidden_at is null"
    return {row["message_id"]: row["caption"] for row in rows.sql(query)}


@in_long_runs
def test_an_origin_is_one_no_more(many: Path, make: Make) -> None:
    """With hand-overs out there, some of them held by nodes."""
    with make(many) as machines:
        machines.start()
        wait_for("the nodes to hold some", lambda: machines.held() > 1)
        origin = machines.origin
        assert origin.stop() == 0
        config = origin.config.read_text()
        origin.config.write_text(config.replace('role = "origin"', 'role = "all"'))
        origin.start()
        origin.wait_until_running()
        machines.finish(MESSAGES, seconds=LONG_SECONDS)


@in_long_runs
def test_nodes_are_stopped_and_others_started_under_load(many: Path, make: Make) -> None:
    """As an autoscaler does it: SIGTERM, and another one somewhere else."""
    with make(many, nodes=3, lease=30) as machines:
        machines.start()
        for node in machines.nodes[:2]:
            wait_for("it to hold some", lambda of=node: in_hand(of))  # type: ignore[misc]
            assert node.stop() == 0
            node.wait_until_gone()
        began = time.monotonic()
        machines.origin.wait_until_done(LONG_SECONDS)
        print(f"{time.monotonic() - began:.1f} s without them")
        for node in machines.nodes[:2]:
            node.start()
        machines.wait_until_running()
        machines.finish(MESSAGES, seconds=LONG_SECONDS)


@in_long_runs
def test_an_old_node_beside_a_new_one(many: Path, make: Make, queue_server: RowServer) -> None:
    """It gives back what it can't read, and says so; the new one gets all of that."""
    with make(many) as machines:
        old, new = machines.nodes
        old.program = [sys.executable, "-P", "-m", "tests.chaos.old_node"]
        machines.start_nodes()
        machines.origin.start()
        frozen = [machine.strike("image-1", signal.SIGSTOP) for machine in (machines.origin, new)]

        def problems() -> str:
            about = "select about -> 'problems' as told from picturedesk.nodes where node like 'node-1-%'"
            return str(queue_server.sql(about))

        wait_for("the old one to say that it can't read some", lambda: "version" in problems())
        for worker in frozen:
            os.kill(worker, signal.SIGCONT)
        machines.wait_until_done()
        shares = machines.published_by()
        assert shares[old.folder.name] == 0 < shares[new.folder.name], shares
        machines.finish(MESSAGES)
