"""Where the window with the most in it begins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.rendering.imaging.appearance.crop import best_start

weights = st.lists(st.integers(0, 100), min_size=1, max_size=60)


def test_it_goes_where_the_weight_is() -> None:
    assert best_start([0, 0, 0, 0, 0, 5, 5, 5, 0, 0], 3) == 5
    assert best_start([9, 9, 9, 0, 0, 0, 0, 0, 0, 0], 3) == 0
    assert best_start([0, 0, 0, 0, 0, 0, 0, 9, 9, 9], 3) == 7


def test_an_even_picture_is_cropped_at_its_middle() -> None:
    assert best_start([1] * 11, 5) == 3
    assert best_start([0] * 4, 4) == 0
    assert best_start([1, 1], 5) == 0, "a window that is longer begins where all begins"


def test_one_speck_does_not_outweigh_the_rest() -> None:
    assert best_start([20, 0, 0, 0, 9, 9, 9, 0, 0, 0], 3) == 4


@given(weights, st.integers(1, 60))
def test_the_window_is_within(some: list[int], length: int) -> None:
    start = best_start(some, length)
    assert 0 <= start <= max(0, len(some) - length)
