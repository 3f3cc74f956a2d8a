"""Pages, posts and jobs in any state, for the tests of what the processes share."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeAlias, cast

from ipc.intake import take
from ipc.jobs import Job, State
from ipc.journal import Journal, lookup, transitions
from ipc.journal.machines import claims
from ipc.journal.machines.claims import Claim
from ipc.posts import Channel, Page, Photo, Post, Source
from ipc.retry import RetryPolicy
from ipc.transport.messages import JobDone
from tests.ipc.tables import sql

HOME = Path(__file__).parents[2]
CHANNEL = 42
NOW = 1_800_000_000.0
NO_RETRY = RetryPolicy(max_attempts=0, base_seconds=1)
RETRY = RetryPolicy(max_attempts=5, base_seconds=60)
STORY = ("waits_since", "life")
"""Columns that decide nothing."""

WAITING: tuple[State, ...] = ("seen", "fetched", "rendered")
STATES: tuple[State, ...] = (*WAITING, "published", "dead")
PYTHON = [sys.executable, "-P"]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def photo(identity: str = "file:a", **fields: Any) -> Photo:
    source: Source = "telegram" if identity.startswith("id:") else "export"
    plain = Photo(
        photo_id=None,
        identity=identity,
        source=source,
        locator={"file": identity},
        bytes=None,
        width=None,
        height=None,
        mime=None,
    )
    return replace(plain, **fields)


def post(message_id: int = 1, identity: str = "file:a", **fields: Any) -> Post:
    plain = Post(
        channel_id=CHANNEL,
        message_id=message_id,
        posted_at=1_700_000_000,
        edited_at=None,
        grouped_id=None,
        caption="caption",
        photo=photo(identity),
    )
    return replace(plain, **fields)


def page(
    *posts: Post,
    low: int = 1,
    high: int | None = None,
    ignored: dict[str, int] | None = None,
    title: str = "Test",
    **fields: Any,
) -> Page:
    """A page of these posts, from the channel's first message on to the last of them."""
    highest = max((one.message_id for one in posts), default=0)
    return Page(Channel(CHANNEL, title), posts, low, highest if high is None else high, ignored or {}, **fields)


def open_journal(folder: Path | None, clock: Callable[[], float] | None = None) -> Journal:
    """The journal in `folder`, or in memory, with a clock of the test's own and no jitter."""
    path = folder / "journal.db" if folder else Path(":memory:")
    journal = Journal.open(path, clock=clock or Clock(), random=lambda: 0.5)
    if folder is None:
        path.unlink(missing_ok=True)  # the journal's own file, made before SQLite is asked: it has nothing in it
    return journal


def again(journal: Journal, job: Job) -> Job:
    """The job as it is now."""
    now = lookup.job(journal, job.id)
    assert now is not None
    return now


def done(job: Job, size_bytes: int = 30) -> JobDone:
    """What an image worker says of a job that it has rendered."""
    return JobDone(job.id, job.generation, 1, "image/jpeg", "jpg", 640, 480, [[320, 240, "webp", size_bytes]])


def put(journal: Journal, message_id: int = 1, state: State = "seen", identity: str = "file:a", **fields: Any) -> Job:
    """A new job in `state`. "dead" means: died while it was fetched."""
    take(journal, page(post(message_id, identity, **fields)), NOW)
    job = lookup.known(journal, CHANNEL, message_id)
    assert job is not None
    return push(journal, job, state)


def push(journal: Journal, job: Job, state: State) -> Job:
    """Take a job that is seen on to `state`."""
    if state == "dead":
        job = push(journal, job, "fetched")
        assert transitions.bury(journal, job, "a reason")
        return again(journal, job)
    steps: list[Callable[[], bool]] = [
        lambda: bool(transitions.record_fetched(journal, [(job, "5ha", 100, None)])),
        lambda: transitions.record_rendered(journal, done(job)),
        lambda: bool(transitions.record_stored(journal, [job]) and transitions.record_published(journal, [job])),
    ]
    for step in steps[: STATES.index(state)]:
        assert step()
    return again(journal, job)


