"""Sound pixels in an unsound file: what a browser passes over, taken out in memory so that the decoder passes too.

Pillow refuses a picture for its metadata: a checksum of a PNG's text, a JPEG's Photoshop resource that is cut short, an
Exif item of four bytes. A program that only shows the picture looks at nothing of that. So where a file is refused,
`mend` returns it without those parts; what was stored, and its digest, stay those of the file as it came.

Promises: never raises; returns the very same object where there is nothing to mend, always for a sound file; mended
once is mended for good; no pixel, palette, profile or orientation that can be read is touched; the result is never
larger, but for the last byte of a WebP, and for an AVIF's list of its items (64 KiB at most) where that is written
anew. Pure, and with bounds: nothing is inflated beyond what Pillow takes, and no more parts are looked at than a real
file has. It knows no limits: what comes out goes through the gate like any other file.

A JPEG without its end marker is a matter of its own: only decoding tells whether its pixels are all there. `endings`
gives what to decode for that.

    png jpeg webp gif        a module each: which of its parts are broken and not needed
    avif                     the same, and all else that its boxes say
    exif                     the first directory of a JPEG's Exif
    endings                  a JPEG without its end
    parts                    the bounds, and what the formats share
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from workers.rendering.imaging.containers import gif, jpeg, png, webp
from workers.rendering.imaging.containers.avif import mending as avif
from workers.rendering.imaging.containers.endings import endings
from workers.rendering.imaging.containers.parts import MAX_PARTS

__all__ = ["MAX_PARTS", "endings", "mend"]

_FORMATS: Final[tuple[tuple[bytes, int, Callable[[bytes], bytes]], ...]] = (
    (b"\x89PNG\r\n\x1a\n", 0, png.mend),
    (b"\xff\xd8\xff", 0, jpeg.mend),
    (b"WEBP", 8, webp.mend),
    (b"GIF8", 0, gif.mend),
    (b"ftyp", 4, avif.mend),
)
"""What a file of each format has at which offset, and what mends it."""


def mend(data: bytes) -> bytes:
    """The file without the broken parts that no browser minds; `data` itself where there are none."""
    for magic, at, how in _FORMATS:
        if data[at : at + len(magic)] == magic:
            try:
                mended = how(data)
            except (struct.error, IndexError):  # cut within what matters
                return data
            return data if mended == data else mended
    return data
