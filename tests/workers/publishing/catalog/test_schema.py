"""deploy/schema.sql in a real database: who may do what, and that it can be applied again and over what is older."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.servers.rows import OWNER, SCHEMA, RowServer
from tests.workers.publishing.catalog.builders import CHANNEL, deletion, digest, entry, hidden, image, message
from tests.workers.publishing.catalog.conftest import MakeSupabase
from workers.publishing.catalog import MessageRows

TABLES = ("channels", "messages", "images", "message_tags")
VIEWS = ("pictures", "pictures_by_tag")


class Site:
    """A site's own client of the interface, with a key of the public kind."""

    def __init__(self, server: RowServer, key: str) -> None:
        self.http = httpx.Client(base_url=f"{server.url}/rest/v1", headers={"apikey": key})
        if not key.startswith("sb_"):
            self.http.headers["Authorization"] = f"Bearer {key}"

    def ids(self, table: str) -> list[int]:
        answer = self.http.get(f"/{table}", params={"order": "message_id"})
        assert answer.status_code == 200, answer.text
        return [row["message_id"] for row in answer.json()]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = self.http.request(method, path, json=body)
        return answer.status_code, answer.json() if answer.content else None


@pytest.fixture(params=["anon", "new_publishable", "authenticated"])
def site(server: RowServer, request: pytest.FixtureRequest) -> Iterator[Site]:
    name: str = request.param
    site = Site(server, server.keys.jwt(name) if name == "authenticated" else getattr(server.keys, name))
    yield site
    site.http.close()


# Who may do what


def test_a_site_reads_what_is_not_deleted(server: RowServer, site: Site, make_supabase: MakeSupabase) -> None:
    catalog = make_supabase()
    tagged = {"tags": ["x"]}
    rows = [entry(1, 1), entry(1, 2), deletion(2, 2), deletion(2, 3), entry(1, 4, **tagged), entry(1, 5, **tagged)]
    catalog.write_many([*rows, entry(1, 6, **tagged), hidden(2, 6, **tagged), hidden(2, 7, **tagged)])
    for table in ("messages", "images", "pictures"):
        assert site.ids(table) == [1, 4, 5]
    for table in ("message_tags", "pictures_by_tag"):
        assert site.ids(table) == [4, 5]
    assert site.ask("GET", "/channels") == (200, [CHANNEL])
    # A row that was written past the function shows no more.
    server.sql("update messages set deleted_at = now() where message_id = 4")
    server.sql("update messages set hidden_at = now() where message_id = 5")
    for table in ("messages", "images", "pictures"):
        assert site.ids(table) == [1]
    for table in ("message_tags", "pictures_by_tag"):
        assert site.ids(table) == []


def test_a_view_has_the_rights_of_its_reader(server: RowServer) -> None:
    """So row level security holds for it, too: what it shows does not hang on its own conditions alone."""
    found = server.sql("select relname, reloptions from pg_class where relname like 'pictures%%' and relkind = 'v'", {})
    assert {row["relname"]: row["reloptions"] for row in found} == {view: ["security_invoker=true"] for view in VIEWS}


@pytest.mark.parametrize("table", TABLES)
def test_a_site_writes_nothing(server: RowServer, site: Site, make_supabase: MakeSupabase, table: str) -> None:
    make_supabase().write_many([entry(1)])
    before = server.sql(f"select * from {table}")
    tag = {"channel_id": 7, "message_id": 1, "tag": "x", "posted_at": "2025-02-01T10:00:00Z"}
    rows = {"channels": {"id": 8, "title": "x"}, "messages": message(1, 2), "images": image(1), "message_tags": tag}
    for method, path, body in [
        ("POST", f"/{table}", rows[table]),
        ("PATCH", f"/{table}?{'id' if table == 'channels' else 'channel_id'}=eq.7", rows[table]),
        ("DELETE", f"/{table}?{'id' if table == 'channels' else 'channel_id'}=eq.7", None),
    ]:
        status, answer = site.ask(method, path, body)
        assert status in (401, 403), answer
        assert answer["code"] == "42501"
    assert server.sql(f"select * from {table}") == before


