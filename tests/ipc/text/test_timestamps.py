"""Times as rows and /status have them."""

from __future__ import annotations

import doctest

from hypothesis import given
from hypothesis import strategies as st

from ipc.text import timestamps
from ipc.text.timestamps import iso


@given(st.integers(0, 253_402_300_799), st.integers(0, 253_402_300_799))
def test_times_sort_as_text(one: int, other: int) -> None:
    assert (str(iso(one)) < str(iso(other))) == (one < other)


def test_no_time_is_none() -> None:
    assert iso(None) is None


def test_the_examples_hold() -> None:
    assert doctest.testmod(timestamps).failed == 0
