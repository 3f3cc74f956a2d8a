"""The system call filter (seccomp): made of the rules in `syscalls`, put over all threads of this process, for good."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from supervisor.child.sandbox import syscalls

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""linux/audit.h: what a filter sees of the machine that a call was made for."""

_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
"""The number of the call seccomp(2)."""

_SET_MODE_FILTER: Final = 1
_GET_ACTION_AVAIL: Final = 2
_FLAG_TSYNC: Final = 1

_KILL_PROCESS: Final = 0x80000000
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000

_NUMBER, _ARCHITECTURE = 0, 4
"""Offsets in struct seccomp_data, in bytes."""

_LOAD, _JUMP_EQUAL, _JUMP_SET, _JUMP_ABOVE, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_X32: Final = 0x40000000
"""Numbers from here on are the same kernel's calls with 32-bit pointers."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction of classic BPF. `then` and `otherwise` are the numbers of instructions to skip."""

    code: int
    value: int
    then: int = 0
    otherwise: int = 0

    def packed(self) -> bytes:
        return struct.pack("=HBBI", self.code, self.then, self.otherwise, self.value)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def is_there(machine: str) -> bool:
    """Whether this kernel and machine can filter calls so that a forbidden one ends the whole process."""
    if machine not in _SECCOMP:
        return False
    action = ctypes.c_uint32(_KILL_PROCESS)
    return bool(_libc().syscall(_SECCOMP[machine], _GET_ACTION_AVAIL, 0, ctypes.byref(action)) == 0)


def install(machine: str) -> None:
    """Put the filter over all threads. Needs no_new_privs. Raises OSError where the kernel refuses."""
    code = b"".join(one.packed() for one in program(machine, os.getpid()))
    buffer = ctypes.create_string_buffer(code, len(code))
    given = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    found = _libc().syscall(_SECCOMP[machine], _SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(given))
    if found < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    if found > 0:
        raise OSError(errno.EBUSY, f"seccomp: thread {found} has another filter")


def program(machine: str, pid: int) -> list[Instruction]:
    """The whole filter for that machine, "x86_64" or "aarch64", in the process `pid`."""
    numbers = syscalls.NUMBERS[machine]
    code = [
        Instruction(_LOAD, _ARCHITECTURE),
        Instruction(_JUMP_EQUAL, _ARCHITECTURES[machine], then=1),
        Instruction(_RETURN, _KILL_PROCESS),
        Instruction(_LOAD, _NUMBER),
        Instruction(_JUMP_ABOVE, _X32, otherwise=1),
        Instruction(_RETURN, _ERRNO | errno.EPERM),
    ]
    for name, number in numbers.items():
        answer = list(_answer(name, pid))
        code += [Instruction(_JUMP_EQUAL, number, otherwise=len(answer)), *answer]
    return [*code, Instruction(_RETURN, _ERRNO | errno.EPERM)]


def _answer(name: str, pid: int) -> Iterator[Instruction]:
    """What the filter does at a call of that name."""
    if name in syscalls.ALLOWED:
        yield Instruction(_RETURN, _ALLOW)
    elif name in syscalls.KILLED:
        yield Instruction(_RETURN, _KILL_PROCESS)
    elif name in syscalls.SELF:
        yield from _only_where(0, (pid,), errno.EPERM)
    elif name in syscalls.FIRST_ARGUMENTS:
        yield from _only_where(0, syscalls.FIRST_ARGUMENTS[name], errno.EACCES)
    elif name in syscalls.SECOND_ARGUMENTS:
        yield from _only_where(1, syscalls.SECOND_ARGUMENTS[name], errno.EACCES)
    elif name == "clone":
        yield Instruction(_LOAD, _argument(0))
        yield Instruction(_JUMP_SET, syscalls.CLONE_NAMESPACES, then=2)
        yield Instruction(_JUMP_SET, syscalls.CLONE_THREAD, otherwise=1)
        yield Instruction(_RETURN, _ALLOW)
        yield Instruction(_RETURN, _KILL_PROCESS)
    elif name == "clone3":
        # Its flags lie in memory, where a filter can't look: the C library falls back to clone.
        yield Instruction(_RETURN, _ERRNO | errno.ENOSYS)
    else:
        raise ValueError(f"no rule for {name}")


def _only_where(index: int, values: Iterable[int], otherwise: int) -> Iterator[Instruction]:
    """Allow the call where its argument is one of the values, else have it fail with that errno."""
    yield Instruction(_LOAD, _argument(index))
    for value in values:
        yield Instruction(_JUMP_EQUAL, value, otherwise=1)
        yield Instruction(_RETURN, _ALLOW)
    yield Instruction(_RETURN, _ERRNO | otherwise)


def _argument(index: int) -> int:
    """The offset of an argument's lower 32 bits, in bytes: both machines are little-endian. The arguments that are
    compared are ints, or flags that lie in these bits.
    """
    return 16 + 8 * index


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
