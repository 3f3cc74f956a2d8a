"""What an answer of an image worker, or its death, means for its job. Pure functions: facts in, a verdict out.

A picture that costs `poison_after` workers their life is poison. Want of memory is no verdict on it: its next try is
alone and under a larger cap. Nor is what was done to the worker from outside, nor a codec of ours that works on no
picture. `settlement` applies the verdicts.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from ipc.files.spool import has_no_room
from ipc.jobs import Job
from ipc.journal.transitions import POISON
from ipc.transport.exits import Cause, Exit
from ipc.transport.messages import JobFailed
from workers.rendering.deadline import Timing

MAYBE_MEMORY = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS})
"""How a codec dies that doesn't check whether it got its memory. The AV1 encoder does so well below the cap, where no
sample shows it: such a crash always gets the benefit of one try alone."""

GAVE_BACK = frozenset({Cause.ASKED, Cause.FINISHED, Cause.TERMINATED, Cause.SHORT})
"""Causes of a worker's exit that say nothing against its job."""


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The job is as good as before: another worker gets it."""


@dataclass(frozen=True, slots=True)
class FetchAgain:
    """The spool has lost the original."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """The original can't be decoded. It may have come damaged: it is fetched once more, and the same bytes are dead."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Costs an attempt; the last attempt makes the job dead. `at_once`: without a pause. `alone`: see `Strike`."""

    reason: str
    at_once: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Strike:
    """The job cost a worker its life, or all its memory, and is tried again at once. `alone`: while no other job is
    rendered, and under a larger cap.
    """

    reason: str
    alone: bool


@dataclass(frozen=True, slots=True)
class SetAside:
    """Poison: dead, with its original in quarantine."""

    reason: str


@dataclass(frozen=True, slots=True)
class WaitForDisk:
    """The spool cannot be written: no attempt is lost, and no job is given out for a while."""

    reason: str


@dataclass(frozen=True, slots=True)
class WaitForCodec:
    """A codec of ours works on no picture: no attempt is lost, and the job waits."""

    reason: str


Verdict = GiveBack | FetchAgain | Doubt | Retry | Strike | SetAside | WaitForDisk | WaitForCodec


def of_failure(failed: JobFailed, job: Job, *, poison_after: int, is_worker_spoilt: bool) -> Verdict:
    """The verdict on an answer. `is_worker_spoilt`: the codec that is broken had worked in that worker before."""
    match failed.verdict:
        case "bad":
            return Doubt(failed.reason)
        case "memory":
            return _strike(job, f"out of memory: {failed.reason}", poison_after, memory=True)
        case "missing":
            return FetchAgain()
        case "machine":
            return WaitForDisk(failed.reason)
        case "broken" if not is_worker_spoilt:
            return WaitForCodec(failed.reason)
    return Retry(failed.reason)


def of_lending(error: OSError) -> Verdict:
    """The verdict where an original can't be put into a worker's workplace."""
    if isinstance(error, FileNotFoundError):
        return FetchAgain()
    if has_no_room(error):
        return WaitForDisk(str(error.strerror))
    return Retry(f"cannot be given to an image worker: {error}")


def of_exit(end: Exit, job: Job, *, timing: Timing | None, seconds: float, poison_after: int) -> Verdict:
    """The verdict on a worker's exit with the job in hand for `seconds`. `timing`: why the pool ended the worker."""
    if end.cause in GAVE_BACK:
        return GiveBack()
    if end.signal == signal.SIGKILL:  # no evidence against the picture, but not to be repeated for ever either
        return Retry(f"its worker was {end.text} from outside", at_once=True)
    lost = f"its worker was lost: {end.text}"
    if end.cause is Cause.SANDBOX:  # an attack, or as good as one: no second try
        return SetAside(f"{POISON} at once: {lost}")
    if end.cause in (Cause.MACHINE_OUT_OF_MEMORY, Cause.PERHAPS_OUT_OF_MEMORY):
        return Retry(lost, at_once=True, alone=True)
    if end.cause is Cause.HUNG and timing is Timing.HINDERED:
        return Retry(f"its worker was kept from working, for {seconds:.0f} s in all, and was ended")
    is_crash = end.signal in MAYBE_MEMORY
    return _strike(job, lost, poison_after, memory=end.cause is Cause.OUT_OF_MEMORY, is_crash=is_crash)


def _strike(job: Job, reason: str, poison_after: int, *, memory: bool, is_crash: bool = False) -> Strike | SetAside:
    """The verdict on a death. If memory was (`memory`) or may have been short (`is_crash`), always with a try alone."""
    tries = job.deaths + 1
    is_enough = memory or tries >= poison_after
    alone = memory or is_crash
    if is_enough and (job.alone or not alone):
        return SetAside(f"{POISON} after {tries} tries: {reason}")
    return Strike(reason, alone)
