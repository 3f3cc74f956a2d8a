"""What each preset makes of real photographs, by a metric: encoders change their bytes with every version."""

from __future__ import annotations

import dataclasses
import io

import pytest
from PIL import Image, ImageMath

from supervisor.home import HOME
from supervisor.settings.table import ImagesSettings
from tests.workers.rendering.imaging.test_codec import LIMITS
from workers.rendering.imaging import Ladder
from workers.rendering.imaging.codec import pipeline
from workers.rendering.imaging.presets import PRESETS

PHOTOS = HOME / "examples" / "export" / "photos"
PHOTOGRAPHS = ("photo_2@05-10-2025_19-31-08.jpg", "photo_8@26-10-2025_01-59-30.jpg")
WIDTHS = (160, 480)
BLOCK = 8
LEAST = {"balanced": 0.955, "fast": 0.955, "small": 0.96}
"""Of luma, in gamma space, of the worst rendition; they have 0.9615, 0.9615 and 0.9674."""


def ssim(one: Image.Image, other: Image.Image) -> float:
    """The mean SSIM of luma over blocks of 8 × 8 pixels, in gamma space: on sRGB's values, not on linear light."""
    x, y = (image.convert("L").convert("F") for image in (one, other))
    product = [ImageMath.lambda_eval(lambda args: args["a"] * args["b"], a=a, b=b) for a, b in ((x, x), (y, y), (x, y))]
    names = ("mx", "my", "xx", "yy", "xy")
    means = {name: image.reduce(BLOCK) for name, image in zip(names, (x, y, *product), strict=True)}
    luma, structure = 6.5025, 58.5225  # SSIM's constants: (.01 × 255)² and (.03 × 255)²
    found = ImageMath.lambda_eval(
        lambda m: (
            (2 * m["mx"] * m["my"] + luma)
            * (2 * (m["xy"] - m["mx"] * m["my"]) + structure)
            / (m["mx"] * m["mx"] + m["my"] * m["my"] + luma)
            / (m["xx"] - m["mx"] * m["mx"] + m["yy"] - m["my"] * m["my"] + structure)
        ),
        **means,
    )
    values: list[float] = list(found.get_flattened_data())
    return sum(values) / len(values)


def test_the_metric_knows_the_same_from_the_spoilt() -> None:
    noise = Image.effect_noise((64, 64), 60)
    assert ssim(noise, noise) == pytest.approx(1)
    assert ssim(noise, noise.resize((16, 16)).resize((64, 64))) < 0.5


@pytest.mark.parametrize("preset", PRESETS)
def test_renditions_are_near_a_lanczos_from_full_size(preset: str) -> None:
    ladder = Ladder(WIDTHS, webp=True, avif=True, preset=preset)
    for name in PHOTOGRAPHS:
        data = (PHOTOS / name).read_bytes()
        _, contents = pipeline.develop(data, LIMITS, ladder, None)
        full = Image.open(io.BytesIO(data))
        for file, content in contents.items():
            made = Image.open(io.BytesIO(content))
            found = ssim(made, full.resize(made.size, Image.Resampling.LANCZOS))
            assert found > LEAST[preset], (file, name, found)


def test_the_setting_offers_every_preset() -> None:
    rule = next(field.metadata["rule"] for field in dataclasses.fields(ImagesSettings) if field.name == "preset")
    assert list(rule.choices) == list(PRESETS)
    assert ImagesSettings().preset == Ladder((), webp=True, avif=True).preset == "balanced"
