"""The pictures of the page and of the gallery in docs/, taken of the bundled export:

python -m tests.health.page.screenshots     # PYTHON: .venv-test/bin/python, in the checkout
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, expect

from tests.health.page.browsing import chromium
from tests.instance import HOME, Instance, wait_for

DOCS = HOME / "docs"
SHOTS: tuple[tuple[str, int, int, Literal["light", "dark"]], ...] = (
    ("page.jpg", 1280, 1250, "light"),
    ("page-phone.jpg", 390, 844, "dark"),
)
"""File, width and height in pixels, colours."""

GALLERY = {"PICTUREDESK__SITE__ENABLED": "true", "PICTUREDESK__FEEDS__ENABLED": "true"}
POSTS = 10
"""Of the bundled export, its album counted as one."""


def shoot(browser: Browser, url: str) -> None:
    for name, width, height, scheme in SHOTS:
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.goto(f"{url}/")
        expect(page.locator("#sheet img").first).to_be_visible()
        page.wait_for_function(
            "() => [...document.querySelectorAll('#sheet img')].every((one) => one.loading = 'eager')"
            " && [...document.querySelectorAll('#sheet img')].every((one) => one.complete)"
        )
        page.screenshot(path=DOCS / name, type="jpeg", quality=80)
        page.close()


def shoot_gallery(browser: Browser, url: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1080})
    page.goto(f"{url}/site/")
    page.evaluate(
        "async () => { for (const one of document.images) one.loading = 'eager';"
        " await Promise.all([...document.images].map((one) => one.decode())) }"
    )
    page.screenshot(path=DOCS / "gallery.jpg", type="jpeg", quality=66)
    page.close()


def has_gallery(instance: Instance) -> bool:
    """Whether each post of the export has its page, and the front page came after them."""
    site = instance.state_dir / "media/site"
    front = site / "index.html"
    posts = {path.name for path in site.glob("*/[0-9a]*.html") if not path.name.startswith("archive")}
    return len(posts) == POSTS and front.exists() and all(name in front.read_text(encoding="utf-8") for name in posts)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        instance = Instance(Path(folder) / "instance", HOME / "examples/export", workers=2)
        try:
            instance.start(PICTUREDESK__HEALTH__SHOW_CAPTIONS="1", **GALLERY)
            instance.wait_until_running()
            instance.wait_until_done()
            with chromium() as browser:
                shoot(browser, instance.url() or "")
                wait_for("the gallery", lambda: has_gallery(instance))
                shoot_gallery(browser, instance.url() or "")
            instance.stop()
        finally:
            instance.end()


if __name__ == "__main__":
    main()
