"""The commands, run as a user runs them, on real instances."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor import cli
from supervisor.cli import memory
from supervisor.version import VERSION
from tests.instance import HOME, Instance, wait_for
from tests.pictures import draw, make_export

MakeInstance = Callable[..., Instance]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures, of which the fourth is none."""
    return make_export(tmp_path_factory.mktemp("cli") / "export", 5, bad={4: b"this is a text"})


# start


def test_start_stays_and_others_look_at_it(export: Path, make_instance: MakeInstance) -> None:
    instance = make_instance(export)
    nothing = instance.answer("status")
    assert nothing.returncode == 1 and "nothing is running" in nothing.stderr
    instance.start()
    instance.wait_until_done()
    assert_says_what_it_does(instance, export)
    assert_status(instance)
    assert_watched_until_interrupted(instance)
    assert_a_second_one_is_refused(instance)
    assert instance.root is not None and instance.root.poll() is None
    instance.assert_published([1, 2, 3, 5])
    assert instance.stop() == 0
    instance.assert_nothing_left(dead=1)


def assert_says_what_it_does(instance: Instance, export: Path) -> None:
    said = [line for line in instance.log.read_text().splitlines() if not line.startswith("{")]
    assert len(said) == 3
    assert "no Telegram account" in said[0] and str(export) in said[0]
    assert "media" in said[1] and "catalog.db" in said[1]
    assert f"{instance.url()}/status" in said[2]


def assert_status(instance: Instance) -> None:
    shown = instance.command("status")
    assert shown.returncode == 0
    for name in ("root", "health", "uploader", "pool", "image-1", "connection"):
        assert name in shown.stdout
    assert "processed 4" in shown.stdout and "dead 1" in shown.stdout
    body = json.loads(instance.answer("status", "--json").stdout)
    assert body["stats"]["processed"] == 4 and body["tree"][0]["name"] == "root"
    told = instance.answer("check").stdout
    assert "ok       health: the running instance answers at http://127.0.0.1:" in told, told
    assert ": written and fsynced in " in told and " is sound\n" in told


def assert_watched_until_interrupted(instance: Instance) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-P", "-m", "supervisor", "status", "--watch", "--config", str(instance.config)],
        env=instance.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    shown = 0
    while shown < 2:
        shown += watching.stdout.readline().startswith("process ")
    watching.send_signal(signal.SIGINT)
    assert watching.wait(timeout=30) == 130
    watching.stdout.close()


def assert_a_second_one_is_refused(instance: Instance) -> None:
    assert instance.root is not None
    refused = instance.command("start")
    assert refused.returncode == 1
    assert f"pid {instance.root.pid}" in refused.stderr


def test_the_lock_goes_with_its_holder(export: Path, make_instance: MakeInstance) -> None:
    instance = make_instance(export)
    instance.start()
    wait_for("the lock", instance.url)
    instance.kill()
    wait_for("every process to be gone", lambda: not instance.left_over(), 2)
    instance.start()
    wait_for("the lock", instance.url)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_start_up_ends_it_in_order(
    number: signal.Signals, export: Path, make_instance: MakeInstance
) -> None:
    instance = make_instance(export)
    instance.start()
    assert instance.root is not None
    wait_for("the lock", (instance.state_dir / "instance.lock").exists)
    instance.root.send_signal(number)
    assert instance.root.wait(timeout=30) == 0
    wait_for("every process to be gone", lambda: not instance.left_over(), 5)


def test_a_stop_leaves_the_rest_in_the_journal_and_a_new_start_finishes_it(
    tmp_path: Path, make_instance: MakeInstance
) -> None:
    instance = make_instance(make_export(tmp_path / "many", 8, size=(1400, 1000)), "[images]\nwidths = [640]")
    instance.start()
    wait_for("the first picture", lambda: (instance.status() or {"stats": {"processed": 0}})["stats"]["processed"])
    assert instance.stop() == 0
    assert not instance.left_over()
    ended = [record for record in instance.records() if record["event"] == "child.exited"]
    assert {record["cause"] for record in ended} == {"asked"}, "a stop is no failure of anybody"
    order = [record["child"] for record in ended if record["process"] == "root"]
    assert order == ["connection", "pool", "uploader", "health"], "the reverse of the start"
    instance.start()
    instance.wait_until_done()
    assert instance.stop() == 0
    instance.assert_published(list(range(1, 9)))
    instance.assert_nothing_left()


