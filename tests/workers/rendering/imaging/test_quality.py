"""The quality that a trial of the picture chooses, and lossless screenshots."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageStat

from workers.rendering.imaging import quality
from workers.rendering.imaging.codec import encoder
from workers.rendering.imaging.codec.pillow import saved
from workers.rendering.imaging.codec.trial import OPTIONS, detail, tried
from workers.rendering.imaging.memory import Gauge
from workers.rendering.imaging.presets import PRESETS
from workers.rendering.imaging.quality import LEAST, MOST, SHORTEST, TRIAL_PIXELS, Trial, shift, shifted

BALANCED = PRESETS["balanced"]
GAUGE = Gauge.start("a test", 0, None)
TRIAL = Trial(60_000, fine=0.1, coarse=0.002, colour=0.05, detail=2.0, lightness=110.0, steepness=3.0)


def smooth(size: tuple[int, int] = (640, 480)) -> Image.Image:
    return Image.radial_gradient("L").resize(size).convert("RGB")


def grainy(size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Grain that AVIF takes for nothing, on a dark ground: where a fixed quality is worst."""
    grain = Image.effect_noise((size[0] // 2, size[1] // 2), 14).resize(size, Image.Resampling.BICUBIC)
    return ImageChops.multiply(smooth(size), Image.merge("RGB", [grain] * 3))


def screenshot(size: tuple[int, int] = (640, 480)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    for line in range(10, size[1] - 20, 18):
        pen.text((10, line), f"line {line}: the quick brown fox jumps over the lazy dog", fill=(20, 20, 60), font=font)
    pen.rectangle((0, 0, size[0], 8), fill=(40, 90, 200))
    return image


def trial_of(picture: Image.Image) -> Trial:
    trial, _ = encoder.trial_of(picture, GAUGE)
    assert trial is not None
    return trial


def quality_of(picture: Image.Image) -> int:
    value = encoder.settings_for(picture, trial_of(picture), BALANCED).avif_svt["quality"]
    assert isinstance(value, int)
    return value


def test_grain_gets_a_higher_quality_than_a_smooth_picture() -> None:
    own = BALANCED.avif_svt["quality"]
    assert quality_of(smooth()) < own < quality_of(grainy())


def test_a_trial_says_the_same_again_and_is_small() -> None:
    picture = grainy((1500, 700))
    assert trial_of(picture) == trial_of(picture.copy())
    assert 0.6 * TRIAL_PIXELS < trial_of(picture).pixels <= TRIAL_PIXELS
    assert trial_of(grainy((200, 150))).pixels == 30_000, "never enlarged"


def test_what_is_the_same_has_lost_nothing() -> None:
    found = tried(grainy(), OPTIONS | {"quality": 100, "subsampling": "4:4:4"})
    worse = tried(grainy(), OPTIONS | {"quality": 10})
    assert found
    assert worse
    assert (found.fine, found.coarse, found.colour) < (0.1, 0.002, 0.01)
    assert (worse.fine > 3 * found.fine, worse.coarse > 3 * found.coarse) == (True, True)


@pytest.mark.parametrize("size", [(SHORTEST - 1, 400), (4000, 30), (1, 1)])
def test_too_small_for_a_trial(size: tuple[int, int]) -> None:
    assert encoder.trial_of(smooth(size), GAUGE) == (None, "")
    assert encoder.settings_for(smooth(size), None, BALANCED) is BALANCED


def test_what_cannot_be_seen_does_not_count() -> None:
    picture = grainy()
    picture.putalpha(Image.new("L", picture.size, 0))
    assert trial_of(picture).fine == pytest.approx(0, abs=0.01), "grey stands behind it"


def test_a_trial_that_fails_is_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIONS, "format", "none")
    trial, why = encoder.trial_of(smooth(), GAUGE)
    assert trial is None and "trial failed" in why


def test_detail_counts_steps_across_and_down() -> None:
    assert detail(Image.new("RGB", (64, 64), "teal")) == 0
    ramp = Image.linear_gradient("L").convert("RGB")  # 256 rows, one step each
    assert detail(ramp) == pytest.approx(0.5, abs=0.01)
    assert detail(ramp.transpose(Image.Transpose.ROTATE_90)) == pytest.approx(0.5, abs=0.01)
    assert detail(Image.new("RGB", (1, 1))) == 0


def test_a_trial_tells_how_light_the_picture_is_and_how_steep_its_edges_are() -> None:
    dark, light = (trial_of(Image.new("RGB", (320, 190), (level, level, level))) for level in (20, 200))
    assert dark.lightness == pytest.approx(20, abs=1) and dark.steepness == 0
    assert light.lightness == pytest.approx(200, abs=1)
    stripes = Image.new("RGB", (320, 190))
    for left in range(0, 320, 8):  # every fourth pair of neighbours in a row is 100 apart, and none in a column
        stripes.paste((100, 100, 100), (left, 0, left + 4, 190))
    assert trial_of(stripes).steepness == pytest.approx(math.log2(101), abs=0.01)
    assert trial_of(stripes.filter(ImageFilter.GaussianBlur(3))).steepness < 4
    dots = Image.new("RGB", (320, 190))
    dots.paste((100, 100, 100), (0, 0, 4, 190))
    assert trial_of(dots).steepness == 0, "less than a tenth of it"


losses = st.floats(0, 1)
logs = st.floats(0, 8)


@given(losses, losses, losses, logs, st.integers(1, 70_000_000), logs, st.floats(0, 255), logs)
def test_an_odd_picture_stays_in_the_bounds(
    fine: float, coarse: float, colour: float, before: float, pixels: int, after: float, light: float, steep: float
) -> None:
    by = shift(Trial(60_000, fine, coarse, colour, before, light, steep), pixels, after)
    assert LEAST <= by <= MOST
    for preset in PRESETS.values():
        moved = shifted(preset, by)
        for options, own in ((moved.avif_svt, preset.avif_svt), (moved.avif_aom, preset.avif_aom)):
            assert options["quality"] == own["quality"] + by
            assert 0 < options["quality"] < 100
            assert options | {"quality": 0} == own | {"quality": 0}
        assert moved.webp == preset.webp


def test_more_loss_asks_for_more_quality() -> None:
    base = shift(TRIAL, 60_000, 2.0)
    for worse in (replace(TRIAL, fine=0.3), replace(TRIAL, coarse=0.004), replace(TRIAL, colour=0.3)):
        assert shift(worse, 60_000, 2.0) > base
    assert shift(replace(TRIAL, lightness=40.0), 60_000, 2.0) > base > shift(replace(TRIAL, steepness=5.0), 60_000, 2.0)
    assert len(quality.FITTED) == len(quality.terms(TRIAL, 60_000, 2.0))


def test_a_screenshot_is_lossless_where_that_is_smaller() -> None:
    picture = screenshot()
    content, why = encoder.encode_webp(picture, GAUGE, BALANCED)
    assert not why
    assert content[12:16] == b"VP8L"
    assert len(content) < len(saved(picture, BALANCED.webp)), "smaller, and nothing is lost"
    assert ImageChops.difference(Image.open(io.BytesIO(content)).convert("RGB"), picture).getbbox() is None


def test_a_photograph_is_not_tried_lossless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "LOSSLESS", {"format": "none"})
    picture = Image.merge("RGB", [Image.effect_noise((160, 120), 60).filter(ImageFilter.BoxBlur(1)) for _ in range(3)])
    assert encoder.encode_webp(picture, GAUGE, BALANCED)[0][12:16] == b"VP8 "


def test_where_lossless_fails_the_lossy_one_is_kept_and_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "LOSSLESS", {"format": "none"})
    content, why = encoder.encode_webp(screenshot(), GAUGE, BALANCED)
    assert content[12:16] == b"VP8 "
    assert why.startswith("lossless WebP at ") and "KeyError" in why


def test_few_colours_but_smaller_with_loss() -> None:
    """Sixty-four shades of grain: lossless is several times larger."""
    picture = Image.effect_noise((160, 120), 60).quantize(64).convert("RGB")
    assert encoder.has_few_colours(picture)
    assert encoder.encode_webp(picture, GAUGE, BALANCED)[0][12:16] == b"VP8 "


def test_golden_avif_comes_close_to_the_picture() -> None:
    """By metric, in gamma space, not by bytes: the mean difference of luma in steps of 255."""
    for picture in (smooth(), grainy(), screenshot()):
        settings = encoder.settings_for(picture, trial_of(picture), BALANCED)
        content, _ = encoder.encode(picture, "avif", GAUGE, settings)
        again = Image.open(io.BytesIO(content)).convert("L")
        assert ImageStat.Stat(ImageChops.difference(again, picture.convert("L"))).mean[0] < 2.5
