"""The clean aperture of an AVIF (clap): the part of the decoded picture that browsers show."""

from __future__ import annotations

import struct
from fractions import Fraction

from workers.rendering.imaging.containers.avif import properties

Size = tuple[int, int]


def shown(data: bytes, size: Size) -> Size:
    """The sides in px of the part that is shown, from the upper left corner, of a picture decoded to `size`. It is cut
    out before the picture is turned or mirrored.

    Chromium 150 shows such a part only where it begins in that corner, and all of the picture otherwise: a part that
    begins elsewhere is passed over. The first clap of several counts.
    """
    try:
        content = next((content for kind, content in properties.shown(data) if kind == b"clap"), b"")
        numbers = struct.unpack_from(">8i", content) if content else ()
    except (struct.error, IndexError):
        return size
    if not numbers or min(numbers[1::2]) <= 0:
        return size
    width, height, across, down = (Fraction(*numbers[at : at + 2]) for at in range(0, 8, 2))
    left, top = (size[0] - width) / 2 + across, (size[1] - height) / 2 + down
    part = (int(width), int(height))
    is_whole_pixels = part[0] == width and part[1] == height
    is_within = 0 < width <= size[0] and 0 < height <= size[1]
    return part if is_whole_pixels and is_within and left == 0 and top == 0 else size
