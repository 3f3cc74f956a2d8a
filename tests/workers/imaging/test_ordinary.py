"""Pictures are made with no more right to the processors than anybody else has, also by root."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from PIL import Image

from tests.instance import HOME
from workers.imaging import Ladder, Limits, render
from workers.imaging.ordinary import give_up_priority, is_ordinary

LIMITS = Limits(max_bytes=10_000_000, max_dimension=5_000, max_pixels=25_000_000)


def test_rendering_leaves_nobody_with_real_time_priority(tmp_path: Path) -> None:
    """Neither while it goes on nor afterwards: what is started later would have it as well."""
    Image.effect_noise((1200, 900), 40).convert("RGB").save(tmp_path / "original", "JPEG")
    seen, over = [], threading.Event()

    def watch() -> None:
        while not over.is_set():
            try:
                seen.append(is_ordinary())
            except OSError:  # a thread that has ended meanwhile
                continue

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        render(tmp_path / "original", tmp_path, LIMITS, Ladder((640, 1200), webp=False, avif=True), None)
    finally:
        over.set()
        watching.join()
    assert len(seen) > 3 and all(seen)
    assert is_ordinary() and os.sched_getscheduler(0) == os.SCHED_OTHER


def test_what_is_given_up_is_gone_for_this_process_only() -> None:
    code = (
        "import os, subprocess, sys; from workers.imaging.ordinary import give_up_priority; give_up_priority()\n"
        "try: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)); print('took it')\n"
        "except PermissionError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
    give_up_priority()
    give_up_priority()  # any number of times
