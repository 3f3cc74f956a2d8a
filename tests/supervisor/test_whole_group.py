"""Signals to every process of the tree at once, as a shell, `timeout` or a service manager sends them; and to one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.instance import Instance, wait_for
from tests.pictures import make_export

pytestmark = pytest.mark.tree


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("group") / "export", 8)


@pytest.fixture
def instance(export: Path, make_instance: Callable[..., Instance]) -> Instance:
    instance = make_instance(export)
    instance.start()
    instance.wait_until_running()
    return instance


def has_been_replaced(instance: Instance, name: str, before: int) -> bool:
    return instance.pids().get(name, before) != before


def test_who_is_asked_with_all_others_has_not_crashed(instance: Instance) -> None:
    """While it is at work; and once more while it is idle, at the end of the next test."""
    all_are_asked(instance)


def all_are_asked(instance: Instance) -> None:
    """The tree leads a process group of its own here. Nobody's end is an error, and nobody is replaced."""
    assert instance.root is not None
    before = len(instance.records())
    os.killpg(instance.root.pid, signal.SIGTERM)
    assert instance.root.wait(timeout=60) == 0
    wait_for("every process to be gone", lambda: not instance.left_over(), 5)
    records = instance.records()[before:]
    assert [one for one in records if one["level"] in ("error", "critical")] == []
    ends = {one["child"]: one for one in records if one["event"] == "child.exited"}
    assert ends.keys() == {"health", "uploader", "pool", "image-1", "connection"}
    assert {one["cause"] for one in ends.values()} <= {"asked", "terminated"}
    assert not any(one["replaced"] for one in ends.values())


@pytest.mark.reaches("child.silent")
def test_one_that_somebody_stops_or_asks_to_stop_has_not_crashed(instance: Instance) -> None:
    """On one tree that is idle, one after the other; and then all are asked."""
    instance.wait_until_done()
    a_pool_that_is_stopped_is_seen_within_seconds(instance)
    one_that_is_asked_is_replaced(instance)
    all_are_asked(instance)


def a_pool_that_is_stopped_is_seen_within_seconds(instance: Instance) -> None:
    """Its workers' rows say how old they are; when it goes on, all is as before."""
    before = instance.pids()
    wait_for("all to be well", lambda: (instance.status() or {"ok": False})["ok"])
    os.kill(before["pool"], signal.SIGSTOP)
    try:
        told = wait_for("a problem", lambda: (instance.status() or {"problems": []})["problems"], 40)
        ages = {row["name"]: row["last_seen_seconds"] for row in (instance.status() or {})["tree"]}
    finally:
        os.kill(before["pool"], signal.SIGCONT)
    [problem] = told
    assert problem["what"].startswith("pool has given no sign of life for 1")
    assert f"kill -CONT {before['pool']}" in problem["remedy"]
    assert ages.keys() == {"root", "health", "uploader", "pool", "image-1", "connection"}
    assert min(ages[name] for name in ("pool", "image-1")) > 9 > max(ages["root"], ages["uploader"])
    wait_for("all to be well", lambda: (instance.status() or {"ok": False})["ok"])
    assert instance.pids() == before


def one_that_is_asked_is_replaced(instance: Instance) -> None:
    for name in ("uploader", "pool", "image-1"):
        before = instance.pids()[name]
        os.kill(before, signal.SIGTERM)
        wait_for("another", partial(has_been_replaced, instance, name, before))
        instance.wait_until_running()
    ends = [one for one in instance.records() if one["event"] == "child.exited" and one["cause"] == "terminated"]
    assert [one["child"] for one in ends if one["child"] in ("uploader", "pool")] == ["uploader", "pool"]
    assert "image-1" in {one["child"] for one in ends}
    assert {one["level"] for one in ends} <= {"info", "warning"}
    assert not [one for one in instance.records() if one["level"] == "error"]
