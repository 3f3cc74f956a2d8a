"""Options that a child of the tree cannot use: it is held with a remedy, instead of dying of them again and again."""

from __future__ import annotations

import doctest
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipc.process import options as options_module
from ipc.process.holds import Hold
from supervisor.child.runtime import resolve
from supervisor.processes.spec import ChildSpec
from supervisor.settings import load
from supervisor.start import Start
from supervisor.tree import children, image_worker
from tests.workers.desk import Desk


def spec_of(child: str, tmp_path: Path, listen_fd: int) -> ChildSpec:
    account = {"PICTUREDESK__TELEGRAM__API_ID": "7", "PICTUREDESK__TELEGRAM__API_HASH": "f" * 32}
    given = {**account, "PICTUREDESK__TELEGRAM__CHANNELS": "@newsdesk"} if child == "telegram" else {}
    settings = load(None, given, tmp_path, tmp_path)
    if child == "image":
        return image_worker(settings)
    name = "connection" if child in ("telegram", "export") else child
    return next(one for one in children(settings, listen_fd, Start.now()) if one.name == name)


@pytest.mark.parametrize(
    ("child", "spoilt", "said"),
    [
        ("health", {"token": ...}, "there is no 'token'"),
        ("uploader", {"storage": ...}, "there is no 'storage'"),
        ("uploader", {"retry": {"max_attempts": 3}}, "base_seconds"),
        ("uploader", {"breaker": ...}, "there is no 'breaker'"),
        ("pool", {"router": "workers.pool:Nobody"}, "Nobody"),
        ("pool", {"job_seconds": ...}, "there is no 'job_seconds'"),
        ("pool", {"children": [{"name": "image", "inherit_fds": [], "target": "x:y", "colour": "red"}]}, "colour"),
        ("image", {"limits": {"max_bytes": 1}}, "max_dimension"),
        ("image", {"gc_every": ...}, "there is no 'gc_every'"),
        ("export", {"telegram": ...}, "there is no 'telegram'"),
        ("export", {"backpressure": {}}, "there is no 'spool_max_bytes'"),
        ("telegram", {"channels": ["@newsdesk", "@@"]}, "'@@' names no channel"),
        ("telegram", {"server": "nonsense"}, "invalid literal"),
        ("telegram", {"downloads": ...}, "there is no 'downloads'"),
    ],
)
def test_it_is_held(desk: Desk, tmp_path: Path, child: str, spoilt: dict[str, Any], said: str) -> None:
    with socket.socket() as listener:
        spec = spec_of(child, tmp_path, listener.fileno())
        options: dict[str, Any] = {**spec.options, "state_dir": str(desk.state_dir)}
        inner = options["telegram"] if child == "telegram" else options
        for name, value in spoilt.items():
            inner[name] = value
            if value is ...:
                del inner[name]
        context = replace(desk.context(), options=options)
        with pytest.raises(Hold) as held:
            resolve(spec.target)(context)
    assert said in held.value.what and "bin/run reload" in held.value.remedy


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(options_module).failed == 0
