"""sd_notify: what goes over the line, when nobody listens, and whom the watchdog is meant for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from supervisor.host.sd_notify import SystemdNotifier
from supervisor.processes.process import environment
from tests.listener import Listener

PID = 4711


@pytest.mark.parametrize("abstract", [False, True])
def test_each_message_is_a_datagram_of_its_own(tmp_path: Path, abstract: bool) -> None:
    address = f"@picturedesk-test-{os.getpid()}" if abstract else str(tmp_path / "socket")
    with Listener(address) as listener:
        notifier = SystemdNotifier({"NOTIFY_SOCKET": address}, PID)
        before = time.monotonic_ns() // 1000
        said = [notifier.ready(), notifier.status("12 pictures\nREADY=0 – waiting"), notifier.alive()]
        said += [notifier.reloading(), notifier.stopping(32.5)]
        reloading = listener.messages.pop(3)
        assert listener.messages[:3] == ["READY=1", "STATUS=12 pictures READY=0 – waiting", "WATCHDOG=1"]
        assert listener.messages[4:] == ["STOPPING=1\nEXTEND_TIMEOUT_USEC=32500000"]
        first, _, usec = reloading.partition("\nMONOTONIC_USEC=")
        assert first == "RELOADING=1" and before <= int(usec) <= time.monotonic_ns() // 1000
        assert said == [True] * 5


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234"])
def test_without_a_socket_nothing_is_sent(address: str) -> None:
    notifier = SystemdNotifier({"NOTIFY_SOCKET": address} if address else {}, PID)
    assert notifier.ready() and notifier.status("x") and notifier.alive() and notifier.stopping(1)


def test_who_is_not_heard_is_told_so_and_never_waits(tmp_path: Path) -> None:
    notifier = SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "socket")}, PID)
    assert not notifier.ready(), "nobody is there"
    with Listener(tmp_path / "socket") as listener:
        sent = 0
        while notifier.alive():  # until the queue is full
            sent += 1
        assert len(listener.messages) == sent
        assert notifier.ready() and listener.messages[-1] == "READY=1"


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0),
        ({"WATCHDOG_USEC": "60000000"}, 60),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(PID)}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(PID + 1)}, 0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": ""}, 0.5),
        ({"WATCHDOG_USEC": "-1"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
    ],
)
def test_the_watchdog_is_for_the_process_it_names(environ: dict[str, str], seconds: float) -> None:
    assert SystemdNotifier(environ, PID).watchdog_seconds == seconds


def test_children_do_not_know_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY")
    for name in names:
        monkeypatch.setenv(name, "/run/x")
    assert not set(names) & set(environment(1))


def test_a_ready_that_does_not_get_out_is_owed(tmp_path: Path) -> None:
    """The one that ends a reload: without it, systemd would wait for ever."""
    notifier = SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "socket")}, PID)
    with Listener(str(tmp_path / "socket")):
        assert notifier.ready()
        assert (notifier.was_ready, notifier.owes_ready) == (True, False)
    (tmp_path / "socket").unlink(missing_ok=True)
    assert not notifier.ready()
    assert (notifier.was_ready, notifier.owes_ready) == (True, True)
    with Listener(str(tmp_path / "socket")) as listener:
        assert notifier.ready()
        assert (notifier.was_ready, notifier.owes_ready) == (True, False)
        assert listener.messages == ["READY=1"]
