"""How much is published otherwise than the settings want. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ipc.journal import Journal, JournalError, addresses, pictures
from ipc.process.checklist import Checklist
from workers.publishing import catalog as catalogs
from workers.publishing.catalog import CatalogFault
from workers.publishing.republish.rows import current_address, lacks_columns

SAMPLE = 50
"""How many of the oldest rows are looked at whose address the journal does not have."""


def check(options: Mapping[str, Any], tried: Checklist) -> None:
    """Whether all is published as the settings want it. `options` are the uploader's."""
    path = Path(options["state_dir"]) / "journal.db"
    if not path.exists():
        return
    try:
        journal = Journal.open_to_read(path)
    except JournalError:
        return  # which `check` says of the journal itself
    try:
        is_as_wanted = True
        for line in (*_originals_as_is(journal, options), *_stale_rows(journal, options)):
            is_as_wanted = False
            tried.warn(line)
        if is_as_wanted:
            tried.ok("published: all as the settings want it")
    finally:
        journal.close()


def _originals_as_is(journal: Journal, options: Mapping[str, Any]) -> Iterator[str]:
    wanted = options["storage"]["originals"]
    if wanted != "as_is" and (count := pictures.count_as_is(journal)):
        yield (
            f"{count} originals are published as they came, with whatever their cameras wrote into them (place, device,"
            f' time), while storage.originals = "{wanted}": bin/run republish --originals replaces them'
        )


def _stale_rows(journal: Journal, options: Mapping[str, Any]) -> Iterator[str]:
    url, prefix = current_address(options)
    same_prefix = elsewhere = lacking = 0
    for one in addresses.published(journal):
        lacking += one.rows if lacks_columns(one, prefix) else 0
        if one.number is None:
            same_prefix += one.rows if _are_stale(journal, options, url) else 0
        elif one.prefix != prefix:
            elsewhere += one.rows
        elif one.url != url:
            same_prefix += one.rows
    if lacking:
        yield (
            f"{lacking} rows were written without the columns that are new in this version: bin/run republish --rows"
            " fills them, and --renditions renders anew what only rendering finds out (thumbhash, colour, preview)"
        )
    if same_prefix:
        yield f"the URLs in {same_prefix} rows do not begin with {url}: bin/run republish --urls writes them again"
    if elsewhere:
        yield (
            f"{elsewhere} rows name objects that are not under storage.prefix {prefix!r}, and objects are not moved:"
            " set it back to what it was"
        )


def _are_stale(journal: Journal, options: Mapping[str, Any], url: str) -> bool:
    """Whether the URLs of one of the oldest rows begin in another way, of those whose address the journal lacks."""
    catalog = catalogs.make(options)
    try:
        found = catalog.urls(addresses.pictures_under(journal, None, SAMPLE))
    except CatalogFault:
        return False  # which `check` says of the catalogue itself
    finally:
        catalog.close()
    return not all(one.startswith(url) for one in found)
