"""The connection: takes messages from a source into the journal, and fetches their pictures into the spool.

The source is Telegram where an account is configured, and a Telegram Desktop export where not; on a node it is the
queue with what other machines have handed over. Its loop is in `workers.sources`; no source is imported where another
is used.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from ipc.files.spool import Spool
from ipc.journal import Journal
from ipc.machines.names import is_node
from ipc.posts import Source
from ipc.process.checklist import Checklist
from ipc.process.loading import loading
from ipc.process.options import reading_options
from ipc.transport.context import Context
from workers.sources import guests


def main(context: Context) -> None:
    """Start, read the source until asked to stop.

    Options: `machines` (a node: the queue), `telegram` (None: the export), `export`, `backpressure`, `retry`, …
    Raises Hold where only a person can help; whatever else is raised, a new process tries again.
    """
    with reading_options():
        source = source_of(context.options)
    # Before an export is opened, which may take minutes: the last report of the predecessor does not hold any more.
    context.report("connection", source=source, connected=False, error="")
    journal, spool = _start(context)
    if source == "telegram":
        with loading():
            from workers.sources.telegram.source import run as read_telegram  # noqa: PLC0415 - 230 ms and 51 MiB

        asyncio.run(read_telegram(context, journal, spool))
    elif source == "queue":
        with loading():
            from workers.sources.queue.source import run as take_from_queue  # noqa: PLC0415 - both clients' libraries

        take_from_queue(context, journal, spool)
    else:
        with loading():
            from workers.sources.export.source import run as read_export  # noqa: PLC0415

        read_export(context, journal, spool)


def source_of(options: Mapping[str, Any]) -> Source:
    """The source that these options name."""
    if is_node(options):
        return "queue"
    return "telegram" if options["telegram"] else "export"


def take_export(context: Context) -> None:
    """Be an import beside the source, until all of its export is published or dead.

    Options: as above, and `topic`, which it reports under, `number`, which tells this import from others, and `since`,
    the Unix second that it begins at: what was published before is not of its doing, so it waits for that.
    """
    with loading():
        from workers.sources.export.source import run_once  # noqa: PLC0415

    journal, spool = _start(context)
    while not context.stopping and (left := context.options["since"] - time.time()) > 0:
        context.receive(min(left, 1.0))
    run_once(context, journal, spool)


def _start(context: Context) -> tuple[Journal, Spool]:
    """Open what the process works on, and report that it is ready."""
    journal, spool = Journal.open(context.journal_path), Spool(context.spool_path)
    if not is_node(context.options):
        guests.forget_all(journal, spool)  # of a machine that was a node before
    context.ready()
    return journal, spool


def check(options: dict[str, Any], tried: Checklist) -> None:
    """Try the source, for `bin/run check`: reads all of an export; asks Telegram for each channel."""
    source = source_of(options)
    if source == "queue":
        return  # the catalogue's check and the storage's try all that a node needs
    if source == "telegram":
        from workers.sources.telegram.check import check as check_telegram  # noqa: PLC0415

        check_telegram(options["telegram"], tried)
        return
    from workers.sources.export.source import check as check_export  # noqa: PLC0415

    check_export(options, tried)
