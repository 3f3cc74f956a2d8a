"""A picture in a page: `<picture>` with what stands in its place until it is there, and whose sizes fit the layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workers.publishing.documents.site.html.assets import ratio_class
from workers.publishing.documents.site.html.links import Candidate, Links, candidates, nearest
from workers.publishing.documents.site.html.markup import Html, html, join
from workers.publishing.documents.site.html.placeholder import data_url
from workers.publishing.documents.site.html.words import KINDS
from workers.publishing.documents.site.posts import Row

GRID_WIDTHS = {"avif": (320, 640, 1280), "webp": (640, 1280)}
"""Pixels, of the candidates in a grid: with more, a page would be larger than 30 KB. Few browsers are left to WebP."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """`sizes`: how wide it is shown, as HTML says it. `widths`: candidates are those nearest to these; none: all.

    `is_first`: it is fetched at once.
    """

    sizes: str
    is_first: bool
    widths: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def _ratio(row: Row) -> float:
    """Width by height as the style has it: to a tenth, and not beyond what a layout bears."""
    return int(ratio_class(row["width"], row["height"])[1:]) / 10


def in_grid(row: Row, links: Links, alt: str, mark: str, *, is_first: bool) -> Html:
    """A picture in a row of several. Its height is a share of the window's; less than a twentieth is cropped."""
    share = _ratio(row)
    sizes = f"(max-width:40rem) 94vw,min({20 * share:.0f}vw,{24 * share:.0f}rem)"
    return _picture(row, links, alt, mark, _Layout(sizes, is_first, GRID_WIDTHS))


def as_lead(row: Row, links: Links, alt: str, mark: str) -> Html:
    """The first picture of the front page."""
    high = f"{76 * _ratio(row):.0f}vh"
    return _picture(row, links, alt, mark, _Layout(f"(max-width:60rem) min(94vw,{high}),min(64vw,{high})", True))


def whole(row: Row, links: Links, alt: str, *, is_first: bool) -> Html:
    """A picture as large as the window allows, uncropped."""
    return _picture(row, links, alt, "", _Layout(f"min(94vw,{86 * _ratio(row):.0f}vh)", is_first))


_PICTURE = """<span class="well{clear}">{thumb}<picture>{sources}<img src="{src}" width="{width}" height="{height}" \
alt="{alt}" {when}></picture>{mark}</span>"""


def _picture(row: Row, links: Links, alt: str, mark: str, layout: _Layout) -> Html:
    is_clear = bool(row["has_alpha"])
    thumb = "" if is_clear else data_url(row["thumbhash"] or "")
    words = ", ".join(filter(None, (KINDS.get(row["kind"] or ""), mark)))
    return html(
        _PICTURE,
        clear=" clear" if is_clear else "",
        thumb=html('<img class="thumb" src="{url}" alt="">', url=thumb) if thumb else "",
        sources=join(_source(row, kind, links, layout) for kind in ("avif", "webp")),
        src=links.object(row["src"] or ""),
        width=row["width"],
        height=row["height"],
        alt=alt,
        when=Html('fetchpriority="high"' if layout.is_first else 'loading="lazy"'),
        mark=html('<span class="mark">{words}</span>', words=words) if words else "",
    )


def _source(row: Row, kind: str, links: Links, layout: _Layout) -> Html:
    some = candidates(row[f"srcset_{kind}"])
    widths = layout.widths.get(kind)
    srcset = _srcset(nearest(some, widths) if widths else some, links)
    if not srcset:
        return Html()
    return html(
        '<source type="image/{kind}" srcset="{srcset}" sizes="{auto}{sizes}">',
        kind=kind,
        srcset=srcset,
        auto="" if layout.is_first else "auto,",  # browsers that know it measure what is fetched later
        sizes=layout.sizes,
    )


def _srcset(some: list[Candidate], links: Links) -> str:
    found = ((links.object(one.url), one.width) for one in some)
    return ",".join(f"{url} {width}w" for url, width in found if url)
