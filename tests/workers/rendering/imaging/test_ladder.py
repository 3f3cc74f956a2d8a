"""The ladder is pure: sides in, sides out."""

from __future__ import annotations

import pytest

from workers.rendering.imaging.gate import BadPicture
from workers.rendering.imaging.ladder import Ladder, steps_for, top_pixels, widths_for

WIDTHS = (320, 640, 1280, 1920)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (4000, WIDTHS),
        (1920, WIDTHS),
        (1000, (320, 640, 1000)),
        (640, (320, 640)),
        (200, (200,)),
        (1, (1,)),
    ],
)
def test_widths(width: int, expected: tuple[int, ...]) -> None:
    assert widths_for(width, WIDTHS) == expected
    assert widths_for(width, (*reversed(WIDTHS), 320)) == expected


def test_no_widths() -> None:
    assert widths_for(1000, ()) == ()
    assert top_pixels(1000, 500, Ladder((), webp=True, avif=True)) == 0


def test_steps_keep_the_proportion_and_at_least_a_pixel() -> None:
    ladder = Ladder((320, 640), webp=True, avif=True)
    assert steps_for((1280, 853), ladder) == [(320, 213), (640, 426)]
    assert steps_for((8000, 1), ladder) == [(320, 1), (640, 1)]
    assert steps_for((1, 8000), ladder) == [(1, 8000)]


def test_steps_beyond_what_a_format_holds() -> None:
    assert steps_for((8, 16_383), Ladder((8,), webp=True, avif=False)) == [(8, 16_383)]
    with pytest.raises(BadPicture, match=r"^too long: a rendition of 8×16384 pixels, at most 16383 a side$"):
        steps_for((8, 16_384), Ladder((8,), webp=False, avif=True))
    assert steps_for((8, 16_384), Ladder((8,), webp=False, avif=False)) == [(8, 16_384)]


@pytest.mark.parametrize("size", [(4000, 3000), (3000, 4000), (1000, 8000), (8000, 1000), (1, 1)])
def test_top_pixels_bounds_both_ways_up(size: tuple[int, int]) -> None:
    ladder = Ladder(WIDTHS, webp=True, avif=True)
    for sides in (size, size[::-1]):
        width, height = steps_for(sides, ladder)[-1]
        assert top_pixels(*size, ladder) >= width * height - width
