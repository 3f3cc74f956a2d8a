"""A kernel that cannot filter system calls: `python -m tests.without_seccomp COMMAND…` becomes the command, for which
seccomp(2) and prctl(PR_SET_SECCOMP) fail as they do where a kernel was built without them.

It is a filter that says so, and stays on all that the command starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys

from supervisor.child.sandbox.filter import Instruction

_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_SECCOMP, _PRCTL = {"x86_64": (317, 157), "aarch64": (277, 167)}[platform.machine()]
_NUMBER, _FIRST_ARGUMENT = 0, 16
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38

_FILTER = [
    Instruction(_LOAD, _NUMBER),
    Instruction(_JUMP_EQUAL, _SECCOMP, otherwise=1),
    Instruction(_RETURN, _ERRNO | errno.ENOSYS),
    Instruction(_JUMP_EQUAL, _PRCTL, otherwise=3),
    Instruction(_LOAD, _FIRST_ARGUMENT),
    Instruction(_JUMP_EQUAL, _PR_SET_SECCOMP, otherwise=1),
    Instruction(_RETURN, _ERRNO | errno.EINVAL),
    Instruction(_RETURN, _ALLOW),
]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def put_on() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    code = b"".join(one.packed() for one in _FILTER)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(_FILTER), ctypes.cast(buffer, ctypes.c_void_p))
    assert libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.syscall(_SECCOMP, 1, 0, ctypes.byref(program)) == 0
    assert libc.syscall(_SECCOMP, 1, 0, ctypes.byref(program)) == -1


if __name__ == "__main__":
    put_on()
    os.execvp(sys.argv[1], sys.argv[1:])
