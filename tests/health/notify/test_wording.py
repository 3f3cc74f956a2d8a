"""The words of messages, and the names of addresses: short, whole, and without a secret."""

from __future__ import annotations

import doctest

import pytest

import health.notify.labels
from health.notify.labels import label
from health.notify.notices import Notice
from health.notify.wording import LENGTH, SHOWN, body, title

HELD = Notice("problem", "pool is held: no memory", "bin/run start pool", 1_700_000_000)
OVER = Notice("over", "pool is held: no memory", since=1_700_000_000, until=1_700_000_600)


def test_a_problem_says_what_since_when_and_what_to_do() -> None:
    assert title([HELD], "desk") == "desk: pool is held: no memory"
    assert body([HELD], "desk") == (
        "Problem: pool is held: no memory\nSince: 2023-11-14 22:13:20 UTC\nWhat to do: bin/run start pool"
    )


def test_its_end_says_how_long_it_was() -> None:
    assert title([OVER], "desk") == "desk: over: pool is held: no memory"
    assert body([OVER], "desk") == (
        "Over: pool is held: no memory\nFrom 2023-11-14 22:13:20 UTC to 2023-11-14 22:23:20 UTC, 10 min"
    )


def test_many_are_a_digest_that_counts_them() -> None:
    many = [HELD] * (SHOWN + 2) + [OVER]
    assert title(many, "desk") == f"desk: {SHOWN + 2} problems, 1 over"
    assert title([HELD, HELD], "desk") == "desk: 2 problems"
    assert title([OVER, OVER], "desk") == "desk: 2 over"
    text = body(many, "desk")
    assert text.count("Problem:") == SHOWN and text.endswith("And 3 more: see /status on desk.")
    assert "more" not in body([HELD] * SHOWN, "desk")


def test_what_others_wrote_is_one_line_and_not_too_long() -> None:
    text = body([Notice("problem", "a\x1b[2J\nb" + "x" * 5000, "c\u202ed")], "desk")
    assert text.count("\n") == 2 and "\x1b" not in text and "\u202e" not in text
    assert len(text) < LENGTH + 200 and len(title([Notice("test", "x" * 500)], "y" * 60)) == 150


SECRET = "C4n4ry"


@pytest.mark.parametrize(
    "url",
    [
        f"tgram://{SECRET}/{SECRET}",
        f"ntfys://{SECRET}",
        f"discord://{SECRET}/x",
        f"jsons://me:{SECRET}@example.org/x?+A={SECRET}",
        f"json://{SECRET}:pass:word@example.org",
        f"json://a/b@{SECRET}",
        f"mailtos://me:{SECRET}/{SECRET}@example.org",
        f"mailtos://me:{SECRET}?x@example.org",
        f"mailtos://me:pass word{SECRET}@example.org",
        f"{SECRET}{'x' * 40}://x",
        f"mailtos://{SECRET}@",
        f"json://{SECRET}@@x/{SECRET}",
        "://",
        "",
    ],
)
def test_nothing_of_an_address_that_may_be_secret_is_in_its_label(url: str) -> None:
    assert SECRET not in label(url, 0)
    assert label(url, 4).startswith("notify.urls, number 5 (")


def test_the_examples_of_labels() -> None:
    assert doctest.testmod(health.notify.labels).failed == 0
