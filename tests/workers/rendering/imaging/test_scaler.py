"""The scaler beside Pillow's own, which stands in for it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
from PIL import Image, ImageChops, ImageStat

from supervisor.home import HOME
from workers.rendering.imaging.codec import scaler
from workers.rendering.imaging.codec.scaler import Box, resized

only_with_simd = pytest.mark.skipif(platform.machine() != "x86_64", reason="there is none for this machine")

SHORT_OF_MEMORY = """
import resource
from PIL import Image
from ipc.kernel import proc
from workers.rendering.imaging.codec import scaler
picture = Image.new("{mode}", (6000, 4000), "teal")
for mebibytes in range(4, 200, 8):
    cap = proc.process_sizes()["VmData"] + mebibytes * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (cap, resource.RLIM_INFINITY))
    try:
        scaler.resized(picture, (1920, 1280))
    except MemoryError:
        print("short", end=" ")
    else:
        print("enough")
        break
"""


def colourful(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """Soft, with edges, and clear in places where the mode has alpha. Larger than one of Pillow's blocks of memory."""
    bands = [Image.effect_noise((size[0] // part, size[1] // part), 60).resize(size) for part in (7, 23, 51, 90)]
    return Image.merge(mode, bands[: len(Image.new(mode, (1, 1)).getbands())])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize(
    ("size", "box"), [((1280, 960), None), ((333, 251), None), ((1200, 630), (40.5, 300.25, 2500.0, 1591.75))]
)
def test_it_comes_near_to_pillows_lanczos(mode: str, size: tuple[int, int], box: Box | None) -> None:
    picture = colourful((2560, 1920), mode)
    made = resized(picture, size, box)
    assert (made.mode, made.size) == (mode, size)
    difference = ImageChops.difference(made, picture.resize(size, Image.Resampling.LANCZOS, box=box))
    limit = 1.2 if mode == "RGBA" else 0.6  # the colour of what is almost clear is rounded coarsely by both
    assert max(ImageStat.Stat(difference).mean) < limit


def test_it_enlarges_as_pillows_bicubic_does() -> None:
    picture = colourful((300, 200))
    difference = ImageChops.difference(
        resized(picture, (1200, 800)), picture.resize((1200, 800), Image.Resampling.BICUBIC)
    )
    assert max(ImageStat.Stat(difference).mean) < 0.6


def test_what_is_clear_lends_no_colour() -> None:
    picture = Image.new("RGBA", (400, 400), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 201, 400))
    red, _, blue, alpha = resized(picture, (100, 100)).crop((50, 50, 51, 51)).tobytes()
    assert 0 < alpha < 255
    assert (red < 10, blue > 245) == (True, True)


def test_without_it_pillow_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = colourful((640, 480))
    monkeypatch.setattr(scaler, "simd", None)
    assert resized(picture, (320, 240)).tobytes() == picture.resize((320, 240), Image.Resampling.LANCZOS).tobytes()
    assert resized(picture, (640, 480)) is picture


@only_with_simd
def test_every_processor_makes_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = colourful((641, 479))
    makes = scaler.simd.Resizer

    def plainest() -> object:
        one = makes()
        one.cpu_extensions = scaler.simd.CpuExtensions.none
        return one

    made = resized(picture, (320, 240))
    monkeypatch.setattr(scaler.simd, "Resizer", plainest)
    assert resized(picture, (320, 240)).tobytes() == made.tobytes()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_short_memory_is_an_error_and_not_the_end(mode: str) -> None:
    command = [sys.executable, "-P", "-c", SHORT_OF_MEMORY.format(mode=mode)]
    done = subprocess.run(command, cwd=HOME, env={"PYTHONPATH": str(HOME)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "short" and done.stdout.split()[-1] == "enough"
