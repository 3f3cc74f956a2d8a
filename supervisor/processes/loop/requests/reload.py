"""A reload of a supervisor's children: those whose spec has changed are replaced, one after another.

A child that is held is given another try, as is one that is down and whose own spec has changed: the change may be what
its remedy asks for. A child that the operator has stopped stays stopped.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

from ipc.transport.messages import Message, NewOptions
from supervisor.processes.slot import Slot, SlotState
from supervisor.processes.spec import ChildSpec


@dataclass
class Changes:
    """What a reload does to the children, by name. `restarted` are those that were down and get another try."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)

    def by_kind(self) -> dict[str, list[str]]:
        """The kinds with any children, and their names."""
        return {kind: names for kind, names in asdict(self).items() if names}


class Requests(Protocol):
    """What is asked of the supervisor."""

    @property
    def stopping(self) -> bool: ...

    def send(self, name: str, message: Message) -> bool: ...
    def start_child(self, name: str) -> None: ...
    def stop_child(self, name: str) -> None: ...
    def restart_child(self, name: str) -> None: ...
    def retire_child(self, name: str) -> None: ...


class Reload:
    """Adapts the children in `slots`, which is the supervisor's own dictionary, in the order of starting."""

    def __init__(self, requests: Requests, slots: dict[str, Slot]) -> None:
        self._requests = requests
        self._slots = slots
        self._to_replace: deque[str] = deque()
        self._under_way: tuple[str, float] | None = None

    def adapt(self, specs: Sequence[ChildSpec], *, everyone: bool) -> Changes:
        """Have these children, and no others. Returns which children will be started, stopped or replaced for it.

        `everyone` is replaced, even those whose spec is as it was.
        """
        before = dict(self._slots)
        self._slots.clear()
        changes = Changes()
        for spec in specs:
            slot = before.pop(spec.name, None)
            if slot is None or slot.retired:
                changes.added.append(spec.name)
            slot = self._slots[spec.name] = slot or Slot(spec)
            self._adapt(slot, spec, changes, even_so=everyone)
        for name, slot in before.items():
            self._slots[name] = slot
            if not slot.retired:
                changes.removed.append(name)
            self._requests.retire_child(name)
        return changes

    def note_start(self, name: str) -> None:
        """A new incarnation: if it has died before its turn came, this is the new one already."""
        if name in self._to_replace:
            self._to_replace.remove(name)

    def go_on(self) -> None:
        """Replace the next one, when the last runs again or has taken too long to do so."""
        if self._under_way is not None:
            name, until = self._under_way
            if self._is_on_its_way(name) and time.monotonic() < until:
                return
            self._under_way = None
        if self._to_replace and not self._requests.stopping:
            slot = self._slots.get(self._to_replace.popleft())
            if slot is not None and slot.process is not None and slot.wanted:
                self._requests.restart_child(slot.spec.name)
                until = time.monotonic() + slot.spec.stop_seconds + slot.spec.ready_seconds
                self._under_way = (slot.spec.name, until)

    def _is_on_its_way(self, name: str) -> bool:
        slot = self._slots.get(name)
        return slot is not None and slot.state in (SlotState.STOPPING, SlotState.WAITING, SlotState.STARTING)

    def _adapt(self, slot: Slot, spec: ChildSpec, changes: Changes, *, even_so: bool) -> None:
        """Have the child in this slot become what `spec` says, and note what that takes."""
        before, was_retired = slot.spec, slot.retired
        slot.spec, slot.retired = spec, False
        if was_retired:
            self._requests.start_child(spec.name)
        elif slot.process is None:
            if slot.wanted and (slot.state is SlotState.HELD or spec != before):
                slot.release()
                changes.restarted += [spec.name] if slot.state is SlotState.WAITING else []
        elif self._can_stay(before, spec, even_so=even_so):
            pass
        elif slot.wanted:  # else it is being stopped, and its next start is of the new spec
            changes.replaced.append(spec.name)
            if spec.name not in self._to_replace:
                self._to_replace.append(spec.name)

    def _can_stay(self, before: ChildSpec, spec: ChildSpec, *, even_so: bool) -> bool:
        """Whether the running child fits its spec already, or takes the new options: then they have been sent to it."""
        if spec == before:
            return spec.command is not None or not even_so  # a command knows nothing of our log
        only_options = replace(before, options=spec.options) == spec and spec.takes_options and not even_so
        return only_options and self._requests.send(spec.name, NewOptions(spec.options))
