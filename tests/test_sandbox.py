"""The sealed image workers of a real tree: how well they are sealed, what is not to be found in them, and an attack."""

from __future__ import annotations

import os
import re
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.child import sandbox
from tests.instance import Instance, wait_for
from tests.pictures import make_export

pytestmark = pytest.mark.tree

AS_A_USER = [] if os.geteuid() else ["setpriv", *(f"--{which}=-all" for which in ("inh-caps", "bounding-set"))]
"""Root may look into every process; without its capabilities it is any user."""


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return make_export(tmp_path / "export", 3)


def memory_of(pid: int) -> bytes:
    """All that can be read of a process' memory."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            start, end, rights = re.split(r"[- ]", line)[:3]
            if rights.startswith("r") and "[v" not in line:
                memory.seek(int(start, 16))
                try:
                    found.append(memory.read(int(end, 16) - int(start, 16)))
                except OSError:  # a mapping that has no pages behind it
                    continue
    return b"".join(found)


def row(instance: Instance, name: str) -> dict[str, Any]:
    tree: list[dict[str, Any]] = (instance.status() or {"tree": []})["tree"]
    return next((one for one in tree if one["name"] == name), {})


def test_no_secret_and_no_file_of_ours_is_in_a_worker(
    tmp_path: Path, export: Path, make_instance: Callable[..., Instance]
) -> None:
    canary = {name: f"canary{secrets.token_hex(12)}" for name in ("file", "environment", "credential", "home")}
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "storage.secret_access_key").write_text(canary["credential"])
    more = f"""
[storage]
backend = "r2"
endpoint = "http://127.0.0.1:9"
bucket = "none"
access_key_id = "{canary["file"]}"
public_url = "http://127.0.0.1:9"
"""
    instance = make_instance(export, more)
    instance.start(
        CREDENTIALS_DIRECTORY=str(credentials),
        PICTUREDESK__HEALTH__TOKEN=canary["environment"],
        SOME_TOKEN=canary["home"],
    )
    told = Path(f"/proc/{instance.root.pid}/environ").read_bytes() if instance.root and not os.geteuid() else b""
    assert not told or all(canary[name].encode() in told for name in ("environment", "home")), "they are there to find"
    wait_for(
        "the jobs to be done", lambda: len([one for one in instance.records() if one["event"] == "job.rendered"]) == 3
    )
    ready = [one for one in instance.records() if one["event"] == "child.ready" and one["child"].startswith("image")]
    assert len(ready) == 1
    for pid in (one["pid"] for one in ready):
        if os.geteuid():
            with pytest.raises(PermissionError):
                Path(f"/proc/{pid}/environ").read_bytes()
            continue
        seen = memory_of(pid) + Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert not [name for name, value in canary.items() if value.encode() in seen]
        files = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
        assert not [file for file in files if str(tmp_path) in file and not file.endswith("/log")], files
    assert instance.stop() == 0


@pytest.mark.reaches("sandbox.broken")
def test_its_level_and_its_memory_are_told_and_one_that_breaks_the_rules_costs_its_picture_at_once(
    tmp_path: Path, make_instance: Callable[..., Instance]
) -> None:
    """As a normal user: nobody may look into a worker; the supervisor sees its size, and it tells the rest."""
    export = make_export(tmp_path / "export", 4)
    instance = make_instance(export)
    instance.through = AS_A_USER
    instance.start_with_frozen_workers(export)
    breaks_the_rules(instance)
    best = sandbox.best()
    assert row(instance, "image-1")["sandbox"] == {"seccomp": best.seccomp, "landlock": best.landlock}
    assert "sandbox" not in row(instance, "pool")
    names = ("health", "uploader", "pool", "image-1", "connection")
    wait_for("all to tell of their memory", lambda: all(row(instance, name).get("pss_bytes") for name in names))
    assert all(row(instance, name)["rss_bytes"] > 2**20 for name in names)
    assert Path(f"/proc/{instance.pids()['image-1']}/oom_score_adj").read_text().strip() == "1000"
    a_crash_shows_its_stacks(instance, "uploader")
    assert instance.stop() == 0
    instance.assert_nothing_left(dead=1)
    said = instance.answer("check").stdout
    assert f"sandbox: {best}\n" in said


def breaks_the_rules(instance: Instance) -> None:
    instance.strike("image-1", signal.SIGSYS)  # as the kernel does when its filter says so
    instance.strike("image-1", signal.SIGCONT)
    instance.wait_until_done()
    status = instance.status() or {}
    [problem] = [one for one in status["problems"] if one["id"] == "sandbox.broken"]
    assert re.match(r"image-1 broke the rules of its sandbox on job \d at \S+: its picture", problem["what"])
    assert row(instance, "image-1")["exits"][0]["cause"] == "broke its sandbox"
    assert (status["stats"]["dead"], status["stats"]["processed"]) == (1, 3)
    assert "poison, set aside at once: its worker was lost: broke the rules" in instance.answer("dead").stdout


def a_crash_shows_its_stacks(instance: Instance, name: str) -> None:
    os.kill(instance.pids()[name], signal.SIGABRT)
    wait_for("its end", lambda: row(instance, name).get("exits"))
    assert "File" in row(instance, name)["exits"][-1]["stacks"]


WITHOUT_SECCOMP = [sys.executable, "-P", "-m", "tests.without_seccomp"]


def test_without_seccomp_it_does_not_start_where_that_is_required(
    export: Path, make_instance: Callable[..., Instance]
) -> None:
    instance = make_instance(export)
    instance.through = WITHOUT_SECCOMP
    instance.start(PICTUREDESK__POOL__SANDBOX="require")
    assert instance.wait() == 78
    said = instance.log.read_text()
    assert 'pool.sandbox = "require", and system calls can\'t be filtered here' in said
    assert "Use a kernel with seccomp" in said and 'set pool.sandbox = "auto"' in said
    instance.wait_until_gone()


@pytest.mark.reaches("sandbox.incomplete")
def test_without_seccomp_it_starts_and_says_so(export: Path, make_instance: Callable[..., Instance]) -> None:
    instance = make_instance(export)
    instance.through = WITHOUT_SECCOMP
    instance.start()
    instance.wait_until_done()
    landlock = sandbox.best().landlock
    assert row(instance, "image-1")["sandbox"] == {"seccomp": False, "landlock": landlock}
    [problem] = (instance.status() or {})["problems"]
    assert problem["what"].startswith("the system calls of image-1 are not filtered")
    assert instance.stop() == 0
    said = instance.command("check").stdout
    assert f"warning  sandbox: {sandbox.Level(False, landlock)}, no seccomp. Use a kernel with" in said, said
