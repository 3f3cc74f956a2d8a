"""Problems of the work on pictures: a sandbox that is broken or not there, a broken codec, a second-best encoder, work
that stands still."""

from __future__ import annotations

from collections.abc import Iterator

from health.problems.problem import Problem
from health.snapshot import Snapshot
from ipc.text.timestamps import iso
from ipc.transport.exits import Cause

ALARM_SECONDS = 86400.0
"""How long a picture that broke its sandbox stays a problem: until somebody has looked, and not for ever."""

STUCK_SECONDS = 180.0
"""How long work may wait without one picture finishing. Three times the longest time for one picture."""


def sandbox_broken(snapshot: Snapshot) -> Iterator[Problem]:
    every = ((worker, end) for worker, ends in snapshot.ends.items() for end in ends)
    for worker, end in every:
        if end["cause"] == Cause.SANDBOX and snapshot.now - end["at"] < ALARM_SECONDS:
            job = f" on job {end['job']}" if "job" in end else ""
            yield Problem(
                "sandbox.broken",
                f"sandbox {worker} {end['at']}",
                f"{worker} broke the rules of its sandbox{job} at {iso(end['at'])}: its picture may be an attack",
                "It was killed, and the picture is set aside: bin/run dead names it. See who posted it, and install the"
                " newest version: a decoder may have a hole. This goes away after a day",
            )


def sandbox_incomplete(snapshot: Snapshot) -> Iterator[Problem]:
    """Workers run without a filter: a decoder that a picture has taken over reaches the network and other processes."""
    open_ones = [
        name for name, facts in snapshot.tree.items() if "sandbox" in facts and not facts["sandbox"]["seccomp"]
    ]
    if open_ones:
        yield Problem(
            "sandbox.incomplete",
            "sandbox",
            f"the system calls of {' and '.join(open_ones)} are not filtered: a picture that takes over its decoder"
            " reaches the network and our other processes",
            "Use a kernel with seccomp on x86-64 or arm64, and let the container or the unit allow the call; if"
            ' pool.sandbox is "off", remove it. bin/run check says what this machine has',
        )


def codecs_broken(snapshot: Snapshot) -> Iterator[Problem]:
    for codec, reason in snapshot.report("pool").get("broken_codecs", {}).items():
        yield Problem(
            "codec.broken",
            f"codec {codec}",
            f"the image workers' {codec} is broken, its pictures wait: {reason}",
            "Nothing is lost, and each waiting picture is tried again every ten minutes. Install the program anew, or"
            " go back to the version before; then bin/run restart pool",
        )


def encoder_falls_back(snapshot: Snapshot) -> Iterator[Problem]:
    if why := snapshot.report("pool").get("encoder_fallback"):
        yield Problem(
            "encoder.fallback",
            "encoder",
            f"most AVIF renditions are made by the second-best encoder, and are up to 70 % larger: {why}",
            "Nothing is lost. See the log of the image workers; install the program anew, or ENABLE_AVIF=0 until then",
        )


def standing_still(snapshot: Snapshot) -> Iterator[Problem]:
    """Work waits and nothing gets done. For when nothing else is wrong: any other problem explains it."""
    count = snapshot.figures.workable(snapshot.report("connection")) if snapshot.figures else 0
    if count and snapshot.unmoved_seconds > STUCK_SECONDS:
        yield Problem(
            "pictures.standing_still",
            "stuck",
            f"{count} pictures wait, and none has been finished since {iso(snapshot.now - snapshot.unmoved_seconds)}",
            "See the log of pool and uploader; bin/run status shows who is at what",
        )
