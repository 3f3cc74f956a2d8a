"""One channel's export: found, checked, and read in pages.

Promises. Nothing is taken from a path that is no channel's export: the refusal says what it is instead and what to
do. Ids ascend, and no page tears an album, so a page never covers a post that is still to come.

Left to others: the JSON (`stream`) and what a message means (`messages`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as brief
from typing import Any

from ipc.posts import Channel, Page, clean
from workers.sources.export.errors import AGAIN, ExportError
from workers.sources.export.reading.messages import ExportMessage, name_of, read_message, units
from workers.sources.export.reading.stream import events, message_values
from workers.sources.export.reading.values import INT64_MAX, Malformed, is_int
from workers.unforeseen import contained


@dataclass(frozen=True, slots=True)
class Census:
    """What an export holds: `photos` will be posts, those that the exporter left out included."""

    messages: int
    photos: int
    ignored: dict[str, int]


class Export:
    """One channel's export. Every call of `census` and `pages` reads the file anew."""

    def __init__(self, file: Path, channel: Channel, *, posters: bool = False) -> None:
        self._file = file
        self._posters = posters
        self.channel = channel

    @classmethod
    def open(cls, path: Path, progress: Callable[[], None] = lambda: None, *, posters: bool = False) -> Export:
        """The export at `path`, its folder or its result.json. Reads up to the channel's name, no further. `posters`:
        those of videos are taken as well.

        That may come last, so `progress` is called as for the census.
        """
        file = _result_file(path)
        return cls(file, _read_channel(file, progress), posters=posters)

    def census(self, progress: Callable[[], None] = lambda: None) -> Census:
        """Read and check the whole file, syntax and structure. Raises ExportError at the first fault.

        `progress` is called for every chunk of the file, so that a long check can be told from one that hangs.
        """
        photos, ignored = 0, Counter[str]()
        for message in self._messages(progress):
            if message.post:
                photos += 1
            else:
                ignored[message.kind] += 1
        return Census(photos + ignored.total(), photos, dict(ignored))

    def pages(self, size: int = 200) -> Iterator[Page]:
        """The messages in order, `size` a page, up to nine more where an album would be torn apart.

        So a page never covers a post that is still to come. The first one begins at its first message: what came
        before that, an export of some weeks does not know.
        """
        page: list[ExportMessage] = []
        low: int | None = None
        for unit in units(self._messages()):
            page += unit
            if len(page) >= size:
                yield (made := self._page(page, low))
                page, low = [], made.high + 1
        if page:
            yield self._page(page, low)

    def _page(self, messages: list[ExportMessage], low: int | None) -> Page:
        """The page of these messages. Those of a group that was migrated have negative ids, and cover nothing."""
        return Page(
            channel=self.channel,
            posts=tuple(message.post for message in messages if message.post),
            low=max(1, messages[0].id) if low is None else low,
            high=max([0, *(message.id for message in messages)]),
            ignored=dict(Counter(message.kind for message in messages if not message.post)),
        )

    def _messages(self, progress: Callable[[], None] = lambda: None) -> Iterator[ExportMessage]:
        """Every message, checked. Ids must ascend, as Telegram Desktop writes them: a cursor relies on it."""
        previous = -INT64_MAX
        for index, value in enumerate(message_values(self._file, progress), 1):
            try:
                message = read_message(value, self.channel.id, self._file.parent, posters=self._posters)
            except Malformed as error:
                raise ExportError(self._file, str(error), place=name_of(value, index)) from None
            except Exception as error:
                message = self._passed_over(value, index, error)
            if message.id <= previous:
                reason = f"it comes after message {previous}, but ids must ascend; was the file edited?"
                raise ExportError(self._file, reason, place=name_of(value, index))
            previous = message.id
            yield message

    def _passed_over(self, value: Any, index: int, error: Exception) -> ExportMessage:
        """A message with an unforeseen error: it keeps no other one from being read."""
        place = name_of(value, index)
        unforeseen = contained(error, "message can't be read and is passed over", file=str(self._file), place=place)
        if not isinstance(value, dict) or not is_int(value.get("id")):
            raise ExportError(self._file, str(unforeseen), place=place) from error
        return ExportMessage(value["id"], "unreadable")


def _result_file(path: Path) -> Path:
    """The result.json that `path` means, resolved; ExportError if there is none."""
    try:
        file = Path(os.path.realpath(path / "result.json" if path.is_dir() else path))
        in_html = not file.exists() and (path / "messages.html").exists()
        if in_html or file.suffix.lower() in (".html", ".htm"):
            raise ExportError(path, "this export is in HTML, which leaves things out")
        if not file.exists():
            raise ExportError(path, *_what_is_missing(path))
        if not file.is_file():
            raise ExportError(file, "not a regular file", "Name an export's folder or its result.json")
        file.open("rb").close()
    except OSError as error:
        remedy = "Let the user who runs this read the folder and everything in it"
        raise ExportError(path, f"can't be read ({error.strerror})", remedy) from error
    return file


def _what_is_missing(path: Path) -> tuple[str, str]:
    """Reason and remedy where `path` has no result.json."""
    if not path.is_dir():
        return "no such folder", "Name an export's folder or its result.json"
    inner = sorted(path.glob("*/result.json"))
    if inner:
        return "no result.json here", f"Name the folder of one export, such as {inner[0].parent}"
    return "no result.json here", f"If Telegram Desktop is still exporting, wait. Otherwise: {AGAIN}"


def _read_channel(file: Path, progress: Callable[[], None]) -> Channel:
    """The channel, from the top level; anywhere there, since tools that rewrite JSON sort its keys."""
    found = _top_level(file, progress)
    missing = [repr(key) for key in ("id", "name", "messages") if key not in found]
    if missing:
        raise ExportError(file, f"not a chat's export: the top level has no {' and no '.join(missing)}")
    if found["messages"] != "start_array":
        raise ExportError(file, f"'messages' is {_json_name(found['messages'])}, not an array")
    if not isinstance(found["name"], str):
        raise ExportError(file, f"'name' is not a string: {brief(found['name'])}")
    return Channel(_channel_id(file, found["id"]), clean(found["name"]))


def _top_level(file: Path, progress: Callable[[], None]) -> dict[str, Any]:
    """`id` and `name`, and the event that `messages` begins with, as far as they are there."""
    found: dict[str, Any] = {}
    for prefix, event, value in events(file, progress):
        if not prefix and event == "map_key" and value in ("chats", "left_chats", "personal_information"):
            reason = "this is an export of a whole account"
            raise ExportError(file, reason, "Export the one channel: its ⋮ menu → Export chat history")
        if not prefix and event not in ("start_map", "map_key", "end_map"):
            raise ExportError(file, f"the top level is {_json_name(event)}, not an object")
        if prefix in ("id", "name", "messages"):
            found.setdefault(prefix, event if prefix == "messages" else value)
            if len(found) == 3:
                break
    return found


def _channel_id(file: Path, value: object) -> int:
    """The bare positive id, also from the Bot API's spelling -100…"""
    if is_int(value):
        bare = int(str(value).removeprefix("-100") or 0)
        if 0 < bare <= INT64_MAX:
            return bare
    raise ExportError(file, f"'id' is not a channel's id: {brief(value)}")


def _json_name(event: str) -> str:
    return {"start_map": "an object", "start_array": "an array"}.get(event, f"a {event}")