def test_a_site_calls_no_function(server: RowServer, site: Site) -> None:
    calls: dict[str, dict[str, Any]] = {
        "ingest_messages": {"batch": []},
        "picturedesk_referenced": {"sha256s": []},
        "picturedesk_named": {"sha256s": []},
        "picturedesk_faults": {},
        "picturedesk_version": {},
    }
    for function, arguments in calls.items():
        status, answer = site.ask("POST", f"/rpc/{function}", arguments)
        assert status in (401, 403)
        assert answer["code"] == "42501"


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_a_function_granted_by_mistake_lets_nobody_write(server: RowServer, role: str) -> None:
    """It runs with its caller's rights, and those are not enough; neither are they behind row level security."""
    batch = json.dumps([{"channel": CHANNEL, "message": message(1), "image": image(1)}])
    call = f"set local role {role}; select public.ingest_messages($batch${batch}$batch$)"
    with pytest.raises(Exception, match="permission denied for function"):
        server.sql(f"begin; {call}")
    with pytest.raises(Exception, match="permission denied for table"):
        server.sql(f"begin; grant execute on function public.ingest_messages(jsonb) to {role}; {call}")
    with pytest.raises(Exception, match="violates row-level security policy"):
        server.sql(
            f"begin; grant execute on function public.ingest_messages(jsonb) to {role};"
            f" grant all on table public.channels, public.messages, public.images to {role}; {call}"
        )


def test_a_service_role_that_does_not_bypass_row_level_security(server: RowServer, make_supabase: MakeSupabase) -> None:
    """As on a server of one's own: nothing hidden from it, or garbage collection would take what is in use."""
    server.sql("alter role service_role nobypassrls")
    try:
        catalog = make_supabase()
        assert catalog.write_many([entry(1), deletion(2), entry(1, 2)]) == [False, True, True]
        assert catalog.referenced([digest(1)]) == {digest(1)}
    finally:
        server.sql("alter role service_role bypassrls")


def test_every_table_column_and_function_says_what_it_is(server: RowServer) -> None:
    silent = server.sql(
        """
        select attrelid::regclass || '.' || attname as name from pg_attribute
        where attrelid in (
            'channels'::regclass, 'messages'::regclass, 'images'::regclass, 'message_tags'::regclass,
            'pictures'::regclass
        ) and attnum > 0 and not attisdropped and col_description(attrelid, attnum) is null
        union all
        select relname from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')
          and obj_description(oid, 'pg_class') is null
        union all
        select proname from pg_proc
        where pronamespace = 'public'::regnamespace and obj_description(oid, 'pg_proc') is null
        """
    )
    assert silent == []


# Applying it


def snapshot(server: RowServer) -> dict[str, list[dict[str, Any]]]:
    """All that the file makes, as the database describes it."""
    return {
        "columns": server.sql(
            """
            select attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull,
                   pg_get_expr(adbin, adrelid), col_description(attrelid, attnum)
            from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
            where attrelid in (
                'channels'::regclass, 'messages'::regclass, 'images'::regclass, 'message_tags'::regclass
            ) and attnum > 0 and not attisdropped
            order by 1, attnum
            """
        ),
        "constraints": server.sql(
            """
            select conname, pg_get_constraintdef(oid) from pg_constraint
            where connamespace = 'public'::regnamespace order by 1
            """
        ),
        "indexes": server.sql("select indexname, indexdef from pg_indexes where schemaname = 'public' order by 1"),
        "policies": server.sql("select * from pg_policies where schemaname = 'public' order by tablename, policyname"),
        "tables": server.sql(
            """
            select relname, relrowsecurity, relowner::regrole::text,
                (select array_agg(one::text order by one::text) from unnest(relacl) as one) as relacl
            from pg_class
            where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1
            """
        ),
        "views": server.sql(
            """
            select relname, reloptions, relacl::text, pg_get_viewdef(oid) from pg_class
            where relnamespace = 'public'::regnamespace and relkind = 'v' order by 1
            """
        ),
        "functions": server.sql(
            """
            select oid::regprocedure::text, pg_get_functiondef(oid),
                (select array_agg(one::text order by one::text) from unnest(proacl) as one) as proacl
            from pg_proc
            where pronamespace = 'public'::regnamespace and proname !~ '^pd_' order by 1
            """
        ),
    }


def test_applied_twice_it_changes_nothing(server: RowServer, make_supabase: MakeSupabase) -> None:
    make_supabase().write_many([entry(1)])
    before = snapshot(server)
    assert len(before["tables"]) == 4
    assert len(before["views"]) == 2
    assert len(before["functions"]) == 6
    server.apply_schema()
    assert snapshot(server) == before
    assert make_supabase().write_many([entry(1), entry(1, 2)]) == [False, True]


