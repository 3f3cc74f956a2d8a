"""The refusal of an export. Its text is for the user: the file, the place, the reason, the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Final

AGAIN: Final = (
    "Export the channel again: in Telegram Desktop, its ⋮ menu → Export chat history → format "
    "“Machine-readable JSON”, and wait until it has finished"
)


class ExportError(Exception):
    """The export can't be taken. Its text: the file, the place, the reason, the remedy."""

    def __init__(self, file: Path, reason: str, remedy: str = AGAIN, *, place: str = "") -> None:
        super().__init__(": ".join(filter(None, [str(file), place, reason])) + f". {remedy}.")
