"""A feed as Atom (RFC 4287). Pure."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from workers.publishing.documents.feeds.items import Feed, Item

CONTENT_TYPE = "application/atom+xml; charset=utf-8"

NAMESPACE = "http://www.w3.org/2005/Atom"

GENERATOR = "Picturedesk"
"""The program's name, without a version: else each upgrade would have all readers load all feeds again."""


_UPDATED = re.compile(rb"<updated>([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)</updated>")
"""The feed's own comes before those of its entries."""


def render(feed: Feed) -> bytes:
    root = ElementTree.Element("feed", xmlns=NAMESPACE)
    _text(root, "id", feed.id)
    _text(root, "title", feed.title)
    _text(root, "updated", feed.updated)
    _person(root, feed.author or feed.title)
    _link(root, "self", feed.atom_url, "application/atom+xml")
    _link(root, "alternate", feed.home_page_url, "text/html")
    _link(root, "alternate", feed.json_url, "application/feed+json")
    _text(root, "generator", GENERATOR)
    for item in feed.items:
        _entry(root, item)
    ElementTree.indent(root, " ")
    body: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def updated_of(document: bytes) -> str:
    """When a feed that `render` has made says that it was updated; empty if it is no such feed.

    >>> updated_of(b"<feed><updated>2026-11-30T08:00:00Z</updated><entry><updated>1970")
    '2026-11-30T08:00:00Z'
    """
    match = _UPDATED.search(document)
    return match[1].decode() if match else ""


def _entry(root: ElementTree.Element, item: Item) -> None:
    entry = ElementTree.SubElement(root, "entry")
    _text(entry, "id", item.id)
    _text(entry, "title", item.title)
    _text(entry, "published", item.published)
    _text(entry, "updated", item.modified)
    _person(entry, item.author)
    _link(entry, "alternate", item.url, "text/html")
    for one in item.attachments:
        _link(entry, "enclosure", one.url, one.mime_type)
    for tag in item.tags:
        ElementTree.SubElement(entry, "category", term=tag)
    _text(entry, "content", item.content_html, type="html")


def _text(parent: ElementTree.Element, name: str, text: str, **attributes: str) -> None:
    ElementTree.SubElement(parent, name, attributes).text = text


def _person(parent: ElementTree.Element, name: str) -> None:
    _text(ElementTree.SubElement(parent, "author"), "name", name)


def _link(parent: ElementTree.Element, rel: str, href: str, kind: str) -> None:
    if href:
        ElementTree.SubElement(parent, "link", rel=rel, type=kind, href=href)
