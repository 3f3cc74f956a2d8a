"""The page in a real Chromium with a million published pictures behind it, ten thousand dead and as many waiting."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests import lengths
from tests.backlog import REASONS, fill_catalogue, fill_journal
from tests.health.page.asgi import TOKEN
from tests.health.page.browsing import chromium
from tests.health.page.test_browser import Locked, Seen
from tests.instance import wait_for
from tests.pictures import make_export
from workers.publishing.catalog import SqliteCatalog

PUBLISHED, OTHERS, NEW = 1_000_000, 10_000, 24
"""The new ones are real: as many as the contact sheet has room for."""


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Locked]:
    export = make_export(tmp_path / "export", NEW)
    instance = Locked(tmp_path / "instance", export, "[images]\nwidths = [100]")
    instance.state_dir.mkdir()
    journal = instance.state_dir / "journal.db"
    fill_journal(journal, {"telegram": OTHERS, "dead": OTHERS, "published": PUBLISHED})
    fill_catalogue(instance.state_dir / "catalog.db", journal)
    instance.start(PICTUREDESK__HEALTH__TOKEN=TOKEN)
    yield instance
    instance.end()


def test_what_they_are_made_with_fits_journal_and_catalogue(tmp_path: Path) -> None:
    """Else nobody knows of it until the long test."""
    journal, catalogue = tmp_path / "journal.db", tmp_path / "catalog.db"
    fill_journal(journal, {"telegram": 2, "dead": 2, "published": 8})
    fill_catalogue(catalogue, journal)
    with closing(SqliteCatalog(catalogue)) as opened:
        assert len(opened.pictures(most=20)) == 8


@pytest.mark.skipif(not lengths.is_long, reason="a million rows take a minute to make: bin/test --long")
def test_it_opens_is_live_shows_and_retries_as_with_a_few(instance: Locked, browser: Browser) -> None:
    pids = instance.wait_until_running()
    wait_for("the new ones", lambda: (instance.status() or {"stats": {}})["stats"].get("processed") == PUBLISHED + NEW)
    seen = Seen(browser, instance.url() or "")
    page = seen.page
    expect(page.locator("#sentence")).to_have_text("Locked: give the token")
    seen.complaints.clear()
    page.locator("#token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#counts")).to_contain_text("Published1,000,024")
    expect(page.locator("#sheet img")).to_have_count(NEW)
    page.locator("#sheet").scroll_into_view_if_needed()
    page.wait_for_function("() => [...document.querySelectorAll('#sheet img')].every((one) => one.naturalWidth > 0)")

    os.kill(pids["uploader"], signal.SIGKILL)
    expect(seen.row("uploader").locator("td").nth(4)).to_have_text("1")
    expect(seen.row("uploader")).to_contain_text("running")

    expect(page.locator("#dead-list summary")).to_have_count(len(REASONS))
    expect(page.locator("#dead-list summary").first).to_contain_text("2,500 ×")
    group = page.locator(f"#dead-list details[data-key='{REASONS[0]}']")
    group.locator("summary").click()
    group.get_by_role("button", name="Retry these").click()
    expect(page.locator("#said")).to_have_text("2500 brought back; tried again now")
    expect(page.locator("#dead-list summary")).to_have_count(len(REASONS) - 1)
    expect(page.locator("#dead-count")).to_be_empty()
    assert seen.faults() == seen.complaints == []
