"""Fixtures of an origin and its services."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from tests.workers.desk import Desk
from tests.workers.sources.queue.bench import Bench
from tests.workers.sources.queue.origin import Origin


@pytest.fixture
def bucket(object_server: ObjectServer) -> Iterator[str]:
    name = f"node-{time.time_ns()}"
    object_server.make_bucket(name)
    yield name
    object_server.remove_bucket(name)


@pytest.fixture
def origin(queue_server: RowServer, object_server: ObjectServer, bucket: str) -> Iterator[Origin]:
    """One with nothing handed over, in an empty project."""
    queue_server.empty()
    queue_server.empty_queues()
    origin = Origin(queue_server, object_server, bucket)
    yield origin
    origin.close()


@pytest.fixture
def make_bench(
    desk: Desk, queue_server: RowServer, object_server: ObjectServer, bucket: str
) -> Iterator[Callable[..., Bench]]:
    yield lambda **more: Bench(desk, queue_server, object_server, bucket, **more)
