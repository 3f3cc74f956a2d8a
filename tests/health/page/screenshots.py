"""The pictures of the page in docs/, taken of the bundled export:

python -m tests.health.page.screenshots     # PYTHON: .venv-test/bin/python, in the checkout
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, expect

from tests.health.page.browsing import chromium
from tests.instance import HOME, Instance

DOCS = HOME / "docs"
SHOTS: tuple[tuple[str, int, int, Literal["light", "dark"]], ...] = (
    ("page.jpg", 1280, 1250, "light"),
    ("page-phone.jpg", 390, 844, "dark"),
)
"""File, width and height in pixels, colours."""


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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        instance = Instance(Path(folder) / "instance", HOME / "examples/export", workers=2)
        try:
            instance.start(PICTUREDESK__HEALTH__SHOW_CAPTIONS="1")
            instance.wait_until_running()
            instance.wait_until_done()
            with chromium() as browser:
                shoot(browser, instance.url() or "")
            instance.stop()
        finally:
            instance.end()


if __name__ == "__main__":
    main()
