"""What all pages have in common: their head, the way up, the way on, and the foot. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workers.publishing.documents.site.html import assets
from workers.publishing.documents.site.html.links import SITE, Links
from workers.publishing.documents.site.html.markup import Html, html, join
from workers.publishing.documents.site.posts import SitePost


@dataclass(frozen=True, slots=True)
class Site:
    """`address`: what the URLs of all our objects begin with. `feeds`: there are some."""

    title: str
    address: str
    feeds: bool

    @property
    def is_public(self) -> bool:
        """Whether others can follow the address."""
        return self.address.startswith(("https://", "http://"))

    def url(self, path: str) -> str:
        """The absolute URL of the page at `path`."""
        return f"{self.address}{SITE}{path}"


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Paths of the pages before (newer) and after (older) this one; empty: there is none."""

    newer: str = ""
    older: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """What a page says of itself to others. `feed`: the key of its feeds without their endings.

    `crumbs`: title and path of the pages above it, the highest first.
    """

    title: str
    description: str
    kind: str = "website"
    cover: SitePost | None = None
    feed: str = "feeds/all"
    crumbs: tuple[tuple[str, str], ...] = ()


_NO_NEIGHBOURS = Neighbours()

# The policy goes with the page, wherever that is served. Browsers differ in what 'self' is of a file on a disk, so it
# says nothing of style and pictures; the server of the tree adds that.
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">\
<meta http-equiv="Content-Security-Policy" \
content="script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'">\
<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">\
<title>{title}</title><meta name="description" content="{description}"><link rel="icon" href="data:,">\
<link rel="stylesheet" href="{style}"><script src="{script}" defer></script>{feeds}{card}</head>
<body><a class="skip" href="#main">To the pictures</a>{header}
{body}
<footer class="foot">{feed_links}{keys}</footer></body></html>
"""

_KEYS = Html(
    '<span class="keys">Keys: <kbd>j</kbd> <kbd>k</kbd> picture, <kbd>←</kbd> <kbd>→</kbd> page, '
    "<kbd>Esc</kbd> up</span>"
)

_FEEDS = ((".json", "application/feed+json", "JSON Feed"), (".xml", "application/atom+xml", "Atom feed"))


def document(site: Site, links: Links, head: Head, body: Html) -> bytes:
    """The whole page."""
    feeds = _FEEDS if site.feeds else ()
    found = [{"kind": kind, "title": title, "href": links.beside(head.feed + end)} for end, kind, title in feeds]
    text = html(
        _PAGE,
        title=head.title if site.title in head.title else f"{head.title} – {site.title}",
        description=head.description,
        style=links.page(assets.style().name),
        script=links.page(assets.script().name),
        feeds=join(html('<link rel="alternate" type="{kind}" title="{title}" href="{href}">', **one) for one in found),
        card=_card(site, links, head),
        header=_header(links, head.crumbs),
        body=body,
        feed_links=join(html('<a href="{href}" type="{kind}">{title}</a>', **one) for one in found),
        keys=_KEYS,
    )
    return text.encode()


def _header(links: Links, crumbs: Sequence[tuple[str, str]]) -> Html:
    """The way up. The front page has none: its title says it."""
    places = [
        html(
            '<a class="{kind}" href="{href}"{up} dir="auto">{title}</a>',
            kind="part" if number else "name",
            href=links.page(path),
            up=Html(' rel="up"') if number == len(crumbs) - 1 else "",
            title=title,
        )
        for number, (title, path) in enumerate(crumbs)
    ]
    nav = '<header><nav class="head" aria-label="Up">{places}</nav></header>'
    return html(nav, places=join(places)) if places else Html()


def turn(links: Links, beside: Neighbours, what: str) -> Html:
    """The way to the pages before and after."""
    if beside == _NO_NEIGHBOURS:
        return Html()
    ways = (("prev", beside.newer, f"← Newer {what}"), ("next", beside.older, f"Older {what} →"))
    link = '<a rel="{rel}" href="{href}">{text}</a>'
    newer, older = (
        html(link, rel=rel, href=links.page(path), text=text) if path else Html("<span></span>")
        for rel, path, text in ways
    )
    return html('<nav class="turn" aria-label="Pages">{newer}{older}</nav>', newer=newer, older=older)


def _card(site: Site, links: Links, head: Head) -> Html:
    """How others show a link to the page (Open Graph). Addresses only where they can be followed: none is relative."""
    facts = {
        "og:type": head.kind,
        "og:title": head.title,
        "og:description": head.description,
        "og:site_name": site.title,
    }
    if head.kind == "article" and head.cover:
        facts["article:published_time"] = head.cover.posted_at
    preview = str(head.cover.cover["preview_url"] or "") if head.cover else ""
    has_preview = preview.startswith(("https://", "http://"))
    if has_preview:
        facts |= {"og:image": preview, "og:image:width": "1200", "og:image:height": "630"}
    canonical = Html()
    if site.is_public:
        facts["og:url"] = site.url(links.path)
        canonical = html('<link rel="canonical" href="{url}">', url=site.url(links.path))
    metas = [html('<meta property="{name}" content="{text}">', name=name, text=text) for name, text in facts.items()]
    kind = "summary_large_image" if has_preview else "summary"
    return join([canonical, *metas, html('<meta name="twitter:card" content="{kind}">', kind=kind)])
