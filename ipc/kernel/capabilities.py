"""The capabilities of this thread, as capabilities(7) has them: which it holds, and giving some of them up.

Threads that it starts later have what it has then. Nothing is asked of the kernel where nothing is to be given up: the
filter of a hardened service, which has no capabilities, denies capset.
"""

from __future__ import annotations

import ctypes
from typing import Final

ALL: Final = (1 << 64) - 1
SYS_NICE: Final = 1 << 23

_VERSION: Final = 0x20080522
"""linux/capability.h: capabilities of 64 bits, in two halves."""

_SETS: Final = ("effective", "permitted", "inheritable")


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Half(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in _SETS)


def held() -> int:
    """The capabilities that the thread can use or take up, as a mask. Raises OSError where the kernel does not say."""
    _, halves = _read()
    low, high = (half.effective | half.permitted for half in halves)
    return int(low | high << 32)


def give_up(mask: int) -> None:
    """Give up those of the mask. May be repeated. Raises OSError where one is held and can't be given up."""
    if not held() & mask:
        return
    header, halves = _read()
    for half, part in zip(halves, (mask & 0xFFFFFFFF, mask >> 32), strict=True):
        for name in _SETS:
            setattr(half, name, getattr(half, name) & ~part)
    if _libc().capset(ctypes.byref(header), halves) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _read() -> tuple[_Header, ctypes.Array[_Half]]:
    header, halves = _Header(_VERSION, 0), (_Half * 2)()
    if _libc().capget(ctypes.byref(header), halves) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    return header, halves


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
