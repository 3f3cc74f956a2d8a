"""The messages between a supervisor and its children: typed, msgpack, at most 4 KiB.

Every message is a frozen dataclass of plain values. On the wire it is a msgpack array: the type's tag, then the
fields in order. A message is never larger than `MAX_BYTES`, so that writing one to a pipe is a single atomic write and
a process that is killed in the middle can leave no half of one behind. Pictures travel as files in the spool.

Messages are hints and single jobs. Only the journal is the truth: a lost message costs a poll, never a picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_origin, get_type_hints

import msgpack

MAX_BYTES = 4092
"""PIPE_BUF on Linux (4096 bytes) less the 4-byte length that a mailbox puts in front."""


ENDS = 20
"""How many ends of each child are remembered for /status."""

KILLS = 50
"""How many ends for want of memory are remembered besides, of all children together."""

NOT_STRIPPED = -1
"""Instead of a size: the original was not to be stripped."""


class MessageError(Exception):
    """A message that cannot be sent (too large) or understood (unknown tag, wrong fields)."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Child to supervisor: it has done its set-up and takes work from now on."""


@dataclass(frozen=True, slots=True)
class Beat:
    """Child to supervisor: the process lives; its main loop last came round `stalled_seconds` ago."""

    stalled_seconds: float


@dataclass(frozen=True, slots=True)
class Sealed:
    """Child to supervisor, before it is ready: how well its sandbox holds it. `landlock` is a version, 0 for none."""

    seccomp: bool
    landlock: int


@dataclass(frozen=True, slots=True)
class OwnMemory:
    """Child to supervisor, now and then: its part of memory that several share (PSS), and what it has alone (USS).

    No other process of its user may look into one that is hidden.
    """

    pss_bytes: int
    uss_bytes: int


@dataclass(frozen=True, slots=True)
class Held:
    """Child to supervisor, its last words: a restart cannot help until someone has done what `remedy` says."""

    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Starved:
    """Child to supervisor, its last words: memory ran out."""

    what: str


@dataclass(frozen=True, slots=True)
class Unrunnable:
    """Child to supervisor, its last words: the program that it was to become cannot be run."""

    what: str


@dataclass(frozen=True, slots=True)
class Short:
    """Child to supervisor, its last words: the machine had no thread to give. It is to be started again later."""

    what: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """Child to supervisor, its last words: it was asked to stop, by whomever, and has finished its work in hand."""


@dataclass(frozen=True, slots=True)
class Wake:
    """A job in `state` is there: the process that takes such jobs looks now, and not at its next poll."""

    state: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a child says of itself for /status. A later report on the same topic replaces the earlier one; one without
    facts takes it back.
    """

    topic: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChildState:
    """One row of /status' tree, sent up from supervisor to supervisor and on to health. No facts: it is no more."""

    name: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """How an incarnation of the child `name` ended, sent up like its state: `at`, `cause`, `what`, and more."""

    name: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewOptions:
    """Supervisor to a child that can take them while it runs: its options from now on."""

    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """Supervisor to a child that supervises: the operator wants this done ("stop", "start", "restart") to `name`."""

    action: str
    name: str


@dataclass(frozen=True, slots=True)
class Ration:
    """Root to pool and connection, at every change and to each new one: the number of image workers that may work (0:
    all), and whether pictures may be fetched. Less than all while the machine is short of memory.
    """

    workers: int
    intake: bool


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """Pool to image worker: render the original in its workplace, with at most `cap_bytes` of memory (0: no cap) and
    `cpu_seconds` of processor time (0: no limit), on up to `threads` threads.

    `terms`: by what it is rendered instead of the worker's own options, as the picture is another machine's: its
    `limits`, `ladder` and `strip`. Empty: by the worker's own.
    """

    job_id: int
    generation: int
    cap_bytes: int
    cpu_seconds: float
    threads: int = 1
    terms: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobDone:
    """Image worker to pool: every rendition is in the worker's folder, complete and fsynced, and so is the stripped
    original if there is one.

    `renditions` holds (width, height, format, bytes) of each; width and height are the original's, upright.
    `rss_bytes` is what the worker still holds on to. `fallbacks` is how many renditions are not of the encoder that
    they should be of, or are left out, and `fallback_reason` says why. `stripped_bytes` is the size of the stripped
    original: 0 where it can't be stripped, NOT_STRIPPED where it is not wanted. `recipe`, 8 hex digits, is what the
    renditions are made by. `appearance` is `ipc.jobs.Appearance.packed`, empty where it is not known. `preview_bytes`
    is the size of the picture for link cards, 0 where there is none.
    """

    job_id: int
    generation: int
    rss_bytes: int
    mime: str
    extension: str
    width: int
    height: int
    renditions: list[list[Any]] = field(default_factory=list)
    fallbacks: int = 0
    fallback_reason: str = ""
    stripped_bytes: int = NOT_STRIPPED
    recipe: str = ""
    appearance: list[Any] = field(default_factory=list)
    preview_bytes: int = 0


