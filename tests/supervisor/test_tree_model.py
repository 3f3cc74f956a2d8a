"""The supervisor's decisions against a model: whatever dies, hangs, is stopped, reloaded or left alone, in any order.

It is the real Supervisor with its slots and its policy; only its processes, its clock and its mailboxes are made up.
Each rule is something that happens to a tree; what must follow is worked out anew, from the words of the README.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ipc.transport.exits import Exit
from ipc.transport.messages import Held, Message, Ready, Starved
from supervisor.processes import slot as slots
from supervisor.processes import supervisor as supervisors
from supervisor.processes.loop import exits, inboxes, poller, rows, shared, starts, stops
from supervisor.processes.loop.requests import reload, roster
from supervisor.processes.policy import Intent
from supervisor.processes.process import Process
from supervisor.processes.slot import Slot
from supervisor.processes.spec import ChildSpec, Intensity
from supervisor.processes.supervisor import Supervisor
from tests.lengths import length

NAMES = ("a", "b", "c")
TRANSIENT = "c"
INTENSITY = Intensity(max_restarts=4, window_seconds=60.0, delay_seconds=2.0)
STEADY_SECONDS = 10.0
children = st.sampled_from(NAMES)

ENDS = {
    "finished": (0, None, None),
    "crashed": (1, None, None),
    "killed": (-9, None, None),
    "segfault": (-11, None, None),
    "configuration": (78, None, None),
    "held": (78, Held("no account", "make one"), None),
    "starved": (1, Starved("40 GiB wanted"), None),
    "hung": (-9, None, Intent.HUNG),
    "grown": (-9, None, Intent.MEMORY),
    "mad": (-9, None, Intent.PROTOCOL_ERROR),
}
"""Return code, last words, and what the watchdog had set out to do."""


class Clock:
    """Monotonic and wall clock in one."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic


class Puppet(Process):
    """An incarnation without a process: signals are noted."""

    def __init__(self, number: int, now: float) -> None:
        popen: Any = SimpleNamespace(pid=number, returncode=None)
        no_box: Any = None
        super().__init__(number, popen, -1, no_box, -1, no_box, -1, spawned=now, heard=now)
        self.signals: list[int] = []

    def signal(self, number: signal.Signals) -> None:
        self.signals.append(number)


class Quiet:
    """A router that says of each death whether it counts."""

    def __init__(self) -> None:
        self.counts = True

    def on_message(self, child: str, message: Message) -> None: ...
    def on_start(self, child: str) -> None: ...
    def on_ready(self, child: str) -> None: ...
    def on_exit(self, child: str, end: Exit) -> bool:
        return self.counts

    def on_state(self, child: str, facts: dict[str, Any]) -> None: ...
    def on_ended(self, child: str, facts: dict[str, Any]) -> None: ...
    def on_tick(self) -> None: ...
    def is_busy(self) -> bool:
        return False


@dataclass
class Model:
    """What is to be known of one child."""

    wanted: bool = True
    """The operator has not stopped it, or has started it since."""
    is_up: bool = False
    ready_at: float = math.inf
    asked_to_stop: bool = False
    comes_back: bool = False
    """It is being replaced, which counts as no death."""
    rests: str = "waiting"
    due_at: float = 0.0
    deaths: list[float] = field(default_factory=list)
    quick_deaths: int = 0
    options: int = 0
    shall_be_replaced: bool = False

    def stands(self) -> str:
        if not self.is_up:
            return self.rests
        if self.asked_to_stop:
            return "stopping"
        return "running" if self.ready_at < math.inf else "starting"


