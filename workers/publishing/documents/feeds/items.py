"""What a feed says, whatever its format: posts as items, the newest first. Pure functions of the view's rows.

An item's id is made of the channel's id and the post's, or the album's: it stays when the post is edited, the channel
renamed, the album's first picture deleted, or the storage moved. Both formats have the same id.
"""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipc.text.caption_html import UNFIT
from workers.publishing.documents.spoilers import covered_html, open_caption

Row = Mapping[str, Any]
"""One picture, as the view `pictures` has it. Its times are ISO 8601 in UTC, in whole seconds: they sort as text."""

TITLE_CHARACTERS = 80
"""Longest title: about a line of a feed reader's list."""

MIME_TYPES = {"jpg": "image/jpeg", "webp": "image/webp", "avif": "image/avif"}

_WIDTH = re.compile(r"/([1-9][0-9]{0,4})(?:-[0-9a-f]{8})?\.[a-z]+$")


@dataclass(frozen=True, slots=True)
class Attachment:
    """One picture of an item. `alt` may be empty."""

    url: str
    mime_type: str
    alt: str


@dataclass(frozen=True, slots=True)
class Item:
    """A post, or an album. Times are ISO 8601 in UTC; `modified` is that of the last edit, or of the post.

    `url` is where Telegram shows it, `image` what represents it; `url` may be empty.
    """

    id: str
    url: str
    title: str
    author: str
    content_html: str
    image: str
    published: str
    modified: str
    tags: tuple[str, ...]
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed, in whichever format.

    `home_page_url` may be empty. `json_url` and `atom_url` are where its two documents are; relative ones are relative
    to each other. `updated` is ISO 8601 in UTC.
    """

    id: str
    title: str
    home_page_url: str
    json_url: str
    atom_url: str
    author: str
    updated: str
    items: tuple[Item, ...]


def items_of(rows: Iterable[Row], most: int, link: Callable[[str], str]) -> tuple[Item, ...]:
    """The newest items of these rows, which come newest first. `link` makes of a row's URL the one that a feed has."""
    posts: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        posts.setdefault(post_of(row), []).append(row)
    return tuple(_item(pictures, link) for pictures in list(posts.values())[:most])


def post_of(row: Row) -> tuple[int, str]:
    """What tells the post of a picture from others: all pictures of an album have the same."""
    grouped = row["grouped_id"]
    return row["channel_id"], f"{row['message_id']}" if grouped is None else f"album {grouped}"


def lasting_id(channel_id: int, name: str = "") -> str:
    """The URN of a channel, or of something in it. A UUID of the link that goes by ids, as no tag is ours to mint.

    >>> lasting_id(1234567890, "77")
    'urn:uuid:c4d9a8d8-f8bf-57e7-ac2f-fc9f1ac40069'
    """
    return urn(f"https://t.me/c/{channel_id}/{name}")


def urn(url: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, url).urn


def clean(text: str) -> str:
    """The text without what XML can't hold: a reader takes no feed with a single such character.

    >>> clean("a\\x00b\\x0bc\\ud800d\\n")
    'abcd\\n'
    """
    return UNFIT.sub("", text)


def headline(text: str, longest: int = TITLE_CHARACTERS) -> str:
    """The first line that has something in it, cut at a word.

    >>> headline("  \\nBreaking news from the harbour\\nMore below", 20)
    'Breaking news from…'
    """
    line = next((" ".join(line.split()) for line in text.splitlines() if line.strip()), "")
    if len(line) <= longest:
        return line
    cut = line[:longest]
    return f"{cut.rpartition(' ')[0].rstrip(' ,;:-–—') or cut[:-1]}…"


def _item(pictures: Sequence[Row], link: Callable[[str], str]) -> Item:
    pictures = sorted(pictures, key=lambda row: (row["album_position"], row["message_id"]))
    first = pictures[0]
    published = min(row["posted_at"] for row in pictures)
    edits = [row["edited_at"] for row in pictures if row["edited_at"]]
    author = clean(first["channel_title"])
    captions = _captions(pictures)
    title = headline(clean("\n".join(map(open_caption, pictures))))
    _, name = post_of(first)
    return Item(
        id=lasting_id(first["channel_id"], name),
        url=first["post_url"] or "",
        title=title or f"{author}, {published[:10]}",
        author=author,
        content_html="\n".join([*(_figure(row, link) for row in pictures), *captions]),
        image=link(first["preview_url"] or first["src"]),
        published=published,
        modified=max([published, *edits]),
        tags=tuple(dict.fromkeys(clean(tag) for row in pictures for tag in row["tags"] or ())),
        attachments=tuple(_attachment(row, link) for row in pictures),
    )


def _captions(pictures: Sequence[Row]) -> list[str]:
    """The captions as HTML, each once: usually one picture of an album has it."""
    found = dict.fromkeys(clean(_caption(row)) for row in pictures)
    return [f"<div>{caption}</div>" for caption in found if caption]


def _caption(row: Row) -> str:
    """The caption as HTML, without what is under a spoiler. An earlier version's row has no HTML yet."""
    if row["caption_html"] is not None:
        return covered_html(str(row["caption_html"]))
    return html.escape(row["caption"] or "").replace("\n", "<br>")


def _figure(row: Row, link: Callable[[str], str]) -> str:
    width, height = shown_size(row)
    src, alt = html.escape(link(row["src"])), html.escape(clean(row["alt"] or ""))
    return f'<p><img src="{src}" width="{width}" height="{height}" alt="{alt}"></p>'


def _attachment(row: Row, link: Callable[[str], str]) -> Attachment:
    ending = row["src"].rpartition(".")[2]
    return Attachment(link(row["src"]), MIME_TYPES.get(ending, "image/jpeg"), clean(row["alt"] or ""))


def shown_size(row: Row) -> tuple[int, int]:
    """Width and height of the picture at `src`, whose name has its width.

    >>> shown_size({"src": "https://p.example/ab/abc/1280-0123abcd.jpg", "width": 4000, "height": 3000})
    (1280, 960)
    """
    match = _WIDTH.search(row["src"])
    width = int(match[1]) if match else row["width"]
    return width, max(1, round(row["height"] * width / row["width"]))
