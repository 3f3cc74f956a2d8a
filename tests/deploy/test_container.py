"""The container's files against each other and against the checkout: no Docker is needed to see that they fit."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from supervisor.settings import Settings, load
from tests.instance import HOME

DEPLOY = HOME / "deploy"
LINES = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()


def instructions(name: str) -> list[str]:
    return [line.removeprefix(f"{name} ") for line in LINES if line.startswith(f"{name} ")]


def copied() -> list[str]:
    return [path for line in instructions("COPY") for path in line.split()[:-1]]


def environ() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in instructions("ENV") for pair in line.split())


def test_everything_that_it_copies_is_there_and_not_ignored() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    for path in copied():
        assert (HOME / path).exists(), path
        assert any(path.rstrip("/") == one or path.startswith(f"{one}/") for one in allowed), path
    assert "*" in ignored
    for one in allowed:
        assert any(path.rstrip("/") == one or path.startswith(f"{one}/") for path in copied()), one


def test_what_it_copies_is_all_that_the_program_needs(tmp_path: Path) -> None:
    for path in copied():
        target = tmp_path / "opt" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (HOME / path).is_dir() else shutil.copy)(HOME / path, target)
    given = {
        **os.environ,
        **environ(),
        "PICTUREDESK__STATE_DIR": str(tmp_path / "state"),
        "PYTHONPATH": "",
        "PORT": "0",
    }
    for command in ("check", "schema"):
        done = subprocess.run(
            [sys.executable, "-m", "supervisor", command],
            cwd=tmp_path / "opt",
            env=given,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_it_listens_for_others_on_the_port_that_the_platform_names(tmp_path: Path) -> None:
    def loaded(**more: str) -> Settings:
        return load(None, {**environ(), **more}, HOME, HOME)

    assert (loaded().health.host, loaded().health.port) == ("0.0.0.0", 8080)
    assert loaded(PORT="4321").health.port == 4321
    assert str(loaded().state_dir) == instructions("VOLUME")[0]


def test_it_does_not_run_as_root_and_asks_whether_the_tree_lives() -> None:
    assert instructions("USER") == ["picturedesk"]
    assert "/live'" in instructions("HEALTHCHECK")[0] and "os.environ['PORT']" in instructions("HEALTHCHECK")[0]
    (entry,) = instructions("ENTRYPOINT")
    (program,) = json.loads(entry)
    assert program in copied() and os.access(HOME / program, os.X_OK)


def test_railway_builds_this_image_and_keeps_two_from_using_one_session() -> None:
    whole = json.loads((DEPLOY / "railway.json").read_text(encoding="utf-8"))
    assert (HOME / whole["build"]["dockerfilePath"]).is_file()
    deploy = whole["deploy"]
    assert deploy["healthcheckPath"] == "/live", "/health says no while Telegram is away, and so would the deployment"
    assert deploy["requiredMountPath"] == environ()["PICTUREDESK__STATE_DIR"]
    assert (deploy["numReplicas"], deploy["overlapSeconds"]) == (1, 0)
    assert deploy["drainingSeconds"] > Settings().supervisor.drain_seconds + 15


def test_it_runs_the_oldest_python_that_the_program_takes() -> None:
    (base,) = instructions("FROM")
    wanted = re.search(r'requires-python = ">=([0-9.]+)"', (HOME / "pyproject.toml").read_text(encoding="utf-8"))
    assert wanted and base.startswith(f"python:{wanted[1]}-slim")


def test_nodes_on_railway_are_replicas_without_a_volume() -> None:
    """Railway gives a volume to one replica only. A node needs none: what it has in hand goes to others."""
    whole = json.loads((DEPLOY / "railway.json").read_text(encoding="utf-8"))
    node = json.loads((DEPLOY / "railway-node.json").read_text(encoding="utf-8"))
    assert node["build"] == whole["build"]
    assert "requiredMountPath" not in node["deploy"] and node["deploy"]["numReplicas"] > 1
    assert node["deploy"]["healthcheckPath"] == "/live"
    assert node["deploy"]["drainingSeconds"] == whole["deploy"]["drainingSeconds"]
