"""What is taken, what a picture claims, and the verdict on one that is refused."""

from __future__ import annotations

from dataclasses import dataclass

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "AVIF", "GIF")
"""Pillow's names of the formats taken. MPO, JPEG with further pictures behind it, is taken as JPEG."""


class BadPicture(Exception):
    """A verdict on the picture itself: every retry ends the same. `str()` is the reason, for the dead letters."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of what is taken: a file of at most `max_bytes`, sides of `max_dimension` px, `max_pixels` in all.

    `max_scans`: real JPEGs have at most 20; 5,000 scans in 50 KB cost over 10 s.
    """

    max_bytes: int
    max_dimension: int
    max_pixels: int
    max_scans: int = 100


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture claims: a format of FORMATS, and its sides in px as stored, before orientation."""

    format: str
    width: int
    height: int


def check_size(width: int, height: int, limits: Limits) -> None:
    """Raise BadPicture when sides in px are beyond the limits. Used again on what the opened file says."""
    if width < 1 or height < 1:
        raise BadPicture(f"damaged: a picture of {width}×{height} pixels")
    if max(width, height) > limits.max_dimension:
        raise BadPicture(
            f"too large: {width}×{height} pixels, at most {limits.max_dimension} a side (MAX_IMAGE_DIMENSION)"
        )
    if width * height > limits.max_pixels:
        raise BadPicture(f"too many pixels: {width}×{height} are {width * height:,}, at most {limits.max_pixels:,}")
