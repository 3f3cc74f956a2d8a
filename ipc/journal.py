"""The journal: every job's state, in SQLite, shared by all processes. The only truth of the program.

Promises. A transition is one transaction, and it applies only to the job, generation and state that its caller saw:
whoever comes second changes nothing and is told so. Cursor and jobs move together (see `ipc.intake`), so a lost tail
of the file (power cut, synchronous=NORMAL) only moves the cursor back, and the repeated work is idempotent.

Rules that keep it so: BEGIN IMMEDIATE for every write, no I/O inside a transaction, one connection a thread, opened by
the process that uses it. The statements are in `queries.sql`, the tables in `schema.sql`.

`ipc.database` opens it; the homes of sqlite3 are these two and `workers.publishing.catalog.embedded`.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from itertools import islice
from pathlib import Path
from random import random
from types import MappingProxyType
from typing import Any, Literal

import msgpack

from ipc import database, failpoints
from ipc.jobs import STATES, Job, Rendition, State
from ipc.retry import FARTHEST_SECONDS, RetryPolicy
from ipc.transport.messages import NOT_STRIPPED, JobDone, clip

VERSION = 4
"""`PRAGMA user_version` of a journal that this program understands."""


LEASE_SECONDS = 900.0
"""How long a removal that was given up in the middle keeps a picture's objects from being stored again. No request is
carried out so long after it was made.
"""

POISON = "poison, set aside"
"""How the reason of a dead letter begins that has killed its workers. The index jobs_poison spells it out."""

MAX_DOUBTS = 3
"""A source that gives other bytes each time, none of them a picture, is asked so often for more."""

Source = Literal["telegram", "export"]
"""Where a picture's bytes come from; its identity tells which ("id:…" is Telegram's own)."""

REVIVED_AT_ONCE = 1000
"""Dead letters that are brought back in one transaction: everybody else who writes waits for it."""

_QUEUES: Mapping[str, Mapping[object, tuple[str, ...]]] = {
    "seen": {"telegram": ("telegram",), "export": ("export",), None: ("telegram", "export")},
    "fetched": {True: ("alone",), False: ("render",), None: ("render", "alone")},
    "rendered": {True: ("write",), False: ("store",), None: ("store", "write")},
}
"""The column `queue` by state, and by what `due` can be asked for there: source, alone, stored."""


class JournalError(Exception):
    """The journal cannot be used: which file, why, and what to do."""


_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Fate:
    """How a picture stands: its state, when it was first published (Unix second), whether it waits for another try."""

    message_id: int
    state: State
    published_at: int | None
    is_put_off: bool


class UnfitJournal(JournalError):
    """The file is no journal of ours, a damaged one, or one of a newer version: no later try will find it better."""


class OlderJournal(JournalError):
    """The file is of an older version. Whoever opens it for writing brings it up to date."""


def _load(file: str, mark: str) -> dict[str, str]:
    """SQL by name, from the file's blocks, which begin with the mark and the name."""
    blocks = (_FOLDER / file).read_text(encoding="utf-8").split(mark)[1:]
    return {block.split("\n", 1)[0].strip(): block.split("\n", 1)[1] for block in blocks}


QUERIES = _load("queries.sql", "-- name: ")
MIGRATIONS = {int(version): script for version, script in _load("migrations.sql", "-- version: ").items()}


