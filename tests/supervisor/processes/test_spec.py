"""Child specs: what makes no sense is refused, and the refusal says which child, which field and what is allowed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supervisor.processes.spec import ChildSpec, CommandSpec, SpecError

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
        ("restart", "always", "permanent, transient or temporary"),
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


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"target": "a:b", "command": CommandSpec(("x",))}, "target = 'a:b': allowed is none besides a command"),
        ({"command": CommandSpec(())}, "allowed is one that names a program"),
        ({"command": CommandSpec(("",))}, "allowed is one that names a program"),
        ({"command": CommandSpec(("x",), stop_signal="TERM")}, "allowed is a stop_signal that there is"),
        ({}, 'allowed is "package.module:function"'),
    ],
)
def test_either_a_target_or_a_good_command(given: dict[str, Any], allowed: str) -> None:
    with pytest.raises(SpecError) as caught:
        ChildSpec("own", **given)
    assert str(caught.value).endswith(allowed)


def test_what_a_command_is_given_is_not_shown() -> None:
    spec = ChildSpec("own", command=CommandSpec(("x",), environment={"TOKEN": "s3cret"}))
    assert "s3cret" not in repr(spec)
    assert spec != dataclasses.replace(spec, command=CommandSpec(("x",), environment={"TOKEN": "another"}))


def test_two_specs_do_not_share_their_options() -> None:
    first, second = ChildSpec(**GOOD), ChildSpec(**GOOD)
    first.options["a"] = 1
    assert second.options == {}
