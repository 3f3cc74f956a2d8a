"""Cgroups: on this machine's own cgroup v2 where there is one, and on folders that look like one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.resources import cgroups
from supervisor.resources.cgroups import SLACK_BYTES, Leaf, Leaves
from supervisor.resources.memory import MIB
from tests.instance import HOME

ME = str(os.getpid())

# --- where we are -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0::/a.slice/b.service\n", "a.slice/b.service"),
        ("4:memory:/x\n1:name=systemd:/y\n0::/a.slice/b.service\n", "a.slice/b.service"),
        ("0::/\n", ""),
        ("0::/gone\n", None),
        ("4:memory:/x\n1:name=systemd:/y\n", None),
        ("0::/../outside\n", None),
        ("", None),
        (None, None),
    ],
)
def test_the_cgroup_that_we_are_in(text: str | None, found: str | None, tmp_path: Path) -> None:
    mount, path = tmp_path / "mount", tmp_path / "cgroup"
    for name in ("", "a.slice/b.service"):
        (mount / name).mkdir(parents=True)
        (mount / name / "cgroup.controllers").write_text("memory\n")
    if text is not None:
        path.write_text(text)
    assert cgroups.own(mount, path) == (None if found is None else mount / found)


def test_on_this_machine_it_is_found_or_not_but_nothing_fails() -> None:
    cgroups.own()
    cgroups.own(Path("/nowhere"))


# --- a folder that looks like a cgroup ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A delegated cgroup with nobody in it but us."""
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "cgroup.controllers").write_text("cpu memory pids\n")
    (folder / "cgroup.procs").write_text(f"{ME}\n")
    (folder / "cgroup.subtree_control").write_text("\n")
    return folder


def test_settling_moves_us_down_and_enables_the_controller(folder: Path) -> None:
    assert cgroups.divide(folder, folder) == folder
    assert (folder / "tree" / "cgroup.procs").read_text() == ME
    assert (folder / "cgroup.subtree_control").read_text() == "+memory"


def test_settling_removes_what_others_have_left_there(folder: Path) -> None:
    (folder / "image-1.99.3").mkdir()
    (folder / "memory.swap.max").write_text("max")
    assert cgroups.divide(folder, folder) == folder
    assert not (folder / "image-1.99.3").exists()
    assert (folder / "memory.swap.max").exists()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("cgroup.controllers", "cpu pids\n"),
        ("cgroup.procs", f"{ME}\n1\n"),
        ("cgroup.procs", "1\n"),
        ("cgroup.procs", None),
        ("cgroup.subtree_control", None),
    ],
    ids=["no memory", "not alone", "others", "no processes", "no control"],  # the same in every process of the tests
)
def test_a_cgroup_that_is_not_fit_is_left_as_it_is(file: str, text: str | None, folder: Path) -> None:
    (folder / file).unlink() if text is None else (folder / file).write_text(text)
    assert cgroups.divide(folder, folder) is None
    assert not (folder / "tree").exists()


def test_without_cgroups_nothing_is_settled() -> None:
    assert cgroups.divide(None) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="others are told by the owner of the folder")
def test_that_root_may_write_there_is_no_delegation(folder: Path, tmp_path: Path) -> None:
    assert cgroups.divide(folder, tmp_path) is None
    os.setxattr(folder, "user.delegate", b"0")
    assert cgroups.divide(folder, tmp_path) is None
    os.setxattr(folder, "user.delegate", b"1")
    assert cgroups.divide(folder, tmp_path) == folder


def test_delegated_to_a_user_is_what_belongs_to_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid or 4711)
    assert (cgroups.divide(folder, tmp_path) == folder) is (folder.stat().st_uid != 0)


def test_where_the_controller_cannot_be_enabled_all_is_as_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = cgroups._write

    def refuse(path: Path, text: str) -> None:
        if path.name == "cgroup.subtree_control":
            raise OSError(16, "Device or resource busy", str(path))
        if path.parent.name != "tree":  # the kernel's files don't stay behind in a folder that is removed
            write(path, text)

    monkeypatch.setattr(cgroups, "_write", refuse)
    assert cgroups.divide(folder, folder) is None
    assert (folder / "cgroup.procs").read_text() == ME
    assert not (folder / "tree").exists()


# --- leaves that look like ones -------------------------------------------------------------------------------


def test_a_leaf_has_its_limits_before_its_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, str]] = []
    monkeypatch.setattr(cgroups, "_write", lambda path, text: written.append((path.name, text)))
    leaf = Leaves(folder).make("image-1", 3, 4711, 100 * MIB)
    assert leaf == Leaf(folder / f"image-1.{ME}.3")
    assert written == [
        ("memory.max", str(100 * MIB + SLACK_BYTES)),
        ("memory.swap.max", "0"),
        ("memory.oom.group", "1"),
        ("cgroup.procs", "4711"),
    ]


def test_a_cap_can_be_raised_and_taken_away(folder: Path) -> None:
    leaf = Leaves(folder).make("image-1", 1, 4711, 100 * MIB)
    assert leaf is not None
    assert leaf.set_cap(200 * MIB)
    assert (leaf.folder / "memory.max").read_text() == str(200 * MIB + SLACK_BYTES)
    assert leaf.set_cap(0)
    assert (leaf.folder / "memory.max").read_text() == "max"
    assert not Leaf(folder / "gone").set_cap(0)


