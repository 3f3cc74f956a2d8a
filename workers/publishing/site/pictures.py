"""A picture in a page: `<picture>` with what stands in its place until it is there, and whose sizes fit the layout."""

from __future__ import annotations

from workers.publishing.site.assets import ratio_class
from workers.publishing.site.links import Candidate, Links, candidates, nearest
from workers.publishing.site.markup import Html, html, join
from workers.publishing.site.placeholder import data_url
from workers.publishing.site.posts import Post, Row

GRID_WIDTHS = (320, 640, 1280)
"""Pixels, of the candidates in a grid: more of them would make the page larger than its pictures need."""

ALT_LENGTH = 140
_KINDS = {"video": "Video", "animation": "Animation"}


def ratio(row: Row) -> float:
    """Width by height as the style has it: to a tenth, and not beyond what a layout bears."""
    return int(ratio_class(row["width"], row["height"])[1:]) / 10


def in_grid(row: Row, links: Links, alt: str, *, is_first: bool) -> Html:
    """In a row of several: its height is a share of the window, and it is cropped by less than a twentieth."""
    share = ratio(row)
    sizes = f"(max-width:40rem) 94vw,min({20 * share:.0f}vw,{24 * share:.0f}rem)"
    return _picture(row, links, alt, sizes, GRID_WIDTHS, is_first=is_first)


def as_lead(row: Row, links: Links, alt: str) -> Html:
    """The first picture of the front page."""
    sizes = f"min(94vw,{76 * ratio(row):.0f}vh)"
    return _picture(row, links, alt, f"(max-width:60rem) {sizes},min(64vw,{76 * ratio(row):.0f}vh)", (), is_first=True)


def whole(row: Row, links: Links, alt: str, *, is_first: bool) -> Html:
    """As large as the window allows, uncropped."""
    return _picture(row, links, alt, f"min(94vw,{86 * ratio(row):.0f}vh)", (), is_first=is_first)


def _picture(row: Row, links: Links, alt: str, sizes: str, widths: tuple[int, ...], *, is_first: bool) -> Html:
    """`widths`: the candidates are those nearest to these; empty: all."""
    is_clear = bool(row["has_alpha"])
    thumb = "" if is_clear else data_url(row["thumbhash"] or "")
    when = Html(' fetchpriority="high"') if is_first else Html(' loading="lazy"')
    return html(
        '<span class="well{clear}">{thumb}<picture>{sources}<img src="{src}" width="{width}" height="{height}"'
        ' alt="{alt}" decoding="async"{when}></picture>{mark}</span>',
        clear=" clear" if is_clear else "",
        thumb=html('<img class="thumb" src="{url}" alt="">', url=thumb) if thumb else "",
        sources=join(
            _source(row, kind, links, sizes if is_first else f"auto,{sizes}", widths) for kind in ("avif", "webp")
        ),
        src=links.object(row["src"] or ""),
        width=row["width"],
        height=row["height"],
        alt=alt,
        when=when,
        mark=_mark(row),
    )


def _source(row: Row, kind: str, links: Links, sizes: str, widths: tuple[int, ...]) -> Html:
    some = candidates(row[f"srcset_{kind}"])
    srcset = _srcset(nearest(some, widths) if widths else some, links)
    if not srcset:
        return Html()
    return html('<source type="image/{kind}" srcset="{srcset}" sizes="{sizes}">', kind=kind, srcset=srcset, sizes=sizes)


def _srcset(some: list[Candidate], links: Links) -> str:
    found = ((links.object(one.url), one.width) for one in some)
    return ",".join(f"{url} {width}w" for url, width in found if url)


def _mark(row: Row) -> Html:
    kind = _KINDS.get(row["kind"] or "")
    return html('<span class="mark">{kind}</span>', kind=kind) if kind else Html()


def number_mark(post: Post) -> Html:
    """How many pictures an album has."""
    count = len(post.pictures)
    return html('<span class="mark">{count} pictures</span>', count=count) if count > 1 else Html()


def excerpt(text: str, most: int = ALT_LENGTH) -> str:
    """The beginning of a caption in one line, cut between words.

    >>> excerpt("One two three\\n four", 9), excerpt(" One ", 9), excerpt("Onetwothreefour", 5)
    ('One two…', 'One', 'Onet…')
    """
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    cut = line[: most - 1]
    return f"{cut.rpartition(' ')[0] or cut}…"


def alt_of(row: Row, caption: str, day: str) -> str:
    """The picture in words: as the editors have it, else the beginning of the caption, else its kind and its day."""
    kind = _KINDS.get(row["kind"] or "", "Picture")
    return str(row["alt"] or "") or excerpt(caption) or f"{kind} of {day}"
