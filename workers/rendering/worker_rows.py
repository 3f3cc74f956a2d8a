"""When an image worker's row of /status is sent again for the job in it: the supervisor sends one for all the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JOB_SECONDS = 1.0
"""How long a worker's row may show the job before, or none, while it has another: it may do many in a second."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was sent at `sent_at` (monotonic seconds), with the worker's job of that moment."""

    facts: dict[str, Any]
    job_id: int | None
    sent_at: float


@dataclass
class WorkerRows:
    """The last row of each worker."""

    _sent: dict[str, Row] = field(default_factory=dict)

    def sent(self, worker: str, facts: dict[str, Any], job_id: int | None, now: float) -> None:
        """A row was sent; without facts, there is no such worker any more."""
        if facts:
            self._sent[worker] = Row(facts, job_id, now)
        else:
            self._sent.pop(worker, None)

    def outdated(self, jobs: Mapping[str, int], now: float) -> list[tuple[str, dict[str, Any]]]:
        """The workers whose row shows another job than they have, with that row's facts. `jobs`: each worker's job.

        A worker that has become idle is in it at once: the supervisor's loop may not come round for two seconds.
        """
        return [
            (worker, row.facts)
            for worker, row in self._sent.items()
            if jobs.get(worker) != row.job_id and (worker not in jobs or now - row.sent_at >= JOB_SECONDS)
        ]