class Journal:
    """An open journal. `clock` gives Unix seconds, `random` gives [0, 1): both are there for tests."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = random,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._random = random

    # Opening and closing

    @classmethod
    def open(cls, path: Path, *, durable: bool = False, **sources: Any) -> Journal:
        """Open the journal at `path`, making it if there is none.

        `durable` waits for the disk at every commit: for whoever destroys something (a spool file) on the strength of
        what it has just recorded. Raises JournalError if the file is not a journal, is damaged so that it shows at
        once (`check` reads all of it), or is of a version that this program does not know.
        """
        try:
            connection = database.connect(path, durable=durable, newest=VERSION)
            journal = cls(connection, **sources)
            with database.closed_on_error(connection):
                journal._prepare()
        except database.NewerVersion as newer:
            raise _of_newer(path, newer) from newer
        except sqlite3.Error as error:
            is_unfit = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
            raise (UnfitJournal if is_unfit else JournalError)(
                f"{path}: cannot be opened as the journal: {error}. Check the disk and the folder's owner; if the file"
                " is damaged, move it aside and restore a copy, or start anew: what is published stays published"
            ) from error
        return journal

    @classmethod
    def open_to_read(cls, path: Path) -> Journal:
        """Open an existing journal for reading only.

        Raises JournalError if there is none, or as `open` does; OlderJournal if nobody has brought it up to date yet.
        """
        try:
            connection = database.connect_to_read(path, newest=VERSION)
            with database.closed_on_error(connection):
                connection.execute("SELECT 1 FROM states")
                found = database.version_of(connection)
        except database.NewerVersion as newer:
            raise _of_newer(path, newer) from newer
        except sqlite3.Error as error:
            raise JournalError(f"{path}: cannot be read as the journal: {error}") from error
        if found < VERSION:
            connection.close()
            raise OlderJournal(
                f"{path}: the journal is of version {found}, older than this program's {VERSION}."
                " It is brought up to date when the program is started"
            )
        return cls(connection)

    def _prepare(self) -> None:
        """Make the tables, or bring those of an older version up to this one, unless another process was first."""
        with self.transaction():
            found = database.version_of(self._connection)
            if found == VERSION:
                return
            if found == 0:
                database.run_script(self._connection, (_FOLDER / "schema.sql").read_text(encoding="utf-8"))
            else:
                for version in range(found + 1, VERSION + 1):
                    database.run_script(self._connection, MIGRATIONS[version])
            self._connection.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        self._connection.close()

    def check(self) -> list[str]:
        """What SQLite's own quick check finds wrong; empty when the file is sound."""
        try:
            found = [row[0] for row in self._connection.execute("PRAGMA quick_check")]
        except sqlite3.DatabaseError as error:  # some damage stops the check itself
            return [str(error)]
        return [] if found == ["ok"] else found

    def try_to_write(self) -> None:
        """Write something that changes nothing, to the disk. Raises `database.Error` if that cannot be done."""
        with self.transaction():
            self.run("add_total", name="processed", by=0)

    # Running statements

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One write transaction. Keep it short: everybody else who writes waits for it."""
        with database.transaction(self._connection):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Several figures of one moment. Raises JournalError if the file cannot be read."""
        try:
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(f"the journal cannot be read: {error}") from error

    def run(self, query: str, **values: Any) -> sqlite3.Cursor:
        """Run the statement of that name from `queries.sql`."""
        return self._connection.execute(QUERIES[query], values)

    def _change(
        self, query: str, total: str | None = None, by: int = 1, *, is_failure: bool = True, **values: Any
    ) -> bool:
        """Run one transition in a transaction of its own. False: the job has moved on meanwhile.

        `total` is what to count it as, `by` how many. A transition with a reason is a failure, unless `is_failure` says
        otherwise: the newest one is remembered.
        """
        with self.transaction():
            changed = self.run(query, **values).rowcount == 1
            if changed and total and by:
                self.run("add_total", name=total, by=by)
            if changed and is_failure and "reason" in values:
                self.run("put_last_failure", at=int(self._clock()), job=values["id"], reason=values["reason"])
        return changed

    # The work: what is due, who has it

    def due(
        self,
        state: State,
        limit: int,
        *,
        stored: bool | None = None,
        source: Source | None = None,
        besides: Iterable[int] = (),
        alone: bool | None = None,
    ) -> list[Job]:
        """Up to `limit` jobs in `state` that may be tried now and that nobody has.

        By priority; of one priority first those that were put off and whose time has come, by that time, then the
        oldest. So many others may wait: they are not read.

        `stored` (of rendered jobs) asks for those only whose objects are stored already, or are not; `source` (of seen
        ones) for those only whose picture it can fetch; `alone` (of fetched ones) for those only that must be alone, or
        need not; `besides` for others than the jobs of these ids.
        """
        now = self._clock()
        asked = {"seen": source, "fetched": alone, "rendered": stored}.get(state)
        rows = self.run(
            "due",
            queues=json.dumps(_QUEUES.get(state, {None: ()})[asked]),
            besides=json.dumps(list(besides)) if besides else None,
            now=now,
            farthest=now + FARTHEST_SECONDS,
            limit=limit,
        )
        jobs = [Job.from_row(row) for row in rows]
        return sorted(jobs, key=lambda job: (job.priority, job.next_at == 0, job.next_at, job.id))

    def first_to_fetch(self, channels: Iterable[int], besides: Iterable[int] = ()) -> list[Job]:
        """Of each of these channels the first jobs that Telegram is to be asked for: of those that were never put off,
        and, for each priority, of those that were.
        """
        now = self._clock()
        rows = self.run(
            "first_to_fetch",
            channels=json.dumps(list(channels)),
            besides=json.dumps(list(besides)),
            now=now,
            farthest=now + FARTHEST_SECONDS,
        )
        return [Job.from_row(row) for row in rows]

    def job(self, job_id: int) -> Job | None:
        row = self.run("job", id=job_id).fetchone()
        return Job.from_row(row) if row else None

    def known(self, channel_id: int, message_id: int) -> Job | None:
        row = self.run("known_message", channel_id=channel_id, message_id=message_id).fetchone()
        return Job.from_row(row) if row else None

    def claim(self, job: Job, worker: str) -> bool:
        """Record that `worker` has the job, before it gets it: so its death can be laid at the picture's door."""
        return self._change("claim", id=job.id, generation=job.generation, worker=worker)

    def release_claims(self) -> int:
        """Give back what a pool that is no more had claimed; how many jobs that were."""
        with self.transaction():
            return self.run("release_claims").rowcount

    def release(self, job: Job) -> bool:
        """The worker gives the job back untouched."""
        return self._change("release", id=job.id, generation=job.generation)

    # The arrows

    def record_fetched(self, job: Job, sha256: str, size_bytes: int) -> bool:
        """seen → fetched: the original is in the spool, complete and fsynced."""
        return self._change("to_fetched", id=job.id, generation=job.generation, sha256=sha256, bytes=size_bytes)

    def record_all_fetched(self, fetched: Iterable[tuple[Job, str, int]]) -> set[int]:
        """seen → fetched for several, each with its sha256 and size, in one transaction; the ids of those that were."""
        with self.transaction():
            changed = (
                (job.id, self.run("to_fetched", id=job.id, generation=job.generation, sha256=sha256, bytes=size_bytes))
                for job, sha256, size_bytes in fetched
            )
            return {job_id for job_id, cursor in changed if cursor.rowcount == 1}

    def record_rendered(self, done: JobDone) -> bool:
        """fetched → rendered: all renditions are in the spool, complete and fsynced."""
        return self._change(
            "to_rendered",
            total="encoder_fallbacks",
            by=done.fallbacks,
            id=done.job_id,
            generation=done.generation,
            mime=done.mime,
            extension=done.extension,
            width=done.width,
            height=done.height,
            renditions=msgpack.packb(done.renditions),
            rendition_bytes=sum(one[3] for one in done.renditions) + max(0, done.stripped_bytes),
            stripped_bytes=None if done.stripped_bytes == NOT_STRIPPED else done.stripped_bytes,
        )

    def record_stored(
        self, jobs: Iterable[Job], as_found: Mapping[int, tuple[Rendition, ...]] = MappingProxyType({})
    ) -> list[Job]:
        """Every object of these jobs is in the storage: only the rows are missing, the spool files are not needed.

        The jobs say what of their originals is there. `as_found` are the renditions, by job, of those that found
        other ones there than theirs. Gives those of them that are still as their caller saw them. One transaction, as
        the disk is waited for.
        """
        jobs = list(jobs)
        with self.transaction():
            for job in jobs:
                if job.id in as_found:
                    packed = msgpack.packb([astuple(one) for one in as_found[job.id]])
                    self.run("correct_renditions", id=job.id, generation=job.generation, renditions=packed)
            return self._change_all("mark_stored", {job.id: job for job in jobs}, "id", "generation", "original")

    def record_published(self, jobs: Iterable[Job], address: int | None = None) -> list[Job]:
        """rendered → published: objects and rows of these revisions are there. One transaction.

        `address` is the number of what the URLs in the rows begin with. Gives those of them that are done with; of the
        others a newer revision wants its row.
        """
        with self.transaction():
            by_id = {job.id: job for job in jobs}
            now = int(self._clock())
            published = self._change_all(
                "to_published", by_id, "id", "generation", "revision", now=now, address=address
            )
            first = [job for job in published if job.published_at is None and job.deleted_at is None]
            self.run("add_total", name="processed", by=len(first))
        return published

    def _change_all(self, query: str, by_id: Mapping[int, Job], *fields: str, **values: Any) -> list[Job]:
        """Run one transition of many jobs, each told by these fields; those it applied to, in their order."""
        rows = json.dumps([[getattr(job, field) for field in fields] for job in by_id.values()])
        changed = {row["id"] for row in self.run(query, jobs=rows, **values).fetchall()}
        return [job for job_id, job in by_id.items() if job_id in changed]

    def render_again(self, job: Job) -> bool:
        """The spool has lost the job's renditions, but not its original: have them made again."""
        return self._change("back_to_fetched", id=job.id, generation=job.generation)

    def send_back(self, job: Job) -> bool:
        """The spool has lost the job's files: have them fetched again."""
        return self._change("back_to_seen", id=job.id, generation=job.generation)

    # Failures

    def fail(
        self, job: Job, reason: str, policy: RetryPolicy, *, alone: bool = False
    ) -> Literal["later", "dead", "moved on"]:
        """A failure that may pass: try again later (`alone`: by itself), or, when the policy's attempts are used up,
        bury it.

        "moved on": the job is not where its caller saw it, and nothing was changed.
        """
        delay = policy.delay_seconds(job.attempts + 1, self._random)
        if delay is None:
            buried = self.bury(job, f"{reason} (after {job.attempts + 1} attempts)")
            return "dead" if buried else "moved on"
        put_off = self._change(
            "try_later",
            total="retried",
            id=job.id,
            generation=job.generation,
            state=job.state,
            next_at=self._clock() + delay,
            reason=clip(reason),
            alone=int(alone),
        )
        return "later" if put_off else "moved on"

    def postpone(self, job: Job, seconds: float, reason: str) -> bool:
        """Nothing that the job could be blamed for (an outage): it keeps its attempts and waits."""
        return self._change(
            "postpone",
            id=job.id,
            generation=job.generation,
            state=job.state,
            next_at=self._clock() + seconds,
            reason=clip(reason),
        )

    def doubt(self, job: Job, reason: str) -> bool:
        """fetched → seen: the original can't be decoded, have it fetched again.

        False: it has been, and these are the same bytes, or it was MAX_DOUBTS times.
        """
        return self._change(
            "doubt", total="retried", id=job.id, generation=job.generation, reason=clip(reason), limit=MAX_DOUBTS
        )

    def strike(self, job: Job, reason: str, *, alone: bool) -> bool:
        """The job cost an image worker its life or its memory: it is tried again at once.

        `alone`: by itself and under the larger memory cap.
        """
        return self._change(
            "strike",
            total="retried",
            id=job.id,
            generation=job.generation,
            reason=clip(reason),
            alone=int(alone),
        )

    def bury(self, job: Job, reason: str, *, is_failure: bool = True) -> bool:
        """(any state) → dead, with the reason. No retry follows but the operator's.

        `is_failure`: something went wrong, and is the last failure until another one is.
        """
        failpoints.reach("dead.before")
        buried = self._change(
            "to_dead",
            total="failed",
            id=job.id,
            generation=job.generation,
            state=job.state,
            is_failure=is_failure,
            reason=clip(reason),
        )
        failpoints.reach("dead.after")
        return buried

    def dead(self) -> list[Job]:
        return [Job.from_row(row) for row in self.run("dead")]

    def quarantined(self, limit: int) -> list[dict[str, Any]]:
        """The newest pictures that were set aside for killing their workers: job, channel, message, reason, and where
        in the spool the original is kept.
        """
        return [
            {
                "job": row["id"],
                "channel": row["channel_id"],
                "message": row["message_id"],
                "reason": row["reason"],
                "file": f"{row['id']}.{row['generation']}",
            }
            for row in self.run("quarantined", limit=limit)
        ]

    def revive(self, job_ids: Iterable[int]) -> list[int]:
        """Bring dead letters back to the state they died in; the ids of those that were dead."""
        revived: list[int] = []
        ids = iter(job_ids)
        while some := list(islice(ids, REVIVED_AT_ONCE)):
            with self.transaction():
                came_back = [job_id for job_id in some if self.run("revive", id=job_id).rowcount == 1]
                self.run("add_total", name="retried", by=len(came_back))
            revived += came_back
        return revived

    # Figures

    def states(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return dict.fromkeys(STATES, 0) | {row["state"]: row["jobs"] for row in self.run("states")}

    def totals(self) -> dict[str, int]:
        """`processed`, `failed` and `retried` since the journal was made; `encoder_fallbacks`, once there was one."""
        return {row["name"]: row["value"] for row in self.run("totals")}

    def channels(self) -> list[dict[str, Any]]:
        """id, title, range, messages backfilled and counts of messages ignored, of every channel."""
        return [{**dict(row), "ignored": msgpack.unpackb(row["ignored"])} for row in self.run("channels")]

    def channel_range(self, channel_id: int) -> tuple[int, int, int] | None:
        """Floor, cursor and number of messages backfilled of one channel; None if it was never seen."""
        row = self.run("channel_range", id=channel_id).fetchone()
        return (row["floor"], row["cursor"], row["backfilled"]) if row else None

    def messages_between(self, channel_id: int, low: int, high: int) -> set[int]:
        """The ids of the channel's messages with a picture, deleted ones aside, in that range."""
        rows = self.run("messages_between", channel_id=channel_id, low=low, high=high)
        return {row["message_id"] for row in rows}

    def known_pictures(self, sha256s: Iterable[str]) -> set[str]:
        """Those of the digests of originals that some message's picture has, deleted messages aside."""
        return {row["sha256"] for row in self.run("known_pictures", sha256s=json.dumps(list(sha256s)))}

    def posted_again(self, sha256s: Iterable[str]) -> set[str]:
        """Those of the digests of originals that more than one message's picture has, deleted messages included."""
        return {row["sha256"] for row in self.run("posted_again", sha256s=json.dumps(list(sha256s)))}

    def pictures_under_way(self, sha256s: Iterable[str]) -> set[str]:
        """Those of the digests of originals whose picture or row some message still waits for, dead ones included."""
        return {row["sha256"] for row in self.run("pictures_under_way", sha256s=json.dumps(list(sha256s)))}

    def pictures_ever(self, sha256s: Iterable[str]) -> set[str]:
        """Those of the digests of originals that some message has, or had when it was deleted."""
        return {row["sha256"] for row in self.run("pictures_ever", sha256s=json.dumps(list(sha256s)))}

    def jobs_with(self, sha256s: Iterable[str]) -> list[Job]:
        """The jobs whose picture is rendered and has one of these digests, deleted messages aside."""
        return [Job.from_row(row) for row in self.run("jobs_with", sha256s=json.dumps(list(sha256s)))]

    def published_pictures(self, limit: int) -> list[str]:
        """The digests of some pictures that are published, those of the newest messages."""
        return [row["sha256"] for row in self.run("published_pictures", limit=limit)]

    # What is published as it should not be any more

    def address(self, url: str, prefix: str) -> int:
        """The number of that beginning of URLs and keys."""
        with self.transaction():
            self.run("add_address", url=url, prefix=prefix)
            return int(self.run("address", url=url, prefix=prefix).fetchone()["id"])

    def rows_by_address(self) -> list[tuple[int | None, str, str, int]]:
        """Number, URL and prefix of each address that published rows are under, and how many those are.

        No number: nobody noted under which.
        """
        rows = self.run("rows_by_address").fetchall()
        return [(row["id"], row["url"] or "", row["prefix"] or "", row["rows"]) for row in rows]

    def published_under(self, address: int | None, limit: int) -> list[str]:
        """The digests of some pictures whose rows are under that address, the oldest first."""
        return [row["sha256"] for row in self.run("published_under", address=address, limit=limit)]

    def write_again(self, address: int | None, priority: int, limit: int) -> int:
        """published → rendered: have some of the rows under that address written again; how many.

        With a revision that outbids even a row of a journal that was lost.
        """
        revision = 1000 * int(self._clock())
        with self.transaction():
            return self.run("write_again", address=address, revision=revision, priority=priority, limit=limit).rowcount

    def count_as_is(self) -> int:
        """How many originals are published as they came."""
        return int(self.run("count_as_is").fetchone()[0])

    def pictures_as_is(self, after: str, limit: int) -> list[str]:
        """The digests of some of them, in order, beyond that digest."""
        return [row["sha256"] for row in self.run("pictures_as_is", after=after, limit=limit)]

    def jobs_as_is(self, sha256: str) -> list[Job]:
        """The jobs whose picture that is, deleted messages included."""
        return [Job.from_row(row) for row in self.run("jobs_as_is", sha256=sha256)]

    def replace_original(self, sha256: str, original: str) -> None:
        """The original is published in that way now."""
        with self.transaction():
            self.run("replace_original", sha256=sha256, original=original)

    # What is being removed from the storage

    def begin_removal(self, sha256s: Iterable[str], needed: Callable[[set[str]], set[str]]) -> set[str]:
        """Take a lease on the objects of these pictures, but for those that `needed`, a query of the journal's, names.

        Gives those it was taken on. Nobody stores objects of theirs until `end_removal`, or LEASE_SECONDS after the
        last `renew_removal`.
        """
        with self.transaction():
            wanted = set(sha256s)
            free = wanted - needed(wanted)
            for sha256 in free:
                self.run("put_removal", sha256=sha256, now=self._clock())
        return free

    def renew_removal(self, sha256: str) -> bool:
        """Something is asked of the storage now. False: the lease is lost, and nothing may be asked any more."""
        with self.transaction():
            is_held = bool(self._held([sha256]))
            if is_held:
                self.run("put_removal", sha256=sha256, now=self._clock())
        return is_held

    def end_removal(self, sha256s: Iterable[str]) -> None:
        with self.transaction():
            for sha256 in sha256s:
                self.run("drop_removal", sha256=sha256)

    def forget_removals(self) -> None:
        """Those that were given up, and have run out."""
        now = self._clock()
        with self.transaction():
            self.run("forget_removals", before=now - LEASE_SECONDS, now=now)

    def removals(self) -> dict[str, float]:
        """Unix time of the last request to the storage by digest, of all that are being removed."""
        return {row["sha256"]: row["at"] for row in self.run("removals")}

    def being_removed(self, sha256s: Iterable[str]) -> set[str]:
        """Those of the digests whose objects are being removed, for whoever is about to store some of them.

        What was given up for so long is so no more: whoever is still at it finds that out before its next request.
        """
        asked = list(sha256s)
        if not (found := self._removals_of(asked)):
            return set()
        with self.transaction():
            held = self._held(asked)
            for sha256 in found.keys() - held:
                self.run("drop_removal", sha256=sha256)
        return held

    def _held(self, sha256s: Iterable[str]) -> set[str]:
        """A time in the future is that of a clock that was set back: it does not hold anybody up either."""
        now = self._clock()
        return {sha256 for sha256, at in self._removals_of(sha256s).items() if abs(now - at) < LEASE_SECONDS}

    def _removals_of(self, sha256s: Iterable[str]) -> dict[str, float]:
        rows = self.run("being_removed", sha256s=json.dumps(list(sha256s)))
        return {row["sha256"]: row["at"] for row in rows}

    # How the services stand that are published to

    def breaker(self, service: str) -> dict[str, Any] | None:
        """When it opened, until when it is silent (Unix seconds), error and remedy, of a breaker that is not closed."""
        row = self.run("breaker", service=service).fetchone()
        return dict(row) if row else None

    def put_breaker(self, service: str, opened_at: float, silent_until: float, error: str, remedy: str) -> None:
        with self.transaction():
            self.run(
                "put_breaker",
                service=service,
                opened_at=opened_at,
                silent_until=silent_until,
                error=clip(error),
                remedy=clip(remedy),
            )

    def drop_breaker(self, service: str) -> None:
        with self.transaction():
            self.run("drop_breaker", service=service)

    # How a source finds its channels

    def peer(self, address: str, account_id: int) -> tuple[int, int] | None:
        """Channel id and access hash that the address was resolved to, for this account."""
        row = self.run("peer", address=address, account_id=account_id).fetchone()
        return (row["channel_id"], row["access_hash"]) if row else None

    def put_peer(self, address: str, account_id: int, channel_id: int, access_hash: int) -> None:
        with self.transaction():
            self.run("put_peer", address=address, account_id=account_id, channel_id=channel_id, access_hash=access_hash)

    def peer_ids(self, address: str) -> set[int]:
        """The channels that the address was ever resolved to, for whatever account."""
        return {row["channel_id"] for row in self.run("peer_ids", address=address)}

    def first_configured(self, address: str, now: float) -> float:
        """Since when (Unix seconds) the address has been in the configuration: since `now`, if nobody knows of it."""
        with self.transaction():
            self.run("add_sighting", address=address, now=now)
            return float(self.run("sighting", address=address).fetchone()[0])

    def fates(self, channel_id: int, message_ids: Iterable[int]) -> list[Fate]:
        """How these pictures of a channel stand; one that has no job is left out."""
        messages = json.dumps(list(message_ids))
        rows = self.run("fates", channel_id=channel_id, messages=messages, now=self._clock())
        return [Fate(row["message_id"], row["state"], row["published_at"], bool(row["is_put_off"])) for row in rows]

    def spool_bytes(self) -> int:
        """Bytes of originals and renditions on their way through the spool."""
        return int(self.run("spool_bytes").fetchone()[0])

    def waiting_for_retry(self) -> tuple[int, float | None]:
        """How many jobs wait for a later attempt, and the Unix time of the first of them.

        If more than a thousand are overdue, the rest of these count as waiting: nobody reads them all to find out.
        """
        now = self._clock()
        count, first = self.run("waiting_for_retry", now=now, farthest=now + FARTHEST_SECONDS).fetchone()
        return count, first

    def last_failure(self) -> str | None:
        """The newest failure of any job, with the message it was about; None if there was none, or it is published."""
        row = self.run("last_failure").fetchone()
        return f"channel {row['channel_id']}, message {row['message_id']}: {row['reason']}" if row else None

    def unfinished(self, job_ids: Iterable[int]) -> Mapping[tuple[int, int], str]:
        """State by (job, generation) of those of these jobs whose spool folder is still needed."""
        rows = self.run("unfinished", ids=json.dumps(list(job_ids)))
        return {(row["id"], row["generation"]): row["state"] for row in rows}


def _of_newer(path: Path, newer: database.NewerVersion) -> UnfitJournal:
    return UnfitJournal(
        f"{path}: the journal is of version {newer.version}, this program understands {VERSION}."
        " Run the program that wrote it, or a newer one"
    )
