"""The gallery's pages, made of posts. Pure: the same posts give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from workers.publishing.site import assets, pictures
from workers.publishing.site.links import SITE, Links
from workers.publishing.site.markup import Html, caption_html, escape, html, join
from workers.publishing.site.posts import INDEX, Post, channel_path

EAGER = 4
"""Pictures of a grid that are in the first window of most readers: they are fetched at once."""

LINE_LENGTH, TITLE_LENGTH, DESCRIPTION_LENGTH = 110, 80, 200
MOST_CHANNELS = 60
"""How many channels the front page names: the newest ones."""


@dataclass(frozen=True, slots=True)
class Site:
    """What all pages have in common. `address`: what the URLs of all our objects begin with. `feeds`: there are some."""

    title: str
    address: str
    feeds: bool = False

    @property
    def is_public(self) -> bool:
        """Whether others can follow the address."""
        return self.address.startswith(("https://", "http://"))

    def url(self, path: str) -> str:
        """Of a page, for those who need it absolute."""
        return f"{self.address}{SITE}{path}"


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """One line of the front page's list. `name` is the @username, without @."""

    id: int
    title: str
    name: str | None
    posts: int


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Paths of the pages before (newer) and after (older) this one; empty: there is none."""

    newer: str = ""
    older: str = ""


_NONE = Neighbours()


@dataclass(frozen=True, slots=True)
class _Head:
    """What a page says of itself to others. `feed`: the key of its feed, without its ending; empty: none of its own."""

    title: str
    description: str
    kind: str = "website"
    cover: Post | None = None
    feed: str = "feeds/all"


# Pages


def index_page(site: Site, posts: Sequence[Post], channels: Sequence[ChannelEntry]) -> bytes:
    """The front page: the newest posts of all channels, the newest of all as its lead."""
    links = Links(INDEX, site.address)
    lead, *rest = posts or [None]
    body = html(
        '<div class="title"><h1 dir="auto">{title}</h1>{channels}</div><main id="main">{lead}{grid}</main>',
        title=site.title,
        channels=_channels(channels, links),
        lead=_lead(lead, links) if lead else html('<p class="empty">No pictures yet.</p>'),
        grid=_grid(rest, links, with_channel=len(channels) > 1, eager=0),
    )
    head = _Head(site.title, excerpt_of(posts) or site.title, cover=lead)
    return _document(site, links, head, body, crumbs=[])


def channel_page(site: Site, channel: ChannelEntry, posts: Sequence[Post], older: str) -> bytes:
    """A channel's newest posts. `older`: the page where the others begin; empty: these are all."""
    links = Links(channel_path(channel.id), site.address)
    body = html(
        '<div class="title"><h1 dir="auto">{title}</h1><p>{facts}</p></div><main id="main">{grid}</main>{turn}',
        title=channel.title,
        facts=_channel_facts(channel),
        grid=_grid(posts, links) if posts else html('<p class="empty">No pictures yet.</p>'),
        turn=_turn(links, Neighbours(older=older), "posts"),
    )
    head = _Head(
        channel.title, excerpt_of(posts) or channel.title, cover=next(iter(posts), None), feed=_feed(channel.id)
    )
    return _document(site, links, head, body, crumbs=[(site.title, INDEX)])


def archive_page(site: Site, path: str, posts: Sequence[Post], beside: Neighbours) -> bytes:
    """Some of a channel's posts, the newest first. There is at least one."""
    links = Links(path, site.address)
    first = posts[0]
    days = days_of(posts)
    title = f"{first.channel_title}, {days}"
    body = html(
        '<div class="title"><h1 dir="auto">{title}</h1><p>{days}</p></div><main id="main">{grid}</main>{turn}',
        title=first.channel_title,
        days=days,
        grid=_grid(posts, links),
        turn=_turn(links, beside, "posts"),
    )
    head = _Head(title, excerpt_of(posts) or title, cover=first, feed=_feed(first.channel_id))
    return _document(site, links, head, body, _crumbs(site, first))


