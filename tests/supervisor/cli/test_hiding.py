"""`hide`, `unhide` and `block`, and what captions and rules do, on real instances."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ipc.jobs import Job
from ipc.journal import Journal, lookup
from tests.instance import Instance, wait_for
from tests.pictures import CHANNEL, draw, message, write_result

MakeInstance = Callable[..., Instance]
LINK = f"https://t.me/c/{CHANNEL}"
SETTINGS = """
[telegram]
editor_commands = true
[[telegram.rules]]
action = "leave"
tags = ["draft"]
"""


def make_album(folder: Path) -> Path:
    """One picture that is hidden, an album of two, one that a rule leaves."""
    (folder / "photos").mkdir(parents=True)
    texts = {1: "A fox #hide", 2: "Two #cover", 3: "", 4: "#draft"}
    messages = []
    for number, text in texts.items():
        name = f"photos/photo_{number}@01-02-2025_10-00-00.jpg"
        draw(folder / name, number, (64, 48))
        more = {"date_unixtime": "1738404120"} if number in (2, 3) else {}
        tag = [{"type": "plain", "text": text}]
        messages.append(message(number, photo=name, text=text, text_entities=tag, **more))
    write_result(folder, messages)
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    """One that has published what it takes, and runs no more."""
    export = make_album(tmp_path_factory.mktemp("hiding") / "export")
    instance = Instance(tmp_path_factory.mktemp("published") / "instance", export, SETTINGS)
    done = instance.command("import", str(export), "--exit")
    assert done.returncode == 0, done.stderr
    return instance


def job(instance: Instance, message_id: int) -> Job:
    journal = Journal.open(instance.state_dir / "journal.db")
    found = lookup.known(journal, CHANNEL, message_id)
    journal.close()
    assert found is not None
    return found


def hidden(instance: Instance) -> list[str | None]:
    jobs = [job(instance, number) for number in (1, 2, 3)]
    return [one.hidden_by if one.hidden_at is not None else None for one in jobs]


def why(instance: Instance, message_id: int) -> str:
    return str(json.loads(instance.answer("why", f"{LINK}/{message_id}", "--json").stdout)["what"])


@pytest.mark.tree
def test_from_captions_and_rules_to_the_commands(published: Instance) -> None:
    """In one go, since each step begins where the one before has ended."""
    assert hidden(published) == ["caption", None, None]
    assert [job(published, number).shown for number in (1, 2, 3)] == [False, True, True]
    assert "hidden from readers since" in why(published, 1) and "#hide in its caption" in why(published, 1)
    assert "one of telegram.rules leaves it" in why(published, 4)

    assert "1 picture hidden; off the site when the program runs" in published.answer("hide", f"{LINK}/2?single").stdout
    assert hidden(published) == ["caption", "operator", None]
    assert published.answer("hide", str(CHANNEL), "3").stdout.startswith("2 pictures hidden; off the site")
    assert published.answer("hide", str(CHANNEL), "3").stdout.startswith("2 pictures: hidden already. What")
    assert published.answer("unhide", f"{LINK}/1").stdout.startswith("1 picture shown again")
    assert published.answer("unhide", f"{LINK}/1").stdout == "It is not hidden.\n"
    assert hidden(published) == [None, "operator", "operator"]

    sha256 = job(published, 1).sha256
    assert sha256 is not None
    assert published.answer("block").stdout == "No picture is blocked.\n"
    assert published.answer("block", sha256.upper()).stdout.startswith("Blocked: 1 picture hidden")
    assert published.answer("block").stdout.startswith(f"{sha256} since ")
    refused = published.answer("unhide", f"{LINK}/1")
    assert refused.returncode == 1 and "the picture is blocked" in refused.stderr
    assert "its picture is blocked" in why(published, 1)
    assert published.answer("hide", f"{LINK}/1").stdout.splitlines() == [
        "1 picture: hidden already, by bin/run block, and not hidden otherwise as well.",
        f"Shown again by bin/run block --remove {sha256}",
    ]

    published.start()
    published.wait_until_done()
    assert [job(published, number).shown for number in (1, 2, 3)] == [False, False, False]
    assert "within seconds" in published.answer("unhide", f"{LINK}/2").stdout
    assert published.answer("block", sha256, "--remove").stdout.startswith("No longer blocked: 1 picture shown again")
    wait_for("the rows", lambda: [job(published, number).shown for number in (1, 2, 3)] == [False, True, True])
    assert hidden(published) == ["caption", None, None]
    assert published.stop() == 0


@pytest.fixture
def apart(published: Instance, tmp_path: Path) -> Instance:
    """A copy of it, so that the tests may come in any order."""
    copy = Instance(tmp_path / "instance", published.state_dir, SETTINGS)
    shutil.copytree(published.state_dir, copy.state_dir, dirs_exist_ok=True)
    return copy


@pytest.mark.parametrize("point", ["hidden.before", "hidden.after"])
def test_a_command_that_is_killed_has_done_all_or_nothing(point: str, apart: Instance) -> None:
    killed = subprocess.run(
        [sys.executable, "-P", "-m", "supervisor", "hide", f"{LINK}/2", "--config", str(apart.config)],
        env=apart.environment(PICTUREDESK_FAILPOINT=point),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert killed.returncode == -9
    assert hidden(apart)[1:] == ([None, None] if point == "hidden.before" else ["operator", "operator"])
    assert apart.answer("hide", f"{LINK}/2").returncode == 0
    assert hidden(apart)[1:] == ["operator", "operator"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("hide", "a b"), 2, "names no post"),
        (("hide", f"{LINK}/99"), 1, "nothing is known of that post"),
        (("unhide", f"{LINK}/99"), 1, "bin/run why"),
        (("block", "abc"), 2, "'abc' is no SHA-256: 64 hex digits"),
        (("block", "--remove"), 2, "is no SHA-256"),
        (("block", "0" * 64, "--remove"), 1, "is not blocked"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], code: int, said: str, published: Instance) -> None:
    refused = published.answer(*words)
    assert refused.returncode == code and said in refused.stderr