@dataclass(frozen=True, slots=True)
class JobFailed:
    """Image worker to pool: no renditions, and why.

    `verdict` is "bad" (the picture's own fault), "memory" (no verdict on the picture), "missing" (the original is not
    in the spool), "machine" (the spool's disk is full: no picture's fault), "broken" (`codec`, one of our decoders or
    encoders, works on no picture) or "passing" (anything else: worth another try).
    """

    job_id: int
    generation: int
    rss_bytes: int
    verdict: str
    reason: str
    codec: str = ""


Message = (
    Ready
    | Beat
    | Held
    | Starved
    | Wake
    | Report
    | ChildState
    | Ended
    | NewOptions
    | OperationRequest
    | Ration
    | RenderRequest
    | JobDone
    | JobFailed
    | Unrunnable
    | Short
    | Leaving
    | Sealed
    | OwnMemory
)
LastWords = Held | Starved | Unrunnable | Short | Leaving

_TYPES: tuple[type[Any], ...] = (
    Ready,
    Beat,
    Held,
    Starved,
    Wake,
    Report,
    ChildState,
    Ended,
    NewOptions,
    OperationRequest,
    Ration,
    RenderRequest,
    JobDone,
    JobFailed,
    Unrunnable,
    Short,
    Leaving,
    Sealed,
    OwnMemory,
)
_BY_TAG = dict(enumerate(_TYPES))
_TAGS = {kind: tag for tag, kind in _BY_TAG.items()}
_FIELDS = {
    kind: {
        name: int | float if hint is float else get_origin(hint) or hint for name, hint in get_type_hints(kind).items()
    }
    for kind in _TYPES
}
"""The fields of each type in order, and what each must be an instance of."""


def encode(message: Message) -> bytes:
    """The message's bytes, at most `MAX_BYTES`; one that is larger or holds no plain values raises MessageError."""
    try:
        kind = type(message)
        data: bytes = msgpack.packb([_TAGS[kind], *(getattr(message, name) for name in _FIELDS[kind])])
    except (ValueError, TypeError, OverflowError) as error:
        raise MessageError(f"{type(message).__name__} cannot be sent: {error}") from error
    if len(data) > MAX_BYTES:
        raise MessageError(f"{type(message).__name__} of {len(data)} bytes: at most {MAX_BYTES} go in one message")
    return data


def decode(data: bytes) -> Message:
    """The message in `data`; MessageError if it is none of ours."""
    try:
        tag, *fields = msgpack.unpackb(data)
        kind = _BY_TAG[tag]
        if not all(map(isinstance, fields, _FIELDS[kind].values())):
            raise TypeError(f"wrong fields for {kind.__name__}")
        message: Message = kind(*fields)
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise MessageError(f"not a message: {data[:40]!r} ({error})") from error
    return message


def clip(text: str, max_bytes: int = 500) -> str:
    """`text` in at most `max_bytes` bytes of UTF-8, so that a reason never outgrows its message.

    What UTF-8 can't hold (half a surrogate pair, as in an undecodable file name) becomes "?".

    >>> clip("a long reason", 9)
    'a long…'
    """
    data = text.encode("utf-8", "replace")
    if len(data) <= max_bytes:
        return data.decode()
    return data[: max_bytes - len("…".encode())].decode("utf-8", "ignore") + "…"
