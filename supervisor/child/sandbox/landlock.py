"""Files (Landlock): which folders this process may read, which it may write into, and no others, for good.

It holds for the thread that asks for it and those that it starts later: ask before there are others. It covers what
has a path and is opened from then on; what is open stays open. It says nothing about chmod, links and sockets: the
system call filter does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls, the same on every machine."""

_CREATE_RULESET_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_REG, _TRUNCATE = 1 << 5, 1 << 8, 1 << 14

READ: Final = _READ_FILE | _READ_DIR
WRITE: Final = READ | _WRITE_FILE | _REMOVE_FILE | _MAKE_REG | _TRUNCATE

_OF_FILES: Final = _WRITE_FILE | _READ_FILE | _TRUNCATE
"""What can be allowed of a path that is no folder."""

_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many kinds of access to files the kernel knows, from that version of its interface on."""

_NETWORK_RIGHTS: Final = 0b11
"""TCP: bind and connect; from version 4 on."""

_SCOPES: Final = 0b11
"""Abstract sockets and signals of processes outside; from version 6 on."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("fd", ctypes.c_int32))


def version() -> int:
    """The version of the kernel's interface; 0 where there is none, or it is switched off."""
    found = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION)
    return max(0, int(found))


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> int:
    """Keep this thread to these files and what is below these folders; the interface's version, 0 without Landlock.

    A path that is not there is passed over. Needs no_new_privs. Raises OSError where the kernel refuses.
    """
    known = version()
    if not known:
        return 0
    rights = (1 << max(count for since, count in _FILE_RIGHTS.items() if since <= known)) - 1
    with _closing(_create(known, rights)) as ruleset:
        for access, paths in ((READ, readable), (WRITE, writable)):
            for path in paths:
                _allow(ruleset, path, access & rights)
        if _libc().syscall(_RESTRICT_SELF, ruleset, 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    return known


def _create(known: int, rights: int) -> int:
    given = _Ruleset(rights, _NETWORK_RIGHTS if known >= 4 else 0, _SCOPES if known >= 6 else 0)
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    fd = _libc().syscall(_CREATE_RULESET, ctypes.byref(given), ctypes.c_size_t(size), 0)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    return int(fd)


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    with _closing(fd):
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= _OF_FILES
        rule = _PathBeneath(access, fd)
        if _libc().syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock_add_rule", str(path))


@contextlib.contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
