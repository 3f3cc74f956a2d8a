"""Which renditions are kept: one that no reader is better off with costs its object for nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ipc.jobs import Rendition


def kept(renditions: Iterable[Rendition]) -> tuple[Rendition, ...]:
    """Return those that can win, in the order given; at most one of a width and format.

    A rendition with more bytes than a wider one of its format is left out: the wider one is sharper, and arrives
    sooner. So bytes never fall from a width to the next. The widest of each format always stays, even where the
    original has the same sides and fewer bytes: there is no other of that format to fall back on. None but the widest
    can have the original's sides.
    """
    offered = tuple(renditions)
    chosen: set[tuple[str, int]] = set()
    least: dict[str, int] = {}
    for one in sorted(offered, key=lambda one: one.width, reverse=True):
        if one.bytes <= least.get(one.format, one.bytes):
            least[one.format] = one.bytes
            chosen.add((one.format, one.width))
    return tuple(one for one in offered if (one.format, one.width) in chosen)


def worth_moving(renditions: Iterable[Rendition], original_bytes: int) -> tuple[Rendition, ...]:
    """Return those of an animation that have no more bytes than its file has; the JPEG, and the narrowest of each other
    format, in any case. A GIF of few colours may well be smaller than a WebP of its frames.
    """
    offered = tuple(renditions)
    narrowest: dict[str, int] = {}
    for one in offered:
        narrowest[one.format] = min(one.width, narrowest.get(one.format, one.width))
    return tuple(
        one
        for one in offered
        if one.format == "jpeg" or one.bytes <= original_bytes or one.width == narrowest[one.format]
    )