class TreeMachine(RuleBasedStateMachine):
    """Every rule does something to the supervisor and to the model; after each, they agree."""

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.router = Quiet()
        self.numbers = count(1)
        self.models = {name: Model() for name in NAMES}
        self.intensity = INTENSITY
        self.gave_up = False
        self.replacing: tuple[str, float] | None = None
        self.patches = ExitStack()
        for module in (starts, exits, stops, rows, shared, slots, reload, supervisors, poller):
            self.patches.enter_context(mock.patch.object(module, "time", self.clock))
        self.patches.enter_context(mock.patch.object(starts, "spawn", self.spawn))
        self.patches.enter_context(mock.patch.object(exits, "random", lambda: 0.0))
        for method in ("watch", "unwatch"):
            self.patches.enter_context(mock.patch.object(poller.Poller, method, lambda *_: None))
        for part in (starts, exits, shared, roster, inboxes):
            self.patches.enter_context(mock.patch.object(part, "log", mock.MagicMock()))
        self.tree = Supervisor(**self.arrangement(), stop_fd=-1, in_order=True)
        self.tree._shared.running_router = self.router
        self.cannot_spawn = False

    def teardown(self) -> None:
        if hasattr(self, "tree"):
            self.patches.close()
            self.tree._close()

    def arrangement(self) -> dict[str, Any]:
        specs = [
            ChildSpec(
                name,
                "x:y",
                {"version": model.options},
                restart="transient" if name == TRANSIENT else "permanent",
                hang_seconds=1000.0,
                ready_seconds=20.0,
                stop_seconds=10.0,
            )
            for name, model in self.models.items()
        ]
        return {"specs": specs, "intensity": self.intensity, "drain_seconds": 30.0, "log_settings": {}}

    def spawn(self, spec: ChildSpec, number: int, *_: object) -> Process:
        """Called by the supervisor: it has to have a reason."""
        model = self.models[spec.name]
        assert not model.is_up, "there is one already"
        assert model.wanted and model.rests == "waiting", "nobody wants it"
        assert self.clock.now >= model.due_at, "too early"
        assert not self.gave_up
        if self.cannot_spawn:
            raise BlockingIOError("no process to be had")
        assert spec.options == {"version": model.options}, "it starts as what it shall be"
        model.is_up, model.ready_at, model.asked_to_stop = True, math.inf, False
        model.shall_be_replaced = False
        return Puppet(next(self.numbers), self.clock.now)

    def slot(self, name: str) -> Slot:
        return next(one for one in self.tree.slots if one.spec.name == name)

    # What happens

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 3.0, STEADY_SECONDS, 61.0]), short=st.booleans())
    def time_passes(self, seconds: float, short: bool) -> None:
        """The loop comes round. `short`: the machine has no process to give."""
        self.clock.now += seconds
        due = {name for name, one in self.models.items() if self.is_due(one)}
        self.cannot_spawn = short
        self.tree._starts.start_due()
        for name in due:
            model = self.models[name]
            assert model.is_up is not short
            if short:
                model.due_at = self.clock.now + max(1.0, self.intensity.delay_seconds / 4)
        self.loop_replaces()

    def is_due(self, model: Model) -> bool:
        waits = model.wanted and not model.is_up and model.rests == "waiting"
        return waits and self.clock.now >= model.due_at and not self.gave_up

    def loop_replaces(self) -> None:
        """After a reload, one after another is replaced: the next when the last runs again, or takes too long."""
        stopping = {name for name, one in self.models.items() if one.asked_to_stop}
        if self.replacing:
            is_through = self.models[self.replacing[0]].stands() not in ("stopping", "waiting", "starting")
            if is_through or self.clock.now >= self.replacing[1]:
                self.replacing = None
        self.tree.roster.reload.go_on()
        for name, model in self.models.items():
            process = self.slot(name).process
            if process and process.intent is Intent.STOP and name not in stopping:
                assert model.shall_be_replaced and model.wanted
                assert self.replacing is None, "two at once"
                self.replacing = (name, self.clock.now + 30.0)
                model.asked_to_stop, model.comes_back, model.shall_be_replaced = True, True, False

    @rule(name=children)
    def gets_ready(self, name: str) -> None:
        slot, model = self.slot(name), self.models[name]
        if slot.process and not slot.process.ready:
            self.tree._inboxes.take(slot, slot.process, Ready())
            model.ready_at = self.clock.now

    @rule(name=children, end=st.sampled_from(sorted(ENDS)), counts=st.booleans())
    def ends(self, name: str, end: str, counts: bool) -> None:
        slot, model = self.slot(name), self.models[name]
        process = slot.process
        if process is None:
            return
        returncode, last_words, intent = ENDS[end]
        process.popen.returncode, process.last_words = returncode, last_words
        if process.intent is None:
            process.intent = intent
        self.router.counts = counts
        self.model_ends(model, end, counts=counts)
        self.tree._exits.handle_exit(slot, process, "")

    def model_ends(self, model: Model, end: str, *, counts: bool) -> None:
        now = self.clock.now
        was_asked, comes_back = model.asked_to_stop, model.comes_back
        served = now - model.ready_at
        model.is_up, model.ready_at, model.asked_to_stop, model.comes_back = False, math.inf, False, False
        is_held = end in ("held", "configuration") and not was_asked
        is_finished = end == "finished" and not was_asked and model is self.models[TRANSIENT]
        if not model.wanted or (not comes_back and (was_asked or is_held or is_finished)):
            model.rests = "held" if is_held else "finished" if is_finished else "stopped"
            return
        model.rests, model.due_at = "waiting", now
        if comes_back or not counts:
            return
        model.deaths.append(now)
        model.quick_deaths = 1 if served >= STEADY_SECONDS else model.quick_deaths + 1
        if model.quick_deaths > 1:
            model.due_at = now + min(self.intensity.delay_seconds, 0.25 * 2 ** (model.quick_deaths - 2))
        recent = [at for at in model.deaths if now - at < self.intensity.window_seconds]
        self.gave_up = self.gave_up or len(recent) > self.intensity.max_restarts

    @rule(name=children)
    def is_recycled(self, name: str) -> None:
        """As the pool does with a worker that holds on to memory."""
        model = self.models[name]
        if model.is_up and self.slot(name).process.intent is None:  # type: ignore[union-attr]
            model.asked_to_stop = model.comes_back = True
        self.tree.children.recycle(name)

    @rule(name=children, action=st.sampled_from(["stop", "start", "restart"]))
    def is_asked(self, name: str, action: str) -> None:
        model, process = self.models[name], self.slot(name).process
        was_up, before = model.is_up, list(process.signals) if isinstance(process, Puppet) else []
        self.tree.roster.operate(action, name)
        if self.gave_up:
            return
        if was_up and action != "start" and process and process.intent is Intent.STOP:
            model.asked_to_stop = True
        match action:
            case "stop":
                model.wanted, model.comes_back = False, False
                if not was_up and model.rests == "waiting":
                    model.rests = "stopped"
            case _:
                model.wanted = True
                if not was_up:
                    model.rests, model.due_at, model.deaths, model.quick_deaths = "waiting", 0.0, [], 0
                elif model.asked_to_stop:
                    model.comes_back = True
        if isinstance(process, Puppet):
            assert process.signals.count(signal.SIGTERM) <= 1, "a second one means: at once"
            assert action == "start" or before or process.signals

    @rule(changed=st.sets(children), most=st.sampled_from([2, 4]))
    def is_reloaded(self, changed: set[str], most: int) -> None:
        """Some get other options, all another intensity; who is held, or down and another one now, gets a new try."""
        if self.gave_up:
            return
        self.intensity = replace(INTENSITY, max_restarts=most)
        for name in changed:
            self.models[name].options += 1
        self.tree.roster.reconfigure(**self.arrangement())
        for name, model in self.models.items():
            if model.is_up and model.wanted and name in changed:
                model.shall_be_replaced = True
            if not model.is_up and model.wanted and (model.rests == "held" or name in changed):
                model.rests, model.due_at, model.deaths, model.quick_deaths = "waiting", 0.0, [], 0

    # What always holds

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "tree"):
            return
        assert self.tree.stopping == self.gave_up
        assert self.tree._shared.exit_code == int(self.gave_up)
        for name, model in self.models.items():
            slot = self.slot(name)
            assert (slot.process is not None) == model.is_up
            assert slot.state.value == model.stands(), name
            if not model.wanted:
                assert model.stands() in ("stopping", "stopped", "held", "finished") or self.has_its_end_coming(slot)

    def has_its_end_coming(self, slot: Slot) -> bool:
        return slot.process is not None and slot.process.intent is not None


