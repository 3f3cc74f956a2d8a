"""The supervisor's decisions, as pure functions: clock and random source are arguments.

What does an exit mean? Is the child replaced, and when? Has it outrun its restart intensity?
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Callable

from ipc.kernel import process_limit
from ipc.process.holds import EX_CONFIG
from ipc.transport.exits import Cause, Exit, Killer
from ipc.transport.messages import Held, LastWords, Leaving, Short, Starved, Unrunnable
from supervisor.processes.spec import Intensity, Restart

FIRST_DELAY_SECONDS = 0.25
"""The pause before the second replacement; the first one comes at once."""

STEADY_SECONDS = 10.0
"""An incarnation that was ready for this long ends a row of quick deaths: its replacement comes at once again."""

HOLD_SECONDS = 600.0
LONGEST_HOLD_SECONDS = 3600.0
"""How long a command that outran its intensity is left alone before it is tried again: at first, and at most."""

OVERSLEPT_SECONDS = 2.0
"""A loop that comes round later than it wanted to, by more than this, did not run in between: it was stopped, its group
was frozen, or the machine had no time for it. Waits of that length that are its own do not occur."""


class Intent(enum.Enum):
    """Why the supervisor itself ends a child; recorded before the signal is sent, so that no exit is guessed at."""

    STOP = "stop"
    HUNG = "hung"
    MEMORY = "memory"
    PROTOCOL_ERROR = "protocol error"


class Oom(enum.Enum):
    """What is known of the kernel's out-of-memory killer when a child has ended."""

    NO = "no"
    """It has killed no process."""
    PERHAPS = "perhaps"
    """It has killed some process on this machine, perhaps in another container."""
    OURS = "ours"
    """It has killed the child, because the child's own cgroup was full."""
    OTHERS = "others"
    """It has killed the child, because the machine, or the whole tree, had no memory left."""


def judge(
    returncode: int, intent: Intent | None, last_words: LastWords | None, oom: Oom, *, is_trusted: bool = True
) -> Exit:
    """What an exit means.

    `returncode` as `subprocess` gives it (negative: the signal), `intent` what the supervisor had set out to do,
    `last_words` what the child said before it went, `oom` whether the kernel's out-of-memory killer ended it. One that
    is not trusted can't have itself held or put off, nor tell people what to do: that is a crash.

    A truth table, hence the many branches: the first guard that holds decides.
    """
    was_killed = returncode == -signal.SIGKILL
    if was_killed and oom is Oom.OURS:
        return Exit(Cause.OUT_OF_MEMORY, returncode, Killer.KERNEL)
    if was_killed and oom is Oom.OTHERS:
        return Exit(Cause.MACHINE_OUT_OF_MEMORY, returncode, Killer.KERNEL)
    if intent is Intent.STOP:
        return Exit(Cause.ASKED, returncode)
    if intent is not None:
        return Exit(_CAUSE_OF[intent], returncode, Killer.SUPERVISOR)
    if returncode == -signal.SIGSYS:
        return Exit(Cause.SANDBOX, returncode, Killer.KERNEL)
    if not is_trusted and (returncode == EX_CONFIG or isinstance(last_words, Held | Unrunnable | Short)):
        return Exit(Cause.CRASHED, returncode)
    if last_words is not None:
        return _judge_by_words(last_words, returncode)
    if returncode == EX_CONFIG:
        return Exit(Cause.HELD, returncode, remedy="See its last log records")
    if was_killed and oom is Oom.PERHAPS:
        return Exit(Cause.PERHAPS_OUT_OF_MEMORY, returncode)
    if returncode < 0:
        return Exit(Cause.SIGNALLED, returncode)
    return Exit(Cause.FINISHED if returncode == 0 else Cause.CRASHED, returncode)


_CAUSE_OF = {Intent.HUNG: Cause.HUNG, Intent.MEMORY: Cause.OUT_OF_MEMORY, Intent.PROTOCOL_ERROR: Cause.CRASHED}


