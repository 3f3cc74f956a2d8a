"""Our ThumbHash against hashes that the reference encoder made (evanw/thumbhash, js/thumbhash.js, MIT)."""

from __future__ import annotations

from itertools import product

import pytest

from workers.rendering.imaging.appearance.thumbhash import Pixel, thumbhash

OPAQUE, SPECKLED, HALF = 0, 1, 2

VECTORS = (
    (32, 24, OPAQUE, 1, "1ff8050d8453578603229624856873468b072bf3c9"),
    (24, 32, OPAQUE, 5, "1f080615044468003039727b74357664890649f5c9"),
    (32, 32, OPAQUE, 9, "df07060f0465678603228424856b7558645787557034af0d"),
    (100, 75, OPAQUE, 3, "1f08020582955866455445354065a655e41018fdca"),
    (1, 1, OPAQUE, 0, "000802070000000000000000000000000000000000000000"),
    (50, 4, OPAQUE, 2, "5d080a119650564856677878d039069688"),
    (3, 100, OPAQUE, 7, "1ff809311887707787667777877079f887"),
    (32, 24, SPECKLED, 1, "a3b8810c82075568094369a995358056bf7977382120629806"),
    (20, 32, SPECKLED, 4, "20f8810b0217670b50b586a70a7476fd448968661031a7"),
    (32, 32, HALF, 8, "e007820d0258672e0e5f6df7d4494b9ff4a460997788777877"),
)
"""Width, height, kind of alpha and seed of `pixels`, and the reference's hash in hexadecimal."""


def pixels(width: int, height: int, alpha: int, seed: int) -> list[Pixel]:
    """The same integers in any language; no wave of them is nothing, which rounding alone would round up or down."""
    clear = (
        lambda x, y: 255,
        lambda x, y: (x * x + y * 11 + seed) % 256,
        lambda x, y: 0 if x + y * y % 7 < width / 2 else 255,
    )
    return [
        (
            ((x * 255 // width ^ seed & 63) + y * y * 3) % 256,
            (y * 255 // height + x * x) % 256,
            (x * x + 3 * y * y + seed * x * y) % 256,
            clear[alpha](x, y),
        )
        for y, x in product(range(height), range(width))
    ]


@pytest.mark.parametrize(("width", "height", "alpha", "seed", "hexadecimal"), VECTORS)
def test_the_bytes_are_those_of_the_reference(width: int, height: int, alpha: int, seed: int, hexadecimal: str) -> None:
    found = thumbhash(width, height, pixels(width, height, alpha, seed))
    assert found.hex() == hexadecimal
    assert len(found) <= 25


@pytest.mark.parametrize(
    ("pixel", "head"),
    [
        ((0, 0, 0, 255), "0008020580"),
        ((255, 255, 255, 255), "3f08020580"),
        ((255, 0, 0, 255), "d5fb030580"),
        ((0, 0, 255, 128), "150082048008"),
        ((9, 9, 9, 0), "000882048000"),
    ],
)
def test_an_even_picture_has_the_reference_s_means_and_no_noise(pixel: Pixel, head: str) -> None:
    found = thumbhash(8, 6, [pixel] * 48).hex()
    assert found[: len(head)] == head
    assert set(found[len(head) :]) == {"0"}
