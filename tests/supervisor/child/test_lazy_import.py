"""Modules that our processes don't need cost them nothing."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import supervisor, structlog, sys
structlog.get_logger()
print(sorted(one for one in ("asyncio.base_events", "rich.console", "pygments", "platform") if sys.modules.get(one)))
import asyncio
print(asyncio.run(asyncio.sleep(0, "works when it is needed")))
"""


def test_what_structlog_could_use_is_not_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "works when it is needed"]


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
