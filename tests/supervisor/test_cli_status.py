"""`status` on a terminal: what its screen shows, at every size, of names that others wrote, and in a real terminal."""

from __future__ import annotations

import contextlib
import copy
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from health.problems.first_seen import FirstSeen
from health.status import document
from ipc.text.printable import printable
from supervisor.cli.status import plain, screen, words
from supervisor.cli.status.watch import WatchView
from supervisor.host.instance_lock import Card, Lock
from tests.health.snapshots import FAILING, NOW, WEBHOOK, child, figures, snapshot
from tests.instance import HOME, wait_for

HOSTILE = "\x1b]0;owned\x07 [bold red]x[/] :smile: \x1b[2J \x9b2J \u202egnp.exe \u2028\r\nok\x00" + "漢字" * 200
STYLE = re.compile(r"\x1b\[[0-9;]*m")


def body(**more: Any) -> dict[str, Any]:
    """A real body: a worker is down, a breaker is open, a channel has a problem."""
    reports = {
        "connection": {"connected": True, "source": "telegram", "last_heartbeat_at": "2023-11-14T22:13:00Z"},
        "uploader": {
            "r2_circuit_breaker": "open",
            "supabase_circuit_breaker": "closed",
            "r2_circuit_breaker_since": "2023-11-14T22:12:20Z",
            "r2_next_probe_at": "2023-11-14T22:13:40Z",
        },
    }
    tree: dict[str, Any] = {**snapshot().tree}
    tree["image-2"] = child("waiting", order=[3, 2], restarts=3, last_exit="killed by SIGKILL", last_cause="signalled")
    tree["image-1"] |= {"rss_bytes": 600 << 20, "cap_bytes": 1200 << 20, "sandbox": {"seccomp": True, "landlock": 4}}
    made = document(snapshot(tree=tree, reports=reports, figures=figures()), FirstSeen())
    return copy.deepcopy({**made, **more})


def lines(given: dict[str, Any], width: int, silence: str = "") -> list[str]:
    """What is printed of it on a terminal that is so wide."""
    view = WatchView(given, NOW, silence)
    out = io.StringIO()
    console = screen.new_console(file=out, width=width, _environ={})
    console.print(screen.page(view, NOW + 5, width, channels=40, problems=20))
    return STYLE.sub("", out.getvalue()).splitlines()


def test_it_says_first_what_is_wrong_and_what_to_do() -> None:
    shown = lines(body(), 80)
    assert shown[0].startswith("NOT OK: ") and "started 2 min ago" in shown[0]
    assert shown[1].startswith("  ! ")
    text = "\n".join(shown)
    assert "storage     open, since 22:12:20 UTC, 2 min, next probe in 15 s" in text
    assert "seen 1  fetched 2  rendered 3  published 40  dead 5" in text
    assert "oldest waits" in text or "none waits" in text
    assert re.search(r"image-1 +running .*━.* 600M of 1200M +0 job 8", text)
    assert re.search(r"image-2 +waiting +- .* 3 killed", text)
    assert "sandbox     seccomp, Landlock 4" in text
    assert re.search(r"Wires \(77\) .*\d s ago|Wires \(77\) .*min ago", text)


def test_what_is_made_of_the_rows_is_there_while_something_waits_or_fails() -> None:
    quiet = {**WEBHOOK, "waiting": 0, "behind": 0, "dead": 0}
    well = document(snapshot(figures=figures(webhooks=(quiet,))), FirstSeen())
    well["stats"] |= {"feeds": {"waiting": 0}, "site": {"waiting": 0}}
    assert words.outputs(well) == []
    hooks = (WEBHOOK, {**WEBHOOK, **FAILING, "label": "webhook 2"}, {**quiet, "label": "webhook 3", "gone_at": NOW})
    given = document(snapshot(figures=figures(webhooks=hooks)), FirstSeen())
    given["stats"] |= {
        **{"takedowns": 2, "purges": 1, "site": {"waiting": 12, "failing_since": None}},
        "feeds": {"waiting": 3, "failing_since": "2023-11-14T22:12:20Z", "error": "no room"},
    }
    text = "\n".join(lines(given, 120))
    for expected in (
        "webhook     webhook 1 (https://example.org…): 5 wait, 4 dead",
        "webhook     webhook 2: fails: it answered 404 (Not Found), 5 wait, 4 dead",
        "webhook     webhook 3: gone, 0 wait, 0 dead",
        "feeds       failing: no room",
        "gallery     12 tasks wait",
        "takedown    objects of 2 pictures to go, 1 address to purge",
    ):
        assert expected in text
    assert "gallery: 12 tasks wait" in plain.describe(given)


