"""The whole program with commands of the operator's own: in settings, /status, operations and reloads."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.instance import Instance, wait_for
from tests.pictures import make_export

pytestmark = pytest.mark.tree

MakeInstance = Callable[..., Instance]

INGEST = """
import os, subprocess, sys
print("ingest", os.getpid(), os.getcwd(), sys.argv[1:], os.environ.get("A"), flush=True)
child = subprocess.Popen(["sleep", "1000"])
print("child", child.pid, flush=True)
child.wait()
"""


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("own") / "export", 2)


@pytest.fixture
def instance(export: Path, make_instance: MakeInstance) -> Iterator[Instance]:
    """Not yet started; in its folder is an ingest.py. What it has started is ended with it."""
    instance = make_instance(export)
    (instance.folder / "ingest.py").write_text(INGEST)
    yield instance
    instance.end()
    for pid in started(instance):
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def add(instance: Instance, name: str, command: str, **more: object) -> None:
    lines = ["[[supervisor.command]]", f"name = {json.dumps(name)}", f"command = {json.dumps(command)}"]
    lines += [f"{key} = {value if key == 'environment' else json.dumps(value)}" for key, value in more.items()]
    instance.config.write_text(instance.config.read_text() + "\n".join(["", *lines, ""]))


def output(instance: Instance, name: str) -> list[str]:
    return [one["line"] for one in instance.records() if one["event"] == "command.printed" and one["child"] == name]


def started(instance: Instance) -> list[int]:
    """Every process that an ingest.py has told of."""
    records = instance.records() if instance.log.exists() else []
    lines = [one["line"].split() for one in records if one["event"] == "command.printed"]
    return [int(words[1]) for words in lines if words[0] in ("ingest", "child")]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_family(instance: Instance, members: int = 2) -> list[int]:
    wait_for("ingest.py and its child", lambda: len(started(instance)) == members)
    return started(instance)


SCRIPT = f"{sys.executable} ingest.py '--all of it'"


def test_worker_script(instance: Instance) -> None:
    """An ingest.py that knows nothing of us, as it is."""
    instance.start(WORKER_SCRIPT=SCRIPT, PICTUREDESK__HEALTH__TOKEN="s3cret", A="b", PICTUREDESK__LOG__FORMAT="json")
    pid, child = wait_for_family(instance)
    assert output(instance, "worker")[0] == f"ingest {pid} {instance.folder} ['--all of it'] b"
    environ = Path(f"/proc/{pid}/environ").read_text()
    assert "PICTUREDESK" not in environ and "s3cret" not in environ
    assert instance.root is not None and os.getpgid(child) == pid != os.getpgid(instance.root.pid)

    def last_row() -> dict[str, Any] | None:
        row: dict[str, Any] = instance.get("/status", Authorization="Bearer s3cret")[1]["tree"][-1]
        return row if row.get("rss_bytes") else None

    row = wait_for("its memory to be looked at", last_row)
    assert (row["name"], row["state"], row["pid"]) == ("worker", "running", pid)
    assert instance.stop() == 0
    wait_for("all to be gone", lambda: not is_alive(pid) and not is_alive(child), 5)
    wait_for("every process to be gone", lambda: not instance.left_over(), 5)


def test_kill_9_of_the_root_leaves_nothing_of_its_commands(instance: Instance) -> None:
    add(instance, "direct", "sleep 1000")
    add(instance, "ingest", f"{sys.executable} ingest.py")
    instance.start()
    pids = [*wait_for_family(instance), wait_for("sleep", lambda: instance.pids().get("direct"))]
    assert instance.root is not None
    below = [one.pid for one in psutil.Process(instance.root.pid).children(recursive=True)]
    assert set(pids) < set(below)
    instance.kill()
    wait_for("all to be gone", lambda: not any(map(is_alive, below)), 10)


@pytest.mark.reaches("child.stopped", "child.not_running")
def test_orders_and_faults_of_one_leave_the_others_alone(instance: Instance) -> None:
    add(instance, "ingest", f"{sys.executable} ingest.py", directory=".", environment='{ A = "1" }')
    add(instance, "once", "sh -c 'echo done'", restart="transient")
    add(instance, "never", "sh -c 'sleep 0.2; exit 3'", restart="temporary")
    add(instance, "missing", "no-such-program")
    instance.start()
    ours = instance.wait_until_running()
    pid, child = wait_for_family(instance)
    instance.wait_until_done()

    def problems() -> dict[str, str] | None:
        found = {one["what"]: one["remedy"] for one in (instance.status() or {"problems": []})["problems"]}
        return found if len(found) == 2 and "never is stopped: exit code 3" in found else None

    told = wait_for("both problems", problems)
    assert told.pop("never is stopped: exit code 3") == "bin/run start never"
    [(what, remedy)] = told.items()
    assert what.startswith("missing is not running (")
    assert what.endswith(") after: cannot be run: no-such-program: No such file or directory")
    assert "Install it" in remedy
    assert instance.row("once")["state"] == "finished" and output(instance, "once") == ["done"]

    assert instance.answer("restart", "ingest").returncode == 0
    *_, new, _ = wait_for_family(instance, 4)
    assert new != pid and not is_alive(pid) and not is_alive(child)
    assert instance.answer("stop", "ingest").returncode == 0
    wait_for("it to stop", lambda: instance.row("ingest")["state"] == "stopped")
    assert not any(map(is_alive, started(instance)))
    assert instance.answer("start", "ingest").returncode == 0
    *_, newest, _ = wait_for_family(instance, 6)
    wait_for("it to run", lambda: instance.row("ingest")["state"] == "running")
    assert instance.answer("start", "once").returncode == 0
    wait_for("its second run", lambda: output(instance, "once") == ["done", "done"])
    now = instance.pids()
    assert now["ingest"] == newest
    lasting = ours.keys() - {"ingest", "once", "never", "missing"}  # these may have been seen between start and end
    assert {name for name in lasting if now[name] != ours[name]} == set()
    assert instance.stop() == 0
    instance.assert_published([1, 2])
    instance.assert_nothing_left()
    wait_for("all to be gone", lambda: not any(map(is_alive, started(instance))), 5)


@pytest.mark.reaches("child.crash_looping")
def test_a_crash_loop_costs_only_itself(instance: Instance) -> None:
    """Held after its intensity, and tried again: slowly by itself, at once by `start`. The photo service goes on."""
    mended = instance.folder / "mended"
    add(instance, "once", "sh -c 'echo done'")  # permanent, and never well for long
    intensity = {"PICTUREDESK__SUPERVISOR__MAX_RESTARTS": "2", "PICTUREDESK__SUPERVISOR__WINDOW_SECONDS": "4"}
    instance.start(WORKER_SCRIPT=f"sh -c 'test -e {mended} && exec sleep 1000; exit 1'", **intensity)
    ours = instance.wait_until_running()

    def problems() -> dict[str, str] | None:
        found = {one["what"]: one["remedy"] for one in (instance.status() or {"problems": []})["problems"]}
        return found if len(found) == 2 and all(" is held: " in what for what in found) else None

    told = wait_for("both to be held", problems)
    assert told.keys() == {
        "worker is held: it has ended 3 times within 4 s; the last time: exit code 1",
        "once is held: it has ended 3 times within 4 s; the last time: exit code 0",
    }
    assert all("bin/run restart" in remedy and "tried again at" in remedy for remedy in told.values())
    wait_for("it to be tried again by itself", lambda: instance.row("worker").get("restarts", 0) >= 3)
    wait_for("both to be held", problems)
    pauses = [one["tried_again_in_seconds"] for one in instance.records() if one["event"] == "child.held"]
    assert 4.0 in pauses and 8.0 in pauses, "ever more slowly"
    mended.touch()
    assert instance.answer("restart", "worker").returncode == 0
    wait_for("it to run", lambda: instance.row("worker")["state"] == "running")
    instance.wait_until_done()
    assert instance.answer("stop", "once").returncode == 0
    wait_for("it to be stopped", lambda: instance.row("once")["state"] == "stopped")
    assert {name: pid for name, pid in instance.pids().items() if name in ours and name not in ("worker", "once")} == {
        name: pid for name, pid in ours.items() if name not in ("worker", "once")
    }
    assert instance.stop() == 0
    instance.assert_published([1, 2])
    instance.assert_nothing_left()


def test_a_reload_adds_replaces_and_removes(instance: Instance) -> None:
    add(instance, "once", "sh -c 'echo first'", restart="transient")
    bare = instance.config.read_text()
    instance.start()
    instance.wait_until_running()
    wait_for("its end", lambda: instance.row("once").get("state") == "finished")
    ours = instance.pids()

    def reload() -> str:
        done = instance.answer("reload")
        assert done.returncode == 0, done.stderr
        return done.stdout

    add(instance, "ingest", f"{sys.executable} ingest.py", environment='{ A = "1" }')
    add(instance, "other", "sleep 1000")
    assert reload() == "reloaded; added: ingest, other\n"
    pid, _ = wait_for_family(instance)
    assert instance.get("/status")[1]["tree"][-1]["name"] == "other"
    other = wait_for("the other", lambda: instance.pids().get("other"))
    assert reload() == "reloaded; replaced: nobody\n", "what has finished is not begun anew"

    instance.config.write_text(instance.config.read_text().replace('A = "1"', 'A = "2"'))
    assert reload() == "reloaded; replaced: ingest\n"
    wait_for_family(instance, 4)
    assert output(instance, "ingest")[2].endswith("[] 2") and not is_alive(pid)
    wait_for("it to run", lambda: instance.row("ingest").get("state") == "running")
    assert instance.pids()["other"] == other

    text = instance.config.read_text()
    instance.config.write_text(text.replace('name = "other"', 'name = "pool"'))
    assert instance.answer("reload").returncode == 78
    instance.config.write_text(bare.replace("echo first", "echo second"))
    assert reload() == "reloaded; removed: ingest, other; restarted: once\n"
    wait_for("its other life", lambda: output(instance, "once") == ["first", "second"])
    wait_for("both to be gone", lambda: instance.pids().keys() == ours.keys())
    assert not any(map(is_alive, [other, *started(instance)]))
    wait_for("all to be well", lambda: (instance.status() or {"ok": False})["ok"])
    assert instance.pids() == ours
    assert instance.stop() == 0


def test_an_import_runs_none_of_them(instance: Instance, export: Path) -> None:
    add(instance, "ingest", f"{sys.executable} ingest.py")
    done = instance.command("import", str(export), "--exit")
    assert done.returncode == 0, done.stderr
    assert "ingest" not in done.stderr + done.stdout


def test_bad_ones_are_refused_and_check_finds_those_that_cannot_run(instance: Instance) -> None:
    assert instance.answer("check").returncode == 0
    add(instance, "ingest", f"{sys.executable} ingest.py")
    assert instance.answer("check").returncode == 0
    add(instance, "missing", "no-such-program")
    add(instance, "elsewhere", "sh", directory="no-such-folder")
    add(instance, "text", "./ingest.py")
    found = instance.answer("check")
    assert found.returncode == 78
    told = [line.partition("check: ")[2] for line in found.stderr.splitlines()]
    assert [line.partition(": ")[0] for line in told] == ["command missing", "command elsewhere", "command text"]
    assert "no program no-such-program on the PATH, " in told[0]
    assert told[1].endswith(f"there is no folder {instance.folder}/no-such-folder")
    assert told[2].endswith(f"{instance.folder}/ingest.py is no program: is it executable?")
    add(instance, "uploader", "sh", restart="always")
    refused = instance.command()
    assert refused.returncode == 78 and refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 2
