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

from ipc.editing import Editing
from ipc.files.spool import Spool
from ipc.identities import Identity, wants_sha256
from ipc.intake import Taken, take
from ipc.journal import Journal, lookup
from ipc.posts import Page, Post
from ipc.process.checklist import Checklist
from ipc.process.holds import Hold
from ipc.process.options import reading_options
from ipc.retry import RetryPolicy
from ipc.transport.context import Context
from ipc.transport.messages import Message
from workers.sources.backpressure import Backpressure
from workers.sources.export.errors import ExportError
from workers.sources.export.fetching.fetching import Fetching
from workers.sources.export.fetching.files import MissingFile, sha256_of
from workers.sources.export.progress import Progress
from workers.sources.export.reading.reader import Census, Export
from workers.sources.export.report import ExportReport, counts_of

POLL_SECONDS = 2.0
LOOK_SECONDS = 0.5
"""How often the pictures' states are looked up while there is other work."""

log = structlog.get_logger()


def run(context: Context, journal: Journal, spool: Spool) -> None:
    """Take in and fetch until asked to stop. Raises Hold if the export cannot be used."""
    with reading_options():
        source = ExportSource(context, journal, spool)
    try:
        source.open()
        while not context.stopping:
            source.go_on()
    except ExportError as error:
        source.report(connected=False, error=str(error))
        raise Hold(str(error), "Mend or replace the export, or name another one, and start again") from error


def run_once(context: Context, journal: Journal, spool: Spool) -> None:
    """Take in and fetch until all of the export is published or dead.

    An export that cannot be used ends it with an error in the report, which `bin/run import` waits for: nothing else
    is concerned.
    """
    source = ExportSource(context, journal, spool)
    try:
        source.open()
        while not context.stopping and not source.is_done:
            source.go_on(LOOK_SECONDS)
    except ExportError as error:
        source.report(connected=False, error=str(error))


class ExportSource:
    """One export's way into journal and spool."""

    def __init__(self, context: Context, journal: Journal, spool: Spool) -> None:
        options = context.options
        self._context = context
        self._journal = journal
        self._backpressure = Backpressure(journal, spool, options["backpressure"])
        self._editing = Editing.from_options(options["editing"])
        self._path = Path(options["export"])
        self._posters = bool(options["video_posters"])
        self._fetching = Fetching(
            journal,
            spool,
            policy=RetryPolicy(**options["retry"]),
            max_bytes=options["max_bytes"],
            lock=context.journal_path.with_name("export.lock"),
            may_go_on=lambda: not context.stopping and self._backpressure.has_room(),
        )
        self._report = ExportReport(context, self._path)
        self._progress = Progress(journal, options.get("since", 0))
        self._looked_at = 0.0
        self._export: Export | None = None
        self._census: Census | None = None
        self._pages: Iterator[Page] = iter(())
        self._taken = Taken()
        self._read = 0
        self._exhausted = False

    def open(self) -> None:
        """Open the export and check all of it. Raises ExportError."""
        self._export = Export.open(self._path, self._context.progress, posters=self._posters)
        self._census = self._export.census(self._context.progress)
        self._pages = self._export.pages()
        log.info(
            "export.opened",
            channel=self._export.channel.id,
            title=self._export.channel.title,
            messages=self._census.messages,
            photos=self._census.photos,
            ignored=self._census.ignored,
        )
        self.report()

    @property
    def is_done(self) -> bool:
        """Whether all of the export is taken in, and published or dead."""
        return self._exhausted and self._progress.is_done

    def go_on(self, pause_seconds: float = POLL_SECONDS) -> None:
        """One round: a page, some pictures, a look at the states; with nothing to do, a pause."""
        self.hear(self._context.receive(0))
        took = self.take_page()
        fetched = self.fetch_due()
        if time.monotonic() - self._looked_at >= LOOK_SECONDS or not (took or fetched):
            self._progress.look()
            self._looked_at = time.monotonic()
        self.report()
        if not took and not fetched:
            self.hear(self._context.receive(pause_seconds))

    def hear(self, message: Message | None) -> None:
        """Take a message: a hint that there is something to do, or that nothing is to be fetched for now."""
        self._backpressure.hear(message)

    def take_page(self) -> bool:
        """Take the next page of messages into the journal; False when all have been taken."""
        page = next(self._pages, None)
        if page is None:
            if not self._exhausted:
                self._exhausted = True
                log.info("export.taken_in", **counts_of(self._taken))
            return False
        page = replace(page, posts=tuple(map(self._compared, page.posts)))
        self._taken += take(self._journal, page, time.time(), self._editing)
        self._progress.add(page)
        self._read += len(page.posts) + sum(page.ignored.values())
        return True

    def _compared(self, post: Post) -> Post:
        """The post, with what the intake needs to tell a picture that was changed from one that was renamed.

        A picture that can't be compared counts as missing: the known one is kept.
        """
        known = lookup.known(self._journal, post.channel_id, post.message_id)
        if known is None or not wants_sha256(known, post.photo):
            return post
        self._context.progress()
        try:
            sha256 = sha256_of(post.photo.locator, known.bytes, post.photo.bytes)
            return replace(post, photo=replace(post.photo, sha256=sha256))
        except (MissingFile, OSError) as error:
            log.warning("picture.not_compared", job=known.id, reason=str(error))
            missing = Identity.read(post.photo.identity).as_missing()
            return replace(post, photo=replace(post.photo, identity=str(missing)))

    def fetch_due(self) -> int:
        """Fetch some of the pictures that are due. Returns the number of jobs that went a step on."""
        return self._fetching.fetch_due(on_fetched=lambda: self._context.wake("fetched"))

    def report(self, *, connected: bool = True, error: str = "") -> None:
        """Report to /status."""
        facts = {
            "connected": connected and self._export is not None,
            "messages": self._census.messages if self._census else 0,
            "photos": self._census.photos if self._census else 0,
            "channel": self._export.channel.id if self._export else None,
            "behind": self._census.messages - self._read if self._census else 0,
            "exhausted": self._exhausted,
            **self._progress.counts(),
            "spool_full": self._backpressure.is_full,
            "spool_error": self._fetching.disk_error or self._backpressure.error,
            **counts_of(self._taken),
        }
        self._report.send(error, facts)


def check(options: dict[str, Any], tried: Checklist) -> None:
    """Try the source, for `bin/run check`; reads all of the export."""
    try:
        census = Export.open(Path(options["export"]), posters=options["video_posters"]).census()
    except ExportError as error:
        tried.fail(str(error))
    else:
        tried.ok(f"export {options['export']}: {census.messages:,} messages, {census.photos:,} with a picture")
