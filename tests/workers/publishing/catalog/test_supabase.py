"""The hosted catalogue on its bad days: keys, networks, services and schemas that are not as they should be."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests import checking
from tests.instance import HOME, wait_for
from tests.servers.faults import (
    Answer,
    BlackHole,
    CutKeptAlive,
    CutUpload,
    Endless,
    FaultProxy,
    Latency,
    LostAnswer,
    Mode,
    Pass,
    Refuse,
    Request,
    Reset,
)
from tests.servers.rows import RowServer
from tests.workers.publishing.catalog.builders import CHANNEL, deletion, digest, entry, message
from tests.workers.publishing.catalog.conftest import MakeSupabase
from workers.publishing.catalog import CatalogFault, MessageRows, RowFault, check, make
from workers.publishing.catalog.supabase import SupabaseCatalog

HASTY = httpx.Timeout(2.0, connect=2.0)
PAGE = b"<html><title>Welcome to the hotel</title></html>"


def fault_of(catalog: SupabaseCatalog, revision: int = 1) -> CatalogFault:
    """What a write runs into."""
    with pytest.raises(CatalogFault) as caught:
        catalog.write_many([entry(revision)])
    return caught.value


def lines(server: RowServer, key: str = "", url: str = "") -> list[str]:
    """What the check says."""
    section = {"backend": "supabase", "url": url or server.url, "key": key or server.keys.service_role}
    return checking.faults(check, {"state_dir": "/nowhere", "catalog": section})


@contextmanager
def changed(server: RowServer, statements: str, *, mend: Callable[[], None] | None = None) -> Iterator[None]:
    """The schema is another for as long as the block lasts; `mend` ends that, by default by making it anew."""
    server.sql(statements)
    server.reload()
    try:
        yield
    finally:
        (mend or server.renew_schema)()


@pytest.fixture(scope="module")
def anew_afterwards(row_server: RowServer) -> Iterator[None]:
    """For tests that leave a schema that does the same, its columns in another order: made anew after all of them."""
    yield
    row_server.renew_schema()


# Keys


@pytest.mark.parametrize("kind", ["service_role", "new_secret"])
def test_both_kinds_of_key(server: RowServer, make_supabase: MakeSupabase, kind: str) -> None:
    catalog = make_supabase(key=getattr(server.keys, kind))
    assert catalog.write_many([entry(1), entry(1, 2)]) == [True, True]
    assert catalog.referenced([digest(1)]) == {digest(1)}
    assert lines(server, getattr(server.keys, kind)) == []


def test_a_key_of_the_new_kind_is_no_bearer_token(
    proxy: FaultProxy, server: RowServer, make_supabase: MakeSupabase
) -> None:
    for key in (server.keys.new_secret, server.keys.service_role):
        catalog = make_supabase(proxy.url, key)
        catalog.write_many([entry(1)])
        assert proxy.requests[-1].headers["apikey"] == key
    assert "authorization" not in proxy.requests[0].headers
    assert proxy.requests[1].headers["authorization"] == f"Bearer {server.keys.service_role}"


@pytest.mark.parametrize("kind", ["anon", "new_publishable"])
def test_a_key_that_may_only_read(server: RowServer, make_supabase: MakeSupabase, kind: str) -> None:
    key: str = getattr(server.keys, kind)
    fault = fault_of(make_supabase(key=key))
    assert fault.fatal
    assert "permission denied for function ingest_messages (42501). Put the secret key" in str(fault)
    (line,) = lines(server, key)
    assert "only read" in line or "role anon, which may not write" in line
    assert key not in str(fault) + line


def test_a_key_that_has_expired(server: RowServer, make_supabase: MakeSupabase) -> None:
    key = server.keys.jwt("service_role", -60)
    fault = fault_of(make_supabase(key=key))
    assert fault.fatal
    assert "JWT expired (PGRST301)" in str(fault)
    (line,) = lines(server, key)
    assert "catalog.key has expired. Put the secret key" in line


def test_a_key_of_another_project(server: RowServer, make_supabase: MakeSupabase) -> None:
    key = "sb_secret_of_another_project"
    fault = fault_of(make_supabase(key=key))
    assert fault.fatal
    assert "the key is refused: Invalid API key (401)" in str(fault)
    assert lines(server, key) == [f"catalog: {fault}"]
    assert key not in str(fault)


def test_a_key_for_a_role_that_is_not_there(server: RowServer, make_supabase: MakeSupabase) -> None:
    """The code is that of a data error, and would else be laid at the row's door."""
    fault = fault_of(make_supabase(key=server.keys.jwt("service_rule")))
    assert fault.fatal
    assert 'role "service_rule" does not exist' in str(fault)


