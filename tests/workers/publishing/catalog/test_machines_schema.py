"""deploy/machines.sql in a real database: who may do what, that it can be applied again, what `check` says of it."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import checking
from tests.servers.rows import MACHINES, OWNER, PGMQ, RowServer
from tests.workers.publishing.catalog.builders import entry
from tests.workers.publishing.catalog.conftest import IMPATIENT, MakeQueues, MakeSupabase
from tests.workers.publishing.catalog.queue_desk import ORIGIN, dead, hand_over, key, numbers, results, rows, take
from tests.workers.publishing.catalog.test_schema import Site
from workers.publishing.catalog import CatalogFault, Fenced, check
from workers.publishing.catalog.supabase.queues import Queues

SCHEMA_1 = Path(__file__).with_name("schema_1.sql")
MACHINES_1 = Path(__file__).with_name("machines_1.sql")
"""deploy/machines.sql as it was before it had a version, and receipts a key."""
SQL = MACHINES.read_text(encoding="utf-8")

NODES: dict[str, dict[str, Any]] = {
    "pd_take": {"node": "a", "about": {}, "n": 1, "lease_seconds": 60},
    "pd_extend": {"node": "a", "about": {}, "receipts": [], "lease_seconds": 60},
    "pd_settle": {"node": "a", "receipts": []},
    "pd_machines": {"origin": ORIGIN},
    "pd_faults": {},
}
ORIGINS: dict[str, dict[str, Any]] = {
    "pd_hand_over": {"jobs": []},
    "pd_results": {"origin": ORIGIN, "done": [], "n": 1},
    "pd_take_back": {"origin": ORIGIN, "keys": [], "untaken_only": True},
    "pd_status": {"origin": ORIGIN, "keys": []},
    "pd_queued": {"origin": ORIGIN},
}


@pytest.fixture
def bare_stack(server: RowServer, queue_server: RowServer) -> Iterator[RowServer]:
    """Without a schema; the tests after this one find it as they expect it."""
    queue_server.drop_schema()
    yield queue_server
    queue_server.renew_schema()


@pytest.fixture
def changed_stack(queue_server: RowServer) -> Iterator[RowServer]:
    """For a test that changes it."""
    yield queue_server
    queue_server.renew_schema()


# Who may do what


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_the_public_neither_calls_a_function_nor_reads_a_queue(
    queue_stack: RowServer, queues: Queues, role: str
) -> None:
    hand_over(queues, 1)
    site = Site(queue_stack, queue_stack.keys.jwt(role))
    for function, arguments in {**NODES, **ORIGINS}.items():
        status, answer = site.ask("POST", f"/rpc/{function}", arguments)
        assert (status in (401, 403), answer["code"]) == (True, "42501"), function
    site.http.close()
    # Not even where somebody has opened all queues to the interface, as the dashboard can.
    opened = f"grant usage on schema pgmq, picturedesk to {role}; grant all on all tables in schema pgmq to {role}"
    for table in ("q_pd_live_v1", "q_pd_backfill_v1"):
        read = f"begin; {opened}; set local role {role}; select * from pgmq.{table}"
        assert queue_stack.sql(read) == []
    for table in ("nodes", "leases"):
        with pytest.raises(psycopg.Error, match="permission denied for table"):
            queue_stack.sql(f"begin; {opened}; set local role {role}; select * from picturedesk.{table}")
    with pytest.raises(psycopg.Error, match="permission denied for function"):
        queue_stack.sql(f"begin; {opened}; set local role {role}; select picturedesk.accept('[]')")


def node_calls(server: RowServer, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    api_key, token = server.keys.of_node.split(":")
    site = Site(server, api_key)
    site.http.headers["Authorization"] = f"Bearer {token}"
    answer = site.ask(method, path, body)
    site.http.close()
    return answer


def test_a_node_calls_what_it_needs_and_nothing_else(queue_stack: RowServer) -> None:
    for function, arguments in NODES.items():
        status, answer = node_calls(queue_stack, "POST", f"/rpc/{function}", arguments)
        assert status == 200, (function, answer)
    others: dict[str, dict[str, Any]] = {
        "picturedesk_referenced": {"sha256s": []},
        "picturedesk_named": {"sha256s": []},
    }
    for function, arguments in {**ORIGINS, **others}.items():
        status, answer = node_calls(queue_stack, "POST", f"/rpc/{function}", arguments)
        assert (status, answer["code"]) == (403, "42501"), function


def test_a_node_writes_rows_of_what_it_was_given_and_no_others(
    queue_stack: RowServer, queues: Queues, make_supabase: MakeSupabase
) -> None:
    hand_over(queues, 1)
    (taken,) = take(queues)
    catalog = make_supabase(key=queue_stack.keys.of_node)
    catalog.probe()
    assert catalog.outdated() is None
    with pytest.raises(CatalogFault, match="only what it has a receipt for"):
        catalog.write_many([entry(1, 5)])
    tagged = rows(3, 1, taken.receipt)
    tagged = type(tagged)(tagged.channel, {**tagged.message, "tags": ["x"]}, tagged.image, tagged.receipt)
    assert catalog.write_many([tagged]) == [True]
    assert queue_stack.sql("select tag from message_tags") == [{"tag": "x"}]
    hand_over(queues, 2)
    (taken,) = take(queues)
    assert catalog.write_many([rows(3, 2, taken.receipt), rows(3, 1, taken.receipt)])[0] in (True, Fenced())
    # Past the function it sees no row and changes none.
    for table, column in (("channels", "id"), ("messages", "channel_id"), ("images", "channel_id")):
        assert node_calls(queue_stack, "GET", f"/{table}") == (200, [])
        change = {"title": "x"} if table == "channels" else {"message_id": 9}
        status, answer = node_calls(queue_stack, "PATCH", f"/{table}?{column}=eq.7", change)
        assert (status, answer) in ((204, None), (403, answer)), answer
    status, answer = node_calls(queue_stack, "POST", "/channels", {"id": 8, "title": "x"})
    assert (status, answer["code"]) == (403, "42501")
    assert [row["title"] for row in queue_stack.sql("select * from channels")] == ["Test"]
    assert node_calls(queue_stack, "DELETE", "/images?channel_id=eq.7")[0] == 204
    assert queue_stack.sql("select * from images") != []
    for path in ("/pictures", "/pictures_by_tag"):
        status, answer = node_calls(queue_stack, "GET", path)
        assert (status, answer["code"]) == (403, "42501")


def test_the_token_of_a_node_is_no_api_key(queue_stack: RowServer, make_queues: MakeQueues) -> None:
    token = queue_stack.keys.of_node.split(":")[1]
    with pytest.raises(CatalogFault, match="the key is refused") as caught:
        make_queues(token).faults()
    assert token not in str(caught.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the recipe needs openssl")
def test_a_token_is_made_as_the_sql_says(queue_stack: RowServer, make_queues: MakeQueues) -> None:
    recipe = "\n".join(re.findall(r"^--   (b64\(\).*|head=.*|body=.*|echo .*)$", SQL, re.MULTILINE))
    secret = {**os.environ, "JWT_SECRET": queue_stack.keys.secret}
    made = subprocess.run(["sh", "-c", recipe], env=secret, capture_output=True, text=True, check=True)
    assert make_queues(f"{queue_stack.keys.new_publishable}:{made.stdout.strip()}").faults() == []


def test_no_key_is_told(queue_stack: RowServer) -> None:
    api_key, token = queue_stack.keys.of_node.split(":")
    queues = Queues("http://127.0.0.1:1", f"{api_key}:{token}", IMPATIENT)
    text = queues.project._without_key(f"{api_key} {token} {api_key}:{token}")
    assert text == "(the key) (the key) (the key)"


def test_everything_says_what_it_is(queue_server: RowServer) -> None:
    silent = queue_server.sql(
        """
        select proname::text as name from pg_proc
        where (pronamespace = 'picturedesk'::regnamespace or proname like 'pd\\_%')
          and obj_description(oid, 'pg_proc') is null
        union all
        select attrelid::regclass || '.' || attname from pg_attribute
        where attrelid in ('picturedesk.nodes'::regclass, 'picturedesk.leases'::regclass)
          and attnum > 0 and not attisdropped and col_description(attrelid, attnum) is null
        """
    )
    assert silent == []


# Applied again, and over what is older


@pytest.mark.parametrize("version", PGMQ)
def test_both_files_can_be_applied_again_in_any_order(
    bare_stack: RowServer, queues: Queues, make_supabase: MakeSupabase, version: str
) -> None:
    bare_stack.apply_machines(version)
    assert "ingest_messages is of an earlier version" in " ".join(queues.faults())
    bare_stack.apply_schema()
    assert queues.faults() == []
    catalog = make_supabase(key=bare_stack.keys.of_node)
    hand_over(queues, 1, 2)
    first, second = take(queues)
    bare_stack.apply_machines()
    assert catalog.write_many([rows(3, 1, first.receipt)]) == [True]
    bare_stack.apply_schema()
    bare_stack.apply_machines()
    assert catalog.write_many([rows(3, 2, second.receipt)]) == [True]
    assert [one.result["key"] for one in results(queues)] == [key(1), key(2)]
    assert (queues.faults(), make_supabase().project.call("picturedesk_faults")) == ([], [])
    count = bare_stack.sql(
        "select count(*) as n from pg_proc where proname = 'ingest_messages' or proname like 'pd\\_%'"
    )
    assert count == [{"n": 11}], "one function of each name"


def snapshot(server: RowServer) -> list[dict[str, Any]]:
    """What there is in the schemas that it writes to."""
    return server.sql(
        """
        with space (oid) as (values ('public'::regnamespace), ('picturedesk'::regnamespace), ('pgmq'::regnamespace))
        select oid::regprocedure::text as name, pg_get_functiondef(oid) as what, proacl::text as rights
        from pg_proc where pronamespace in (select oid from space) and prokind = 'f'
        union all
        select oid::regclass::text, relrowsecurity::text, relacl::text
        from pg_class where relnamespace in (select oid from space) and relkind in ('r', 'i', 'S')
        union all
        select polname, polrelid::regclass || pg_get_expr(polqual, polrelid) || pg_get_expr(polwithcheck, polrelid), ''
        from pg_policy where pg_get_expr(polwithcheck, polrelid) is not null
        union all
        select nspname, '', nspacl::text from pg_namespace
        union all
        select roleid::regrole::text, member::regrole::text, '' from pg_auth_members
        order by 1, 2, 3
        """
    )


def test_applied_twice_it_changes_nothing_that_is_sound(queue_stack: RowServer, queues: Queues) -> None:
    hand_over(queues, 1)
    queue_stack.sql("""insert into picturedesk.nodes values ('of old', '{"n": 1e5000}', now())""")
    before = snapshot(queue_stack)
    queue_stack.apply_machines()
    assert snapshot(queue_stack) == before
    assert [one.about for one in queues.machines().nodes if one.node == "of old"] == [{}]
    assert numbers(take(queues)) == [1]


def test_its_functions_name_every_schema(queue_server: RowServer) -> None:
    """And only those of the interface, and what ingest_messages() calls, have their owner's rights."""
    found = queue_server.sql(
        "select proname, proconfig, prosecdef from pg_proc"
        " where pronamespace = 'picturedesk'::regnamespace or proname ~ '^pd_'"
    )
    assert all(row["proconfig"] == ['search_path=""'] for row in found)
    assert {row["proname"] for row in found if row["prosecdef"]} == {*NODES, *ORIGINS, "accept"}


