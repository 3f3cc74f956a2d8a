"""An image worker: one picture at a time, from the spool into the spool. It opens no journal and no connection, and its
options hold no secret. What a decoder that a picture has taken over may do is what the program's user may: nothing
keeps it from the network or from that user's files yet.
"""

from __future__ import annotations

import contextlib
import gc
import math
import resource
import time
from pathlib import Path

import structlog

from ipc import failpoints
from ipc.files.spool import ORIGINAL, STRIPPED, has_no_room
from ipc.options import reading_options
from ipc.transport.context import Context
from ipc.transport.messages import NOT_STRIPPED, Job, JobDone, JobFailed, clip
from workers import stripping
from workers.rendering import imaging

POLL_SECONDS = 5.0
"""How often one that has nothing to do shows that it could."""

QUIET_SECONDS = 0.25
"""A new worker that gets no job for so long has the time to warm up, which takes about as long."""

IDLE_SECONDS = 1.0
"""One that gets no other job for so long after one gives back the memory that it held for the next."""

TRIM_BYTES = 160 * 1024 * 1024
"""A worker that holds on to more than this after a job gives it back at once; one that holds less, when it is idle.
Giving back after every job costs 12 % of the whole: the next job faults every page in again."""

CPU_MARGIN_SECONDS = 5.0
"""What the pool needs to see that a job takes too long, and to end its worker in good order."""

log = structlog.get_logger()


def main(context: Context) -> None:
    """Render jobs until asked to stop. Options: `limits`, `ladder` (see `workers.rendering.imaging`), `strip`,
    `gc_every`.
    """
    options = context.options
    with reading_options():
        limits = imaging.Limits(**options["limits"])
        ladder = imaging.Ladder(**{**options["ladder"], "widths": tuple(options["ladder"]["widths"])})
        strip, gc_every = bool(options["strip"]), int(options["gc_every"])
    be_first_to_go()
    context.ready()
    jobs, trimmed, is_warm = 0, True, False
    while not context.stopping:
        idle_seconds = POLL_SECONDS if trimmed else IDLE_SECONDS
        message = context.receive(idle_seconds if is_warm else QUIET_SECONDS)
        if isinstance(message, Job):
            failpoints.reach("rendered.started")
            context.send(render(message, limits, ladder, strip=strip))
            jobs, trimmed, is_warm = jobs + 1, False, True
            if jobs % gc_every == 0:
                gc.collect()  # between two jobs, where it keeps nobody waiting
        elif not is_warm:
            warm_up()  # nothing to do yet: spare the first picture what the libraries do at their first use
            is_warm = True
        elif not trimmed:
            imaging.trim()  # nothing to do: give back what the next job would have used again
            trimmed = True


def warm_up() -> None:
    """A codec that fails here is no reason to end: pictures that need it tell of it, and others go on."""
    try:
        imaging.warm_up()
    except Exception:
        log.exception("warming up failed")


def render(job: Job, limits: imaging.Limits, ladder: imaging.Ladder, *, strip: bool = False) -> JobDone | JobFailed:
    """Do one job under its memory cap; what to tell the pool. Never raises for what a picture does.

    `strip`: its original will be published without metadata.
    """
    set_memory_cap(job.cap_bytes)
    set_time_limit(job.cpu_seconds)
    folder = Path(job.folder)
    codec = ""
    try:
        done = imaging.render(folder / ORIGINAL, folder, limits, ladder, job.cap_bytes or None)
        stripped_bytes = strip_original(folder, done.extension, job.job_id) if strip else NOT_STRIPPED
    except imaging.BadPicture as error:
        verdict, reason = "bad", str(error)
    except imaging.CodecFault as error:
        log.exception("codec failed", job=job.job_id, codec=error.codec, broken=error.broken)
        verdict, reason, codec = "broken" if error.broken else "passing", str(error), error.codec
    except (imaging.OutOfMemory, MemoryError) as error:
        verdict, reason = "memory", str(error) or "no memory left"
    except FileNotFoundError as error:
        verdict, reason = "missing", str(error)
    except Exception as error:
        if isinstance(error, OSError) and has_no_room(error):
            return JobFailed(job.job_id, job.generation, kept_bytes(), "machine", str(error.strerror))
        log.exception("rendering failed", job=job.job_id)
        verdict, reason = "passing", f"{type(error).__name__}: {error}"
    else:
        failpoints.reach("rendered.written")
        sizes = [[one.width, one.height, one.format, one.bytes] for one in done.renditions]
        if done.fallbacks:
            log.warning("an encoder fell back", job=job.job_id, renditions=len(done.fallbacks), why=done.fallbacks[0])
        return JobDone(
            job.job_id,
            job.generation,
            kept_bytes(),
            done.mime,
            done.extension,
            done.width,
            done.height,
            sizes,
            len(done.fallbacks),
            clip(done.fallbacks[0], 300) if done.fallbacks else "",
            stripped_bytes,
        )
    return JobFailed(job.job_id, job.generation, kept_bytes(), verdict, clip(reason), codec)


def strip_original(folder: Path, extension: str, job_id: int) -> int:
    """Write the original without metadata beside it; its size in bytes, 0 if it can't be stripped.

    A fault of our own costs the picture its original, not its renditions.
    """
    try:
        return stripping.write_stripped(folder / ORIGINAL, folder / STRIPPED, extension)
    except stripping.Unstrippable as reason:
        log.warning("the original can't be stripped, it will not be published", job=job_id, reason=str(reason))
    except stripping.StripperFault:
        log.exception("stripping failed, the original will not be published", job=job_id)
    return 0


def set_memory_cap(cap_bytes: int) -> None:
    """Cap what this process may allocate (RLIMIT_DATA; 0: no cap).

    Not RLIMIT_AS: the AV1 encoder reserves far more address space than it uses. The soft limit only, so that the next
    job may have another cap.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = cap_bytes or resource.RLIM_INFINITY
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard) if cap_bytes else hard
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def set_time_limit(cpu_seconds: float) -> None:
    """Have the kernel end this process (SIGXCPU) when it uses so much processor time from now on (0: no limit).

    A backstop: the pool looks at the time itself, and has the stacks shown first. The soft limit only, so that the next
    job may have its own time.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = resource.RLIM_INFINITY
    if cpu_seconds:
        soft = math.ceil(time.process_time() + cpu_seconds + CPU_MARGIN_SECONDS)
    if hard != resource.RLIM_INFINITY:
        soft = hard if soft == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def kept_bytes() -> int:
    """What the process holds on to after a job, in bytes; a great deal of it is given back first."""
    if rss_bytes() > TRIM_BYTES:
        imaging.trim()
    return rss_bytes()


def rss_bytes() -> int:
    """This process' resident memory now, in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def be_first_to_go() -> None:
    """Should the machine run out of memory, the kernel takes an image worker and not its supervisor. No core files."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
