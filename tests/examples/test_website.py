"""examples/website: each example shows a project's pictures in a real Chromium, from a real PostgREST."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests import lengths
from tests.examples.gallery import HOSTILE, NAMES, WIDTHS, look, publish, served
from tests.health.page.browsing import chromium
from tests.instance import HOME
from tests.servers.rows import RowServer

EXAMPLES = HOME / "examples/website"


@pytest.fixture
def rows(row_server: RowServer) -> RowServer:
    row_server.empty()
    return row_server


@pytest.fixture
def web(tmp_path: Path, rows: RowServer) -> Iterator[tuple[Path, str]]:
    """The folder of the web site and its URL. The pictures are in it."""
    folder = tmp_path / "web"
    folder.mkdir()
    with served(folder) as url:
        publish(rows, folder, url)
        yield folder, url


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_the_page_without_a_build(rows: RowServer, web: tuple[Path, str], browser: Browser) -> None:
    folder, url = web
    text = (EXAMPLES / "index.html").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 25
    text = text.replace("https://PROJECT.supabase.co", rows.url).replace("sb_publishable_…", rows.keys.new_publishable)
    (folder / "index.html").write_text(text, encoding="utf-8")
    assert_pictures_are_shown(browser, f"{url}/index.html")


FRAMEWORKS = {"astro": "dist", "next": "out"}
"""By example: where it puts the site that it builds."""


@pytest.mark.skipif(not lengths.is_long, reason="two hundred packages from npm: bin/test --long")
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_page_of_a_framework(
    name: str, rows: RowServer, web: tuple[Path, str], browser: Browser, tmp_path: Path
) -> None:
    project = tmp_path / name
    shutil.copytree(EXAMPLES / name, project)
    environment = {
        **os.environ,
        "SUPABASE_URL": rows.url,
        "SUPABASE_PUBLISHABLE_KEY": rows.keys.new_publishable,
        "ASTRO_TELEMETRY_DISABLED": "1",
        "NEXT_TELEMETRY_DISABLED": "1",
    }
    for command in (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"]):
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    with served(project / FRAMEWORKS[name]) as url:
        assert_pictures_are_shown(browser, f"{url}/index.html")


def assert_pictures_are_shown(browser: Browser, url: str) -> None:
    for width in (360, 1280):
        images = look(browser, url, width)
        newest_first = [f"/{number}/" for number in range(len(NAMES), 0, -1)]
        assert [part for image in images for part in newest_first if part in image["source"]] == newest_first
        for image in images:
            assert image["source"].endswith(".avif")
            fit = next((one for one in WIDTHS if one >= image["shown"]), WIDTHS[-1])
            assert f"/{fit}.avif" in image["source"], (width, image)
            assert image["alt"] == HOSTILE
