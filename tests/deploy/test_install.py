"""deploy/install, for real but below a folder: what it puts where, twice, and what it does with an edited file.

The program is a stand-in whose `check` says what it was given; the environment lists nothing, so no network is needed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.instance import HOME

PROGRAM = """
import os, sys
from pathlib import Path
folder = Path(os.environ["CREDENTIALS_DIRECTORY"])
print("ran", *sys.argv[1:], os.environ["PICTUREDESK_CONFIG"])
print(*(f"{one.name}={one.read_text()}" for one in folder.iterdir()))
print("lent", folder)
print("in", os.environ["PICTUREDESK__STATE_DIR"], "from", os.environ["PICTUREDESK__EXPORT__PATH"])
sys.exit(78 if (folder / "bad").exists() else 0)
"""


class Machine:
    """A checkout, and the root of the machine that it is installed on."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.root = folder / "check out", folder / "root"
        self.opt, self.etc = self.root / "opt/picturedesk", self.root / "etc/picturedesk"
        for name in ("bin", "deploy", "docs"):
            shutil.copytree(HOME / name, self.checkout / name)
        for name in ("config.toml", "README.md", "CHANGELOG.md", "LICENSE"):
            shutil.copy(HOME / name, self.checkout / name)
        for name in ("examples", "health", "ipc", "supervisor", "workers"):
            (self.checkout / name).mkdir()
        (self.checkout / "supervisor/__main__.py").write_text(PROGRAM)
        (self.checkout / "requirements.lock").write_text("# nothing\n")

    def install(self, *words: str) -> subprocess.CompletedProcess[str]:
        environ = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [self.checkout / "deploy/install", *(words or ("--root", str(self.root)))],
            env=environ | {"PYTHON": sys.executable},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def files(self) -> dict[str, bytes]:
        """Everything that is installed, but for the environment and what Python has compiled."""
        return {
            str(path.relative_to(self.root)): os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if (path.is_symlink() or path.is_file()) and not {".venv", "__pycache__"} & set(path.parts)
        }


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def equipped(machine: Machine) -> Machine:
    """One on which the environment stands already: the real one takes seconds to make, and is for the first test."""
    venv = machine.opt / ".venv"
    subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", venv], check=True)
    digest = hashlib.sha256((machine.checkout / "requirements.lock").read_bytes()).hexdigest()
    (venv / "picturedesk.stamp").write_text(f"{digest} of the test\n")
    return machine


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_is_put_into_place_and_a_second_time_changes_nothing(machine: Machine) -> None:
    done = machine.install()
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ran check {machine.etc}/config.toml" in done.stdout
    assert mode(machine.etc / "credentials") == 0o700 and mode(machine.root / "var/lib/picturedesk") == 0o700
    assert mode(machine.etc / "config.toml") == 0o640
    text = (machine.etc / "config.toml").read_text(encoding="utf-8")
    assert 'state_dir = "/var/lib/picturedesk"\n' in text and 'path = "/opt/picturedesk/examples/export"\n' in text
    unit = machine.root / "etc/systemd/system/picturedesk.service"
    assert unit.read_bytes() == (HOME / "deploy/picturedesk.service").read_bytes()
    assert (machine.root / "etc/systemd/system/multi-user.target.wants/picturedesk.service").is_symlink()
    first = machine.files()
    again = machine.install()
    assert again.returncode == 0, again.stdout + again.stderr
    assert machine.files() == first
    assert "setting up" not in again.stderr
    assert not [path.name for path in machine.opt.iterdir() if path.name in (".new", ".old")]


def test_what_the_configuration_names_is_looked_for_below_the_folder(equipped: Machine) -> None:
    """The check makes state_dir: on the machine that the folder is for, not on this one."""
    default = f"in {equipped.root}/var/lib/picturedesk from {equipped.opt}/examples/export\n"
    assert default in equipped.install().stdout
    config = equipped.etc / "config.toml"
    config.write_text('state_dir = "/srv/desk"  # mine\n[export]\npath = "/srv/an export"\n')
    assert f"in {equipped.root}/srv/desk from {equipped.root}/srv/an export\n" in equipped.install().stdout
    config.write_text("# mine\n")
    assert default in equipped.install().stdout


def test_an_upgrade_replaces_the_program_and_an_unedited_configuration(equipped: Machine) -> None:
    equipped.install()
    (equipped.checkout / "ipc/new.py").write_text("")
    (equipped.checkout / "docs/architecture.md").unlink()
    config = equipped.checkout / "config.toml"
    config.write_text(config.read_text(encoding="utf-8") + "# new\n", encoding="utf-8")
    assert equipped.install().returncode == 0
    assert (equipped.opt / "ipc/new.py").exists() and not (equipped.opt / "docs/architecture.md").exists()
    assert (equipped.etc / "config.toml").read_text(encoding="utf-8").endswith("# new\n")


