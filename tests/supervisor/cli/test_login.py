"""`bin/run login` and `bin/run check` as a person or a script uses them, against a Telegram on this machine."""

from __future__ import annotations

import asyncio
import base64
import codecs
import json
import os
import pty
import re
import select
import stat
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import StringSession

from supervisor.cli.login import draw
from tests import lengths
from tests.instance import DEADLINE_SECONDS, Instance, wait_for
from tests.servers.telegram import OTHER_DC, TelegramServer
from tests.servers.telegram.rpc import login as server_login
from tests.servers.telegram_client import connected

MakeInstance = Callable[..., Instance]

WITH_CONTROLLING_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
)
"""What a terminal does for the program in it, so that Ctrl-C reaches that."""


@pytest.fixture
def server() -> Iterator[TelegramServer]:
    with TelegramServer() as server:
        yield server
        assert server.unexpected == [] and server.duplicates == 0


@pytest.fixture
def make(server: TelegramServer, make_instance: MakeInstance, tmp_path: Path) -> MakeInstance:
    """Makes instances whose account is on the server; `more` are further settings of the section telegram."""

    def make(*channels: str, api_hash: str = server.api_hash, at: str = server.address, more: str = "") -> Instance:
        lines = [
            "[telegram]",
            f"api_id = {server.api_id}",
            f'api_hash = "{api_hash}"',
            f'server = "{at}"',
            f"public_key = '''{server.public_key}'''",
            f"channels = {json.dumps(channels or ['@nobody'])}",
            more,
        ]
        return make_instance(tmp_path, "\n".join(lines))

    return make


class Talk:
    """The command in a terminal of its own, and what a person sees and types there."""

    def __init__(self, instance: Instance, *words: str, stdout: Any = None) -> None:
        self._master, terminal = pty.openpty()
        command = [sys.executable, "-P", "-m", "supervisor", *words, "--config", str(instance.config)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", WITH_CONTROLLING_TERMINAL, *command],
            stdin=terminal,
            stdout=terminal if stdout is None else stdout,
            stderr=terminal,
            env=instance.environment(),
            cwd=instance.folder,
            start_new_session=True,
        )
        os.close(terminal)
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def read(self, seconds: float) -> bool:
        """Take what has come; False when nothing more will."""
        if select.select([self._master], [], [], seconds)[0]:
            try:
                text = self._decoder.decode(os.read(self._master, 65536))  # which may begin or end within a character
                self.seen = (self.seen + text).replace("\r\n", "\n")
            except OSError:  # the other end is closed
                return False
        return True

    def expect(self, text: str) -> str:
        """Read until the text has come; what came before it. The rest is kept for the next one."""
        until = time.monotonic() + DEADLINE_SECONDS
        while text not in self.seen:
            assert time.monotonic() < until and self.read(0.1), f"waited in vain for {text!r}; seen: {self.seen}"
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self._master, text.encode() + b"\n")

    def press(self, key: bytes) -> None:
        os.write(self._master, key)

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def end(self) -> tuple[int, str]:
        """The exit code, and what was said last."""
        until = time.monotonic() + DEADLINE_SECONDS
        while self.read(0.1):
            assert time.monotonic() < until, f"it does not end; seen: {self.seen}"
        return self.process.wait(timeout=DEADLINE_SECONDS), self.seen


