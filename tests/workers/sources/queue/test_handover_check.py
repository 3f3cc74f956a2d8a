"""workers/sources/queue/handover_check.py: whatever a queue holds, it is a sound hand-over or it is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipc.machines.handover import Handover, Key, Terms
from ipc.posts import Channel, Photo, Post
from workers.sources.queue import handover_check
from workers.sources.queue.handover_check import Refusal

SHA = "5a" * 32
KEY = Key("00ff00ff00ff", 42, 7, 1, 3)
PHOTO = Photo(
    9,
    f"queue:{KEY}",
    {"object": "pictures/wire/ab", "sha256": SHA, "bytes": 300_000},
    source="queue",
    bytes=300_000,
    width=None,
    height=None,
    mime=None,
    sha256=SHA,
)
TERMS = Terms(
    ladder={"widths": [320], "webp": True},
    limits={"max_bytes": 10**7, "max_dimension": 5000, "max_pixels": 10**7},
    strip=True,
    originals="stripped",
    bucket="pictures",
    wire_bucket="pictures",
    prefix="pictures/",
    url="https://pictures.example.org/",
    editor_commands=False,
)
POST = Post(
    42, 7, 1_738_404_000, None, None, "caption", PHOTO, ({"type": "bold", "offset": 0, "length": 3},), revision=9
)
SOUND = Handover(KEY, Channel(42, "News", "news"), POST, "pictures/wire/ab", SHA, 300_000, TERMS).packed()


def changed(path: str, value: Any) -> dict[str, Any]:
    """The sound message, but for that."""
    message = copy.deepcopy(SOUND)
    *folders, name = path.split(".")
    where = message
    for folder in folders:
        where = where[folder]
    where[name] = value
    return message


def test_a_sound_one_is_read() -> None:
    found = handover_check.read(SOUND, "pictures")
    assert isinstance(found, Handover) and found.packed() == SOUND


HOSTILE: list[tuple[str, Any]] = [
    ("v", 99),
    ("v", "x" * 200_000),
    ("key", 5),
    ("key", "00ff00ff00ff:42:7:1"),
    ("key", "00ff00ff00ff:+42:7:1:3"),
    ("key", "../../etc:42:7:1:3"),
    ("key", f"00ff00ff00ff:42:7:1:{2**63}"),
    ("origin", "another"),
    ("channel", None),
    ("channel.id", -42),
    ("channel.title", None),
    ("channel.name", {"a": 1}),
    ("message.id", 2**70),
    ("message.revision", -1),
    ("message.revision", 2**63),
    ("message.grouped_id", "album"),
    ("message.grouped_id", 2**64 - 1),
    ("message.caption", None),
    ("message.caption", "\ud800"),
    ("message.caption", "x" * 2**20),
    ("message.entities", "bold"),
    ("message.entities", None),
    ("message.entities", [5]),
    ("message.forwarded_from", [1]),
    ("message.reply_to", 1e300),
    ("message.posted_at", -1),
    ("message.posted_at", 10**15),
    ("message.posted_at", float("inf")),
    ("message.edited_at", "2025-01-01"),
    ("photo.id", "x"),
    ("photo.kind", "song"),
    ("object", ""),
    ("object", "k" * 2000),
    ("object", 5),
    ("sha256", "../../../../etc/passwd"),
    ("sha256", SHA.upper()),
    ("bytes", -5),
    ("bytes", 0),
    ("bytes", 10**7 + 1),
    ("bytes", float("inf")),
    ("terms.ladder", [320]),
    ("terms.limits", None),
    ("terms.limits", {}),
    ("terms.limits.max_bytes", "all"),
    ("terms.strip", "no"),
    ("terms.originals", "all"),
    ("terms.bucket", ["pictures"]),
    ("terms.wire_bucket", ["pictures"]),
    ("terms.prefix", "../../"),
    ("terms.prefix", "/"),
    ("terms.prefix", None),
    ("terms.url", 5),
    ("terms.editor_commands", None),
    ("terms.ladder.widths", list(range(5000))),
    ("terms.ladder.widths", [2**70]),
    ("priority", "now"),
]


@pytest.mark.parametrize(
    ("path", "value"), HOSTILE, ids=[f"{number}-{path}" for number, (path, _) in enumerate(HOSTILE)]
)
def test_what_can_not_be_is_refused_in_a_sentence(path: str, value: Any) -> None:
    found = handover_check.read(changed(path, value), "pictures")
    assert isinstance(found, Refusal) and 0 < len(found.reason.encode()) <= 400, found


def test_a_message_that_is_none_at_all_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    for content in ({}, {"v": 1}, {"v": True}, {"v": 1, "x": deep}, {"v": 1, "x": [0] * 10**6}):
        assert isinstance(handover_check.read(content, "pictures"), Refusal)


def test_another_bucket_is_a_problem_of_its_own() -> None:
    found = handover_check.read(SOUND, "others")
    assert isinstance(found, Refusal) and found.kind == handover_check.OTHER_BUCKET


PATHS = [
    *(path for path, _ in HOSTILE),
    "terms.limits.max_pixels",
    "terms.ladder.webp",
    "message.entities",
    "message.forwarded_from",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300)
@given(st.sampled_from(sorted(set(PATHS))), JSON)
def test_anything_anywhere_ends_in_a_hand_over_or_a_refusal(path: str, value: Any) -> None:
    handover_check.read(changed(path, value), "pictures")
