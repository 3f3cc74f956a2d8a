"""ipc.rules: which posts are taken."""

from __future__ import annotations

from typing import Any

import pytest

from ipc.rules import Facts, PostRule, decide
from tests.ipc.builders import photo

DAY = 86400


def facts(*tags: str, posted_at: int = 10 * DAY, **of_photo: Any) -> Facts:
    return Facts(frozenset({"id:42", "name:news"}), frozenset(tags), photo(**of_photo), posted_at)


def test_the_first_rule_that_fits_decides_and_without_one_it_is_taken() -> None:
    rules = [
        PostRule("leave", tags=("draft",)),
        PostRule("take", tags=("print",)),
        PostRule("leave", channel="name:news"),
    ]
    assert decide([], facts()) == "take"
    assert decide(rules, facts("print", "draft")) == "leave"
    assert decide(rules, facts("print")) == "take"
    assert decide(rules, facts()) == "leave"
    assert decide(rules[:2], facts()) == "take"


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({}, True),
        ({"channel": "id:42"}, True),
        ({"channel": "id:43"}, False),
        ({"tags": ("a", "b")}, True),
        ({"tags": ("c",)}, False),
        ({"kind": "photo"}, True),
        ({"kind": "video"}, False),
        ({"min_width": 640}, True),
        ({"min_width": 641}, False),
        ({"max_width": 640}, True),
        ({"max_width": 639}, False),
        ({"max_bytes": 10**9}, False),
        ({"min_bytes": 1}, False),
        ({"since": 10 * DAY, "until": 10 * DAY}, True),
        ({"since": 10 * DAY + 1}, False),
        ({"until": 10 * DAY - 1}, False),
        ({"channel": "id:42", "tags": ("c",)}, False),
    ],
)
def test_each_condition(rule: dict[str, Any], fits: bool) -> None:
    asked = facts("a", width=640, bytes=None)
    assert decide([PostRule("leave", **rule)], asked) == ("leave" if fits else "take")