@pytest.mark.parametrize("width", [1, 20, 80, 200])
def test_no_name_steers_the_terminal_or_leaves_its_line(width: int) -> None:
    given = body()
    given["problems"] = [{"what": HOSTILE, "since": HOSTILE, "remedy": HOSTILE}]
    given["channels"] = [
        {"id": 1, "title": HOSTILE, "address": HOSTILE, "behind": 3, "problem": HOSTILE, "last_post_at": HOSTILE},
        {"id": None, "address": HOSTILE, "behind": None, "problem": ""},
    ]
    given["tree"] += [{"name": HOSTILE, "state": HOSTILE, "restarts": 0, "last_exit": {"what": HOSTILE}}]
    given["stats"] |= {"last_error": HOSTILE, "r2_circuit_breaker": HOSTILE, "source": {"source": HOSTILE}}
    shown = lines(given, width, silence=HOSTILE)
    assert all(printable(line) == line for line in shown)
    assert width < 20 or "[bold red]" in "".join(shown).replace("\n", ""), "no markup is read"
    if width >= 80:
        rows = [line for line in shown if line.lstrip().startswith("image-")]
        assert len(rows) == 2, "the tree keeps its lines"


@pytest.mark.parametrize("width", [80, 200])
def test_a_row_is_one_line_however_long_its_names_are(width: int) -> None:
    given = body()
    given["tree"] += [{"name": "n" * 500, "state": "running", "restarts": 10**9, "pid": 10**7, "job": 10**15}]
    given["channels"] = [{"id": 1, "title": "t" * 500, "behind": 10**12, "problem": "p" * 500, "pictures": 10**12}]
    shown = lines(given, width)
    assert len(shown) == len(lines({**given, "tree": given["tree"][:-1]}, width)) + 1
    assert all(len(line) <= width for line in shown) and any("…" in line for line in shown)


def test_of_thousands_of_channels_those_are_shown_that_need_somebody() -> None:
    many = [{"id": n, "title": f"Channel {n}", "behind": 0, "problem": ""} for n in range(5000)]
    many[4000]["behind"], many[4500]["problem"] = 7, "it is private"
    shown = lines(body(channels=many), 200)
    header = next(number for number, line in enumerate(shown) if line.startswith("channel "))
    assert "it is private" in shown[header + 1] and shown[header + 2].startswith("Channel 4000")
    assert shown[-1].startswith("… 4,960 more channels") and len(shown) < 80


def test_a_body_of_another_version_lacks_fields() -> None:
    given = {"ok": True, "problems": [], "stats": {}, "channels": [{"id": 7}], "memory": {}}
    shown = lines({**given, "tree": [{"name": "root", "state": "running", "restarts": 0}]}, 80)
    assert shown[0].startswith("ok") and shown[-1].startswith("7 ")


def test_the_screen_is_never_longer_than_the_terminal() -> None:
    out = io.StringIO()
    console = screen.new_console(file=out, width=80, height=12, _environ={})
    console.print(screen.Cropped(screen.page(WatchView(body(), NOW), NOW, 80, 40, 20)), height=12)
    shown = STYLE.sub("", out.getvalue()).splitlines()
    assert len(shown) == 12 and re.match(r"… \d+ more lines", shown[-1])


def test_what_is_old_is_called_old() -> None:
    shown = lines(body(), 80, silence="nothing is running")
    assert shown[0].startswith("NO ANSWER since 22:13:20 UTC, 5 s: nothing is running")
    assert shown[1].startswith("The last answer was: NOT OK") and "next probe in 20 s" in "\n".join(shown)


# In a real terminal


class Desk:
    """Something that answers as an instance does, with `body`, and is found by the card of a real lock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.body, self.is_silent = folder, body(), False
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if desk.is_silent:
                    self.close_connection = True
                    return
                data = json.dumps(desk.body).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.lock = Lock(folder / "state")
        self.lock.write(Card(os.getpid(), f"http://127.0.0.1:{self.server.server_port}", ""))
        (folder / "config.toml").write_text('state_dir = "state"\n')


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.server.shutdown()
    desk.server.server_close()
    desk.lock.release()


class Terminal:
    """A terminal with `status` in it."""

    def __init__(self, folder: Path, *words: str, size: tuple[int, int] = (80, 24), **environment: str) -> None:
        self.master, terminal = pty.openpty()
        self.resize(*size)
        given = {name: value for name, value in os.environ.items() if not name.startswith("PICTUREDESK")}
        given = {**given, "TERM": "xterm-256color", "PYTHONPATH": str(HOME), "COLUMNS": "33", **environment}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "supervisor", "status", *words, "--config", str(folder / "config.toml")],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=given,
            start_new_session=True,
        )
        os.close(terminal)
        self.text = ""

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def read(self) -> str:
        """All that it has written so far; for ever after the process' end."""
        while select.select([self.master], [], [], 0.05)[0]:
            try:
                self.text += os.read(self.master, 65536).decode()
            except OSError:
                break
        return self.text

    def screen(self) -> list[str]:
        """What stands on the screen: what was written since the cursor was last moved to its first line."""
        return STYLE.sub("", self.read().rpartition("\x1b[H")[2]).split("\r\n")

    def wait_for(self, look: Callable[[list[str]], object]) -> list[str]:
        wait_for(f"the screen, which is {self.text[-3000:]!r}", lambda: look(self.screen()), 30)
        return self.screen()

    def end(self) -> int:
        code = self.process.wait(timeout=30)
        self.read()
        os.close(self.master)
        return code


