"""What the URLs in published rows begin with, and which version of the columns the rows have.

Settings and program may change; a row keeps its own until it is rewritten.
"""

from __future__ import annotations

from typing import NamedTuple

from ipc.journal import Journal


class PublishedAddress(NamedTuple):
    """An address that published rows are under, and the number of these rows.

    `number` is None where it was not recorded: then `url` and `prefix` are empty. `columns` is the version of the rows'
    columns (`ipc.files.rows.VERSION`), 1 where it was not recorded.
    """

    number: int | None
    url: str
    prefix: str
    columns: int
    rows: int


def number_of(journal: Journal, url: str, prefix: str, columns: int) -> int:
    """The number of that beginning of URLs and keys in rows with those columns; a new one gets one."""
    values = {"url": url, "prefix": prefix, "columns": columns}
    with journal.transaction():
        journal.run("add_address", **values)
        return int(journal.run("address", **values).fetchone()["id"])


def published(journal: Journal) -> list[PublishedAddress]:
    """All addresses, with the number of rows under each."""
    return [
        PublishedAddress(row["id"], row["url"] or "", row["prefix"] or "", row["columns"] or 1, row["rows"])
        for row in journal.run("rows_by_address")
    ]


def pictures_under(journal: Journal, address: int | None, limit: int) -> list[str]:
    """The digests of some pictures whose rows are under that address, the oldest first."""
    return [row["sha256"] for row in journal.run("published_under", address=address, limit=limit)]


def all_of(journal: Journal) -> list[tuple[str, str]]:
    """Each address that rows were ever written under, and its prefix."""
    return [(row["url"], row["prefix"]) for row in journal.run("all_addresses")]
