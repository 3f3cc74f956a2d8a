"""The page in a real Chromium, over a real instance: what a person sees, and what a person can do."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from health.page.broadcast import MOST_READERS
from tests.health.page.asgi import TOKEN
from tests.health.page.browsing import chromium
from tests.health.snapshots import OF_NODE, OF_ORIGINS, ORIGIN, body_of, snapshot
from tests.instance import DEADLINE_SECONDS, HOME, PROCESSES, Instance, wait_for
from tests.pictures import make_export
from tests.servers.receiver import SECRET

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
AXE = HOME / "tests/servers/node_modules/axe-core/axe.min.js"
NO_PICTURE = b"\xff\xd8\xff\xe0" + b"no picture" * 100
"""It begins as a JPEG does."""

RETRY_WITHOUT_COOKIE = """
async () => (await fetch("actions/retry", {
    method: "POST", credentials: "omit", headers: { "X-Picturedesk": "1" }, body: '{"all": true}',
})).status
"""


class Locked(Instance):
    """An instance with a token."""

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return super().get(path, **{"Authorization": f"Bearer {TOKEN}", **headers})


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Locked]:
    """Four pictures, one of which is none, and a webhook that nobody answers."""
    webhook = f'[[webhook]]\nurl = "http://127.0.0.1:1/"\nsecret = "{SECRET}"'
    instance = Locked(tmp_path / "instance", make_export(tmp_path / "export", 4, bad={3: NO_PICTURE}), webhook)
    instance.start(PICTUREDESK__HEALTH__TOKEN=TOKEN, PICTUREDESK__SITE__ENABLED="true")
    yield instance
    instance.end()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def read_along(instance: Instance) -> socket.socket:
    """A reader who is there."""
    host, port = str(instance.url()).removeprefix("http://").split(":")
    reader = socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS)
    reader.sendall(f"GET /events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    assert reader.recv(100).startswith(b"HTTP/1.1 200 ")
    return reader


class Seen:
    """A page, with what its console and its network have complained of."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.complaints: list[str] = []
        context = browser.new_context()
        context.set_default_timeout(1000 * DEADLINE_SECONDS)
        expect.set_options(timeout=1000 * DEADLINE_SECONDS)
        context.add_init_script(path=AXE)
        self.page: Page = context.new_page()
        self.page.clock.install()
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))
        self.page.goto(f"{url}/")

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def faults(self) -> list[str]:
        """What axe-core finds on the page as it is now, in its light and in its dark colours."""
        found = []
        for scheme in SCHEMES:
            self.page.emulate_media(color_scheme=scheme)
            result = self.page.evaluate("() => axe.run()")
            found += [f"{scheme}: {one['id']}: {one['nodes'][0]['html']}" for one in result["violations"]]
        return found

    def row(self, name: str) -> Any:
        return self.page.locator(f"#tree tr[data-key='{name}']")


