"""What the page shows besides /status: the last hour and day, the newest pictures, the dead letters. Pure functions.

Nothing here is read in full, however much is published or dead: the newest of each, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from ipc.files.object_layout import rendition_key
from ipc.jobs import Job, Rendition
from ipc.journal.lookup import Letter
from ipc.text.channel_address import Address
from ipc.text.post_address import PostAddress

PICTURES = 24
"""Number of pictures of the contact sheet."""

GROUPS = 50
"""Most reasons of dead letters that are shown, the most frequent ones."""

LETTERS = 200
"""Most dead letters that are listed in all groups together."""

LETTERS_SHOWN = 20
"""Most dead letters that are listed in each group."""

WIDEST = 1280
"""No wider rendition is offered: a picture is shown some 120 pixels wide, and twice or three times as many on a fine
screen."""

MARKS = 60
"""Most ends of processes and reloads that are marked in the plot."""

MINUTES, HOURS = 60, 24

Names = Mapping[int, Address]
"""The public name of a channel by its id: of those that are configured by name."""


def names_of(channels: Iterable[Mapping[str, Any]]) -> Names:
    """The public names of the channels in /status.

    >>> names_of([{"id": 7, "address": "@news"}, {"id": 8, "address": "8"}, {"id": None, "address": "@new"}])
    {7: Address(kind='name', value='news')}
    """
    return {
        one["id"]: Address("name", one["address"][1:])
        for one in channels
        if one.get("id") is not None and str(one.get("address", "")).startswith("@")
    }


def post_url(channel_id: int, message_id: int, names: Names) -> str:
    """Where Telegram shows the message: to all if the channel has a public name, else to its members.

    >>> post_url(7, 12, {7: Address("name", "news")}), post_url(8, 12, {})
    ('https://t.me/news/12', 'https://t.me/c/8/12')
    """
    return PostAddress(names.get(channel_id) or Address("id", str(channel_id)), message_id).link


def hour(
    minutes: Iterable[tuple[int, int]],
    tree: Iterable[Mapping[str, Any]],
    now: float,
    reloads: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The last sixty minutes, this one among them: pictures published in each; the ends of processes, and reloads that
    ended none, as marks.

    `minutes` has the Unix second at which one begins and its pictures, `tree` and `reloads` are those of /status.

    >>> shown = hour([(60, 3), (3600, 5)], [], 3630.0)
    >>> shown["from"], shown["published"][0], shown["published"][59]
    (60, 3, 5)
    """
    first = 60 * (int(now) // 60 - MINUTES + 1)
    by_minute = dict(minutes)
    ends = (
        (datetime.fromisoformat(end["at"]).timestamp(), f"{row['name']}: {end['what']}")
        for row in tree
        for end in row.get("exits", ())
    )
    quiet = (
        (datetime.fromisoformat(one["at"]).timestamp(), "configuration reloaded")
        for one in reloads
        if not one["replaced"]
    )
    marks = [{"at": at, "what": what} for at, what in sorted([*ends, *quiet]) if at >= first]
    return {
        "from": first,
        "published": [by_minute.get(first + 60 * number, 0) for number in range(MINUTES)],
        "marks": marks[-MARKS:],
    }


def strips(hours: Mapping[int, Iterable[tuple[int, int]]], now: float) -> dict[str, list[int]]:
    """The pictures of each channel that were published in each of the last 24 hours, the current one included.

    >>> strips({7: [(3600, 2), (24 * 3600, 5)]}, 24 * 3600 + 1.0)["7"][-2:]
    [0, 5]
    """
    first = 3600 * (int(now) // 3600 - HOURS + 1)

    def counts(given: Iterable[tuple[int, int]]) -> list[int]:
        by_hour = dict(given)
        return [by_hour.get(first + 3600 * number, 0) for number in range(HOURS)]

    return {str(channel): counts(given) for channel, given in hours.items()}


def picture(job: Job, base: str, names: Names, *, with_caption: bool) -> dict[str, Any] | None:
    """A picture of the contact sheet, whose renditions lie below `base`; None if it has none to show."""
    renditions = _shown(job.renditions)
    if not renditions:
        return None

    def url(one: Rendition) -> str:
        return rendition_key(job, one, base)

    least = renditions[0]
    return {
        "id": job.id,
        "src": url(least),
        "srcset": ", ".join(f"{url(one)} {one.width}w" for one in renditions),
        "width": least.width,
        "height": least.height,
        "alt": (with_caption and job.caption) or f"Picture of post {job.message_id}",
        "post_url": post_url(job.channel_id, job.message_id, names),
    }


def _shown(renditions: Sequence[Rendition]) -> list[Rendition]:
    """The renditions of one format, the narrowest first: of WebP if there are any."""
    formats = {one.format for one in renditions}
    chosen = "webp" if "webp" in formats else "avif"
    ladder = sorted((one for one in renditions if one.format == chosen), key=lambda one: one.width)
    return [one for one in ladder if one.width <= WIDEST] or ladder[:1]


def base_of(backend: str, public_url: str, prefix: str, recorded: str | None) -> str | None:
    """What the addresses of a picture's objects begin with, on this page; None if a browser can't get them.

    Files are served by this process itself. `recorded` is the prefix under which they were published.

    >>> base_of("files", "https://elsewhere", "a/", None), base_of("files", "", "a/", "b/")
    ('media/a/', None)
    >>> base_of("r2", "https://pictures.example.org/", "a/", "b c/"), base_of("r2", "", "a/", "a/")
    ('https://pictures.example.org/b%20c/', None)
    """
    if backend == "files":
        return f"media/{quote(prefix)}" if recorded in (None, prefix) else None
    return f"{public_url.rstrip('/')}/{quote(prefix if recorded is None else recorded)}" if public_url else None


def letters_of_each(groups: int) -> int:
    """Number of letters that are listed of each group, if there are `groups` groups.

    >>> letters_of_each(1), letters_of_each(50), letters_of_each(0)
    (20, 4, 20)
    """
    return min(LETTERS_SHOWN, LETTERS // max(1, groups))


def group(
    reason: str, count: int, letters: Iterable[Letter], names: Names, thumbnail: Callable[[Letter], str | None]
) -> dict[str, Any]:
    """The dead letters of one reason: their number, and the newest of them."""
    return {"reason": reason, "count": count, "letters": [_letter(one, names, thumbnail(one)) for one in letters]}


def _letter(one: Letter, names: Names, thumbnail: str | None) -> dict[str, Any]:
    return {
        "id": one.id,
        "channel": one.channel_id,
        "message": one.message_id,
        "stage": one.dead_state,
        "attempts": one.attempts,
        "post_url": post_url(one.channel_id, one.message_id, names),
        "thumbnail": thumbnail,
    }


def without_titles(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of /status without the channels' titles, for a screen that everybody in the room can read."""
    channels = [{key: value for key, value in one.items() if key != "title"} for one in body["channels"]]
    return {**body, "channels": channels}