def test_an_edited_configuration_stays(equipped: Machine) -> None:
    equipped.install()
    (equipped.etc / "config.toml").write_text("# mine\n")
    assert equipped.install().returncode == 0
    config = equipped.checkout / "config.toml"
    config.write_text(config.read_text(encoding="utf-8") + "# new\n", encoding="utf-8")
    done = equipped.install()
    assert "has been edited and stays as it is" in done.stdout
    assert (equipped.etc / "config.toml").read_text() == "# mine\n"
    assert (equipped.etc / "config.toml.default").read_text(encoding="utf-8").endswith("# new\n")


def test_the_check_gets_the_credentials_and_no_copy_of_them_stays(equipped: Machine) -> None:
    equipped.install()
    (equipped.etc / "credentials/telegram.api_hash").write_text("s3cret")
    done = equipped.install()
    assert "telegram.api_hash=s3cret" in done.stdout
    (lent,) = [line.removeprefix("lent ") for line in done.stdout.splitlines() if line.startswith("lent ")]
    assert not Path(lent).exists()


def test_nothing_is_enabled_when_the_check_fails(equipped: Machine) -> None:
    (equipped.etc / "credentials").mkdir(parents=True)
    (equipped.etc / "credentials/bad").write_text("")
    done = equipped.install()
    assert done.returncode == 1
    assert "NOT started" in done.stdout and "systemctl enable --now picturedesk" in done.stdout
    assert not (equipped.root / "etc/systemd/system/multi-user.target.wants").exists()


NODE = {"machines.role": "node", "machines.join": "the-join", "catalog.key": "the=key"}


def node_file(machine: Machine, *lines: str) -> str:
    file = machine.checkout / "node.env"
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def test_a_node_gets_its_three_settings_from_a_file_and_keeps_them(equipped: Machine) -> None:
    lines = (
        "# mine",
        "PICTUREDESK__MACHINES__JOIN=the-join\r",
        'export PICTUREDESK__CATALOG__KEY="the=key"    # of the role picturedesk_node',
        "PICTUREDESK__POOL__WORKERS=3",
    )
    words = ("--root", str(equipped.root), "--node")
    first = equipped.install(*words, node_file(equipped, *lines))
    assert first.returncode == 0 and "PICTUREDESK__POOL__WORKERS is passed over" in first.stdout
    assert first.stdout.count("is passed over") == 1
    folder = equipped.etc / "credentials"
    assert {one.name: one.read_text() for one in folder.iterdir()} == NODE
    assert {mode(one) for one in folder.iterdir()} == {0o600}
    again = equipped.install(*words)
    assert again.returncode == 0 and "machines.role=node" in again.stdout, again.stderr
    assert {one.name: one.read_text() for one in folder.iterdir()} == NODE
    later = node_file(equipped, "PICTUREDESK__CATALOG__KEY=another")
    assert equipped.install("--node", later, "--root", str(equipped.root)).returncode == 0
    assert {one.name: one.read_text() for one in folder.iterdir()} == {**NODE, "catalog.key": "another"}


def test_a_node_without_its_settings_is_not_made(equipped: Machine) -> None:
    done = equipped.install("--root", str(equipped.root), "--node")
    assert done.returncode != 0 and "machines.join is missing" in done.stderr and "--node FILE" in done.stderr
    half = node_file(equipped, "PICTUREDESK__MACHINES__JOIN=the-join")
    done = equipped.install("--root", str(equipped.root), "--node", half)
    assert done.returncode != 0 and "catalog.key is missing" in done.stderr
    assert "the-join" not in done.stdout + done.stderr
    assert not (equipped.root / "etc/systemd/system/multi-user.target.wants").exists()
    for no_file in ("nothing", "docs"):
        assert equipped.install("--node", str(equipped.checkout / no_file)).returncode == 2


@pytest.mark.parametrize(("words", "code"), [(("--help",), 0), (("--rot", "x"), 2), (("--root",), 2)])
def test_its_words(machine: Machine, words: tuple[str, ...], code: int) -> None:
    done = machine.install(*words)
    assert done.returncode == code
    assert ("--root DIR" in done.stdout) == (code == 0)
    assert not machine.root.exists()


def test_what_is_no_whole_checkout_is_refused(machine: Machine) -> None:
    shutil.rmtree(machine.checkout / "workers")
    done = machine.install()
    assert done.returncode == 1 and "workers is missing" in done.stderr
