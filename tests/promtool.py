"""Prometheus' own judge of metrics and rules, which bin/test fetches."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PATH = os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ.get("PATH", "")])


def promtool(*words: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run it with `given` on its standard input."""
    program = shutil.which("promtool", path=PATH)
    assert program, "promtool is missing: bin/test fetches it"
    return subprocess.run([program, *words], input=given, capture_output=True, text=True, timeout=60, check=False)
