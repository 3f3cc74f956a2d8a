"""An export as the connection's source: taken in page by page, its pictures fetched, then only retried.

It is checked whole before anything of it is taken; one that cannot be used holds the process. Every message goes
through the one intake door; what is fetched, and what is tried again, is decided by the journal alone, so a restart
changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from ipc import failpoints
from ipc.files.spool import Spool, has_no_room
from ipc.holds import Hold
from ipc.intake import Taken, take, wants_sha256
from ipc.jobs import Job
from ipc.journal import Journal, lookup, queue, transitions
from ipc.options import reading_options
from ipc.posts import Page, Post
from ipc.retry import RetryPolicy
from ipc.timestamps import iso
from ipc.transport.context import Context
from ipc.transport.messages import Message, clip
from workers.sources.backpressure import Backpressure
from workers.sources.export.errors import ExportError
from workers.sources.export.files import LeftOut, MissingFile, fetch, sha256_of
from workers.sources.export.messages import declared_bytes
from workers.sources.export.progress import Progress
from workers.sources.export.reader import Census, Export
from workers.sources.export.turns import turn
from workers.unforeseen import contained

POLL_SECONDS = 2.0
LOOK_SECONDS = 0.5
"""How often it is looked what has become of the pictures, while there is other work."""

BATCH = 16

PATH_LENGTH = 300
"""Characters of the export's path in a report, from its end."""

ERROR_BYTES = 1200
"""Of an error in a report: with the path it goes in one message."""

log = structlog.get_logger()


def run(context: Context, journal: Journal, spool: Spool) -> None:
    """Take in and fetch until asked to stop. Raises Hold if the export cannot be used."""
    with reading_options():
        source = Source(context, journal, spool)
    try:
        source.open()
        while not context.stopping:
            source.go_on()
    except ExportError as error:
        source.tell(connected=False, error=str(error))
        raise Hold(str(error), "Mend or replace the export, or name another one, and start again") from error


def run_once(context: Context, journal: Journal, spool: Spool) -> None:
    """Take in and fetch until all of the export is published or dead. One that cannot be used is told of in the report:
    whoever brought it waits for that, and nothing else is concerned.
    """
    source = Source(context, journal, spool)
    try:
        source.open()
        while not context.stopping and not source.is_done:
            source.go_on(LOOK_SECONDS)
    except ExportError as error:
        source.tell(connected=False, error=str(error))