def put_in(journal: Journal, state: str, seen: Job | None = None) -> Job:
    """A job in `state`, where "claimed" is fetched and in a worker's hand, "stored" rendered and in the storage."""
    plain = {"claimed": "fetched", "stored": "rendered"}.get(state, state)
    job = push(journal, seen or put(journal), cast(State, plain))
    assert state != "claimed" or transitions.claim(journal, job, "image-1")
    assert state != "stored" or transitions.record_stored(journal, [job])
    return again(journal, job)


def job_values(message_id: int, channel_id: int = CHANNEL) -> dict[str, Any]:
    """What `add_job` needs for a plain message."""
    nothing = dict.fromkeys(("grouped_id", "edited_at", "photo_id", "forwarded_from", "reply_to"))
    address = {"channel_id": channel_id, "message_id": message_id, "posted_at": 1, "now": 1, "priority": 0, "step": b""}
    message = {"revision": 1, "digest": b"", "caption": "", "entities": b"\x90"}
    picture = {"kind": "photo", "identity": "file:a", "source": "export", "locator": b"\x80"}
    return {**nothing, **address, **message, **picture}


def recounted(journal: Journal) -> dict[str, int]:
    """What `states` must say, counted row by row."""
    counted: dict[str, int] = dict.fromkeys(STATES, 0)
    for row in sql(journal, "SELECT state, count(*) FROM jobs GROUP BY state"):
        counted[row[0]] = row[1]
    return counted


Counts: TypeAlias = dict[tuple[str, int], tuple[int, int, int]]
"""By state and channel: jobs, how many of them were put off, bytes in the spool."""


def kept_counts(journal: Journal) -> Counts:
    """What the triggers have kept, without what is nothing."""
    found = sql(journal, "SELECT * FROM counts WHERE (jobs, put_off, spool_bytes) != (0, 0, 0)")
    return {(row["state"], row["channel_id"]): (row["jobs"], row["put_off"], row["spool_bytes"]) for row in found}


def recounted_counts(journal: Journal) -> Counts:
    """What they must have kept, counted row by row."""
    counted: Counts = {}
    for row in sql(journal, "SELECT * FROM jobs"):
        jobs, put_off, spool_bytes = counted.get((row["state"], row["channel_id"]), (0, 0, 0))
        mine = 0 if row["stored"] else (row["bytes"] or 0) + row["rendition_bytes"]
        counted[row["state"], row["channel_id"]] = (jobs + 1, put_off + (row["next_at"] > 0), spool_bytes + mine)
    return counted


def kept_reasons(journal: Journal) -> dict[str, int]:
    """How many dead letters the triggers have counted of each reason."""
    return {row["reason"]: row["jobs"] for row in sql(journal, "SELECT * FROM dead_reasons")}


def recounted_reasons(journal: Journal) -> dict[str, int]:
    """The same, counted row by row."""
    dead = sql(journal, "SELECT reason FROM jobs WHERE state = 'dead'")
    return dict(Counter(row["reason"] or "" for row in dead))


def rows(journal: Journal) -> list[dict[str, Any]]:
    """Every job's row but its id and what only tells its story, in the order of the messages."""
    found = sql(journal, "SELECT * FROM jobs ORDER BY channel_id, message_id")
    return [{name: value for name, value in dict(row).items() if name not in ("id", *STORY)} for row in found]


@contextmanager
def processes(target: Callable[..., None], arguments: list[tuple[Any, ...]]) -> Iterator[list[BaseProcess]]:
    """Real, fresh processes that run `target`; none of them outlives the block."""
    started: list[BaseProcess] = [get_context("spawn").Process(target=target, args=args) for args in arguments]
    try:
        for process in started:
            process.start()
        yield started
    finally:
        for process in started:
            process.kill()
            process.join()
            process.close()


def claim_of(journal: Journal, job_id: int) -> Claim | None:
    """The claim of that job, if it has one."""
    return next((one for one in claims.newest(journal, 1000) if one.job_id == job_id), None)