def _judge_by_words(words: LastWords, returncode: int) -> Exit:
    match words:
        case Held(what, remedy):
            return Exit(Cause.HELD, returncode, said=what, remedy=remedy)
        case Starved(what):
            return Exit(Cause.OUT_OF_MEMORY, returncode, said=what)
        case Unrunnable(what):
            remedy = "Install it, or mend its command in the settings; it is tried again by itself"
            return Exit(Cause.UNRUNNABLE, returncode, said=what, remedy=remedy)
        case Short(what):
            return Exit(Cause.SHORT, returncode, said=what, remedy=process_limit.REMEDY)
        case Leaving():
            return Exit(Cause.TERMINATED, returncode)


def is_replaced(cause: Cause, restart: Restart) -> bool:
    """Whether a child that ended so is started again."""
    if cause in (Cause.ASKED, Cause.HELD) or restart == "temporary":
        return False
    return not (cause is Cause.FINISHED and restart == "transient")


def is_death(cause: Cause) -> bool:
    """Whether such an end counts against the restart intensity.

    A program that is not there is tried again, ever more slowly: restarting the whole would not bring it back,
    nor bring processes to a machine that has none to give. A child that was asked to stop has not died.
    """
    return cause not in (Cause.UNRUNNABLE, Cause.SHORT, Cause.TERMINATED)


def recent(deaths: tuple[float, ...], now: float, window_seconds: float) -> tuple[float, ...]:
    """The deaths (monotonic seconds) that still lie within the window before `now`."""
    return tuple(death for death in deaths if now - death < window_seconds)


def outruns(deaths: tuple[float, ...], intensity: Intensity) -> bool:
    """Whether these recent deaths are more than the intensity allows."""
    return len(deaths) > intensity.max_restarts


def deaths_in_a_row(before: int, served_seconds: float) -> int:
    """How many quick deaths in a row it is with this one, after `before` of them.

    `served_seconds` is how long it was ready: one that never got so far is no steadier for having taken its time.
    """
    return 1 if served_seconds >= STEADY_SECONDS else before + 1


def hold_seconds(holds: int, intensity: Intensity) -> float:
    """How long a command that has outrun its intensity is held before it is tried once more, the `holds`-th time.

    Doubled each time. No longer than the window at first: by then its deaths would not be held against it any more.
    """
    first = min(HOLD_SECONDS, intensity.window_seconds)
    return min(LONGEST_HOLD_SECONDS, first * 2.0 ** min(holds - 1, 40))


def shortage_delay_seconds(intensity: Intensity) -> float:
    """The pause before the next try where the machine had no process, thread or descriptor to give."""
    return max(1.0, intensity.delay_seconds / 4)


def restart_delay_seconds(deaths: int, intensity: Intensity, random: Callable[[], float]) -> float:
    """The pause before the replacement, by the number of deaths in a row (at least 1).

    None after the first; then 0.25 s, doubling up to the intensity's delay, less up to a quarter of jitter, so that
    children that die together do not come back together. `random` gives [0, 1).
    """
    if deaths <= 1:
        return 0.0
    pause = min(intensity.delay_seconds, FIRST_DELAY_SECONDS * 2.0 ** min(deaths - 2, 40))
    return pause * (1.0 - 0.25 * random())


def overslept_seconds(waited_seconds: float, wanted_seconds: float) -> float:
    """How long the loop was suspended, from how long it waited and how long it meant to wait. 0 if it woke in time.

    >>> overslept_seconds(1.2, 1.0), overslept_seconds(91.0, 1.0)
    (0.0, 90.0)
    """
    overslept = waited_seconds - wanted_seconds
    return overslept if overslept > OVERSLEPT_SECONDS else 0.0


def is_hung(
    now: float, heard_at: float, stalled_seconds: float, hang_seconds: float, stall_seconds: float = 0.0
) -> bool:
    """Whether a ready child gives no sign of life: no heartbeat, or heartbeats that tell of a main loop that stands.

    `heard_at` is when its last heartbeat came (monotonic seconds), `stalled_seconds` what that one said. The loop may
    stand for `stall_seconds` where that is more than `hang_seconds`.
    """
    return now - heard_at > hang_seconds or stalled_seconds > max(hang_seconds, stall_seconds)