def test_it_makes_do_with_an_older_schema_until_that_is_applied(
    bare_stack: RowServer, queues: Queues, make_queues: MakeQueues, make_supabase: MakeSupabase
) -> None:
    bare_stack.apply_schema(SCHEMA_1.read_text(encoding="utf-8"))
    bare_stack.apply_machines()
    assert make_supabase().write_many([entry(1)]) == [True], "who works alone goes on"
    hand_over(queues, 1)
    (taken,) = take(queues)
    with pytest.raises(CatalogFault, match="knows no receipts"):
        make_supabase().write_many([rows(3, 1, taken.receipt)])
    bare_stack.apply_schema()
    assert queues.faults() == []
    assert make_supabase().write_many([rows(3, 1, taken.receipt), entry(2)]) == [True, False]
    an_earlier_machines_sql_will_do(bare_stack, queues, make_queues(bare_stack.keys.of_node), make_supabase)


def an_earlier_machines_sql_will_do(
    stack: RowServer, queues: Queues, node: Queues, make_supabase: MakeSupabase
) -> None:
    """For node and origin of today; `check` says so."""
    stack.sql("drop function public.pd_queued(text)", role=OWNER)
    stack.apply_machines(sql=MACHINES_1.read_text(encoding="utf-8"))
    results(queues, [one.msg_id for one in results(queues)])
    hand_over(queues, 2, 3, 4)
    first, second, third = taken = take(node)
    assert node.extend("a", {}, [one.receipt for one in taken], 60) == {one.receipt for one in taken}
    catalog = make_supabase(key=stack.keys.of_node)
    assert catalog.write_many([rows(3, 2, first.receipt)]) == [True]
    assert node.settle("a", [(second.receipt, dead(3))]) == {second.receipt}
    assert [one.result["outcome"] for one in results(queues)] == ["published", "dead"]
    with pytest.raises(CatalogFault, match="pd_queued"):
        queues.queued(ORIGIN)
    (fault,) = checking.faults(check, options(stack, "origin"))
    assert "applied by an earlier version of this program (1; today's is 2)" in fault
    assert "bin/run schema --machines" in fault
    stack.apply_machines()
    assert checking.faults(check, options(stack, "origin")) == []
    assert catalog.write_many([rows(3, 4, third.receipt)]) == [True] and queues.queued(ORIGIN) == set()


