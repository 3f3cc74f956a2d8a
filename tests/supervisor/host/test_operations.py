"""Orders to a running instance: reload, restart, stop, start; by command, by SIGHUP, over the control socket."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ipc.transport import control_client
from tests.instance import Instance, lasting, wait_for
from tests.pictures import make_export

pytestmark = pytest.mark.tree

MakeInstance = Callable[..., Instance]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("operations") / "export", 3)


@pytest.fixture(scope="module")
def shared(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One that runs and has published its pictures; afterwards nothing of it is left."""
    with lasting(Instance(tmp_path_factory.mktemp("operations") / "instance", export, workers=2)) as instance:
        instance.wait_until_done()
        yield instance
        assert instance.stop() == 0
        instance.assert_published([1, 2, 3])
        instance.assert_nothing_left()
        assert not (instance.state_dir / control_client.NAME).exists()


@pytest.fixture
def instance(shared: Instance) -> Iterator[Instance]:
    """The one that the tests of this module share: all of it runs, with its first settings."""
    text = shared.config.read_text()
    shared.wait_until_running()
    yield shared
    if shared.config.read_text() != text:
        pids = shared.pids()
        shared.config.write_text(text)
        names = set(give(shared, "reload").strip().partition("replaced: ")[2].split(", ")) & pids.keys()
        wait_for("what is replaced", lambda: all(shared.pids().get(name) not in (None, pids[name]) for name in names))


