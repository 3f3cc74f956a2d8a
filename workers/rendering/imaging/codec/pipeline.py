"""From the file to its renditions: read, check, decode, encode, write."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from ipc.jobs import Rendition
from workers.rendering.imaging.codec.decoder import open_picture
from workers.rendering.imaging.codec.encoder import encode_ladder
from workers.rendering.imaging.codec.mending import mended
from workers.rendering.imaging.codec.pillow import strict_pillow
from workers.rendering.imaging.gate import BadPicture, Limits, read
from workers.rendering.imaging.ladder import Ladder, Rendered
from workers.rendering.imaging.selection import kept

MIME = {
    "JPEG": ("image/jpeg", "jpg"),
    "PNG": ("image/png", "png"),
    "WEBP": ("image/webp", "webp"),
    "AVIF": ("image/avif", "avif"),
    "GIF": ("image/gif", "gif"),
}
"""Type and file extension of each format."""


def render(
    original: Path, target: Path, limits: Limits, ladder: Ladder, cap_bytes: int | None, threads: int = 1
) -> Rendered:
    """Write `target`/{width}.{format} for each rendition of `original`; all are on disk when this returns.

    `target` is an existing folder. `cap_bytes` is the process's RLIMIT_DATA, None when there is none. Up to `threads`
    renditions are encoded at once, fewer where that might pass the cap. Raises BadPicture, CodecFault, OutOfMemory, or
    OSError of reading the original or writing the target, which may then hold incomplete files.
    """
    data = read(original, limits)
    rendered, contents = develop(data, limits, ladder, cap_bytes, threads)
    _write(target, contents)
    return rendered


def develop(
    data: bytes, limits: Limits, ladder: Ladder, cap_bytes: int | None, threads: int = 1
) -> tuple[Rendered, dict[str, bytes]]:
    """`render` without the disk: what it returns, and the contents of the files by name."""
    with strict_pillow(limits):
        try:
            header, gauge, (size, steps, picture) = open_picture(data, len(data), limits, ladder, cap_bytes)
        except BadPicture:
            better = mended(data, limits, cap_bytes)
            if better is None:
                raise
            header, gauge, (size, steps, picture) = open_picture(better, 2 * len(data), limits, ladder, cap_bytes)
        contents, fallbacks = encode_ladder(picture, steps, ladder, gauge, threads)
    renditions = kept(
        Rendition(*step, name, len(contents[f"{step[0]}.{name}"])) for step in steps for name in ladder.formats
    )
    names = [f"{one.width}.{one.format}" for one in renditions]
    replaced = {name: why for name, why in fallbacks.items() if name in names or name == "trial"}
    return Rendered(*MIME[header.format], *size, renditions, replaced), {name: contents[name] for name in names}


def _write(target: Path, files: dict[str, bytes]) -> None:
    """Write all, then fsync each and the folder: the kernel can batch them. OSError comes through.

    Each is a new file, never an old one written over: that one may have become an object by a hard link.
    """
    with ExitStack() as stack:
        handles = []
        for name, content in files.items():
            (target / name).unlink(missing_ok=True)
            handle = stack.enter_context((target / name).open("xb"))
            handle.write(content)
            handle.flush()
            handles.append(handle)
        for handle in handles:
            os.fsync(handle.fileno())
    folder = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
