"""Fixtures for the tests of the live connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.instance import children
from tests.servers.lasting import LASTING
from tests.servers.telegram import TelegramServer
from tests.workers.desk import Desk
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import LiveDesk

_shared: list[LiveDesk] = []
"""The instance that the tests of the running module share, if there is one."""


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """As for all tests, but an instance that the tests of a module share runs until the module ends."""
    yield
    shared = {desk.instance.root.pid for desk in _shared if desk.instance.root is not None}
    LASTING.update(shared)
    try:
        assert children() == [], "the test has left processes behind"
    finally:
        LASTING.difference_update(shared)


@pytest.fixture
def server() -> Iterator[TelegramServer]:
    """A Telegram of the test's own."""
    with TelegramServer() as server:
        yield server


@pytest.fixture
def make_live_desk(tmp_path: Path, server: TelegramServer) -> Iterator[Callable[..., LiveDesk]]:
    """Makes instances of the program that read the test's own `server`, and ends them after the test."""
    made: list[LiveDesk] = []

    def make(*channels: object, **telegram: object) -> LiveDesk:
        made.append(LiveDesk(tmp_path / f"desk-{len(made) + 1}", server, channels, **telegram))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for desk in made:
        desk.instance.end()


@pytest.fixture(scope="module")
def shared_live_desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDesk]:
    """An instance for all tests of a module, on one channel, @newsdesk; tests take it as `live_desk`.

    A module may have an ENVIRONMENT, as for `LiveDesk.start`.
    """
    with TelegramServer() as server:
        channel = server.world.add_channel("News", username="newsdesk")
        desk = LiveDesk(tmp_path_factory.mktemp("live") / "desk", server, [channel], public_key=server.public_key)
        _shared.append(desk)
        try:
            desk.run(**getattr(request.module, "ENVIRONMENT", {}))
            yield desk
            desk.finish()
            desk.assert_originals()
        finally:
            desk.instance.end()
            _shared.remove(desk)
    assert children() == [], "the shared instance has left processes behind"


@pytest.fixture
def live_desk(shared_live_desk: LiveDesk) -> Iterator[LiveDesk]:
    """The module's instance, connected and with nothing to do; the test's faults end with the test.

    However a test ends, its rows have to be what the channels hold.
    """
    desk = shared_live_desk
    yield desk
    desk.server.faults.clear()
    desk.server.start()
    desk.server.restore()
    desk.world.clock_offset = 0.0
    desk.world.announces_channels = True
    desk.settle()
    desk.wait_for("the connection to hold", lambda: desk.connected)
    desk.assert_polite()


@pytest.fixture
def make_alone(desk: Desk, server: TelegramServer) -> Iterator[Callable[..., Alone]]:
    """Makes the connection by itself, reading the test's own `server`; it is stopped after the test."""
    made: list[Alone] = []

    def make(*channels: object, environment: dict[str, str] | None = None, **telegram: object) -> Alone:
        made.append(Alone(desk, server, channels, environment=environment, **telegram))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for alone in made:
        alone.close()
