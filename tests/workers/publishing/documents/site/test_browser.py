"""The gallery in a real Chromium: from files on a disk and over HTTP below a prefix, small and wide, light and dark."""

from __future__ import annotations

import functools
import io
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.health.page.browsing import chromium
from tests.instance import HOME
from tests.workers.publishing.documents.site.bench import WIDTHS, Bench, sha_of

AXE = (HOME / "tests/servers/node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

ABORTED = "net::ERR_ABORTED"
"""Of what is still on its way when a reader leaves."""

# Of each picture that is in the window: what its candidate has, and what the window shows of it.
PICTURES = """
async () => {
  window.scrollTo(0, 0);
  const seen = [...document.images].filter((one) => one.getBoundingClientRect().top < innerHeight);
  await Promise.all(seen.map((one) => one.decode()));
  return seen.filter((one) => !one.src.startsWith("data:")).map((one) => ({
    src: one.currentSrc, has: Number(/([0-9]+)-/.exec(one.currentSrc.split("/").pop())[1]),
    wants: one.getBoundingClientRect().width * devicePixelRatio,
  }));
}
"""
SHIFTS = """
() => new Promise((resolve) => {
  new PerformanceObserver((list) => resolve(list.getEntries().reduce((sum, one) => sum + one.value, 0)))
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => resolve(0), 50);
})
"""


def encoded(width: int, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((width, width * 3 // 4)).convert("RGB").save(
        buffer, kind, **({"speed": 10} if kind == "avif" else {})
    )
    return buffer.getvalue()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def gallery(bench: Bench) -> Bench:
    """Thirty posts, one of them an album, with objects."""
    files = {f"{width}-0123abcd.{kind}": encoded(width, kind) for width in WIDTHS for kind in ("webp", "avif")}
    files["1280-0123abcd.jpg"] = encoded(1280, "jpeg")
    for number in range(1, 31):
        folder = bench.root.parent / sha_of(number)[:2] / sha_of(number)
        folder.mkdir(parents=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    bench.put_all(range(1, 28), tags=["autumn"])
    bench.put_all(range(28, 31), grouped=5)
    bench.settle(bench.gallery())
    return bench


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The folder over HTTP."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def opened(browser: Browser, url: str, width: int, complaints: list[str], scheme: Any = "light") -> Page:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.on("console", lambda one: complaints.append(f"{one.type}: {one.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda one: complaints.append(one.url) if one.failure != ABORTED else None)
    page.goto(url)
    page.wait_for_load_state("load")
    return page


PAGES = ("index.html", "7/index.html", "7/archive-0.html", "7/album-5.html", "7/3.html")
WINDOWS = {"http": ((360, 1280), (1280,), (1280,), (360, 1280), (1280,)), "file": ((1280,), (), (), (1280,), ())}
"""Their widths, in pixels, for each page: from files only the links could be others."""


def test_a_reader_sees_it_everywhere(gallery: Bench, browser: Browser, tmp_path: Path) -> None:
    """One test, since a browser takes a second to start."""
    for over in ("file", "http"):
        look_at_all(over, gallery, browser, tmp_path / over)
    ask_axe(gallery, browser)
    use_keys(gallery, browser)


def look_at_all(over: str, gallery: Bench, browser: Browser, tmp_path: Path) -> None:
    away = tmp_path / "elsewhere" / "deep" / "prefix"
    shutil.copytree(gallery.root.parent, away)
    complaints: list[str] = []
    with served(away.parent.parent) as address:
        base = f"{address}/deep/prefix" if over == "http" else away.as_uri()
        for number, path in enumerate(PAGES):
            for width in WINDOWS[over][number]:
                page = opened(browser, f"{base}/site/{path}", width, complaints, SCHEMES[number % 2])
                for picture in page.evaluate(PICTURES):
                    fitting = [one for one in WIDTHS if one >= picture["wants"] * 0.95] or [WIDTHS[-1]]
                    assert picture["has"] <= 2 * fitting[0], (path, width, picture)
                    assert picture["has"] >= 0.6 * min(picture["wants"], WIDTHS[-1]), (path, width, picture)
                    assert picture["src"].endswith(".avif")
                assert page.evaluate(SHIFTS) < 0.01, (path, width)
                scrolls = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
                assert scrolls <= 0, (path, width)
                page.close()
    assert complaints == []


def ask_axe(gallery: Bench, browser: Browser) -> None:
    complaints: list[str] = []
    for path in ("index.html", "7/album-5.html"):
        page = opened(browser, (gallery.root / path).as_uri(), 1280, complaints)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            # The page's own policy keeps scripts in it from being added, as it should.
            found = page.evaluate(f"async () => {{ {AXE}; return (await axe.run()).violations }}")
            assert [f"{path} {scheme} {one['id']}: {one['nodes'][0]['html']}" for one in found] == []
        page.close()


def use_keys(gallery: Bench, browser: Browser) -> None:
    complaints: list[str] = []
    page = opened(browser, (gallery.root / "index.html").as_uri(), 1280, complaints)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "7/27.html"
    page.keyboard.press("Enter")
    page.wait_for_url("**/7/27.html")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/7/26.html")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/7/27.html")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/7/album-5.html")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.id") == "m29"
    page.keyboard.press("Control+ArrowRight")
    page.keyboard.press("Escape")
    page.wait_for_url("**/index.html")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/7/archive-*.html")
    assert complaints == []
    page.close()
