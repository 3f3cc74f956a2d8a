"""A job: one photo message on its way, as the journal has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import msgpack

from ipc.posts import Kind, Source

Bytes: TypeAlias = bytes
"""A job has a field `bytes`."""

ChangeKind = Literal["published", "changed", "deleted"]
"""What is new of a picture, for readers."""

State = Literal["seen", "fetched", "rendered", "published", "dead"]
STATES: tuple[State, ...] = get_args(State)

HiddenBy = Literal["caption", "operator", "block"]
"""Who keeps a post from readers: its caption, the operator's `hide`, or the operator's `block` of its picture."""

FailureCause = Literal["failure", "poison"]
"""poison: it killed its workers."""

DeadCause = Literal[FailureCause, "blocked"]
"""blocked: nothing has failed, the operator keeps its picture out."""

"""Why a job is dead: its last attempt failed, or (poison) its picture killed its workers."""

MACHINES = "machines"
"""Who has claimed a job that is handed over to another machine, instead of an image worker."""

EXTENSIONS = {"webp": "webp", "avif": "avif", "jpeg": "jpg"}
"""Ending of file names and keys of each format. A row's renditions of one width are in this order."""

PREVIEW_SIZE = (1200, 630)
"""Sides in px of every picture for link cards."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """One width in one format, as it lies in the spool or in the storage. Sizes in pixels and bytes."""

    width: int
    height: int
    format: str
    bytes: int

    @property
    def file(self) -> str:
        """The rendition's name in the spool.

        >>> Rendition(640, 480, "avif", 9).file, Rendition(640, 480, "jpeg", 9).file
        ('640.avif', '640.jpg')
        """
        return f"{self.width}.{EXTENSIONS[self.format]}"


@dataclass(frozen=True, slots=True)
class Appearance:
    """What a picture looks like, in a few bytes.

    `thumbhash` is a blurred miniature of some 25 bytes (https://evanw.github.io/thumbhash/), `color` is "#rrggbb",
    `phash` 64 bits of which few differ in two versions of one picture. `frames`: 1 of a still picture. `animated`: its
    renditions move.
    """

    thumbhash: bytes
    color: str
    phash: int
    has_alpha: bool
    frames: int
    animated: bool

    def packed(self) -> list[Any]:
        """The values as messages and the journal have them."""
        return [
            self.thumbhash,
            self.color,
            self.phash.to_bytes(8, "big"),
            self.has_alpha,
            self.frames,
            self.animated,
        ]

    @classmethod
    def unpacked(cls, packed: Sequence[Any]) -> Appearance:
        thumbhash, color, phash, has_alpha, frames, animated = packed
        return cls(thumbhash, color, int.from_bytes(phash, "big"), has_alpha, frames, animated)


@dataclass(frozen=True, slots=True)
class Job:
    """One photo message on its way. The fields are the columns of `journal/schema.sql`, where each is explained.

    What only tells its story (`waits_since`, `life`) makes no two jobs different.
    """

    id: int
    channel_id: int
    message_id: int
    state: State
    priority: int
    revision: int
    digest: bytes
    grouped_id: int | None
    caption: str
    entities: tuple[dict[str, Any], ...]
    forwarded_from: dict[str, Any] | None
    reply_to: int | None
    posted_at: int
    edited_at: int | None
    deleted_at: int | None
    hidden_at: int | None
    hidden_by: HiddenBy | None
    generation: int
    kind: Kind
    photo_id: int | None
    identity: str
    source: Source
    locator: dict[str, Any]
    sha256: str | None
    bytes: int | None
    mime: str | None
    extension: str | None
    width: int | None
    height: int | None
    renditions: tuple[Rendition, ...]
    rendition_bytes: int
    recipe: str | None
    stripped_bytes: int | None
    appearance: Appearance | None
    preview_bytes: int | None
    stored: bool
    original: str | None
    address: int | None
    doubted: str | None
    doubts: int
    attempts: int
    next_at: float
    claimed_by: str | None
    deaths: int
    alone: bool
    dead_state: State | None
    dead_cause: DeadCause | None
    reason: str | None
    seen_at: int
    published_at: int | None
    shown: bool
    waits_since: int | None = field(default=None, compare=False)
    life: Bytes = field(default=b"", compare=False)
    queue: str | None = None

    @property
    def is_public(self) -> bool:
        """Neither deleted nor hidden."""
        return self.deleted_at is None and self.hidden_at is None

    @property
    def may_be_seen(self) -> bool:
        """Whether the catalogue has a row that readers see, as far as is recorded, or may have one."""
        return self.shown or (self.state == "rendered" and self.stored and self.is_public)

    @property
    def is_handed_over(self) -> bool:
        """Whether it is claimed for another machine, or has one: that writes its row, and we hear of it later."""
        return self.claimed_by == MACHINES

    @property
    def is_taken_down(self) -> bool:
        """Hidden, and its objects are deleted, or about to be: shown again, its picture has to be fetched once more."""
        is_hidden = self.hidden_at is not None and self.deleted_at is None
        return is_hidden and self.sha256 is None and self.stored

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Job:
        """The job in a row of the journal's table."""
        fields = dict(row)
        fields["locator"] = msgpack.unpackb(fields["locator"])
        fields["entities"] = tuple(msgpack.unpackb(fields["entities"]))
        forwarded = fields["forwarded_from"]
        fields["forwarded_from"] = msgpack.unpackb(forwarded) if forwarded else None
        packed = fields["renditions"]
        fields["renditions"] = tuple(Rendition(*one) for one in msgpack.unpackb(packed)) if packed else ()
        fields["stored"] = bool(fields["stored"])
        fields["alone"] = bool(fields["alone"])
        fields["shown"] = bool(fields["shown"])
        appearance = fields["appearance"]
        fields["appearance"] = Appearance.unpacked(msgpack.unpackb(appearance)) if appearance else None
        return cls(**fields)