@contextlib.contextmanager
def terminal(folder: Path, *words: str, **more: Any) -> Iterator[Terminal]:
    shown = Terminal(folder, *words, **more)
    try:
        yield shown
    finally:
        if shown.process.poll() is None:
            shown.process.kill()
            shown.process.wait()


def test_the_watch_follows_the_tree_the_terminal_and_a_silence_and_ends_in_order(desk: Desk) -> None:
    with terminal(desk.folder, "--watch") as shown:
        shown.wait_for(lambda lines: lines[0].startswith("NOT OK"))
        desk.body = {**desk.body, "ok": True, "problems": []}
        first = shown.wait_for(lambda lines: lines[0].startswith("ok "))
        assert len(first) == 24 and all(len(line) == 80 for line in first), "all of the screen is written over"
        shown.resize(200, 50)
        shown.wait_for(lambda lines: (len(lines[0]), len(lines)) == (200, 50))
        shown.resize(40, 8)
        shown.wait_for(lambda lines: (len(lines[0]), len(lines)) == (40, 8))
        shown.resize(80, 24)
        desk.is_silent = True
        shown.wait_for(lambda lines: re.match(r"NO ANSWER since \d\d:\d\d:\d\d UTC, \d+ s: ", lines[0]))
        desk.is_silent = False
        shown.wait_for(lambda lines: lines[0].startswith("ok "))
        assert "\x1b[2J" not in shown.text, "it never clears the screen, which would flicker"
        assert shown.text.count("\x1b[?1049h") == 1
        shown.process.send_signal(signal.SIGINT)
        assert shown.end() == 0
    assert "\x1b[?1049l" in shown.text and shown.text.rindex("\x1b[?25h") > shown.text.index("\x1b[?25l")
    assert "Traceback" not in shown.text


def test_a_terminal_is_given_back_to_whoever_ends_the_watch(desk: Desk) -> None:
    with terminal(desk.folder, "--watch") as shown:
        shown.wait_for(lambda lines: lines[0].startswith("NOT OK"))
        shown.process.terminate()
        assert shown.end() == 128 + signal.SIGTERM
    assert "\x1b[?1049l" in shown.text and "Traceback" not in shown.text


COLOUR = re.compile(r"\x1b\[[0-9;]*(3[0-7]|38|9[0-7])[;m]")


def test_once_in_colour_without_and_on_a_dumb_terminal(desk: Desk) -> None:
    with (
        terminal(desk.folder) as coloured,
        terminal(desk.folder, NO_COLOR="1") as plain,
        terminal(desk.folder, TERM="dumb") as dumb,
        terminal(desk.folder, size=(0, 0)) as unknown,
    ):
        assert [one.end() for one in (coloured, plain, dumb, unknown)] == [0, 0, 0, 0]
    assert COLOUR.search(coloured.text) and not COLOUR.search(plain.text)
    assert STYLE.sub("", coloured.text).startswith("NOT OK: ") and "image-1" in plain.text
    assert "\x1b" not in dumb.text and "processed 44  queue_size 6" in dumb.text
    assert "\x1b[?1049" not in coloured.text and unknown.text


def test_through_a_pipe_it_is_plain_and_rich_is_not_loaded(desk: Desk) -> None:
    code = (
        "import sys; from supervisor import cli\n"
        "code = cli.main(sys.argv[1:], None)\n"
        "assert 'supervisor.cli.status.screen' not in sys.modules and sys.modules['rich'] is None\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "status", "--config", str(desk.folder / "config.toml")],
        env={**os.environ, "PYTHONPATH": str(HOME), "FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout and "process     state    pid" in done.stdout


def test_where_nothing_runs_it_says_so_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('state_dir = "state"\n')
    with terminal(tmp_path, "--watch") as shown:
        assert shown.end() == 1
    assert "nothing is running on state_dir" in " ".join(shown.text.split()) and "\x1b" not in shown.text


def test_words_are_of_whatever_it_is_given() -> None:
    assert words.ago("no time", 0.0) == "" and words.services({}, 0.0)[0] == ("storage", "closed", True)
    assert words.since_unix(0.0, 90000.0) == "since 1970-01-01 00:00:00 UTC, 1 d 1 h"
