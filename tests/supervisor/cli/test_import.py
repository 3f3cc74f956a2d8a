"""`import` beside a running instance: that takes the export in, and the sum is of its own pictures alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipc.transport import control_client
from supervisor.cli.imports.running_instance import judge
from tests.instance import Instance, lasting, wait_for
from tests.pictures import CHANNEL, draw, make_export, message

MakeInstance = Callable[..., Instance]


def export_of(folder: Path, count: int, channel: int = 77, **more: Any) -> Path:
    """An export of a channel of its own."""
    export = make_export(folder, count, **more)
    document = json.loads((export / "result.json").read_text())
    (export / "result.json").write_text(json.dumps({**document, "id": channel}))
    return export


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One that reads an export of three pictures, and has published them; tests import channels of their own."""
    folder = tmp_path_factory.mktemp("import")
    made = Instance(folder / "instance", make_export(folder / "first", 3), "[images]\nwidths = [640]")
    with lasting(made) as instance:
        instance.wait_until_done()
        yield instance
        dead = (instance.status() or {})["stats"]["dead"]  # which tests have run is not known here
        assert instance.stop() == 0
        instance.assert_nothing_left(dead)


@pytest.fixture
def instance(shared: Instance) -> Iterator[Instance]:
    """The one that the tests share; nobody is replaced for an import, and its child ends."""
    before = shared.wait_until_running()
    yield shared
    wait_for("the end of the import's child", lambda: shared.pids() == before)


def begin(instance: Instance, export: Path) -> subprocess.Popen[str]:
    """The command, under way."""
    words = [sys.executable, "-P", "-m", "supervisor", "import", str(export), "--config", str(instance.config)]
    return subprocess.Popen(
        words, env=instance.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def under_way(instance: Instance, export: Path) -> subprocess.Popen[str]:
    """The command, when its child is at work and can't finish: nobody renders until `go_on`."""
    assert instance.answer("stop", "image-1").returncode == 0
    command = begin(instance, export)
    wait_for("some of its work", lambda: (instance.status() or {"stats": {"queue_size": 0}})["stats"]["queue_size"])
    return command


def go_on(instance: Instance) -> None:
    assert instance.answer("start", "image-1").returncode == 0


def exits_of_imports(instance: Instance) -> list[dict[str, Any]]:
    return [one for one in instance.records() if one["event"] == "child.exited" and one["child"] == "import"]


def of_channel(instance: Instance, channel: int) -> list[int]:
    return [row["message_id"] for row in instance.rows() if row["channel_id"] == channel]


@pytest.mark.tree
def test_the_running_instance_takes_it_in_and_the_sum_is_its_own(instance: Instance, tmp_path: Path) -> None:
    mine = export_of(tmp_path / "mine", 5, bad={4: b"this is a text"})
    done = instance.command("import", os.path.relpath(mine, instance.folder))
    assert done.returncode == 0, done.stderr
    assert "5 pictures: 4 published, 0 already there, 1 dead" in done.stdout
    assert " of 5 pictures" in done.stderr
    again = instance.command("import", str(mine / "result.json"), "--exit")
    assert "5 pictures: 0 published, 4 already there, 1 dead" in again.stdout and "Nothing has changed" in again.stdout
    wait_for("the child to leave the tree", lambda: instance.row("import") == {})
    assert (of_channel(instance, 77), of_channel(instance, CHANNEL)) == ([1, 2, 3, 5], [1, 2, 3])


@pytest.mark.tree
def test_a_killed_import_is_replaced_and_goes_on_and_a_second_one_waits(shared: Instance, tmp_path: Path) -> None:
    shared.wait_until_running()
    before = len(exits_of_imports(shared))
    mine = export_of(tmp_path / "mine", 6, channel=78)
    command = under_way(shared, mine)
    second = shared.command("import", str(shared.folder.parent / "first"))
    assert second.returncode == 1 and f"an import of {mine} is under way" in second.stderr
    os.kill(shared.row("import")["pid"], signal.SIGKILL)
    assert shared.answer("reload").stdout == "reloaded; replaced: nobody\n"
    go_on(shared)
    out, err = command.communicate(timeout=90)
    assert command.returncode == 0, err
    assert "6 pictures: 6 published, 0 already there, 0 dead" in out
    assert err.count("Its process has ended (killed by SIGKILL), and is started again by itself") == 1
    killed = exits_of_imports(shared)[before]
    assert killed["what"] == "killed by SIGKILL" and killed["replaced"] is True
    assert of_channel(shared, 78) == [1, 2, 3, 4, 5, 6]


@pytest.mark.tree
def test_an_import_that_is_ended_says_how_far_it_came(tmp_path: Path, make_instance: MakeInstance) -> None:
    """By Ctrl-C, by a stop of the instance, by a kill of its root; each time the same command does the rest."""
    instance = make_instance(make_export(tmp_path / "first", 1), "[images]\nwidths = [640]")
    instance.start()
    for channel, how in enumerate(("Ctrl-C", "the instance is stopped", "the root is killed"), 77):
        instance.wait_until_running()
        instance.wait_until_done()
        mine = export_of(tmp_path / how, 3, channel=channel)
        command = under_way(instance, mine)
        match how:
            case "Ctrl-C":
                command.send_signal(signal.SIGINT)
            case "the instance is stopped":
                assert instance.stop() == 0
            case _:
                instance.kill()
        out, err = command.communicate(timeout=90)
        assert command.returncode == 1, err
        assert "The same command goes on with the rest." in out  # how far it knows, if it could still ask
        if how == "Ctrl-C":
            wait_for("the child to leave the tree", lambda: instance.row("import") == {})
            go_on(instance)
        else:
            instance.wait_until_gone()
            instance.start()
            instance.wait_until_running()
        assert "3 pictures: " in instance.command("import", str(mine)).stdout
        assert of_channel(instance, channel) == [1, 2, 3]
    assert instance.stop() == 0
    instance.assert_nothing_left()


@pytest.mark.tree
def test_an_export_that_moved_and_grew(instance: Instance, tmp_path: Path) -> None:
    export = export_of(tmp_path / "export", 2, channel=79)
    assert instance.command("import", str(export)).returncode == 0
    moved = tmp_path / "moved"
    shutil.move(export, moved)
    name = "photos/photo_3@01-02-2025_10-00-00.jpg"
    draw(moved / name, 1, (240, 180))  # the same picture as the first: stored once, with two rows
    document = json.loads((moved / "result.json").read_text())
    document["messages"][1]["text_entities"] = [{"type": "plain", "text": "edited"}]
    document["messages"][1]["edited_unixtime"] = str(int(document["messages"][1]["date_unixtime"]) + 60)
    document["messages"].append(message(3, photo=name, width=240, height=180))
    (moved / "result.json").write_text(json.dumps(document))
    done = instance.command("import", str(moved / "result.json"), "--exit")
    assert "3 pictures: 1 published, 1 already there, 1 edited, 0 dead" in done.stdout
    rows = [row for row in instance.rows() if row["channel_id"] == 79]
    assert [row["message_id"] for row in rows] == [1, 2, 3]
    assert rows[1]["caption"] == "edited"
    assert rows[0]["sha256"] == rows[2]["sha256"] != rows[1]["sha256"]


@pytest.mark.tree
def test_what_is_no_export_is_refused_and_leaves_the_instance_well(instance: Instance, tmp_path: Path) -> None:
    before = len(exits_of_imports(instance))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "result.json").write_text('{"name": "x", "id": 1,\n "messages": [{"id": 1,]}')
    refused = instance.command("import", str(tmp_path / "bad"))
    assert refused.returncode == 1 and "Not imported: " in refused.stdout and "line 2, column" in refused.stdout
    body = instance.status()
    assert body is not None and body["ok"] and body["problems"] == []
    wait_for("the child to leave the tree", lambda: instance.row("import") == {})
    begun = control_client.ask(instance.state_dir, {"action": "import", "path": str(tmp_path / "bad")})
    assert begun["ok"]  # nobody asks how far it is: it leaves all the same
    wait_for("its end", lambda: exits_of_imports(instance)[before + 1 :])
    wait_for("the child to leave the tree", lambda: instance.row("import") == {})
    late = control_client.ask(instance.state_dir, {"action": "import-progress", "number": begun["number"]})
    assert late["state"] == "gone" and "line 2, column" in late["facts"]["error"]
    for request in ({"path": "relative"}, {"path": 5}, {}):
        answer = control_client.ask(instance.state_dir, {"action": "import", **request})
        assert not answer["ok"] and "absolute path" in answer["lines"][0]


