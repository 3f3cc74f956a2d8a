"""Problems of storage and catalogue: the circuit breaker is open, or there is no answer, or requests fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from health.problems.problem import Problem
from health.snapshot import Snapshot
from health.times import unix_seconds

FAILING_SECONDS = 3.0
"""How long a service may fail, nothing having succeeded since, before that is a problem. A single picture that fails
while others succeed is none: it is its own fault, most likely.
"""

REMEDY = "Nothing is lost; it is tried again by itself. If it lasts, check the service and the network"


class ServiceNames(NamedTuple):
    """`prefix` and `error` are names in the uploader's report, `name` is for people."""

    prefix: str
    error: str
    name: str


SERVICES = (ServiceNames("r2", "storage", "storage"), ServiceNames("supabase", "catalog", "catalogue"))


def services_down(snapshot: Snapshot) -> Iterator[Problem]:
    """Problems of the services, at most one each: the first of `DOWN` that applies."""
    for service in SERVICES:
        problems = (detect(service, snapshot) for detect in DOWN)
        if problem := next(filter(None, problems), None):
            yield problem


def schema_outdated(snapshot: Snapshot) -> Iterator[Problem]:
    """The hosted catalogue lacks columns of this version. Pictures are published all the same."""
    if why := snapshot.report("uploader").get("catalog_outdated"):
        yield Problem(
            "catalog.schema_outdated",
            "catalog schema",
            f"the catalogue's schema is outdated: {why}",
            'Apply today\'s: bin/run schema | psql "$DATABASE_URL", or paste what it prints into the SQL editor.'
            " Afterwards bin/run republish --rows writes the rows again that lack something. Until then pictures are"
            " published without what is new",
        )


def _breaker_open(service: ServiceNames, snapshot: Snapshot) -> Problem | None:
    """Half-open counts too: no request has succeeded yet."""
    report, breaker = snapshot.report("uploader"), f"{service.prefix}_circuit_breaker"
    state = report.get(breaker, "closed")
    if state == "closed":
        return None
    waits = f"Nothing is lost; it is asked again by itself at {report.get(f'{service.prefix}_next_probe_at')}"
    todo = report.get(f"{service.error}_remedy")
    return Problem(
        "service.breaker_open",
        f"breaker {service.prefix}",
        f"the {service.name}'s circuit breaker is {state}: {report.get(f'{service.error}_error')}",
        f"{todo[0].upper()}{todo[1:]}. After a change of the configuration: bin/run reload. {waits}"
        if todo
        else f"{waits}. If it lasts, check the service and the network",
        unix_seconds(report.get(f"{breaker}_since")),
    )


def _silent(service: ServiceNames, snapshot: Snapshot) -> Problem | None:
    report = snapshot.report("uploader")
    since = report.get(f"{service.prefix}_silent_since")
    if not since:
        return None
    error = report.get(f"{service.error}_error") or "it is still waited for"
    return Problem(
        "service.silent",
        f"breaker {service.prefix}",
        f"the {service.name} has not answered since {since}: {error}",
        REMEDY,
        unix_seconds(since),
    )


def _failing(service: ServiceNames, snapshot: Snapshot) -> Problem | None:
    report = snapshot.report("uploader")
    since = unix_seconds(report.get(f"{service.prefix}_failing_since"))
    if since is None or abs(snapshot.now - since) < FAILING_SECONDS:  # abs: the clock may have been set back
        return None
    error = report.get(f"{service.error}_error") or "it has not answered"
    return Problem(
        "service.failing",
        f"breaker {service.prefix}",
        f"the {service.name} fails: {error}",
        REMEDY,
        since,
    )


DOWN: tuple[Callable[[ServiceNames, Snapshot], Problem | None], ...] = (_breaker_open, _silent, _failing)
