"""The systemd unit, as systemd itself reads it: without a fault, and hardened."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ipc.process.holds import EX_CONFIG
from supervisor.settings import Settings
from tests.instance import HOME

UNIT = HOME / "deploy" / "picturedesk.service"
MOST_EXPOSURE = 1.5


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *words, "--no-pager"], capture_output=True, text=True, timeout=60, check=False
    )


def value(key: str) -> str:
    (line,) = [line for line in UNIT.read_text(encoding="utf-8").splitlines() if line.startswith(f"{key}=")]
    return line.partition("=")[2]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The unit with the program where it is on this machine, so that it is found."""
    text = UNIT.read_text(encoding="utf-8")
    assert text.count("/opt/picturedesk/bin/run") == 1
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/opt/picturedesk/bin/run", str(HOME / "bin" / "run")), encoding="utf-8")
    return unit


def test_systemd_finds_no_fault(here: Path) -> None:
    done = analyze("verify", "--man=no", "--recursive-errors=no", str(here))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_fault_would_be_found(here: Path) -> None:
    here.write_text(here.read_text(encoding="utf-8").replace("KillMode=mixed", "KillMode=mixd"), encoding="utf-8")
    assert "mixd" in analyze("verify", "--man=no", "--recursive-errors=no", str(here)).stderr


def test_the_exposure_is_low() -> None:
    done = analyze("security", "--offline=true", f"--threshold={round(MOST_EXPOSURE * 10)}", str(UNIT))
    assert done.returncode == 0, done.stdout
    found = re.search(r"Overall exposure level for picturedesk.service: ([0-9.]+)", done.stdout)
    assert found and float(found[1]) <= MOST_EXPOSURE


def test_what_the_unit_and_the_program_say_to_each_other() -> None:
    defaults = Settings()
    assert value("Type") == "notify"
    assert value("MemoryMax") == "85%" and value("MemorySwapMax") == "0"
    assert "ProtectControlGroups" not in {line.partition("=")[0] for line in UNIT.read_text().splitlines()}
    assert value("KillMode") == "mixed" and value("OOMPolicy") == "continue" and value("Delegate") == "memory"
    assert int(value("TimeoutStopSec")) > defaults.supervisor.drain_seconds + 15
    assert value("RestartPreventExitStatus") == str(EX_CONFIG)
    assert value("LoadCredential") == "picturedesk:/etc/picturedesk/credentials"
