"""The pool's options that rendering follows, as its supervisor gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ipc.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Times in seconds, memory in bytes (0: no cap)."""

    retry: RetryPolicy
    job_seconds: float
    deadline_multiplier: float
    """Of `job_seconds`, while the machine keeps a worker off the CPU."""
    poison_after: int
    """Deaths of workers after which a picture is poison."""
    cap_bytes: int
    large_cap: int
    """A picture that must be alone gets this many times the cap."""
    soft_cap_bytes: int
    processors: int
    """Number of processors that may be kept busy."""

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> PoolOptions:
        """Raises KeyError where one is missing."""
        return cls(
            retry=RetryPolicy(**options["retry"]),
            job_seconds=options["job_seconds"],
            deadline_multiplier=options["deadline_multiplier"],
            poison_after=options["poison_after"],
            cap_bytes=options["cap_bytes"],
            large_cap=options["large_cap"],
            soft_cap_bytes=options["soft_cap_bytes"],
            processors=options["processors"],
        )
