"""Whose fault a failure is: only decoding may blame the picture, and not where our decoder is broken."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL
import pytest
from PIL import GifImagePlugin, Image, ImageCms, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from pillow_avif import AvifImagePlugin

from tests.workers.rendering.imaging.test_codec import LADDER, LIMITS, encoded, quarters, without_svt
from tests.workers.rendering.imaging.test_scaler import only_with_simd
from workers.rendering import imaging
from workers.rendering.imaging import BadPicture, CodecFault
from workers.rendering.imaging.blame import is_ours
from workers.rendering.imaging.canaries import CANARIES
from workers.rendering.imaging.codec import decoder, encoder, pipeline, scaler
from workers.rendering.imaging.codec.pixels import colours
from workers.rendering.imaging.gate import check
from workers.rendering.imaging.presets import PRESETS

FILES = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}


def fault(folder: Path, data: bytes) -> CodecFault:
    (folder / "original").write_bytes(data)
    with pytest.raises(CodecFault) as caught:
        imaging.render(folder / "original", folder, LIMITS, LADDER, None)
    assert [path.name for path in folder.iterdir()] == ["original"]
    assert "no fault of the picture" in str(caught.value) and "bin/run retry" in str(caught.value)
    return caught.value


def failing(error: Exception, only: Callable[[Any], bool] = lambda _: True, otherwise: Any = None) -> Any:
    """A function that raises, where `only` says so of its first argument."""

    def fail(first: Any, *words: Any, **more: Any) -> Any:
        if only(first):
            raise error
        return otherwise(first, *words, **more)

    return fail


ERRORS = [AttributeError("gone"), ValueError("?"), OSError("broken data stream"), SyntaxError("x"), KeyError("mode")]


@pytest.mark.parametrize("kind", FILES)
def test_the_canaries_are_good(kind: str) -> None:
    header = check(CANARIES[kind], decoder.CANARY_LIMITS)
    assert (header.format, header.width, header.height) == (kind, 8, 8)
    with Image.open(io.BytesIO(CANARIES[kind])) as image:
        image.load()
        assert image.convert("L").getextrema() != (0, 0)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", FILES)
def test_a_broken_decoder_is_no_verdict_on_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, error: Exception
) -> None:
    monkeypatch.setattr(FILES[kind], "load", failing(error))
    found = fault(tmp_path, encoded(quarters(), kind))
    assert (found.codec, found.broken) == (f"{kind} decoder", True)
    assert type(error).__name__ in str(found)


def test_a_decoder_that_is_not_there_at_all_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's own word for it is that it cannot identify the file."""
    monkeypatch.delitem(Image.OPEN, "WEBP")
    assert fault(tmp_path, encoded(quarters(), "WEBP")).broken


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("name", ["WEBP", "AVIF"])
def test_a_broken_encoder_is_no_verdict_on_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    monkeypatch.setitem(Image.SAVE, name, failing(error))
    found = fault(tmp_path, encoded(quarters(), "PNG"))
    assert (found.codec, found.broken) == ({"WEBP": "WebP encoder", "AVIF": "AVIF encoder"}[name], True)