def test_a_person_looks_unlocks_sees_a_kill_and_retries(  # noqa: PLR0915  # one instance, one browser
    instance: Locked, browser: Browser
) -> None:
    pids = instance.wait_until_running()
    instance.wait_until_done()
    seen = Seen(browser, instance.url() or "")
    page = seen.page

    # Locked: nothing is shown, nothing can be done.
    expect(page.locator("#sentence")).to_have_text("Locked: give the token")
    expect(page.locator("section:visible")).to_have_count(1)
    assert seen.faults() == seen.complaints == []
    assert page.evaluate(RETRY_WITHOUT_COOKIE) == 401
    seen.complaints.clear()  # the browser notes each answer of that kind

    # Unlocked by keyboard.
    page.locator("#token").focus()
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    for name in PROCESSES:
        expect(seen.row(name)).to_contain_text("running")
    expect(page.locator("#counts")).to_contain_text("Published3")
    expect(page.locator("#sheet img")).to_have_count(3)
    page.locator("#sheet").scroll_into_view_if_needed()
    page.wait_for_function("() => [...document.querySelectorAll('#sheet img')].every((one) => one.naturalWidth > 0)")
    expect(page.locator("#channels")).not_to_contain_text("Test")
    expect(page.locator("#hour-caption")).to_contain_text("3 published in the last hour")
    expect(page.locator("#webhook-list")).to_contain_text("accepts nothing since")
    expect(page.locator("#webhook-list")).to_contain_text("3 waiting, 0 delivered, 0 dead")
    gallery = page.locator("#gallery a")
    expect(gallery).to_have_attribute("href", "site/")
    assert page.request.get(f"{instance.url()}/{gallery.get_attribute('href')}").ok

    # A process is killed, and is back.
    os.kill(pids["connection"], signal.SIGKILL)
    row = seen.row("connection")
    expect(row.locator("td").nth(4)).to_have_text("1")
    expect(row).to_contain_text("SIGKILL")
    expect(row).to_contain_text("running")

    # The dead letter is listed, opened by keyboard, and retried.
    summary = page.locator("#dead-list summary")
    expect(summary).to_have_count(1)
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#dead-list a")).to_have_attribute("href", "https://t.me/c/1234567890/3")
    retried = (instance.status() or {})["stats"]["retried"]
    page.get_by_role("button", name="Retry 3").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_have_text("1 brought back; tried again now")
    wait_for("the retry", lambda: (instance.status() or {})["stats"]["retried"] > retried)
    [record] = [one for one in instance.records() if one.get("event") == "page.action_taken"]
    assert (record["action"], record["client"]) == ("retry", "127.0.0.1") and record["job_ids"]

    # A process is restarted by a button.
    seen.row("uploader").get_by_role("button", name="Restart uploader").click()
    expect(page.locator("#said")).to_have_text("uploader is being replaced")
    wait_for("the restart", lambda: instance.pids().get("uploader", pids["uploader"]) != pids["uploader"])

    expect(page.locator("#dead-list summary")).to_have_count(1)
    assert seen.faults() == []
    for width in (360, 1280, 3840):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert seen.complaints == []

    # Other machines: none here, so statuses of an origin and of a node take the place of the served one.
    expect(page.locator("#machines")).to_be_hidden()
    served = "(machines) => { close(); show({ ...last, machines }); }"
    page.evaluate(served, body_of(snapshot(machines=ORIGIN, reports=OF_ORIGINS))["machines"])
    expect(page.locator("#node-list tr")).to_have_text("beta1.2.34281.2the bucket is away1 s ago")
    for text in ("Waiting, live2", "Oldest, live5 s", "Outstanding7", "Results waiting1", "Needed workers9"):
        expect(page.locator("#machine-counts")).to_contain_text(text)
    assert seen.faults() == []
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    page.evaluate(served, body_of(snapshot(machines={"role": "node"}, reports={"machines": OF_NODE}))["machines"])
    expect(page.locator("#machines-title")).to_have_text("Node beta-aa00")
    expect(page.locator("#origin-list tr")).to_contain_text("00ff00ff00ff29134")
    expect(page.locator("#nodes")).to_be_hidden()
    two = [{"id": "a", "what": "pool \u202eis down", "since": "2026-11-30T10:00:00Z", "remedy": "Wait"}] * 2
    page.evaluate(
        "(problems) => show({ ...last, ok: false, problems, stats: { ...last.stats, processed: 99 } })",
        two,
    )
    expect(page.locator("#counts")).to_contain_text("Published3")  # with the others, this is all of them
    expect(page.locator("#sentence")).to_have_text(r"pool \u202eis down, and 1 more")
    expect(page.locator("#problems strong").first).to_have_text(r"pool \u202eis down")
    expect(page.locator("#since time")).to_have_attribute("datetime", "2026-11-30T10:00:00Z")
    assert page.title().startswith(r"✗ pool \u202eis down, and 1 more")
    page.evaluate("() => open()")
    expect(page.locator("#machines")).to_be_hidden()

    # Health is killed: the page comes back by itself, and stays unlocked.
    os.kill(instance.pids()["health"], signal.SIGKILL)
    expect(seen.row("health").locator("td").nth(4)).to_have_text("1")
    expect(page.locator("#session")).to_be_hidden()
    expect(page.locator("#touch")).to_be_empty()
    seen.complaints.clear()  # the browser notes that nobody answered

    # A connection dies on the way, and nobody is told: it is made anew.
    lost: list[Route] = []
    page.route("**/events", lambda route: route.continue_() if lost else lost.append(route))
    with page.expect_request("**/events"):
        page.evaluate("() => { close(); open(); }")
    with page.expect_request("**/events"):
        page.clock.fast_forward(20_000)
    expect(page.locator("#touch")).to_be_empty()
    page.unroute("**/events")

    # Others have all places: one more is told so, and gets the first that is free.
    others = [read_along(instance) for _ in range(MOST_READERS - 1)]
    late = browser.new_context(storage_state=page.context.storage_state()).new_page()
    late.clock.install(time=datetime.now() + timedelta(hours=1))  # a clock that is wrong: ages are by the server's
    late.goto(f"{instance.url()}/")
    expect(late.locator("#touch")).to_contain_text("this one waits for a place")
    for one in others:
        one.close()
    wait_for("a place", lambda: instance.get("/session")[1]["has_room"])
    late.clock.fast_forward(5_000)
    expect(late.locator("#tree tr[data-key=health] time")).to_have_text(re.compile("[0-9]+ (s|min) ago"))
    late.close()

    # Windows of one browser share a connection: else the seventh would wait for one for ever.
    windows = [page.context.new_page() for _ in range(7)]
    for window in windows:
        window.goto(f"{instance.url()}/")
        expect(window.locator("#tree tr")).to_have_count(len(PROCESSES))
    page.goto("about:blank")  # the one that had it
    os.kill(instance.pids()["uploader"], signal.SIGKILL)
    for window in windows:
        expect(window.locator("#tree tr[data-key=uploader]")).to_contain_text("killed by SIGKILL")
        window.close()
    page.goto(f"{instance.url()}/")

    # Health is silent: the page says so, and takes it back.
    health = instance.pids()["health"]
    os.kill(health, signal.SIGSTOP)
    try:
        page.clock.fast_forward(10_000)
        expect(page.locator("#touch")).to_contain_text("Out of touch")
    finally:
        os.kill(health, signal.SIGCONT)
    expect(page.locator("#touch")).to_be_empty()
    assert page.title().endswith("– Picturedesk")

    # A page that is left open keeps nobody from stopping.
    assert instance.stop() == 0
    *_, end = [one for one in instance.records() if one.get("event") == "child.exited" and one["child"] == "health"]
    assert end["cause"] == "asked"
