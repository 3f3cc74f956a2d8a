"""Which workers get jobs while the machine is short of memory: the first few. The others rest once they are idle."""

from __future__ import annotations

from collections.abc import Collection

from ipc.transport.router import Tree


class WorkerRation:
    """How many workers may work. `limit`: workers that may have a job at once (0: all)."""

    def __init__(self, tree: Tree) -> None:
        self.limit = 0
        self._tree = tree
        self._resting: set[str] = set()

    def allowed(self) -> list[str]:
        """The workers that may get jobs: the first `limit` of those that are to run at all."""
        names = self._tree.names()
        return [name for name in names if self._tree.is_wanted(name)][: self.limit] if self.limit else names

    def left(self, in_hand: int) -> int | None:
        """How many more jobs may be given out while `in_hand` are; None: any number."""
        return max(0, self.limit - in_hand) if self.limit else None

    def enforce(self, busy: Collection[str]) -> None:
        """Stop the workers that may get no job and are not `busy`; start those again that may."""
        if self._tree.stopping or not (self.limit or self._resting):
            return
        allowed, names = self.allowed(), self._tree.names()
        for name in names:
            if name in allowed and name in self._resting:
                self._resting.remove(name)
                self._tree.wake(name)
            elif name not in allowed and name not in self._resting and name not in busy:
                self._resting.add(name)
                self._tree.rest(name)
        self._resting &= set(names)
