"""A real Chromium, driven by Playwright. It is the system's: `bin/test` installs it where it may."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, until the end of the block."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "Chromium is missing. bin/test installs it, or: sudo apt-get install -y chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        yield browser
        browser.close()
