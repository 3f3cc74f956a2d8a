"""The account's options: which session, whose it is, and that no secret of it is ever shown."""

from __future__ import annotations

import asyncio
import doctest
import re
from pathlib import Path
from typing import Any

import pytest

from ipc.process.holds import Hold
from supervisor.settings.table import TABLE
from workers.sources.telegram import source
from workers.sources.telegram.wire import account as account_module
from workers.sources.telegram.wire.account import Account, Proxy, Server, parse_proxy, parse_server

STRING = "1" + "A" * 352
RULES = {entry.name: entry.rule for entry in TABLE}


def account(state_dir: Path, **options: Any) -> Account:
    plain = {
        "api_id": 7,
        "api_hash": "f" * 32,
        "session": "telegram.session",
        "server": "",
        "public_key": "",
        "proxy": "",
    }
    return Account.from_options({**plain, "state_dir": str(state_dir), **options})


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("", None),
        ("127.0.0.1:443", Server(2, "127.0.0.1", 443)),
        ("4@[::1]:80", Server(4, "::1", 80)),
        ("10001@test.example.org:443", Server(10001, "test.example.org", 443)),
    ],
)
def test_servers(text: str, server: Server | None) -> None:
    assert re.fullmatch(RULES["telegram.server"].pattern, text)
    assert parse_server(text) == server


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("", None),
        ("socks5://127.0.0.1:1080", Proxy("socks5", "127.0.0.1", 1080)),
        ("http://me:s%3Acret@proxy.example.org:3128", Proxy("http", "proxy.example.org", 3128, "me", "s:cret")),
        (f"mtproxy://dd{'0a' * 16}@10.0.0.1:443", Proxy("mtproxy", "10.0.0.1", 443, secret="dd" + "0a" * 16)),
    ],
)
def test_proxies(text: str, proxy: Proxy | None) -> None:
    assert re.fullmatch(RULES["telegram.proxy"].pattern, text)
    assert parse_proxy(text) == proxy


@pytest.mark.parametrize("name", ["telegram.api_hash", "telegram.session", "telegram.proxy"])
def test_secrets_are_marked(name: str) -> None:
    assert RULES[name].secret


@pytest.mark.parametrize(
    ("session", "is_string", "name"),
    [
        ("telegram.session", False, "telegram.session"),
        ("other", False, "other.session"),  # telethon adds the ending as well
        ("deep/one.session", False, "deep/one.session"),
        (STRING, True, None),
        (STRING + "==", True, None),
    ],
)
def test_which_session(tmp_path: Path, session: str, is_string: bool, name: str | None) -> None:
    it = account(tmp_path, session=session)
    assert it.is_string is is_string
    if name:
        assert it.path == tmp_path / name


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    assert repr(account(tmp_path, session=STRING, proxy="http://me:secret@h:1")) == "Account(api_id=7)"


async def own(owner: Account) -> None:
    async with owner.owned():
        pass


@pytest.mark.parametrize("session", ["telegram.session", STRING])
def test_a_session_has_one_owner(tmp_path: Path, session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_module, "GRACE_SECONDS", 0.2)
    (tmp_path / "telegram.session").touch(0o600)

    async def own_twice() -> None:
        async with account(tmp_path, session=session).owned():
            with pytest.raises(Hold, match="in use by another process"):
                await own(account(tmp_path, session=session))
        await own(account(tmp_path, session=session))  # let go of

    asyncio.run(own_twice())
    assert not [path.name for path in tmp_path.iterdir() if STRING[:8] in path.name]


@pytest.mark.parametrize("session", ["telegram.session", STRING])
def test_an_owner_that_is_about_to_end_is_waited_for(tmp_path: Path, session: str) -> None:
    (tmp_path / "telegram.session").touch(0o600)

    async def hand_over() -> None:
        async with account(tmp_path, session=session).owned():
            successor = asyncio.create_task(own(account(tmp_path, session=session)))
            await asyncio.sleep(0.3)
            assert not successor.done()
        await successor

    asyncio.run(hand_over())


def test_a_session_that_others_may_read_is_theirs_no_more(tmp_path: Path) -> None:
    path = tmp_path / "telegram.session"
    path.touch(0o644)
    asyncio.run(own(account(tmp_path)))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_session_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Hold, match=r"cannot be read: No such file.*bin/run login"):
        asyncio.run(own(account(tmp_path)))


def test_half_a_string_session_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(Hold) as held:
        asyncio.run(own(account(tmp_path, session=STRING[:300])))
    assert "whole StringSession" in str(held.value)
    assert "AAAA" not in str(held.value)


@pytest.mark.parametrize("module", [account_module, source])
def test_the_examples_in_the_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
