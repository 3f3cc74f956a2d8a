"""The catalogue that a Supabase project is, as `workers.publishing.catalog.protocol` promises it.

Rows go through one function of the database, ingest_messages(), so that a batch is one transaction: an upsert of the
interface could neither span two tables nor leave a newer revision alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from ipc.text.timestamps import iso
from workers.publishing.catalog.pictures import COLUMNS, Asked, Position
from workers.publishing.catalog.protocol import Catalog, Fenced, MessageRows, NotAsked, RowFault, WriteOutcome, refusal
from workers.publishing.catalog.supabase import answers
from workers.publishing.catalog.supabase.project import TIMEOUT, Project, Timeout
from workers.publishing.catalog.supabase.schema_version import VERSION, demand_receipts, older, version_of
from workers.publishing.threads import Threads, never

T = TypeVar("T")

_DIGESTS = 1000
"""How many digests are asked about at a time: 67 KB."""


class SupabaseCatalog(Catalog):
    """The catalogue of the project at `url`. `key` stands for service_role, and is of the new kind or the old."""

    def __init__(self, url: str, key: str, timeout: Timeout = TIMEOUT) -> None:
        self.project = Project(url, key, timeout)
        self._takes_receipts = False
        """Whether its schema is known to."""

    def write_many(self, batch: Sequence[MessageRows]) -> list[WriteOutcome]:
        reasons = [refusal(entry) for entry in batch]
        sent = iter(self._write([entry for entry, reason in zip(batch, reasons, strict=True) if reason is None]))
        return [next(sent) if reason is None else self._not_asked(reason) for reason in reasons]

    def write_each(
        self, batches: Iterable[Sequence[MessageRows]], *, stop: Callable[[], bool] = never
    ) -> Iterator[list[WriteOutcome]]:
        """Write batches. While one is on its way the caller makes the next one, and deals with the last outcomes."""
        under_way: Threads[list[WriteOutcome]] | None = None
        for batch in batches:
            before, under_way = under_way, None
            outcomes = _finished(before, stop)
            under_way = Threads([partial(self.write_many, batch)])
            yield from outcomes
        yield from _finished(under_way, stop)

    def _write(self, batch: list[MessageRows]) -> list[WriteOutcome]:
        """Write these in one transaction; if one of them keeps the others out, each half in its own."""
        if not batch:
            return []
        try:
            return self._ingest(batch)
        except RowFault as fault:
            if len(batch) == 1:
                return [fault]
        half = len(batch) // 2
        return self._write(batch[:half]) + self._write(batch[half:])

    def _ingest(self, batch: list[MessageRows]) -> list[WriteOutcome]:
        if not self._takes_receipts and any(entry.receipt is not None for entry in batch):
            demand_receipts(self.project)
            self._takes_receipts = True
        answer = self.project.call("ingest_messages", batch=[_rows(entry) for entry in batch])
        if len(answer) != len(batch) or not all(map(_is_outcome, answer, batch)):
            raise answers.of_nonsense(answer, where=self.project.where)
        return [Fenced() if one is None else one for one in answer]

    def _not_asked(self, reason: str) -> NotAsked:
        return NotAsked(f"{self.project.where}: the row is refused: {reason}")

    def referenced(self, sha256s: Iterable[str]) -> set[str]:
        asked = list(sha256s)
        found = self._texts("picturedesk_referenced", asked)
        if not found <= set(asked):
            raise answers.of_nonsense(sorted(found), where=self.project.where)
        return found

    def named(self, sha256s: Iterable[str]) -> set[str]:
        return self._texts("picturedesk_named", list(sha256s))

    def _texts(self, function: str, sha256s: list[str]) -> set[str]:
        """The function's answers about these digests."""
        found = set[str]()
        for start in range(0, len(sha256s), _DIGESTS):
            answer = self.project.call(function, sha256s=sha256s[start : start + _DIGESTS])
            if not all(isinstance(one, str) for one in answer):
                raise answers.of_nonsense(answer, where=self.project.where)
            found.update(answer)
        return found

    def urls(self, sha256s: Iterable[str]) -> set[str]:
        asked = list(sha256s)
        return self.project.urls(asked) if asked else set()

    def pictures(
        self,
        *,
        channel_id: int | None = None,
        tag: str | None = None,
        before: Position | None = None,
        between: tuple[int, int] | None = None,
        message: int | None = None,
        most: int,
    ) -> list[dict[str, Any]]:
        rows = self.project.pictures(Asked(channel_id, tag, before, between, message, most))
        try:
            return [_picture(row) for row in rows]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise answers.of_nonsense(error, where=self.project.where) from error

    def outdated(self) -> str | None:
        """Uses a connection of its own: another thread may be writing."""
        project = self.project.another()
        try:
            version = version_of(project)
        finally:
            project.close()
        return None if version >= VERSION else f"{project.where}: {older(version)}"

    def probe(self) -> None:
        """An empty batch writes nothing, and needs all that a full one needs."""
        if answer := self.project.call("ingest_messages", batch=[]):
            raise answers.of_nonsense(answer, where=self.project.where)

    def last_sign(self) -> float:
        return self.project.last_sign

    def close(self) -> None:
        self.project.close()


def _finished(calls: Threads[T] | None, stop: Callable[[], bool]) -> list[T]:
    """The results of the calls, if there are any."""
    results: list[T] = []
    if calls is not None:
        calls.finish(done=results.append, stop=stop)
    return results


def _rows(entry: MessageRows) -> dict[str, Any]:
    """The rows as ingest_messages() takes them. A schema without hidden rows takes a hidden one for deleted."""
    image = None if entry.image is None else dict(entry.image)
    message = dict(entry.message)
    if message.get("hidden_at") is not None:
        message["deleted_at"] = message["hidden_at"]
    rows = {"channel": dict(entry.channel), "message": message, "image": image}
    return rows if entry.receipt is None else {**rows, "receipt": dict(entry.receipt)}


def _is_outcome(one: Any, entry: MessageRows) -> bool:
    """Whether ingest_messages() may give this: null only for a receipt that does not hold."""
    return isinstance(one, bool) or (one is None and entry.receipt is not None)


def _picture(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the view as every catalogue gives it."""
    picture = {name: row[name] for name in COLUMNS}
    for name in ("posted_at", "edited_at"):
        if picture[name] is not None:
            picture[name] = iso(int(datetime.fromisoformat(picture[name]).timestamp()))
    return picture