TestTheTreeAgainstTheModel = TreeMachine.TestCase
TestTheTreeAgainstTheModel.settings = settings(max_examples=length(150, 2000), stateful_step_count=50)


def test_the_model_sees_a_fault() -> None:
    """No back-off, one death too many, one who has finished and comes back: none passes."""
    faults: dict[str, Any] = {
        "supervisor.processes.policy.restart_delay_seconds": lambda *_: 0.0,
        "supervisor.processes.policy.outruns": lambda deaths, intensity: len(deaths) >= intensity.max_restarts,
        "supervisor.processes.policy.is_replaced": lambda cause, restart: True,
    }
    for fault, instead in faults.items():
        machine = TreeMachine()
        machine.begin()
        try:
            with mock.patch(fault, instead):
                live_a_little(machine)
        except AssertionError:
            continue
        finally:
            machine.teardown()
        raise AssertionError(f"not seen: {fault}")


def live_a_little(machine: TreeMachine) -> None:
    for _ in range(INTENSITY.max_restarts):
        machine.time_passes(3.0, short=False)
        machine.ends("a", "crashed", counts=True)
        machine.time_passes(0.0, short=False)
        machine.they_agree()
    machine.is_asked("b", "stop")
    machine.ends("b", "finished", counts=True)
    machine.ends(TRANSIENT, "finished", counts=True)
    machine.they_agree()
    machine.time_passes(0.0, short=False)


@pytest.fixture
def machine() -> Iterator[TreeMachine]:
    machine = TreeMachine()
    machine.begin()
    yield machine
    machine.teardown()


def test_a_sound_tree_lives_a_little(machine: TreeMachine) -> None:
    live_a_little(machine)


def test_one_that_dies_before_its_turn_is_replaced_once(machine: TreeMachine) -> None:
    """After a reload it waits to be replaced; started anew meanwhile, it is the new one already."""
    machine.time_passes(0.0, short=False)
    machine.is_reloaded({"a", "b"}, most=4)
    machine.ends("b", "crashed", counts=True)
    for _ in range(3):
        machine.time_passes(0.0, short=False)
        machine.gets_ready("b")
    assert machine.slot("b").count == 2 and machine.slot("b").state.value == "running"


def test_a_reload_starts_no_child_that_the_operator_has_stopped(machine: TreeMachine) -> None:
    """Not even if it was held when that was said."""
    machine.time_passes(0.0, short=False)
    machine.ends("a", "held", counts=True)
    machine.is_asked("a", "stop")
    machine.is_reloaded(set(), most=4)
    machine.time_passes(1.0, short=False)
    machine.they_agree()
    assert machine.slot("a").process is None
