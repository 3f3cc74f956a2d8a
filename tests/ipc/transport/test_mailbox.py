"""ipc.transport.mailbox: whole messages or none, though a process is killed while it writes or reads."""

from __future__ import annotations

import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from io import FileIO

import psutil
import pytest

from ipc.transport.mailbox import Closed, Inbox, Outbox, inbox_from_fd, outbox_from_fd, pair
from ipc.transport.messages import MAX_BYTES, Beat, Message, MessageError, Ready, Report, Wake, encode
from tests.instance import wait_for
from tests.ipc.builders import HOME, PYTHON

DEADLINE_SECONDS = 30.0

WRITE_FOR_EVER = """
import itertools, sys
from ipc.transport.mailbox import outbox_from_fd
from ipc.transport.messages import Report
outbox = outbox_from_fd(int(sys.argv[1]))
for number in itertools.count():
    outbox.send(Report("x" * (number * 997 % 4000), {"number": number}))
"""

WAIT_FOR_EVER = """
import select, sys
from ipc.transport.mailbox import inbox_from_fd
inbox = inbox_from_fd(int(sys.argv[1]))
print("idle", flush=True)
select.select([inbox.fileno()], [], [])
"""

LARGEST = Wake("x" * (MAX_BYTES - len(encode(Wake("x" * 1000))) + 1000))


@pytest.fixture
def mailbox() -> Iterator[tuple[Outbox, Inbox]]:
    reading, writing = pair()
    yield Outbox(writing, blocking=False), Inbox(reading)
    reading.close()
    writing.close()


