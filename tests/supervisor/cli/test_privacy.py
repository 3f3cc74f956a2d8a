"""state_dir as the commands make and find it: its owner's alone, and no link in it is followed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipc.journal import Journal
from tests.instance import Instance
from tests.pictures import make_export

AS_ANYBODY = ("setpriv", *(f"--{which}=-dac_override,-dac_read_search" for which in ("inh-caps", "bounding-set")))
"""Root may read everything; without these capabilities it is kept out like anybody."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance(tmp_path / "desk", make_export(tmp_path / "export", 1))
    made.through = ["sh", "-c", 'umask 000; exec "$@"', "sh"]
    yield made
    made.end()


def open_to_others(state_dir: Path) -> dict[str, str]:
    """What others can get at, without media/."""
    found = {path: path.lstat().st_mode for path in (state_dir, *state_dir.iterdir()) if path.name != "media"}
    return {path.name: oct(stat.S_IMODE(mode)) for path, mode in found.items() if stat.S_IMODE(mode) & 0o077}


@pytest.mark.tree
def test_the_first_command_closes_it_to_others_and_a_start_says_so(instance: Instance) -> None:
    assert instance.command("check").returncode == 0
    assert open_to_others(instance.state_dir) == {"state": "0o711"}
    instance.state_dir.chmod(0o777)
    Journal.open(instance.state_dir / "journal.db").close()
    (instance.state_dir / "catalog.db").touch()
    for name in ("journal.db", "catalog.db"):
        (instance.state_dir / name).chmod(0o644)
    instance.start()
    instance.wait_until_done()
    assert open_to_others(instance.state_dir) == {"state": "0o711"}
    assert (instance.state_dir / "control.sock").is_socket()
    assert instance.stop() == 0
    [record] = [one for one in instance.records() if one["event"] == "state_dir.closed"]
    assert {"state: 0777 to 0711", "catalog.db: 0644 to 0600", "journal.db: 0644 to 0600"} <= set(record["changed"])


@pytest.mark.parametrize("words", ["check", "dead", "retry 1", "gc", "republish --originals"])
def test_another_user_learns_that_the_folder_is_closed(words: str, instance: Instance) -> None:
    instance.state_dir.mkdir()
    (instance.state_dir / "journal.db").touch()
    instance.state_dir.chmod(0)  # so closed that even its owner is another user, and root without its privilege
    through = AS_ANYBODY if os.geteuid() == 0 else ()
    program = [*through, sys.executable, "-P", "-m", "supervisor", "--config", str(instance.config), *words.split()]
    environment = instance.environment()
    try:
        done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60, check=False)
    finally:
        instance.state_dir.chmod(0o700)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "can't be looked into: Permission denied. Run this as the user who runs the program" in done.stderr


@pytest.mark.parametrize("name", ["journal.db", "catalog.db"])
def test_check_does_not_wait_for_a_fifo(name: str, instance: Instance) -> None:
    instance.state_dir.mkdir(mode=0o700)
    os.mkfifo(instance.state_dir / name)
    done = instance.answer("check")
    assert done.returncode == 78 and done.stderr.count("is a FIFO or a device") == 1, done.stderr


@pytest.mark.tree
@pytest.mark.parametrize("name", ["instance.lock", "journal.db", "catalog.db", "spool"])
def test_a_planted_link_is_refused(name: str, instance: Instance, tmp_path: Path) -> None:
    (precious := tmp_path / "precious").write_text("precious")
    instance.state_dir.mkdir(mode=0o700)
    (instance.state_dir / name).symlink_to(precious)
    for done in (instance.answer("check"), instance.command("start")):
        assert done.returncode == 78, done.stderr
        assert f"{instance.state_dir / name} is a symbolic link to {precious}" in done.stderr, json.dumps(done.stderr)
    assert precious.read_text() == "precious" and precious.stat().st_mode & 0o777 == 0o666 & ~0o022
