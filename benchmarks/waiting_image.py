"""A tree whose image workers wait instead of rendering: `python -m benchmarks.waiting_image start …`, as `supervisor`.

For `benchmarks/machines`, which asks how a number of machines gets on, on fewer processors than they would have. Each
worker really renders its first picture, keeps what came of it, and answers with that from then on, `WAIT_SECONDS` after
it was asked. So files, objects, rows and answers are what they always are; only the processor time is missing.
"""

from __future__ import annotations

import runpy
import time
from dataclasses import replace
from unittest import mock

from ipc.files.workplace import Workplace
from ipc.process.options import reading_options
from ipc.transport.context import Context
from ipc.transport.messages import JobDone, JobFailed, RenderRequest
from supervisor import tree
from supervisor.processes.spec import ChildSpec
from supervisor.settings import Settings
from workers.image import POLL_SECONDS, render_by, terms_of, workplace_of

WAIT_SECONDS = 2.0
"""From request to answer."""


def worker(context: Context) -> None:
    """Answer requests until asked to stop. Options: as those of `workers.image:main`."""
    with reading_options():
        own, place = terms_of(context.options), workplace_of(context)
    context.ready()
    kept: tuple[JobDone, dict[str, bytes]] | None = None
    while not context.stopping:
        request = context.receive(POLL_SECONDS)
        if not isinstance(request, RenderRequest):
            continue
        began = time.monotonic()
        if kept is None:
            answer = render_by(request, place, own)
            kept = _kept(answer, place)
        else:
            answer = _again(request, place, *kept)
        time.sleep(max(0.0, began + WAIT_SECONDS - time.monotonic()))
        context.send(answer)


def _kept(answer: JobDone | JobFailed, place: Workplace) -> tuple[JobDone, dict[str, bytes]] | None:
    if not isinstance(answer, JobDone):
        return None
    return answer, {file.name: file.read_bytes() for file in place.writable.iterdir()}


def _again(request: RenderRequest, place: Workplace, answer: JobDone, files: dict[str, bytes]) -> JobDone:
    for name, data in files.items():
        (place.writable / name).write_bytes(data)
    return replace(answer, job_id=request.job_id, generation=request.generation)


_image_worker = tree.image_worker


def _waiting_worker(settings: Settings) -> ChildSpec:
    return replace(_image_worker(settings), target="benchmarks.waiting_image:worker")


if __name__ == "__main__":
    with mock.patch.object(tree, "image_worker", _waiting_worker):
        runpy.run_module("supervisor", run_name="__main__", alter_sys=True)
