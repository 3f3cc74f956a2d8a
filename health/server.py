"""The health process: figures and the page over HTTP, messages to people. The only home of uvicorn.

It shares nothing with the processes that work: their states come as messages from the root, the figures from the
journal, which it only reads, but for a retry on the page. So it answers at once, whatever the others do. The root owns
the listening socket: while this process is being replaced, requests wait in its queue instead of being refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import Server

from health.answers import Receive, Scope, Send
from health.application import Application
from health.listener import Listener, is_told
from health.notify.notifier import Notifier
from health.page.journal import PageOptions
from health.view.view import View
from ipc.process.options import reading_options
from ipc.transport.context import Context

LOOK_SECONDS = 2.0
"""How often the problems are looked at besides every request, so that `since` is right."""

OVERSLEPT_SECONDS = 2.0
"""Waking up later than planned by more than this means that the process was frozen or got no CPU time."""

SILENT_SECONDS = 5.0
"""How long a connection may be open with no request under way."""

STUCK_SECONDS = 10.0
"""How long a client may take nothing of what waits for it."""


def main(context: Context) -> None:
    """Serve until asked to stop.

    Options: `listen_fd`, `token`, `session_secret`, `allowed_hosts`, `root` (pid, started_at, spawned), `state_dir`,
    `version`, `spool_max_bytes`, `min_free_bytes`, `machines` (role and name), `notify` (the settings of that section),
    and those of the page.
    """
    asyncio.run(_serve(context))


async def _serve(context: Context) -> None:
    options = context.options
    with reading_options():
        notifier = Notifier(options["notify"], options["root"], Path(options["state_dir"]), time.monotonic())
        view = View(context, undelivered=notifier.undelivered)
        app = Application(
            view,
            options["token"],
            options["allowed_hosts"],
            page=PageOptions.read(options),
            session_secret=options["session_secret"],
        )
    server = _Server(_configuration(app))
    with reading_options():
        listener = Listener(options["listen_fd"], lambda: len(server.server_state.connections))
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_unless_told)

    def stop() -> None:
        loop.remove_reader(context.stop_fd)
        app.end()
        server.leave()

    loop.add_reader(context.inbox.fileno(), view.take_messages)
    loop.add_reader(context.stop_fd, stop)
    watching = asyncio.create_task(_watch(context, view, notifier, server))
    await server.serve(sockets=[listener])
    watching.cancel()


def _configuration(app: Application) -> uvicorn.Config:
    return uvicorn.Config(
        _abortable(app),
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


def _log_unless_told(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if not is_told(context):
        loop.default_exception_handler(context)


def _abortable(app: Application) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The application, whose scope has `abort`: it cuts the connection of a client that does not read what it gets."""

    async def with_abort(scope: Scope, receive: Receive, send: Send) -> None:
        cycle = cast(RequestResponseCycle, getattr(send, "__self__"))  # noqa: B009  # uvicorn gives a method of it
        await app({**scope, "abort": cycle.transport.abort}, receive, send)

    return with_abort


async def _watch(context: Context, view: View, notifier: Notifier, server: _Server) -> None:
    """Report ready once the server listens; then show progress, look at the problems, sum up and tell people of them,
    every two seconds.
    """
    while not server.started:
        await asyncio.sleep(0.005)
    context.ready()
    while True:
        context.progress()
        view.sum_up()
        notifier.look(view.problems, time.time(), time.monotonic())
        slept_since = time.monotonic()
        server.close_the_silent(slept_since)
        await asyncio.sleep(LOOK_SECONDS)
        if time.monotonic() - slept_since > LOOK_SECONDS + OVERSLEPT_SECONDS:
            view.note_pause()


class _Server(Server):
    """uvicorn without its signal handlers (stopping is the supervisor's business), and with shorter time-outs."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._idle_since: dict[H11Protocol, float] = {}
        self._unsent: dict[H11Protocol, tuple[int, float]] = {}
        self._left = asyncio.Event()

    def leave(self) -> None:
        """Finish what is under way, and stop serving."""
        self.should_exit = True
        self._left.set()

    async def main_loop(self) -> None:
        """Wait for `leave`. uvicorn's own loop wakes up ten times a second, for a header that is not sent here."""
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
        self._cut_the_stuck(connections, now)

    def _cut_the_stuck(self, connections: set[H11Protocol], now: float) -> None:
        """Cut the connections whose clients read nothing: a transport that is closed waits for them for ever."""
        before, self._unsent = self._unsent, {}
        for one in connections:
            size = one.transport.get_write_buffer_size()
            last_size, since = before.get(one, (0, now))
            self._unsent[one] = (size, since if size and size == last_size else now)
            if now - self._unsent[one][1] > STUCK_SECONDS:
                one.transport.abort()


def _is_idle(connection: H11Protocol) -> bool:
    cycle = getattr(connection, "cycle", None)
    return cycle is None or cycle.response_complete
