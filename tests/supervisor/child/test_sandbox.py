"""The sandbox: what a sealed process can't do, tried from inside with threads running, and the filter as data."""

from __future__ import annotations

import errno
import os
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
    for namespace in (0x20000, 0x10000000, 0x20000000, 0x40000000):
        assert decide(machine, numbers["clone"], 0x3D0F00 | namespace) == KILL
    assert decide(machine, numbers["clone3"]) == ENOSYS
    assert decide(machine, numbers["prctl"], 15) == ALLOW
    assert decide(machine, numbers["prctl"], 4) == EACCES
    assert decide(machine, numbers["prlimit64"], 0) == ALLOW
    assert decide(machine, numbers["prlimit64"], 1) == EACCES
    assert decide(machine, numbers["fcntl"], 3, 1030) == ALLOW
    assert decide(machine, numbers["fcntl"], 3, 8) == decide(machine, numbers["fcntl"], 3, 4) == EACCES


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
(own / "new").write_text("1"); (own / "new").unlink()
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
fails(lambda: os.rename(readable / "file", own / "moved"), *denied)
fails(lambda: os.mkdir(own / "folder"), *denied)
fails(lambda: os.mkfifo(own / "fifo"), *denied)
fails(lambda: os.chmod(own / "file", 0o777), *denied)
fails(lambda: os.truncate(readable / "file", 0), *denied)
import sqlite3, decimal, http.client  # a library is still found
import tokenize, textwrap, inspect; tokenize.open, textwrap.indent, inspect.signature  # put off until here
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
        "asked('clone', 0x3D0F00 | 0x10000000, 0, 0, 0, 0)",
        "thread = threading.Thread(target=os.fork); thread.start(); thread.join()",
    ],
)
def test_an_attack_ends_it_by_sigsys(folders: list[str], attack: str) -> None:
    done = run(folders, f"{attack}\n")
    assert done.returncode == -signal.SIGSYS, done.stderr


OTHER_CALLS = {
    "shmget": 29, "mount": 165, "tkill": 200, "mq_open": 240, "keyctl": 250, "unshare": 272, "perf_event_open": 298,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
    "kcmp": 312, "seccomp": 317, "memfd_create": 319, "bpf": 321, "userfaultfd": 323, "rt_sigqueueinfo": 129,
    "pidfd_send_signal": 424, "io_uring_setup": 425, "open_tree": 428, "fsopen": 430, "pidfd_open": 434,
    "pidfd_getfd": 438, "landlock_restrict_self": 446, "memfd_secret": 447, "ioctl": 16, "inotify_init": 253,
    "ftruncate": 77, "fallocate": 285, "flock": 73, "splice": 275, "symlink": 88, "link": 86, "mknod": 133,
    "chmod": 90, "utimensat": 280, "setxattr": 188, "setrlimit": 160, "sched_setaffinity": 203, "chdir": 80,
    "x32 read": 0x40000000, "x32 execve": 0x40000208,
}  # fmt: skip
"""Of x86-64, by name."""


def test_what_else_a_kernel_offers_is_refused(folders: list[str]) -> None:
    if platform.machine() != "x86_64":
        return  # the filter as data says the same
    attack = f"""
for name, number in {OTHER_CALLS}.items():
    assert libc.syscall(number, 2, 0x5412, 0, 0, 0) == -1 and ctypes.get_errno() == errno.EPERM, name
"""
    done = run(folders, attack)
    assert done.returncode == 0, done.stderr


def test_the_calls_of_32_bits_end_it(folders: list[str]) -> None:
    if platform.machine() != "x86_64":
        return
    attack = """
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("b814000000 cd80 c3"))  # mov eax, getpid; int 0x80; ret
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
    assert run(folders, attack).returncode == -signal.SIGSYS


SHARED_LOG = r"""
import fcntl
fails(lambda: os.ftruncate(2, 0), errno.EPERM)
fails(lambda: fcntl.fcntl(2, fcntl.F_SETFL, os.O_NONBLOCK), errno.EACCES)
fails(lambda: os.set_blocking(2, False), errno.EPERM, errno.EACCES)
os.lseek(2, 0, os.SEEK_SET)
os.write(2, b"record of its own\n")
fails(lambda: os.pread(2, 10, 0), errno.EBADF)
"""


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR | os.O_APPEND])
def test_a_log_that_is_a_file_can_be_added_to_and_no_more(tmp_path: Path, folders: list[str], flags: int) -> None:
    log = os.open(tmp_path / "log", flags | os.O_CREAT)
    os.write(log, b"record of the root\n")
    start = START.replace(
        "best, level", "from supervisor.child import privileges; privileges.keep_log_apart()\nbest, level"
    )
    command = [sys.executable, "-c", start + SHARED_LOG, *folders]
    done = subprocess.run(command, cwd=HOME, stderr=log, check=False)
    os.write(log, b"and another\n")
    os.close(log)
    said = (tmp_path / "log").read_text()
    assert (done.returncode, said) == (0, "record of the root\nrecord of its own\nand another\n"), said


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