def test_a_project_without_queues_is_complete_for_who_works_alone(
    bare_stack: RowServer, queues: Queues, make_supabase: MakeSupabase
) -> None:
    bare_stack.apply_schema()
    catalog = make_supabase()
    assert catalog.write_many([entry(1)]) == [True]
    assert catalog.outdated() is None
    assert checking.faults(check, options(bare_stack, "all")) == []
    (fault,) = checking.faults(check, options(bare_stack, "origin"))
    assert "the function public.pd_faults is missing" in fault and "bin/run schema --machines" in fault
    with pytest.raises(CatalogFault, match="bin/run schema --machines") as caught:
        hand_over(queues, 1)
    assert "schema --machines" in caught.value.remedy
    receipt = {"queue": "pd_live_v1", "msg_id": 1, "read_ct": 1, "result": {}}
    batch = [{"channel": entry(1).channel, "message": entry(1).message, "receipt": receipt}]
    with pytest.raises(CatalogFault, match="there are no queues"):
        catalog.project.call("ingest_messages", batch=batch)


def test_without_pgmq_it_says_what_to_do(bare_stack: RowServer) -> None:
    with pytest.raises(psycopg.Error, match="the extension pgmq is missing, and cannot be made") as caught:
        bare_stack.sql(SQL, role=OWNER)
    assert "enable Queues under Integrations" in str(caught.value.diag.message_hint)
    assert bare_stack.sql("select to_regnamespace('picturedesk') as it") == [{"it": None}], "all or nothing"


