"""A picture on its way from an origin to a node: all that a node must know to render and publish it.

The original itself lies in the bucket, under a name that nobody can guess; a message has 2 to 8 KB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from ipc.identities import Identity
from ipc.jobs import Job
from ipc.machines import LARGEST, MISTAKES, VERSION, BadMessage, check_version, known
from ipc.posts import LIVE, Channel, Kind, Photo, Post


@dataclass(frozen=True, slots=True)
class Key:
    """Which picture, and which hand-over of it: `number` is the claim's, so no two hand-overs have one key.

    >>> str(Key("00ff00ff00ff", 42, 7, 1, 3))
    '00ff00ff00ff:42:7:1:3'
    """

    origin: str
    channel_id: int
    message_id: int
    generation: int
    number: int

    def __str__(self) -> str:
        return f"{self.origin}:{self.channel_id}:{self.message_id}:{self.generation}:{self.number}"

    @classmethod
    def read(cls, text: str) -> Key:
        """Raises BadMessage."""
        try:
            origin, *numbers = text.split(":")
            channel_id, message_id, generation, number = map(int, numbers)
            if not all(-LARGEST - 1 <= one <= LARGEST for one in (channel_id, message_id, generation, number)):
                raise ValueError("beyond what a journal has")
        except (ValueError, AttributeError) as error:
            raise BadMessage(f"not the key of a hand-over: {text!r:.80}") from error
        return cls(origin, channel_id, message_id, generation, number)


@dataclass(frozen=True, slots=True)
class Terms:
    """How the origin wants its pictures rendered and published: plain values, the same for all of its pictures.

    `ladder` and `limits` are an image worker's options, `strip` whether originals are stripped; `originals`, `prefix`
    and `url` (what public URLs begin with, before the prefix) are the storage's, `bucket` its name, for a node to see
    that it has the same one; `wire_bucket` is where the original lies. `editor_commands`: captions may have some.
    """

    ladder: dict[str, Any]
    limits: dict[str, Any]
    strip: bool
    originals: str
    bucket: str
    wire_bucket: str
    prefix: str
    url: str
    editor_commands: bool


@dataclass(frozen=True, slots=True)
class Handover:
    """One picture for a node. `object` is the original's key in the bucket, `bytes` and `sha256` are the original's."""

    key: Key
    channel: Channel
    post: Post
    object: str
    sha256: str
    bytes: int
    terms: Terms
    priority: int = LIVE

    def packed(self) -> dict[str, Any]:
        """The hand-over as a JSON object."""
        post = self.post
        return {
            "v": VERSION,
            "key": str(self.key),
            "origin": self.key.origin,
            "channel": asdict(self.channel),
            "message": {
                "id": post.message_id,
                "revision": post.revision,
                "grouped_id": post.grouped_id,
                "caption": post.caption,
                "entities": list(post.entities),
                "forwarded_from": post.forwarded_from,
                "reply_to": post.reply_to,
                "posted_at": post.posted_at,
                "edited_at": post.edited_at,
            },
            "photo": {"id": post.photo.photo_id, "kind": post.photo.kind},
            "object": self.object,
            "sha256": self.sha256,
            "bytes": self.bytes,
            "terms": asdict(self.terms),
            "priority": self.priority,
        }

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> Handover:
        """Raises BadMessage."""
        check_version(packed, "a hand-over")
        try:
            return _read(packed)
        except MISTAKES as error:
            raise BadMessage(f"not a hand-over: {type(error).__name__}: {error}") from error


def handover_of(job: Job, channel: Channel, key: Key, object_key: str, terms: Terms) -> Handover:
    """The hand-over of an origin's job, which is fetched."""
    assert job.sha256 is not None, "a fetched job has its original's digest"
    assert job.bytes is not None, "and its size"
    post = Post(
        job.channel_id,
        job.message_id,
        job.posted_at,
        job.edited_at,
        job.grouped_id,
        job.caption,
        _photo(key, job.photo_id, job.kind, object_key, job.sha256, job.bytes),
        job.entities,
        job.forwarded_from,
        job.reply_to,
        job.revision,
    )
    return Handover(key, channel, post, object_key, job.sha256, job.bytes, terms, job.priority)


def _photo(key: Key, photo_id: int | None, kind: Kind, object_key: str, sha256: str, size_bytes: int) -> Photo:
    """The photo as a node's source declares it. Each hand-over has its own picture: a later one is begun anew."""
    return Photo(
        photo_id,
        str(Identity("queue", str(key))),
        {"object": object_key, "sha256": sha256, "bytes": size_bytes},
        source="queue",
        bytes=size_bytes,
        width=None,
        height=None,
        mime=None,
        sha256=sha256,
        kind=kind,
    )


def _read(packed: Mapping[str, Any]) -> Handover:
    key, channel, message, photo = Key.read(packed["key"]), packed["channel"], packed["message"], packed["photo"]
    sha256, size_bytes, object_key = _text(packed["sha256"]), int(packed["bytes"]), _text(packed["object"])
    if (channel["id"], message["id"]) != (key.channel_id, key.message_id) or packed["origin"] != key.origin:
        raise ValueError("its key is another message's")
    if photo["kind"] not in get_args(Kind):
        raise ValueError(f"no kind of picture: {photo['kind']!r}")
    post = Post(
        key.channel_id,
        key.message_id,
        int(message["posted_at"]),
        message["edited_at"],
        message["grouped_id"],
        _text(message["caption"]),
        _photo(key, photo["id"], photo["kind"], object_key, sha256, size_bytes),
        tuple(message["entities"]),
        message["forwarded_from"],
        message["reply_to"],
        int(message["revision"]),
    )
    described = Channel(key.channel_id, _text(channel["title"]), channel["name"])
    terms = Terms(**known(Terms, packed["terms"]))
    return Handover(key, described, post, object_key, sha256, size_bytes, terms, int(packed["priority"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"no text: {value!r:.80}")
    return value
