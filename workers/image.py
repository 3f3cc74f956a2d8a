"""An image worker: one picture at a time, from its workplace into its workplace.

It opens no journal and no connection, and its options hold no secret. It is sealed before it opens a picture (see
`supervisor.child.sandbox`): a decoder that a picture has taken over has its workplace, and nothing else of ours.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from ipc import failpoints
from ipc.files.workplace import Workplace
from ipc.process.options import reading_options
from ipc.transport.context import Context
from ipc.transport.messages import JobDone, JobFailed, RenderRequest, clip
from workers.rendering import imaging
from workers.rendering.renderer import kept_bytes, render
from workers.rendering.rlimits import set_hard_limits

POLL_SECONDS = 5.0
"""How often an idle worker shows that it lives."""

QUIET_SECONDS = 0.25
"""How long a new worker waits for a job before it warms up, which takes about as long."""

IDLE_SECONDS = 1.0
"""How long after a job a worker that gets no other one gives back the memory that it held for it."""

log = structlog.get_logger()


def main(context: Context) -> None:
    """Render jobs until asked to stop. Options: `limits`, `ladder` (see `workers.rendering.imaging`), `strip`,
    `gc_every`, `spool`, `largest_cap_bytes` (of any job; 0: no cap).
    """
    options = context.options
    with reading_options():
        own, gc_every = terms_of(options), int(options["gc_every"])
        place = workplace_of(context)
        set_hard_limits(int(options["largest_cap_bytes"]))
    context.ready()
    jobs, trimmed, is_warm = 0, True, False
    while not context.stopping:
        idle_seconds = POLL_SECONDS if trimmed else IDLE_SECONDS
        message = context.receive(idle_seconds if is_warm else QUIET_SECONDS)
        if isinstance(message, RenderRequest):
            failpoints.reach("rendered.started")
            context.send(render_by(message, place, own))
            jobs, trimmed, is_warm = jobs + 1, False, True
            if jobs % gc_every == 0:
                gc.collect()  # between two jobs, where no job waits for it
        elif not is_warm:
            warm_up()  # nothing to do yet: spare the first picture what the libraries do at their first use
            is_warm = True
        elif not trimmed:
            imaging.trim()  # nothing to do: give back what the next job would have used again
            trimmed = True


@dataclass(frozen=True, slots=True)
class RenderingTerms:
    """How a picture is rendered, and whether its original is stripped."""

    limits: imaging.Limits
    ladder: imaging.Ladder
    strip: bool


def terms_of(options: Mapping[str, Any]) -> RenderingTerms:
    """The worker's own, of its options, or those of a request. Raises what a wrong or unknown option raises."""
    ladder = imaging.Ladder(**{**options["ladder"], "widths": tuple(options["ladder"]["widths"])})
    return RenderingTerms(imaging.Limits(**options["limits"]), ladder, bool(options["strip"]))


def render_by(request: RenderRequest, place: Workplace, own: RenderingTerms) -> JobDone | JobFailed:
    """Do a job by its own terms if it has some. Those that this version can't read are no verdict on the picture."""
    try:
        terms = terms_of(request.terms) if request.terms else own
    except (LookupError, TypeError, ValueError) as error:
        reason = f"its origin wants it rendered by what this version does not know: {error}"
        return JobFailed(request.job_id, request.generation, kept_bytes(), "passing", clip(reason))
    return render(request, place, terms.limits, terms.ladder, strip=terms.strip)


def workplace_of(context: Context) -> Workplace:
    return Workplace(Path(context.options["spool"]), context.name)


def make_workplace(context: Context) -> tuple[list[Path], list[Path]]:
    """Make the worker's folders; what it may read, and what it may write into."""
    place = workplace_of(context)
    place.make()
    place.clear()  # of what the worker before has left
    return [place.readable], [place.writable]


def warm_up() -> None:
    """A codec that fails here is no reason to end: the pictures that need it say so, and others go on."""
    try:
        imaging.warm_up()
    except Exception:
        log.exception("warm_up.failed")
