"""Guards the machine: looks whether its memory is short, and rations the work of pool and connection.

The decisions are in `supervisor.resources.pressure`. A ration may get lost with a full mailbox or a child
that dies: it is sent again until it has arrived, and to every new child.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from ipc.transport import messages
from ipc.transport.router import Tree
from supervisor.resources import pressure
from supervisor.resources.pressure import MemoryLimits, Reading

LOOK_SECONDS = 1.0

RATIONED = ("pool", "connection")
"""The children that get the ration; and an import, while there is one."""

IMPORT = "import"

log = structlog.get_logger()


class Guard:
    """One for the root. `report` puts a topic's facts into /status; `cgroup` is the one that the whole tree is in."""

    def __init__(
        self,
        tree: Tree,
        report: Callable[..., None],
        cgroup: Path | None,
        *,
        read: Callable[[Path | None], Reading] = pressure.read,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tree = tree
        self._report = report
        self._cgroup = cgroup
        self._read = read
        self._clock = clock
        self._limits = MemoryLimits(0, 0.0)
        self._workers = 1
        self._ration = pressure.RationState()
        self._looked = -LOOK_SECONDS
        self._short_since: int | None = None
        self._unsent: set[str] = set()

    def configure(self, limits: MemoryLimits, workers: int) -> None:
        """Set the rules in force from now on. `workers` is the number of image workers."""
        self._limits, self._workers = limits, workers

    def on_start(self, child: str) -> None:
        """A new child works without a ration until it gets one."""
        if child in (*RATIONED, IMPORT) and not self._ration.is_full:
            self._unsent.add(child)
            self._send()

    def on_tick(self) -> None:
        """Look, at most once a second."""
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        reading = self._read(self._cgroup)
        before, self._ration = self._ration, self._next(reading, now)
        if self._ration != before:
            self._change(before, reading)
        self._send()

    def _next(self, reading: Reading, now: float) -> pressure.RationState:
        if self._limits == MemoryLimits(0, 0.0):
            return pressure.RationState()  # switched off, from one moment to the next
        return pressure.step(
            self._ration, pressure.judge(reading, self._limits, self._ration.state), self._workers, now
        )

    def _change(self, before: pressure.RationState, reading: Reading) -> None:
        ration = self._ration
        self._short_since = None if ration.is_full else self._short_since or int(time.time())
        facts = {
            "available_bytes": reading.available_bytes,
            "pressure_percent": reading.percent,
            "workers": ration.workers or self._workers,
            "intake": ration.intake,
        }
        if ration.state == "short":
            log.warning("machine.memory_short", **facts)
        else:
            log.info("machine.memory_recovered", **facts)
        self._report("machine", state=ration.state, since=self._short_since, rationed=not ration.is_full, **facts)
        if (ration.workers, ration.intake) != (before.workers, before.intake):
            self._unsent = {*RATIONED, *({IMPORT} & set(self._tree.names()))}

    def _send(self) -> None:
        ration = messages.Ration(self._ration.workers, self._ration.intake)
        self._unsent = {child for child in self._unsent if not self._tree.send(child, ration)}