def post_page(site: Site, post: Post, beside: Neighbours) -> bytes:
    """One post: its pictures, then its caption."""
    links = Links(post.path, site.address)
    day = day_of(post.posted_at)
    body = html(
        '<main id="main"><div class="post wide">{figures}</div><article class="story"><div class="facts"><h1 class="when">'
        "{time}</h1>{facts}</div>{text}{tags}</article></main>{turn}",
        figures=join(_figure(post, number, links) for number in range(len(post.pictures))),
        time=_time(post.posted_at, day),
        facts=_post_facts(post),
        text=html('<div class="text" dir="auto">{text}</div>', text=_caption(post)) if post.caption else "",
        tags=_tags(post),
        turn=_turn(links, beside, "post"),
    )
    title = pictures.excerpt(post.caption, TITLE_LENGTH) or f"{post.channel_title}, {day}"
    description = pictures.excerpt(post.caption, DESCRIPTION_LENGTH) or title
    head = _Head(title, description, "article", post, _feed(post.channel_id))
    return _document(site, links, head, body, _crumbs(site, post))


# Their parts


def _document(site: Site, links: Links, head: _Head, body: Html, crumbs: Sequence[tuple[str, str]]) -> bytes:
    is_front = not crumbs
    text = html(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"script-src 'self'; object-src 'none'; base-uri 'none';"
        " form-action 'none'\">"
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">'
        '<title>{title}</title><meta name="description" content="{description}"><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="{style}"><script src="{script}" defer></script>{feeds}{card}</head>\n'
        '<body><a class="skip" href="#main">To the pictures</a>{header}\n{body}\n<footer class="foot">{foot}</footer></body></html>\n',
        title=head.title if is_front or head.title == site.title else f"{head.title} – {site.title}",
        description=head.description,
        style=links.page(assets.style().name),
        script=links.page(assets.script().name),
        feeds=_feeds(site, links, head),
        card=_card(site, links, head),
        header=_header(links, crumbs),
        body=body,
        foot=_foot(site, links, head),
    )
    return text.encode()


def _header(links: Links, crumbs: Sequence[tuple[str, str]]) -> Html:
    """The way up. The front page has none: its title says it."""
    if not crumbs:
        return Html()
    places = [
        html(
            '<a class="{kind}" href="{href}"{up} dir="auto">{title}</a>',
            kind="name" if number == 0 else "part",
            href=links.page(path),
            up=Html(' rel="up"') if number == len(crumbs) - 1 else "",
            title=title,
        )
        for number, (title, path) in enumerate(crumbs)
    ]
    return html('<header><nav class="head" aria-label="Up">{places}</nav></header>', places=join(places))


def _crumbs(site: Site, post: Post) -> list[tuple[str, str]]:
    return [(site.title, INDEX), (post.channel_title, channel_path(post.channel_id))]


def _feed(channel_id: int) -> str:
    return f"feeds/{channel_id}"


_FEEDS = ((".json", "application/feed+json", "JSON Feed"), (".xml", "application/atom+xml", "Atom feed"))


def _feeds(site: Site, links: Links, head: _Head) -> Html:
    if not site.feeds:
        return Html()
    tag = '<link rel="alternate" type="{kind}" title="{title}" href="{href}">'
    return join(html(tag, kind=kind, title=title, href=links.beside(head.feed + end)) for end, kind, title in _FEEDS)


def _foot(site: Site, links: Links, head: _Head) -> Html:
    feeds = (
        join(
            html('<a href="{href}">{title}</a>', href=links.beside(head.feed + end), title=title)
            for end, _, title in _FEEDS
        )
        if site.feeds
        else Html()
    )
    keys = Html(
        '<span class="keys">Keys: <kbd>j</kbd> <kbd>k</kbd> picture, <kbd>←</kbd> <kbd>→</kbd> page, <kbd>Esc</kbd> up</span>'
    )
    return join([feeds, keys])


