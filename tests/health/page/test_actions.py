"""Actions: what they do, who may, and what of a request another site could have had a browser send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from health.access.sessions import SESSION_SECONDS, Sessions, Tries
from health.page import actions
from ipc.journal import lookup, transitions
from ipc.transport import control_client
from tests.health.page.asgi import MINE, TOKEN, Desk
from tests.ipc import builders

MAKE = Callable[..., Desk]
BEARER = {"authorization": f"Bearer {TOKEN}"}


def bury(desk: Desk, count: int, reason: str = "a reason", first: int = 1) -> list[int]:
    jobs = [builders.put(desk.journal, number, "fetched", f"file:{number}") for number in range(first, first + count)]
    for job in jobs:
        assert transitions.bury(desk.journal, job, reason)
    return [job.id for job in jobs]


def dead(desk: Desk) -> list[int]:
    return [job.id for job in lookup.dead(desk.journal)]


def said(reply: Any) -> str:
    return str(json.loads(reply.body)["said"])


def test_retry_one_a_group_and_all(make_desk: MAKE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("health.page.journal.REVIVED_AT_ONCE", 2)
    desk = make_desk(TOKEN)
    one, two, *rest = bury(desk, 5)
    others = bury(desk, 3, "another", 50)
    assert said(desk.post("/actions/retry", b'{"id": "%d"}' % one, BEARER)) == "1 brought back; tried again now"
    assert dead(desk) == [two, *rest, *others]
    assert said(desk.post("/actions/retry", b'{"reason": "another"}', BEARER)) == "3 brought back; tried again now"
    assert dead(desk) == [two, *rest]
    with structlog.testing.capture_logs() as records:
        assert desk.post("/actions/retry", b'{"all": "1"}', BEARER).status == 200
    assert dead(desk) == []
    [record] = [one for one in records if one["event"] == "page.action_taken"]
    assert (record["action"], record["job_ids"], record["client"]) == ("retry", [two, *rest], "127.0.0.1")


@pytest.mark.parametrize(
    "body",
    [
        *(b"{}", b'{"id": "x"}', b'{"id": null}', b'{"id": 1e400}', b'{"id": %d}' % 10**30),
        *(b'{"id": true}', b'{"id": 1.9}', b'{"id": "\xd9\xa1"}', b'{"id": "x", "all": true}'),
        *(b'{"all": "no"}', b'{"all": {}}', b'{"reason": 5, "all": true}', b'{"reason": null}'),
    ],
)
def test_a_retry_of_nothing_is_refused(body: bytes, make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    bury(desk, 1)
    assert desk.post("/actions/retry", body, BEARER).status == 400
    assert desk.post("/actions/retry", b'{"id": 99}', BEARER).status == 409
    assert len(dead(desk)) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"\xff", b"[" * 5000])
def test_a_body_that_is_no_object_is_refused(body: bytes, make_desk: MAKE) -> None:
    assert make_desk(TOKEN).post("/actions/retry", body, BEARER).status == 400


def test_a_body_that_is_too_long_or_does_not_come_is_refused(make_desk: MAKE, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = make_desk(TOKEN)
    assert desk.post("/actions/retry", b" " * (actions.MOST_BYTES + 1), BEARER).status == 413
    monkeypatch.setattr(actions, "BODY_SECONDS", 0.01)

    async def never() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    refusal = asyncio.run(actions.read_body(never))
    assert not isinstance(refusal, dict) and refusal.status == 408


def test_without_a_token_nothing_can_be_done(make_desk: MAKE) -> None:
    desk = make_desk()
    [job] = bury(desk, 1)
    assert desk.post("/actions/retry", b'{"id": %d}' % job).status == 403
    assert desk.post("/session", b'{"token": ""}').status == 403
    assert dead(desk) == [job]


@pytest.mark.parametrize("headers", [{}, {"cookie": "picturedesk=x"}, {"authorization": "Bearer x"}])
def test_the_token_must_be_given(headers: dict[str, str], make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    [job] = bury(desk, 1)
    assert desk.post("/actions/retry", b'{"id": %d}' % job, headers).status == 401
    assert dead(desk) == [job]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:8081"},
        {"origin": "http://localhost:8080.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"x-picturedesk": ""},
    ],
)
def test_another_site_can_do_nothing(headers: dict[str, str], make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    [job] = bury(desk, 1)
    cookie = desk.cookie()
    assert desk.post("/actions/retry", b'{"id": %d}' % job, {**cookie, **headers}).status == 403
    assert desk.post("/session", b'{"token": "%s"}' % TOKEN.encode(), headers).status == 403
    assert dead(desk) == [job]
    assert desk.post("/actions/retry", b'{"id": %d}' % job, cookie).status == 200


def test_the_cookie_is_the_browsers_alone_and_opens_the_data(make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    reply = desk.post("/session", b'{"token": "%s"}' % TOKEN.encode())
    name, *attributes = reply.headers["set-cookie"].split("; ")
    assert attributes == ["Max-Age=43200", "Path=/", "HttpOnly", "SameSite=Strict"]
    assert len(name) > 50 and TOKEN not in name
    assert desk.ask("GET", "/status", {"cookie": f'other={{"a":[1, "x"]}}; {name}'}).status == 200
    https = desk.post("/session", b'{"token": "%s"}' % TOKEN.encode(), {"origin": "https://localhost:8080"})
    assert https.headers["set-cookie"].endswith("; Secure")


def test_the_page_is_told_whether_it_is_locked(make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    asked = [desk.ask("GET", "/session", headers) for headers in ({}, desk.cookie(), BEARER)]
    assert [json.loads(one.body)["may_read"] for one in asked] == [False, True, True]
    assert json.loads(asked[0].body)["has_room"] is True


def test_wrong_tokens_are_slowed_down_and_logged_without_it(make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    with structlog.testing.capture_logs() as records:
        wrong = [desk.post("/session", b'{"token": "wrong-%d"}' % number) for number in range(5)]
    assert [one.status for one in wrong] == [403, 403, 403, 403, 429]
    assert [one["event"] for one in records] == ["page.token_refused"] * 4 and "wrong" not in str(
        [{key: value for key, value in one.items() if key != "event"} for one in records if one.pop("log_level")]
    )
    assert desk.post("/session", b'{"token": "%s"}' % TOKEN.encode()).status == 429
    body = b'{"token": "%s"}' % TOKEN.encode()
    other = asyncio.run(desk.request("POST", "/session", MINE, body, client="127.0.0.2"))
    assert other.status == 200, "another client need not wait"


@pytest.mark.parametrize("token", ['""', "null", "[]", '"s3cret "', '"S3CRET"', '"\\ud800"'])
def test_what_is_not_the_token(token: str, make_desk: MAKE) -> None:
    assert make_desk(TOKEN).post("/session", b'{"token": %s}' % token.encode()).status == 403


def test_a_session_ends() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0], "secret", TOKEN)
    key = sessions.open()
    assert sessions.is_open(key) and key != sessions.open()
    now[0] = SESSION_SECONDS - 1
    assert sessions.is_open(key)
    now[0] = SESSION_SECONDS
    assert not sessions.is_open(key)


def test_a_session_outlasts_the_process_and_neither_the_root_nor_the_token() -> None:
    key = (before := Sessions(lambda: 0.0, "secret", TOKEN)).open()
    after = Sessions(lambda: 1.0, "secret", TOKEN)
    assert after.is_open(key) and after.cookie == before.cookie
    assert not Sessions(lambda: 0.0, "of another start", TOKEN).is_open(key)
    assert not Sessions(lambda: 0.0, "secret", "another token").is_open(key)


@pytest.mark.parametrize("change", ["{}x", "9{}", "", ".", "9.9.", "9" * 5000, "\ud800.{}", "cookie.{0}"])
def test_nobody_makes_a_session_of_their_own(change: str) -> None:
    sessions = Sessions(lambda: 0.0, "secret", TOKEN)
    assert not sessions.is_open(change.format(sessions.open()))


def test_tries_are_remembered_for_so_many_clients() -> None:
    tries = Tries(lambda: 0.0)
    for _ in range(4):
        tries.note_failure("2001:db8::1")
    assert tries.wait_seconds("2001:db8::2") == 2.0 and tries.wait_seconds("2001:db9::1") == 0.0
    for number in range(1000):
        tries.note_failure(str(number))
    assert tries.wait_seconds("2001:db8::1") == 0.0


# Operations


def test_an_operation_is_asked_of_the_root(make_desk: MAKE, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def ask(state_dir: Path, request: dict[str, Any]) -> dict[str, Any]:
        asked.append((state_dir, request))
        return {"ok": request["name"] != "nobody", "lines": ["one line", "another"]}

    monkeypatch.setattr(control_client, "ask", ask)
    desk = make_desk(TOKEN)
    reply = desk.post("/actions/restart", b'{"name": "pool"}', desk.cookie())
    assert (reply.status, said(reply)) == (200, "one line; another")
    assert desk.post("/actions/stop", b'{"name": "nobody"}', BEARER).status == 409
    assert desk.post("/actions/reload", b"{}", BEARER).status == 200
    assert asked == [
        (desk.state_dir, {"action": "restart", "name": "pool"}),
        (desk.state_dir, {"action": "stop", "name": "nobody"}),
        (desk.state_dir, {"action": "reload", "name": None}),
    ]


def test_a_root_that_does_not_answer(make_desk: MAKE) -> None:
    reply = make_desk(TOKEN).post("/actions/reload", b"{}", BEARER)
    assert reply.status == 503 and "does not answer" in said(reply)


def test_one_action_at_a_time(make_desk: MAKE, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = make_desk(TOKEN)

    async def play() -> list[int]:
        going = asyncio.Event()
        loop = asyncio.get_running_loop()

        def ask(state_dir: Path, request: dict[str, Any]) -> dict[str, Any]:
            asyncio.run_coroutine_threadsafe(going.wait(), loop).result()
            return {"ok": True, "lines": ["done"]}

        monkeypatch.setattr(control_client, "ask", ask)
        headers = {**MINE, **BEARER}
        first = asyncio.create_task(desk.request("POST", "/actions/reload", headers, b"{}"))
        await asyncio.sleep(0.05)
        second = await desk.request("POST", "/actions/reload", headers, b"{}")
        going.set()
        return [second.status, (await first).status]

    assert asyncio.run(play()) == [409, 200]