@pytest.mark.parametrize("key", ["sb_secret_ü", "sb_secret_a\nb", ""])
def test_a_key_that_cannot_be_sent(make_supabase: MakeSupabase, server: RowServer, key: str) -> None:
    catalog = SupabaseCatalog(server.url, key)
    fault = fault_of(catalog)
    assert fault.fatal
    assert not key or key not in str(fault)
    catalog.close()


def test_a_service_that_says_the_key_back(proxy: FaultProxy, make_supabase: MakeSupabase) -> None:
    key = "sb_secret_that_nobody_may_see"
    catalog = make_supabase(proxy.url, key)
    for answer in (
        Answer(500, key.encode()),
        Answer(401, json.dumps({"message": f"bad {key}"}).encode()),
        Answer(200, key.encode()),
    ):
        proxy.set(answer)
        fault = fault_of(catalog)
        assert "(the key)" in str(fault)
        assert key not in str(fault)


# The network


NETWORK = [
    pytest.param(Refuse(), "ConnectError", id="refused"),
    pytest.param(Reset(), "ReadError", id="reset"),
    pytest.param(Reset(after_bytes=30), "ReadError", id="reset within the answer"),
    pytest.param(CutUpload(after_bytes=700), "Error", id="cut within the request"),
    pytest.param(BlackHole(), "ReadTimeout", id="no answer"),
    pytest.param(BlackHole(reads=False), "Timeout", id="nobody reads"),
    pytest.param(Latency(6.0), "ReadTimeout", id="too slow"),
]


@pytest.mark.parametrize(("mode", "said"), NETWORK)
def test_a_network_that_fails(
    server: RowServer, proxy: FaultProxy, make_supabase: MakeSupabase, mode: Mode, said: str
) -> None:
    catalog = make_supabase(proxy.url, timeout=HASTY)
    assert catalog.write_many([entry(1)]) == [True]  # its connection is one that was good
    proxy.set(mode)
    fault = fault_of(catalog, 2)
    assert not fault.fatal
    assert f"localhost:{proxy.port}: no answer: " in str(fault).replace("127.0.0.1", "localhost")
    assert said in str(fault)
    assert "catalog.url" in str(fault)
    proxy.set(Pass())
    wait_for("the catalogue to take it", lambda: catalog.write_many([entry(3)]) == [True])


