"""Rows whose URLs begin as `storage.public_url` says no more, and rows that lack columns of this version.

The journal sends them to the uploader, which writes them with a higher revision, as after an edit. Nothing else writes
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ipc.files.object_layout import address_of
from ipc.files.rows import VERSION
from ipc.journal import Journal, addresses, transitions
from ipc.posts import BACKFILL
from workers.publishing import catalog as catalogs
from workers.publishing import storage as storages

APPLY = 'Apply the schema: bin/run schema | psql "$DATABASE_URL"'

ROWS = 500
"""Rows that are sent back in one transaction. Other writers of the journal wait for that long."""


def current_address(options: Mapping[str, Any]) -> tuple[str, str]:
    """What today's URLs begin with, and the prefix."""
    storage, prefix = storages.make(options), options["storage"]["prefix"]
    try:
        return address_of(storage.url, prefix), prefix
    finally:
        storage.close()


class SchemaOutdated(Exception):
    """Rows would lack columns again. The text says why, and what to do."""


def write_rows_again(options: Mapping[str, Any]) -> Iterator[int]:
    """Send all rows whose URLs begin otherwise than today's to the uploader. Yields the number of each batch.

    Rows whose address the journal lacks are among them; rows of another prefix are not.
    """
    url, prefix = current_address(options)
    return _write_again(options, lambda one: one.number is None or (one.prefix == prefix and one.url != url))


def fill_rows(options: Mapping[str, Any]) -> Iterator[int]:
    """Send all rows to the uploader that lack columns of this version. Yields the number of each batch.

    Rows of another prefix are not among them. Raises CatalogFault, and SchemaOutdated if the catalogue lacks them too.
    """
    catalog = catalogs.make(options)
    try:
        if why := catalog.outdated():
            raise SchemaOutdated(f"{why}. {APPLY}, then try again")
    finally:
        catalog.close()
    _, prefix = current_address(options)
    yield from _write_again(options, lambda one: lacks_columns(one, prefix))


def lacks_columns(one: addresses.PublishedAddress, prefix: str) -> bool:
    """Whether the rows under an address can be written again with more columns."""
    return one.columns < VERSION and (one.number is None or one.prefix == prefix)


def _write_again(options: Mapping[str, Any], is_wanted: Callable[[addresses.PublishedAddress], bool]) -> Iterator[int]:
    """Send each row once: the uploader may write some under the same address again meanwhile."""
    journal = Journal.open(Path(options["state_dir"]) / "journal.db")
    try:
        for one in filter(is_wanted, addresses.published(journal)):
            left = one.rows
            while left > 0 and (count := transitions.write_again(journal, one.number, BACKFILL, min(ROWS, left))):
                left -= count
                yield count
    finally:
        journal.close()
