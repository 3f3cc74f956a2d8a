"""Checks a message before anything of it is entered: whoever has the project's key can put anything into a queue.

What has passed can be kept in the journal, told to an image worker, and written as a row, so no message can end a
process. Whether the picture is one, and is the one that was announced, shows when it is here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, get_args

import msgpack

from ipc.files.object_layout import Published
from ipc.machines import LARGEST, MISTAKES, BadMessage
from ipc.machines.handover import Handover, Terms
from ipc.posts import clean
from ipc.text.timestamps import LATEST
from ipc.transport.messages import clip

TERMS_BYTES = 3000
"""Largest terms for an image worker, in bytes: they go in one message with the rest of its request."""

MESSAGE_BYTES = 2**18
"""Largest message, in bytes. An origin's has 2 to 8 KB."""

KEY_BYTES = 1024
"""Longest key of an object in S3, in bytes."""

LARGEST_FILE = 2**31
"""Largest file, in bytes: the upper bound of `images.max_bytes`."""

PREFIX = r"((?!\.{1,2}/)[A-Za-z0-9._-]{1,200}/)*"
"""Pattern of `storage.prefix`."""

REASON_BYTES = 300

OTHER_BUCKET = "other_bucket"
"""The kind of a refusal that has a problem of its own in /status."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message can't be used here. `kind` is OTHER_BUCKET or "", `reason` is for people."""

    reason: str
    kind: str = ""


NONE_CLOSED: Mapping[str, str] = {}


def read(content: Mapping[str, Any], bucket: str, closed: Mapping[str, str] = NONE_CLOSED) -> Handover | Refusal:
    """The hand-over in a message, if a node with that bucket can do it. `closed`: why others can't be read."""
    try:
        if (size := len(msgpack.packb(content))) > MESSAGE_BYTES:
            return Refusal(f"a message of {size:,} bytes, at most {MESSAGE_BYTES:,} are one of ours")
        handover = Handover.unpacked(content)
        if wrong := next(_wrong_with(handover, content.get("key")), None):
            return Refusal(f"not a hand-over: its {wrong} can't be right")
    except BadMessage as bad:
        return Refusal(clip(str(bad), REASON_BYTES))
    except MISTAKES as error:
        return Refusal(clip(f"not a hand-over: {type(error).__name__}: {error}", REASON_BYTES))
    return _refusal_of(handover.terms, bucket, closed) or handover


def _wrong_with(handover: Handover, key: object) -> Iterator[str]:
    """The names of what can't be so. Only the first one counts: what comes after it relies on it."""
    parts = (_identity(handover, key), _terms(handover.terms), _message(handover), _picture(handover))
    return (name for name, is_sound in chain.from_iterable(parts) if not is_sound)


def _identity(handover: Handover, key: object) -> Iterator[tuple[str, bool]]:
    """`key` is the message's, as it is written there: so the database knows it."""
    one = handover.key
    numbers = (one.channel_id, one.message_id, one.generation, one.number)
    yield "origin", re.fullmatch(r"[0-9a-z]{1,32}", one.origin) is not None
    yield "key", key == str(one) and all(0 < number <= LARGEST for number in numbers)


def _terms(terms: Terms) -> Iterator[tuple[str, bool]]:
    for name in ("originals", "bucket", "wire_bucket", "prefix", "url"):
        yield name, _is_text(getattr(terms, name))
    yield "prefix", re.fullmatch(PREFIX, terms.prefix) is not None
    for name, kind in (("ladder", dict), ("limits", dict), ("strip", bool), ("editor_commands", bool)):
        yield name, isinstance(getattr(terms, name), kind)
    yield "max_bytes", _is_number(terms.limits.get("max_bytes"))


def _message(handover: Handover) -> Iterator[tuple[str, bool]]:
    channel, post = handover.channel, handover.post
    yield "channel", _is_text(channel.title) and _is_none_or(_is_text, channel.name)
    yield "revision", _is_number(post.revision) and (post.revision or 0) >= 0
    yield "date", _is_time(post.posted_at) and _is_none_or(_is_time, post.edited_at)
    yield "caption", _is_text(post.caption)
    yield "entities", all(isinstance(one, dict) for one in post.entities)
    yield "album", _is_none_or(_is_number, post.grouped_id)
    yield "sender", post.forwarded_from is None or isinstance(post.forwarded_from, dict)
    yield "reply_to", _is_none_or(_is_number, post.reply_to)


def _picture(handover: Handover) -> Iterator[tuple[str, bool]]:
    yield "photo", _is_none_or(_is_number, handover.post.photo.photo_id)
    yield "sha256", re.fullmatch(r"[0-9a-f]{64}", handover.sha256) is not None
    yield "object", 0 < len(handover.object.encode()) <= KEY_BYTES
    yield "size", 0 < handover.bytes <= min(handover.terms.limits["max_bytes"], LARGEST_FILE)


def _refusal_of(terms: Terms, bucket: str, closed: Mapping[str, str]) -> Refusal | None:
    """Why this node, with that bucket, can't do it as its origin wants it; None if it can."""
    if terms.bucket != bucket:
        reason = (
            f"an origin wants its pictures in the bucket {terms.bucket!r:.80}, this node's is {bucket!r}."
            " Set storage.bucket, or machines.join, as the origin has it"
        )
        return Refusal(reason, OTHER_BUCKET)
    if (why := closed.get(terms.wire_bucket)) is not None:
        return Refusal(clip(f"an origin's originals lie where this node's keys don't reach: {why}", REASON_BYTES))
    if terms.originals not in get_args(Published):
        return Refusal(f"an origin wants originals to be {terms.originals!r:.80}, which this version does not know")
    told = {"limits": terms.limits, "ladder": terms.ladder, "strip": terms.strip}
    if len(msgpack.packb(told)) > TERMS_BYTES:
        return Refusal(
            f"an origin's images.widths are too many: at most {TERMS_BYTES} bytes of settings can be passed on"
        )
    return None


def _is_none_or(is_sound: Callable[[Any], bool], value: object) -> bool:
    return value is None or is_sound(value)


def _is_text(value: object) -> bool:
    """Whether it is one that the journal and the database can hold."""
    return isinstance(value, str) and clean(value) == value


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def _is_time(value: object) -> bool:
    return _is_number(value) and 0 <= value <= LATEST  # type: ignore[operator]  # it is a number
