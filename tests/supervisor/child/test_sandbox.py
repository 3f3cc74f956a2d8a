"""The sandbox: what a sealed process can't do, tried from inside with threads running, and the filter as data."""

from __future__ import annotations

import errno
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.child.sandbox import filter, syscalls
from tests.instance import HOME

ALLOW, KILL, EPERM, EACCES = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.EACCES
ENOSYS = 0x50000 | errno.ENOSYS
MACHINES = ("x86_64", "aarch64")
CODES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PID = 4242


def decide(machine: str, number: int, *args: int, code: int = 0) -> int:
    """What the filter answers to one call: classic BPF, as far as the filter uses it."""
    program = filter.program(machine, PID)
    words = {0: number, 4: code or CODES[machine], **{16 + 8 * at: value for at, value in enumerate(args)}}
    at = loaded = 0
    while True:
        one = program[at]
        at += 1
        match one.code:
            case 0x06:
                return one.value
            case 0x20:
                loaded = words.get(one.value, 0)
            case 0x15:
                at += one.then if loaded == one.value else one.otherwise
            case 0x35:
                at += one.then if loaded >= one.value else one.otherwise
            case 0x45:
                at += one.then if loaded & one.value else one.otherwise
            case unknown:
                pytest.fail(f"an instruction that filters don't have: {unknown:#x}")


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_is_answered_by_its_rule(machine: str) -> None:
    numbers = syscalls.NUMBERS[machine]
    assert len(set(numbers.values())) == len(numbers)
    for name, number in numbers.items():
        found = decide(machine, number)
        if name in syscalls.ALLOWED:
            assert found == ALLOW, name
        elif name in syscalls.KILLED:
            assert found == KILL, name
    others = set(range(600)) - set(numbers.values())
    assert {decide(machine, number) for number in others} == {EPERM}


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_that_matter_are_looked_at(machine: str) -> None:
    numbers = syscalls.NUMBERS[machine]
    assert decide(machine, numbers["kill"], PID) == ALLOW
    assert decide(machine, numbers["kill"], 1) == decide(machine, numbers["kill"], 0) == EPERM
    assert decide(machine, numbers["tgkill"], PID + 1) == EPERM
    assert decide(machine, numbers["clone"], 0x3D0F00) == ALLOW
    assert decide(machine, numbers["clone"], signal.SIGCHLD) == KILL
    assert decide(machine, numbers["clone3"]) == ENOSYS
    assert decide(machine, numbers["prctl"], 15) == ALLOW
    assert decide(machine, numbers["prctl"], 4) == EACCES
    assert decide(machine, numbers["prlimit64"], 0) == ALLOW
    assert decide(machine, numbers["prlimit64"], 1) == EACCES
    assert decide(machine, numbers["fcntl"], 3, 1030) == ALLOW
    assert decide(machine, numbers["fcntl"], 3, 8) == EACCES


def test_calls_of_another_machine_are_refused() -> None:
    assert decide("x86_64", syscalls.NUMBERS["x86_64"]["read"], code=0x40000003) == KILL
    assert decide("x86_64", 0x40000000 | syscalls.NUMBERS["x86_64"]["read"]) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_the_tables_have_all_that_a_rule_names(machine: str) -> None:
    named = syscalls.ALLOWED | syscalls.KILLED | syscalls.SELF | {"clone", "clone3"}
    named |= syscalls.FIRST_ARGUMENTS.keys() | syscalls.SECOND_ARGUMENTS.keys()
    assert syscalls.NUMBERS[machine].keys() <= named
    if machine == "x86_64":
        assert syscalls.NUMBERS[machine].keys() == named
    assert not syscalls.ALLOWED & syscalls.KILLED


