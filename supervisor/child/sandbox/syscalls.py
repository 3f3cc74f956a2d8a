"""What a sealed process may ask the kernel for: rules by the name of the system call, and the numbers of both machines.

It may read, make, write and remove files (Landlock says which), use memory, start threads, wait and look at the clock.
What would reach the network, another program or another process ends it, by SIGSYS: no picture's decoder has any
business there, so it is an attack. Every other call fails with EPERM, as libraries expect of calls that a kernel does
not allow: so do those that would cut or overwrite the log, which is open (ftruncate, fallocate).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALLOWED: Final = _names(
    """
    read write readv writev pread64 pwrite64 lseek close dup poll ppoll select pselect6 open openat access faccessat
    faccessat2 readlink readlinkat getcwd getdents64 stat fstat lstat newfstatat statx fstatfs statfs unlink
    unlinkat fadvise64 fsync fdatasync mmap mprotect munmap mremap madvise brk membarrier futex set_robust_list rseq
    set_tid_address gettid sched_yield restart_syscall sched_getaffinity sched_getparam sched_getscheduler
    sched_get_priority_max sched_get_priority_min rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack clock_gettime
    clock_getres clock_nanosleep nanosleep gettimeofday time getrandom getrusage getrlimit times sysinfo uname getpid
    getppid getuid geteuid getgid getegid getpriority capget exit exit_group
    """
)

KILLED: Final = _names(
    """
    socket socketpair connect bind listen accept accept4 sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg execve
    execveat fork vfork ptrace
    """
)
"""`clone` of a process, and not of a thread, is one more."""

SELF: Final = frozenset({"kill", "tgkill"})
"""Signals: to this process only, as abort() sends them."""

FIRST_ARGUMENTS: Final[Mapping[str, tuple[int, ...]]] = {
    "prctl": (15, 16, 0x53564D41),  # PR_SET_NAME, PR_GET_NAME, PR_SET_VMA: threads and memory get names
    "prlimit64": (0,),  # its own limits, which it can't raise above the hard ones
}

SECOND_ARGUMENTS: Final[Mapping[str, tuple[int, ...]]] = {
    # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC. Not F_SETOWN, which has a signal sent to another;
    # nor F_SETFL: flags are also those of the other processes that write to the same log.
    "fcntl": (0, 1, 2, 3, 1030),
}

CLONE_THREAD: Final = 0x10000

CLONE_NAMESPACES: Final = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""

# fmt: off
NUMBERS: Final[Mapping[str, Mapping[str, int]]] = {
    "x86_64": {
        "accept": 43, "accept4": 288, "access": 21, "bind": 49, "brk": 12, "capget": 125, "clock_getres": 229,
        "clock_gettime": 228, "clock_nanosleep": 230, "clone": 56, "clone3": 435, "close": 3, "connect": 42, "dup": 32,
        "execve": 59, "execveat": 322, "exit": 60, "exit_group": 231, "faccessat": 269, "faccessat2": 439,
        "fadvise64": 221, "fcntl": 72, "fdatasync": 75, "fork": 57, "fstat": 5, "fstatfs": 138, "fsync": 74,
        "futex": 202, "getcwd": 79, "getdents64": 217, "getegid": 108, "geteuid": 107, "getgid": 104, "getpid": 39,
        "getppid": 110, "getpriority": 140, "getrandom": 318, "getrlimit": 97, "getrusage": 98, "gettid": 186,
        "gettimeofday": 96, "getuid": 102, "kill": 62, "listen": 50, "lseek": 8, "lstat": 6, "madvise": 28,
        "membarrier": 324, "mmap": 9, "mprotect": 10, "mremap": 25, "munmap": 11, "nanosleep": 35, "newfstatat": 262,
        "open": 2, "openat": 257, "poll": 7, "ppoll": 271, "prctl": 157, "pread64": 17, "prlimit64": 302,
        "pselect6": 270, "ptrace": 101, "pwrite64": 18, "read": 0, "readlink": 89, "readlinkat": 267, "readv": 19,
        "recvfrom": 45, "recvmmsg": 299, "recvmsg": 47, "restart_syscall": 219, "rseq": 334, "rt_sigaction": 13,
        "rt_sigprocmask": 14, "rt_sigreturn": 15, "sched_get_priority_max": 146, "sched_get_priority_min": 147,
        "sched_getaffinity": 204, "sched_getparam": 143, "sched_getscheduler": 145, "sched_yield": 24, "select": 23,
        "sendmmsg": 307, "sendmsg": 46, "sendto": 44, "set_robust_list": 273, "set_tid_address": 218,
        "sigaltstack": 131, "socket": 41, "socketpair": 53, "stat": 4, "statfs": 137, "statx": 332, "sysinfo": 99,
        "tgkill": 234, "time": 201, "times": 100, "uname": 63, "unlink": 87, "unlinkat": 263, "vfork": 58, "write": 1,
        "writev": 20,
    },
    "aarch64": {
        "accept": 202, "accept4": 242, "bind": 200, "brk": 214, "capget": 90, "clock_getres": 114, "clock_gettime": 113,
        "clock_nanosleep": 115, "clone": 220, "clone3": 435, "close": 57, "connect": 203, "dup": 23, "execve": 221,
        "execveat": 281, "exit": 93, "exit_group": 94, "faccessat": 48, "faccessat2": 439, "fadvise64": 223,
        "fcntl": 25, "fdatasync": 83, "fstat": 80, "fstatfs": 44, "fsync": 82, "futex": 98, "getcwd": 17,
        "getdents64": 61, "getegid": 177, "geteuid": 175, "getgid": 176, "getpid": 172, "getppid": 173,
        "getpriority": 141, "getrandom": 278, "getrlimit": 163, "getrusage": 165, "gettid": 178, "gettimeofday": 169,
        "getuid": 174, "kill": 129, "listen": 201, "lseek": 62, "madvise": 233, "membarrier": 283, "mmap": 222,
        "mprotect": 226, "mremap": 216, "munmap": 215, "nanosleep": 101, "newfstatat": 79, "openat": 56, "ppoll": 73,
        "prctl": 167, "pread64": 67, "prlimit64": 261, "pselect6": 72, "ptrace": 117, "pwrite64": 68, "read": 63,
        "readlinkat": 78, "readv": 65, "recvfrom": 207, "recvmmsg": 243, "recvmsg": 212, "restart_syscall": 128,
        "rseq": 293, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "sched_get_priority_max": 125,
        "sched_get_priority_min": 126, "sched_getaffinity": 123, "sched_getparam": 121, "sched_getscheduler": 120,
        "sched_yield": 124, "sendmmsg": 269, "sendmsg": 211, "sendto": 206, "set_robust_list": 99,
        "set_tid_address": 96, "sigaltstack": 132, "socket": 198, "socketpair": 199, "statfs": 43, "statx": 291,
        "sysinfo": 179, "tgkill": 131, "times": 153, "uname": 160, "unlinkat": 35, "write": 64, "writev": 66,
    },
}
# fmt: on
"""The system calls' numbers on each machine, from the kernel's headers: asm/unistd_64.h of x86, and
asm-generic/unistd.h, which arm64 uses. A call that a machine does not have (open, fork on arm64) is not in its table.
"""
