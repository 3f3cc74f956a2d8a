"""deploy/start.sh, for real: as root it gives the volume to the program's user and becomes that user.

The user is one of a mount namespace's own /etc/passwd, so nothing on the machine changes. The program is a stand-in
that says who it is: the user could not read a checkout in somebody's home.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.instance import HOME

UID = 10001
PROGRAM = r"""#!/usr/bin/env bash
set -euo pipefail
touch "$PICTUREDESK__STATE_DIR/journal.db" && echo more >>"$PICTUREDESK__STATE_DIR/left-by-root"
mapfile -t status < <(grep -E '^(Uid|Gid|Groups|NoNewPrivs|CapEff|CapPrm):' /proc/self/status | tr -s '\t ' ' ')
printf '%s\n' "${status[@]}" "HOME: $HOME" "$@"
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user can enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="picturedesk-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def make(folder: Path) -> Path:
    """A checkout with start.sh and the stand-in, that every user can read; its start.sh."""
    for name, source in (("deploy", HOME / "deploy/start.sh"), ("bin", None)):
        (folder / name).mkdir(parents=True)
        if source:
            shutil.copy(source, folder / name)
    (folder / "bin/run").write_text(PROGRAM)
    (folder / "bin/run").chmod(0o755)
    return folder / "deploy/start.sh"


def start(folder: Path, state: Path, *through: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*through, str(make(folder)), "start", "a b"],
        env={**os.environ, "PICTUREDESK__STATE_DIR": str(state), "HOME": "/root"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def with_user(folder: Path) -> list[str]:
    """What a command goes through to run where the user picturedesk exists."""
    script = ["set -e"]
    for name, line in (
        ("passwd", f"picturedesk:x:{UID}:{UID}::/nonexistent:/usr/sbin/nologin"),
        ("group", f"picturedesk:x:{UID}:"),
    ):
        own = folder / name
        own.write_text(f"root:x:0:{'0:root:/root:/bin/sh' if name == 'passwd' else ''}\n{line}\n")
        own.chmod(0o644)
        script.append(f"mount --bind {own} /etc/{name}")
    return ["unshare", "--mount", "sh", "-c", "; ".join([*script, 'exec "$@"']), "sh"]


def may_unshare() -> bool:
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        return False
    command = ["unshare", "--mount", "mount", "--bind", "/etc/passwd", "/etc/passwd"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_unshare(), reason="needs root, and mount namespaces")
@pytest.mark.parametrize("exists", [True, False])
def test_as_root_it_becomes_the_programs_user(exists: bool, folder: Path) -> None:
    state = folder / "volume" if exists else folder / "volume/not/yet"
    if exists:
        (state / "media").mkdir(parents=True)
        (state / "left-by-root").write_text("left\n")
    done = start(folder / "opt", state, *with_user(folder))
    assert done.returncode == 0, done.stderr
    *who, first, second = done.stdout.splitlines()
    assert (first, second) == ("start", "a b")
    assert {name: text.strip() for name, _, text in (line.partition(":") for line in who)} == {
        "Uid": f"{UID} {UID} {UID} {UID}",
        "Gid": f"{UID} {UID} {UID} {UID}",
        "Groups": "",
        "CapPrm": "0" * 16,
        "CapEff": "0" * 16,
        "NoNewPrivs": "1",
        "HOME": str(state),
    }
    for path in (state, state / "journal.db", state / "left-by-root"):
        assert (path.stat().st_uid, path.stat().st_gid) == (UID, UID), path
    assert (folder / "opt/deploy/start.sh").stat().st_uid == 0


@pytest.mark.skipif(not may_unshare(), reason="needs root, and mount namespaces")
def test_as_root_without_a_state_dir_it_refuses(tmp_path: Path) -> None:
    script = make(tmp_path / "opt")
    given = {name: text for name, text in os.environ.items() if not name.startswith("PICTUREDESK")}
    done = subprocess.run([str(script)], env=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    what, remedy = done.stderr.splitlines()
    assert what.startswith("picturedesk: PICTUREDESK__STATE_DIR is not set") and "volume" in remedy


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, None),
        ({"RAILWAY_PUBLIC_DOMAIN": "a.example"}, "a.example"),
        ({"RAILWAY_PRIVATE_DOMAIN": "b.internal"}, "b.internal"),
        ({"RAILWAY_PUBLIC_DOMAIN": "a.example", "RAILWAY_PRIVATE_DOMAIN": "b.internal"}, "a.example,b.internal"),
        ({"RAILWAY_PUBLIC_DOMAIN": "a.example", "PICTUREDESK__HEALTH__ALLOWED_HOSTS": "own.example"}, "own.example"),
    ],
)
def test_railways_names_are_answered_to(given: dict[str, str], names: str | None, folder: Path) -> None:
    """A request with another name in its Host header is refused."""
    script = make(folder / "opt")
    (folder / "opt/bin/run").write_text('#!/bin/sh\necho "${PICTUREDESK__HEALTH__ALLOWED_HOSTS-unset}"\n')
    through = ["setpriv", "--reuid", str(UID), "--clear-groups", "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*through, str(script)],
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == f"{names or 'unset'}\n", done.stderr


def test_as_any_other_user_it_runs_the_program_and_changes_nothing(folder: Path) -> None:
    """What the image does where it may choose its user."""
    state = folder / "state"
    state.mkdir()
    through = []
    if os.geteuid() == 0:
        os.chown(state, UID, -1)
        through = ["setpriv", "--reuid", str(UID), "--clear-groups", "--"]
    done = start(folder / "opt", state, *through)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("HOME: /root\nstart\na b\n")


def test_railway_runs_it_as_root_only_where_configured() -> None:
    """The image says USER; the platform overrules that by RAILWAY_RUN_UID."""
    deploy = json.loads((HOME / "deploy/railway.json").read_text(encoding="utf-8"))["deploy"]
    assert "startCommand" not in deploy, "it would go round start.sh"
