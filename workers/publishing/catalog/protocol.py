"""What every catalogue promises, and the two ways in which it fails."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from workers.publishing.catalog.pictures import Position
from workers.publishing.service.faults import JobFault, ServiceFault
from workers.publishing.threads import never

BATCH_ENTRIES = 50
"""Largest batch. With 50 a round trip costs each next to nothing; a larger one gains little and is slow to repeat."""


class CatalogFault(ServiceFault):
    """The catalogue itself fails: no fault of the row."""


class RowFault(JobFault):
    """The catalogue refuses this row: the row's own fault."""


class NotAsked(RowFault):
    """No catalogue takes this row, so this one was not asked: that says nothing of how it stands."""


@dataclass(frozen=True, slots=True)
class MessageRows:
    """The rows of one message: by column what goes into `channels`, into `messages`, and into `images` if it has one.

    `entities`, `tags` and `renditions` are lists, `forwarded_from` and `preview` dicts; times are ISO 8601 in UTC.
    Columns that the first version did not have may be left out: then they are null, but a channel keeps its name. An
    image of None leaves the one that is there as it is, and comes in later only with a higher revision. A message with
    `deleted_at` leaves a tombstone and loses its image. So does one with `hidden_at`; its `deleted_at` is passed over.

    A node's rows have a receipt: `queue`, `msg_id` and `read_ct` of the hand-over, and its `result` as JSON has it.
    Only a hosted catalogue takes such. If it holds, the hand-over leaves its queue and the result goes to its origin,
    in the transaction that writes the rows; if not, the outcome is Fenced.
    """

    channel: Mapping[str, Any]
    message: Mapping[str, Any]
    image: Mapping[str, Any] | None = None
    receipt: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Fenced:
    """Nothing of an entry was written: its receipt does not hold. Somebody else has the picture by now, or nobody."""


WriteOutcome: TypeAlias = bool | RowFault | Fenced
"""What became of one entry. True: written. False: the same or a newer revision is there, or in the batch. RowFault:
refused, and why. Fenced: it is somebody else's by now (only with a receipt)."""


class Catalog(Protocol):
    """Rows by (channel, message)."""

    def write_many(self, batch: Sequence[MessageRows]) -> list[WriteOutcome]:
        """Write up to BATCH_ENTRIES messages in one transaction. Returns the outcome of each, in their order.

        Of several revisions of one message the highest is written. A row that is refused keeps none of the others out.
        Raises CatalogFault if the catalogue fails: some of the batch may have been written then, all or none of an
        entry. It can be repeated.
        """

    def write_each(
        self, batches: Iterable[Sequence[MessageRows]], *, stop: Callable[[], bool] = never
    ) -> Iterator[list[WriteOutcome]]:
        """Write the batches one after another; the outcomes of each, as soon as it is written.

        The next batch may be asked for, and begun, before the outcomes of the last are given. `stop` is asked several
        times a second where waiting is possible: once it says yes there are a few seconds left to finish
        (`threads.STOP_SECONDS`), then threads.Interrupted is raised. Raises CatalogFault, and begins no other batch.
        """
        for batch in batches:
            yield self.write_many(batch)

    def referenced(self, sha256s: Iterable[str]) -> set[str]:
        """The digests among these that some image still has. Raises CatalogFault."""

    def named(self, sha256s: Iterable[str]) -> set[str]:
        """The keys of all renditions and previews that images with these digests name. Raises CatalogFault."""

    def last_sign(self) -> float:
        """When the catalogue last gave an answer, by the monotonic clock. Any thread may ask; it returns at once."""
        return -math.inf

    def urls(self, sha256s: Iterable[str]) -> set[str]:
        """The URLs of all renditions and previews that images with these digests name. Raises CatalogFault."""

    def pictures(
        self,
        *,
        channel_id: int | None = None,
        tag: str | None = None,
        before: Position | None = None,
        between: tuple[int, int] | None = None,
        message: int | None = None,
        most: int,
    ) -> list[dict[str, Any]]:
        """Up to `most` (`pictures.MOST`) rows of the view `pictures`: what is public, and nothing else.

        Of a channel, of a tag, or of both. They come newest first, by `pictures.Position`, from beyond the one of
        `before` on. `between` two message ids of a channel, both included, they come by message id. `message`: that
        one of a channel. Times are ISO 8601 in UTC, whole seconds. Raises CatalogFault, and ValueError if what is asked
        for makes no sense.
        """

    def outdated(self) -> str | None:
        """Why it lacks columns of this version, so that rows are written without them; None: it has them all.

        Any thread may ask. Raises CatalogFault.
        """
        return None

    def probe(self) -> None:
        """See whether it takes rows, without one. Raises CatalogFault."""

    def close(self) -> None:
        """Close what is open. It can be used again, and opens it anew."""

    def write(self, channel: Mapping[str, Any], message: Mapping[str, Any], image: Mapping[str, Any] | None) -> bool:
        """Write one message's rows; False if the same or a newer revision is there already.

        Raises CatalogFault if the catalogue fails, RowFault if it refuses the row.
        """
        (outcome,) = self.write_many([MessageRows(channel, message, image)])
        if isinstance(outcome, RowFault):
            raise outcome
        assert not isinstance(outcome, Fenced), "that one had no receipt"
        return outcome


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
"""Made once: json.dumps would make one for each entry."""


def refusal(entry: MessageRows) -> str | None:
    """Why no catalogue takes this entry; None if one may. All catalogues use these words."""
    channel, message, image = entry.channel, entry.message, entry.image
    if channel.get("id") != message.get("channel_id"):
        return f"a message of channel {message.get('channel_id')} with the title of channel {channel.get('id')}"
    name = channel.get("name")
    for what, text in (
        ("title", channel.get("title")),
        ("caption", message.get("caption")),
        ("name", "" if name is None else name),
    ):
        if not isinstance(text, str):
            return f"a {what} that is no text: {text!r:.50}"
    if image is not None and any(image.get(key) != message.get(key) for key in ("channel_id", "message_id")):
        return f"an image of message {image.get('message_id')} with message {message.get('message_id')}"
    try:
        whole = _ENCODER.encode([dict(channel), dict(message), image and dict(image)])
        whole.encode()
    except (TypeError, ValueError) as error:  # half a character is one, too
        return str(error)
    # JSON has \u0000 for NUL, and \\u0000 for a backslash with these letters.
    return "text with a NUL character" if "\\u0000" in whole.replace("\\\\", "") else None