def test_over_https_whoever_answers_has_to_prove_who_he_is(
    server: RowServer, make_supabase: MakeSupabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(server.port, tls=True) as proxy:
        assert "CERTIFICATE_VERIFY_FAILED" in str(fault_of(make_supabase(proxy.url)))
        assert proxy.requests == []  # it has not seen the key
        monkeypatch.setenv("SSL_CERT_FILE", str(proxy.ca_file))
        assert make_supabase(proxy.url).write_many([entry(1)]) == [True]


def test_slow_is_not_gone(proxy: FaultProxy, make_supabase: MakeSupabase) -> None:
    proxy.set(Latency(0.4))
    assert make_supabase(proxy.url).write_many([entry(1)]) == [True]


def test_a_host_that_does_not_exist(make_supabase: MakeSupabase) -> None:
    fault = fault_of(make_supabase("http://no-such-host.invalid"))
    assert not fault.fatal
    assert str(fault).startswith("no-such-host.invalid: no answer: ConnectError")


def test_an_answer_that_is_lost_is_asked_for_again(
    server: RowServer, proxy: FaultProxy, make_supabase: MakeSupabase
) -> None:
    catalog = make_supabase(proxy.url)
    batch = [entry(1), deletion(1, 2)]
    with proxy.during(LostAnswer()), pytest.raises(CatalogFault):
        catalog.write_many(batch)
    assert len(proxy.requests) == 1  # nothing is tried again in between
    assert server.sql("select count(*) from messages") == [{"count": 2}]
    assert catalog.write_many(batch) == [False, False]


def test_what_is_asked_for_fails_as_what_is_written_does(proxy: FaultProxy, make_supabase: MakeSupabase) -> None:
    catalog = make_supabase(proxy.url, timeout=HASTY)
    for mode in (Refuse(), BlackHole(), Answer(503), Answer(200, PAGE)):
        proxy.set(mode)
        with pytest.raises(CatalogFault):
            catalog.referenced([digest(1)])


# The service


@pytest.mark.parametrize("status", [429, 503])
def test_a_service_that_wants_to_be_left_alone(proxy: FaultProxy, make_supabase: MakeSupabase, status: int) -> None:
    catalog = make_supabase(proxy.url)
    proxy.set(Answer(status, b'{"message":"slow down"}', {"Retry-After": "7"}, times=1))
    fault = fault_of(catalog)
    assert fault.retry_after_seconds == 7.0
    assert not fault.fatal
    assert f"slow down ({status})" in str(fault)
    assert catalog.write_many([entry(1)]) == [True]


@pytest.mark.parametrize("status", [401, 403])
def test_a_service_that_refuses_the_key(proxy: FaultProxy, make_supabase: MakeSupabase, status: int) -> None:
    proxy.set(Answer(status))
    fault = fault_of(make_supabase(proxy.url))
    assert fault.fatal
    assert "Put the secret key" in str(fault)


@pytest.mark.parametrize(
    "body", [PAGE, b"", b"null", b"{}", b"true", b"[]", b"[1]", b"[true,true]", b'"x"', b"\xff\xfe", b"[tr"]
)
def test_a_success_that_is_none(server: RowServer, proxy: FaultProxy, make_supabase: MakeSupabase, body: bytes) -> None:
    """A captive portal, a proxy's page, an address that is somebody else's."""
    proxy.set(Answer(200, body))
    fault = fault_of(make_supabase(proxy.url))
    assert not fault.fatal
    assert "the answer is not the catalogue's" in str(fault)


def test_a_redirect_is_not_followed(proxy: FaultProxy, make_supabase: MakeSupabase) -> None:
    """The key would go where it leads."""
    proxy.set(Answer(308, b"", {"Location": "https://elsewhere.invalid/"}))
    fault = fault_of(make_supabase(proxy.url))
    assert "redirects to https://elsewhere.invalid/" in str(fault)


def test_an_address_with_a_path(server: RowServer, make_supabase: MakeSupabase) -> None:
    assert make_supabase(f"{server.url}/").write_many([entry(1)]) == [True]
    fault = fault_of(make_supabase(f"{server.url}/rest/v1"))
    assert not fault.fatal


def test_a_database_that_is_down_and_comes_back(server: RowServer, make_supabase: MakeSupabase) -> None:
    catalog = make_supabase()
    assert catalog.write_many([entry(1)]) == [True]
    server.stop_postgres()
    try:
        fault = fault_of(catalog, 2)
        assert not fault.fatal
        assert "the database is not to be had" in str(fault)
        (line,) = lines(server)
        assert "the database is not to be had" in line
    finally:
        server.start_postgres()
        server.wait_until_ready()
    assert catalog.write_many([entry(1), entry(2, 2)]) == [False, True]


def test_a_database_that_restarts_while_rows_are_written(server: RowServer, make_supabase: MakeSupabase) -> None:
    """Whatever was confirmed is there; whatever was not can be written again."""
    catalog = make_supabase()
    confirmed: list[int] = []
    faults: list[Exception] = []
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            try:
                catalog.write_many([entry(1, number), entry(1, number + 1)])
                confirmed.extend((number, number + 1))
                number += 2
            except (CatalogFault, RowFault) as fault:
                faults.append(fault)
                time.sleep(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_for("rows", lambda: len(confirmed) > 20)
        server.restart_postgres()
        server.wait_until_ready()
        so_far = len(confirmed)
        wait_for("more rows", lambda: len(confirmed) > so_far + 20)
    finally:
        stop.set()
        writer.join()
    assert all(isinstance(fault, CatalogFault) and not fault.fatal for fault in faults), faults
    assert [row["message_id"] for row in server.sql("select message_id from images order by 1")] == confirmed


def test_a_statement_that_was_ended_from_outside_passes(server: RowServer, make_supabase: MakeSupabase) -> None:
    """As a time-out for statements does, or an operator."""
    catalog = make_supabase()
    catalog.write_many([entry(1)])
    faults: list[CatalogFault] = []
    with server.connect() as other:
        other.execute("lock table public.messages")
        writer = threading.Thread(target=lambda: faults.append(fault_of(catalog, 2)))
        writer.start()
        waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock'"
        (found,) = wait_for("the writer to wait", lambda: server.sql(waiting))
        server.sql(f"select pg_cancel_backend({found['pid']})")
        writer.join()
        other.rollback()
    assert not faults[0].fatal
    assert "(57014)" in str(faults[0])
    assert catalog.write_many([entry(2)]) == [True]


# Rows that are refused


def test_the_culprit_is_found_with_few_questions(
    proxy: FaultProxy, server: RowServer, make_supabase: MakeSupabase
) -> None:
    catalog = make_supabase(proxy.url)
    batch = [entry(1, number, posted_at="never" if number == 33 else "2025-02-01T10:00:00Z") for number in range(50)]
    outcomes = catalog.write_many(batch)
    assert [place for place, outcome in enumerate(outcomes) if isinstance(outcome, RowFault)] == [33]
    assert 'invalid input syntax for type timestamp with time zone: "never" (22007)' in str(outcomes[33])
    assert server.sql("select count(*) from images") == [{"count": 49}]
    assert len(proxy.requests) < 15


def test_a_constraint_of_the_operators_own(server: RowServer, make_supabase: MakeSupabase) -> None:
    with changed(server, "alter table messages add constraint clean check (caption <> 'rude')"):
        outcomes = make_supabase().write_many([entry(1), entry(1, 2, caption="rude"), entry(1, 3)])
    assert [isinstance(outcome, RowFault) for outcome in outcomes] == [False, True, False]
    assert '"clean" (23514)' in str(outcomes[1])


def test_a_digest_that_is_none(make_supabase: MakeSupabase) -> None:
    """Garbage collection goes by it."""
    good = entry(1).image
    assert good is not None
    with pytest.raises(RowFault, match="images_sha256_is_a_digest"):
        make_supabase().write(CHANNEL, message(1), {**good, "sha256": str(good["sha256"]).upper() + "g"})


def test_what_one_client_cannot_say_another_may_not_either(server: RowServer, make_supabase: MakeSupabase) -> None:
    """The database's own door: the checks of this program are not those that protect it."""
    catalog = make_supabase()
    catalog.write_many([entry(1, 5)])
    project = catalog.project
    odd: list[dict[str, Any]] = [
        {"channel": {"id": 7, "title": ["a"]}, "message": message(1)},
        {"channel": {"id": 7, "title": "Test"}, "message": message(1, caption=["a"])},
        {"channel": {"id": 8, "title": "Test"}, "message": message(1)},
        {
            "channel": {"id": 7, "title": "Test"},
            "message": message(1),
            "image": {**(entry(1).image or {}), "message_id": 2},
        },
        {"message": message(1)},
        {"channel": {"id": 7, "title": "Test"}},
        {},
    ]
    for one in odd:
        with pytest.raises(RowFault):
            project.call("ingest_messages", batch=[one])
    assert server.sql("select * from channels") == [CHANNEL]
    assert server.sql("select message_id from messages") == [{"message_id": 5}]


# The schema

SECOND = (
    "create function ingest_messages(batch json) returns jsonb language sql as $$ select '[]'::jsonb $$;"
    " alter function ingest_messages(json) owner to project_owner"
)
"""Of two functions that differ in nothing but a type the interface cannot choose one: it answers 300, PGRST203."""


def test_a_second_function_of_that_name(server: RowServer, make_supabase: MakeSupabase) -> None:
    """Applying the schema drops it, and it goes on."""
    catalog = make_supabase()
    with changed(server, SECOND):
        fault = fault_of(catalog)
        assert fault.fatal
        assert "there is more than one function of that name: Could not choose the best candidate" in str(fault)
        assert "(PGRST203). Drop the other overload of the function, which applying the schema does." in str(fault)
        assert "redirect" not in str(fault)
        server.apply_schema()
        assert catalog.write_many([entry(1)]) == [True]


@pytest.mark.parametrize(
    ("statement", "said", "remedy"),
    [
        (
            "perform set_config('transaction_read_only', 'on', true)",
            "in a read-only transaction (25006)",
            "read-only until there is room",
        ),
        (
            "raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'",
            "the database's disk is full: could not extend file: No space left on device (53100)",
            "Make room in the database",
        ),
    ],
)
def test_a_database_that_takes_nothing_more(
    server: RowServer, make_supabase: MakeSupabase, statement: str, said: str, remedy: str
) -> None:
    server.sql(
        "create function public.brimful() returns trigger language plpgsql as"
        f" $$ begin {statement}; return new; end $$;"
        " create trigger brimful before insert on public.channels for each row execute function public.brimful()"
    )
    try:
        fault = fault_of(make_supabase())
    finally:
        server.sql("drop function public.brimful() cascade")
    assert fault.fatal
    assert said in str(fault)
    assert remedy in fault.remedy


def test_without_a_schema(bare_server: RowServer, make_supabase: MakeSupabase) -> None:
    fault = fault_of(make_supabase())
    assert fault.fatal
    assert "Could not find the function public.ingest_messages(batch)" in str(fault)
    assert "bin/run schema | psql" in str(fault)
    found = lines(bare_server)
    assert [line.split(": ", 2)[2].split(".  ")[0].split(" is missing")[0] for line in found] == [
        "the table public.channels",
        "the table public.messages",
        "the table public.images",
        "the function public.picturedesk_faults",
        "the function public.picturedesk_referenced",
        "the function public.picturedesk_named",
        "the function public.ingest_messages",
    ]
    assert all("bin/run schema" in line for line in found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("drop function ingest_messages", ["the function public.ingest_messages is missing"]),
        ("drop function picturedesk_referenced", ["the function public.picturedesk_referenced is missing"]),
        ("drop function picturedesk_named", ["the function public.picturedesk_named is missing"]),
        ("drop function picturedesk_faults", ["the function public.picturedesk_faults is missing"]),
        (
            "drop table images cascade",
            [
                "the table public.images is missing",
                "the view public.pictures is missing",
                "the view public.pictures_by_tag is missing",
            ],
        ),
        ("drop view pictures_by_tag", ["the view public.pictures_by_tag is missing"]),
        (
            "drop table message_tags cascade",
            ["the table public.message_tags is missing", "the view public.pictures_by_tag is missing"],
        ),
        (
            "alter view pictures set (security_invoker = false); revoke select on pictures from anon;"
            " grant delete on pictures to authenticated",
            [
                "anon may not read public.pictures",
                "authenticated may delete public.pictures",
                "the view public.pictures has its owner's rights: it shows what row level security hides",
            ],
        ),
        (
            "alter table messages disable trigger message_is_tagged",
            ["the trigger message_is_tagged on public.messages is missing or off"],
        ),
        (
            'alter policy "anybody reads tags" on message_tags using (false)',
            ['the policy "anybody reads tags" on public.message_tags says something else than it should'],
        ),
        (
            "alter table messages drop column reply_to, drop column entities",
            ["the column entities of public.messages is missing", "the column reply_to of public.messages is missing"],
        ),
        (
            "alter table messages disable row level security",
            ["row level security of public.messages is off: whoever has the public key reads all of it"],
        ),
        (
            'drop policy "anybody reads channels" on channels',
            ['the policy "anybody reads channels" on public.channels is missing'],
        ),
        (
            'alter policy "anybody reads what is not deleted" on messages using (true)',
            ['the policy "anybody reads what is not deleted" on public.messages says something else than it should'],
        ),
        (
            'drop policy "service_role does everything" on images;'
            ' create policy "service_role does everything" on images for select to service_role using (true)',
            ['the policy "service_role does everything" on public.images says something else than it should'],
        ),
        ("grant insert, update on images to anon", ["anon may insert public.images", "anon may update public.images"]),
        (
            "grant execute on function ingest_messages to authenticated",
            ["authenticated may call public.ingest_messages(jsonb)"],
        ),
        (SECOND, ["there is a second function of that name: public.ingest_messages(json)"]),
        (
            f"{SECOND}; create or replace function picturedesk_faults() returns jsonb language sql as"
            " $$ select '[]'::jsonb $$",
            ["there is more than one function public.ingest_messages"],  # as by a schema that did not look for it
        ),
    ],
)
@pytest.mark.usefixtures("anew_afterwards")
def test_the_check_says_what_differs(server: RowServer, change: str, said: list[str]) -> None:
    with changed(server, change, mend=server.apply_schema):
        found = lines(server)
    assert lines(server) == [], "applying it mends all of these"
    where = server.url.removeprefix("http://")
    assert [line.split(". Apply the schema: ")[0] for line in found] == [f"catalog: {where}: {one}" for one in said]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("drop function ingest_messages", "PGRST202"),
        ("drop table images cascade", "42P01"),
        ("alter table messages drop column reply_to", "42703"),
        ("alter table images drop column mime", "42703"),
    ],
)
def test_a_schema_that_lacks_something(server: RowServer, make_supabase: MakeSupabase, change: str, said: str) -> None:
    catalog = make_supabase()
    assert catalog.write_many([entry(1)]) == [True]
    with changed(server, change):
        fault = fault_of(catalog, 2)
    assert fault.fatal
    assert f"({said})" in str(fault)
    assert "bin/run schema" in str(fault)


