"""The uploader: objects to the storage, rows to the catalogue, then the spool files go.

The order is what makes it safe to be killed anywhere: all objects, then `stored` in the journal (durably), and only
then are the spool files deleted; then the row, then `published`. Every step can be repeated.

The two halves, `workers.publishing.object_stage` and `workers.publishing.row_stage`, each have a thread, a connection
to the journal and a circuit breaker: while one service fails or hangs, nothing is asked of it, and the other goes on.
The main thread only listens, tells how they stand, and sees that both go round.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from ipc import database
from ipc.files.object_layout import Layout
from ipc.files.spool import Spool
from ipc.journal import Journal, JournalError, lookup
from ipc.options import reading_options
from ipc.retry import RetryPolicy
from ipc.timestamps import iso
from ipc.transport.context import Context
from ipc.transport.messages import clip
from workers.publishing import catalog as catalogs
from workers.publishing import storage as storages
from workers.publishing.breaker import Breaker
from workers.publishing.catalog import Catalog
from workers.publishing.object_stage import ObjectStage
from workers.publishing.row_stage import RowStage
from workers.publishing.service import Service
from workers.publishing.stage import DRAIN_SECONDS, LOOK_SECONDS, POLL_SECONDS, Shift, Watch
from workers.publishing.storage import Storage

SWEEP_SECONDS = 600.0
"""How often strays are looked for in the spool, besides at every start."""

SWEEP_SLICE_SECONDS = 0.2
"""How long that may take in one go: hundreds of thousands of dead letters may have a folder there."""

ERROR_BYTES = 1000
REMEDY_BYTES = 400
"""Of each service's in a report: all go in one message."""

log = structlog.get_logger()


def main(context: Context) -> None:
    """Publish rendered jobs until asked to stop. Options: `storage`, `catalog`, `breaker`, `retry`."""
    options = context.options
    with reading_options():
        tell_as_left(context)
        storage, catalog = storages.make(options), catalogs.make(options)
        layout = Layout(options["storage"]["prefix"], options["storage"]["originals"])
        policy, breakers = RetryPolicy(**options["retry"]), [Breaker(**options["breaker"]) for _ in range(2)]
    stop = threading.Event()
    uploader = Uploader(
        context=context,
        journal=Journal.open(context.journal_path),
        spool=Spool(context.spool_path),
        storage=storage,
        catalog=catalog,
        layout=layout,
        policy=policy,
        storage_breaker=breakers[0],
        catalog_breaker=breakers[1],
        apart=Apart(
            (
                Journal.open(context.journal_path, durable=True),
                Journal.open(context.journal_path, durable=True),
            ),
            stop.is_set,
        ),
    )
    uploader.restore()
    context.ready()
    uploader.tell()
    try:
        uploader.work()
    finally:
        stop.set()
    uploader.drain()


def tell_as_left(context: Context) -> None:
    """Report how the services stood when the uploader before this one went.

    First of all, and read only: should the disk keep this one waiting, what its predecessor said is soon forgotten,
    and an open breaker would be taken for a closed one.
    """
    options = context.options
    try:
        with closing(Journal.open_to_read(context.journal_path)) as journal:
            policy = RetryPolicy(**options["retry"])
            storage = Service("storage", Breaker(**options["breaker"]), journal, policy)
            catalog = Service("catalog", Breaker(**options["breaker"]), journal, policy)
            storage.restore()
            catalog.restore()
    except (JournalError, database.Error):
        return  # there is none yet, or it cannot be read: whoever opens it next says why
    context.report("uploader", **_facts(storage, catalog))


@dataclass(frozen=True, slots=True)
class Apart:
    """What the halves need to work in threads of their own: a journal each, and whether to stop."""

    journals: tuple[Journal, Journal]
    stop: Callable[[], bool]