def _card(site: Site, links: Links, head: _Head) -> Html:
    """How others show a link to the page (Open Graph). Addresses only where they can be followed: none is relative."""
    facts = [
        ("og:type", head.kind),
        ("og:title", head.title),
        ("og:description", head.description),
        ("og:site_name", site.title),
    ]
    if head.kind == "article" and head.cover:
        facts.append(("article:published_time", head.cover.posted_at))
    preview = str(head.cover.cover["preview_url"] or "") if head.cover else ""
    if preview.startswith(("https://", "http://")):
        facts += [("og:image", preview), ("og:image:width", "1200"), ("og:image:height", "630")]
    canonical = Html()
    if site.is_public:
        facts.append(("og:url", site.url(links.path)))
        canonical = html('<link rel="canonical" href="{url}">', url=site.url(links.path))
    card = html('<meta name="twitter:card" content="{kind}">', kind="summary_large_image" if preview else "summary")
    return join(
        [canonical, *(html('<meta property="{name}" content="{text}">', name=n, text=t) for n, t in facts), card]
    )


def _grid(posts: Sequence[Post], links: Links, *, with_channel: bool = False, eager: int = EAGER) -> Html:
    tiles = [
        _tile(post, links, with_channel=with_channel, is_first=number < eager) for number, post in enumerate(posts)
    ]
    return html('<ul class="grid">{tiles}</ul>', tiles=join(tiles, "\n")) if tiles else Html()


def _tile(post: Post, links: Links, *, with_channel: bool, is_first: bool) -> Html:
    day = _time(post.posted_at, day_of(post.posted_at))
    return html(
        '<li class="{ratio}"><a href="{href}" data-stop="tile">{picture}{line}<span class="when">{day}{channel}</span></a></li>',
        ratio=assets.ratio_class(post.cover["width"], post.cover["height"]),
        href=links.page(post.path),
        picture=_with_number(
            pictures.in_grid(post.cover, links, str(post.cover["alt"] or ""), is_first=is_first), post
        ),
        line=_line(post),
        day=day,
        channel=html(" · <bdi>{title}</bdi>", title=post.channel_title) if with_channel else "",
    )


def _with_number(picture: Html, post: Post) -> Html:
    mark = pictures.number_mark(post)
    return Html(f"{picture.removesuffix('</span>')}{mark}</span>") if mark else picture


def _line(post: Post) -> Html:
    text = pictures.excerpt(post.caption, LINE_LENGTH)
    return html('<span class="line" dir="auto">{text}</span>', text=text) if text else Html()


def _lead(post: Post, links: Links) -> Html:
    return html(
        '<article class="lead"><a class="{ratio}" href="{href}" data-stop="tile" aria-label="{label}">{picture}</a>'
        '<div class="text"><p class="when">{day} · <a href="{channel_href}"><bdi>{channel}</bdi></a></p>'
        '<h2 dir="auto"><a href="{href}">{text}</a></h2></div></article>',
        ratio=assets.ratio_class(post.cover["width"], post.cover["height"]),
        href=links.page(post.path),
        label=f"The newest post: {pictures.alt_of(post.cover, post.caption, day_of(post.posted_at))}",
        picture=_with_number(pictures.as_lead(post.cover, links, str(post.cover["alt"] or "")), post),
        day=_time(post.posted_at, day_of(post.posted_at)),
        channel_href=links.page(channel_path(post.channel_id)),
        channel=post.channel_title,
        text=pictures.excerpt(post.caption, 180) or f"Picture of {day_of(post.posted_at)}",
    )


def _figure(post: Post, number: int, links: Links) -> Html:
    row = post.pictures[number]
    count = len(post.pictures)
    own = str(row["caption"] or "") if row is not post.told else ""
    alt = pictures.alt_of(row, own or post.caption, day_of(row["posted_at"]))
    line = " · ".join(filter(None, [f"{number + 1} of {count}" if count > 1 else "", own]))
    return html(
        '<figure class="{ratio}{width}" id="m{id}" tabindex="-1" data-stop="page">{picture}{line}</figure>',
        ratio=assets.ratio_class(row["width"], row["height"]),
        width=f" {name}" if (name := assets.width_class(row["width"])) else "",
        id=row["message_id"],
        picture=pictures.whole(row, links, alt, is_first=number == 0),
        line=html('<figcaption dir="auto">{line}</figcaption>', line=line) if line else "",
    )


