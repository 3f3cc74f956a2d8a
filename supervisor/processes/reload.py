"""What a reload makes of a supervisor's children: who shall be another one is replaced, one after another.

A child that is held is given another try, as is one that is down and whose own spec has changed: whoever changes the
configuration may have done what its remedy says. One that was ordered to stop stays stopped.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

from ipc.transport.messages import Message, Options
from supervisor.processes.slot import Place, Standing
from supervisor.processes.spec import ChildSpec


@dataclass
class Changes:
    """What a reload does to the children, by name. `restarted` are those that were down and get another try."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)

    def by_kind(self) -> dict[str, list[str]]:
        """Those kinds of which there are any."""
        return {kind: names for kind, names in asdict(self).items() if names}


class Staff(Protocol):
    """What is asked of the supervisor."""

    @property
    def stopping(self) -> bool: ...

    def send(self, name: str, message: Message) -> bool: ...
    def start_child(self, name: str) -> None: ...
    def stop_child(self, name: str) -> None: ...
    def restart_child(self, name: str) -> None: ...
    def remove_child(self, name: str) -> None: ...


class Renewal:
    """Adapts the children in `places`, which is the supervisor's own dictionary, in the order of starting."""

    def __init__(self, staff: Staff, places: dict[str, Place]) -> None:
        self._staff = staff
        self._places = places
        self._to_replace: deque[str] = deque()
        self._under_way: tuple[str, float] | None = None

    def adapt(self, specs: Sequence[ChildSpec], *, everyone: bool) -> Changes:
        """Have these children, and no others; who is going to be started, stopped or replaced for it.

        `everyone` is replaced, even those whose spec is as it was.
        """
        before = dict(self._places)
        self._places.clear()
        changes = Changes()
        for spec in specs:
            place = before.pop(spec.name, None)
            if place is None or place.retired:
                changes.added.append(spec.name)
            place = self._places[spec.name] = place or Place(spec)
            self._adapt(place, spec, changes, even_so=everyone)
        for name, place in before.items():
            self._places[name] = place
            if not place.retired:
                changes.removed.append(name)
            self._retire(place)
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
        if self._to_replace and not self._staff.stopping:
            place = self._places.get(self._to_replace.popleft())
            if place is not None and place.incarnation is not None and place.wanted:
                self._staff.restart_child(place.spec.name)
                until = time.monotonic() + place.spec.stop_seconds + place.spec.ready_seconds
                self._under_way = (place.spec.name, until)

    def _is_on_its_way(self, name: str) -> bool:
        place = self._places.get(name)
        return place is not None and place.standing in (Standing.STOPPING, Standing.WAITING, Standing.STARTING)

    def _adapt(self, place: Place, spec: ChildSpec, changes: Changes, *, even_so: bool) -> None:
        """Have the child in this place become what `spec` says, and note what that takes."""
        before, was_retired = place.spec, place.retired
        place.spec, place.retired = spec, False
        if was_retired:
            self._staff.start_child(spec.name)
        elif place.incarnation is None:
            if place.wanted and (place.standing is Standing.HELD or spec != before):
                place.release()
                changes.restarted += [spec.name] if place.standing is Standing.WAITING else []
        elif self._can_stay(before, spec, even_so=even_so):
            pass
        elif place.wanted:  # else it is being stopped: whoever starts it again starts the new one
            changes.replaced.append(spec.name)
            if spec.name not in self._to_replace:
                self._to_replace.append(spec.name)

    def _can_stay(self, before: ChildSpec, spec: ChildSpec, *, even_so: bool) -> bool:
        """Whether the child that runs is as it shall be, or takes what has changed: it has been told that then."""
        if spec == before:
            return spec.command is not None or not even_so  # a command knows nothing of our log
        only_options = replace(before, options=spec.options) == spec and spec.takes_options and not even_so
        return only_options and self._staff.send(spec.name, Options(spec.options))

    def _retire(self, place: Place) -> None:
        """There shall be no such child any more."""
        place.retired = True
        if place.incarnation is None:
            self._staff.remove_child(place.spec.name)
        else:
            self._staff.stop_child(place.spec.name)
