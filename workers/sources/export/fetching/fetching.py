"""The pictures of exports that are due: each is copied into the spool, and how that ended is settled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ipc.files.spool import Spool
from ipc.identities import declared_bytes
from ipc.jobs import Job
from ipc.journal import Journal, queue
from ipc.retry import RetryPolicy
from workers.sources.export.fetching.files import MissingFile, fetch
from workers.sources.export.fetching.turns import turn
from workers.sources.settle import Failed, Fetched, FetchEnd, NoRoom, of_os_error, settle
from workers.unforeseen import contained

BATCH = 16


class Fetching:
    """`may_go_on` says whether another picture may be fetched now. `disk_error`: why the spool takes nothing, or ""."""

    def __init__(
        self,
        journal: Journal,
        spool: Spool,
        policy: RetryPolicy,
        max_bytes: int,
        lock: Path,
        may_go_on: Callable[[], bool],
    ) -> None:
        self.disk_error = ""
        self._journal = journal
        self._spool = spool
        self._policy = policy
        self._max_bytes = max_bytes
        self._lock = lock
        self._may_go_on = may_go_on

    def fetch_due(self, on_fetched: Callable[[], None]) -> int:
        """Fetch up to `BATCH` pictures of any export while the spool has room. Returns the number that went a step on.

        Of two processes that read exports (an import beside the source), one at a time fetches.
        """
        with turn(self._lock) as is_ours:
            return self._fetch_due(on_fetched) if is_ours else 0

    def _fetch_due(self, on_fetched: Callable[[], None]) -> int:
        went_on = 0
        for job in queue.due(self._journal, "seen", BATCH, source="export"):
            if not self._may_go_on():
                break
            outcome = self._fetch(job)
            if isinstance(outcome, NoRoom | Fetched):
                self.disk_error = outcome.reason if isinstance(outcome, NoRoom) else ""
            has_moved = settle(self._journal, self._spool, self._policy, job, outcome)
            went_on += has_moved
            if has_moved and isinstance(outcome, Fetched):
                on_fetched()
            if self.disk_error:
                break
        return went_on

    def _fetch(self, job: Job) -> FetchEnd:
        """Bring one picture into the spool; how that ended."""
        declared = declared_bytes(job.identity)
        try:
            return self._spool.write_original(
                job.id, job.generation, lambda part: fetch(job.locator, part, self._max_bytes, declared)
            )
        except MissingFile as error:
            return error.outcome
        except OSError as error:
            return of_os_error(error, str(error))
        except Exception as error:
            return Failed(str(contained(error, "fetching failed for an unforeseen error", job=job.id)))
