"""The gallery's pages, made of posts. Pure: the same posts give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workers.publishing.documents.site.html import assets, pictures
from workers.publishing.documents.site.html.frame import Head, Neighbours, Site, document, turn
from workers.publishing.documents.site.html.links import Links
from workers.publishing.documents.site.html.markup import Html, caption_html, escape, html, join
from workers.publishing.documents.site.html.words import (
    DESCRIPTION_LENGTH,
    LEAD_LENGTH,
    LINE_LENGTH,
    TITLE_LENGTH,
    alt_of,
    count_of,
    day_of,
    days_of,
    excerpt,
    excerpt_of,
    time_of,
)
from workers.publishing.documents.site.posts import INDEX, Row, SitePost, channel_path
from workers.publishing.documents.spoilers import has_spoiler, open_caption

EAGER = 4
"""Pictures of a grid that are in the first window of most readers: they are fetched at once."""

MOST_CHANNELS = 60
"""How many channels the front page names: the newest ones."""

CHANNEL_LENGTH = 40
"""Characters of a channel's title beside a picture."""

_NO_PICTURES = Html('<p class="empty">No pictures yet.</p>')


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """One channel of the site. `name` is its @username without @, `posts` the number of its posts that readers see."""

    id: int
    title: str
    name: str | None
    posts: int


def index_page(site: Site, posts: Sequence[SitePost], channels: Sequence[ChannelEntry], older: str = "") -> bytes:
    """The front page: the newest posts of all channels, the newest of all as its lead.

    `older`: where the others begin, if they are of one channel.
    """
    links = Links(INDEX, site.address)
    lead = next(iter(posts), None)
    body = html(
        '<main id="main"><div class="title"><h1 dir="auto">{title}</h1>{channels}</div>{lead}{grid}</main>{turn}',
        title=site.title,
        channels=_channels(channels, links),
        lead=_lead(lead, links, with_channel=len(channels) > 1) if lead else _NO_PICTURES,
        grid=_grid(posts[1:], links, with_channel=len(channels) > 1, eager=0),
        turn=turn(links, Neighbours(older=older), "posts"),
    )
    return document(site, links, Head(site.title, excerpt_of(posts) or site.title, cover=lead), body)


def channel_page(site: Site, channel: ChannelEntry, posts: Sequence[SitePost], older: str = "") -> bytes:
    """A channel's newest posts. `older`: the page where the others begin; empty: these are all."""
    links = Links(channel_path(channel.id), site.address)
    body = html(
        '<main id="main"><div class="title"><h1 dir="auto">{title}</h1>{facts}</div>{grid}</main>{turn}',
        title=channel.title,
        facts=_channel_facts(channel),
        grid=_grid(posts, links) or _NO_PICTURES,
        turn=turn(links, Neighbours(older=older), "posts"),
    )
    head = Head(
        channel.title,
        excerpt_of(posts) or channel.title,
        cover=next(iter(posts), None),
        feed=_feed(channel.id),
        crumbs=((site.title, INDEX),),
    )
    return document(site, links, head, body)


def archive_page(site: Site, path: str, posts: Sequence[SitePost], beside: Neighbours) -> bytes:
    """Some of a channel's posts, the newest first. There is at least one."""
    links = Links(path, site.address)
    first, days = posts[0], days_of(posts)
    body = html(
        '<main id="main"><div class="title"><h1 dir="auto">{title}</h1><p>{days}</p></div>{grid}</main>{turn}',
        title=first.channel_title,
        days=days,
        grid=_grid(posts, links),
        turn=turn(links, beside, "posts"),
    )
    title = f"{first.channel_title}, {days}"
    description = excerpt_of(posts) or title
    head = Head(title, description, cover=first, feed=_feed(first.channel_id), crumbs=_crumbs(site, first))
    return document(site, links, head, body)


_POST = """<main id="main"><div class="post wide">{figures}</div>\
<article class="story"><div class="facts"><h1>{time}</h1>{facts}</div>{text}{tags}</article></main>{turn}"""


def post_page(site: Site, post: SitePost, beside: Neighbours) -> bytes:
    """One post: its pictures, then its caption."""
    links = Links(post.path, site.address)
    body = html(
        _POST,
        figures=join(_figure(post, number, links) for number in range(len(post.pictures))),
        time=time_of(post.posted_at),
        facts=_post_facts(post),
        text=html('<div class="text" dir="auto">{text}</div>', text=_caption(post)) if post.caption else "",
        tags=_tags(post),
        turn=turn(links, beside, "post"),
    )
    title = excerpt(post.open_caption, TITLE_LENGTH) or f"{post.channel_title}, {day_of(post.posted_at)}"
    description = excerpt(post.open_caption, DESCRIPTION_LENGTH) or title
    head = Head(title, description, "article", post, _feed(post.channel_id), _crumbs(site, post))
    return document(site, links, head, body)


def _crumbs(site: Site, post: SitePost) -> tuple[tuple[str, str], ...]:
    """The pages above a post's. Where channel and site have one title, they are one to readers."""
    above = (site.title, INDEX)
    own = (post.channel_title, channel_path(post.channel_id))
    return (above,) if post.channel_title == site.title else (above, own)


def _feed(channel_id: int) -> str:
    return f"feeds/{channel_id}"


# Several posts


def _grid(posts: Sequence[SitePost], links: Links, *, with_channel: bool = False, eager: int = EAGER) -> Html:
    tiles = [
        _tile(post, links, with_channel=with_channel, is_first=number < eager) for number, post in enumerate(posts)
    ]
    return html('<ul class="grid">{tiles}</ul>', tiles=join(tiles, "\n")) if tiles else Html()


