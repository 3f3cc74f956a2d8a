"""What became of a picture that was handed over: published, or dead. A node tells its origin.

The database files it in the transaction that writes the row and takes the picture out of the queue.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

import msgpack

from ipc.jobs import EXTENSIONS, FailureCause, Job, State
from ipc.machines import LARGEST, MISTAKES, VERSION, BadMessage, check_version, storable
from ipc.machines.handover import Key
from ipc.transport.messages import NOT_STRIPPED, JobDone, clip


@dataclass(frozen=True, slots=True)
class RowAddress:
    """What the URLs in the row begin with, and which columns it has: as the journal's table `addresses` notes it."""

    url: str
    prefix: str
    columns: int


@dataclass(frozen=True, slots=True)
class Published:
    """Its row of this revision is written, and its objects are stored. `done` has no job of its own (job_id 0).

    `original` is what of the original is stored: stripped, as_is or none; `sha256` is the original's, which tells of
    which picture the row is ("": a node of an earlier version does not say).
    """

    key: Key
    node: str
    revision: int
    done: JobDone
    original: str
    address: RowAddress
    sha256: str = ""

    def packed(self) -> dict[str, Any]:
        """The result as a JSON object."""
        done = {name: value for name, value in asdict(self.done).items() if name not in _LOCAL}
        appearance = base64.b64encode(msgpack.packb(self.done.appearance)).decode()
        return _storable(
            {
                **_head("published", self.key, self.node, self.revision),
                "done": {**done, "appearance": appearance},
                "original": self.original,
                "sha256": self.sha256,
                "address": asdict(self.address),
            }
        )


@dataclass(frozen=True, slots=True)
class Dead:
    """The node has given it up, or the database has, as it killed a node after another. `state`: where it died.

    `is_doubtful`: its original can't be decoded. A node can only fetch the same bytes again; its origin can do better.
    """

    key: Key
    node: str
    revision: int
    state: State
    cause: FailureCause
    reason: str
    is_doubtful: bool = False

    def packed(self) -> dict[str, Any]:
        """The result as a JSON object."""
        told = {"state": self.state, "cause": self.cause, "reason": self.reason, "is_doubtful": self.is_doubtful}
        return _storable({**_head("dead", self.key, self.node, self.revision), **told})


@dataclass(frozen=True, slots=True)
class UnreadableResult:
    """A result that says nothing to this version: of that hand-over, and why."""

    key: Key
    node: str
    reason: str


Result: TypeAlias = Published | Dead | UnreadableResult


_STATES = ("seen", "fetched", "rendered")
"""States in which a job can die."""

_LOCAL = ("job_id", "generation", "rss_bytes", "fallback_reason")
"""What of an image worker's answer is the node's own affair."""


def _head(outcome: Literal["published", "dead"], key: Key, node: str, revision: int) -> dict[str, Any]:
    return {"v": VERSION, "outcome": outcome, "key": str(key), "node": node, "revision": revision}


def _storable(packed: dict[str, Any]) -> dict[str, Any]:
    """A decoder that a picture has taken over may say anything, also what the database can't hold."""
    found: dict[str, Any] = storable(packed)
    return found


_ORIGINALS = ("stripped", "as_is", "none")
"""What of an original is published."""

_MOST_SIDE = 2**31 - 1
"""Of a picture, in px: a row's column takes no more."""

_MOST_BYTES = 2**40
_MOST_RENDITIONS = 1000
_MOST_COLUMNS = 99
_MOST_CHARACTERS = 2000
_NAME_BYTES = 400
_REASON_BYTES = 300


def read(packed: Mapping[str, Any]) -> Result:
    """The result in a message. Raises BadMessage if not even its key can be read, which the database writes."""
    try:
        return unpacked(packed)
    except BadMessage as error:
        return UnreadableResult(Key.read(packed.get("key", "")), _name(packed.get("node", "")), str(error))


def unpacked(packed: Mapping[str, Any]) -> Published | Dead:
    """The result in a message. Raises BadMessage, also where the journal could not hold, or read again, what it is."""
    check_version(packed, "a result")
    try:
        head = Key.read(packed["key"]), _name(packed["node"]), _number(packed["revision"], LARGEST)
        return _published(head, packed) if packed["outcome"] == "published" else _dead(head, packed)
    except (*MISTAKES, msgpack.UnpackException) as error:
        raise BadMessage(clip(f"not a result: {type(error).__name__}: {error}", _REASON_BYTES)) from error


