"""Modules that our processes don't need cost them nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

CODE = """
import supervisor, sys
import structlog, dataclasses, linecache, traceback, urllib.parse, subprocess, shutil, pathlib
structlog.get_logger()
names = (
    "asyncio asyncio.base_events rich.console pygments platform uuid inspect ast dis tokenize textwrap ipaddress locale"
    " bz2 lzma ntpath"
).split()
print(sorted(one for one in names if getattr(sys.modules.get(one), "__spec__", None)))
import asyncio, platform, inspect, tokenize, textwrap, ipaddress, locale, bz2, lzma, ntpath
assert inspect.signature(textwrap.indent) and tokenize.open and ntpath.join("a", "b") and locale.getencoding()
assert lzma.decompress(lzma.compress(b"a")) == bz2.decompress(bz2.compress(b"a")) == b"a" and platform.system()
assert urllib.parse.urlsplit("http://[::1]:80/").port == 80 and ipaddress.ip_address("::1").is_loopback
print(asyncio.run(asyncio.sleep(0, "works when it is needed")))
"""


def test_what_libraries_could_use_is_not_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "works when it is needed"]


FIRST = """
import sys
from supervisor.child import bootstrap, runtime
"""

NEVER = {"rich", "pygments", "click", "multiprocessing", "tqdm", "segno", "apprise", "supabase", "boto3", "telethon"}
SERVICES = {"ssl", "http.client", "urllib.request", "email", "httpx", "requests"}

CHILDREN = {
    "health.server": (NEVER | {"prometheus_client", "http.client", "PIL", "psutil"}, "uvicorn.server"),
    "workers.uploader": (NEVER | SERVICES | {"inspect", "PIL", "psutil", "supervisor.settings"}, "sqlite3"),
    "workers.connection": (NEVER | SERVICES | {"inspect", "ijson", "PIL", "psutil", "supervisor.settings"}, "sqlite3"),
    "workers.pool": (NEVER | SERVICES | {"inspect", "PIL", "psutil", "supervisor.settings"}, "sqlite3"),
    "workers.image": (NEVER | SERVICES | {"sqlite3", "psutil", "supervisor.settings"}, "PIL"),
    "supervisor.root": (NEVER | SERVICES | {"inspect", "PIL", "supervisor.cli"}, "supervisor.settings"),
}
"""By what a process imports: what it must not load, and what it does load."""


@pytest.mark.parametrize("module", CHILDREN)
def test_a_process_loads_what_it_needs(module: str) -> None:
    """Of what libraries and rooms of ours could have it load besides: each costs milliseconds at each start."""
    unwanted, wanted = CHILDREN[module]
    assert loaded(FIRST + f"import {module}", {*unwanted, wanted}) == {wanted}


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        ("--version", {"supervisor.settings", "supervisor.cli.dispatch", "structlog", "sqlite3"}),
        ("reload", {"supervisor.root", "supervisor.cli.status", "structlog", "http.client", "psutil"}),
        ("status", {"supervisor.root", "supervisor.cli.why", "supervisor.cli.check", "structlog", "psutil", "tqdm"}),
    ],
)
def test_a_command_loads_no_other_one(arguments: str, unwanted: set[str], tmp_path: Path) -> None:
    code = f"""
import sys
from supervisor import cli
try:
    assert cli.main({arguments!r}.split(), None) == 1  # nothing runs here
except SystemExit as end:
    assert end.code == 0
"""
    more = {"PICTUREDESK__STATE_DIR": str(tmp_path)}
    assert loaded(code, {*unwanted, "supervisor.cli.parser"}, more) == {"supervisor.cli.parser"}


def loaded(code: str, names: set[str], more: Mapping[str, str] | None = None) -> set[str]:
    """Which of these modules a process has loaded after this code."""
    look = "\nprint(*(name for name, one in sys.modules.items() if getattr(one, '__spec__', None)))"
    environment = {**os.environ, **(more or {})}
    done = subprocess.run(
        [sys.executable, "-c", code + look], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return names & set(done.stdout.split())


EVERYBODY = """
import importlib, pkgutil, sys
import supervisor
for package in ("supervisor", "workers", "ipc", "health"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if not module.name.startswith(("supervisor.cli.status.screen", "supervisor.__main__")):
            importlib.import_module(module.name)
left_out = ("rich", "pygments", "markdown_it")
print(sorted(one for one, module in sys.modules.items() if module and one.split(".")[0] in left_out))
from supervisor.child import lazy_import
lazy_import.admit("rich")
import rich
print(rich.__name__)
"""


def test_no_process_of_the_tree_loads_rich_whatever_else_it_imports() -> None:
    """With every module of the program, and so every library that any process loads."""
    done = subprocess.run([sys.executable, "-c", EVERYBODY], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[]", "rich"], done.stderr


def test_no_module_but_that_of_the_screen_imports_the_screen() -> None:
    """The commands' table is loaded by the root too; the screen only by `status` on a terminal."""
    code = "import sys; from supervisor import cli, root; from supervisor.cli import status; print(sys.modules['rich'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None"]