@pytest.fixture
def spawn() -> Iterator[Callable[[str, FileIO], subprocess.Popen[bytes]]]:
    """Starts a script with an end of a pipe, which is then that process' own; kills it after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(script: str, end: FileIO) -> subprocess.Popen[bytes]:
        started.append(
            subprocess.Popen(
                [*PYTHON, "-c", script, str(end.fileno())],
                pass_fds=[end.fileno()],
                env={"PYTHONPATH": str(HOME)},
                stdout=subprocess.PIPE,
            )
        )
        end.close()
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def fill(outbox: Outbox, messages: Iterator[Message]) -> list[Message]:
    """Send until the mailbox is full; what went in."""
    sent: list[Message] = []
    for message in messages:
        if not outbox.send(message):
            return sent
        sent.append(message)
    raise AssertionError("never full")


def drain(inbox: Inbox) -> list[Message]:
    """All that is there."""
    found: list[Message] = []
    while (message := inbox.receive()) is not None:
        found.append(message)
    return found


# --- one process --------------------------------------------------------------------------------------------


def test_messages_come_in_the_order_they_were_sent(mailbox: tuple[Outbox, Inbox]) -> None:
    outbox, inbox = mailbox
    assert inbox.receive() is None
    assert outbox.send(Ready())
    assert outbox.send(Beat(1.5))
    assert drain(inbox) == [Ready(), Beat(1.5)]


def test_a_full_mailbox_drops_whole_messages_only(mailbox: tuple[Outbox, Inbox]) -> None:
    outbox, inbox = mailbox
    sizes = random.Random(1)
    for _ in range(20):
        sent = fill(outbox, (Report("x" * sizes.randrange(4000), {}) for _ in range(10**6)))
        assert len(sent) > 1
        assert drain(inbox) == sent
    assert outbox.send(Ready())


def test_a_reader_that_reads_a_little_makes_room_for_a_little(mailbox: tuple[Outbox, Inbox]) -> None:
    outbox, inbox = mailbox
    sent = fill(outbox, iter([LARGEST] * 100))
    assert not outbox.send(LARGEST)
    assert inbox.receive() == LARGEST
    assert outbox.send(LARGEST)
    assert drain(inbox) == sent


def test_the_largest_message_is_one_atomic_write() -> None:
    """A pipe in packet mode keeps each write apart, up to PIPE_BUF, which is as much as is written at once."""
    reading, writing = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
    outbox = outbox_from_fd(writing)
    assert outbox.send(LARGEST)
    outbox.close()
    packets = list(iter(lambda: os.read(reading, 1 << 20), b""))
    os.close(reading)
    assert [len(packet) for packet in packets] == [select.PIPE_BUF]


def test_an_over_large_message_is_refused_and_spoils_nothing(mailbox: tuple[Outbox, Inbox]) -> None:
    outbox, inbox = mailbox
    with pytest.raises(MessageError):
        outbox.send(Wake("x" * MAX_BYTES))
    assert outbox.send(Ready())
    assert drain(inbox) == [Ready()]


def test_threads_may_share_the_writing_end() -> None:
    reading, writing = pair()
    outbox, inbox = Outbox(writing, blocking=True), Inbox(reading)

    def write(name: str) -> None:
        for number in range(200):
            outbox.send(Report(name * 1500, {"number": number}))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    found: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    for message in receive_until(inbox, lambda: sum(map(len, found.values())) == 600):
        assert isinstance(message, Report)
        found[message.topic[0]].append(message.facts["number"])
    for thread in threads:
        thread.join()
    assert all(numbers == list(range(200)) for numbers in found.values())
    outbox.close()
    inbox.close()


def receive_until(inbox: Inbox, finished: Callable[[], bool]) -> Iterator[Message]:
    until = time.monotonic() + DEADLINE_SECONDS
    while not finished():
        assert time.monotonic() < until, "waited in vain"
        select.select([inbox.fileno()], [], [], 1)
        message = inbox.receive()
        if message is not None:
            yield message


# --- the other end is gone ----------------------------------------------------------------------------------


def test_what_was_sent_is_read_before_closed(mailbox: tuple[Outbox, Inbox]) -> None:
    outbox, inbox = mailbox
    outbox.send(Ready())
    outbox.close()
    assert inbox.receive() == Ready()
    for _ in range(2):
        with pytest.raises(Closed) as closed:
            inbox.receive()
        assert isinstance(closed.value.__cause__, EOFError), "an orderly end, which is no error of the writer's"


def test_nobody_will_read_it(mailbox: tuple[Outbox, Inbox]) -> None:
    outbox, inbox = mailbox
    inbox.close()
    for _ in range(2):
        with pytest.raises(Closed):
            outbox.send(Ready())


@pytest.mark.parametrize("is_ours", [True, False], ids=["inbox", "outbox"])
def test_an_end_that_this_process_has_closed(mailbox: tuple[Outbox, Inbox], is_ours: bool) -> None:
    outbox, inbox = mailbox
    inbox.close()
    outbox.close()
    with pytest.raises(Closed):
        inbox.receive() if is_ours else outbox.send(Ready())


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(struct.pack("!i", 7) + b"garbage", id="no message"),
        pytest.param(struct.pack("!i", MAX_BYTES + 1) + b"x" * 100, id="longer than any message"),
        pytest.param(struct.pack("!iQ", -1, 1 << 40), id="a length that would fill the memory"),
        pytest.param(struct.pack("!i", -7), id="a negative length"),
        pytest.param(struct.pack("!i", 7) + b"half", id="half a message"),
        pytest.param(b"\0\0", id="half a length"),
    ],
)
def test_a_writer_beside_itself_is_as_good_as_gone(mailbox: tuple[Outbox, Inbox], garbage: bytes) -> None:
    outbox, inbox = mailbox
    outbox.send(Ready())
    os.write(outbox.fileno(), garbage)
    assert inbox.receive() == Ready()
    with pytest.raises(Closed) as closed:
        inbox.receive()
    assert not isinstance(closed.value.__cause__, EOFError)


# --- kill -9 ------------------------------------------------------------------------------------------------


@pytest.mark.tree
@pytest.mark.parametrize("seed", range(6))
def test_a_killed_writer_leaves_whole_messages_and_then_closed(
    seed: int, spawn: Callable[[str, FileIO], subprocess.Popen[bytes]]
) -> None:
    reading, writing = pair()
    inbox = Inbox(reading)
    process = spawn(WRITE_FOR_EVER, writing)
    numbers: list[int] = []
    for message in receive_until(inbox, lambda: len(numbers) > 50):
        numbers.append(check(message))
    pause = random.Random(seed).uniform(0, 0.05)
    killer = threading.Timer(pause, process.kill)
    killer.start()
    with pytest.raises(Closed):
        for message in receive_until(inbox, lambda: False):
            numbers.append(check(message))
    killer.join()
    inbox.close()
    assert numbers == list(range(len(numbers)))


@pytest.mark.tree
def test_a_writer_killed_while_its_mailbox_is_full(
    spawn: Callable[[str, FileIO], subprocess.Popen[bytes]],
) -> None:
    reading, writing = pair()
    inbox = Inbox(reading)
    process = spawn(WRITE_FOR_EVER, writing)
    assert select.select([inbox.fileno()], [], [], DEADLINE_SECONDS)[0]
    writer = psutil.Process(process.pid)
    wait_for("it to wait for room", lambda: writer.status() == psutil.STATUS_SLEEPING)
    process.kill()
    process.wait()
    numbers: list[int] = []
    with pytest.raises(Closed):
        for message in receive_until(inbox, lambda: False):
            numbers.append(check(message))
    inbox.close()
    assert len(numbers) > 10
    assert numbers == list(range(len(numbers)))


def check(message: Message) -> int:
    """The number of a message that WRITE_FOR_EVER has written, if it is whole."""
    assert isinstance(message, Report)
    number: int = message.facts["number"]
    assert message.topic == "x" * (number * 997 % 4000)
    return number


@pytest.mark.tree
def test_a_killed_idle_reader_closes_its_own_mailbox_only(
    spawn: Callable[[str, FileIO], subprocess.Popen[bytes]], mailbox: tuple[Outbox, Inbox]
) -> None:
    reading, writing = pair()
    outbox = Outbox(writing, blocking=False)
    process = spawn(WAIT_FOR_EVER, reading)
    assert process.stdout is not None
    assert process.stdout.readline() == b"idle\n"
    process.kill()
    process.wait()
    with pytest.raises(Closed):
        outbox.send(Ready())
    outbox.close()
    other_outbox, other_inbox = mailbox
    other_outbox.send(Ready())
    assert drain(other_inbox) == [Ready()]


def test_the_ends_by_file_descriptor() -> None:
    reading, writing = os.pipe()
    inbox, outbox = inbox_from_fd(reading), outbox_from_fd(writing)
    assert os.get_blocking(writing)
    assert outbox.send(Ready())
    assert inbox.receive() == Ready()
    outbox.close()
    inbox.close()


def test_neither_end_is_inherited_unless_it_is_passed_on() -> None:
    ends = pair()
    assert not any(os.get_inheritable(end.fileno()) for end in ends)
    for end in ends:
        end.close()
