"""Logging in step by step: what is asked and told, what is written, and what happens when things go wrong."""

from __future__ import annotations

import doctest
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from telethon.crypto import AuthKey, rsa
from telethon.sessions import MemorySession, SQLiteSession
from telethon.tl import types

from ipc.text import durations
from tests.servers.telegram import TelegramServer
from tests.servers.telegram.rpc import login as server_login
from workers.sources.telegram.login import answers, asker, authorization, descriptions, login, session
from workers.sources.telegram.wire.account import Account
from workers.sources.telegram.wire.client import load_session


class Person:
    """A terminal with somebody who answers: with texts, or with what a function says when it is asked."""

    def __init__(self, *answers: str | Callable[[], str]) -> None:
        self.is_interactive = True
        self.asked: list[str] = []
        self.said: list[str] = []
        self.given: list[str] = []
        self.refusals: list[str] = []
        self.drawn: list[str] = []
        self.on_drawn: Callable[[str], None] = lambda url: None
        self._answers = list(answers)

    def ask(self, question: str) -> str:
        self.asked.append(question)
        if not self._answers:
            raise EOFError
        answer = self._answers.pop(0)
        return answer if isinstance(answer, str) else answer()

    def ask_hidden(self, question: str) -> str:
        return self.ask(f"hidden: {question}")

    def say(self, text: str) -> None:
        self.said.append(text)

    def draw(self, url: str) -> None:
        self.drawn.append(url)
        self.on_drawn(url)

    def give(self, text: str) -> None:
        self.given.append(text)

    def refuse(self, text: str) -> None:
        self.refusals.append(text)


@pytest.fixture
def server() -> Iterator[TelegramServer]:
    with TelegramServer() as server:
        yield server
        assert server.unexpected == []
    assert "telegram" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def options(server: TelegramServer, tmp_path: Path) -> dict[str, Any]:
    return {
        "api_id": server.api_id,
        "api_hash": server.api_hash,
        "session": "telegram.session",
        "state_dir": str(tmp_path / "state"),
        "server": server.address,
        "public_key": server.public_key,
        "proxy": "",
    }


def run(options: dict[str, Any], person: Person, *, qr: bool = False, as_string: bool = False) -> int:
    return login.main(options, person, qr=qr, as_string=as_string, force=False)


def files(options: dict[str, Any]) -> list[str]:
    return sorted(file.name for file in Path(options["state_dir"]).glob("*"))


def some_session() -> MemorySession:
    made = MemorySession()
    made.set_dc(2, "127.0.0.1", 443)
    made.auth_key = AuthKey(bytes(256))
    return made


# The session's file


def test_the_file_is_its_owners_only_from_the_first_byte_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes, names = [], []

    class Watched(SQLiteSession):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            modes.append(stat.S_IMODE(Path(name).stat().st_mode))
            names.append(Path(name))
            assert Path(name).stat().st_size == 0
            super().__init__(name)

        def save(self) -> None:
            super().save()
            modes.extend(stat.S_IMODE(file.stat().st_mode) for file in tmp_path.rglob("*.session*"))

    monkeypatch.setattr(session, "SQLiteSession", Watched)
    path = tmp_path / "made" / "my.session"
    before = os.umask(0)
    try:
        session.write_session(some_session(), path)
    finally:
        os.umask(before)
    assert set(modes) == {0o600} and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert names[0].parent == path.parent and names[0] != path
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_can_not_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "my.session"
    session.write_session(some_session(), path)
    before = path.read_bytes()

    def fail(*rest: Any) -> None:
        raise OSError(28, "No space left on device")

    for place, name in ((Path, "rename"), (session, "_sync")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fail)
            with pytest.raises(OSError, match="No space"):
                session.write_session(some_session(), path)
        assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before


