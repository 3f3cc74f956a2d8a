"""deploy/realtime.sql in a real database: which changes are broadcast, with what, and who may hear of them.

Realtime itself can't be had here. In its place stands a schema `realtime` with the table, the names and the parameters
that the SQL uses (https://supabase.com/docs/guides/realtime/broadcast), whose `send` keeps what it is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.servers.rows import OWNER, SCHEMA, RowServer
from tests.workers.publishing.catalog.builders import CHANNEL, deletion, entry, image, message
from tests.workers.publishing.catalog.conftest import MakeSupabase
from workers.publishing.catalog import MessageRows

REALTIME = SCHEMA.with_name("realtime.sql").read_text(encoding="utf-8")

STAND_IN = f"""
create schema realtime authorization {OWNER};
set role {OWNER};
create table realtime.messages (
    id bigint generated always as identity, topic text not null, extension text not null, payload jsonb, event text,
    private boolean default false, inserted_at timestamp not null default now()
);
alter table realtime.messages enable row level security;
create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
language sql as $$
    insert into realtime.messages (payload, event, topic, private, extension)
    values (payload, event, topic, private, 'broadcast');
$$;
create function realtime.topic() returns text language sql stable as
'select nullif(current_setting(''realtime.topic'', true), '''')';
grant usage on schema realtime to anon, authenticated;
grant select, insert on realtime.messages to anon, authenticated;
reset role;
"""


@pytest.fixture
def realtime(server: RowServer) -> Iterator[RowServer]:
    """The stack with the stand-in and the SQL applied, as its owner would."""
    server.sql(STAND_IN)
    try:
        server.sql(REALTIME, role=OWNER)
        yield server
    finally:
        server.sql("drop schema realtime cascade")
        server.renew_schema()


def told(server: RowServer) -> list[tuple[str, dict[str, Any]]]:
    rows = server.sql("select * from realtime.messages order by id")
    assert all((row["topic"], row["extension"], row["private"]) == ("pictures", "broadcast", True) for row in rows)
    return [(row["event"], row["payload"]) for row in rows]


def test_each_change_is_told_once_with_the_row_of_the_view(realtime: RowServer, make_supabase: MakeSupabase) -> None:
    catalog = make_supabase()
    catalog.write_many([entry(1, 1, caption="first"), entry(1, 2)])
    assert [(event, row["message_id"], row["caption"]) for event, row in told(realtime)] == [
        ("published", 1, "first"),
        ("published", 2, "revision 1"),
    ]
    (asked,) = realtime.sql("select to_jsonb(picture) as row from public.pictures as picture where message_id = 1")
    assert told(realtime)[0][1] == asked["row"] and asked["row"]["src"], "its image too, which was written after it"
    catalog.write_many([entry(1, 1), entry(2, 1, caption="edited")])  # the first repeats what is there
    event, row = told(realtime)[-1]
    assert (len(told(realtime)), event, row["caption"]) == (3, "changed", "edited")
    realtime.sql("update public.messages set caption = 'by hand'")
    assert len(told(realtime)) == 3, "what an update of the schema fills in is none"


def test_what_is_deleted_or_hidden_is_told_of_without_its_row(realtime: RowServer, make_supabase: MakeSupabase) -> None:
    catalog = make_supabase()
    hidden = {"hidden_at": "2025-03-01T10:00:00Z"}
    catalog.write_many([entry(1, 1), entry(1, 2), deletion(1, 3), MessageRows(CHANNEL, message(1, 4, **hidden))])
    assert [row["message_id"] for _, row in told(realtime)] == [1, 2], "nobody has seen the others"
    catalog.write_many([deletion(2, 1), MessageRows(CHANNEL, message(2, 2, caption="no secret", **hidden))])
    assert told(realtime)[2:] == [
        ("deleted", {"channel_id": 7, "message_id": 1}),
        ("deleted", {"channel_id": 7, "message_id": 2}),
    ]
    catalog.write_many([deletion(3, 1), MessageRows(CHANNEL, message(3, 2, **hidden))])
    assert len(told(realtime)) == 4
    catalog.write_many([MessageRows(CHANNEL, message(4, 2), image(4, 2))])
    event, row = told(realtime)[-1]
    assert (len(told(realtime)), event, row["message_id"]) == (5, "published", 2)
    realtime.sql("update public.messages set deleted_at = now() where message_id = 2")
    assert told(realtime)[-1] == ("deleted", {"channel_id": 7, "message_id": 2})


def test_what_is_rolled_back_is_not_told(realtime: RowServer, make_supabase: MakeSupabase) -> None:
    make_supabase().write_many([entry(1, 1)])
    with realtime.connect() as session:
        session.execute("update public.messages set revision = 9")
        session.rollback()
    assert len(told(realtime)) == 1


def test_a_broadcast_that_fails_costs_no_row(realtime: RowServer, make_supabase: MakeSupabase) -> None:
    realtime.sql("alter table realtime.messages add constraint full_up check (id < 0) not valid")
    catalog = make_supabase()
    assert catalog.write_many([entry(1, 1)]) == [True]
    assert catalog.pictures(channel_id=7, message=1, most=1) and told(realtime) == []


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_anybody_hears_of_pictures_and_of_nothing_else_and_tells_nothing(
    realtime: RowServer, make_supabase: MakeSupabase, role: str
) -> None:
    make_supabase().write_many([entry(1, 1)])
    realtime.sql(
        "insert into realtime.messages (topic, extension) values ('pictures', 'presence'), ('other', 'broadcast')"
    )

    def heard(topic: str) -> int:
        with realtime.connect() as session:
            session.execute(f"set local role {role}")
            session.execute("select set_config('realtime.topic', %s, true)", [topic])
            return len(session.execute("select * from realtime.messages").fetchall())

    # Realtime asks this once, when somebody joins a channel: may the role read such a message there?
    assert heard("pictures") >= 1
    assert (heard("other"), heard("")) == (0, 0)
    with realtime.connect() as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute(f"set local role {role}")
        session.execute("insert into realtime.messages (topic, extension) values ('pictures', 'broadcast')")
    with realtime.connect() as session, pytest.raises(psycopg.Error):
        session.execute(f"set local role {role}")
        session.execute("select public.picturedesk_broadcast()")


def test_it_may_be_applied_again_and_the_schema_over_it(realtime: RowServer, make_supabase: MakeSupabase) -> None:
    realtime.sql(REALTIME, role=OWNER)
    realtime.apply_schema()
    realtime.sql(REALTIME, role=OWNER)
    catalog = make_supabase()
    catalog.write_many([entry(1, 1)])
    assert len(told(realtime)) == 1
    (row,) = realtime.sql("select public.picturedesk_faults() as faults")
    assert row["faults"] == []


def test_it_is_ended_as_the_page_says(realtime: RowServer, make_supabase: MakeSupabase) -> None:
    page = (SCHEMA.parents[1] / "docs" / "realtime.md").read_text(encoding="utf-8")
    (end,) = [block.split("```")[0] for block in page.split("```sql\n")[1:]]
    realtime.sql(end, role=OWNER)
    make_supabase().write_many([entry(1, 1)])
    assert told(realtime) == []
    assert realtime.sql("select * from pg_policies where schemaname = 'realtime'") == []


def test_it_is_refused_where_there_is_no_realtime(server: RowServer) -> None:
    with pytest.raises(psycopg.Error, match=r"realtime\.send is missing"):
        server.sql(REALTIME, role=OWNER)