def _published(head: tuple[Key, str, int], packed: Mapping[str, Any]) -> Published:
    original, sha256 = packed["original"], _text(packed.get("sha256", ""), "[0-9a-f]{0,64}")
    if original not in _ORIGINALS:
        raise ValueError(f"no way to publish an original: {original!r:.80}")
    return Published(*head, _done(packed["done"]), original, _address(packed["address"]), sha256)


def _done(packed: Mapping[str, Any]) -> JobDone:
    renditions = packed["renditions"]
    if not isinstance(renditions, list) or len(renditions) > _MOST_RENDITIONS:
        raise TypeError("no list of renditions")
    return JobDone(
        0,
        0,
        0,
        mime=_text(packed["mime"], "[!-~]{1,100}"),
        extension=_text(packed["extension"], "[0-9a-z]{1,10}"),
        width=_number(packed["width"], _MOST_SIDE),
        height=_number(packed["height"], _MOST_SIDE),
        renditions=[_rendition(*one) for one in renditions],
        fallbacks=_number(packed.get("fallbacks", 0), _MOST_RENDITIONS),
        stripped_bytes=_number(packed.get("stripped_bytes", NOT_STRIPPED), _MOST_BYTES, least=NOT_STRIPPED),
        recipe=_text(packed.get("recipe", ""), "|[0-9a-f]{8}"),
        appearance=_appearance(msgpack.unpackb(base64.b64decode(packed["appearance"]))),
        preview_bytes=_number(packed.get("preview_bytes", 0), _MOST_BYTES),
    )


def _rendition(width: object, height: object, form: object, size_bytes: object, *_: object) -> list[Any]:
    """What a later version has appended is passed over, here and below."""
    if form not in EXTENSIONS:
        raise ValueError(f"no format of a rendition: {form!r:.80}")
    return [_number(width, _MOST_SIDE), _number(height, _MOST_SIDE), form, _number(size_bytes, _MOST_BYTES)]


def _appearance(packed: list[Any]) -> list[Any]:
    if packed == []:
        return []
    thumbhash, color, phash, has_alpha, frames, animated, *_ = packed
    is_sound = (
        (isinstance(thumbhash, bytes) and len(thumbhash) <= 100)
        and (isinstance(phash, bytes) and len(phash) == 8)
        and (isinstance(has_alpha, bool) and isinstance(animated, bool))
    )
    if not is_sound:
        raise ValueError("no appearance")
    return [thumbhash, _text(color, "#[0-9a-f]{6}"), phash, has_alpha, _number(frames, _MOST_SIDE), animated]


def _address(packed: Mapping[str, Any]) -> RowAddress:
    text = f"[^\0]{{0,{_MOST_CHARACTERS}}}"
    columns = _number(packed["columns"], _MOST_COLUMNS, least=1)
    return RowAddress(_text(packed["url"], text), _text(packed["prefix"], text), columns)


def _name(value: object) -> str:
    """Of a node, for people."""
    return clip(value, _NAME_BYTES) if isinstance(value, str) else ""


def _text(value: object, form: str) -> str:
    """A text of that form, a pattern."""
    if not isinstance(value, str) or re.fullmatch(form, value) is None:
        raise ValueError(f"not as it should be: {value!r:.80}")
    return value


def _number(value: object, most: int, *, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"no number from {least} to {most}: {value!r:.80}")
    return value


def _dead(head: tuple[Key, str, int], packed: Mapping[str, Any]) -> Dead:
    outcome, state, cause = packed["outcome"], packed["state"], packed["cause"]
    if outcome != "dead" or state not in _STATES or cause not in get_args(FailureCause):
        raise ValueError(f"no outcome that we know: {outcome!r:.80}, {state!r:.80}, {cause!r:.80}")
    return Dead(*head, state, cause, clip(str(packed["reason"])), packed.get("is_doubtful") is True)


def done_of(job: Job) -> JobDone:
    """What the image worker said of a job that is rendered, as far as the journal keeps it."""
    assert job.mime is not None
    assert job.extension is not None
    return JobDone(
        0,
        0,
        0,
        job.mime,
        job.extension,
        job.width or 0,
        job.height or 0,
        [[one.width, one.height, one.format, one.bytes] for one in job.renditions],
        stripped_bytes=NOT_STRIPPED if job.stripped_bytes is None else job.stripped_bytes,
        recipe=job.recipe or "",
        appearance=job.appearance.packed() if job.appearance else [],
        preview_bytes=job.preview_bytes or 0,
    )
