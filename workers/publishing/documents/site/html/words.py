"""Words of the gallery's pages: days, numbers, the beginning of a caption. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from workers.publishing.documents.site.html.markup import Html, html
from workers.publishing.documents.site.posts import Row, SitePost

ALT_LENGTH, LINE_LENGTH, TITLE_LENGTH, LEAD_LENGTH, DESCRIPTION_LENGTH = 140, 110, 80, 180, 200
"""Characters, of what stands for a caption."""

KINDS = {"video": "Video", "animation": "Animation"}
"""Names of posters, by what they stand for."""

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


_SCHEME = re.compile(r"\bhttps?://(?:www\.)?(?=\w)", re.IGNORECASE)


def excerpt(text: str, most: int) -> str:
    """The beginning of a caption in one line, cut between words; addresses without their scheme.

    >>> excerpt("One two three\\n four", 9), excerpt(" One ", 9), excerpt("Onetwothreefour", 5)
    ('One two…', 'One', 'Onet…')
    >>> excerpt("More at https://www.example.org/one", 40)
    'More at example.org/one'
    """
    line = _SCHEME.sub("", " ".join(text.split()))
    if len(line) <= most:
        return line
    cut = line[: most - 1]
    return f"{cut.rpartition(' ')[0] or cut}…"


def excerpt_of(posts: Sequence[SitePost]) -> str:
    """What the newest of them says."""
    said = (excerpt(post.open_caption, DESCRIPTION_LENGTH) for post in posts)
    return next(filter(None, said), "")


def alt_of(row: Row, caption: str) -> str:
    """The picture in words: as the editors have it, else the beginning of the caption, else its kind and its day."""
    kind = KINDS.get(row["kind"] or "", "Picture")
    return str(row["alt"] or "") or excerpt(caption, ALT_LENGTH) or f"{kind} of {day_of(row['posted_at'])}"


def count_of(number: int) -> str:
    """
    >>> count_of(1), count_of(1200)
    ('1 post', '1,200 posts')
    """
    return f"{number:,} {'post' if number == 1 else 'posts'}"


def day_of(at: str) -> str:
    """The day in words, in UTC.

    >>> day_of("2025-10-05T19:31:08+00:00")
    '5 October 2025'
    """
    moment = _moment(at)
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def days_of(posts: Sequence[SitePost]) -> str:
    """The days from the first post to the last: 5 – 26 October 2025."""
    first, last = (day_of(choose(post.posted_at for post in posts)).split(" ") for choose in (min, max))
    if first == last:
        return " ".join(first)
    shared = next((number for number in (2, 1) if first[-number:] == last[-number:]), 0)
    return f"{' '.join(first[: 3 - shared])} – {' '.join(last)}"


def time_of(at: str) -> Html:
    """The day, for people and for machines."""
    moment = _moment(at)
    return html('<time datetime="{at}">{day}</time>', at=moment.strftime("%Y-%m-%dT%H:%M:%SZ"), day=day_of(at))


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at).astimezone(UTC)
