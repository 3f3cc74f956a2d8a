"""A feed as JSON Feed 1.1 (https://jsonfeed.org/version/1.1). Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from workers.publishing.documents.feeds.items import Attachment, Feed, Item

CONTENT_TYPE = "application/feed+json; charset=utf-8"

VERSION = "https://jsonfeed.org/version/1.1"


def render(feed: Feed) -> bytes:
    document = {
        "version": VERSION,
        "title": feed.title,
        "home_page_url": _absolute(feed.home_page_url),
        "feed_url": _absolute(feed.json_url),
        "authors": _authors(feed.author),
        "items": [_item(one) for one in feed.items],
    }
    text = json.dumps(_without_empty(document, but="items"), ensure_ascii=False, indent=1)
    return f"{text}\n".encode()


def _item(item: Item) -> dict[str, Any]:
    return _without_empty(
        {
            "id": item.id,
            "url": item.url,
            "title": item.title,
            "content_html": item.content_html,
            "image": item.image,
            "date_published": item.published,
            "date_modified": item.modified,
            "authors": _authors(item.author),
            "tags": list(item.tags),
            "attachments": _attachments(item.attachments),
        }
    )


def _attachments(some: Sequence[Attachment]) -> list[dict[str, Any]]:
    """Two with one title would be taken for one picture in two formats: so says the specification."""
    titles = Counter(one.alt for one in some)
    return [
        _without_empty({"url": one.url, "mime_type": one.mime_type, "title": one.alt if titles[one.alt] == 1 else ""})
        for one in some
    ]


def _absolute(url: str) -> str:
    """Drop relative addresses: nothing says what they are relative to, and both may be left out."""
    return url if "://" in url else ""


def _authors(name: str) -> list[dict[str, str]]:
    return [{"name": name}] if name else []


def _without_empty(values: dict[str, Any], but: str = "") -> dict[str, Any]:
    return {key: value for key, value in values.items() if value or key == but}
