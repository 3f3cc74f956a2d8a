"""The circuit breakers that are not closed: a new uploader goes on where the one before it was."""

from __future__ import annotations

from typing import Any

from ipc.journal import Journal
from ipc.transport.messages import clip


def get(journal: Journal, service: str) -> dict[str, Any] | None:
    """When it opened, until when it is silent (Unix seconds), error and remedy; None if the breaker is closed."""
    row = journal.run("breaker", service=service).fetchone()
    return dict(row) if row else None


def put(journal: Journal, service: str, opened_at: float, silent_until: float, error: str, remedy: str) -> None:
    with journal.transaction():
        journal.run(
            "put_breaker",
            service=service,
            opened_at=opened_at,
            silent_until=silent_until,
            error=clip(error),
            remedy=clip(remedy),
        )


def drop(journal: Journal, service: str) -> None:
    """The breaker is closed."""
    with journal.transaction():
        journal.run("drop_breaker", service=service)
