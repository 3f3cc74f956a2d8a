"""Desks that are closed after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.health.page.asgi import Desk


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(token: str = "", **options: Any) -> Desk:
        made.append(Desk(tmp_path, token, **options))
        return made[-1]

    yield make
    for desk in made:
        desk.close()
