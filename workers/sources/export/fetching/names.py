"""Finds a file whose name the disk spells differently from the export: composed or decomposed letters, another case.

An export that was unpacked or copied on another system may come so: macOS decomposes "é" into two characters, and a FAT
disk may change the case. The exact name goes first, then the same letters, then the same letters in another case.

Promises. A spelling is only taken if it is the only one there: of two files either may be meant. Only folders
inside of the root are looked into. However many files a folder has, a look for a name is not a look at all of them: of
each name some bytes are remembered, for as long as the folder is not changed.

Left to others: whether what was found may be opened.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from unicodedata import normalize


def spelled(root: Path, name: str, declared_bytes: int | None = None) -> str:
    """The name, relative to the folder `root` (a real path), as the disk spells it; as it is, if nothing there fits.

    A file in another case must have the size that was declared, where one was: names that differ in case alone may well
    be two pictures.
    """
    if os.path.lexists(root / name):
        return name
    found = Path()
    for part in PurePosixPath(name).parts:
        folder = (root / found).resolve()
        if part in ("/", "..") or not folder.is_relative_to(root):
            return name
        spelling = part if os.path.lexists(folder / part) else _in_folder(folder, part, declared_bytes)
        if spelling is None:
            return name
        found /= spelling
    return str(found)


def _in_folder(folder: Path, part: str, declared_bytes: int | None) -> str | None:
    """How the folder spells that part of a name; None if it does not have it, or has several."""
    alike = _count_alike(folder, part)
    if not alike:
        return None
    candidates = [one for one in _guesses(part) if os.path.lexists(folder / one)] if alike == 1 else []
    candidates = candidates or [one for one in _names(folder) if _folded(one) == _folded(part)]
    same_letters = [one for one in candidates if normalize("NFC", one) == normalize("NFC", part)]
    if same_letters:
        return same_letters[0] if len(same_letters) == 1 else None
    (first, *others) = candidates or [part]
    return first if not others and _has_size(folder / first, declared_bytes) else None


def _guesses(part: str) -> set[str]:
    """How a name is likely to be spelled. They save reading the folder for each of its files."""
    return {
        normalize(form, change(normalize(form, part)))
        for form in ("NFC", "NFD")
        for change in (str, str.upper, str.lower)
    }


def _folded(name: str) -> str:
    """Equal for names that differ in the composition of their letters and in case alone.

    >>> _folded("\N{LATIN CAPITAL LETTER E WITH ACUTE}.JPG") == _folded("e\N{COMBINING ACUTE ACCENT}.jpg")
    True
    """
    return normalize("NFC", normalize("NFD", name).casefold())


def _has_size(path: Path, declared_bytes: int | None) -> bool:
    """Whether a file has that size. A folder has none."""
    return declared_bytes is None or not path.is_file() or path.stat().st_size == declared_bytes


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        yield from (entry.name for entry in entries)


def _count_alike(folder: Path, part: str) -> int:
    """How many names in the folder are this one, but for composition and case."""
    try:
        found = folder.stat()
        marks = _marks(folder, (found.st_dev, found.st_ino, found.st_mtime_ns))
    except (FileNotFoundError, NotADirectoryError):
        return 0
    mark = hash(_folded(part))
    return bisect_right(marks, mark) - bisect_left(marks, mark)


@lru_cache(maxsize=2)
def _marks(folder: Path, state: tuple[int, int, int]) -> array[int]:
    """A hash of each name in the folder, sorted: eight bytes a name. `state` is another one when the folder changes."""
    return array("q", sorted(hash(_folded(name)) for name in _names(folder)))
