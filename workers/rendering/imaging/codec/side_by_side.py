"""Several pieces of work on several threads, with the outcome that one thread would have."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

Result = TypeVar("Result")


def run(works: Iterable[Callable[[], Result]], threads: int) -> list[Result]:
    """Do all works on up to `threads` threads, this one included; their results in order. None runs when this returns.

    `works` is gone through in this thread, while others are at the works that came before. As with one thread, the
    first failure by order is raised, be it one of `works` itself; what comes after it is not begun, or in vain. Where
    the machine gives no thread, this one does all.
    """
    if threads <= 1:
        return [work() for work in works]
    pieces: _Pieces[Result] = _Pieces()
    try:
        with ThreadPoolExecutor(threads - 1, "side-by-side") as helpers:
            try:
                _hand_out(works, pieces, helpers)
                pieces.do_the_rest()
            except BaseException:
                pieces.stop(-1)  # the helpers are waited for at the end of the block
                raise
        return pieces.results()
    finally:
        pieces.all.clear()  # an error, its frames and their pictures would keep each other alive


def _hand_out(works: Iterable[Callable[[], Result]], pieces: _Pieces[Result], helpers: ThreadPoolExecutor) -> None:
    try:
        for work in works:
            piece = pieces.add(work)
            with suppress(RuntimeError, MemoryError):  # no thread to be had
                helpers.submit(piece.do)
    except Exception as error:
        pieces.add_failure(error)


class _Pieces(Generic[Result]):
    """Pieces of work in their order. They are begun in this order, so each one before a failure has been begun."""

    def __init__(self) -> None:
        self.all: list[_Piece[Result]] = []
        self._stopped_at: float = math.inf

    def add(self, work: Callable[[], Result]) -> _Piece[Result]:
        self.all.append(_Piece(len(self.all), work, self))
        return self.all[-1]

    def add_failure(self, error: Exception) -> None:
        """Instead of a piece of work there is this."""

        def fail() -> Result:
            raise error

        self.add(fail)

    def do_the_rest(self) -> None:
        """Do in this thread what no other has begun."""
        for piece in self.all:
            piece.do()

    def stop(self, number: int) -> None:
        """Begin none after this one."""
        self._stopped_at = min(self._stopped_at, number)

    def is_wanted(self, number: int) -> bool:
        return number <= self._stopped_at

    def results(self) -> list[Result]:
        """The results of all pieces, when all have ended. Raises the first failure."""
        return [piece.result() for piece in self.all]


class _Piece(Generic[Result]):
    """One of them. Whichever thread comes first does it."""

    def __init__(self, number: int, work: Callable[[], Result], pieces: _Pieces[Result]) -> None:
        self._number = number
        self._work = work
        self._pieces = pieces
        self._untaken = threading.Lock()
        self._results: list[Result] = []
        self._error: Exception | None = None

    def do(self) -> None:
        if not self._untaken.acquire(blocking=False) or not self._pieces.is_wanted(self._number):
            return
        try:
            self._results.append(self._work())
        except Exception as error:
            self._error = error
            self._pieces.stop(self._number)

    def result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._results[0]
