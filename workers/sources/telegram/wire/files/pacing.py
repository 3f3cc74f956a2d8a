"""A data centre's requests for parts of files wait for room in its window, first come, first served."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workers.sources.telegram.wire.errors import Unanswered
from workers.sources.telegram.wire.files.window import Window


class Paced:
    """The pace of one connection. `pace` is its window."""

    def __init__(self) -> None:
        self.pace = Window()
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Wait for room for an answer of `size` bytes; the window learns how long the answer took."""
        if self._queue or not self.pace.fits(size):
            turn = asyncio.get_running_loop().create_future()
            self._queue.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.pace.gave_up(size)
                self._let_in()
                raise
        else:
            self.pace.asked(size)
        asked_at = time.monotonic()
        try:
            yield
        except Unanswered:
            self.pace.unanswered(size, asked_at, time.monotonic())
            raise
        except BaseException:
            self.pace.gave_up(size)
            raise
        else:
            self.pace.answered(size, asked_at, time.monotonic())
        finally:
            self._let_in()

    def _let_in(self) -> None:
        while self._queue and (self._queue[0][1].done() or self.pace.fits(self._queue[0][0])):
            size, turn = self._queue.popleft()
            if not turn.done():
                self.pace.asked(size)
                turn.set_result(None)
