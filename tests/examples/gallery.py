"""A project with some photographs of the bundled export, and the server of a web site beside it; what a reader sees."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from tests.instance import HOME
from tests.servers.ports import HOST
from tests.servers.rows import RowServer
from workers.publishing.catalog.supabase.catalog import SupabaseCatalog
from workers.rendering import imaging

PHOTOS = HOME / "examples/export/photos"
NAMES = (
    "photo_1@05-10-2025_19-31-08.jpg",
    "photo_4@08-10-2025_08-14-52.jpg",
    "photo_6@16-10-2025_12-20-35.jpg",
)
WIDTHS = (160, 320, 640)
CHANNEL = 42
AXE = HOME / "tests/servers/node_modules/axe-core/axe.min.js"
HOSTILE = "\"><script>alert('no')</script>"
"""An editor's text that a page must not take for its own."""

SHIFTS = """
new PerformanceObserver(list => {
    for (const entry of list.getEntries()) window.shifted = (window.shifted ?? 0) + entry.value
}).observe({ type: "layout-shift", buffered: true })
"""

LOOK = """
async () => {
    const all = [...document.querySelectorAll("img")]
    for (const one of all) { one.scrollIntoView(); await one.decode() }
    return {
        images: all.map(one => ({
            width: one.naturalWidth, source: one.currentSrc, alt: one.alt, shown: one.clientWidth * devicePixelRatio,
        })),
        covers: [...document.querySelectorAll(".spoiler")].map(one => getComputedStyle(one).filter.split("(")[0]),
        shifted: window.shifted ?? 0,
        overflow: document.documentElement.scrollWidth - innerWidth,
    }
}
"""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder's files, as any web server gives them; its URL."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".avif": "image/avif", ".webp": "image/webp"}

    def do_GET(self) -> None:
        """A browser asks for the site's icon by itself, and these have none."""
        if self.path == "/favicon.ico":
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def publish(rows: RowServer, folder: Path, url: str) -> None:
    """Render the photographs into `folder`, which is at `url`, and write their rows. The newest comes last."""
    limits = imaging.Limits(max_bytes=10**8, max_dimension=8192, max_pixels=10**8)
    catalog = SupabaseCatalog(rows.url, rows.keys.service_role)
    for number, name in enumerate(NAMES, 1):
        (folder / str(number)).mkdir()
        rendered = imaging.render(PHOTOS / name, folder / str(number), limits, imaging.Ladder(WIDTHS, True, True), None)
        address = {"channel_id": CHANNEL, "message_id": number}
        message = {
            **address,
            "revision": 1,
            "grouped_id": None,
            "caption": HOSTILE,
            "caption_html": 'It was <span class="spoiler">Bob</span>',
            "posted_at": f"2026-01-0{number}T12:00:00Z",
            "edited_at": None,
            "deleted_at": None,
            "alt": HOSTILE,
        }
        image = {
            **address,
            "photo_id": None,
            "sha256": f"{number:064x}",
            "mime": rendered.mime,
            "width": rendered.width,
            "height": rendered.height,
            "bytes": 1,
            "color": "#336699",
            "renditions": [
                {
                    "width": one.width,
                    "height": one.height,
                    "format": one.format,
                    "bytes": one.bytes,
                    "key": f"{number}/{one.width}.{one.format}",
                    "url": f"{url}/{number}/{one.width}.{one.format}",
                }
                for one in rendered.renditions
            ],
        }
        catalog.write({"id": CHANNEL, "title": "Pictures", "name": "pictures"}, message, image)
    catalog.close()


def look(browser: Browser, url: str, width: int) -> list[dict[str, Any]]:
    """What a reader sees of the pictures in a window of that width, from top to bottom; all else is as it should be."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"a text was run: {dialog.message}"))
    page.add_init_script(SHIFTS)
    page.add_init_script(path=AXE)
    page.goto(url)
    page.wait_for_selector("img")
    seen = page.evaluate(LOOK)
    faults = page.evaluate("() => axe.run()")["violations"]
    context.close()
    assert complaints == [], complaints
    told = [f"{one['id']}: {one['nodes'][0]['html']}" for one in faults]
    assert told == [], told
    assert seen["covers"] == ["blur"] * len(seen["images"]), "what is under a spoiler is read by everybody"
    assert seen["shifted"] == 0, "the layout moved"
    assert seen["overflow"] <= 0, "it is wider than the window"
    images: list[dict[str, Any]] = seen["images"]
    return images