def pipe(instance: Instance, *words: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    """The command in a script, with its answers from a pipe."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "supervisor", *words, "--config", str(instance.config)],
        input=lines,
        capture_output=True,
        text=True,
        env=instance.environment(),
        cwd=instance.folder,
        timeout=DEADLINE_SECONDS,
        check=False,
        start_new_session=True,  # no terminal to ask
    )


def session_of(instance: Instance) -> Path:
    return instance.state_dir / "telegram.session"


def answers(server: TelegramServer, *more: str) -> str:
    return "".join(f"{line}\n" for line in (f"+{server.world.phone}", server.world.code, *more))


def tokens(server: TelegramServer) -> list[str]:
    """What the QR codes say that were asked for and not accepted yet."""
    codes = [base64.urlsafe_b64encode(token).decode().rstrip("=") for token in server.login_tokens()]
    return [f"tg://login?token={code}" for code in codes]


def assert_nothing_was_made(instance: Instance) -> None:
    assert not instance.state_dir.exists() or not list(instance.state_dir.rglob("*"))


# login


def test_the_session_that_a_person_makes_lets_the_tree_connect(server: TelegramServer, make: MakeInstance) -> None:
    channel = server.world.add_channel("News", "news")
    instance = make("@news")
    with Talk(instance, "login") as talk:
        talk.expect("Phone number, with the country code: ")
        talk.type("what?")
        talk.expect("This is not a phone number")
        talk.expect("Phone number, with the country code: ")
        talk.type("+49 30 123456")
        talk.expect("Telegram does not know this phone number")
        talk.expect("Phone number, with the country code: ")
        talk.type(f"+{server.world.phone[:3]} {server.world.phone[3:]}")
        talk.expect("sent a code to your Telegram app")
        talk.expect("Code (Enter alone: have it sent another way): ")
        talk.type("00000")
        talk.expect("This is not the code")
        talk.expect("Code (Enter alone: have it sent another way): ")
        talk.type(" ".join(server.world.code))
        code, said = talk.end()
    assert code == 0
    assert f"Logged in as Test Account (phone …{server.world.phone[-2:]})." in said
    assert "must not be used in two places" in said and "bin/run check" in said
    assert str(session_of(instance)) in said
    assert server.world.phone not in said and server.api_hash not in said
    assert stat.S_IMODE(session_of(instance).stat().st_mode) == 0o600
    assert stat.S_IMODE(instance.state_dir.stat().st_mode) == 0o711, "media/ will be in it"
    assert [file.name for file in instance.state_dir.iterdir()] == ["telegram.session"]
    before = session_of(instance).read_bytes()

    instance.start()
    instance.wait_until_running()

    def connected() -> bool:
        body = instance.status()
        return bool(body and any(row["id"] == channel.id for row in body["channels"]))

    wait_for("the channel to be known", connected)
    assert instance.stop() == 0
    assert session_of(instance).read_bytes() == before


def test_the_password_is_not_shown_while_it_is_typed(server: TelegramServer, make: MakeInstance) -> None:
    server.world.password = "correct horse"
    instance = make()
    with Talk(instance, "login") as talk:
        talk.expect("code: ")
        talk.type(server.world.phone)
        talk.expect("way): ")
        talk.type(server.world.code)
        talk.expect("Two-step password: ")
        assert not talk.echoes()
        talk.type("battery staple")
        seen = talk.expect("This is not the password")
        seen += talk.expect("Two-step password: ")
        talk.type("correct horse")
        code, said = talk.end()
        assert talk.echoes()
    assert code == 0 and "Logged in" in said
    assert "horse" not in seen + said and "staple" not in seen + said
    assert session_of(instance).exists()


@pytest.mark.parametrize("password", [None, "correct horse"] if lengths.is_long else ["correct horse"])
def test_by_a_code_that_another_device_scans(
    server: TelegramServer, make: MakeInstance, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    monkeypatch.setattr(server_login, "TOKEN_SECONDS", 1)
    server.world.password = password
    instance = make()
    with Talk(instance, "login", "--qr") as talk:
        talk.expect("Scan this with Telegram")
        wait_for(
            "the second code",
            lambda: talk.read(0.05) and talk.seen.count("\x1b[0m\n\x1b[") > 0 and len(tokens(server)) > 1,
        )
        first, second = tokens(server)[:2]
        talk.expect(draw(first, colours=True))
        talk.expect(f"\x1b[{len(draw(first).splitlines())}A")  # in its place
        talk.expect(draw(second, colours=True))
        monkeypatch.setattr(server_login, "TOKEN_SECONDS", 30)
        server.accept_qr(tokens(server)[-1])
        if password:
            talk.expect("Two-step password: ")
            talk.type(password)
        code, said = talk.end()
    assert code == 0, said
    assert "Logged in as Test Account" in said
    assert session_of(instance).exists()


@pytest.mark.parametrize("password", [None, " correct horse"] if lengths.is_long else [" correct horse"])
def test_from_a_pipe(server: TelegramServer, make: MakeInstance, password: str | None) -> None:
    server.world.password = password
    instance = make()
    done = pipe(instance, "login", lines=answers(server, *([password] if password else [])))
    assert done.returncode == 0, done.stderr
    assert "Logged in as Test Account" in done.stdout and done.stderr == ""
    for secret in (server.api_hash, server.world.phone, server.world.code, password or "correct horse"):
        assert secret not in done.stdout
    assert stat.S_IMODE(session_of(instance).stat().st_mode) == 0o600


def test_where_the_account_lives_in_another_data_centre(server: TelegramServer, make: MakeInstance) -> None:
    server.world.add_channel("News", "news")
    instance = make("@news", at=f"{OTHER_DC}@127.0.0.1:{server.ports[OTHER_DC]}")
    assert instance.answer("login", lines=answers(server)).returncode == 0
    assert "'News'" in instance.answer("check").stdout


def test_as_a_string(server: TelegramServer, make: MakeInstance, tmp_path: Path) -> None:
    instance = make()
    with (tmp_path / "out").open("w+") as out, Talk(instance, "login", "--string", stdout=out) as talk:
        talk.expect("Phone number, with the country code: ")
        talk.type(server.world.phone)
        talk.expect("way): ")
        talk.type(server.world.code)
        code, said = talk.end()
        out.seek(0)
        given = out.read()
    assert code == 0 and "secret" in said and "PICTUREDESK__TELEGRAM__SESSION" in said
    assert re.fullmatch(r"\S+\n", given) and given.strip() not in said
    assert_nothing_was_made(instance)

    async def use() -> bool:
        async with connected(server, StringSession(given.strip())) as client:
            return bool(await client.is_user_authorized())

    assert asyncio.run(use())


def test_a_session_that_is_there_is_kept_unless_one_says_otherwise(server: TelegramServer, make: MakeInstance) -> None:
    instance = make()
    assert instance.answer("login", lines=answers(server)).returncode == 0
    first = session_of(instance).read_bytes()
    connections = server.connections_total

    refused = instance.answer("login", lines=answers(server))
    assert refused.returncode == 1 and "--force" in refused.stderr
    with Talk(instance, "login") as talk:
        talk.expect("Replace it? [y/N] ")
        talk.type("")
        code, said = talk.end()
    assert code == 1 and "kept" in said
    assert session_of(instance).read_bytes() == first and server.connections_total == connections

    with Talk(instance, "login") as talk:
        talk.expect("Replace it? [y/N] ")
        talk.type("y")
        for line in answers(server).splitlines():
            talk.expect(": ")
            talk.type(line)
        assert talk.end()[0] == 0
    second = session_of(instance).read_bytes()
    assert instance.answer("login", "--force", lines=answers(server)).returncode == 0
    assert len({first, second, session_of(instance).read_bytes()}) == 3
    assert stat.S_IMODE(session_of(instance).stat().st_mode) == 0o600
    assert [file.name for file in instance.state_dir.iterdir()] == ["telegram.session"]


@pytest.mark.parametrize("at", [*(["phone", "code"] if lengths.is_long else []), "password", "qr", "request"])
def test_an_interrupt_leaves_nothing(server: TelegramServer, make: MakeInstance, at: str) -> None:
    """The way to the password goes by the other two prompts."""
    server.world.password = "correct horse"
    instance = make()
    with Talk(instance, "login", *(["--qr"] if at == "qr" else [])) as talk:
        if at == "qr":
            wait_for("a code", lambda: talk.read(0.05) and tokens(server))
        else:
            talk.expect("country code: ")
        if at in ("code", "password"):
            talk.type(server.world.phone)
            talk.expect("way): ")
        if at == "password":
            talk.type(server.world.code)
            talk.expect("Two-step password: ")
        if at == "request":
            fault = server.faults.rpc("auth.sendCode", silent=True)
            talk.type(server.world.phone)
            wait_for("the request", lambda: talk.read(0.05) and server.requests["auth.sendCode"])
            fault.clear()
        talk.press(b"\x03")
        code, said = talk.end()
        assert talk.echoes()
    assert code == 130 and "nothing was saved" in said and "Traceback" not in said
    assert_nothing_was_made(instance)
    wait_for("the connection to end", lambda: server.connections == 0)


def test_too_few_answers(server: TelegramServer, make: MakeInstance) -> None:
    instance = make()
    for lines in ("", f"{server.world.phone}\n"):
        gave_up = instance.answer("login", lines=lines)
        assert gave_up.returncode == 1 and "no more answers" in gave_up.stderr
    with Talk(instance, "login") as talk:
        talk.expect("country code: ")
        talk.press(b"\x04")  # Ctrl-D
        assert talk.end()[0] == 1
    assert_nothing_was_made(instance)


def test_too_many_wrong_answers(server: TelegramServer, make: MakeInstance) -> None:
    instance = make()
    gave_up = instance.answer("login", lines=f"{server.world.phone}\n" + "11111\n" * 10)
    assert gave_up.returncode == 1 and "3 wrong answers" in gave_up.stderr
    assert server.requests["auth.signIn"] == 3
    assert_nothing_was_made(instance)


@pytest.mark.parametrize(
    ("name", "error", "code", "said"),
    [
        ("auth.sendCode", "FLOOD_WAIT_48038", 1, "wait for 13 h 21 min"),
        ("auth.sendCode", "PHONE_NUMBER_BANNED", 1, "recover@telegram.org"),
        ("auth.sendCode", "PHONE_NUMBER_FLOOD", 1, "tomorrow"),
        ("auth.sendCode", "API_ID_PUBLISHED_FLOOD", 78, "https://my.telegram.org/apps"),
        ("auth.sendCode", "SOMETHING_NEW", 1, "SOMETHING_NEW"),
        ("auth.signIn", "PHONE_NUMBER_UNOCCUPIED", 1, "no Telegram account"),
        ("auth.signIn", "FLOOD_WAIT_90", 1, "wait for 2 min"),
    ],
)
def test_refusals_of_telegram_are_in_plain_words(
    server: TelegramServer, make: MakeInstance, name: str, error: str, code: int, said: str
) -> None:
    server.faults.rpc(name, error=error)
    instance = make()
    refused = instance.answer("login", lines=answers(server))
    assert refused.returncode == code and said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1, refused.stderr
    assert_nothing_was_made(instance)


def test_a_wrong_api_hash(server: TelegramServer, make: MakeInstance) -> None:
    wrong = "f" * 32
    for words in (["login"], ["login", "--qr"]):
        refused = make(api_hash=wrong).answer(*words, lines=answers(server))
        assert refused.returncode == 78 and "https://my.telegram.org/apps" in refused.stderr
        assert wrong not in refused.stderr + refused.stdout


def test_no_network(server: TelegramServer, make: MakeInstance) -> None:
    server.stop()
    refused = make().answer("login", lines=answers(server))
    assert refused.returncode == 1
    assert "cannot be reached" in refused.stderr and "Traceback" not in refused.stderr


def test_what_the_configuration_has_to_say_first(
    server: TelegramServer, make: MakeInstance, make_instance: MakeInstance, tmp_path: Path
) -> None:
    bare = make_instance(tmp_path).answer("login", lines=answers(server))
    assert bare.returncode == 78 and "https://my.telegram.org/apps" in bare.stderr
    string = server.session_string()
    given = make(more=f'session = "{string}"')
    refused = given.answer("login", lines=answers(server))
    assert refused.returncode == 78 and "StringSession" in refused.stderr and string not in refused.stderr
    most = make(more=f'session = "{string[:300]}"').answer("login", lines=answers(server))
    assert most.returncode == 78 and string[:100] not in most.stderr
    blocked = make()
    blocked.state_dir.write_text("in the way")
    refused = blocked.answer("login", lines=answers(server))
    assert refused.returncode == 78 and str(blocked.state_dir) in refused.stderr
    assert server.connections_total == 0
    assert given.answer("login", "--string", lines=answers(server)).returncode == 0
    assert pipe(given, "login", "--nonsense").returncode == 2


# check


def log_in(server: TelegramServer, instance: Instance) -> None:
    instance.state_dir.mkdir(exist_ok=True)
    server.session_file(session_of(instance))


def test_check_says_of_every_channel_whether_it_can_be_read(server: TelegramServer, make: MakeInstance) -> None:
    mine = server.world.add_channel("Mine", "mine_own")
    other = server.world.add_channel("Others'", "others", member=False)
    invited = server.world.add_channel("Hidden", invite="AbCdEfGhIjKlMnOp")
    private = server.world.add_channel("Private", "private_one", member=False)
    renamed = server.world.add_channel("Renamed", "old_name")
    renamed.rename("new_name")
    private.make_private()
    unasked = server.world.add_channel("Unasked", invite="ZyXwVuTsRqPoNmLk", member=False)
    names = ["@mine_own", "t.me/others", "https://t.me/+AbCdEfGhIjKlMnOp", "@old_name", "@nobody_here"]
    instance = make(*names, f"-100{private.id}", "t.me/+ZyXwVuTsRqPoNmLk", str(mine.id))
    log_in(server, instance)
    checked = instance.answer("check")
    assert checked.returncode == 78
    good = checked.stdout.splitlines()
    assert f"ok       channel @mine_own: 'Mine', id {mine.id}, member" in good
    assert any(
        f'"Others\'", id {other.id}, not a member: its posts are found by asking every 30 s' in one for one in good
    )
    assert any(f"'Hidden', id {invited.id}, member" in one for one in good)
    assert "NOT ok (" in good[-1] and "5 failed" in good[-1]
    told = [line.partition("  ") for line in good[:-1]]
    assert {verdict for verdict, _, _ in told} == {"ok", "failed"}
    assert any("Telegram: credentials: api_id " in what for _, _, what in told)
    assert any("Telegram: account " in what for _, _, what in told)
    assert [what.lstrip() for verdict, _, what in told if verdict == "failed"] == [
        line.removeprefix("picturedesk: check: ") for line in checked.stderr.splitlines()
    ], "the same there"
    bad = checked.stderr.splitlines()
    assert len(bad) == 5, bad
    assert "@old_name: nobody has this name (was the channel renamed?)" in bad[0] and "new name" in bad[0]
    assert "@nobody_here: nobody has this name" in bad[1]
    assert f"{private.id}: no channel with this id" in bad[2] and "Join it" in bad[2]
    assert "has not joined" in bad[3] and unasked.invite is not None and unasked.invite not in bad[3]
    assert f"{mine.id}: it is the same channel as @mine_own" in bad[4]
    wait_for("the connection to end", lambda: server.connections == 0)
    assert server.connections_total == 1

    good_only = make("@mine_own", "@others")
    log_in(server, good_only)
    checked = good_only.answer("check")
    assert checked.returncode == 0 and checked.stderr == "", checked.stderr
    assert checked.stdout.splitlines()[-1].partition(": ok (")[1]


def test_check_beside_an_instance_that_is_held_runs_loses_telegram_and_has_ended(
    server: TelegramServer, make: MakeInstance
) -> None:
    """On one instance, in that order: each step begins where the one before has ended."""
    mine = server.world.add_channel("Mine", "mine_own")
    other = server.world.add_channel("Other", "others", member=False)
    renamed = server.world.add_channel("Renamed", "old_name")
    lost = server.world.add_channel("Lost", "lost_one")
    instance = make("@mine_own", "@others", "@nobody_here", "@old_name", "@lost_one")
    instance.start()
    wait_for("the connection to be held", lambda: instance.row("connection").get("state") == "held")
    checked = instance.answer("check")
    assert checked.returncode == 78 and "connection is held" in checked.stderr, checked.stderr
    assert "bin/run login" in checked.stderr

    log_in(server, instance)
    assert instance.answer("restart", "connection").returncode == 0

    def looked_at() -> bool:
        body = instance.status()
        rows = [row for row in body["channels"] if row.get("address")] if body else []
        return len(rows) == 5 and all(row["id"] or row["problem"] for row in rows)

    wait_for("all channels to be looked at", looked_at)
    connections = server.connections_total
    checked = instance.answer("check")
    assert checked.returncode == 78
    assert f"channel @mine_own: 'Mine', id {mine.id}, member" in checked.stdout
    assert f"channel @others: 'Other', id {other.id}, not a member" in checked.stdout
    assert "channel @nobody_here: nobody has this name" in checked.stderr and "new name" in checked.stderr
    assert len(checked.stderr.splitlines()) == 1

    refused = instance.answer("login", "--force", lines=answers(server))
    assert refused.returncode == 1 and "must not be used in two places" in refused.stderr
    assert instance.root is not None and f"pid {instance.root.pid}" in refused.stderr
    assert server.connections_total == connections

    server.stop()
    wait_for(
        "it to be noticed", lambda: not (instance.status() or {"stats": {"connected": True}})["stats"]["connected"]
    )
    checked = instance.answer("check")
    assert checked.returncode == 78 and "not connected" in checked.stderr
    assert instance.stop() == 0

    server.start()
    renamed.rename("new_name")
    lost.ban()
    checked = instance.answer("check")
    assert checked.returncode == 78
    assert f"channel @old_name: 'Renamed', id {renamed.id}, member" in checked.stdout, "still read by its id"
    assert "channel @lost_one: it is private" in checked.stderr and "join" in checked.stderr


def test_check_where_there_is_no_way_to_telegram(server: TelegramServer, make: MakeInstance) -> None:
    def check(instance: Instance) -> str:
        checked = instance.answer("check")
        assert checked.returncode == 78
        lines = checked.stderr.splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    instance = make("@nobody")
    assert "bin/run login" in check(instance)
    log_in(server, instance)
    for name, error, said in (
        ("*", "AUTH_KEY_DUPLICATED", "used in two places"),
        ("*", "SESSION_REVOKED", "ended from another device"),
        ("*", "API_ID_INVALID", "https://my.telegram.org/apps"),
    ):
        fault = server.faults.rpc(name, error=error)
        assert said in check(instance)
        fault.clear()
    server.stop()
    assert "cannot be reached" in check(instance)
    session_of(instance).write_bytes(b"this is no session" * 100)
    assert "cannot be read" in check(instance)
    fresh = make("@nobody")
    fresh.state_dir.mkdir()
    server.start()
    server.session_file(session_of(fresh), logged_in=False)
    assert "bin/run login" in check(fresh)
