"""All that a command prints goes through here, so that no name or reason of others' can steer the terminal.

Promises. Each line that is said stays one line, whatever is in it (`ipc.text.printable`). No other module of the
commands writes to standard output or standard error; a test looks for it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, TextIO

from ipc.text.printable import printable, printable_json


def say(*lines: str, out: TextIO | None = None, put: Callable[[str], object] | None = None) -> None:
    """Print the lines; to `out` (standard output), or by `put`, which is given one after another."""
    for line in lines:
        if put:
            put(printable(line))
        else:
            print(printable(line), file=out, flush=True)


def complain(command: str, *lines: str) -> None:
    """Print to standard error what is wrong."""
    say(*(f"picturedesk: {command}: {line}" for line in lines), out=sys.stderr)


def say_json(value: Any, indent: int | None = 1) -> None:
    """Print JSON, for programs; it is as safe to show as the rest."""
    write(printable_json(json.dumps(value, ensure_ascii=False, indent=indent)) + "\n")


def write(text: str, out: TextIO | None = None) -> None:
    """Print text that we have made ourselves, as it is: a QR code, a move of the cursor, SQL."""
    print(text, end="", file=out, flush=True)
