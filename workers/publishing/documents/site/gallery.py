"""The gallery's thread: it notes what has changed as tasks in the journal, and does these one after another.

A change is a task before the thread's position in the changes moves; a task ends when its documents are written. So
killed anywhere, the next process goes on where this one was. What is live has its turn before what is built, and is
collected until it is quiet: an album's pictures come one after another.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ipc import failpoints
from ipc.files.object_layout import address_of
from ipc.journal import Journal, figures, lookup
from ipc.journal.outputs import changes, site
from ipc.journal.outputs.changes import Change
from ipc.journal.outputs.site import Rank, Task
from workers.publishing import catalog as catalogs
from workers.publishing import storage as storages
from workers.publishing.catalog import Catalog
from workers.publishing.documents import spoilers
from workers.publishing.documents.debounce import Debounce
from workers.publishing.documents.progress import Progress
from workers.publishing.documents.site.blocks import SPAN, Blocks
from workers.publishing.documents.site.html.frame import Site
from workers.publishing.documents.site.index_pages import IndexPages
from workers.publishing.documents.site.output import Output, Written
from workers.publishing.documents.site.posts import INDEX
from workers.publishing.storage import Storage

NAME = "site"
"""Name of the consumer of changes, and of its reports."""

QUIET_SECONDS, LONGEST_SECONDS = 2.0, 10.0
"""How long a change waits for further ones, and how late a page may be while posts come all the time, in seconds."""

AT_ONCE = 500
"""Changes that are read in one go."""

REMOVED_AT_ONCE = 100
DEFAULT_TITLE = "Pictures"


@dataclass(frozen=True, slots=True)
class _Means:
    """Connections of this thread's own, and what works with them."""

    look: Site
    storage: Storage
    catalog: Catalog
    output: Output
    blocks: Blocks
    index_pages: IndexPages