def test_a_link_is_kept_and_a_left_over_journal_is_not(tmp_path: Path) -> None:
    real = tmp_path / "volume" / "real.session"
    session.write_session(some_session(), real)
    link = tmp_path / "telegram.session"
    link.symlink_to(real)
    journal = Path(f"{real}-journal")
    journal.write_bytes(b"what SQLite would apply to the new file")
    session.write_session(some_session(), link)
    assert link.is_symlink() and list(real.parent.iterdir()) == [real]
    database = sqlite3.connect(real)
    try:
        assert database.execute("SELECT dc_id, port FROM sessions").fetchall() == [(2, 443)]
    finally:
        database.close()


def test_what_is_written_is_what_the_connection_reads(server: TelegramServer, options: dict[str, Any]) -> None:
    person = Person(server.world.phone, server.world.code)
    assert run(options, person) == 0, person.refusals
    made = load_session(Account.from_options(options))
    assert (made.server_address, made.port) == ("127.0.0.1", server.port) and made.auth_key
    assert files(options) == ["telegram.session"] and not person.given


def test_a_login_that_can_not_be_kept_is_undone(
    server: TelegramServer, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: Any, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(authorization, "write_session", fail)
    person = Person(server.world.phone, server.world.code)
    assert run(options, person) == 1
    assert "No space" in person.refusals[0] and "undone" in person.refusals[0]
    assert server.requests["auth.logOut"] == 1


# The conversation


def test_a_connection_that_is_lost_while_a_person_is_thinking(
    server: TelegramServer, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asker, "REQUEST_SECONDS", 3.0)  # one may be on its way when the connection goes
    server.world.password = "correct horse"

    def after_a_while(answer: str) -> Callable[[], str]:
        def think() -> str:
            server.drop_connections()
            return answer

        return think

    person = Person(
        after_a_while(server.world.phone), after_a_while(server.world.code), after_a_while(server.world.password)
    )
    assert run(options, person) == 0, person.refusals
    assert server.connections_total == 4
    assert server.requests["auth.sendCode"] == 1


def test_a_code_that_is_too_old_is_sent_anew(server: TelegramServer, options: dict[str, Any]) -> None:
    def too_late() -> str:
        server.expire_codes()
        return server.world.code

    person = Person(server.world.phone, too_late, server.world.code)
    assert run(options, person) == 0, person.refusals
    assert any("too old" in text and "sent a code" in text for text in person.said)
    assert server.requests["auth.sendCode"] == 2


def test_the_code_may_be_sent_in_another_way(server: TelegramServer, options: dict[str, Any]) -> None:
    def too_late() -> str:
        server.expire_codes()
        return ""

    person = Person(server.world.phone, "", too_late, server.world.code)
    assert run(options, person) == 0, person.refusals
    assert (server.requests["auth.resendCode"], server.requests["auth.sendCode"]) == (2, 2)
    server.faults.rpc("auth.resendCode", error="SEND_CODE_UNAVAILABLE", code=406)
    person = Person(server.world.phone, "", server.world.code)
    assert run({**options, "session": "another"}, person) == 0
    assert any("no other way" in text for text in person.said)


def test_a_request_that_is_never_answered(
    server: TelegramServer, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asker, "REQUEST_SECONDS", 0.3)
    server.faults.rpc("auth.sendCode", silent=True)
    person = Person(server.world.phone)
    assert run(options, person) == 1
    assert "no answer within" in person.refusals[0]
    server.faults.clear()
    server.faults.black_hole()
    monkeypatch.setattr(asker, "CONNECT_SECONDS", 0.3)
    person = Person()
    assert run(options, person) == 1
    assert "cannot be reached" in person.refusals[0] and not person.asked
    assert files(options) == []


def test_a_server_whose_key_is_not_known(
    server: TelegramServer, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rsa, "_server_keys", {})  # what other tests have added
    person = Person()
    assert run({**options, "public_key": ""}, person) == 1
    assert "has an RSA key that is not known here" in person.refusals[0]
    assert "Set telegram.public_key" in person.refusals[0] and not person.asked


def test_a_server_that_cannot_be_reached(server: TelegramServer, options: dict[str, Any]) -> None:
    server.stop()
    person = Person()
    assert run(options, person) == 1
    assert f"{server.address}: Connection refused (ECONNREFUSED)" in person.refusals[0]


def test_wrong_passwords(server: TelegramServer, options: dict[str, Any]) -> None:
    server.world.password = "correct horse"
    person = Person(server.world.phone, server.world.code, "a", "", "c", "correct horse")
    assert run(options, person) == 1
    assert [one.startswith("hidden: ") for one in person.asked] == [False, False, True, True, True]
    assert not any("horse" in text for text in (*person.said, *person.refusals))
    assert files(options) == []


def test_codes_that_nobody_scans(
    server: TelegramServer, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "QR_SECONDS", 0.0)
    monkeypatch.setattr(server_login, "TOKEN_SECONDS", 0)
    person = Person()
    assert run(options, person, qr=True) == 1
    assert len(person.drawn) == 1 and "no code was scanned" in person.refusals[0]


def test_a_code_that_is_accepted_while_the_connection_is_down(server: TelegramServer, options: dict[str, Any]) -> None:
    """Nobody is told of it; the next request finds out."""
    person = Person()

    def scanned(url: str) -> None:
        server.drop_connections()
        server.accept_qr(url)

    person.on_drawn = scanned
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_login, "TOKEN_SECONDS", 1)
        assert run(options, person, qr=True) == 0, person.refusals
    assert files(options) == ["telegram.session"]


