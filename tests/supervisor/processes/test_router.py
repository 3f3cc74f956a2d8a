"""The root's router: who gets which hint, and what a new health process is told."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from ipc.transport.exits import Cause, Exit
from ipc.transport.messages import (
    ENDS,
    KILLS,
    Beat,
    ChildState,
    Ended,
    Message,
    OperationRequest,
    RenderRequest,
    Report,
    Wake,
)
from supervisor.processes import router as routing
from supervisor.processes.router import RootRouter
from supervisor.processes.supervisor import TICK_SECONDS


class FakeTree:
    """Takes down what is sent."""

    stopping = False

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.room = 10_000

    def names(self) -> list[str]:
        return ["health", "uploader", "pool", "connection"]

    def is_ready(self, name: str) -> bool:
        return True

    def send(self, name: str, message: Message) -> bool:
        if len(self.sent) >= self.room:
            return False
        self.sent.append((name, message))
        return True

    def set_cap(self, name: str, cap_bytes: int) -> bool:
        return True

    def kill_hung(self, name: str) -> None: ...
    def kill_for_protocol_error(self, name: str) -> None: ...
    def recycle(self, name: str) -> None: ...
    def rest(self, name: str) -> None: ...
    def wake(self, name: str) -> None: ...
    def is_wanted(self, name: str) -> bool:
        return True

    def cpu_usage(self, name: str) -> None: ...

    def take(self) -> list[tuple[str, Message]]:
        sent, self.sent = self.sent, []
        return sent


@pytest.fixture
def tree() -> FakeTree:
    return FakeTree()


@pytest.fixture
def router(tree: FakeTree) -> RootRouter:
    return RootRouter(tree)


@pytest.mark.parametrize(("state", "taker"), [("seen", "connection"), ("fetched", "pool"), ("rendered", "uploader")])
def test_a_hint_goes_to_whoever_takes_the_state(state: str, taker: str, tree: FakeTree, router: RootRouter) -> None:
    router.on_message("anybody", Wake(state))
    assert tree.take() == [(taker, Wake(state))]


@pytest.mark.parametrize("message", [Wake("published"), Wake("nonsense"), Beat(0.0), RenderRequest(1, 1, 0, 60.0)])
def test_what_is_for_nobody_goes_nowhere(message: Message, tree: FakeTree, router: RootRouter) -> None:
    router.on_message("connection", message)
    assert tree.take() == []


def test_a_new_health_process_is_told_everything_once_more(tree: FakeTree, router: RootRouter) -> None:
    router.on_message("connection", Report("connection", {"connected": False}))
    router.on_message("connection", Report("connection", {"connected": True}))
    router.on_message("uploader", Report("uploader", {"r2": "closed"}))
    router.on_state("uploader", {"state": "running"})
    router.on_message("pool", ChildState("image-1", {"state": "running", "order": [1]}))
    before = tree.take()
    assert [name for name, _ in before] == ["health"] * 5, "each word is passed on at once too"
    for child in ("uploader", "pool", "connection"):
        router.on_start(child)
        router.on_ready(child)
    assert tree.take() == []
    router.on_start("health")
    assert tree.take() == [
        ("health", Report("connection", {"connected": True})),
        ("health", Report("uploader", {"r2": "closed"})),
        ("health", ChildState("uploader", {"state": "running", "order": [2]})),
        ("health", ChildState("image-1", {"state": "running", "under": "pool", "order": [3, 1]})),
    ]


def test_the_order_is_that_of_the_tree(tree: FakeTree, router: RootRouter) -> None:
    for name in reversed(tree.names()):
        router.on_state(name, {"state": "running"})
    operations = {m.name: m.facts["order"] for _, m in tree.take() if isinstance(m, ChildState)}
    assert operations == {"health": [1], "uploader": [2], "pool": [3], "connection": [4]}


def test_the_children_of_a_dead_supervisor_are_down_from_now_on(tree: FakeTree, router: RootRouter) -> None:
    up = {
        "state": "running",
        "order": [1],
        "since": 5,
        "pid": 9,
        "spawned": 5.0,
        "rss_bytes": 1,
        "peak_rss_bytes": 1,
    }
    router.on_message("pool", ChildState("image-1", {**up, "cap_bytes": 7, "restarts": 2}))
    router.on_state("connection", up)
    tree.take()
    before = time.monotonic() - 0.1
    assert router.on_exit("pool", Exit(Cause.CRASHED, 1)) is True
    (_, ended), (name, message) = tree.take()
    assert isinstance(ended, Ended) and ended.name == "image-1"
    assert (ended.facts["cause"], ended.facts["what"]) == ("crashed", "went with pool: exit code 1")
    assert name == "health" and isinstance(message, ChildState) and message.name == "image-1"
    since = message.facts.pop("since")
    assert before <= since <= time.monotonic() + 0.1, "not since it came up: that would be a problem at once"
    expected = {"state": "waiting", "order": [3, 1], "under": "pool", "cap_bytes": 7, "restarts": 2}
    assert message.facts == expected
    assert not set(routing.DOWN) & set(message.facts)


def test_it_is_never_busy_and_every_death_counts(router: RootRouter) -> None:
    router.on_tick()
    assert not router.is_busy()
    assert router.on_exit("connection", Exit(Cause.CRASHED, 1))


# --- nothing stays that nobody would say any more ---------------------------------------------------------------


def of(tree: FakeTree, kind: type[Message]) -> list[Message]:
    return [message for _, message in tree.take() if isinstance(message, kind)]


def others(tree: FakeTree) -> list[tuple[str, Message]]:
    """What was sent besides the root's own figures, which come at times."""
    return [(name, message) for name, message in tree.take() if getattr(message, "topic", "") != "root"]


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.monotonic()
    monkeypatch.setattr(
        "supervisor.processes.router.time", SimpleNamespace(monotonic=lambda: now + seconds, time=time.time)
    )