class Source:
    """One export's way into journal and spool."""

    def __init__(self, context: Context, journal: Journal, spool: Spool) -> None:
        options = context.options
        self._context = context
        self._journal = journal
        self._spool = spool
        self._room = Backpressure(journal, spool, options["room"])
        self._topic: str = options.get("topic", "connection")
        self._path = Path(options["export"])
        self._max_bytes: int = options["max_bytes"]
        self._heartbeat_seconds: float = options["heartbeat_seconds"]
        self._policy = RetryPolicy(**options["retry"])
        self._export: Export | None = None
        self._census: Census | None = None
        self._pages: Iterator[Page] = iter(())
        self._taken = Taken()
        self._read = 0
        self._exhausted = False
        self._progress = Progress(journal, options.get("since", 0))
        self._looked_at = 0.0
        self._lock = context.journal_path.with_name("export.lock")
        self._spool_error = ""
        self._told: dict[str, Any] = {}
        self._told_at = 0.0

    def open(self) -> None:
        """Open the export and check all of it. Raises ExportError."""
        self._export = Export.open(self._path, self._context.progress)
        self._census = self._export.census(self._context.progress)
        self._pages = self._export.pages()
        log.info(
            "export opened",
            channel=self._export.channel.id,
            title=self._export.channel.title,
            messages=self._census.messages,
            photos=self._census.photos,
            ignored=self._census.ignored,
        )
        self.tell()

    @property
    def is_done(self) -> bool:
        """Whether all of the export is taken in, and published or dead."""
        return self._exhausted and self._progress.is_done

    def go_on(self, pause_seconds: float = POLL_SECONDS) -> None:
        """One round: a page, some pictures, what has become of them; with nothing to do, a pause."""
        self.hear(self._context.receive(0))
        took = self.take_page()
        fetched = self.fetch_due()
        if time.monotonic() - self._looked_at >= LOOK_SECONDS or not (took or fetched):
            self._progress.look()
            self._looked_at = time.monotonic()
        self.tell()
        if not took and not fetched:
            self.hear(self._context.receive(pause_seconds))

    def hear(self, message: Message | None) -> None:
        """A hint that there is something to do, or that nothing is to be fetched for now."""
        self._room.hear(message)

    def take_page(self) -> bool:
        """Take the next page of messages into the journal; False when all have been taken."""
        page = next(self._pages, None)
        if page is None:
            if not self._exhausted:
                self._exhausted = True
                log.info("export taken in", **self._counts())
            return False
        page = replace(page, posts=tuple(map(self._compared, page.posts)))
        self._taken += take(self._journal, page, time.time())
        self._progress.add(page)
        self._read += len(page.posts) + sum(page.ignored.values())
        return True

    def _compared(self, post: Post) -> Post:
        """The post, with what the intake needs to tell a picture that was changed from one that has another name now.

        What can't be compared counts as missing: the picture that we have is kept.
        """
        known = lookup.known(self._journal, post.channel_id, post.message_id)
        if known is None or not wants_sha256(known, post.photo):
            return post
        self._context.progress()
        try:
            sha256 = sha256_of(post.photo.locator, known.bytes, post.photo.bytes)
            return replace(post, photo=replace(post.photo, sha256=sha256))
        except (MissingFile, OSError) as error:
            log.warning("a picture cannot be compared, the known one is kept", job=known.id, reason=str(error))
            return replace(post, photo=replace(post.photo, identity=f"missing:{post.photo.identity}"))

    def fetch_due(self) -> int:
        """Fetch the pictures that are due, while the spool has room; how many jobs went a step on.

        Whoever reads an export fetches from all: of two (an import beside the source), one at a time does.
        """
        with turn(self._lock) as is_ours:
            return self._fetch_due() if is_ours else 0

    def _fetch_due(self) -> int:
        went_on = 0
        for job in queue.due(self._journal, "seen", BATCH, source="export"):
            if self._context.stopping or not self._room.is_there():
                break
            went_on += self._fetch(job)
            if self._spool_error:
                break
        return went_on

    def _fetch(self, job: Job) -> bool:
        """Bring one picture into the spool; True if the job went a step on."""
        declared = declared_bytes(job.identity)
        try:
            fetched = self._spool.write_original(
                job.id, job.generation, lambda part: fetch(job.locator, part, self._max_bytes, declared)
            )
        except MissingFile as error:
            self._bury(job, error)
            return True
        except OSError as error:
            if has_no_room(error):
                self._spool_error = f"the spool cannot be written: {error.strerror}"
                log.error("fetching waits", job=job.id, reason=self._spool_error)
                return False
            outcome = transitions.fail(self._journal, job, f"cannot be fetched: {error}", self._policy)
            log.warning("fetching failed", job=job.id, reason=str(error), outcome=outcome)
            return False
        except Exception as error:
            unforeseen = contained(error, "fetching failed for an unforeseen error", job=job.id)
            transitions.fail(self._journal, job, f"cannot be fetched: {unforeseen}", self._policy)
            return False
        self._spool_error = ""
        failpoints.reach("fetched.before")
        if not transitions.record_fetched(self._journal, job, fetched.sha256, fetched.bytes):
            self._spool.remove(job.id, job.generation)  # the message has another picture by now
            return False
        failpoints.reach("fetched.after")
        self._context.wake("fetched")
        log.debug("fetched", job=job.id, bytes=fetched.bytes)
        return True

    def _bury(self, job: Job, error: MissingFile) -> None:
        """A dead letter. One that the exporter has left out is no failure: `dead` lists it, and that is all."""
        was_left_out = isinstance(error, LeftOut)
        transitions.bury(self._journal, job, str(error), is_failure=not was_left_out)
        facts = {"job": job.id, "channel": job.channel_id, "message": job.message_id, "reason": str(error)}
        if was_left_out:
            log.info("a picture was left out of the export and can't be published; bin/run dead lists it", **facts)
        else:
            log.error("dead letter", **facts)

    def _counts(self) -> dict[str, int]:
        taken = self._taken
        return {
            "new": taken.new,
            "edited": taken.edited,
            "already_published": taken.published,
            "already_dead": taken.dead,
            "already_pending": taken.pending,
        }

    def tell(self, *, connected: bool = True, error: str = "") -> None:
        """Report to /status: when something has changed, and once in `heartbeat_seconds`."""
        now = time.monotonic()
        facts = {
            "source": "export",
            "number": self._context.options.get("number", 0),
            "path": clip(str(self._path)[-PATH_LENGTH:], ERROR_BYTES),
            "connected": connected and self._export is not None,
            "error": clip(error, ERROR_BYTES),
            "messages": self._census.messages if self._census else 0,
            "photos": self._census.photos if self._census else 0,
            "channel": self._export.channel.id if self._export else None,
            "behind": self._census.messages - self._read if self._census else 0,
            "exhausted": self._exhausted,
            **self._progress.counts(),
            "spool_full": self._room.is_full,
            "spool_error": self._spool_error or self._room.error,
            **self._counts(),
        }
        if facts == self._told and now - self._told_at < self._heartbeat_seconds:
            return
        self._told, self._told_at = facts, now
        self._context.report(self._topic, last_heartbeat_at=iso(time.time()), **facts)


def check(options: dict[str, Any]) -> list[str]:
    """What is wrong with the source, for `bin/run check`; reads all of the export."""
    try:
        Export.open(Path(options["export"])).census()
    except ExportError as error:
        return [str(error)]
    return []
