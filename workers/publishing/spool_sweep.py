"""The strays of killed processes are deleted from the spool, now and then and a slice at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from functools import partial

import structlog

from ipc.files.spool import Spool
from ipc.journal import Journal, lookup

SWEEP_SECONDS = 600.0
"""How often strays are looked for in the spool, besides at every start."""

SLICE_SECONDS = 0.2
"""How long one call may take: hundreds of thousands of dead letters may have a folder there."""

log = structlog.get_logger()


class SpoolSweep:
    """Sweeps one spool of what the journal does not know."""

    def __init__(self, spool: Spool, journal: Journal) -> None:
        self._spool = spool
        self._journal = journal
        self._began = -math.inf
        self._rest: Iterator[int] = iter(())

    def go_on(self) -> None:
        """Begin a sweep if one is due, and go on with it for SLICE_SECONDS."""
        until = time.monotonic() + SLICE_SECONDS
        if time.monotonic() - self._began > SWEEP_SECONDS:
            self._began = time.monotonic()
            self._rest = self._spool.sweeping(partial(lookup.unfinished, self._journal))
        for swept in self._rest:
            if swept:
                log.info("spool.swept", folders=swept)
            if time.monotonic() > until:
                return
