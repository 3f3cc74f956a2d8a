"""ipc.transport.context: what a child sees of its supervisor."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipc.transport.context import Context
from ipc.transport.mailbox import Closed, Inbox, Outbox, pair
from ipc.transport.messages import Beat, Message, Ready, Report, Wake


class Child:
    """A context, and the supervisor's ends of what it holds."""

    def __init__(self) -> None:
        child_inbox, to_child = pair()
        from_child, child_outbox = pair()
        stop_fd, self.stop_fd = os.pipe()
        self.outbox = Outbox(to_child, blocking=False)
        self.inbox = Inbox(from_child)
        self.context = Context(
            name="child",
            incarnation=1,
            options={"state_dir": "/state"},
            inbox=Inbox(child_inbox),
            outbox=Outbox(child_outbox, blocking=True),
            stop_fd=stop_fd,
        )

    def ask_to_stop(self) -> None:
        os.write(self.stop_fd, b"\x0f")

    def heard(self) -> list[Message]:
        """What the supervisor has heard."""
        found: list[Message] = []
        while (message := self.inbox.receive()) is not None:
            found.append(message)
        return found

    def close(self) -> None:
        for end in (self.outbox, self.inbox, self.context.inbox, self.context.outbox):
            end.close()
        os.close(self.stop_fd)
        os.close(self.context.stop_fd)


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.close()


def test_where_things_are(child: Child) -> None:
    assert child.context.journal_path == Path("/state/journal.db")
    assert child.context.spool_path == Path("/state/spool")


# --- receiving ----------------------------------------------------------------------------------------------


def test_a_message_that_is_there_is_not_waited_for(child: Child) -> None:
    child.outbox.send(Wake("seen"))
    assert child.context.receive(3600) == Wake("seen")


def test_nothing_comes(child: Child) -> None:
    assert child.context.receive(0.01) is None


def test_a_message_that_comes_later_ends_the_wait(child: Child) -> None:
    timer = threading.Timer(0.05, child.outbox.send, [Wake("seen")])
    timer.start()
    assert child.context.receive(3600) == Wake("seen")
    timer.join()


def test_a_stop_ends_the_wait(child: Child) -> None:
    timer = threading.Timer(0.05, child.ask_to_stop)
    timer.start()
    assert child.context.receive(3600) is None
    timer.join()
    assert child.context.stopping


def test_messages_are_still_received_while_stopping(child: Child) -> None:
    child.ask_to_stop()
    child.outbox.send(Wake("seen"))
    assert child.context.receive(3600) == Wake("seen")
    assert child.context.receive(3600) is None


def test_a_supervisor_that_is_gone_is_no_empty_inbox(child: Child) -> None:
    child.outbox.close()
    with pytest.raises(Closed):
        child.context.receive(3600)


# --- stopping -----------------------------------------------------------------------------------------------


def test_stopping_stays_so(child: Child) -> None:
    before = child.context.stopping
    child.ask_to_stop()
    asked = child.context.stopping
    os.read(child.context.stop_fd, 1)
    assert (before, asked, child.context.stopping) == (False, True, True)


def test_sending_to_a_supervisor_that_is_gone_is_no_error_and_means_stop(child: Child) -> None:
    child.inbox.close()
    child.context.wake("fetched")
    assert child.context.stopping


# --- telling ------------------------------------------------------------------------------------------------


def test_what_the_supervisor_hears(child: Child) -> None:
    child.context.ready()
    child.context.wake("rendered")
    child.context.report("uploader", breaker="open", failures=5)
    assert child.heard() == [Ready(), Wake("rendered"), Report("uploader", {"breaker": "open", "failures": 5})]


def stalled_seconds(child: Child) -> float:
    child.context.beat()
    (beat,) = child.heard()
    assert isinstance(beat, Beat)
    return beat.stalled_seconds


@pytest.mark.parametrize("sign_of_life", ["stopping", "receive", "progress"])
def test_a_beat_says_how_long_ago_the_main_loop_came_round(child: Child, sign_of_life: str) -> None:
    child.context._last_progress = time.monotonic() - 100
    assert stalled_seconds(child) >= 100
    match sign_of_life:
        case "stopping":
            assert not child.context.stopping
        case "receive":
            assert child.context.receive(0) is None
        case _:
            child.context.progress()
    assert stalled_seconds(child) < 50


def test_a_beat_itself_is_no_progress(child: Child) -> None:
    child.context._last_progress = time.monotonic() - 100
    stalled_seconds(child)
    assert stalled_seconds(child) >= 100