def test_over_the_first_version_it_adds_what_that_did_not_have(
    bare_server: RowServer, make_supabase: MakeSupabase
) -> None:
    bare_server.apply_schema()
    whole = snapshot(bare_server)
    bare_server.drop_schema()
    tables = SCHEMA.read_text()
    tables = tables[: tables.index("-- Columns that the first version did not have.")] + "commit;"
    bare_server.sql(tables, role=OWNER)
    bare_server.sql(
        """
        insert into channels values (7, 'Test');
        insert into messages values (7, 1, 5, null, 'revision 5', '2025-02-01T10:00:00Z', null, null)
        """
    )
    bare_server.apply_schema()
    assert snapshot(bare_server) == whole
    assert bare_server.sql("select entities, forwarded_from, reply_to from messages") == [
        {"entities": [], "forwarded_from": None, "reply_to": None}
    ]
    catalog = make_supabase()
    assert catalog.write_many([entry(5), entry(6)]) == [False, True]


def test_it_is_applied_whole_or_not_at_all(bare_server: RowServer) -> None:
    bare_server.sql("create table images (id int)", role=OWNER)  # somebody else's
    with pytest.raises(Exception, match="sha256"):
        bare_server.apply_schema()
    assert bare_server.sql("select relname from pg_class where relnamespace = 'public'::regnamespace") == [
        {"relname": "images"}
    ]


def test_it_names_every_role_and_schema(server: RowServer) -> None:
    """A search path of somebody's choosing must lead no function astray."""
    found = server.sql(
        "select proname, proconfig, prosecdef from pg_proc"
        " where pronamespace = 'public'::regnamespace and proname !~ '^pd_'"
    )
    assert len(found) == 6
    assert all(row["proconfig"] == ['search_path=""'] and not row["prosecdef"] for row in found)


# What a batch does to others


def test_batches_that_overlap_wait_for_each_other_and_never_in_a_circle(
    server: RowServer, make_supabase: MakeSupabase
) -> None:
    """With deletions among them: an image that another batch commits while a deletion waits has to go as well."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    rounds = 25
    start = threading.Barrier(8)

    def write(revision: int) -> None:
        catalog = make_supabase()
        for turn in range(rounds):
            make = deletion if revision == 8 else entry
            batch = [make(10 * turn + revision, number) for number in range(12)]
            start.wait()
            catalog.write_many(chance.sample(batch, len(batch)))

    with ThreadPoolExecutor(8) as writers:
        list(writers.map(write, range(1, 9)))
    highest = 10 * (rounds - 1) + 8
    assert server.sql("select distinct revision, deleted_at is null as live from messages") == [
        {"revision": highest, "live": False}
    ], f"seed {seed}"
    assert server.sql("select count(*) from images") == [{"count": 0}], f"seed {seed}"


def test_a_deletion_that_waits_for_a_new_image_removes_it(server: RowServer) -> None:
    """The image is committed after the deletion has begun, and before it may go on."""
    batch = {"channel": CHANNEL, "message": message(1), "image": image(1)}
    deleted = {"channel": CHANNEL, "message": dict(deletion(2).message), "image": None}
    done = threading.Event()

    def delete() -> None:
        server.sql("select public.ingest_messages(%(batch)s)".replace("%(batch)s", _literal([deleted])))
        done.set()

    server.sql(f"select public.ingest_messages({_literal([{**batch, 'message': message(0), 'image': None}])})")
    waiter = threading.Thread(target=delete)
    with server.connect() as other:
        other.execute(f"select public.ingest_messages({_literal([batch])})".encode())
        waiter.start()
        assert not done.wait(0.3)
        other.commit()
    waiter.join()
    assert server.sql("select revision from messages") == [{"revision": 2}]
    assert server.sql("select * from images") == []


def test_writers_of_one_channel_do_not_wait_at_its_row(server: RowServer, make_supabase: MakeSupabase) -> None:
    catalog = make_supabase()
    catalog.write_many([entry(1)])
    with server.connect() as other:
        rows = [{"channel": CHANNEL, "message": message(2), "image": None}]
        other.execute(f"select public.ingest_messages({_literal(rows)})".encode())
        assert catalog.write_many([entry(1, 2)]) == [True]  # it would time out
        other.rollback()


def _literal(batch: list[dict[str, Any]]) -> str:
    return f"$batch${json.dumps(batch)}$batch$"


def test_the_interface_cuts_long_answers_but_not_these(server: RowServer, make_supabase: MakeSupabase) -> None:
    """Hosted projects give no more than 1000 rows at a time; an answer in one value is not cut."""
    catalog = make_supabase()
    batch = [MessageRows(CHANNEL, message(1, number)) for number in range(1100)]
    assert catalog.write_many(batch) == [True] * 1100


def test_the_file_ends_with_the_word_to_the_interface() -> None:
    assert re.search(r"notify pgrst, 'reload schema';\s+commit;\s*$", SCHEMA.read_text())