def test_the_string_goes_to_scripts_and_to_nobody_else(server: TelegramServer, options: dict[str, Any]) -> None:
    person = Person(server.world.phone, server.world.code)
    assert run(options, person, as_string=True) == 0
    (string,) = person.given
    assert not any(string in text for text in person.said)
    given = Account.from_options({**options, "session": string})
    assert given.is_string and load_session(given).auth_key
    assert files(options) == []


# Words


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (types.auth.SentCodeTypeApp(5), "app"),
        (types.auth.SentCodeTypeSms(5), "SMS"),
        (types.auth.SentCodeTypeSmsWord("b"), "words"),
        (types.auth.SentCodeTypeCall(5), "calls you"),
        (types.auth.SentCodeTypeMissedCall("4930", 5), "last 5 digits"),
        (types.auth.SentCodeTypeFlashCall("*"), "calling number"),
        (types.auth.SentCodeTypeFragmentSms("https://fragment.com/x", 5), "fragment.com"),
        (types.auth.SentCodeTypeEmailCode("a***@b.c", 6), "a***@b.c"),
        (object(), "sent a code"),
    ],
)
def test_how_the_code_was_sent(kind: Any, word: str) -> None:
    assert word in descriptions.how_sent(SimpleNamespace(type=kind))


def test_who_it_is() -> None:
    def user(**facts: Any) -> Any:
        return types.User(id=1, **facts)

    assert (
        descriptions.describe(user(first_name="A", last_name="B", username="ab", phone="4917012"))
        == "A B (@ab, phone …12)"
    )
    assert descriptions.describe(user(first_name="A\x1b[2J\n")) == "A [2J"
    assert (
        descriptions.describe(user(usernames=[types.Username("old"), types.Username("new", active=True)]))
        == "(no name) (@new)"
    )


def test_phone_numbers_and_durations() -> None:
    assert login.phone_number("+49 (170) 123-45.67") == login.phone_number("0049 170 1234567") == "+491701234567"
    assert login.phone_number("99966 2 1234") == "+9996621234"
    for text in ("", "12", "+49 abc", "123456:AAE-token-of-a-bot", "+" * 9):
        with pytest.raises(answers.Again):
            login.phone_number(text)
    said = [durations.duration(seconds) for seconds in (1, 59.4, 61, 3600, 48_038, 200_000)]
    assert said == ["1 s", "59 s", "2 min", "1 h", "13 h 21 min", "2 d 8 h"]
    assert doctest.testmod(login).failed == doctest.testmod(durations).failed == 0
