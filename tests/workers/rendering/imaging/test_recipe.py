"""What a picture was rendered by, as its keys say it."""

from __future__ import annotations

import json
import re

import pytest

from ipc.files.object_layout import RECIPE
from tests.workers.rendering.imaging.golden import GOLDEN, REMEDY, conflicts, rendered
from workers.rendering.imaging import current_recipe
from workers.rendering.imaging.codec.versions import libraries
from workers.rendering.imaging.recipe import recipe_of

VERSIONS = {"libwebp": "1.6.0", "libavif": "1.4.2"}


def test_no_bytes_change_under_a_recipe_that_is_in_use() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found = rendered()
    assert not conflicts(golden, found), REMEDY
    assert found == golden, (
        "libraries, presets, PIPELINE_VERSION or pictures are others now:"
        " python -m tests.workers.rendering.imaging.golden --write"
    )


def test_other_bytes_under_the_same_recipe_are_noticed() -> None:
    golden = {"balanced": {"recipe": "0a", "renditions": {"a": {"320.webp": "1"}}}}
    assert conflicts(golden, {"balanced": {"recipe": "0a", "renditions": {"a": {"320.webp": "2"}}}}) == ["balanced"]
    assert conflicts(golden, {"balanced": {"recipe": "0b", "renditions": {"a": {"320.webp": "2"}}}}) == []
    assert conflicts(golden, golden | {"fast": {"recipe": "0c", "renditions": {}}}) == []


@pytest.mark.parametrize(
    "other",
    [
        recipe_of("fast", VERSIONS, pipeline=1),
        recipe_of("balanced", VERSIONS | {"libavif": "1.4.3"}, pipeline=1),
        recipe_of("balanced", VERSIONS | {"svt": "4.1.0"}, pipeline=1),
        recipe_of("balanced", VERSIONS, pipeline=2),
        recipe_of("balanced", VERSIONS, ["640.avif"]),
    ],
)
def test_whatever_changes_bytes_changes_the_recipe(other: str) -> None:
    assert re.fullmatch(RECIPE, other)
    assert other != recipe_of("balanced", VERSIONS, pipeline=1)


def test_the_order_in_which_libraries_are_named_does_not() -> None:
    assert recipe_of("balanced", dict(reversed(VERSIONS.items()))) == recipe_of("balanced", VERSIONS)


def test_every_library_says_its_version() -> None:
    assert all(re.search(r"\d+\.\d+", version) for version in libraries().values()), libraries()
    assert "svt [enc]" in libraries()["codecs"] and "aom [enc]" in libraries()["codecs"]
    assert len({current_recipe(preset) for preset in ("balanced", "fast", "small")}) == 3


def test_what_moves_and_what_does_not_have_no_key_in_common() -> None:
    assert len({current_recipe("balanced"), current_recipe("balanced", animations=False)}) == 2
    assert current_recipe("balanced", ["animation"]) not in {
        current_recipe("balanced"),
        current_recipe("balanced", animations=False),
    }