def test_the_numbers_are_those_of_this_machine() -> None:
    """As the C library's own headers have them, where a compiler's headers are installed."""
    header = Path(f"/usr/include/{platform.machine()}-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        header = Path("/usr/include/asm-generic/unistd.h")
    numbers = syscalls.NUMBERS["x86_64" if "x86_64" in str(header) else "aarch64"]
    if not header.exists():
        assert numbers["read"] == 63  # nothing to compare with here
        return
    lines = [line.split() for line in header.read_text().splitlines() if line.startswith("#define __NR")]
    defined = {words[1].removeprefix("__NR3264_").removeprefix("__NR_"): words[2] for words in lines if len(words) > 2}
    wrong = {name for name, number in numbers.items() if defined.get(name, str(number)) != str(number)}
    assert not wrong


# --- From inside ------------------------------------------------------------------------------------------------

START = """
import ctypes, errno, os, signal, sys, threading, time
from pathlib import Path
from supervisor.child import sandbox
own, readable, secret = map(Path, sys.argv[1:4])
libc = ctypes.CDLL(None, use_errno=True)
status = open("/proc/self/status")
best, level = sandbox.best(), sandbox.enter([readable], [own])
assert level == best, (level, best)
threads = [threading.Thread(target=time.sleep, args=(0.5,), daemon=True) for _ in range(3)]
for thread in threads: thread.start()
def fails(call, *errors):
    try:
        call()
    except OSError as error:
        assert error.errno in errors, (call, error)
    else:
        raise AssertionError("it may")
def asked(name, *args):
    from supervisor.child.sandbox.syscalls import NUMBERS
    import platform
    return libc.syscall(NUMBERS[platform.machine()][name], *args)
"""


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """A folder of its own, one that it may read, and one that it may not, each with a file."""
    for name in ("own", "readable", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return [str(tmp_path / name) for name in ("own", "readable", "secret")]


def run(folders: list[str], code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", START + code, *folders]
    return subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)


def test_it_has_its_own_files_and_no_others(folders: list[str]) -> None:
    done = run(
        folders,
        """
(own / "new").write_text("1"); (own / "new").rename(own / "newer"); (own / "newer").unlink()
assert (own / "file").read_text() == "own" and (readable / "file").read_text() == "readable"
assert sorted(os.listdir(own)) == ["file"]
denied = errno.EACCES, errno.EPERM
fails(lambda: (readable / "file").write_text("x"), *denied)
fails(lambda: (readable / "new").write_text("x"), *denied)
fails(lambda: (readable / "file").unlink(), *denied)
fails(lambda: (secret / "file").read_text(), *denied)
fails(lambda: os.listdir(secret), *denied)
fails(lambda: os.listdir("/"), *denied)
fails(lambda: Path("/etc/passwd").read_text(), *denied)
fails(lambda: (own / "link").symlink_to(secret / "file"), *denied)
fails(lambda: os.link(readable / "file", own / "link"), *denied)
fails(lambda: os.rename(readable / "file", own / "moved"), *denied, errno.EXDEV)
fails(lambda: os.mkfifo(own / "fifo"), *denied)
fails(lambda: os.chmod(own / "file", 0o777), *denied)
fails(lambda: os.truncate(readable / "file", 0), *denied)
import sqlite3, decimal, http.client  # a library is still found
""",
    )
    assert done.returncode == 0, done.stderr


def test_it_sees_and_reaches_no_other_process(folders: list[str]) -> None:
    done = run(
        folders,
        """
parent = os.getppid()
denied = errno.EACCES, errno.EPERM
for name in ("environ", "mem", "maps", "status", "cmdline"):
    fails(lambda: Path(f"/proc/{parent}/{name}").read_bytes(), *denied)
    fails(lambda: Path(f"/proc/self/{name}").read_bytes(), *denied)
fails(lambda: os.kill(parent, 0), *denied)
fails(lambda: os.killpg(0, 0), *denied)
fails(lambda: os.setpgid(0, 0), *denied)
fails(lambda: os.nice(-1), *denied)
fails(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)), *denied)
fails(lambda: os.setuid(65534), *denied)
fails(lambda: os.memfd_create("x"), *denied)
fails(lambda: os.pidfd_open(parent), *denied)
fails(lambda: os.chroot("/"), *denied)
os.kill(os.getpid(), 0)
""",
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "attack",
    [
        "asked('socket', 2, 1, 0)",
        "asked('socket', 1, 1, 0)",
        "asked('socketpair', 1, 1, 0, (ctypes.c_int * 2)())",
        "asked('connect', 0, None, 0)",
        "asked('sendto', 0, None, 0, 0, None, 0)",
        "os.execv('/bin/true', ['true'])",
        "os.fork()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "asked('clone', int(signal.SIGCHLD), 0, 0, 0, 0)",
        "asked('ptrace', 16, os.getppid(), 0, 0)",
        "thread = threading.Thread(target=os.fork); thread.start(); thread.join()",
    ],
)
def test_an_attack_ends_it_by_sigsys(folders: list[str], attack: str) -> None:
    done = run(folders, f"{attack}\n")
    assert done.returncode == -signal.SIGSYS, done.stderr


def test_it_has_no_capabilities_and_can_get_none(folders: list[str]) -> None:
    done = run(folders, "print(status.read())\n")
    assert done.returncode == 0, done.stderr
    fields = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    assert {name: int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {
        "CapInh": 0,
        "CapPrm": 0,
        "CapEff": 0,
        "CapAmb": 0,
    }
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")


def test_abort_is_still_a_crash_and_no_attack(folders: list[str]) -> None:
    assert run(folders, "os.abort()\n").returncode == -signal.SIGABRT
    assert run(folders, "os.kill(os.getpid(), signal.SIGKILL)\n").returncode == -signal.SIGKILL
