"""Retry-After: what a service may say, and whatever else it may say."""

from __future__ import annotations

import doctest
import email.utils
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.publishing.service import retry_after
from workers.publishing.service.retry_after import LONGEST_SECONDS, pause_seconds

NOW = 1_800_000_000.0
"""Fri, 15 Jan 2027 08:00:00 GMT"""


def test_examples() -> None:
    assert doctest.testmod(retry_after).failed == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("999999", LONGEST_SECONDS),
        ("1" * 400, LONGEST_SECONDS),
        ("-3", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("1_000", None),
        ("", None),
        ("soon", None),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0),
        ("Fri, 15 Jan 2027 08:01:00 -0000", 60.0),
        ("Fri, 15 Jan 2027 09:01:00 +0100", 60.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("Friday, 15-Jan-27 08:00:30 GMT", 30.0),
        ("Fri, 99 Jan 2027 08:00:00 GMT", None),
        ("Fri, 15 Jan 9999 07:00:00 GMT", LONGEST_SECONDS),
        ("Fri, 15 Jan 0001 00:00:00 +2359", 0.0),
        ("Fri, 15 Jan 2027 08:01:00 +99999999999999999999", None),
        ("Fri, 99999999999999999999 Jan 2027 08:01:00 GMT", None),
    ],
)
def test_what_is_said(text: str, seconds: float | None) -> None:
    assert pause_seconds(text, NOW) == seconds


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_this_machines_zone_does_not_matter(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert pause_seconds("Fri, 15 Jan 2027 08:01:00 -0000", NOW) == 60.0
    finally:
        monkeypatch.undo()
        time.tzset()


DATES = st.from_regex(
    r"(Mon|Fri), [0-9]{1,25} (Jan|Foo) [0-9]{1,25} [0-9]{1,9}:[0-9]{1,9}(:[0-9]{1,9})? (GMT|[+-][0-9]{1,25})",
    fullmatch=True,
)


@given(st.text() | DATES | st.integers().map(str) | st.floats().map(str), st.floats(-1e12, 1e12))
@example("Fri, 15 Jan 2027 08:01:00 +99999999999999999999", 0.0)
def test_nothing_is_raised_and_no_pause_is_longer_than_the_longest(text: str, now: float) -> None:
    seconds = pause_seconds(text, now)
    assert seconds is None or 0.0 <= seconds <= LONGEST_SECONDS


@given(st.integers(-(10**6), 10**6), st.booleans())
def test_a_date_is_as_far_off_as_it_says(seconds: int, usegmt: bool) -> None:
    text = email.utils.formatdate(NOW + seconds, usegmt=usegmt)
    assert pause_seconds(text, NOW) == min(max(0.0, float(seconds)), LONGEST_SECONDS)
