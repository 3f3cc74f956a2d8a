"""Pictures that were rendered by another recipe than today's: wanted anew, which the running uploader sees to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ipc.journal import Journal, renewals


def want_renditions(
    options: Mapping[str, Any], recipe: str, *, channels: Sequence[int] | None, since: float
) -> Iterator[int]:
    """Have all published pictures of another recipe rendered anew. Yields the number of each batch.

    `options` are the uploader's. `channels`: only these (None: all). `since`: only posted since that Unix second.
    """
    journal = Journal.open(Path(options["state_dir"]) / "journal.db")
    try:
        yield from renewals.want(journal, recipe, channels=channels, since=since)
    finally:
        journal.close()
