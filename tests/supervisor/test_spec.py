"""Child specs: what makes no sense is refused, and the refusal says which child, which field and what is allowed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supervisor.spec import ChildSpec, SpecError

GOOD: dict[str, Any] = {"name": "image-1", "target": "workers.image:main"}


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("name", "", "lower-case letters, digits, hyphens"),
        ("name", "Image", "lower-case letters, digits, hyphens"),
        ("name", "image 1", "lower-case letters, digits, hyphens"),
        ("name", "1-image", "lower-case letters, digits, hyphens"),
        ("name", "image\n", "lower-case letters, digits, hyphens"),
        ("target", "workers.image", '"package.module:function"'),
        ("target", "workers/image:main", '"package.module:function"'),
        ("target", ":main", '"package.module:function"'),
        ("target", "workers.image:main()", '"package.module:function"'),
        ("restart", "temporary", "permanent or transient"),
        ("ready_seconds", 0, "more than 0"),
        ("ready_seconds", float("nan"), "more than 0"),
        ("beat_seconds", -1.0, "more than 0"),
        ("hang_seconds", 0.0, "more than 0"),
        ("stop_seconds", 0, "more than 0"),
        ("beat_seconds", 60.0, "less than hang_seconds"),
        ("cap_bytes", -1, "0 or more"),
    ],
)
def test_a_bad_field_is_refused_by_name(field: str, value: object, allowed: str) -> None:
    given = {**GOOD, field: value}
    with pytest.raises(SpecError) as caught:
        ChildSpec(**given)
    assert str(caught.value) == f"child {given['name']!r}: {field} = {value!r}: allowed is {allowed}"


def test_a_good_one_is_plain_data_and_stays_as_it_is() -> None:
    spec = ChildSpec(**GOOD)
    assert ChildSpec(**dataclasses.asdict(spec)) == spec
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.name = "other"  # type: ignore[misc]


def test_two_specs_do_not_share_their_options() -> None:
    first, second = ChildSpec(**GOOD), ChildSpec(**GOOD)
    first.options["a"] = 1
    assert second.options == {}
