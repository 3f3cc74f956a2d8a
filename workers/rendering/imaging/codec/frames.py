"""The frames of an animation, each as a browser composes it, one after the other."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from workers.rendering.imaging.containers import gif
from workers.rendering.imaging.containers.avif import sequences
from workers.rendering.imaging.motion import shown_for

_CLEARED, _AS_BEFORE = 2, 3
"""What becomes of a GIF's frame: see `gif.Frame`."""


class Frame(NamedTuple):
    """The whole canvas, and how long it is shown in ms."""

    picture: Image.Image
    milliseconds: int


def frames_of(data: bytes, kind: str) -> Iterator[Frame]:
    """Yield each frame. What is wrong with one is raised as Pillow does, after those before it."""
    return _gif_frames(data) if kind == "GIF" else _pillow_frames(data, kind)


def plays_of(data: bytes, kind: str) -> int:
    """Number of times that all frames are shown; 0 for ever."""
    if kind == "GIF":
        return gif.plays(data)
    if kind == "AVIF":
        return sequences.plays(data)
    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        return int(image.info.get("loop", 0))


def _pillow_frames(data: bytes, kind: str) -> Iterator[Frame]:
    """The frames as Pillow composes them: libwebp and libavif do it, and Pillow itself for an APNG."""
    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        first = int(getattr(image, "default_image", False))  # of a PNG: it is not part of the animation
        for number in range(first, int(getattr(image, "n_frames", 1))):
            image.seek(number)
            image.load()
            yield Frame(image, shown_for(image.info.get("duration", 0)))


def _gif_frames(data: bytes) -> Iterator[Frame]:
    """Composed here: Pillow gives a background colour to what browsers leave clear."""
    with Image.open(io.BytesIO(data), formats=("GIF",)) as image:
        canvas = Image.new("RGBA", image.size)
    for frame in gif.split(data):
        with Image.open(io.BytesIO(frame.data), formats=("GIF",)) as image:
            part = image.convert("RGBA")
        before = canvas.copy() if frame.disposal == _AS_BEFORE else canvas
        canvas.paste(part, frame.corner, part)
        yield Frame(canvas.copy(), shown_for(frame.milliseconds))
        if frame.disposal == _CLEARED:
            canvas.paste((0, 0, 0, 0), (*frame.corner, frame.corner[0] + part.width, frame.corner[1] + part.height))
        canvas = before
