"""The connection by itself, in a thread of the test: constants can be patched, and nobody restarts what ends."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ipc.files.spool import Spool
from ipc.journal import Journal
from ipc.transport.context import Context
from ipc.transport.messages import Report
from supervisor.child_options import connection_options
from supervisor.settings import load
from tests.instance import DEADLINE_SECONDS
from tests.servers.telegram import Channel, TelegramServer
from tests.workers.desk import Desk
from tests.workers.sources.telegram.desk import settings_text
from workers.sources.telegram import source


class Alone:
    """The connection without the rest, in a thread of the test: it records and fetches, and nobody renders.

    The program it would be part of was started `started_ago` seconds before this was made. `ended` is what it ended
    with: None if it was asked to stop, or else what it raised.
    """

    def __init__(
        self,
        desk: Desk,
        server: TelegramServer,
        channels: Sequence[Channel | str],
        *,
        environment: dict[str, str] | None = None,
        started_ago: float = 0.0,
        **telegram: Any,
    ) -> None:
        self.desk = desk
        self.server = server
        self.ended: BaseException | None = None
        self.reports: dict[str, dict[str, Any]] = {}
        config = desk.state_dir.parent / "config.toml"
        config.write_text(f"state_dir = 'state'\n{settings_text(server, channels, telegram)}\n")
        given = {f"PICTUREDESK__{name}": value for name, value in (environment or {}).items()}
        settings = load(config, given, desk.state_dir, desk.state_dir)
        self.options = {**connection_options(settings), "started_at": time.time() - started_ago}
        self._thread: threading.Thread | None = None
        self._stop_reader, self._stop_writer = os.pipe()  # the desk's own would stop every later one too

    def start(self) -> None:
        context = replace(self.desk.context(**self.options), stop_fd=self._stop_reader)
        self._thread = threading.Thread(target=self._run, args=(context,), name="connection")
        self._thread.start()

    def _run(self, context: Context) -> None:
        journal = Journal.open(self.desk.state_dir / "journal.db")
        try:
            asyncio.run(source.run(context, journal, Spool(self.desk.state_dir / "spool")))
        except Exception as error:
            self.ended = error
        finally:
            journal.close()

    def report(self, topic: str = "connection") -> dict[str, Any]:
        """What it has said last of that."""
        for message in self.desk.said():
            if isinstance(message, Report):
                self.reports[message.topic] = message.facts
        return self.reports.get(topic, {})

    def wait_for(self, what: str, look: Callable[[], Any], seconds: float = 40.0) -> Any:
        """As `tests.instance.wait_for`; it ends at once if the connection does."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._thread is not None and self._thread.is_alive():
            self.report()  # or the pipe would be full some time
            if found := look():
                return found
            time.sleep(0.02)
        if found := look():
            return found
        raise AssertionError(f"waited in vain for {what}; ended with {self.ended!r}; {self.reports}")

    def wait_for_end(self, seconds: float = DEADLINE_SECONDS) -> BaseException | None:
        """Wait until it has ended by itself; what it raised."""
        assert self._thread is not None
        until = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < until:
            self.report()
            self._thread.join(0.02)
        assert not self._thread.is_alive(), f"it goes on: {self.reports}"
        self._thread = None
        return self.ended

    def stop(self) -> None:
        """Ask it to stop, and see that it does."""
        if self._thread is not None:
            os.write(self._stop_writer, b"stop")
            self.wait_for_end()

    def close(self) -> None:
        """Stop it, if it still runs."""
        try:
            self.stop()
        finally:
            os.close(self._stop_reader)
            os.close(self._stop_writer)