class Gallery:
    """A `Work` of a WorkThread. `options` are the uploader's; `clock` gives monotonic seconds."""

    def __init__(
        self,
        options: Mapping[str, Any],
        journal: Journal,
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._settings: Mapping[str, Any] = options["site"]
        self._journal = journal
        self._progress = progress
        self._clock = clock
        self._prefix: str = options["storage"]["prefix"]
        self._means: _Means | None = None
        self._position: int | None = None
        self._debounce = Debounce(QUIET_SECONDS, LONGEST_SECONDS)
        self._is_due = False
        """What was collected is being made. Until that is done nothing more is collected: else posts that come all the
        time would have their blocks made again and again, and the pages after these never."""
        self._written = 0

    def step(self) -> int:
        """Do the next task, if one is due. Returns the number done. Raises ServiceFault, JobFault and OSError."""
        try:
            done = self._go_on() if self._settings["enabled"] else self._turn_off()
        except Exception as error:
            self._progress.failed(error)
            raise
        self._progress.went_on(site.counts(self._journal)[0])
        return done

    @property
    def is_waiting(self) -> bool:
        """Whether there are changes that time alone makes due."""
        return self._debounce.is_waiting

    def close(self) -> None:
        """Let go of the services."""
        if self._means is not None:
            self._means.storage.close()
            self._means.catalog.close()
            self._means = None

    def _go_on(self) -> int:
        if self._position is None:
            self._position = self._begin()
        if not self._is_due:
            self._look_for_changes(self._position)
        # What is live waits until it is quiet. What a process before this one has left has waited already.
        task = site.next_task(self._journal, is_live=self._is_due or not self._debounce.is_waiting)
        self._is_due = self._is_due and task is not None and task.is_live
        if task is None:
            self._rest()
            return 0
        self._written += self._do(task).count
        return 1

    def _look_for_changes(self, position: int) -> None:
        """Take changes over, and see whether they are due."""
        if self._collect(position) and self._title() != self._connected().look.title:
            self.close()  # its only channel has another title now, or there is a second one
            self._position = self._begin()
        self._is_due = self._debounce.is_due(self._clock())
        if self._is_due:
            self._debounce.reset()

    def _rest(self) -> None:
        """Report what was written, once nothing is left to do."""
        if self._written and not self._debounce.is_waiting:
            self._progress.wrote(self._written)
            self._written = 0

    def _do(self, task: Task) -> Written:
        means = self._connected()
        return means.blocks.make(task) if task.what == "block" else means.index_pages.make(task)

    # What is to be done

    def _begin(self) -> int:
        """Follow the changes. Have everything made if it never was, or looks otherwise now, or is not there."""
        position = changes.register(self._journal, NAME).position
        version, place = self._version(), self._place()
        made = site.made(self._journal)
        is_lost = made == (version, place) and self._is_lost()
        if made != (version, place) or is_lost:
            failpoints.reach("site.begun")
            channel_ids = [channel["id"] for channel in figures.channels(self._journal)]
            is_doubtful = is_lost or (made is not None and made[1] != place)
            site.begin(self._journal, version, place, channel_ids, is_doubtful=is_doubtful)
        return position

    def _is_lost(self) -> bool:
        """Whether the front page, which was written, is not there: somebody has deleted the folder."""
        was_written = site.digest(self._journal, INDEX) is not None
        return was_written and not self._connected().output.is_there(INDEX)

    def _collect(self, position: int) -> bool:
        """Make tasks of the changes, then move on. Returns whether there were some."""
        start = position
        while page := changes.after(self._journal, position, AT_ONCE):
            failpoints.reach("site.before")
            with self._journal.transaction():
                self._note(page)
            failpoints.reach("site.noted")
            self._position = position = page[-1].id
            changes.advance(self._journal, NAME, position)
            self._debounce.note(self._clock())
        return position != start

    def _note(self, page: Iterable[Change]) -> None:
        """The blocks that the messages are in. In a transaction."""
        for channel_id, message_id in {(change.channel_id, change.message_id) for change in page}:
            site.meet(self._journal, channel_id)
            job = lookup.known(self._journal, channel_id, message_id)
            is_album = job is not None and job.grouped_id is not None
            for place in {message_id, max(0, message_id - SPAN) if is_album else message_id}:
                block = site.block(self._journal, channel_id, place)
                assert block is not None, "a channel that is met has a block from 0 on"
                site.add(self._journal, Task("block", Rank.BLOCK, channel_id, block.first_id))

    # How it looks

    def _look(self, storage: Storage) -> Site:
        feeds = bool(self._options.get("feeds", {}).get("enabled"))
        return Site(self._title(), address_of(storage.url, self._prefix), feeds)

    def _title(self) -> str:
        titles = [channel["title"] for channel in figures.channels(self._journal)]
        return self._settings["title"] or (titles[0] if len(titles) == 1 and titles[0] else DEFAULT_TITLE)

    def _version(self) -> str:
        """The version of the pages. It changes as soon as any page may look otherwise."""
        look = self._look(self._connected().storage)
        return hashlib.sha256(repr((look, _source_digest())).encode()).hexdigest()

    def _place(self) -> str:
        """The place of the documents. What was written to another place says nothing of this one."""
        storage = self._options["storage"]
        where = [storage.get(name, "") for name in ("backend", "endpoint", "bucket", "prefix")]
        return hashlib.sha256(repr((where, self._options["state_dir"])).encode()).hexdigest()

    def _connected(self) -> _Means:
        if self._means is None:
            storage, catalog = storages.make(self._options), catalogs.make(self._options)
            output, look = Output(self._journal, storage, self._prefix), self._look(storage)
            blocks = Blocks(self._journal, catalog, output, look)
            self._means = _Means(
                look, storage, catalog, output, blocks, IndexPages(self._journal, catalog, output, look)
            )
        return self._means

    # Turned off

    def _turn_off(self) -> int:
        """Delete what an earlier configuration has made: nobody would keep it true any more."""
        if site.made(self._journal) is None:
            self.close()
            return 0
        paths = site.some_paths(self._journal, REMOVED_AT_ONCE)
        if paths:
            written = self._connected().output.write((), paths)
            with self._journal.transaction():
                site.record(self._journal, (), written.gone)
            self._written += len(paths)
            return len(paths)
        failpoints.reach("site.removed")
        changes.unregister(self._journal, NAME)
        site.forget(self._journal)
        self._progress.removed(self._written)
        self._written = 0
        return 1


@cache
def _source_digest() -> str:
    """Digest of all files that pages are made by."""
    files = sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in (".py", ".css", ".js"))
    files.append(Path(spoilers.__file__))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
