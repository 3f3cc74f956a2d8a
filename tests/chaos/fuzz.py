"""Coverage-guided fuzzing of all that sees a stranger's bytes: gate, container repair, decoders, ladder, stripping.

    python -m tests.chaos.fuzz FOLDER [libFuzzer's arguments, as -max_total_time=3600]

It needs `atheris`, which the tests don't install. FOLDER keeps what was found interesting; a find is written to the
working folder as crash-…, timeout-… or oom-…, and goes into the tests once it is mended.
"""

from __future__ import annotations

import contextlib
import io
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

atheris: Any = __import__("atheris")  # no types, and not in the tests' environment

with atheris.instrument_imports(include=["workers.rendering.imaging", "workers.stripping"]):
    from workers import stripping
    from workers.rendering import imaging
    from workers.rendering.imaging import containers

from PIL import Image  # noqa: E402 - ours must be imported first, to be instrumented

from tests.chaos import hostile  # noqa: E402

LIMITS = imaging.Limits(max_bytes=2**20, max_dimension=2000, max_pixels=2_000_000)
"""Small: what a large picture costs is known, and says nothing new."""

LADDER = imaging.Ladder((24,), webp=True, avif=False, jpeg_width=24)
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif", "image/avif": "avif"}


def try_one(folder: Path, data: bytes) -> None:
    """Everything ends in a picture that can be shown or in a verdict, never in a fault of ours."""
    original = folder / "original"
    original.write_bytes(data)
    containers.mend(data)
    with contextlib.suppress(imaging.BadPicture):
        done = imaging.render(original, folder, LIMITS, LADDER, None)
        for one in done.renditions:
            with Image.open(folder / one.file) as image:
                image.load()
                assert image.size == (one.width, one.height)
        with contextlib.suppress(stripping.Unstrippable):
            stripping.strip(data, done.extension)
    for extension in EXTENSIONS.values():
        with contextlib.suppress(stripping.Unstrippable):
            stripping.strip(data, extension)


def sow(folder: Path) -> None:
    """Put a small picture of each kind into the corpus, and the hostile ones."""
    dice = random.Random(1)
    noise = hostile.noisy(dice, (24, 18))
    seeds = [
        hostile.saved(noise.convert(mode), form)
        for mode, form in (
            ("RGB", "JPEG"),
            ("L", "JPEG"),
            ("CMYK", "JPEG"),
            ("RGBA", "PNG"),
            ("P", "PNG"),
            ("I;16", "PNG"),
            ("LA", "PNG"),
            ("1", "PNG"),
            ("RGBA", "WEBP"),
            ("P", "GIF"),
            ("RGBA", "AVIF"),
        )
    ]
    exif = Image.Exif()
    exif[0x0112] = 6
    for form in ("JPEG", "PNG", "WEBP", "AVIF"):
        seeds.append(hostile.saved(noise, form, exif=exif.tobytes(), icc_profile=bytes(128)))
    for form in ("GIF", "WEBP", "AVIF"):
        frames = [hostile.noisy(dice, (24, 18)) for _ in range(2)]
        seeds.append(hostile.saved(frames[0], form, save_all=True, append_images=frames))
    seeds.append(hostile.saved(noise, "JPEG", progressive=True))
    seeds.append(hostile.saved(noise, "WEBP", lossless=True))
    seeds += [one.data for one in hostile.make(1, 300) if 0 < len(one.data) < 4096]
    for number, data in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(data)


def main() -> None:
    corpus = Path(sys.argv[1])
    if not corpus.is_dir():
        corpus.mkdir(parents=True)
        sow(corpus)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        atheris.Setup(
            [sys.argv[0], "-max_len=8192", "-timeout=20", "-rss_limit_mb=1500", *sys.argv[2:], str(corpus)],
            lambda data: try_one(folder, data),
        )
        with contextlib.redirect_stdout(io.StringIO()):
            atheris.Fuzz()


if __name__ == "__main__":
    main()
