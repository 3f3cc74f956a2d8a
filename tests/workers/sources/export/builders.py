"""Exports made for a test, and what is read back from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipc.posts import Post
from workers.sources.export import Export, ExportError

LEFT_OUT = "(File not included. Change data exporting settings to download.)"


def message(id: object, **fields: object) -> dict[str, object]:
    """A text message of 1 January 2024, 00:00:00 UTC, with or over these fields."""
    return {"id": id, "type": "message", "date_unixtime": "1704067200", "text": "", **fields}


def photo(id: object, **fields: object) -> dict[str, object]:
    return message(id, **{"photo": f"photos/photo_{id}@01-01-2024_00-00-00.jpg", **fields})


def write(folder: Path, *messages: object, **top: object) -> Path:
    whole = {"name": "A channel", "type": "public_channel", "id": 42, "messages": messages, **top}
    return write_text(folder, json.dumps(whole, indent=1))


def write_text(folder: Path, text: str | bytes) -> Path:
    (folder / "result.json").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def posts(folder: Path, size: int = 200) -> list[Post]:
    return [post for page in Export.open(folder).pages(size) for post in page.posts]


def only_post(folder: Path, **fields: object) -> Post:
    (post,) = posts(write(folder, photo(1, **fields)))
    return post


def refusal(folder: Path) -> str:
    with pytest.raises(ExportError) as caught:
        Export.open(folder).census()
    return str(caught.value)
