"""Fixtures for the tests of the storages: one server for all of them, a bucket for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.faults import FaultProxy
from tests.servers.objects import ObjectServer
from workers.publishing.storage.r2 import R2Storage

Make = Callable[..., R2Storage]


@pytest.fixture
def bucket(object_server: ObjectServer) -> Iterator[str]:
    with object_server.bucket() as name:
        yield name


@pytest.fixture
def proxy(object_server: ObjectServer) -> Iterator[FaultProxy]:
    """A fault proxy in front of the server; it passes everything on until it is told otherwise."""
    with FaultProxy(object_server.port) as proxy:
        yield proxy


@pytest.fixture
def make_r2(object_server: ObjectServer, bucket: str) -> Iterator[Make]:
    """Makes storages on the test's bucket: by default impatient ones, with the server's own address and keys."""
    made: list[R2Storage] = []

    def make(endpoint: str = "", **different: object) -> R2Storage:
        options: dict[str, object] = {
            "endpoint": endpoint or object_server.endpoint,
            "bucket": bucket,
            "access_key_id": object_server.access_key_id,
            "secret_access_key": object_server.secret_access_key,
            "connect_seconds": 2.0,
            "read_seconds": 10.0,
        }
        made.append(R2Storage(**{**options, **different}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for storage in made:
        storage.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "spooled"
    path.write_bytes(b"a rendition")
    return path
