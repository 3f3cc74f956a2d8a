"""One image worker alone, sealed as in the tree, through many mixed jobs: how much memory it holds as it grows old."""

from __future__ import annotations

import io
import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from PIL import ImageCms

from ipc.files.workplace import Workplace
from ipc.kernel import proc
from ipc.transport.messages import JobDone, JobFailed, Message, Ready, RenderRequest
from supervisor.processes.process import Process, spawn
from supervisor.resources import memory
from supervisor.settings import Settings
from supervisor.tree import image_worker
from tests.chaos import hostile

CAP_BYTES = 600 * memory.MIB
JOB_SECONDS = 60.0
IDLE_SECONDS = 2.0
"""After a second without a job a worker gives back what it can."""

SIDES = ((160, 120), (800, 600), (1600, 1200), (2400, 1800))
MODES = {
    "JPEG": ("RGB", "L", "CMYK"),
    "PNG": ("RGBA", "P", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("P",),
    "AVIF": ("RGB",),
}


class LostWorker(Exception):
    """The worker died, or did not answer."""


class Worker:
    """A sealed image worker with the default settings but for a shorter ladder."""

    def __init__(self, process: Process, place: Workplace) -> None:
        self.process = process
        self._place = place
        self._jobs = 0

    def render(self, picture: Path) -> JobDone | JobFailed:
        """Give it the picture; its answer. Raises LostWorker."""
        self._jobs += 1
        self._place.lend(picture)
        self.process.outbox.send(RenderRequest(self._jobs, 1, CAP_BYTES, JOB_SECONDS))
        answer = self.next(JobDone, JobFailed)
        assert isinstance(answer, JobDone | JobFailed)
        return answer

    def next(self, *kinds: type[Message]) -> Message:
        """What it says next that is of one of these types."""
        until = time.monotonic() + 2 * JOB_SECONDS
        while time.monotonic() < until:
            message = self.process.inbox.receive()
            if isinstance(message, kinds):
                return message
            if message is None:
                time.sleep(0.002)
                if self.process.has_ended():
                    raise LostWorker(f"exit code {self.process.popen.returncode}")
        raise LostWorker("no answer")

    def idle_rss_bytes(self) -> int:
        """What it holds when it has had nothing to do for a while."""
        time.sleep(IDLE_SECONDS)
        return proc.rss_bytes(self.process.pid)


@contextmanager
def worker(folder: Path, target: str = "") -> Iterator[Worker]:
    """One that lives as long as the block. `target`: what it runs instead, as sealed as an image worker."""
    spec = replace(image_worker(Settings()), name="image-1")
    options = {
        **spec.options,
        "spool": str(folder / "spool"),
        "ladder": {**spec.options["ladder"], "widths": [160, 640]},
    }
    (folder / "spool").mkdir()
    liveness, held = os.pipe()
    process = spawn(
        replace(spec, options=options, target=target or spec.target), 1, liveness, {"level": "error", "format": "json"}
    )
    try:
        one = Worker(process, Workplace(folder / "spool", "image-1"))
        one.next(Ready)
        yield one
    finally:
        process.popen.kill()
        process.popen.wait()
        process.close()
        for fd in (liveness, held):
            os.close(fd)
        shutil.rmtree(folder / "spool")


def make_mixture(folder: Path, seed: int, count: int) -> list[Path]:
    """That many files: good pictures of all formats, modes and sizes, and as many that are broken or mean harm."""
    dice = random.Random(seed)
    good = [_saved(dice, form, mode, sides) for form, modes in MODES.items() for mode in modes for sides in SIDES]
    bad = [one.data for one in hostile.make(seed, 300) if one.data]
    made = []
    for number in range(count):
        path = folder / f"{number:05d}"
        path.write_bytes(dice.choice(bad if number % 2 else good))
        made.append(path)
    return made


def _saved(dice: random.Random, form: str, mode: str, sides: tuple[int, int]) -> bytes:
    picture = hostile.noisy(dice, sides)
    picture = picture.convert("L").convert(mode) if mode == "I;16" else picture.convert(mode)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    more = {"icc_profile": profile} if mode in ("RGB", "RGBA") and form != "GIF" else {}
    buffer = io.BytesIO()
    picture.save(buffer, form, **more)
    return buffer.getvalue()
