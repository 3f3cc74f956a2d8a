"""The gallery's style and script. Their names have a digest: a page never meets those of another version."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent

RATIOS = range(3, 41)
"""Tenths of width by height that have a class: nothing in a page needs a style of its own."""

WIDTHS = range(1, 20)
"""Hundreds of pixels: a narrower picture is not enlarged."""


@dataclass(frozen=True, slots=True)
class Asset:
    """`name` below the site's folder."""

    name: str
    data: bytes
    content_type: str


@cache
def style() -> Asset:
    rules = [*(f".r{one}{{--r:{one / 10:g}}}" for one in RATIOS), *(f".w{one}{{--w:{one}00px}}" for one in WIDTHS)]
    text = (_FOLDER / "gallery.css").read_text(encoding="utf-8") + "".join(rules) + "\n"
    return _asset(text.encode(), "css", "text/css; charset=utf-8")


@cache
def script() -> Asset:
    return _asset((_FOLDER / "gallery.js").read_bytes(), "js", "text/javascript; charset=utf-8")


def _asset(data: bytes, extension: str, content_type: str) -> Asset:
    return Asset(f"gallery-{hashlib.sha256(data).hexdigest()[:8]}.{extension}", data, content_type)


def ratio_class(width: int, height: int) -> str:
    """The class that has the sides' ratio, to a tenth.

    >>> ratio_class(1280, 960), ratio_class(1, 10000), ratio_class(90000, 1)
    ('r13', 'r3', 'r40')
    """
    return f"r{min(RATIOS[-1], max(RATIOS[0], round(10 * width / height)))}"


def width_class(width: int) -> str:
    """The class that keeps a picture of that width from being enlarged; none for a wide one.

    >>> width_class(320), width_class(1280), width_class(4000)
    ('w4', 'w13', '')
    """
    hundreds = -(-width // 100)
    return f"w{hundreds}" if hundreds in WIDTHS else ""
