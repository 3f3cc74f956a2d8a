"""How the two services stand, as the uploader reports it for /status."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

from ipc import database
from ipc.journal import Journal, JournalError
from ipc.retry import RetryPolicy
from ipc.text.timestamps import iso
from ipc.transport.context import Context
from ipc.transport.messages import clip
from workers.publishing.running.liveness import Liveness
from workers.publishing.schema_watch import SchemaWatch
from workers.publishing.service.breaker import Breaker
from workers.publishing.service.service import Service
from workers.publishing.stage import Stage

ERROR_BYTES = 1000
REMEDY_BYTES = 400
"""Longest error and remedy of each service in a report, in bytes: all go in one message."""

OUTDATED = "catalog_outdated"
"""The name under which the report says why the catalogue lacks columns."""

ANSWERED_SECONDS = 10
"""The precision of when a service last answered. A finer one would make a report a second."""


class ServiceReport:
    """Reports how the services of two stages stand. Threads may share it."""

    def __init__(self, context: Context, object_stage: Stage, row_stage: Stage, schema: SchemaWatch) -> None:
        self._context = context
        self._object_stage = object_stage
        self._row_stage = row_stage
        self._schema = schema
        self._reported: dict[str, Any] = {}
        self._lock = threading.Lock()

    def send(self) -> None:
        """Report what has changed, if anything has."""
        with self._lock:
            storage, catalog = self._object_stage, self._row_stage
            facts = _facts(storage.service, catalog.service, storage.liveness, catalog.liveness)
            facts[OUTDATED] = clip(self._schema.outdated or "", REMEDY_BYTES)
            if facts != self._reported:
                self._reported = facts
                self._context.report("uploader", **facts)


def report_as_left(context: Context) -> None:
    """Report how the services stood when the uploader before this one went.

    First of all, and read only: should the disk keep this one waiting, the report of its predecessor is soon forgotten,
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
        return  # there is none yet, or it cannot be read: the next one to open it says why
    context.report("uploader", **_facts(storage, catalog), **{OUTDATED: ""})


def _facts(
    storage: Service,
    catalog: Service,
    of_storage: Liveness | None = None,
    of_catalog: Liveness | None = None,
) -> dict[str, Any]:
    """How the services stand, under the names of /status."""
    return _facts_of(storage, "r2", of_storage) | _facts_of(catalog, "supabase", of_catalog)


def _facts_of(service: Service, prefix: str, liveness: Liveness | None) -> dict[str, Any]:
    facts = service.facts()
    return {
        f"{prefix}_circuit_breaker": facts["state"],
        f"{prefix}_circuit_breaker_since": iso(facts["since"]),
        f"{prefix}_next_probe_at": iso(facts["next_probe_at"]),
        f"{prefix}_silent_since": iso(liveness.look() if liveness else None),
        f"{prefix}_failing_since": iso(liveness.failing_since if liveness else None),
        f"{prefix}_answered_at": iso(_answered_at(liveness)),
        f"{service.name}_error": clip(facts["error"], ERROR_BYTES),
        f"{service.name}_remedy": clip(facts["remedy"], REMEDY_BYTES),
    }


def _answered_at(liveness: Liveness | None) -> float | None:
    at = liveness.answered_at if liveness else None
    return None if at is None else at // ANSWERED_SECONDS * ANSWERED_SECONDS
