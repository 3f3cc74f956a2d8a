"""The health process: /status, /health and /live over HTTP. The only home of uvicorn.

It shares nothing with the processes that work: their states come as messages from the root, the figures from the
journal, which it only reads. So it answers at once, whatever the others are doing. The root owns the listening socket:
while this process is being replaced, requests wait in the socket's queue instead of being refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from health.application import make_app
from health.status import PATIENCE_SECONDS, Figures, Known, Memory, snapshot, summarize, waiting
from ipc.journal import Journal, JournalError
from ipc.journal import figures as journal_figures
from ipc.options import reading_options
from ipc.transport.context import Context
from ipc.transport.exits import FOR_MEMORY
from ipc.transport.mailbox import Closed
from ipc.transport.messages import ENDS, KILLS, ChildState, Ended, Report

LOOK_SECONDS = 2.0
"""How often the problems are looked at besides every request, so that `since` is right."""

OVERSLEPT_SECONDS = 2.0
"""Who wakes up so much later than wanted, was frozen or had no processor."""

LIVE_SECONDS = 60.0
"""A root that has said nothing for so long hangs, and only a restart of the whole can help. It speaks every two seconds
or three.
"""

QUARANTINED = 20
"""How many pictures that were set aside are named; `bin/run dead` names all."""

SILENT_SECONDS = 5.0
"""How long a connection may be open with no request under way."""


def main(context: Context) -> None:
    """Serve until asked to stop.

    Options: `listen_fd`, `token`, `allowed_hosts`, `root` (pid, started_at, spawned), `state_dir`.
    """
    asyncio.run(_serve(context))


async def _serve(context: Context) -> None:
    with reading_options():
        app = make_app(view := View(context), context.options["token"], context.options["allowed_hosts"])
        listener = socket.socket(fileno=context.options["listen_fd"])
    server = _Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=1,
        )
    )
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(context.stop_fd)
        server.leave()

    loop.add_reader(context.inbox.fileno(), view.take_messages)
    loop.add_reader(context.stop_fd, stop)
    watching = asyncio.create_task(_watch(context, view, server))
    await server.serve(sockets=[listener])
    watching.cancel()


async def _watch(context: Context, view: View, server: _Server) -> None:
    """Say that we are ready once we listen; then show progress, look at the problems, and sum up, now and then."""
    while not server.started:
        await asyncio.sleep(0.005)
    context.ready()
    while True:
        context.progress()
        view.sum_up()
        slept_since = time.monotonic()
        server.close_the_silent(slept_since)
        await asyncio.sleep(LOOK_SECONDS)
        view.note_sleep(time.monotonic() - slept_since)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers (stopping is the supervisor's business), and with less patience."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._idle_since: dict[H11Protocol, float] = {}
        self._left = asyncio.Event()

    def leave(self) -> None:
        """Finish what is under way, and stop serving."""
        self.should_exit = True
        self._left.set()

    async def main_loop(self) -> None:
        """Wait for that. uvicorn's own wakes up ten times a second, for a header that we don't send."""
        await self.on_tick(0)
        await self._left.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def close_the_silent(self, now: float) -> None:
        """Close the connections that have had no request under way for a while: they take the places of others."""
        connections = cast(set[H11Protocol], self.server_state.connections)
        self._idle_since = {one: self._idle_since.get(one, now) if _is_idle(one) else now for one in connections}
        for one, since in self._idle_since.items():
            if now - since > SILENT_SECONDS:
                one.transport.close()


def _is_idle(connection: H11Protocol) -> bool:
    cycle = getattr(connection, "cycle", None)
    return cycle is None or cycle.response_complete


class View:
    """What this process knows of the others."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._tree: dict[str, dict[str, Any]] = {}
        self._ends: dict[str, deque[dict[str, Any]]] = {}
        self._kills: list[dict[str, Any]] = []
        self._reports: dict[str, dict[str, Any]] = {}
        self._memory = Memory()
        self._journal: Journal | None = None
        self._heard = time.monotonic()
        self._progress: tuple[int, int] = (0, 0)
        self._moved = time.monotonic()
        self._summary = ""
        self._awake_since = -math.inf
        self._changes = 0

    def note_sleep(self, seconds: float) -> None:
        """It has waited for so long where LOOK_SECONDS were wanted: if it was frozen, so were the others perhaps."""
        if seconds > LOOK_SECONDS + OVERSLEPT_SECONDS:
            self._awake_since = time.monotonic()

    def take_messages(self) -> None:
        """Take in what the root has sent."""
        with contextlib.suppress(Closed):
            while (message := self._context.inbox.receive()) is not None:
                self._heard = time.monotonic()
                match message:
                    case ChildState(name, facts) if not facts:
                        self._changes += 1
                        self._tree.pop(name, None)
                        self._ends.pop(name, None)
                    case Ended(name, facts):
                        self._ends.setdefault(name, deque(maxlen=ENDS)).append(facts)
                        self._note_kill(name, facts)
                    case ChildState(name, facts):
                        self._changes += _is_other(self._tree.get(name, {}), facts)
                        self._tree[name] = facts
                    case Report(topic, facts) if not facts:
                        self._reports.pop(topic, None)
                    case Report(topic, facts):
                        self._reports[topic] = facts
                    case _:
                        pass

    def _note_kill(self, name: str, facts: dict[str, Any]) -> None:
        """A new process is told the older ones first, child by child."""
        if facts.get("cause") in FOR_MEMORY:
            kill = {"process": name, **{key: value for key, value in facts.items() if key != "stacks"}}
            self._kills = sorted([*self._kills, kill], key=lambda one: float(one["at"]))[-KILLS:]

    def look(self) -> dict[str, Any]:
        """The body of /status, now."""
        self.take_messages()
        figures, error = self._read_journal()
        now, monotonic = time.time(), time.monotonic()
        if figures:
            done = (figures.totals.get("processed", 0), figures.totals.get("failed", 0))
            if done != self._progress or not waiting(figures, self._reports.get("connection", {})):
                self._progress, self._moved = done, monotonic
        root = self._context.options["root"]
        known = Known(
            now=now,
            monotonic=monotonic,
            root={
                **root,
                "state": "running",
                "restarts": 0,
                **_memory_of(root["pid"]),
                **self._reports.get("root", {}),
                "cap_bytes": 0,
            },
            silent_seconds=monotonic - self._heard,
            tree=self._tree,
            ends=self._ends,
            kills=self._kills,
            reports=self._reports,
            figures=figures,
            journal_error=error,
            unmoved_seconds=monotonic - self._moved,
            available_bytes=_available_bytes(),
            awake_since=self._awake_since,
        )
        return snapshot(known, self._memory)

    def changes(self) -> int:
        """Another number as soon as a process of the tree is another one, or stands otherwise."""
        self.take_messages()
        return self._changes

    def is_live(self) -> bool:
        """Whether the tree lives, whatever is wrong with what it needs from outside."""
        self.take_messages()
        return time.monotonic() - self._heard < LIVE_SECONDS

    def sum_up(self) -> None:
        """Look, and tell the root in one line what is new: it keeps systemd informed, and reads no journal.

        Not while it is silent: it may not read either, and whoever writes to it would have to wait.
        """
        summary = summarize(self.look())
        if summary != self._summary and time.monotonic() - self._heard < PATIENCE_SECONDS:
            self._summary = summary
            self._context.report("summary", text=summary)

    def _read_journal(self) -> tuple[Figures | None, str]:
        try:
            if self._journal is None:
                self._journal = Journal.open_to_read(self._context.journal_path)
            return self._figures(self._journal), ""
        except (JournalError, ValueError) as error:  # ValueError: a packed column that is damaged
            if self._journal:
                self._journal.close()
            self._journal = None
            return None, str(error) if isinstance(error, JournalError) else f"the journal cannot be read: {error!r}"

    @staticmethod
    def _figures(journal: Journal) -> Figures:
        with journal.reading():
            return Figures(
                states=journal_figures.states(journal),
                totals=journal_figures.totals(journal),
                channels=tuple(journal_figures.channels(journal)),
                waiting_for_retry=journal_figures.waiting_for_retry(journal)[0],
                spool_bytes=journal_figures.spool_bytes(journal),
                last_failure=journal_figures.last_failure(journal),
                quarantined=tuple(journal_figures.quarantined(journal, QUARANTINED)),
            )


def _is_other(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether a row is of another process, or of one that stands otherwise."""
    return any(before.get(key) != after.get(key) for key in ("state", "pid", "restarts"))


def _memory_of(pid: int) -> dict[str, int]:
    """RSS of a process now and at its highest, in bytes, as the kernel keeps it."""
    fields = _proc_fields(Path(f"/proc/{pid}/status"))
    return {"rss_bytes": fields.get("VmRSS", 0), "peak_rss_bytes": fields.get("VmHWM", 0)}


def _available_bytes() -> int:
    """What the machine could still give, in bytes."""
    return _proc_fields(Path("/proc/meminfo")).get("MemAvailable", 0)


def _proc_fields(path: Path) -> dict[str, int]:
    """The fields of a /proc file that are given in kB, in bytes."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0].rstrip(":"): int(pair[1]) * 1024 for pair in pairs if len(pair) == 3 and pair[2] == "kB"}