SOURCE = {
    "photos": 5,
    "published": 1,
    "already_there": 1,
    "already_published": 1,
    "dead": 0,
    "waiting": 3,
    "new": 1,
    "edited": 0,
}


@pytest.mark.parametrize(
    ("source", "state", "why", "is_stopping", "said"),
    [
        ({}, "starting", "", False, None),
        (SOURCE, "running", "", False, None),
        ({**SOURCE, "exhausted": True}, "running", "", False, None),
        (SOURCE, "waiting", "", False, None),
        ({**SOURCE, "exhausted": True, "waiting": 0}, "running", "", False, None),
        (
            {**SOURCE, "exhausted": True, "waiting": 0},
            "finished",
            "",
            False,
            "5 pictures: 1 published, 1 already",
        ),
        ({"error": "no export"}, "finished", "", False, "Not imported: no export"),
        (SOURCE, "held", "the journal is damaged", False, "Not imported: the journal is damaged"),
        (SOURCE, "gone", "", True, "Stopped: 2 of 5 pictures are done"),
        ({}, "stopped", "", False, "The import was stopped: it had not come to the pictures yet"),
    ],
)
def test_what_comes_of_it(source: dict[str, Any], state: str, why: str, is_stopping: bool, said: str | None) -> None:
    outcome = judge(source, state, why, is_stopping=is_stopping)
    assert (outcome is None) == (said is None)
    if outcome and said:
        assert outcome.text.startswith(said) and outcome.done == (" published" in said)
