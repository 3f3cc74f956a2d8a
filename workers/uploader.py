"""The uploader: objects to the storage, rows to the catalogue, then the spool files go.

The order is what makes it safe to be killed anywhere: all objects, then `stored` in the journal (durably), and only
then are the spool files deleted; then the row, then `published`. Every step can be repeated.

`workers.publishing.object_stage` and `workers.publishing.row_stage` each have a thread, a connection to the journal and
a circuit breaker: while one service fails or hangs, nothing is asked of it, and the other stage goes on. The main
thread listens, reports how the services stand, sweeps the spool, and sees that both stages go round.

Whatever else is made of rows has a thread of its own. A node has none of them: that is its origin's affair.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from ipc.files.object_layout import Layout
from ipc.files.rows import RowLayout
from ipc.files.spool import Spool
from ipc.journal import Journal
from ipc.journal.machines import claims
from ipc.machines.names import is_node, node_name
from ipc.process.loading import loading
from ipc.process.options import reading_options
from ipc.retry import RetryPolicy
from ipc.transport.context import Context
from workers.publishing import catalog as catalogs
from workers.publishing import storage as storages
from workers.publishing.catalog import Catalog
from workers.publishing.documents.feeds import Feeds
from workers.publishing.documents.follower import Follower
from workers.publishing.documents.progress import Progress
from workers.publishing.documents.site import Gallery
from workers.publishing.object_stage import ObjectStage
from workers.publishing.renewals import Renewals
from workers.publishing.row_stage import RowStage
from workers.publishing.running.liveness import Liveness
from workers.publishing.running.work_thread import WorkThread, now_and_then
from workers.publishing.service.breaker import Breaker
from workers.publishing.service.service import Service
from workers.publishing.service_report import ServiceReport, report_as_left
from workers.publishing.spool_sweep import SpoolSweep
from workers.publishing.stage import DRAIN_SECONDS, StageThread
from workers.publishing.storage import Storage
from workers.publishing.takedown import Takedowns
from workers.publishing.webhooks import works as webhook_works

POLL_SECONDS = 2.0
"""How often the main thread looks at the stages."""

LOOK_SECONDS = 0.5
"""How often it looks while a service owes an answer."""

FOLLOW_SECONDS = 0.5
"""How often those that follow changes look whether it is time to act on one. The row stage tells them of each."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Services:
    """What is published to, how, and how often a job may fail. `editor_commands`: captions may have some for us."""

    storage: Storage
    catalog: Catalog
    layout: Layout
    policy: RetryPolicy
    storage_breaker: Breaker
    catalog_breaker: Breaker
    editor_commands: bool = False


def main(context: Context) -> None:
    """Publish rendered jobs until asked to stop.

    Options: `storage`, `catalog`, `breaker`, `retry`, `webhooks`, `version`.
    """
    with reading_options():
        report_as_left(context)
        services = services_of(context)
    journal = Journal.open(context.journal_path)
    stop = threading.Event()
    object_stage, row_stage = make_stages(
        context,
        services,
        journals=(
            Journal.open(context.journal_path, durable=True),
            Journal.open(context.journal_path, durable=True),
        ),
        stop=stop.is_set,
    )
    spool = Spool(context.spool_path)
    works = works_of(context, journal, stop.is_set)
    uploader = Uploader(context, object_stage, row_stage, SpoolSweep(spool, journal), works)
    uploader.restore()
    context.ready()
    uploader.report.send()
    try:
        uploader.run()
    finally:
        stop.set()
    uploader.drain()


def services_of(context: Context) -> Services:
    """The services that the options name. Makes no connection yet."""
    options = context.options
    return Services(
        storage=storages.make(options),
        catalog=catalogs.make(options),
        layout=Layout(options["storage"]["prefix"], options["storage"]["originals"]),
        policy=RetryPolicy(**options["retry"]),
        storage_breaker=Breaker(**options["breaker"]),
        catalog_breaker=Breaker(**options["breaker"]),
        editor_commands=options.get("editor_commands", False),
    )


def make_stages(
    context: Context, services: Services, journals: tuple[Journal, Journal], stop: Callable[[], bool]
) -> tuple[ObjectStage, RowStage]:
    """The two stages, each with a journal of its own: connections are not shared by threads."""
    of_objects, of_rows = journals
    storage, catalog, policy = services.storage, services.catalog, services.policy
    object_stage = ObjectStage(
        service=Service("storage", services.storage_breaker, of_objects, policy),
        journal=of_objects,
        spool=Spool(context.spool_path),
        storage=storage,
        layout=services.layout,
        policy=policy,
        liveness=Liveness(stop, storage.last_sign),
        wake=context.wake,
    )
    row_stage = RowStage(
        service=Service("catalog", services.catalog_breaker, of_rows, policy),
        journal=of_rows,
        catalog=catalog,
        layout=RowLayout(services.layout.prefix, storage.url, services.editor_commands),
        policy=policy,
        liveness=Liveness(stop, catalog.last_sign),
        node=node_name(context.options, of_rows.machine_id()) if is_node(context.options) else "",
    )
    return object_stage, row_stage


