"""Rows whose URLs begin as `storage.public_url` says no more.

The journal sends them to the uploader, which writes them with a higher revision, as after an edit. Nothing else writes
rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ipc.files.object_layout import address_of
from ipc.journal import Journal, addresses, transitions
from ipc.posts import BACKFILL
from workers.publishing import storage as storages

ROWS = 500
"""Rows that are sent back in one transaction. Other writers of the journal wait for that long."""


def current_address(options: Mapping[str, Any]) -> tuple[str, str]:
    """What today's URLs begin with, and the prefix."""
    storage, prefix = storages.make(options), options["storage"]["prefix"]
    try:
        return address_of(storage.url, prefix), prefix
    finally:
        storage.close()


def write_rows_again(options: Mapping[str, Any]) -> Iterator[int]:
    """Send all rows whose URLs begin otherwise than today's to the uploader; how many, some at a time.

    Rows whose address the journal lacks are among them; rows of another prefix are not.
    """
    url, prefix = current_address(options)
    journal = Journal.open(Path(options["state_dir"]) / "journal.db")
    try:
        for number, found_url, found_prefix, _ in addresses.published(journal):
            if number is None or (found_prefix == prefix and found_url != url):
                while count := transitions.write_again(journal, number, BACKFILL, ROWS):
                    yield count
    finally:
        journal.close()