def test_what_a_successor_does_not_say_again_is_taken_back(
    tree: FakeTree, router: RootRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        router.on_message("pool", ChildState(f"image-{number}", {"state": "running", "order": [number]}))
        router.on_message("connection", Report(f"channel {number}", {"problem": "private"}))
    router.on_message("pool", Report("pool", {"spool_error": "full"}))
    for child in ("pool", "connection"):
        router.on_exit(child, Exit(Cause.SIGNALLED, -9))
        router.on_start(child)
    router.on_tick()
    tree.take()
    later(monkeypatch, 60)
    router.on_tick()
    assert others(tree) == [], "not before they are ready: that may take them its time"
    for child in ("pool", "connection"):
        router.on_ready(child)
    router.on_message("pool", ChildState("image-1", {"state": "running", "order": [1]}))
    router.on_message("connection", Report("channel 2", {"problem": ""}))
    router.on_tick()
    tree.take()
    later(monkeypatch, 61 + routing.REPEAT_SECONDS)
    router.on_tick()
    gone = others(tree)
    assert {message.name for _, message in gone if isinstance(message, ChildState)} == {"image-2", "image-3"}
    assert {m.topic for _, m in gone if isinstance(m, Report)} == {"channel 1", "channel 3", "pool"}
    assert not any(message.facts for _, message in gone if isinstance(message, ChildState | Report))
    assert router.known() == ["image-1"]
    router.on_tick()
    assert others(tree) == []


def test_the_children_of_one_that_is_no_more_are_no_more(tree: FakeTree, router: RootRouter) -> None:
    router.on_state("pool", {"state": "running"})
    router.on_message("pool", ChildState("image-1", {"state": "running", "order": [1]}))
    router.on_state("pool", {})
    assert router.known() == []


def test_what_was_stopped_stays_so_under_a_new_supervisor(tree: FakeTree, router: RootRouter) -> None:
    for action, name in (("stop", "image-1"), ("stop", "image-2"), ("start", "image-2"), ("restart", "image-3")):
        router.note_operation(action, name, "pool")
    router.on_ready("pool")
    assert tree.take() == [("pool", OperationRequest("stop", "image-1"))]


def test_a_new_health_process_is_told_every_end_however_many_there_are(tree: FakeTree, router: RootRouter) -> None:
    """Its inbox has room for some of them at a time."""
    for number in range(ENDS + 5):
        router.on_ended("uploader", {"at": number})
        router.on_ended("pool", {"at": number})
    tree.take()
    tree.room = 7
    router.on_start("health")
    told = of(tree, Ended)
    for _ in range(100):
        router.on_tick()
        told += of(tree, Ended)
    kept = range(5, ENDS + 5)
    assert told == [Ended(name, {"at": number}) for name in ("uploader", "pool") for number in kept]


# --- memory ---------------------------------------------------------------------------------------------------


def ended(number: int, cause: str = "crashed") -> dict[str, Any]:
    return {"at": number, "cause": cause, "what": f"{cause} {number}"}


def test_a_kill_for_memory_outlasts_the_other_ends(tree: FakeTree, router: RootRouter) -> None:
    kills = [("image-1", ended(1, "out of memory")), ("image-2", ended(2, "perhaps out of memory"))]
    later = [("image-1", ended(number)) for number in range(10, 10 + ENDS)]
    for name, facts in kills + later:
        router.on_message("pool", Ended(name, facts))
    tree.take()
    router.on_start("health")
    told = [(message.name, message.facts) for _, message in tree.take() if isinstance(message, Ended)]
    assert told == [kills[0], *later, kills[1]], "the first is not among the last ends any more: it comes before them"


def test_the_last_kills_are_remembered_and_no_more(tree: FakeTree, router: RootRouter) -> None:
    for number in range(KILLS + 5):
        router.on_ended("image-1", ended(number, "out of memory"))
    tree.take()
    router.on_start("health")
    told = [message.facts["at"] for _, message in tree.take() if isinstance(message, Ended)]
    assert told == list(range(5, KILLS + 5))


def test_everyones_memory_is_logged_at_a_kill_and_at_times(router: RootRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    records: list[dict[str, Any]] = []
    monkeypatch.setattr(routing.log, "info", lambda event, **facts: records.append({"event": event, **facts}))
    router.on_state("pool", {"state": "running", "rss_bytes": 5})
    router.on_ended("image-1", ended(1))
    assert records == []
    router.on_ended("image-1", {**ended(2, "out of memory"), "job": 7, "peak_bytes": 9, "cap_bytes": 8, "stacks": "…"})
    assert records[0]["rss_bytes_by_process"].pop("root") > 0
    assert records[0] == {
        "event": "memory.sampled",
        "rss_bytes_by_process": {"pool": 5},
        "total_bytes": records[0]["total_bytes"],
        "killed": "image-1",
        "cause": "out of memory",
        "what": "out of memory 2",
        "job": 7,
        "peak_bytes": 9,
        "cap_bytes": 8,
    }
    router.on_tick()
    assert len(records) == 1
    monkeypatch.setattr(routing, "MEMORY_SECONDS", 0.0)
    router.on_tick()
    assert set(records[1]) == {"event", "rss_bytes_by_process", "total_bytes"}


def test_the_root_tells_its_own_memory(tree: FakeTree, router: RootRouter) -> None:
    router.on_tick()
    router.on_tick()
    ((name, message),) = tree.take()
    assert name == "health" and isinstance(message, Report) and message.topic == "root"
    assert 0 < message.facts["uss_bytes"] <= message.facts["pss_bytes"]
    assert message.facts["rss_trend_bytes_per_hour"] is None


def test_a_childs_child_is_counted_from_the_programs_start_on(tree: FakeTree, router: RootRouter) -> None:
    """Whatever its supervisor went through: that knows of its own time only."""

    def told() -> dict[str, Any]:
        [facts] = [message.facts for message in of(tree, ChildState) if isinstance(message, ChildState)]
        return {key: facts.get(key) for key in ("restarts", "exit_causes")}

    up = {"state": "running", "order": [1], "pid": 9}
    router.on_message("pool", ChildState("image-1", {**up, "restarts": 2, "exit_causes": {"hung": 2}}))
    tree.take()
    router.on_exit("pool", Exit(Cause.SIGNALLED, -9))
    tree.take()
    router.on_start("pool")
    router.on_message("pool", ChildState("image-1", {**up, "restarts": 0}))
    assert told() == {"restarts": 3, "exit_causes": {"hung": 2, "signalled": 1}}
    router.on_message("pool", ChildState("image-1", {**up, "restarts": 1, "exit_causes": {"hung": 1}}))
    assert told() == {"restarts": 4, "exit_causes": {"hung": 3, "signalled": 1}}
    router.on_exit("pool", Exit(Cause.ASKED))
    tree.take()
    router.on_message("pool", ChildState("image-1", {**up, "restarts": 0}))
    assert told()["restarts"] == 5


def test_a_row_is_told_again_until_health_has_room_for_it(tree: FakeTree, router: RootRouter) -> None:
    tree.room = 0
    router.on_state("uploader", {"state": "starting"})
    router.on_state("uploader", {"state": "running"})
    tree.room = 10
    router.on_tick()
    assert [message.facts["state"] for _, message in tree.take() if isinstance(message, ChildState)] == ["running"]
    router.on_tick()
    assert not [message for _, message in tree.take() if isinstance(message, ChildState)]


def test_health_hears_something_of_the_root_at_each_tick(
    tree: FakeTree, router: RootRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    router.on_tick()
    for number in range(1, 4):
        tree.take()
        later(monkeypatch, number * TICK_SECONDS)
        router.on_tick()
        assert [message.topic for _, message in tree.take() if isinstance(message, Report)] == ["root"]


def test_what_is_taken_back_is_said_again_until_health_has_room_for_it(
    tree: FakeTree, router: RootRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    router.on_message("pool", ChildState("image-9", {"state": "running", "order": [9]}))
    router.on_message("connection", Report("channel 7", {"problem": "private"}))
    for child in ("pool", "connection"):
        router.on_start(child)
        router.on_ready(child)
    tree.take()
    tree.room = 0
    later(monkeypatch, 1 + routing.REPEAT_SECONDS)
    router.on_tick()
    router.on_tick()
    tree.room = 10
    router.on_tick()
    gone = [message for _, message in tree.take() if isinstance(message, ChildState | Report) and not message.facts]
    assert gone == [ChildState("image-9", {}), Report("channel 7", {})]