class Uploader:
    """The two halves, `storing` and `writing`, and what is to be told of them.

    Without what they need to work apart, as in tests, both use `journal`, and ask the context whether to stop: then
    they are called one after the other, with `publish_due`.
    """

    def __init__(
        self,
        *,
        context: Context,
        journal: Journal,
        spool: Spool,
        storage: Storage,
        catalog: Catalog,
        layout: Layout,
        policy: RetryPolicy,
        storage_breaker: Breaker,
        catalog_breaker: Breaker,
        apart: Apart | None = None,
    ) -> None:
        self._context = context
        self._journal = journal
        self._spool = spool
        apart = apart or Apart((journal, journal), lambda: context.stopping)
        of_storage, of_catalog = apart.journals
        self.storing = ObjectStage(
            service=Service("storage", storage_breaker, of_storage, policy),
            journal=of_storage,
            spool=spool,
            storage=storage,
            layout=layout,
            policy=policy,
            watch=Watch(apart.stop, storage.last_sign),
            wake=context.wake,
        )
        self.writing = RowStage(
            service=Service("catalog", catalog_breaker, of_catalog, policy),
            journal=of_catalog,
            catalog=catalog,
            prefix=layout.prefix,
            url_of=storage.url,
            policy=policy,
            watch=Watch(apart.stop, catalog.last_sign),
        )
        self._shifts: list[Shift] = []
        self._swept = -math.inf
        self._sweeping: Iterator[int] = iter(())
        self._told: dict[str, Any] = {}
        self._telling = threading.Lock()

    def restore(self) -> None:
        """Go on with the breakers as the uploader before this one left them."""
        for half in (self.storing, self.writing):
            half.service.restore()

    def publish_due(self) -> int:
        """Store, then write, what is due; how many jobs went a step on.

        No process does it so: it is for tests and benchmarks, which want one step at a time, in their own thread.
        """
        went_on = self.storing.step()
        went_on += self.writing.step()  # what has just been stored gets its row at once
        self.tell()
        return went_on

    # As a process

    def work(self) -> None:
        """Have both halves go round until a stop is asked for. Raises what ends one of them."""
        storing = Shift("storing", self.storing, lambda went_on: self._went_on(writing, went_on))
        writing = Shift("writing", self.writing, lambda went_on: self.tell(), before=storing)
        self._shifts = [storing, writing]
        for shift in self._shifts:
            shift.start()
        while not self._context.stopping:
            self.sweep_sometimes()
            if self._context.receive(self._look_seconds()) is not None:
                for shift in self._shifts:
                    shift.ring()
            for shift in self._shifts:
                shift.check()
            self.tell()

    def _look_seconds(self) -> float:
        """How long the main thread may listen until it looks at the halves again."""
        is_waiting = self.storing.watch.is_waiting or self.writing.watch.is_waiting
        return min(LOOK_SECONDS, POLL_SECONDS) if is_waiting else POLL_SECONDS

    def drain(self) -> None:
        """Wait for the halves to finish what they have in hand, but for none that does not. Raises what ends one."""
        for shift in self._shifts:
            shift.ring()
        for shift in self._shifts:
            until = time.monotonic() + DRAIN_SECONDS
            while shift.is_alive() and time.monotonic() < until:
                self._context.progress()
                shift.join(0.1)
            if shift.is_alive():
                log.warning("left behind", half=shift.name)
        self.tell()
        errors = [shift.error for shift in self._shifts if shift.error]
        for error in errors[1:]:
            log.error("ended by an error, as the other half", exc_info=error)
        if errors:
            raise errors[0]

    def _went_on(self, writing: Shift, went_on: int) -> None:
        if went_on:
            writing.ring()
        self.tell()

    # The spool

    def sweep_sometimes(self) -> None:
        """Delete the strays of killed processes from the spool, now and then and a slice at a time."""
        until = time.monotonic() + SWEEP_SLICE_SECONDS
        if time.monotonic() - self._swept > SWEEP_SECONDS:
            self._swept = time.monotonic()
            self._sweeping = self._spool.sweeping(partial(lookup.unfinished, self._journal))
        for swept in self._sweeping:
            if swept:
                log.info("swept strays from the spool", folders=swept)
            if time.monotonic() > until:
                return

    # Telling

    def tell(self) -> None:
        """Report how the services stand, when that changes."""
        with self._telling:
            facts = _facts(self.storing.service, self.writing.service, self.storing.watch, self.writing.watch)
            if facts != self._told:
                self._told = facts
                self._context.report("uploader", **facts)


def _facts(
    storage: Service,
    catalog: Service,
    storage_watch: Watch | None = None,
    catalog_watch: Watch | None = None,
) -> dict[str, Any]:
    """How the services stand, under the names of /status."""
    return _facts_of(storage, "r2", storage_watch) | _facts_of(catalog, "supabase", catalog_watch)


def _facts_of(service: Service, prefix: str, watch: Watch | None) -> dict[str, Any]:
    facts = service.facts()
    return {
        f"{prefix}_circuit_breaker": facts["state"],
        f"{prefix}_circuit_breaker_since": iso(facts["since"]),
        f"{prefix}_next_probe_at": iso(facts["next_probe_at"]),
        f"{prefix}_silent_since": iso(watch.look() if watch else None),
        f"{prefix}_failing_since": iso(watch.failing_since if watch else None),
        f"{service.name}_error": clip(facts["error"], ERROR_BYTES),
        f"{service.name}_remedy": clip(facts["remedy"], REMEDY_BYTES),
    }
