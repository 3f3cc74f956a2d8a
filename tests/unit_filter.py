"""The system call filter of deploy/picturedesk.service, put on this process for good, as systemd would."""

from __future__ import annotations

import ctypes
import errno
import subprocess

from tests.instance import HOME

UNIT = HOME / "deploy" / "picturedesk.service"
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_PR_SET_NO_NEW_PRIVS = 38


def put_on() -> None:
    """From here on this process may call what the unit allows; everything else fails with EPERM."""
    libseccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    libseccomp.seccomp_init.restype = ctypes.c_void_p
    libseccomp.seccomp_init.argtypes = (ctypes.c_uint32,)
    libseccomp.seccomp_rule_add_array.argtypes = (
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p),
    )
    libseccomp.seccomp_load.argtypes = (ctypes.c_void_p,)
    rules = libseccomp.seccomp_init(_ERRNO | errno.EPERM)
    for name in _allowed():
        number = libseccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # others are of other processors
            assert libseccomp.seccomp_rule_add_array(rules, _ALLOW, number, 0, None) == 0, name
    assert ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libseccomp.seccomp_load(rules) == 0


def drop_capabilities() -> None:
    """As CapabilityBoundingSet= does."""
    header, halves = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, halves) == 0


def _allowed() -> set[str]:
    """The names of the system calls, line by line as systemd reads them: the first makes the list, ~ takes away."""
    names: set[str] = set()
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line.startswith("SystemCallFilter="):
            words = line.partition("=")[2]
            listed = _expanded(words.removeprefix("~").split())
            names = names - listed if words.startswith("~") else names | listed
    assert "read" in names and "capset" not in names
    return names


def _expanded(words: list[str]) -> set[str]:
    """The words with each @set replaced by what is in it, however deep."""
    names = {word for word in words if not word.startswith("@")}
    sets = [word for word in words if word.startswith("@")]
    if not sets:
        return names
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", *sets], capture_output=True, text=True, check=True
    ).stdout
    members = [line.strip() for line in listed.splitlines() if line.startswith("    ") and "#" not in line]
    return names | _expanded(members)