def test_a_second_signal_stops_at_once(tmp_path: Path, make_instance: MakeInstance) -> None:
    """While a picture is in hand for ever: its worker is frozen before it comes."""
    export = make_export(tmp_path / "export", 1)
    instance = make_instance(export)
    instance.start_with_frozen_workers(export)
    assert instance.root is not None
    instance.root.terminate()
    wait_for(
        "the stop to begin", lambda: any(record["event"] == "supervisor.stop_begun" for record in instance.records())
    )

    def insist() -> bool:
        assert instance.root is not None
        if instance.root.poll() is None:
            instance.root.terminate()
        return any(record["event"] == "supervisor.stop_forced" for record in instance.records())

    wait_for("the second signal to be taken", insist, 10)
    assert instance.root.wait(timeout=10) == 1
    wait_for("every process to be gone", lambda: not instance.left_over(), 5)


def test_a_port_that_is_taken_is_refused_before_anything_is_started(export: Path, make_instance: MakeInstance) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        instance = make_instance(export)
        instance.start(PORT=str(port))
        assert instance.root is not None
        assert instance.root.wait(timeout=30) == 1, "it may be free the next time"
    assert f":{port}" in instance.log.read_text() and "health.port" in instance.log.read_text()
    assert not instance.left_over()


def test_the_configuration_may_be_named_before_the_command_or_after_it(tmp_path: Path) -> None:
    for words in (["--config", "nowhere.toml", "check"], ["check", "--config", "nowhere.toml"]):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "supervisor", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(HOME)},
            check=False,
        )
        assert done.returncode == 78 and "nowhere.toml: can't be read" in done.stderr


def test_a_bad_configuration_is_refused_whole(export: Path, make_instance: MakeInstance) -> None:
    instance = make_instance(export, '[images]\nwidhts = [1]\nmax_bytes = "much"')
    for refused in (instance.command("start"), instance.answer("check"), instance.answer("status")):
        assert refused.returncode == 78
        assert "widhts" in refused.stderr and "max_bytes" in refused.stderr and "widths" in refused.stderr


def test_a_state_dir_that_is_a_file_is_refused(export: Path, make_instance: MakeInstance) -> None:
    instance = make_instance(export)
    instance.state_dir.write_text("in the way")
    refused = instance.command("start")
    assert refused.returncode == 78
    assert str(instance.state_dir) in refused.stderr


def test_a_journal_of_a_newer_version_is_refused_and_left_alone(export: Path, make_instance: MakeInstance) -> None:
    instance = make_instance(export)
    instance.state_dir.mkdir()
    journal = instance.state_dir / "journal.db"
    database = sqlite3.connect(journal)
    database.execute("PRAGMA user_version = 999")
    database.close()
    before = journal.read_bytes()
    refused = instance.command("start")
    assert refused.returncode == 78 and "999" in refused.stderr
    assert journal.read_bytes() == before


def test_usage(capfd: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "supervisor", "--version"],
        env={**os.environ, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"picturedesk {VERSION}\n")

    def code_of(*words: str) -> object:
        with pytest.raises(SystemExit) as ended:
            cli.main([*words], None)
        return ended.value.code

    assert code_of("--help") == 0 and "import" in capfd.readouterr().out
    for words in (["nonsense"], ["import"], ["retry", "x"], ["status", "--nonsense"]):
        assert code_of(*words) == 2


# status, check


def test_the_report_on_memory() -> None:
    mib = 2**20
    row = {"name": "image-1", "rss_bytes": 90 * mib, "pss_bytes": 80 * mib, "uss_bytes": 70 * mib}
    row |= {"peak_rss_bytes": 200 * mib, "cgroup_peak_bytes": 220 * mib, "cap_bytes": 1200 * mib}
    row |= {
        "rss_trend_bytes_per_hour": 3 * mib,
        "exit_causes": {"out of memory": 2, "perhaps out of memory": 1, "hung": 4},
    }
    kill = {"process": "image-1", "at": "2025-01-01T00:00:00Z", "cause": "out of memory", "what": "out of memory: …"}
    report = {
        "memory": {"rss_bytes": 90 * mib, "available_bytes": 500 * mib, "enforced_by": "cgroup"},
        "processes": [{"name": "root", "rss_bytes": 25 * mib, "cap_bytes": 0}, row],
        "kills": [{**kill, "job": 7, "peak_bytes": 1210 * mib}, kill],
    }
    lines = memory.describe(report)
    assert lines[0].split() == ["process", "now", "share", "own", "peak", "cap", "trend", "killed"]
    assert lines[1].split() == ["root", "25M", *"------"]
    assert lines[2].split() == ["image-1", "90M", "80M", "70M", "220M", "1200M", "+3M/h", "3"]
    assert lines[4] == "all 90M  the machine has 500M left  caps are held by cgroup"
    assert lines[5:] == [
        "2025-01-01T00:00:00Z image-1: out of memory: …, with job 7, at 1210M",
        "2025-01-01T00:00:00Z image-1: out of memory: …",
    ]