_TILE = """<li class="{ratio}"><a href="{href}" data-stop="tile">{picture}{line}\
<span class="when">{day}{channel}</span></a></li>"""


def _tile(post: SitePost, links: Links, *, with_channel: bool, is_first: bool) -> Html:
    """A picture with its caption below it. It has an alternative text only if the editors wrote one."""
    alt = str(post.cover["alt"] or "")
    title = excerpt(post.channel_title, CHANNEL_LENGTH)
    return html(
        _TILE,
        ratio=assets.ratio_class(post.cover["width"], post.cover["height"]),
        href=links.page(post.path),
        picture=pictures.in_grid(post.cover, links, alt, _count_mark(post), is_first=is_first),
        line=_line(post),
        day=time_of(post.posted_at),
        channel=html(" · <bdi>{title}</bdi>", title=title) if with_channel else "",
    )


def _count_mark(post: SitePost) -> str:
    """How many pictures an album has."""
    return f"{len(post.pictures)} pictures" if len(post.pictures) > 1 else ""


def _line(post: SitePost) -> Html:
    text = excerpt(post.open_caption, LINE_LENGTH)
    return html('<span class="line" dir="auto">{text}</span>', text=text) if text else Html()


_LEAD = """<article class="lead"><a class="{ratio}" href="{href}" data-stop="tile">{picture}</a>\
<div class="text"><p class="when">{day}{channel}</p>\
<h2 dir="auto"><a href="{href}">{text}</a></h2></div></article>"""


def _lead(post: SitePost, links: Links, *, with_channel: bool) -> Html:
    channel = html(
        ' · <a href="{href}"><bdi>{title}</bdi></a>',
        href=links.page(channel_path(post.channel_id)),
        title=post.channel_title,
    )
    return html(
        _LEAD,
        ratio=assets.ratio_class(post.cover["width"], post.cover["height"]),
        href=links.page(post.path),
        picture=pictures.as_lead(post.cover, links, alt_of(post.cover, post.open_caption), _count_mark(post)),
        day=time_of(post.posted_at),
        channel=channel if with_channel else "",
        text=excerpt(post.open_caption, LEAD_LENGTH) or alt_of(post.cover, ""),
    )


# One post

_FIGURE = """<figure class="{ratio}{width}" id="m{id}" tabindex="-1" data-stop="page">{picture}{line}</figure>"""


def _figure(post: SitePost, number: int, links: Links) -> Html:
    row, count = post.pictures[number], len(post.pictures)
    is_told_below = row is post.told
    width = assets.width_class(row["width"])
    line = join(
        filter(None, [f"{number + 1} of {count}" if count > 1 else "", "" if is_told_below else _own_line(row)]), " · "
    )
    said = "" if is_told_below else open_caption(row)
    return html(
        _FIGURE,
        ratio=assets.ratio_class(row["width"], row["height"]),
        width=f" {width}" if width else "",
        id=row["message_id"],
        picture=pictures.whole(row, links, alt_of(row, said or post.open_caption), is_first=number == 0),
        line=html('<figcaption dir="auto">{line}</figcaption>', line=line) if line else "",
    )


def _own_line(row: Row) -> Html:
    """What is said of one picture of an album: as plain text, unless something of it is to be covered."""
    return (caption_html(row["caption_html"]) if has_spoiler(row) else None) or escape(row["caption"])


def _caption(post: SitePost) -> Html:
    """The caption with its formatting; as plain text where the catalogue has none, or none that captions have."""
    given = post.told["caption_html"]
    return (caption_html(given) if given else None) or escape(post.caption)


def _post_facts(post: SitePost) -> Html:
    parts = [html("<bdi>{title}</bdi>", title=post.channel_title)]
    if day_of(post.changed_at) != day_of(post.posted_at):
        parts.append(html("<span>edited {time}</span>", time=time_of(post.changed_at)))
    url = str(post.cover["post_url"] or "")
    if url.startswith("https://"):
        parts.append(html('<a href="{url}" rel="noopener external">On Telegram</a>', url=url))
    return join(parts)


def _tags(post: SitePost) -> Html:
    """The tags that are not in the text above them."""
    said = post.caption.lower()
    tags = join(html('<li dir="auto">#{tag}</li>', tag=tag) for tag in post.tags if f"#{tag}" not in said)
    return html('<ul class="tags" aria-label="Tags">{tags}</ul>', tags=tags) if tags else Html()


# Channels


def _channel_facts(channel: ChannelEntry) -> Html:
    telegram = '<a href="https://t.me/{name}" rel="noopener external">@{name}</a> on Telegram'
    parts = [count_of(channel.posts), html(telegram, name=channel.name) if channel.name else ""]
    return html("<p>{parts}</p>", parts=join(filter(None, parts), " · "))


def _channels(channels: Sequence[ChannelEntry], links: Links) -> Html:
    """The list of channels; of a single channel, facts about it."""
    if len(channels) == 1:
        return _channel_facts(channels[0])
    entry = '<li><a href="{href}" dir="auto">{title}</a> <small>{posts}</small></li>'
    entries = [
        html(entry, href=links.page(channel_path(one.id)), title=one.title, posts=f"{one.posts:,}")
        for one in channels[:MOST_CHANNELS]
    ]
    listed = '<nav aria-label="Channels"><ul class="channels">{entries}</ul></nav>'
    return html(listed, entries=join(entries)) if entries else Html()