def works_of(context: Context, journal: Journal, stopping: Callable[[], bool]) -> list[WorkThread[Any]]:
    """The threads beside the two stages."""
    if is_node(context.options):
        return []  # what follows from rows is their origin's affair
    make = partial(webhook_works.make, options=context.options, path=context.journal_path, stopping=stopping)
    return [
        WorkThread("renewals", partial(make_renewals, context), stopping),
        WorkThread("takedowns", partial(make_takedowns, context), stopping),
        WorkThread("feeds", partial(make_feeds, context), stopping, follow_seconds),
        WorkThread("site", partial(make_gallery, context), stopping, follow_seconds),
        *(
            WorkThread(webhook.label, partial(make, webhook), stopping)
            for webhook in webhook_works.register(journal, context.options)
        ),
        *machine_works_of(context, journal, stopping),
    ]


def machine_works_of(context: Context, journal: Journal, stopping: Callable[[], bool]) -> list[WorkThread[Any]]:
    """The threads that other machines are talked with by. A machine that is alone, and always was, loads none of it."""
    role = context.options.get("machines", {}).get("role", "all")
    if role != "origin" and not claims.is_any_left(journal):
        return []
    with loading():
        from workers.publishing.machines import works  # noqa: PLC0415 - it needs supabase-py

    return works.make(context, stopping)


def follow_seconds(work: Follower | Gallery) -> float:
    """How long one that follows changes waits for a hint."""
    return FOLLOW_SECONDS if work.is_waiting else now_and_then(work)


def make_renewals(context: Context) -> Renewals:
    journal = Journal.open(context.journal_path, durable=True)
    return Renewals(context.options, journal, Spool(context.spool_path), context.wake)


def make_takedowns(context: Context) -> Takedowns:
    journal = Journal.open(context.journal_path, durable=True)
    return Takedowns(context.options, journal, Spool(context.spool_path))


def make_feeds(context: Context) -> Follower:
    journal = Journal.open(context.journal_path)
    return Follower(
        "feeds",
        journal,
        Feeds(context.options, journal),
        Progress("feeds", context.report),
        enabled=context.options["feeds"]["enabled"],
    )


def make_gallery(context: Context) -> Gallery:
    journal = Journal.open(context.journal_path)
    return Gallery(context.options, journal, Progress("site", context.report))


class Uploader:
    """The process's main thread, with a thread for each stage."""

    def __init__(
        self,
        context: Context,
        object_stage: ObjectStage,
        row_stage: RowStage,
        sweep: SpoolSweep,
        works: Sequence[WorkThread[Any]],
    ) -> None:
        self._context = context
        self._sweep = sweep
        self._works = works
        self._stages = (object_stage, row_stage)
        self.report = ServiceReport(context, object_stage, row_stage, row_stage.schema)
        object_thread = StageThread("object stage", object_stage, self._after_objects)
        self._row_thread = StageThread("row stage", row_stage, self._after_rows, before=object_thread)
        self._threads = (object_thread, self._row_thread)

    def restore(self) -> None:
        """Go on with the breakers as the uploader before this one left them."""
        for stage in self._stages:
            stage.service.restore()

    def run(self) -> None:
        """Run both stages until a stop is asked for. Raises what ends one of them."""
        for thread in (*self._threads, *self._works):
            thread.start()
        while not self._context.stopping:
            self._sweep.go_on()
            if self._context.receive(self._look_seconds()) is not None:
                for thread in self._threads:
                    thread.ring()
            for thread in self._threads:
                thread.check()
            for work in self._works:
                work.check()
            self.report.send()

    def drain(self) -> None:
        """Wait up to DRAIN_SECONDS for each stage to finish what it has in hand. Raises what ends one."""
        for work in self._works:
            work.stop()
        for thread in self._threads:
            thread.ring()
        for thread in self._threads:
            until = time.monotonic() + DRAIN_SECONDS
            while thread.is_alive() and time.monotonic() < until:
                self._context.progress()
                thread.join(0.1)
            if thread.is_alive():
                log.warning("stage.abandoned", thread=thread.name)
        self.report.send()
        errors = [(thread.name, thread.error) for thread in self._threads if thread.error]
        for name, error in errors[1:]:
            log.error("stage.crashed", thread=name, exc_info=error)
        if errors:
            raise errors[0][1]

    def _look_seconds(self) -> float:
        """How long the main thread may listen until it looks at the stages again."""
        is_waiting = any(stage.liveness.is_waiting for stage in self._stages)
        return min(LOOK_SECONDS, POLL_SECONDS) if is_waiting else POLL_SECONDS

    def _after_objects(self, went_on: int) -> None:
        if went_on:
            self._row_thread.ring()
        self.report.send()

    def _after_rows(self, went_on: int) -> None:
        if went_on:
            for work in self._works:
                work.ring()
            if is_node(self._context.options):
                self._context.wake("seen")  # there is room for others
        self.report.send()
