"""kill -9 of any process at any time, the root included, while pictures go through."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.instance import DEADLINE_SECONDS, Instance, wait_for
from tests.lengths import length, seed_of_the_run
from tests.pictures import make_export

COUNT = length(24, 300)

KILLS_EACH = length(1, 10)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("kill") / "export", COUNT, size=(900, 700))


def _pid(instance: Instance, name: str) -> int | None:
    return instance.pids().get(name)


def test_random_kills(export: Path, make_instance: Callable[..., Instance]) -> None:
    """Kinds of process in random order, each kind as often, until all pictures are through."""
    seed = seed_of_the_run()
    source = random.Random(seed)
    victims = ["root", "health", "uploader", "pool", "image-1", "image-2", "connection"] * KILLS_EACH
    source.shuffle(victims)
    instance = make_instance(export, "[images]\nwidths = [320, 640]", workers=2)
    instance.start()
    for victim in victims:
        wait_for(f"{victim} to run (seed {seed})", partial(_pid, instance, victim))
        time.sleep(source.uniform(0.0, 0.4))  # anywhere in the work; nothing is waited for by this
        if victim == "root":
            instance.kill()
            instance.wait_until_gone()
            instance.start()
        else:
            instance.strike(victim)
    instance.wait_until_done(2 * DEADLINE_SECONDS)
    assert instance.stop() == 0
    instance.assert_published(list(range(1, COUNT + 1)))
    instance.assert_nothing_left()
