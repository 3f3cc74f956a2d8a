"""Modules that our processes don't need cost them nothing."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import supervisor, structlog, sys
structlog.get_logger()
print(sorted(one for one in ("asyncio.base_events", "rich.console", "pygments") if one in sys.modules))
import asyncio
print(asyncio.run(asyncio.sleep(0, "works when it is needed")))
"""


def test_what_structlog_could_use_is_not_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "works when it is needed"]