def test_check_says_of_each_thing_it_tried_how_it_is(export: Path, make_instance: MakeInstance, tmp_path: Path) -> None:
    instance = make_instance(export)
    good = instance.answer("check")
    assert good.returncode == 0 and good.stderr == ""
    *told, verdict = good.stdout.splitlines()
    assert all(re.match("(ok     |warning|failed )  [a-z]", line) for line in told)
    assert verdict == f"configuration {instance.config}: ok ({len(told)} tried)"
    for what in ("settings: ", "state_dir", "space: ", "journal: ", "export ", "storage: wrote ", "storage: read "):
        assert any(line.startswith(f"ok       {what}") for line in told), what
    for what in ("storage: deleted ", "catalog: ", "health: ", "memory: ", "memory caps: ", "sandbox: "):
        assert any(line.startswith(f"ok       {what}") for line in told), what
    assert not instance.state_dir.joinpath("journal.db").exists()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bad = make_instance(tmp_path / "no export here", f"[spool]\nmin_free_mb = {10**7}")
        bad.config.write_text(bad.config.read_text().replace("port = 0", f"port = {port}"))
        done = bad.answer("check")
    assert done.returncode == 78 and "no export here" in done.stderr
    told = done.stdout.splitlines()
    assert any(line.startswith("failed   ") and "no export here" in line for line in told)
    assert any(line.startswith(f"failed   health: cannot listen on 127.0.0.1:{port}: Address already") for line in told)
    assert any(line.startswith("warning  space: ") and "Make room" in line for line in told)
    assert told[-1].endswith(f": NOT ok ({len(told) - 1} tried, 2 failed, 1 warning)")
    assert len(done.stderr.splitlines()) == 3 and "picturedesk: check: warning: space: " in done.stderr


def test_check_says_it_once_where_both_outputs_are_one(make_instance: MakeInstance, tmp_path: Path) -> None:
    instance = make_instance(tmp_path / "no export here")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "supervisor", "check", "--config", str(instance.config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=instance.environment(),
        text=True,
        check=False,
    )
    assert done.returncode == 78 and done.stdout.count("no export here") == 1, done.stdout


# import


def test_import_that_is_killed_goes_on_stays_up_and_at_last_changes_nothing(
    export: Path, make_instance: MakeInstance
) -> None:
    """Three imports of one export. That the sum is of its own channel: test_import."""
    instance = make_instance(export)
    the_tree_stops_when_its_import_is_killed(instance, export)
    it_stays_up_and_passes_signals_on(instance, export)
    instance.assert_published([1, 2, 3, 5])
    instance.assert_nothing_left(dead=1)
    media = sorted((file, file.stat().st_mtime_ns) for file in (instance.state_dir / "media").rglob("*"))
    rows = instance.rows()
    last = instance.command("import", str(export), "--exit")
    assert "5 pictures: 0 published, 4 already there, 1 dead" in last.stdout
    assert "Nothing has changed" in last.stdout
    assert sorted((file, file.stat().st_mtime_ns) for file in (instance.state_dir / "media").rglob("*")) == media
    assert instance.rows() == rows


def begin_import(instance: Instance, export: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "supervisor", "import", str(export), "--config", str(instance.config)],
        env=instance.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def the_tree_stops_when_its_import_is_killed(instance: Instance, export: Path) -> None:
    with begin_import(instance, export) as process:
        card = instance.state_dir / "instance.lock"
        wait_for("the tree", lambda: card.exists() and card.read_text() and json.loads(card.read_text())["url"])
        pid = json.loads(card.read_text())["pid"]
        process.kill()
    wait_for("the tree to stop", lambda: not Path(f"/proc/{pid}").exists())


