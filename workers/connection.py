"""The connection: takes messages from a source into the journal, and fetches their pictures into the spool.

The source is Telegram where an account is configured, and a Telegram Desktop export where not. This module only
chooses; neither source is imported where the other one is used.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from ipc.files.spool import Spool
from ipc.journal import Journal
from ipc.options import reading_options
from ipc.transport.context import Context


def main(context: Context) -> None:
    """Be the source until asked to stop. Options: `telegram` (None: the export), `export`, `room`, `retry`, …"""
    # First of all, since an export may take minutes to open: what its predecessor said last does not hold any more.
    with reading_options():
        name = "telegram" if context.options["telegram"] else "export"
    context.report("connection", source=name, connected=False, error="")
    journal, spool = Journal.open(context.journal_path), Spool(context.spool_path)
    context.ready()
    if name == "telegram":
        from workers.sources.telegram import source as telegram  # noqa: PLC0415 - 290 ms and 51 MiB

        asyncio.run(telegram.run(context, journal, spool))
    else:
        from workers.sources.export import source as export  # noqa: PLC0415

        export.run(context, journal, spool)


def take_export(context: Context) -> None:
    """Be an import beside the source, until all of its export is published or dead.

    Options: as above, and `topic`, which it reports under, `number`, which tells this import from others, and `since`,
    the Unix second that it begins at: what was published before is not of its doing, so it waits for that.
    """
    from workers.sources.export import source as export  # noqa: PLC0415

    journal, spool = Journal.open(context.journal_path), Spool(context.spool_path)
    context.ready()
    while not context.stopping and (left := context.options["since"] - time.time()) > 0:
        context.receive(min(left, 1.0))
    export.run_once(context, journal, spool)


def check(options: dict[str, Any], say: Callable[[str], None] = lambda line: None) -> list[str]:
    """What is wrong with the source, for `bin/run check`; what is good is told to `say`.

    Reads all of an export; asks Telegram for each channel.
    """
    if options["telegram"]:
        from workers.sources.telegram import check as telegram  # noqa: PLC0415

        return telegram.check(options["telegram"], say)
    from workers.sources.export import source as export  # noqa: PLC0415

    return export.check(options)
