"""The gate in front of the decoders: what a file claims to be, read from its header by the standard library alone.

Promises: no picture is decoded, and no byte allocated in its claimed size, before its bytes, format, sides,
pixels and JPEG scans are known to be within the limits. The claims are parsed here because opening is already
too late for WebP: libwebp allocates two whole canvases at `Image.open`, so that 34 bytes claiming 13000² cost
2.6 GB.

Left to others: whether the rest of the file keeps to its claims (the decoder, workers.rendering.imaging.codec), and
what a lying stream costs meanwhile (the worker's memory cap and the pool's job deadline).

    limits   what is taken, and the verdict on what is not
    formats  which one a file is, by the first bytes
    sizes    the sides that a header states; `jpeg` those of a JPEG, and its scans
    png      whether a PNG has what no decoder goes without
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from workers.rendering.imaging.gate.formats import sniff
from workers.rendering.imaging.gate.jpeg import check_scans, jpeg_size
from workers.rendering.imaging.gate.limits import FORMATS, BadPicture, Header, Limits, check_size
from workers.rendering.imaging.gate.png import check_png
from workers.rendering.imaging.gate.sizes import avif_sizes, gif_size, png_size, webp_size

__all__ = ["FORMATS", "BadPicture", "Header", "Limits", "check", "check_size", "inspect", "read", "sniff"]

_CLAIMS = {"JPEG": jpeg_size, "PNG": png_size, "WEBP": webp_size, "AVIF": avif_sizes, "GIF": gif_size}


def inspect(path: Path, limits: Limits) -> Header:
    """Pass the file at `path` or raise BadPicture. OSError (FileNotFoundError among them) comes through."""
    return check(read(path, limits), limits)


def read(path: Path, limits: Limits) -> bytes:
    """Return the whole file, or raise BadPicture before reading when it is empty or too large."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise BadPicture("empty file")
        if size > limits.max_bytes:
            raise BadPicture(f"too large: {size:,} bytes, at most {limits.max_bytes:,} (MAX_IMAGE_SIZE_BYTES)")
        return file.read(size)


def check(data: bytes, limits: Limits) -> Header:
    """Return the header of the picture in `data`; raise BadPicture when it breaks the limits or has none."""
    kind = sniff(data)
    try:
        sizes = list(_CLAIMS[kind](data))
        if kind == "JPEG":
            check_scans(data, limits.max_scans)
        if kind == "PNG":
            check_png(data)
    except (struct.error, IndexError) as error:
        raise BadPicture(f"truncated: the {kind} header ends after {len(data):,} bytes") from error
    if not sizes:
        raise BadPicture(f"damaged: the {kind} header states no size")
    for width, height in sizes:
        check_size(width, height, limits)
    if kind == "WEBP" and (stated := 8 + struct.unpack_from("<I", data, 4)[0]) > len(data):
        raise BadPicture(f"truncated: a WebP of {stated:,} bytes by its header has {len(data):,}")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return Header(kind, width, height)