def it_stays_up_and_passes_signals_on(instance: Instance, export: Path) -> None:
    with begin_import(instance, export) as process:
        assert process.stdout is not None
        line = ""
        while "published" not in line:
            line = process.stdout.readline()
        found = re.search("5 pictures: ([0-9]) published, ([0-9]) already there, 1 dead", line)
        assert found and int(found[1]) + int(found[2]) == 4, line
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def test_import_of_what_is_no_export(tmp_path: Path, make_instance: MakeInstance) -> None:
    instance = make_instance(tmp_path)
    assert instance.command("import", str(tmp_path / "nowhere"), "--exit").returncode == 2
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "result.json").write_text('{"name": "x", "id": 1,\n "messages": [{"id": 1,]}')
    refused = instance.command("import", str(tmp_path / "bad"))  # it does not stay up for nothing
    assert refused.returncode == 1
    assert "line 2, column" in refused.stdout
    wait_for("every process to be gone", lambda: not instance.left_over(), 5)


def test_an_import_that_is_ended_says_how_far_it_came(tmp_path: Path, make_instance: MakeInstance) -> None:
    instance = make_instance(make_export(tmp_path / "first", 12, size=(1400, 1000)), "[images]\nwidths = [640]")
    words = ["import", str(tmp_path / "first"), "--exit", "--config", str(instance.config)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "supervisor", *words],
            env=instance.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        while not process.stdout.readline().startswith("Status"):
            assert process.poll() is None
        card = json.loads((instance.state_dir / "instance.lock").read_text())
        os.kill(process.pid if number == signal.SIGTERM else card["pid"], number)
        assert "The same command goes on with the rest" in process.stdout.read()
        assert process.wait(timeout=60) == 1
        process.stdout.close()
    whole = instance.command(*words[:3])
    assert whole.returncode == 0 and "12 pictures" in whole.stdout
    assert " of 12 pictures" in whole.stderr, "it says how far it is, though there is no terminal"
    instance.assert_published(list(range(1, 13)))


# dead, retry


def test_dead_letters_are_listed_and_brought_back(tmp_path: Path, make_instance: MakeInstance) -> None:
    export = make_export(tmp_path / "export", 4, bad={2: b"", 3: b"%PDF-1.7 no picture"})
    (export / "photos" / "photo_4@01-02-2025_10-00-00.jpg").unlink()
    instance = make_instance(export)
    assert "No dead letters" in instance.answer("dead").stdout
    assert instance.answer("retry", "--all").returncode == 1
    instance.start()
    instance.wait_until_done()
    listed = instance.answer("dead").stdout
    assert "PDF" in listed and "no such file" in listed and "empty" in listed
    letters = [json.loads(line) for line in instance.answer("dead", "--json").stdout.splitlines()]
    assert [(one["message_id"], one["stage"]) for one in letters] == [(2, "fetched"), (3, "fetched"), (4, "seen")]
    assert all(one["attempts"] == 1 and one["reason"] for one in letters)
    body = instance.status()
    assert body is not None and body["ok"] and (body["stats"]["failed"], body["stats"]["dead"]) == (3, 3)

    draw(export / "photos" / "photo_4@01-02-2025_10-00-00.jpg", 4)
    assert instance.answer("retry", str(letters[2]["id"])).returncode == 0
    wait_for("the picture that is back", lambda: len(instance.rows()) == 2)
    assert instance.answer("retry").returncode == 2
    wrong = instance.answer("retry", str(letters[2]["id"]), "12345")
    assert wrong.returncode == 1 and "12345" in wrong.stderr
    assert instance.answer("retry", "1", "--reason", "PDF").returncode == 2
    assert "0 brought back" in instance.answer("retry", "--reason", "no such reason").stdout
    assert "1 brought back" in instance.answer("retry", "--all", "--reason", "(PDF)").stdout
    wait_for("it to be dead again", lambda: (instance.status() or {"stats": {}})["stats"].get("failed") == 4)
    assert "2 brought back" in instance.answer("retry", "--all").stdout
    wait_for("the two to be dead again", lambda: (instance.status() or {"stats": {}})["stats"].get("failed") == 6)
    assert instance.stop() == 0
    instance.assert_published([1, 4])
    instance.assert_nothing_left(dead=2)
