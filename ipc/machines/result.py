"""What became of a picture that was handed over: published, or dead. A node tells its origin.

The database files it in the transaction that writes the row and takes the picture out of the queue.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

import msgpack

from ipc.jobs import DeadCause, Job, State
from ipc.machines import VERSION, BadMessage, check_version, known, storable
from ipc.machines.handover import Key
from ipc.transport.messages import NOT_STRIPPED, JobDone


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
    cause: DeadCause
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


def read(packed: Mapping[str, Any]) -> Result:
    """The result in a message. Raises BadMessage if not even its key can be read, which the database writes."""
    try:
        return unpacked(packed)
    except BadMessage as error:
        return UnreadableResult(Key.read(packed.get("key", "")), str(packed.get("node", "")), str(error))


def unpacked(packed: Mapping[str, Any]) -> Published | Dead:
    """The result in a message. Raises BadMessage."""
    check_version(packed, "a result")
    try:
        head = Key.read(packed["key"]), str(packed["node"]), int(packed["revision"])
        return _published(head, packed) if packed["outcome"] == "published" else _dead(head, packed)
    except (LookupError, TypeError, ValueError, AttributeError, msgpack.UnpackException) as error:
        raise BadMessage(f"not a result: {type(error).__name__}: {error}") from error


def _published(head: tuple[Key, str, int], packed: Mapping[str, Any]) -> Published:
    fields = dict(packed["done"])
    appearance = msgpack.unpackb(base64.b64decode(fields.pop("appearance")))
    done = JobDone(0, 0, 0, **known(JobDone, fields), appearance=appearance)
    address = RowAddress(**known(RowAddress, packed["address"]))
    return Published(*head, done, str(packed["original"]), address, str(packed.get("sha256", "")))


def _dead(head: tuple[Key, str, int], packed: Mapping[str, Any]) -> Dead:
    outcome, state, cause = packed["outcome"], packed["state"], packed["cause"]
    if outcome != "dead" or state not in _STATES or cause not in get_args(DeadCause):
        raise ValueError(f"no outcome that we know: {outcome!r}, {state!r}, {cause!r}")
    return Dead(*head, state, cause, str(packed["reason"]), packed.get("is_doubtful") is True)


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