def on_this_picture(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Have the encoders fail on all but the canary."""
    for name in names:
        save = failing(ValueError("?"), lambda image: image.size != (8, 8), Image.SAVE[name])
        monkeypatch.setitem(Image.SAVE, name, save)


@pytest.mark.parametrize(("name", "left"), [("WEBP", "avif"), ("AVIF", "webp")])
def test_a_format_that_fails_on_this_picture_is_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch, name: str, left: str
) -> None:
    on_this_picture(monkeypatch, name)
    found, files = pipeline.develop(encoded(quarters(), "PNG"), LIMITS, LADDER, None)
    assert sorted(files) == [f"32.{left}", f"64.{left}"]
    assert [one.format for one in found.renditions] == [left, left]
    assert found.fallbacks[name.lower()] == f"{name.lower()} is left out: ValueError: ?"
    assert imaging.current_recipe("balanced", found.fallbacks) != imaging.current_recipe("balanced")


def test_where_no_format_is_left_it_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_this_picture(monkeypatch, "WEBP", "AVIF")
    assert ((found := fault(tmp_path, encoded(quarters(), "PNG"))).codec, found.broken) == ("WebP encoder", False)
    monkeypatch.undo()
    on_this_picture(monkeypatch, "AVIF")
    with pytest.raises(CodecFault):
        pipeline.develop(encoded(quarters(), "PNG"), LIMITS, imaging.Ladder((64,), webp=False, avif=True), None)


def test_a_preview_that_fails_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "preview_of", failing(ValueError("?")))
    ladder = imaging.Ladder((64,), webp=True, avif=False, jpeg_width=64, preview=True)
    found, files = pipeline.develop(encoded(quarters(), "PNG"), LIMITS, ladder, None)
    assert (sorted(files), found.preview_bytes) == (["64.jpg", "64.webp"], 0)
    assert found.fallbacks == {"preview": "preview is left out: ValueError: ?"}


class Panic(BaseException):
    """As PyO3's PanicException, which is no Exception either."""


@only_with_simd
def test_a_panic_of_the_scaler_is_no_end_of_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic() -> None:
        raise Panic("index out of bounds")

    monkeypatch.setattr(scaler.simd, "Resizer", panic)
    assert "RuntimeError: Panic: index out of bounds" in str(fault(tmp_path, encoded(quarters(), "PNG")))


def test_failing_to_shrink_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resize = Image.Image.resize
    monkeypatch.setattr(scaler, "simd", None)
    monkeypatch.setattr(Image.Image, "resize", failing(ValueError("?"), lambda image: image.width == 64, resize))
    data = encoded(Image.new("RGB", (64, 64)), "PNG")
    assert (found := fault(tmp_path, data)).codec == "scaler" and not found.broken


@pytest.mark.parametrize("method", ["transpose", "putalpha", "convert"])
def test_what_is_done_to_decoded_pixels_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Few pictures come there: a canary without alpha and orientation would not tell."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("RGBA", (96, 64), (9, 9, 9, 99)), "PNG", exif=exif.tobytes())
    monkeypatch.setattr(Image.Image, method, failing(ValueError("?")))
    assert (found := fault(tmp_path, data)).codec == "pixel converter" and found.broken


def test_an_error_of_our_own_lines_is_ours_though_others_decode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(colours, "through_profile")  # only pictures with a profile come there
    data = encoded(quarters(), "PNG", icc_profile=ImageCms.ImageCmsProfile(colours.SRGB).tobytes())
    assert not fault(tmp_path, data).broken
    (tmp_path / "another").mkdir()
    (tmp_path / "another" / "original").write_bytes(encoded(quarters(), "PNG"))
    imaging.render(tmp_path / "another" / "original", tmp_path / "another", LIMITS, LADDER, None)


def test_without_colour_conversion_no_picture_gets_other_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken profile is passed over, all profiles are not."""
    monkeypatch.setattr(ImageCms, "profileToProfile", failing(AttributeError("gone")))
    data = encoded(quarters(), "PNG", icc_profile=ImageCms.ImageCmsProfile(colours.SRGB).tobytes())
    assert (found := fault(tmp_path, data)).codec == "colour converter" and found.broken


def test_what_reads_exif_and_is_not_there_leaves_no_picture_lying_on_its_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {kind: encoded(quarters(), kind, quality=95, exif=exif) for kind in ("JPEG", "PNG", "AVIF")}
    monkeypatch.setitem(sys.modules, "PIL.TiffImagePlugin", None)
    monkeypatch.delattr(PIL, "TiffImagePlugin")
    for kind in ("JPEG", "AVIF"):
        assert "TiffImagePlugin" in str(fault(tmp_path, files[kind]))
    assert pipeline.develop(files["PNG"], LIMITS, LADDER, None)[0].height == 96, "it needs none"


def test_the_picture_is_blamed_where_others_decode(tmp_path: Path) -> None:
    for kind in FILES:
        (tmp_path / "original").write_bytes(encoded(quarters(), kind)[:-40])
        with pytest.raises(BadPicture):
            imaging.render(tmp_path / "original", tmp_path, LIMITS, LADDER, None)


def test_whose_an_error_is() -> None:
    def raised(call: Callable[[], Any]) -> BaseException:
        try:
            call()
        except Exception as error:
            return error
        raise AssertionError

    assert is_ours(raised(lambda: None.size))  # type: ignore[attr-defined]
    assert is_ours(raised(lambda: colours.plain(3)))  # type: ignore[arg-type]
    assert is_ours(raised(lambda: encoder.is_for_svt(Image)))  # type: ignore[arg-type]
    assert not is_ours(raised(lambda: pipeline.MIME["TIFF"]))
    assert not is_ours(raised(lambda: Image.open(io.BytesIO(b"nothing"))))
    assert not is_ours(raised(lambda: Image.new("RGB", (1, 1)).convert("nonsense")))
    assert not is_ours(ValueError("never raised"))


def test_a_fallback_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "balanced", without_svt())
    (tmp_path / "original").write_bytes(encoded(quarters(), "PNG"))
    rendered = imaging.render(tmp_path / "original", tmp_path, LIMITS, LADDER, None)
    assert [(one.width, one.format) for one in rendered.renditions] == [
        (32, "webp"),
        (32, "avif"),
        (64, "webp"),
        (64, "avif"),
    ]
    assert len(rendered.fallbacks) == 2
    assert next(iter(rendered.fallbacks.values())).startswith("SVT-AV1 at 64×43 pixels: ValueError: ")
