"""Server-sent events: one body for all, the newest only, and no more readers than there is room for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from health.page import broadcast
from health.page.broadcast import MOST_READERS, RETRY, Broadcast, Topic
from tests.health.page.asgi import Desk, Reply


class Listener(Reply):
    """A reader that a test ends."""

    def __init__(self) -> None:
        super().__init__()
        self.left = asyncio.Event()
        self.blocked: asyncio.Event | None = None
        self.aborted = False

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        await super().send(message)
        if self.blocked and message.get("body"):
            await self.blocked.wait()

    def abort(self) -> None:
        self.aborted = True
        self.left.set()

    def events(self) -> list[tuple[str, Any]]:
        frames = self.body.removeprefix(RETRY).decode().split("\n\n")[:-1]
        return [(name[7:], json.loads(data[6:])) for name, data in (one.split("\n") for one in frames)]


def beats(one: Listener) -> int:
    return sum(name == "beat" for name, _ in one.events())


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def in_short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "STEP_SECONDS", 0.01)
    monkeypatch.setattr(broadcast, "BEAT_SECONDS", 0.05)


def join(cast: Broadcast, listener: Listener) -> asyncio.Task[None]:
    return asyncio.create_task(cast.serve({"abort": listener.abort}, listener.receive, listener.send))


def test_a_body_is_made_once_for_all_and_only_what_is_new_is_sent() -> None:
    async def play() -> None:
        value, made = ["a"], []

        def make() -> dict[str, str]:
            made.append(value[0])
            return {"value": value[0]}

        cast = Broadcast([Topic("status", make, 0.0)])
        readers = [Listener() for _ in range(5)]
        tasks = [join(cast, one) for one in readers]
        await until(lambda: all(beats(one) > 1 for one in readers))
        assert all(one.body.startswith(RETRY) and one.body.count(RETRY) == 1 for one in readers)
        value[0] = "b"
        await until(lambda: all(("status", {"value": "b"}) in one.events() for one in readers))
        for one in readers:
            assert all(abs(time.time() - data["now"]) < 20 for name, data in one.events() if name == "beat")
            assert [event for event in one.events() if event[0] == "status"] == [
                ("status", {"value": "a"}),
                ("status", {"value": "b"}),
            ]
        for one in readers:
            one.left.set()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0.05)
        looks = len(made)
        await asyncio.sleep(0.05)
        assert len(made) == looks, "nobody reads, nothing is made"

    asyncio.run(play())


def test_there_are_so_many_readers_and_no_more() -> None:
    async def play() -> None:
        cast = Broadcast([Topic("status", dict, 0.0)])
        readers = [Listener() for _ in range(MOST_READERS)]
        tasks = [join(cast, one) for one in readers]
        await until(lambda: all(one.body for one in readers))
        late = Listener()
        await join(cast, late)
        assert late.status == 503 and b"readers" in late.body
        readers[0].left.set()
        await tasks[0]
        next_one = Listener()
        tasks.append(join(cast, next_one))
        await until(lambda: next_one.body)
        cast.end()
        await asyncio.gather(*tasks)
        after = Listener()
        await join(cast, after)
        assert after.status == 503

    asyncio.run(play())


def test_a_slow_reader_is_dropped_and_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "SLOW_SECONDS", 0.1)

    async def play() -> None:
        count = iter(range(10**6))
        cast = Broadcast([Topic("status", lambda: {"n": next(count)}, 0.0)])
        slow, quick = Listener(), Listener()
        slow.blocked = asyncio.Event()
        dropped, going = join(cast, slow), join(cast, quick)
        async with asyncio.timeout(10):
            await dropped
        assert slow.aborted and [name for name, _ in slow.events()] == ["beat", "status"]
        seen = len(quick.events())
        await until(lambda: len(quick.events()) > seen + 2)
        cast.end()
        await going

    asyncio.run(play())


def test_a_body_that_cannot_be_made_ends_the_readers_who_come_again() -> None:
    async def play() -> None:
        broken = [False]

        def make() -> dict[str, Any]:
            return {"value": 1 / (not broken[0])}

        cast = Broadcast([Topic("status", make, 0.0)])
        reader = Listener()
        task = join(cast, reader)
        await until(lambda: reader.body)
        broken[0] = True
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        await task
        broken[0] = False
        again = Listener()
        second = join(cast, again)
        await until(lambda: again.body)
        cast.end()
        await second

    asyncio.run(play())


def test_the_page_is_told_of_status_and_desk(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()

    async def play() -> Listener:
        reader = Listener()
        headers = [(b"host", b"localhost")]
        scope = {"method": "GET", "path": "/events", "headers": headers, "client": ("127.0.0.1", 1)}
        task = asyncio.create_task(desk.app(scope, reader.receive, reader.send))
        await until(lambda: len(reader.events()) >= 2)
        reader.left.set()
        await task
        return reader

    reader = asyncio.run(play())
    assert reader.headers["content-type"].startswith("text/event-stream")
    found = dict(reader.events())
    assert found["status"]["ok"] is True and "title" not in found["status"]["channels"][0]
    assert found["desk"].pop("hour")["published"] == [0] * 60
    assert found["desk"] == {
        "may_act": False,
        "has_token": False,
        "strips": {},
        "pictures": [],
        "dead": [],
        "gallery": "",
    }


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200)])
def test_the_pages_of_others_take_no_place(site: str, status: int, make_desk: Callable[..., Desk]) -> None:
    assert make_desk().ask("HEAD", "/events", {"sec-fetch-site": site}).status == status
