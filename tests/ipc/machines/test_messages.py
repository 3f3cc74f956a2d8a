"""The messages between origin and nodes: what comes out is what went in, and what is none of ours says so."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ipc.jobs import Appearance
from ipc.machines import BadMessage, result
from ipc.machines.handover import Handover, Key, Terms
from ipc.machines.result import Address, Dead, Published
from ipc.posts import BACKFILL, Channel, Photo, Post
from ipc.transport.messages import JobDone

KEY = Key("00ff00ff00ff", 42, 7, 2, 9)
TERMS = Terms(
    ladder={"widths": [320, 640], "webp": True},
    limits={"max_bytes": 1000},
    strip=True,
    originals="stripped",
    bucket="pictures",
    wire_bucket="pictures",
    prefix="news/",
    url="https://pictures.example.org/",
    editor_commands=False,
)
PHOTO = Photo(
    11,
    f"queue:{KEY}",
    {"object": "news/wire/abc", "sha256": "5a", "bytes": 1000},
    source="queue",
    bytes=1000,
    width=None,
    height=None,
    mime=None,
    sha256="5a",
    kind="video",
)
POST = Post(
    42, 7, 1_700_000_000, None, 5, "a caption ✓", PHOTO, ({"type": "bold", "offset": 0, "length": 1},), None, 3, 77
)
HANDOVER = Handover(KEY, Channel(42, "News", "news"), POST, "news/wire/abc", "5a", 1000, TERMS, BACKFILL)
APPEARANCE = Appearance(b"\x01\xff", "#102030", 2**63 + 1, has_alpha=False, frames=1, animated=False).packed()
DONE = JobDone(0, 0, 0, "image/jpeg", "jpg", 640, 480, [[320, 240, "webp", 9]], 1, "", 800, "0a0b0c0d", APPEARANCE, 70)
PUBLISHED = Published(KEY, "node-1", 77, DONE, "stripped", Address("https://pictures.example.org/news/", "news/", 2))
DEAD = Dead(KEY, "node-1", 77, "fetched", "poison", "it killed its workers")


def through_json(packed: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(packed))
    return found


def test_what_comes_out_is_what_went_in() -> None:
    assert Handover.unpacked(through_json(HANDOVER.packed())) == HANDOVER
    assert result.unpacked(through_json(PUBLISHED.packed())) == PUBLISHED
    assert result.unpacked(through_json(DEAD.packed())) == DEAD
    doubtful = replace(DEAD, cause="failure", is_doubtful=True)
    assert result.unpacked(through_json(doubtful.packed())) == doubtful
    assert Key.read(str(KEY)) == KEY


def test_a_dead_result_of_an_earlier_version_doubts_nothing() -> None:
    packed = DEAD.packed()
    del packed["is_doubtful"]
    assert result.unpacked(packed) == DEAD


def lacking(packed: dict[str, Any]) -> list[dict[str, Any]]:
    """The message without each of its parts, but for what an earlier version did not have."""
    parts = packed.keys() - {"is_doubtful"}
    return [{name: value for name, value in packed.items() if name != left} for left in sorted(parts)]


@pytest.mark.parametrize("packed", lacking(HANDOVER.packed()))
def test_what_is_no_handover_says_so(packed: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        Handover.unpacked(packed)


@pytest.mark.parametrize("packed", [*lacking(PUBLISHED.packed()), *lacking(DEAD.packed())])
def test_what_is_no_result_says_so(packed: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        result.unpacked(packed)


def test_a_later_version_is_not_guessed_at() -> None:
    with pytest.raises(BadMessage, match="version 2"):
        Handover.unpacked({**HANDOVER.packed(), "v": 2})
    with pytest.raises(BadMessage, match="version 2"):
        result.unpacked({**DEAD.packed(), "v": 2})


def test_a_key_is_held_against_its_message() -> None:
    with pytest.raises(BadMessage, match="another message's"):
        Handover.unpacked({**HANDOVER.packed(), "key": str(replace(KEY, message_id=8))})
