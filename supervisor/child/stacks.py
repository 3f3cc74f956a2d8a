"""The stacks of a child's threads, as faulthandler writes them: what of them is shown, and how they are logged.

faulthandler writes the threads one after another, a blank line between them, the innermost frame of each first. The
main thread comes last, but for a crash: there the thread that crashed comes first and is called "Current thread".
"""

from __future__ import annotations

from typing import Final

MOST_BYTES: Final = 64 * 1024
"""Largest stacks that are read from a child, in bytes."""

PIECE_LENGTH: Final = 600
"""Length of a piece of stacks in one log record, in characters."""

FRAMES: Final = 10
"""Frames of each thread in /status. The innermost ones say where it stands."""

DIGEST_LENGTH: Final = 1500
"""Length of all threads' stacks in /status, in characters: they go in one message."""


def threads(shown: str) -> list[str]:
    """Each thread's stack, the one that matters first: the one that crashed, else the main thread."""
    found = [one.strip("\n") for one in shown.split("\n\n") if one.strip()]
    is_crash = any("Current thread" in one for one in found)
    return found if is_crash else found[::-1]


def digest(shown: str) -> str:
    """The innermost frames of the threads, as much as fits into DIGEST_LENGTH."""
    heads = ["\n".join(one.splitlines()[: FRAMES + 1]) for one in threads(shown)]
    return "\n\n".join(heads)[:DIGEST_LENGTH]


def pieces(shown: str) -> list[str]:
    """The stacks, in pieces of whole lines that each fit into a log record."""
    found: list[str] = []
    for thread in threads(shown):
        piece = ""
        for line in thread.splitlines():
            if piece and len(piece) + len(line) >= PIECE_LENGTH:
                found.append(piece)
                piece = ""
            piece += f"\n{line}" if piece else line
        found.append(piece)
    return found