def test_a_function_gone_before_the_interface_has_seen_it(server: RowServer, make_supabase: MakeSupabase) -> None:
    catalog = make_supabase()
    assert catalog.write_many([entry(1)]) == [True]
    server.sql("drop function ingest_messages")
    try:
        assert fault_of(catalog, 2).fatal
    finally:
        server.apply_schema()


# The check


def test_the_check_of_a_project_in_order(server: RowServer) -> None:
    assert lines(server) == []
    assert server.sql("select * from channels") == []


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (Refuse(), "no answer: ConnectError"),
        (Reset(), "no answer: ReadError"),
        (Answer(503, b"", {"Retry-After": "7"}), "fails: status 503 (503)"),
        (Answer(200, PAGE), "the answer is not the catalogue's, but '<html>"),
        (Answer(404, PAGE), "nothing is there"),
    ],
)
def test_the_check_of_what_does_not_answer(server: RowServer, proxy: FaultProxy, mode: Mode, said: str) -> None:
    proxy.set(mode)
    (line,) = lines(server, url=proxy.url)
    assert said in line


def test_the_check_says_what_it_found_before_something_else_went_wrong(server: RowServer) -> None:
    with changed(server, "drop table images cascade; revoke execute on function ingest_messages from service_role"):
        table, *views, right = lines(server)
    assert ["is missing" in line for line in views] == [True, True]
    assert "the table public.images is missing. Apply the schema" in table
    assert "the key may not do this: permission denied for function ingest_messages (42501)" in right


