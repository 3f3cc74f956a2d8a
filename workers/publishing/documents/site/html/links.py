"""Relative links from a page to other pages and to the pictures' objects: so the site works from a disk, under any
address and after a move.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ipc.files.object_layout import OBJECT_NAME

SITE = "site/"
"""Where the site's documents are, below the prefix of all keys."""

_OBJECT = re.compile(rf"/([0-9a-f]{{2}}/[0-9a-f]{{64}}/{OBJECT_NAME})")


@dataclass(frozen=True, slots=True)
class Links:
    """Links from the page at `path`, below the site's folder. `address` is the beginning of all our objects' URLs."""

    path: str
    address: str

    def page(self, path: str) -> str:
        """Link to another page.

        >>> Links("7/12.html", "").page("index.html"), Links("7/12.html", "").page("7/13.html")
        ('../index.html', '13.html')
        """
        folder, _, name = path.rpartition("/")
        own, _, _ = self.path.rpartition("/")
        return name if folder == own else "../" * self._depth + path

    def beside(self, key: str) -> str:
        """To an object that is beside the site's folder."""
        return "../" * (self._depth + 1) + key

    def object(self, url: str) -> str:
        """To the object that the catalogue has under that URL: relative if it is one of ours, else as it is.

        Empty if no reader can follow it.

        >>> Links("7/12.html", "https://a/x/").object("https://a/x/ab/c.webp")
        '../../ab/c.webp'
        """
        if self.address and url.startswith(self.address):
            return self.beside(url.removeprefix(self.address))
        if url.startswith(("https://", "http://")):
            return url
        # A file: address of another folder, whose files have been brought here.
        found = _OBJECT.search(url) if url.startswith("file://") else None
        return self.beside(found[1]) if found else ""

    @property
    def _depth(self) -> int:
        return self.path.count("/")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of a srcset: its address in the catalogue, and its width in pixels."""

    url: str
    width: int


def candidates(srcset: str | None) -> list[Candidate]:
    """The candidates of a srcset of the view, by width.

    >>> candidates("https://a/1.webp 640w, https://a/2.webp 320w")
    [Candidate(url='https://a/2.webp', width=320), Candidate(url='https://a/1.webp', width=640)]
    """
    found = (one.strip().rpartition(" ") for one in (srcset or "").split(", "))
    return sorted(
        (Candidate(url, int(width[:-1])) for url, _, width in found if re.fullmatch(r"[1-9][0-9]{0,4}w", width)),
        key=lambda one: one.width,
    )


def nearest(some: list[Candidate], widths: tuple[int, ...]) -> list[Candidate]:
    """The candidates whose widths are nearest to `widths`, each once.

    >>> [one.width for one in nearest([Candidate("", 300), Candidate("", 900), Candidate("", 2000)], (320, 640, 1280))]
    [300, 900]
    """
    chosen = {min(some, key=lambda one: abs(one.width - width)) for width in widths} if some else set()
    return sorted(chosen, key=lambda one: one.width)
