"""One job of an image worker: the pool's message in, the worker's answer out, whatever the picture does."""

from __future__ import annotations

from pathlib import Path

import structlog

from ipc import failpoints
from ipc.files.spool import ORIGINAL, STRIPPED, has_no_room
from ipc.files.workplace import Workplace
from ipc.kernel import proc
from ipc.transport.messages import NOT_STRIPPED, JobDone, JobFailed, RenderRequest, clip
from workers import stripping
from workers.rendering import imaging
from workers.rendering.rlimits import set_memory_cap, set_time_limit

TRIM_BYTES = 160 * 1024 * 1024
"""A worker that holds on to more than this after a job gives it back at once; one that holds less, when it is idle.
Giving back after every job costs 12 % of the whole: the next job faults every page in again."""

FALLBACK_BYTES = 300
"""Longest reason for another encoder in place of the first, in bytes."""

log = structlog.get_logger()


def render(
    job: RenderRequest, place: Workplace, limits: imaging.Limits, ladder: imaging.Ladder, *, strip: bool = False
) -> JobDone | JobFailed:
    """Do one job in the workplace, under its memory cap; the answer to the pool. Never raises for what a picture does.

    `strip`: its original will be published without metadata.
    """
    set_memory_cap(job.cap_bytes)
    set_time_limit(job.cpu_seconds)
    seconds = imaging.seconds_for(job.cpu_seconds)
    original, out = place.readable / ORIGINAL, place.writable
    try:
        rendered = imaging.render(original, out, limits, ladder, job.cap_bytes or None, job.threads, seconds)
        stripped_bytes = strip_original(original, out, rendered.extension, job.job_id) if strip else NOT_STRIPPED
    except Exception as error:
        return _failed(job, error)
    failpoints.reach("rendered.written")
    recipe = imaging.current_recipe(ladder.preset, rendered.fallbacks, animations=ladder.animations)
    return _done(job, rendered, stripped_bytes, recipe)


def _done(job: RenderRequest, rendered: imaging.Rendered, stripped_bytes: int, recipe: str) -> JobDone:
    fallbacks = dict(rendered.fallbacks)
    if stilled := fallbacks.pop("animation", "") or fallbacks.get("animation encoder", ""):
        log.warning("animation.stilled", job=job.job_id, why=clip(stilled, FALLBACK_BYTES))
    why = clip(next(iter(fallbacks.values()), ""), FALLBACK_BYTES)
    if fallbacks:
        log.warning("encoder.replaced", job=job.job_id, renditions=len(fallbacks), why=why)
    return JobDone(
        job.job_id,
        job.generation,
        kept_bytes(),
        rendered.mime,
        rendered.extension,
        rendered.width,
        rendered.height,
        [[one.width, one.height, one.format, one.bytes] for one in rendered.renditions],
        len(fallbacks),
        why,
        stripped_bytes,
        recipe,
        rendered.appearance.packed(),
        rendered.preview_bytes,
    )


def _failed(job: RenderRequest, error: Exception) -> JobFailed:
    """The answer for an error, from its `except` clause."""
    verdict, reason = verdict_on(error)
    codec = ""
    if isinstance(error, imaging.CodecFault):
        codec = error.codec
        log.exception("codec.failed", job=job.job_id, codec=codec, broken=error.broken)
    elif verdict == "passing":
        log.exception("rendering.crashed", job=job.job_id)
    return JobFailed(job.job_id, job.generation, kept_bytes(), verdict, clip(reason), codec)


def verdict_on(error: Exception) -> tuple[str, str]:
    """Verdict and reason of the answer (see `JobFailed`) where rendering raised this."""
    match error:
        case imaging.BadPicture():
            return "bad", str(error)
        case imaging.CodecFault():
            return "broken" if error.broken else "passing", str(error)
        case imaging.OutOfMemory() | MemoryError():
            return "memory", str(error) or "no memory left"
        case FileNotFoundError():
            return "missing", str(error)
        case OSError() if has_no_room(error):
            return "machine", str(error.strerror)
    return "passing", f"{type(error).__name__}: {error}"


def strip_original(original: Path, out: Path, extension: str, job_id: int) -> int:
    """Write the original without metadata into `out`; its size in bytes, 0 if it can't be stripped.

    A fault of our own costs the picture its original, not its renditions.
    """
    try:
        return stripping.write_stripped(original, out / STRIPPED, extension)
    except stripping.Unstrippable as error:
        log.warning("stripping.refused", job=job_id, why=str(error))
    except stripping.StripperFault:
        log.exception("stripping.failed", job=job_id)
    return 0


def kept_bytes() -> int:
    """What the process holds on to after a job, in bytes; much of it is given back first."""
    if proc.rss_bytes() > TRIM_BYTES:
        imaging.trim()
    return proc.rss_bytes()