@pytest.mark.parametrize("mode", [Answer(503), Reset()])
def test_the_check_asks_once_when_nobody_answers(server: RowServer, proxy: FaultProxy, mode: Mode) -> None:
    """supabase-py asks again for what it only reads, and sleeps in between."""
    proxy.set(mode)
    lines(server, url=proxy.url)
    assert proxy.connections == 1


def test_the_check_waits_as_long_as_the_uploader_does(server: RowServer, proxy: FaultProxy) -> None:
    proxy.set(Latency(2.0))
    section = {"backend": "supabase", "url": proxy.url, "key": server.keys.service_role, "answer_seconds": 0.5}
    (line,) = checking.faults(check, {"state_dir": "/nowhere", "catalog": section})
    assert "no answer: ReadTimeout" in line


def test_the_check_of_an_address_that_is_none() -> None:
    section = {"backend": "supabase", "url": "ftp://example.org", "key": "sb_secret_x"}
    (line,) = checking.faults(check, {"state_dir": "/nowhere", "catalog": section})
    assert line.startswith("catalog: example.org: no client can be made: ")


# What it costs


def test_who_keeps_a_file_does_not_import_it() -> None:
    code = "import sys, workers.uploader; print('supabase' in sys.modules, 'httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_one_connection_is_kept_and_let_go_of(proxy: FaultProxy, server: RowServer) -> None:
    catalog = make(
        {"catalog": {"backend": "supabase", "url": proxy.url, "key": server.keys.service_role}, "state_dir": ""}
    )
    for revision in range(1, 6):
        assert catalog.write_many([entry(revision)]) == [True]
    assert proxy.connections == 1
    catalog.close()
    del catalog
    gc.collect()  # a socket that was left open would warn here


