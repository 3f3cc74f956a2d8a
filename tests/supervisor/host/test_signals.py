"""The root's signals: one byte each in a pipe, and nothing else."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from supervisor.host.signals import is_for_root

LISTENER = """
import os, signal
from supervisor.host import signals
fd = signals.listen()
os.write(1, b"listening")
got = b""
while len(got) < 3:
    got += os.read(fd, 1)
os.write(1, bytes(sorted(got)))
"""


def test_each_signal_is_one_byte() -> None:
    with subprocess.Popen([sys.executable, "-c", LISTENER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(9) == b"listening"
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process.send_signal(number)
        assert process.stdout.read() == bytes([signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "yes"),
    [
        ("", True),
        ("start", True),
        ("--config x.toml", True),
        ("--config x.toml start", True),
        ("--config=x.toml start", True),
        ("start --config x.toml --export folder", True),
        ("--config start", True),
        ("status", False),
        ("--config x.toml status", False),
        ("--config start status", False),
        ("--config status status", False),
        ("--config status start", True),
        ("status --config start", False),
        ("import start", False),
        ("--help", False),
        ("start -h", False),
        ("--version", False),
        ("start --help", False),
        ("--config", True),
    ],
)
def test_which_command_lines_start_the_tree_here(arguments: str, yes: bool) -> None:
    assert is_for_root(arguments.split()) is yes


def test_a_hangup_that_was_ignored_before_stays_so() -> None:
    """`nohup`: to outlive its terminal."""
    code = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from supervisor.host import signals;"
        " fd = signals.listen(); os.kill(os.getpid(), signal.SIGHUP); os.kill(os.getpid(), signal.SIGTERM);"
        " print(list(os.read(fd, 8)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"[{int(signal.SIGTERM)}]\n"
