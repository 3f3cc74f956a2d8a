"""The page with a million pictures behind it, against a thousand: how soon it is there, and what a reader costs.

Two trees, one after the other, on a journal with so many published pictures, and a hundredth as many waiting and dead.
Chromium opens the page; "first paint" is its own first-contentful-paint, "all there" when the dead letters are shown,
from the beginning of the navigation. Then CPU of the health process without a reader and with one, while nothing
happens; and how long `POST /actions/retry` takes for the dead letters of one reason (a quarter of them).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser

from benchmarks.common import Tree, cpu_seconds, heading, make_export, say, table, workplace
from tests.backlog import REASONS, fill_journal
from tests.health.page.browsing import chromium

TOKEN = "benchmark"
OPENED = 5

PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


class Locked(Tree):
    """A tree with a token."""

    def get(self, path: str, **headers: str) -> tuple[int, object]:
        return super().get(path, **{"Authorization": f"Bearer {TOKEN}", **headers})


def open_page(browser: Browser, url: str) -> tuple[float, float]:
    """Milliseconds to the first paint and until all is there, with a session."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/")
    page.locator("#token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.locator("#dead-list summary").first.wait_for()
    page.goto("about:blank")
    began = time.perf_counter()
    page.goto(f"{url}/")
    page.locator("#dead-list summary").first.wait_for()
    there = 1000 * (time.perf_counter() - began)
    paint = float(page.evaluate(PAINT))
    context.close()
    return paint, there


def cost(pid: int, seconds: float) -> float:
    """CPU of the process in percent of a core."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return 100 * (cpu_seconds(pid) - before) / seconds


def retry(url: str) -> float:
    """Seconds to bring the dead letters of one reason back."""
    body = json.dumps({"reason": REASONS[0]}).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Picturedesk": "1", "Content-Type": "application/json"}
    began = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/actions/retry", body, headers), timeout=60) as answer:
        answer.read()
    return time.perf_counter() - began


def measure(folder: Path, browser: Browser, count: int, seconds: float) -> list[str]:
    """The figures of a tree with so many published pictures, as text."""
    export = make_export(folder / "export", 0)
    tree = Locked(folder / "tree", export)
    tree.state_dir.mkdir(parents=True)
    fill_journal(tree.state_dir / "journal.db", {"telegram": count // 100, "dead": count // 100, "published": count})
    tree.launch(PICTUREDESK__HEALTH__TOKEN=TOKEN)
    try:
        tree.wait_until_ready()
        time.sleep(5)
        url, pid = tree.url() or "", tree.living()["health"]
        opened = [open_page(browser, url) for _ in range(OPENED)]
        quiet = cost(pid, seconds)
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{url}/")
        page.locator("#token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.locator("#dead-list summary").first.wait_for()
        read = cost(pid, seconds)
        context.close()
        took = retry(url)
    finally:
        tree.shut()
    paint, there = (statistics.median(one) for one in zip(*opened, strict=True))
    return [f"{paint:.0f} ms", f"{there:.0f} ms", f"{quiet:.2f}%", f"{read:.2f}%", f"{took:.2f} s"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run page", description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    names = ["first paint", "all there", "health, no reader", "health, one reader", "retry of a quarter of the dead"]
    with workplace(1200) as folder, chromium() as browser:
        heading("page", f"{options.few:,} and {options.many:,} published, a hundredth of it waiting and dead.")
        both = []
        for count in (options.few, options.many):
            both.append(measure(folder / str(count), browser, count, options.seconds))
            say(" ".join(both[-1]))
    table(("", f"{options.few:,}", f"{options.many:,}"), list(zip(names, *both, strict=True)))


if __name__ == "__main__":
    main()
