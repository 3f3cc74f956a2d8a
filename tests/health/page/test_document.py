"""The document, its policy and the badge: who gets them, and what they let a browser do."""

from __future__ import annotations

import base64
import doctest
import hashlib
import re
from collections.abc import Callable

import pytest

import health.access.access
import health.access.sessions
import health.page.badge
import health.page.broadcast
import health.page.desk
import health.page.document
import health.page.files
from health.page.document import FILE
from tests.health.page.asgi import TOKEN, Desk

TEXT = FILE.read_text(encoding="utf-8")
MAKE = Callable[..., Desk]


def test_the_page_is_one_small_document_that_needs_no_other() -> None:
    assert len(TEXT.encode()) < 60_000
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", TEXT), "nothing comes from elsewhere"
    assert not re.search(r"\son[a-z]+=|style=\"|javascript:|innerHTML|insertAdjacentHTML|document\.write", TEXT)


def test_the_policy_allows_its_own_script_and_style_and_pictures_of_the_bucket(make_desk: MAKE) -> None:
    reply = make_desk(backend="r2", public_url="https://pictures.example.org/x").ask("GET", "/")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(one.split(" ", 1) for one in reply.headers["content-security-policy"].split("; "))
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", reply.body.decode(), re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert policy["default-src"] == policy["form-action"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["img-src"] == "'self' data: https://pictures.example.org"
    assert policy["connect-src"] == "'self'"
    assert reply.headers["x-content-type-options"] == "nosniff" and reply.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/events"])
@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("10.0.0.7", {}),
        ("127.0.0.1", {"host": "10.0.0.7:8080"}),
        ("127.0.0.1", {"host": "desk.example.org"}),
        ("127.0.0.1", {"x-forwarded-for": "10.0.0.7"}),
        ("127.0.0.1", {"forwarded": "for=10.0.0.7"}),
    ],
)
def test_without_a_token_the_page_is_for_this_machine(
    path: str, client: str, headers: dict[str, str], make_desk: MAKE
) -> None:
    reply = make_desk(hosts=("desk.example.org",)).ask("GET", path, headers, client=client)
    assert reply.status == 403 and b"health.token" in reply.body


@pytest.mark.parametrize(
    ("client", "host"), [("127.0.0.1", "localhost"), ("::1", "[::1]:80"), ("127.0.0.2", "127.9.9.9")]
)
def test_on_this_machine_it_is_there(client: str, host: str, make_desk: MAKE) -> None:
    assert make_desk().ask("GET", "/", {"host": host}, client=client).status == 200


def test_with_a_token_everybody_gets_the_document_and_nobody_the_data(make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    assert desk.ask("GET", "/", {"host": "10.0.0.9"}, client="10.0.0.7").status == 200
    for path in ("/events", "/media/x", "/dead/1", "/status"):
        name = desk.cookie()["cookie"].partition("=")[0]
        for headers in ({}, {"cookie": f"{name}=x"}, {"cookie": f'{name}="'}, {"authorization": "Bearer wrong"}):
            assert desk.ask("GET", path, headers).status == 401, (path, headers)


def test_another_name_gets_nothing(make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    headers = {"host": "evil.example", "authorization": f"Bearer {TOKEN}"}
    for path in ("/", "/events", "/badge.svg", "/media/x", "/dead/1"):
        assert desk.ask("GET", path, headers).status == 421, path
    assert desk.post("/actions/reload", headers=headers).status == desk.post("/session", headers=headers).status == 421


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/events", "/badge.svg", "/media/x", "/dead/1", "/session", "/actions/retry"])
def test_other_methods_are_405(path: str, method: str, make_desk: MAKE) -> None:
    assert make_desk(TOKEN).ask(method, path).status == 405


def test_what_shows_is_only_read_and_what_acts_is_only_posted(make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    assert [desk.post(path).status for path in ("/", "/events", "/badge.svg")] == [405] * 3
    assert desk.ask("GET", "/actions/retry").status == 405
    assert desk.post("/actions/import").status == 404


def test_the_badge_counts_the_problems_for_everybody(make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    reply = desk.ask("GET", "/badge.svg", {"host": "10.0.0.9"}, client="10.0.0.7")
    assert (reply.status, reply.headers["content-type"]) == (200, "image/svg+xml")
    assert b"picturedesk: ok" in reply.body
    desk.tree.given = {"silent_seconds": 30.0}
    assert b"picturedesk: 1 problem<" in desk.ask("GET", "/badge.svg").body


@pytest.mark.parametrize(
    "module",
    [
        health.access.access,
        health.page.badge,
        health.page.broadcast,
        health.page.desk,
        health.page.document,
        health.page.files,
        health.access.sessions,
    ],
    ids=lambda module: module.__name__,
)
def test_by_example(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
