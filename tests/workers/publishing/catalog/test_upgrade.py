"""This version of the program with a schema that an earlier one has applied: it goes on, and catches up afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import checking
from tests.servers.faults import FaultProxy, Refuse
from tests.servers.rows import RowServer
from tests.workers.publishing.catalog.builders import CHANNEL, entry, hidden, image, message
from tests.workers.publishing.catalog.conftest import MakeSupabase
from workers.publishing.catalog import CatalogFault, MessageRows, check
from workers.publishing.schema_watch import LOOK_SECONDS, SOON_SECONDS, SchemaWatch

SCHEMA_1 = Path(__file__).with_name("schema_1.sql")
"""deploy/schema.sql as it was before it had a version."""


@pytest.fixture
def old_server(bare_server: RowServer) -> Iterator[RowServer]:
    """The stack with the schema of the version before."""
    bare_server.apply_schema(SCHEMA_1.read_text(encoding="utf-8"))
    yield bare_server


def whole(revision: int, number: int = 1) -> MessageRows:
    """With a value in each of the new columns."""
    channel = {**CHANNEL, "name": "test"}
    fields = {"alt": "a", "tags": ["x"], "is_cover": True, "caption_html": "<b>c</b>", "caption_shown": "c"}
    picture = image(revision, number, kind="photo", preview={"url": "p"}, thumbhash="t", color="#000000", phash=1)
    return MessageRows(channel, message(revision, number, **fields), picture)


def anonymous_ids(server: RowServer) -> list[int]:
    rows = server.sql("begin; set local role anon; select message_id from messages order by 1")
    return [row["message_id"] for row in rows]


def test_rows_go_on_and_are_filled_when_the_schema_is_applied(
    old_server: RowServer, make_supabase: MakeSupabase
) -> None:
    catalog = make_supabase()
    assert catalog.write_many([whole(1, 1), whole(1, 2), whole(1, 3)]) == [True, True, True]
    assert "applied by an earlier version of this program (1; today's is 2)" in str(catalog.outdated())
    with pytest.raises(CatalogFault, match="bin/run schema"):
        catalog.pictures(most=9)
    catalog.write_many([hidden(2, 3)])
    assert anonymous_ids(old_server) == [1, 2], "what is hidden is out of sight there, too"
    (line,) = checking.faults(
        check,
        {
            "state_dir": "/nowhere",
            "catalog": {"backend": "supabase", "url": old_server.url, "key": old_server.keys.service_role},
        },
    )
    assert "applied by an earlier version" in line and "bin/run republish --rows" in line
    old_server.apply_schema()
    assert catalog.outdated() is None
    assert [(row["message_id"], row["tags"], row["alt"]) for row in catalog.pictures(most=9)] == [
        (2, None, None),
        (1, None, None),
    ]
    assert catalog.write_many([whole(1, 1), whole(2, 2)]) == [False, True]
    assert [row["thumbhash"] for row in catalog.pictures(tag="x", most=9)] == ["t"]
    assert catalog.pictures(channel_id=7, message=1, most=1)[0]["channel_name"] == "test"
    catalog.write_many([hidden(3, 3), entry(4, 3)])
    assert anonymous_ids(old_server) == [1, 2, 3]


def test_an_older_program_goes_on_with_a_newer_schema(server: RowServer, make_supabase: MakeSupabase) -> None:
    catalog = make_supabase()
    catalog.write_many([whole(1)])
    old = dict(list(message(2).items())[:8])
    rows = [{"channel": {"id": 7, "title": "Test"}, "message": old, "image": dict(list(image(2).items())[:9])}]
    assert catalog.project.call("ingest_messages", batch=rows) == [True]
    (found,) = catalog.pictures(most=1)
    assert (found["channel_name"], found["tags"], found["caption"]) == ("test", None, "revision 2")


def test_it_is_asked_at_once_then_now_and_then(
    old_server: RowServer, proxy: FaultProxy, make_supabase: MakeSupabase
) -> None:
    now = 0.0
    watch = SchemaWatch(make_supabase(proxy.url), lambda: False, clock=lambda: now)

    def questions() -> int:
        proxy.requests.clear()
        watch.look()
        return len(proxy.requests)

    assert (watch.outdated, questions()) == (None, 1)
    assert "earlier version" in str(watch.outdated)
    assert (watch.columns(), questions()) == (1, 0)
    now += SOON_SECONDS
    assert questions() == 1
    old_server.apply_schema()
    assert watch.columns() == 1, "until it is asked again"
    now += SOON_SECONDS
    assert questions() == 1
    assert [watch.outdated, watch.columns()] == [None, 2]
    now += SOON_SECONDS
    assert questions() == 0
    now += LOOK_SECONDS
    assert questions() == 1


def test_nobody_who_does_not_answer_is_taken_for_outdated(proxy: FaultProxy, make_supabase: MakeSupabase) -> None:
    watch = SchemaWatch(make_supabase(proxy.url), lambda: False)
    proxy.set(Refuse())
    watch.look()
    assert (watch.outdated, watch.columns()) == (None, 1), "so far nobody knows: the row is written again at worst"