def test_without_a_folder_or_a_cap_there_is_no_leaf(folder: Path) -> None:
    assert Leaves(None).make("image-1", 1, 4711, MIB) is None
    assert Leaves(folder).make("image-1", 1, 4711, 0) is None
    assert not list(folder.glob("*.*.*/"))


@pytest.mark.parametrize("file", ["memory.max", "cgroup.procs"])
def test_a_leaf_that_cannot_be_had_leaves_nothing_behind(
    file: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, text: str) -> None:
        if path.name == file:
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(cgroups, "_write", refuse)
    leaves = Leaves(folder)
    assert leaves.make("image-1", 1, 4711, MIB) is None
    assert leaves.make("image-1", 2, 4711, MIB) is None
    assert not list(folder.glob("*.*.*/"))


@pytest.mark.parametrize("file", ["memory.swap.max", "memory.oom.group"])
def test_a_kernel_without_some_of_the_files_will_do(file: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str) -> None:
        if path.name == file:
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(cgroups, "_write", refuse)
    assert Leaves(folder).make("image-1", 1, 4711, MIB) is not None


def test_what_a_leaf_tells(tmp_path: Path) -> None:
    leaf = Leaf(tmp_path)
    assert leaf.events() == {} and leaf.peak_bytes() == 0
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 1\n")
    (tmp_path / "memory.peak").write_text("123456\n")
    assert (leaf.events()["oom"], leaf.events()["oom_kill"]) == (2, 1)
    assert leaf.peak_bytes() == 123456


def test_a_leaf_that_the_kernel_still_holds_on_to_is_removed_later(folder: Path) -> None:
    leaves = Leaves(folder)
    first, second = (Leaf(folder / f"image-1.1.{number}") for number in (1, 2))
    for leaf in (first, second):
        leaf.folder.mkdir()
    (first.folder / "somebody").touch()
    leaves.remove(first)
    assert first.folder.exists()
    (first.folder / "somebody").unlink()
    leaves.remove(second)
    assert not first.folder.exists() and not second.folder.exists()


# --- for real -------------------------------------------------------------------------------------------------


def _mount() -> Path | None:
    """Where a cgroup v2 is mounted that we can write to, and a controller that our children could have."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2" and os.access(where, os.W_OK):
            return Path(where)
    return None


MOUNT = _mount()
CONTROLLERS = {"memory": "memory.max", "hugetlb": "hugetlb.2MB.max"}
AVAILABLE = (MOUNT / "cgroup.controllers").read_text().split() if MOUNT else []
FIT = [name for name in CONTROLLERS if name in AVAILABLE]
"""Controllers that can be given to a cgroup of ours. That of memory may belong to a cgroup v1: placing is the same."""

PLACING = """
import json, os, subprocess, sys
from pathlib import Path
from supervisor.resources import cgroups
mount, ours, cgroups.CONTROLLER, cgroups.LIMIT = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
where = lambda pid: [line[3:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line[:3] == "0::"][0]
(ours / "cgroup.procs").write_text(str(os.getpid()))
os.setxattr(ours, "user.delegate", b"1")
own = cgroups.own(mount)
settled = cgroups.divide(own, mount)
told = {"own": str(own), "settled": str(settled), "root": where("self")}
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
told["child"] = where(child.pid)
leaves = cgroups.Leaves(settled)
leaf = leaves.make("image-1", 1, child.pid, 2**30)
told["leaf"] = where(child.pid)
child.kill()
child.wait()
if leaf:
    leaves.remove(leaf)
told["left"] = sorted(path.name for path in ours.iterdir() if path.is_dir())
(mount / "cgroup.procs").write_text(str(os.getpid()))
print(json.dumps(told))
"""


@pytest.fixture
def ours() -> Iterator[Path]:
    """A cgroup of our own on the machine's real cgroup v2, gone afterwards, that may have all its controllers."""
    assert MOUNT is not None
    control = MOUNT / "cgroup.subtree_control"
    enabled_here = [name for name in FIT if name not in control.read_text().split()]
    for name in enabled_here:
        control.write_text(f"+{name}")
    folder = MOUNT / f"picturedesk-test-{ME}"
    folder.mkdir()
    yield folder
    for path in (*folder.glob("*/"), folder):
        path.rmdir()
    for name in enabled_here:
        control.write_text(f"-{name}")


def slot(ours: Path, controller: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PLACING, str(MOUNT), str(ours), controller, CONTROLLERS[controller]],
        env={**os.environ, "PYTHONPATH": str(HOME)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.skipif(not FIT, reason="no cgroup v2 with a controller that could be given to ours")
@pytest.mark.parametrize("controller", FIT)
def test_processes_are_placed_for_real(controller: str, ours: Path) -> None:
    told = slot(ours, controller)
    base = f"/{ours.name}"
    assert told["own"] == told["settled"] == str(ours)
    assert told["root"] == told["child"] == f"{base}/tree", "children are born where their parent is"
    assert told["leaf"].startswith(f"{base}/image-1.") and told["leaf"].endswith(".1")
    assert told["left"] == ["tree"]


@pytest.mark.skipif(MOUNT is None or "memory" in AVAILABLE, reason="memory can be limited here")
def test_on_a_hybrid_machine_nothing_is_changed(ours: Path) -> None:
    told = slot(ours, "memory")
    assert told["own"] == str(ours) and told["settled"] == "None"
    assert told["root"] == told["child"] == told["leaf"] == f"/{ours.name}"
    assert told["left"] == []