def test_a_fault_does_not_cost_the_connection(proxy: FaultProxy, make_supabase: MakeSupabase) -> None:
    catalog = make_supabase(proxy.url)
    for number in range(5):
        assert isinstance(catalog.write_many([entry(1, number, posted_at=None)])[0], RowFault)
    assert proxy.connections == 1


@pytest.mark.parametrize("resets", [False, True])
def test_a_kept_connection_that_is_cut_as_the_request_goes_out(
    proxy: FaultProxy, make_supabase: MakeSupabase, resets: bool
) -> None:
    """It says nothing of the service: it is asked again at once, once."""
    catalog = make_supabase(proxy.url)
    with proxy.during(CutKeptAlive(resets)):
        for number in range(1, 4):
            assert catalog.write_many([entry(1, number)]) == [True]
        assert len(proxy.requests) == 1 + 2 + 2
    catalog.write_many([entry(1, 4)])
    proxy.requests.clear()
    with proxy.during(Reset()):
        fault_of(catalog)
        assert len(proxy.requests) == 1, "a fresh connection that is cut does say something"


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("status", [200, 204, 206])
def test_nothing_is_no_list(proxy: FaultProxy, make_supabase: MakeSupabase, status: int) -> None:
    """The client takes it for an empty one: and then for gc no picture would be in use."""
    proxy.set(Answer(status))
    catalog = make_supabase(proxy.url)
    for ask in (catalog.probe, lambda: catalog.referenced([digest(1)]), lambda: catalog.named([digest(1)])):
        with pytest.raises(CatalogFault, match="with nothing in it"):
            ask()


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (Endless(CHUNKED, b"1\r\n[\r\n", 0.1), "the answer has no end"),
        (Endless(CHUNKED, b"10000\r\n" + b" " * 0x10000 + b"\r\n"), "more than 2000000 bytes"),
        (Endless(b"HTTP/1.1 503 Busy\r\n\r\n", b"x" * 0x10000), "more than 2000000 bytes"),
        (Answer(200, b"[" * 100_000), "is not the catalogue's"),
        (Answer(200, b"nonsense", {"Content-Encoding": "gzip"}), "DecodingError"),
        (Answer(103, b""), "no answer"),
        (Answer(200, b"[1, 2, 3]"), "is not the catalogue's"),
        (Answer(200, b"[true]", {"Content-Length": "7"}), "no answer: "),
    ],
    ids=["drops", "a flood", "a flood of errors", "boxes", "no gzip", "103", "numbers", "cut short"],
)
def test_an_answer_that_means_harm(
    proxy: FaultProxy, make_supabase: MakeSupabase, monkeypatch: pytest.MonkeyPatch, mode: Mode, said: str
) -> None:
    monkeypatch.setattr("workers.publishing.catalog.supabase.project.ANSWER_BYTES", 2_000_000)
    proxy.set(mode)
    fault = fault_of(make_supabase(proxy.url, timeout=httpx.Timeout(1.0)))
    assert said in str(fault)
    assert len(str(fault)) < 600


def test_only_what_is_asked_of_the_function_goes_out(proxy: FaultProxy, make_supabase: MakeSupabase) -> None:
    def is_post(request: Request) -> bool:
        return request.method == "POST" and request.target == "/rest/v1/rpc/ingest_messages"

    make_supabase(proxy.url).write_many([entry(1), MessageRows(CHANNEL, message(1, 2))])
    assert [is_post(request) for request in proxy.requests] == [True]
