"""What a running instance's /status says of the channels. What Telegram itself says is tested with the command."""

from __future__ import annotations

import doctest
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ipc.journal import Journal, peers
from tests import checking
from tests.servers.telegram import TelegramServer
from tests.servers.telegram.tl import UNKNOWN
from workers.sources.telegram import check
from workers.sources.telegram.check import from_status

GOOD = {"address": "@news", "title": "News", "id": 7, "is_member": True, "problem": "", "remedy": "", "behind": 0}


def look(
    *rows: dict[str, Any],
    channels: tuple[str, ...] = ("@news",),
    connected: bool = True,
    problems: list[dict[str, str]] | None = None,
    source: str = "telegram",
) -> tuple[list[str], list[str]]:
    """The good lines, without the one that says where it is from, and the faults."""
    stats = {"connected": connected, "source": {"source": source} if source else {}}
    status = {"stats": stats, "channels": list(rows), "problems": problems or []}
    given = ({"channels": channels, "monitor_seconds": 30.0}, status)
    return checking.good(from_status, *given)[1:], checking.faults(from_status, *given)


def test_good_ones() -> None:
    assert look(GOOD) == (["channel @news: 'News', id 7, member"], [])
    (line,), _ = look({**GOOD, "is_member": False})
    assert "not a member: its posts are found by asking every 30 s" in line


def test_the_examples_hold() -> None:
    assert doctest.testmod(check).failed == 0


def test_an_address_is_found_however_it_is_written() -> None:
    assert look(GOOD, channels=("https://t.me/s/News/12",))[1] == []
    invited = {**GOOD, "address": "t.me/+AbCd…"}
    assert look(invited, channels=("https://t.me/joinchat/AbCdEfGhIjKl",))[1] == []


def test_rows_of_channels_that_are_not_configured_are_passed_over() -> None:
    export = {"id": 9, "title": "An export's", "cursor": 5, "behind": 0}
    former = {**GOOD, "address": "@former", "problem": "gone"}
    assert look(export, former, GOOD) == (["channel @news: 'News', id 7, member"], [])


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([{**GOOD, "problem": "it is private", "remedy": "Join it"}], "channel @news: it is private. Join it"),
        ([{"address": "@news", "id": None, "title": "", "problem": "nobody has it"}], "channel @news: nobody has it"),
        ([{"address": "@news", "id": None, "title": "", "problem": ""}], "has not looked at it yet"),
        ([], "Restart it"),
    ],
)
def test_bad_ones(rows: list[dict[str, Any]], fault: str) -> None:
    good, faults = look(*rows)
    assert good == [] and len(faults) == 1 and fault in faults[0]


def test_an_instance_that_is_not_connected_or_reads_something_else() -> None:
    problems = [{"what": "connection is held: no session", "remedy": "Log in", "since": "now"}]
    assert look(GOOD, connected=False, problems=problems, source="") == ([], ["connection is held: no session. Log in"])
    assert "not connected" in look(GOOD, connected=False)[1][0]
    assert "does not read Telegram" in look(GOOD, source="export")[1][0]


@pytest.mark.tree
def test_a_name_that_led_another_account_to_another_channel(server: TelegramServer, tmp_path: Path) -> None:
    """The connection does not take it, whatever account it was: so the check says so."""
    channel = server.world.add_channel("Taken over", "newsdesk")
    with closing(Journal.open(tmp_path / "journal.db")) as journal:
        peers.put(journal, "name:newsdesk", account_id=4711, channel_id=channel.id + 1, access_hash=5)
    options = {
        "api_id": server.api_id,
        "api_hash": server.api_hash,
        "session": server.session_string(),
        "server": server.address,
        "public_key": "",
        "proxy": "",
        "state_dir": str(tmp_path),
        "channels": ["@newsdesk"],
        "monitor_seconds": 30.0,
    }
    (fault,) = checking.faults(check.check, options)
    assert f"channel @newsdesk: it leads to another channel than before (id {channel.id})" in fault

    server.faults.rpc("contacts.resolveUsername", error="FLOOD_WAIT_48038")
    (fault,) = checking.faults(check.check, options)
    assert "channel @newsdesk: Telegram asks to wait for 13 h 21 min" in fault
    server.faults.clear()
    server.faults.rpc("contacts.resolveUsername", answer=UNKNOWN)
    (fault,) = checking.faults(check.check, options)
    assert "unknown constructor" in fault and "Update Picturedesk" in fault

    server.stop()
    (fault,) = checking.faults(check.check, options)
    assert f"cannot be reached: {server.address}: Connection refused (ECONNREFUSED)" in fault
