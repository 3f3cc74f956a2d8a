"""Prints for all commands, so that no name or reason that others wrote can steer the terminal or forge a line.

Each line stays one line, whatever is in it (`ipc.text.printable`). No other module of the commands writes to standard
output or standard error, but for `status.screen`, which has rich do it; tests look for both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from ipc.text.printable import printable, printable_json


def say(*lines: str, out: TextIO | None = None, put: Callable[[str], object] | None = None) -> None:
    """Print the lines to `out` (default: standard output), or hand them to `put` one by one."""
    for line in lines:
        if put:
            put(printable(line))
        else:
            print(printable(line), file=out, flush=True)


def complain(command: str, *lines: str) -> None:
    """Print to standard error what is wrong with `command`."""
    say(*(f"picturedesk: {command}: {line}" for line in lines), out=sys.stderr)


def say_json(value: Any, indent: int | None = 1) -> None:
    """Print JSON for programs, as safe to show as any line."""
    write(printable_json(json.dumps(value, ensure_ascii=False, indent=indent)) + "\n")


def write(text: str, out: TextIO | None = None) -> None:
    """Print trusted text as it is: a QR code, a move of the cursor, SQL."""
    print(text, end="", file=out, flush=True)


def mebibytes(size: int | None) -> str:
    """A size as people read it; none and zero are "-"."""
    return f"{size / 2**20:.0f}M" if size else "-"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text as lines with aligned columns."""
    # Made safe to show before the widths are taken: that can make a cell longer.
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
