"""An instance that publishes and makes documents, in the test's own process: with files, or hosted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ipc.files.object_layout import Layout
from ipc.intake import withdraw
from ipc.retry import RetryPolicy
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from tests.workers.desk import CHANNEL, Desk
from tests.workers.publisher import Publisher
from workers.publishing import catalog as catalogs
from workers.publishing import storage as storages
from workers.publishing.service.breaker import Breaker
from workers.uploader import Services

FEEDS = {"enabled": True, "items": 50, "title": "Pictures", "home_page_url": ""}
STORAGE = {"public_url": "", "prefix": "", "originals": "stripped"}


class Place:
    """A desk with both services and an uploader between them. `options` are the uploader's."""

    def __init__(self, desk: Desk, storage: dict[str, Any], catalog: dict[str, Any]) -> None:
        self.desk = desk
        self.options: dict[str, Any] = {
            "state_dir": str(desk.state_dir),
            "catalog": catalog,
            "storage": {**STORAGE, **storage},
            "feeds": FEEDS,
        }
        self.storage = storages.make(self.options)
        self.catalog = catalogs.make(self.options)
        self.publisher = Publisher(
            desk.context(),
            desk.journal,
            Services(
                storage=self.storage,
                catalog=self.catalog,
                layout=Layout(self.options["storage"]["prefix"]),
                policy=RetryPolicy(max_attempts=1, base_seconds=60.0),
                storage_breaker=Breaker(5, 60.0),
                catalog_breaker=Breaker(5, 60.0),
            ),
        )

    def close(self) -> None:
        self.catalog.close()
        self.storage.close()

    def publish(self, *numbers: int) -> None:
        for number in numbers:
            self.desk.render(number)
        while self.publisher.publish_due():
            pass
        assert {self.desk.of(number).state for number in numbers} <= {"published"}

    def edit(self, number: int, caption: str, edited_at: int) -> None:
        self.desk.take(number, caption=caption, edited_at=edited_at)
        self.publish()

    def delete(self, *numbers: int) -> None:
        """The messages go, and their tombstones are published."""
        withdraw(self.desk.journal, CHANNEL, list(numbers), time.time())
        self.publish()


@pytest.fixture(params=["files", "hosted"])
def make_place(request: pytest.FixtureRequest, desk: Desk) -> Iterator[Callable[..., Place]]:
    """Makes the place with these settings of the storage's."""
    with ExitStack() as stack:
        storage: dict[str, Any] = {"backend": "files"}
        catalog: dict[str, Any] = {"backend": "sqlite"}
        if request.param == "hosted":
            objects: ObjectServer = request.getfixturevalue("object_server")
            rows: RowServer = request.getfixturevalue("row_server")
            rows.empty()
            storage = {
                "backend": "r2",
                "endpoint": objects.endpoint,
                "bucket": stack.enter_context(objects.bucket()),
                "access_key_id": objects.access_key_id,
                "secret_access_key": objects.secret_access_key,
                "concurrency": 8,
            }
            key = rows.keys.service_role
            catalog = {"backend": "supabase", "url": rows.url, "key": key, "answer_seconds": 10.0}

        def make(**settings: str) -> Place:
            place = Place(desk, {**storage, **settings}, catalog)
            stack.callback(place.close)
            return place

        yield make


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    return make_place()
