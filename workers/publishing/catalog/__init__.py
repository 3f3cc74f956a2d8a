"""Where rows go: into a SQLite file (`embedded`), or into a Supabase project (`supabase`, with deploy/schema.sql).

A catalogue's promise: the rows of one message are written in one transaction, and only a higher revision replaces what
is there. So a repeated or a late write changes nothing. See `protocol`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ipc.process.checklist import Checklist
from ipc.process.loading import loading
from workers.publishing.catalog import embedded
from workers.publishing.catalog.embedded import SqliteCatalog
from workers.publishing.catalog.protocol import (
    BATCH_ENTRIES,
    Catalog,
    CatalogFault,
    Fenced,
    MessageRows,
    NotAsked,
    RowFault,
    WriteOutcome,
)

__all__ = [
    "BATCH_ENTRIES",
    "Catalog",
    "CatalogFault",
    "Fenced",
    "MessageRows",
    "NotAsked",
    "RowFault",
    "SqliteCatalog",
    "WriteOutcome",
    "check",
    "make",
]


def make(options: Mapping[str, Any]) -> Catalog:
    """The catalogue of the uploader's options: `state_dir`, and `catalog`, the settings' section of that name.

    Makes no connection yet.
    """
    settings = options["catalog"]
    if settings.get("backend", "sqlite") == "sqlite":
        return SqliteCatalog(_file(options))
    # supabase-py takes 340 ms and 50 MiB to import: an instance that keeps a file doesn't pay for it.
    with loading():
        from workers.publishing.catalog import supabase  # noqa: PLC0415

    return supabase.SupabaseCatalog(settings["url"], settings["key"], supabase.timeout_in(settings))


def check(options: Mapping[str, Any], tried: Checklist) -> None:
    """Try the catalogue: its schema, and each function; and what `machines` needs of it. Nothing is written."""
    settings = options["catalog"]
    if settings.get("backend", "sqlite") == "sqlite":
        embedded.check(_file(options), tried)
        return
    with loading():
        from workers.publishing.catalog import supabase  # noqa: PLC0415 - as above

    timeout = supabase.timeout_in(settings)
    supabase.check(settings["url"], settings["key"], tried, timeout)
    supabase.check_queues(options, tried)
    if travels_in_the_clear(settings["url"]):
        tried.warn("catalog.url is no https address: the key travels in the clear. Use its https address")


def travels_in_the_clear(url: str) -> bool:
    """Whether what is sent there can be read on its way.

    >>> travels_in_the_clear("http://db.example.org"), travels_in_the_clear("http://127.0.0.1:54321")
    (True, False)
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "http" and host not in ("localhost", "::1") and not host.startswith("127.")


def _file(options: Mapping[str, Any]) -> Path:
    return Path(options["state_dir"]) / "catalog.db"
