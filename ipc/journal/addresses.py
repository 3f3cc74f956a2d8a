"""What the URLs in published rows begin with. The settings may change it; a row keeps its own until it is rewritten."""

from __future__ import annotations

from ipc.journal import Journal


def number_of(journal: Journal, url: str, prefix: str) -> int:
    """The number of that beginning of URLs and keys; a new one gets one."""
    with journal.transaction():
        journal.run("add_address", url=url, prefix=prefix)
        return int(journal.run("address", url=url, prefix=prefix).fetchone()["id"])


def published(journal: Journal) -> list[tuple[int | None, str, str, int]]:
    """Number, URL and prefix of each address that published rows are under, and the number of these rows.

    The number is None where it was not recorded.
    """
    rows = journal.run("rows_by_address").fetchall()
    return [(row["id"], row["url"] or "", row["prefix"] or "", row["rows"]) for row in rows]


def pictures_under(journal: Journal, address: int | None, limit: int) -> list[str]:
    """The digests of some pictures whose rows are under that address, the oldest first."""
    return [row["sha256"] for row in journal.run("published_under", address=address, limit=limit)]


def all_of(journal: Journal) -> list[tuple[str, str]]:
    """Each address that rows were ever written under, and its prefix; the oldest first."""
    return [(row["url"], row["prefix"]) for row in journal.run("all_addresses")]
