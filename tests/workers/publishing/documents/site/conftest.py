from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workers.publishing.documents.site.bench import Bench


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is cut here, and there are thousands of documents."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes galleries, each in a folder of its own; they are closed at the end."""
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        folder = tmp_path / f"bench-{len(made)}"
        folder.mkdir()
        made.append(Bench(folder, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.catalog.close()
        bench.journal.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()
