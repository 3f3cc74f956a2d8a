"""Which workers get jobs while the machine is short of memory."""

from __future__ import annotations

import pytest

from tests.workers.desk import FakeTree
from workers.rendering.dispatch.ration import WorkerRation


def test_without_a_limit_all_may_work_and_none_rests() -> None:
    tree = FakeTree("image-1", "image-2")
    ration = WorkerRation(tree)
    ration.enforce(())
    assert (ration.allowed(), ration.left(2), tree.resting) == (["image-1", "image-2"], None, [])


def test_a_busy_worker_rests_only_once_it_is_idle() -> None:
    tree = FakeTree("image-1", "image-2", "image-3")
    ration = WorkerRation(tree)
    ration.limit = 1
    ration.enforce({"image-3"})
    assert (ration.allowed(), ration.left(1), ration.left(0), tree.resting) == (["image-1"], 0, 1, ["image-2"])
    ration.enforce(())
    assert sorted(tree.resting) == ["image-2", "image-3"]
    ration.limit = 2
    ration.enforce(())
    assert tree.resting == ["image-3"]


def test_a_worker_that_a_reload_took_away_and_brought_back_rests_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = FakeTree("image-1", "image-2")
    ration = WorkerRation(tree)
    ration.limit = 1
    ration.enforce(())
    assert tree.resting == ["image-2"]
    with monkeypatch.context() as fewer:
        fewer.setattr(tree, "names", lambda: ["image-1"])
        ration.enforce(())
    ration.enforce(())
    assert tree.resting == ["image-2", "image-2"]
