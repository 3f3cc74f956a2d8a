"""The messages between origin and nodes: what comes out is what went in, and what is none of ours says so."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from ipc.jobs import Appearance
from ipc.machines import BadMessage, NewerMessage, result
from ipc.machines.handover import Handover, Key, Terms
from ipc.machines.result import Dead, Published, RowAddress, UnreadableResult
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
ADDRESS = RowAddress("https://pictures.example.org/news/", "news/", 2)
PUBLISHED = Published(KEY, "node-1", 77, DONE, "stripped", ADDRESS, "5a")
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


def test_a_result_of_an_earlier_version_lacks_what_was_not_there_yet() -> None:
    packed = DEAD.packed()
    del packed["is_doubtful"]
    assert result.unpacked(packed) == DEAD
    packed = PUBLISHED.packed()
    del packed["sha256"]
    assert result.unpacked(packed) == replace(PUBLISHED, sha256="")


def lacking(packed: dict[str, Any]) -> list[dict[str, Any]]:
    """The message without each of its parts, but for what an earlier version did not have."""
    parts = packed.keys() - {"is_doubtful", *(["sha256"] if "outcome" in packed else [])}
    return [{name: value for name, value in packed.items() if name != left} for left in sorted(parts)]


@pytest.mark.parametrize("packed", lacking(HANDOVER.packed()))
def test_what_is_no_handover_says_so(packed: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        Handover.unpacked(packed)


@pytest.mark.parametrize("packed", [*lacking(PUBLISHED.packed()), *lacking(DEAD.packed())])
def test_what_is_no_result_says_so(packed: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        result.unpacked(packed)


def seen(*values: Any) -> str:
    """An appearance as JSON has it."""
    return base64.b64encode(msgpack.packb(list(values))).decode()


HOSTILE: list[dict[str, Any]] = [
    {"done": {"mime": {"a": 1}}},
    {"done": {"mime": "image/jpeg\n"}},
    {"done": {"extension": "../x"}},
    {"done": {"extension": None}},
    {"done": {"width": 10**30}},
    {"done": {"width": True}},
    {"done": {"height": -1}},
    {"done": {"height": "480"}},
    {"done": {"renditions": ["x"]}},
    {"done": {"renditions": "x"}},
    {"done": {"renditions": {"a": 1}}},
    {"done": {"renditions": [[320, 240, "webp"]]}},
    {"done": {"renditions": [[320, 240, "bmp", 9]]}},
    {"done": {"renditions": [[320, 240, ["webp"], 9]]}},
    {"done": {"renditions": [[320, 240, "webp", 2**62]]}},
    {"done": {"renditions": [[320, 240, "webp", 9]] * 2000}},
    {"done": {"fallbacks": "x"}},
    {"done": {"fallbacks": 2**63 - 1}},
    {"done": {"stripped_bytes": -2}},
    {"done": {"preview_bytes": 1.5}},
    {"done": {"recipe": "../../x"}},
    {"done": {"appearance": 7}},
    {"done": {"appearance": "no base64"}},
    {"done": {"appearance": seen(b"", "#102030")}},
    {"done": {"appearance": seen("text", "#102030", b"12345678", False, 1, False)}},
    {"done": {"appearance": seen(b"", "red", b"12345678", False, 1, False)}},
    {"done": {"appearance": seen(b"", "#102030", b"123456789", False, 1, False)}},
    {"done": {"appearance": seen(b"", "#102030", b"12345678", 7, 1, False)}},
    {"done": {"appearance": seen(b"", "#102030", b"12345678", False, 2**63, False)}},
    {"done": {"appearance": seen(b"x" * 999, "#102030", b"12345678", False, 1, False)}},
    {"done": {"appearance": base64.b64encode(b"\xc7\x03\xff").decode()}},
    {"original": "other"},
    {"original": ["stripped"]},
    {"sha256": {"a": 1}},
    {"revision": float("inf")},
    {"revision": 2**63},
    {"revision": "77"},
    {"address": {"url": {}}},
    {"address": {"prefix": 5}},
    {"address": {"columns": 2**63}},
    {"address": {"columns": 0}},
    {"address": {"url": "x" * 9999}},
    {"address": []},
]
"""What of a result may be otherwise, by malice or mistake."""


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: str(change)[:50])
def test_what_the_journal_could_not_bear_is_no_result(change: dict[str, Any]) -> None:
    packed = through_json(PUBLISHED.packed())
    for name, value in change.items():
        packed[name] = {**packed[name], **value} if isinstance(value, dict) and name in ("done", "address") else value
    found = result.read(packed)
    assert isinstance(found, UnreadableResult) and found.key == KEY and len(found.reason) < 500


def test_what_a_later_program_appends_to_a_list_is_passed_over() -> None:
    packed = through_json(PUBLISHED.packed())
    packed["done"]["renditions"] = [[*one, "new", {}] for one in packed["done"]["renditions"]]
    packed["done"]["appearance"] = seen(*APPEARANCE, "new", 7)
    assert result.unpacked(packed) == PUBLISHED


def test_no_key_is_beyond_what_the_journal_can_be_asked_for() -> None:
    for number in (2**63, -(2**63) - 1, 10**30):
        with pytest.raises(BadMessage):
            Key.read(f"{KEY.origin}:{number}:7:2:9")


def grown(packed: Any) -> Any:
    """The message as a later program may send it in the same version: every object has something more."""
    if isinstance(packed, dict):
        return {**{name: grown(value) for name, value in packed.items()}, "new": {"in": "a later one"}}
    return packed


def test_what_a_later_program_adds_is_passed_over() -> None:
    assert Handover.unpacked({**grown(HANDOVER.packed()), "photo": HANDOVER.packed()["photo"]}) is not None
    found = Handover.unpacked(grown(HANDOVER.packed()))
    assert replace(found, terms=TERMS) == HANDOVER
    assert found.terms == replace(TERMS, ladder=grown(TERMS.ladder), limits=grown(TERMS.limits)), "these are passed on"
    assert result.unpacked(grown(PUBLISHED.packed())) == PUBLISHED
    assert result.unpacked(grown(DEAD.packed())) == DEAD


@pytest.mark.parametrize("packed", [HANDOVER.packed(), PUBLISHED.packed(), DEAD.packed()])
def test_a_later_version_is_not_guessed_at(packed: dict[str, Any]) -> None:
    unpack = result.unpacked if "outcome" in packed else Handover.unpacked
    with pytest.raises(NewerMessage, match="of version 2, this program understands 1: it has to be upgraded"):
        unpack({**packed, "v": 2})
    for version in (0, -1, "1", True, 1.0, None):
        with pytest.raises(BadMessage, match=r"understands 1$"):
            unpack({**packed, "v": version})


def test_of_a_result_that_can_not_be_read_it_is_known_whose_it_is() -> None:
    newer = result.read({"v": 2, "key": str(KEY), "node": "node-1"})
    assert isinstance(newer, UnreadableResult) and (newer.key, newer.node) == (KEY, "node-1")
    assert "of version 2" in newer.reason
    nonsense = result.read({"v": 1, "key": str(KEY), "outcome": "published", "done": 7})
    assert isinstance(nonsense, UnreadableResult) and "not a result" in nonsense.reason
    assert result.read(through_json(DEAD.packed())) == DEAD
    with pytest.raises(BadMessage):
        result.read({"v": 2})


def test_no_text_keeps_an_answer_from_the_database() -> None:
    """PostgreSQL takes neither a NUL nor half of a surrogate pair in a text of JSON."""
    odd = replace(DEAD, reason="bad \0 file \ud800", node="n\0")
    assert "\\u0000" not in (text := json.dumps(odd.packed())) and "\\ud800" not in text
    assert result.unpacked(odd.packed()) == replace(DEAD, reason="bad \ufffd file \ufffd", node="n\ufffd")
    assert "\\u0000" not in json.dumps(replace(PUBLISHED, done=replace(DONE, mime="a\0")).packed())


def test_a_key_is_held_against_its_message() -> None:
    with pytest.raises(BadMessage, match="another message's"):
        Handover.unpacked({**HANDOVER.packed(), "key": str(replace(KEY, message_id=8))})
