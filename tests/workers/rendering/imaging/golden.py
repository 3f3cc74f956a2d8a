"""Digests of what fixed pictures are rendered to, by recipe and preset: no key's bytes ever change unnoticed.

    python -m tests.workers.rendering.imaging.golden --write

writes `golden.json` again. It refuses other bytes under a recipe that is there: then PIPELINE_VERSION in
`workers/rendering/imaging/recipe.py` has to be raised first.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest  # noqa: F401  the kinds' module needs it, and the supervisor's package then keeps a part of it out
from PIL import Image

from tests.instance import HOME
from tests.workers.rendering.imaging import kinds
from workers.rendering import imaging
from workers.rendering.imaging.codec.pipeline import develop

GOLDEN = Path(__file__).with_name("golden.json")
PRESETS = ("balanced", "fast", "small")
LIMITS = imaging.Limits(max_bytes=10**7, max_dimension=4000, max_pixels=10**7)
REMEDY = (
    "the bytes of renditions have changed under the recipe that they had: raise PIPELINE_VERSION in"
    " workers/rendering/imaging/recipe.py, then run python -m tests.workers.rendering.imaging.golden --write"
)


def pictures() -> Iterator[tuple[str, bytes]]:
    """A photograph, the same upright by its orientation, and with transparency: each step of the pipeline has work."""
    photo = HOME / "examples" / "export" / "photos" / "photo_4@08-10-2025_08-14-52.jpg"
    yield "photograph", photo.read_bytes()
    with Image.open(photo) as opened:
        picture = opened.convert("RGB").resize((400, 300))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned, transparent = io.BytesIO(), io.BytesIO()
    picture.save(turned, "PNG", exif=exif)
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(transparent, "PNG")
    yield "turned", turned.getvalue()
    yield "transparent", transparent.getvalue()


def of_every_kind() -> Iterator[tuple[str, bytes]]:
    """What each step does beyond that: colours, clearness, canvas, turns; a file that is mended, one that moves."""
    yield from ((f"kind: {name}", kind.data) for name, kind in kinds.everything().items())
    png = kinds.halves(8, 2, kinds.A, kinds.B, kinds.gamma(100_000))
    yield "mended", png.replace(b"gAMA", b"tEXt")
    frames = [Image.linear_gradient("L").resize((48, 32)).rotate(turn).convert("RGB") for turn in (0, 90, 180)]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:], duration=90, loop=0)
    yield "animation", moving.getvalue()


def rendered() -> dict[str, Any]:
    """The recipe of each preset, and the digests of its renditions."""
    found: dict[str, Any] = {}
    for preset in PRESETS:
        ladder = imaging.Ladder((160, 320), webp=True, avif=True, preset=preset, jpeg_width=240, preview=True)
        renditions = {name: digests(data, ladder) for name, data in pictures()}
        found[preset] = {"recipe": imaging.current_recipe(preset), "renditions": renditions}
    for name, data in of_every_kind():
        ladder = imaging.Ladder((32,), webp=True, avif=name == "animation", animations=name == "animation")
        found["balanced"]["renditions"][name] = digests(data, ladder)
    return found


def digests(data: bytes, ladder: imaging.Ladder) -> dict[str, str]:
    _, contents = develop(data, LIMITS, ladder, None)
    return {name: hashlib.sha256(content).hexdigest()[:16] for name, content in sorted(contents.items())}


def conflicts(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The presets that make other bytes of a picture that both have under the same recipe."""

    def differs(old: dict[str, Any], new: dict[str, Any]) -> bool:
        return any(new[name] != old[name] for name in new.keys() & old.keys())

    return [
        preset
        for preset, one in new.items()
        if one["recipe"] == old.get(preset, {}).get("recipe") and differs(old[preset]["renditions"], one["renditions"])
    ]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    old = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    new = rendered()
    if conflicts(old, new):
        print(REMEDY, file=sys.stderr)
        return 1
    GOLDEN.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
