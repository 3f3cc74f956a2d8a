"""ipc.transport.messages: every message survives the wire, and nothing else gets through."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ipc.transport import messages
from ipc.transport.messages import (
    MAX_BYTES,
    Beat,
    ChildState,
    Ended,
    Held,
    JobDone,
    JobFailed,
    Leaving,
    Message,
    MessageError,
    NewOptions,
    OperationRequest,
    OwnMemory,
    Ration,
    Ready,
    RenderRequest,
    Report,
    Sealed,
    Short,
    Starved,
    Unrunnable,
    Wake,
    clip,
    decode,
    encode,
)

EXAMPLES: list[Message] = [
    Ready(),
    Beat(0.125),
    Held("no credentials", "set telegram.api_id — €"),
    Starved("2 MB wanted"),
    Wake("fetched"),
    Report("connection", {"path": "/x", "behind": 3, "connected": True, "error": None, "list": [1, 2.5]}),
    ChildState("image-1", {"pid": 12, "order": [1]}),
    Ended("image-1", {"at": 5, "cause": "hung"}),
    NewOptions({"job_seconds": 60.0, "children": [{"name": "image"}]}),
    OperationRequest("restart", "image-1"),
    Ration(1, False),
    RenderRequest(1, 2, 2**40, 60.0),
    JobDone(1, 2, 3, "image/jpeg", "jpg", 640, 480, [[320, 240, "webp", 1234]]),
    JobFailed(1, 2, 3, "bad", "not a picture"),
    Unrunnable("no-such-program: No such file or directory"),
    Short("can't start new thread"),
    Leaving(),
    Sealed(True, 7),
    OwnMemory(2**30, 2**20),
]


def test_the_examples_are_all_types() -> None:
    assert [type(one) for one in EXAMPLES] == list(messages._TYPES)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_round_trip(message: Message) -> None:
    assert decode(encode(message)) == message


TEXT = st.text(max_size=200)
BIG = st.integers(-(2**63), 2**64 - 1)
FACTS = st.dictionaries(TEXT, st.none() | st.booleans() | BIG | st.floats(allow_nan=False) | TEXT, max_size=4)


@given(
    st.builds(Beat, st.floats(allow_nan=False))
    | st.builds(Wake, TEXT)
    | st.builds(Report, TEXT, FACTS)
    | st.builds(RenderRequest, BIG, BIG, BIG, st.floats(allow_nan=False))
    | st.builds(JobFailed, BIG, BIG, BIG, TEXT, TEXT)
)
def test_any_plain_values_round_trip(message: Message) -> None:
    try:
        data = encode(message)
    except MessageError:  # too large; the sizes are tested below
        return
    assert decode(data) == message


# --- sizes --------------------------------------------------------------------------------------------------


def test_the_largest_message_is_exactly_the_limit() -> None:
    overhead = len(encode(Wake("x" * 1000))) - 1000
    assert len(encode(Wake("x" * (MAX_BYTES - overhead)))) == MAX_BYTES
    with pytest.raises(MessageError, match=f"Wake of {MAX_BYTES + 1} bytes: at most {MAX_BYTES}"):
        encode(Wake("x" * (MAX_BYTES - overhead + 1)))


def test_a_message_is_measured_in_bytes_not_characters() -> None:
    with pytest.raises(MessageError, match="bytes"):
        encode(Wake("€" * 2000))


@pytest.mark.parametrize("value", [object(), 2**64, "half a pair \udcff", {1, 2}])
def test_what_is_no_plain_value_is_refused(value: Any) -> None:
    with pytest.raises(MessageError, match="Report cannot be sent"):
        encode(Report("x", {"value": value}))


# --- garbage ------------------------------------------------------------------------------------------------


def refused(data: bytes) -> bool:
    try:
        decode(data)
    except MessageError:
        return True
    return False


@given(st.binary(max_size=MAX_BYTES))
@example(b"")
@example(b"\x91" * MAX_BYTES)  # nested deeper than any parser goes
@example(b"\xdd\xff\xff\xff\xff")  # an array that says it has four thousand million elements
@example(b"\xc6\xff\xff\xff\xff")
@example(b"\x92\x01\xd6\xff\x00\x00\x00\x00")  # a time stamp where a number is wanted
@example(b"\x81\x91\x01\x01")  # a map whose key is a list
def test_garbage_raises_nothing_but_message_error(data: bytes) -> None:
    refused(data)


ANYTHING = st.recursive(
    st.none() | st.booleans() | BIG | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.integers(-12, 12), st.lists(ANYTHING, max_size=9))
def test_what_is_understood_is_of_our_types(tag: int, fields: list[Any]) -> None:
    data = msgpack.packb([tag, *fields])
    if refused(data):
        return
    message = decode(data)
    assert decode(encode(message)) == message or "nan" in repr(message)


@given(st.sampled_from(EXAMPLES), st.integers(0, 200), st.integers(0, 255))
def test_one_wrong_byte_raises_nothing_but_message_error(message: Message, place: int, byte: int) -> None:
    data = bytearray(encode(message))
    data[place % len(data)] = byte
    refused(bytes(data))


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_half_a_message_is_none(message: Message) -> None:
    data = encode(message)
    assert all(refused(data[:length]) for length in range(len(data)))
    assert refused(data + b"\x00")


@pytest.mark.parametrize(
    "plain",
    [
        pytest.param([], id="no tag"),
        pytest.param([-1, 1, 1, 1, "bad", "x"], id="a negative tag"),
        pytest.param([len(messages._TYPES)], id="a tag that nobody has"),
        pytest.param(["0"], id="a tag that is text"),
        pytest.param([[0]], id="a tag that is a list"),
        pytest.param({"0": 0}, id="a map"),
        pytest.param([0, "extra"], id="a field too many"),
        pytest.param([7, 1, 2, "folder"], id="a field too few"),
        pytest.param([1, "long ago"], id="text for a number"),
        pytest.param([4, b"seen"], id="bytes for text"),
        pytest.param([5, "topic", [["x", 1]]], id="a list for a map"),
        pytest.param([8, 1, 2, 3, "image/jpeg", "jpg", 640, 480, 5], id="a number for a list"),
        pytest.param([7, 1.5, 2, "folder", 0], id="a fraction for an id"),
    ],
)
def test_wrong_tag_or_fields(plain: Any) -> None:
    with pytest.raises(MessageError, match="not a message"):
        decode(msgpack.packb(plain))


# --- clip ---------------------------------------------------------------------------------------------------


@given(st.text(), st.integers(3, 40))
def test_clip_keeps_to_its_length_in_bytes(text: str, max_bytes: int) -> None:
    clipped = clip(text, max_bytes)
    size = len(text.encode("utf-8", "replace"))
    assert len(clipped.encode()) <= max_bytes
    if size <= max_bytes:
        assert clipped == text
    else:
        assert clipped.endswith("…")
        assert text.startswith(clipped[:-1])
        assert len(clipped.encode()) > max_bytes - 4  # no more is cut off than one character's bytes


def test_clip_makes_half_a_surrogate_pair_harmless() -> None:
    assert clip("file \udcff") == "file ?"


@pytest.mark.parametrize("letter", ["x", "ж", "€", "🖼", "\udcff"])
def test_clipped_last_words_fit_into_their_message(letter: str) -> None:
    """The lengths that a child's last words are clipped to."""
    endless = letter * 10_000
    assert encode(Held(clip(endless, 1500), clip(endless, 1500)))
    assert encode(JobFailed(2**63, 2**63, 2**63, "passing", clip(endless)))