def test_a_second_function_is_dropped(changed_stack: RowServer, queues: Queues) -> None:
    changed_stack.sql("create function public.pd_status(keys jsonb) returns jsonb language sql as 'select keys'")
    assert any("there is a second function" in fault for fault in queues.faults())
    changed_stack.apply_machines()
    assert queues.faults() == []


# check


def options(server: RowServer, role: str, key: str = "") -> dict[str, Any]:
    catalog = {"backend": "supabase", "url": server.url, "key": key or server.keys.service_role}
    return {"state_dir": "/nowhere", "catalog": catalog, "machines": {"role": role}}


def test_nothing_is_wrong_with_origin_or_node(queue_stack: RowServer) -> None:
    for role, name in itertools.product(("origin", "node"), ("service_role", "new_secret", "of_node")):
        faults = checking.faults(check, options(queue_stack, role, getattr(queue_stack.keys, name)))
        if (role, name) == ("origin", "of_node"):
            assert "a node's own" in faults[0]
        else:
            assert faults == [], (role, name)
    found = checking.good(check, options(queue_stack, "origin"))
    assert found[-1] == "machines: queues: 0 live, 0 backfill"
    assert queue_stack.sql("select * from picturedesk.nodes") == [], "a check leaves no trace"


CHANGES = {
    "drop index pgmq.q_pd_live_v1_key": "the queue pd_live_v1 has no unique index by key",
    "drop table pgmq.q_pd_backfill_v1": "the queue pd_backfill_v1 is missing",
    "alter table pgmq.q_pd_live_v1 disable row level security": "row level security of pgmq.q_pd_live_v1 is off",
    "revoke picturedesk_node from authenticator": "picturedesk_node is not granted to authenticator",
    "grant execute on function public.pd_take to anon": "anon may call public.pd_take(",
    "revoke execute on function public.pd_take from picturedesk_node": "picturedesk_node may not call public.pd_take(",
    "grant execute on function public.pd_status to picturedesk_node": "picturedesk_node may call public.pd_status(",
    "drop function public.pd_settle": "the function public.pd_settle is missing",
    'drop policy "a node writes what it was given" on public.images': "on public.images is missing",
}


def test_check_says_exactly_what_is_missing(changed_stack: RowServer) -> None:
    changed_stack.sql(";".join(CHANGES), role=OWNER)
    changed_stack.reload()
    found = checking.faults(check, options(changed_stack, "node"))
    assert len(found) == len(CHANGES), found
    for fault in CHANGES.values():
        assert any(fault in one and "bin/run schema --machines" in one for one in found), (fault, found)
    changed_stack.apply_machines()
    assert checking.faults(check, options(changed_stack, "node")) == []