def give(instance: Instance, *words: str) -> str:
    """Give an operation that is carried out; what is printed."""
    done = instance.answer(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(instance: Instance, *words: str) -> str:
    done = instance.answer(*words)
    assert done.returncode == 1 and done.stdout == ""
    return done.stderr


def change(instance: Instance, before: str, after: str) -> None:
    text = instance.config.read_text()
    assert text.count(before) == 1
    instance.config.write_text(text.replace(before, after))


def changed(instance: Instance, pids: dict[str, int]) -> set[str]:
    """Whose process is another one than in `pids`, when everybody runs again."""

    def look() -> bool:
        body = instance.status()
        return body is not None and all(row["state"] == "running" for row in body["tree"])

    wait_for("all to run", look)
    after = instance.pids()
    return {name for name in pids.keys() | after.keys() if pids.get(name) != after.get(name)}


# Reload


def test_nothing_has_changed(instance: Instance) -> None:
    pids, before = instance.pids(), (instance.status() or {})["reloads"]
    assert give(instance, "reload") == "reloaded; replaced: nobody\n"
    wait_for("the reload in /status", lambda: (instance.status() or {"reloads": before})["reloads"] != before)
    assert (instance.status() or {})["reloads"][-1]["replaced"] == 0
    assert changed(instance, pids) == set()


@pytest.mark.parametrize("how", ["command", "signal"])
def test_only_those_whose_settings_changed_are_replaced(how: str, instance: Instance) -> None:
    pids = instance.pids()
    change(instance, "[log]", "[breaker]\nfailures = 7\n[log]")
    if how == "command":
        assert give(instance, "reload") == "reloaded; replaced: uploader\n"
    else:
        os.kill(pids["root"], signal.SIGHUP)
    wait_for("the uploader's successor", lambda: instance.pids().get("uploader") not in (None, pids["uploader"]))
    assert changed(instance, pids) == {"uploader"}
    assert instance.row("uploader")["last_exit"]["cause"] == "asked"


def test_image_workers_are_replaced_one_after_another(instance: Instance) -> None:
    all_but_one_run(instance, "[log]", "[images]\nwidths = [90]\n[log]")
    all_but_one_run(instance, "[images]\nwidths = [90]\n[log]", "[log]")


def all_but_one_run(instance: Instance, before: str, after: str) -> None:
    """While that change is taken up, which replaces both image workers and nobody else."""
    pids = instance.pids()
    change(instance, before, after)
    give(instance, "reload")
    most_down = 0
    until = time.monotonic() + 60
    while any(instance.pids().get(name) in (None, pids[name]) for name in ("image-1", "image-2")):
        rows = (instance.status() or {"tree": []})["tree"]  # of one moment
        down = [row for row in rows if row["name"] in ("image-1", "image-2") and row["state"] != "running"]
        most_down = max(most_down, len(down))
        assert time.monotonic() < until
    assert changed(instance, pids) == {"image-1", "image-2"}
    assert most_down <= 1


def test_the_pool_grows_and_shrinks_under_load(make_instance: MakeInstance, tmp_path: Path) -> None:
    instance = make_instance(
        make_export(tmp_path / "export", 24, size=(1200, 900)), "[images]\nwidths = [320]", workers=2
    )
    instance.start()
    pids = instance.wait_until_running()
    for before, after in ((2, 4), (4, 1), (1, 2)):
        change(instance, f"workers = {before}", f"workers = {after}")
        give(instance, "reload")
        expected = {f"image-{number}" for number in range(1, after + 1)}

        def fits(expected: set[str] = expected) -> bool:
            body = instance.status() or {"tree": []}
            rows = {row["name"]: row["state"] for row in body["tree"] if row["name"].startswith("image")}
            return rows.keys() == expected and set(rows.values()) == {"running"}

        wait_for(f"{after} workers", fits)
    assert {name for name, pid in instance.pids().items() if pid != pids.get(name)} == {"image-2"}
    instance.wait_until_done()
    stats = (instance.status() or {})["stats"]
    assert (stats["dead"], stats["retried"]) == (0, 0)
    assert instance.stop() == 0
    instance.assert_published(list(range(1, 25)))
    instance.assert_nothing_left()


def test_a_bad_configuration_is_refused_as_a_whole(instance: Instance) -> None:
    pids = instance.pids()
    good = instance.config.read_text()
    change(instance, "workers = 2", 'workers = "many"\nno_such_key = 1')
    assert instance.answer("reload").returncode == 78, "the command reads it, too"
    os.kill(pids["root"], signal.SIGHUP)
    wait_for("the refusal", lambda: "the old one stays in force" in instance.log.read_text())
    faults = [record["why"] for record in instance.records() if record["event"] == "configuration.rejected"]
    assert len(faults) == 2 and "no_such_key" in faults[0] and "pool.workers" in faults[1]
    instance.config.write_text(good.replace("port = 0", "port = 1"))
    assert "health.port has changed, which takes a restart" in refusal(instance, "reload")
    instance.config.write_text(f"{good}\n[telegram]\napi_id = 5\napi_hash = '0123456789abcdef0123456789abcdef'")
    assert "telegram.channels is empty" in refusal(instance, "reload")
    instance.config.write_text(good)
    assert changed(instance, pids) == set()


# Single processes


@pytest.mark.parametrize("name", ["uploader", "image-1"])
def test_restart_stop_and_start(name: str, instance: Instance) -> None:
    pids = instance.pids()
    assert give(instance, "restart", name) == f"{name} is being replaced\n"
    wait_for("the replacement", lambda: instance.pids().get(name) not in (None, pids[name]))
    assert changed(instance, pids) == {name}
    assert give(instance, "stop", name) == f"{name} is asked to stop\n"
    wait_for("it to stop", lambda: instance.row(name).get("state") == "stopped")
    assert give(instance, "start", name) == f"{name} is started\n"
    assert changed(instance, pids) == {name}
    wait_for("all to be well", lambda: (instance.status() or {"ok": False})["ok"])


def test_a_child_that_is_stopped_stays_so_through_a_reload(instance: Instance) -> None:
    give(instance, "stop", "uploader")
    wait_for("it to stop", lambda: instance.row("uploader").get("state") == "stopped")
    change(instance, "[log]", "[breaker]\nfailures = 7\n[log]")
    assert give(instance, "reload") == "reloaded; replaced: nobody\n"
    assert instance.row("uploader")["state"] == "stopped"
    give(instance, "start", "uploader")
    wait_for("it to run", lambda: instance.row("uploader").get("state") == "running")


def test_orders_that_cannot_be_carried_out(instance: Instance) -> None:
    assert "there is no child 'image-9'; there are health, uploader, pool, image-1" in refusal(
        instance, "stop", "image-9"
    )
    assert instance.answer("stop").returncode == 2


def test_nobody_is_there_to_carry_it_out(make_instance: MakeInstance, export: Path) -> None:
    assert "nothing is running" in refusal(make_instance(export), "reload")


# The socket


def test_nobody_else_may_use_the_socket_and_no_client_holds_up_the_root(instance: Instance) -> None:
    path = instance.state_dir / control_client.NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as odd:
        silent.connect(str(path))
        odd.connect(str(path))
        odd.sendall(b"restart everything, please\n")
        assert b"not a request" in odd.recv(4096)
        assert give(instance, "reload") == "reloaded; replaced: nobody\n"
    for request in ({"action": "explode", "name": "pool"}, {"action": "stop", "name": 5}, {}):
        assert control_client.ask(instance.state_dir, request)["ok"] is False


def test_a_deep_folder(make_instance: MakeInstance, export: Path, tmp_path: Path) -> None:
    """A socket's address has room for 107 bytes."""
    instance = make_instance(export)
    deep = tmp_path.joinpath(*["a-long-name-of-a-folder"] * 6)
    change(instance, 'state_dir = "state"', f"state_dir = {json.dumps(str(deep))}")
    instance.state_dir = deep
    instance.start()
    instance.wait_until_running()
    assert give(instance, "reload") == "reloaded; replaced: nobody\n"
    assert instance.stop() == 0


def test_the_terminal_is_closed(make_instance: MakeInstance, export: Path) -> None:
    """The kernel's SIGHUP means the end; somebody's, in a terminal that is there, a reload."""
    instance = make_instance(export)
    command = [sys.executable, "-P", "-m", "supervisor", "--config", str(instance.config)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(instance.folder)
        os.execve(command[0], command, instance.environment())
    said = b""
    while b"Status:" not in said:
        said += os.read(terminal, 4096)
    os.kill(pid, signal.SIGHUP)
    while b"reloaded" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
