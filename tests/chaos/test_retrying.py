"""kill -9 of the root while "Retry these" of the page brings twenty thousand dead letters back."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests import lengths
from tests.backlog import fill_journal
from tests.health.page.asgi import TOKEN
from tests.instance import Instance, wait_for

COUNT = 20_000
REASON, OTHER = "too large", "truncated"
PLACES = ("SELECT state, count(*) FROM jobs GROUP BY state", "SELECT state, jobs FROM states WHERE jobs > 0")
GROUPS = (
    "SELECT reason, count(*) FROM jobs WHERE state = 'dead' GROUP BY reason",
    "SELECT reason, jobs FROM dead_reasons",
)


def ask(instance: Instance, query: str) -> dict[str, int]:
    """A table of two columns of the journal."""
    with closing(sqlite3.connect(instance.state_dir / "journal.db", timeout=10)) as database:
        return dict(database.execute(query).fetchall())


def retry(instance: Instance) -> tuple[int, str]:
    """Click; status, and what the page says."""
    url = f"{instance.url()}/actions/retry"
    headers = {"x-picturedesk": "1", "authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(url, json.dumps({"reason": REASON}).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            body: dict[str, Any] = json.load(answer)
            return answer.status, str(body["said"])
    except urllib.error.HTTPError as refused:
        return refused.code, str(json.load(refused)["said"])


def click(instance: Instance) -> None:
    """And hear nothing of it."""
    with suppress(OSError, ValueError):
        retry(instance)


@pytest.mark.skipif(not lengths.is_long, reason="twenty thousand dead letters take some seconds: bin/test --long")
def test_the_root_is_killed_while_dead_letters_are_brought_back(
    tmp_path: Path, make_instance: Callable[..., Instance]
) -> None:
    """Those that came back stay where they are: they wait for Telegram, which this instance does not read."""
    instance = make_instance(tmp_path / "no-export")
    instance.state_dir.mkdir()
    journal = instance.state_dir / "journal.db"
    fill_journal(journal, {"dead": COUNT + 10})
    with closing(sqlite3.connect(journal)) as database, database:
        database.execute(
            "UPDATE jobs SET dead_state = 'seen', source = 'telegram', reason = iif(message_id > 10, ?, ?)",
            (REASON, OTHER),
        )
    instance.start(PICTUREDESK__HEALTH__TOKEN=TOKEN)
    wait_for("its address", instance.url)
    wait_for("/status", instance.status)

    clicking = threading.Thread(target=click, args=(instance,))
    clicking.start()
    until = time.monotonic() + 30
    while not ask(instance, PLACES[1]).get("seen") and time.monotonic() < until:
        time.sleep(0.001)
    instance.kill()
    instance.wait_until_gone()
    clicking.join()
    back = ask(instance, PLACES[0]).get("seen", 0)
    assert 0 < back < COUNT, "it was killed in between"
    assert back % 500 == 0, "as many as come back in one go, or none of these"

    instance.start(PICTUREDESK__HEALTH__TOKEN=TOKEN)
    wait_for("its address", instance.url)
    wait_for("/status", instance.status)
    assert retry(instance) == (200, f"{COUNT - back} brought back; tried again now")
    assert retry(instance)[0] == 409, "nothing is left to bring back"
    assert ask(instance, PLACES[0]) == ask(instance, PLACES[1]) == {"dead": 10, "seen": COUNT}
    assert ask(instance, GROUPS[0]) == ask(instance, GROUPS[1]) == {OTHER: 10}
    assert ask(instance, "SELECT name, value FROM totals")["retried"] == COUNT, "each was brought back once"
    assert instance.stop() == 0