def _caption(post: Post) -> Html:
    """The caption with its formatting; as plain text where the catalogue has none, or none that captions have."""
    given = post.told["caption_html"]
    return (caption_html(given) if given else None) or escape(post.caption)


def _post_facts(post: Post) -> Html:
    parts = [html("<bdi>{title}</bdi>", title=post.channel_title)]
    if post.changed_at != post.posted_at and any(row["edited_at"] for row in post.pictures):
        parts.append(html("<span>edited {time}</span>", time=_time(post.changed_at, day_of(post.changed_at))))
    url = str(post.cover["post_url"] or "")
    if url.startswith("https://"):
        parts.append(html('<a href="{url}" rel="noopener external">On Telegram</a>', url=url))
    return join(parts)


def _tags(post: Post) -> Html:
    tags = join(html('<li dir="auto">#{tag}</li>', tag=tag) for tag in post.tags)
    return html('<ul class="tags" aria-label="Tags">{tags}</ul>', tags=tags) if tags else Html()


def _channel_facts(channel: ChannelEntry) -> Html:
    parts = [html("{count}", count=f"{channel.posts:,} {'post' if channel.posts == 1 else 'posts'}")]
    if channel.name:
        parts.append(
            html('<a href="https://t.me/{name}" rel="noopener external">@{name}</a> on Telegram', name=channel.name)
        )
    return join(parts, " · ")


def _channels(channels: Sequence[ChannelEntry], links: Links) -> Html:
    """The channels that there are."""
    entry = '<li><a href="{href}" dir="auto">{title}</a> <small>{posts}</small></li>'
    entries = [
        html(entry, href=links.page(channel_path(one.id)), title=one.title, posts=f"{one.posts:,}")
        for one in channels[:MOST_CHANNELS]
    ]
    listed = html('<nav aria-label="Channels"><ul class="channels">{entries}</ul></nav>', entries=join(entries))
    return listed if entries else Html()


def _turn(links: Links, beside: Neighbours, what: str) -> Html:
    """The way to the pages before and after."""
    if beside == _NONE:
        return Html()
    newer, older = (
        html('<a rel="{rel}" href="{href}">{text}</a>', rel=rel, href=links.page(path), text=text)
        if path
        else Html("<span></span>")
        for rel, path, text in (("prev", beside.newer, f"← Newer {what}"), ("next", beside.older, f"Older {what} →"))
    )
    return html('<nav class="turn" aria-label="Pages">{newer}<span></span>{older}</nav>', newer=newer, older=older)


# Words


def excerpt_of(posts: Sequence[Post]) -> str:
    """What the newest of them says."""
    return next((pictures.excerpt(post.caption, DESCRIPTION_LENGTH) for post in posts if post.caption), "")


def day_of(at: str) -> str:
    """The day in words, in UTC.

    >>> day_of("2025-10-05T19:31:08+00:00")
    '5 October 2025'
    """
    moment = _moment(at)
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def days_of(posts: Sequence[Post]) -> str:
    """From the first day to the last."""
    first, last = (day_of(choose(post.posted_at for post in posts)) for choose in (min, max))
    if first == last:
        return first
    shared = next((end for end in (2, 1) if first.split(" ")[-end:] == last.split(" ")[-end:]), 0)
    return f"{' '.join(first.split(' ')[: 3 - shared])} – {last}"


_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at).astimezone(UTC)


def _time(at: str, text: str) -> Html:
    return html('<time datetime="{at}">{text}</time>', at=_moment(at).strftime("%Y-%m-%dT%H:%M:%SZ"), text=text)
