"""Decode, shrink, encode: one picture into its ladder, a JPEG, a preview and its appearance. The home of Pillow.

Promises: `render` ends in every rendition on disk, complete and fsynced; or in BadPicture, a verdict on the
picture; or in CodecFault or OutOfMemory, no verdict; or in the OSError of the disk. The same file gives the same bytes.
Renditions are sRGB, upright, never larger than the original, and hold no metadata (no GPS, no comment); those of an
animation move within limits, or else show its first frame.

Left to others: time (the pool's job deadline), crashes of a decoder and the cap itself (the pool), naming and
removing what `render` wrote. The image worker's sandbox shuts a decoder off from network and files
(`supervisor.child.sandbox`); it allows to read, write and fsync the target folder.

    pipeline   from the file to its renditions, each step in its order
    decoder    the picture, upright, at the size of its largest rendition
    pixels     its colours in sRGB, what of it is clear, its preview, and what it looks like in a few bytes
    encoder    as WebP and AVIF, each width; once as JPEG
    frames     those of an animation, composed
    animation  what moves of it
    side_by_side  several renditions at once, on threads
    mending    a refused file without what a browser passes over
    warming    each codec used once, before the first picture
    versions   which libraries make a rendition's bytes
    pillow     Pillow's own settings and errors
"""

from __future__ import annotations

import os

# Before the encoder's first use: it writes to stderr otherwise; with "0", too, when it gets no thread or memory.
os.environ["SVT_LOG"] = "-1"

from workers.rendering.imaging.codec.pipeline import render
from workers.rendering.imaging.codec.versions import current_recipe
from workers.rendering.imaging.codec.warming import warm_up

__all__ = ["current_recipe", "render", "warm_up"]
