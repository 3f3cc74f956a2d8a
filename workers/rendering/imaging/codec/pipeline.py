"""The way from a file to its renditions: read, check, decode, encode, write."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ipc.files.spool import PREVIEW
from ipc.jobs import Rendition
from workers.rendering.imaging.blame import encoding
from workers.rendering.imaging.codec.animation import animate
from workers.rendering.imaging.codec.decoder import Decoded, open_picture
from workers.rendering.imaging.codec.encoder import encode_ladder
from workers.rendering.imaging.codec.mending import mended
from workers.rendering.imaging.codec.pillow import strict_pillow
from workers.rendering.imaging.codec.pixels.appearance import appearance_canary, appearance_of
from workers.rendering.imaging.gate import BadPicture, Limits, read
from workers.rendering.imaging.ladder import Ladder, Rendered, jpeg_size
from workers.rendering.imaging.motion import MOST_SECONDS
from workers.rendering.imaging.selection import kept, worth_moving

MIME = {
    "JPEG": ("image/jpeg", "jpg"),
    "PNG": ("image/png", "png"),
    "WEBP": ("image/webp", "webp"),
    "AVIF": ("image/avif", "avif"),
    "GIF": ("image/gif", "gif"),
}
"""Type and file extension of each format."""


def render(
    original: Path,
    target: Path,
    limits: Limits,
    ladder: Ladder,
    cap_bytes: int | None,
    threads: int = 1,
    seconds: float = MOST_SECONDS,
) -> Rendered:
    """Write into `target` a file for each rendition of `original` (see `Rendition.file`), and the preview; all are on
    disk when this returns.

    `target` is an existing folder. `cap_bytes` is the process's RLIMIT_DATA, None when there is none. Up to `threads`
    renditions are encoded at once, fewer where that might pass the cap. `seconds` of CPU time are for what moves; where
    they are not enough, the first frame stands for an animation. Raises BadPicture, CodecFault, OutOfMemory, or OSError
    of reading the original or writing the target, which may then hold incomplete files.
    """
    data = read(original, limits)
    rendered, contents = develop(data, limits, ladder, cap_bytes, threads, seconds)
    _write(target, contents)
    return rendered


def develop(
    data: bytes,
    limits: Limits,
    ladder: Ladder,
    cap_bytes: int | None,
    threads: int = 1,
    seconds: float = MOST_SECONDS,
) -> tuple[Rendered, dict[str, bytes]]:
    """`render` without the disk: what it returns, and the contents of the files by name."""
    with strict_pillow(limits):
        try:
            header, gauge, decoded = open_picture(data, len(data), limits, ladder, cap_bytes)
        except BadPicture:
            better = mended(data, limits, cap_bytes)
            if better is None:
                raise
            header, gauge, decoded = open_picture(better, 2 * len(data), limits, ladder, cap_bytes)
            data = better
        moving = animate(data, header, decoded, ladder, gauge, seconds, threads)
        moves = bool(moving.steps)
        files, fallbacks, smallest = encode_ladder(decoded.picture, decoded.steps, ladder, gauge, threads, moves=moves)
        with encoding("pixel converter", gauge, appearance_canary):
            appearance = appearance_of(smallest, decoded.frames, animated=moves)
    files |= moving.files
    renditions = kept(_renditions(decoded, moving.steps or decoded.steps, ladder, files))
    if moves:
        renditions = worth_moving(renditions, len(data))
    names = [one.file for one in renditions] + [PREVIEW] * (PREVIEW in files)
    replaced = {name: why for name, why in fallbacks.items() if name in names or name not in files}
    replaced |= {"animation encoder" if moving.is_fault else "animation": moving.why} if moving.why else {}
    preview_bytes = len(files.get(PREVIEW, b""))
    rendered = Rendered(*MIME[header.format], *decoded.size, renditions, appearance, preview_bytes, replaced)
    return rendered, {name: files[name] for name in names}


def _renditions(
    decoded: Decoded, steps: list[tuple[int, int]], ladder: Ladder, files: Mapping[str, bytes]
) -> Iterator[Rendition]:
    """All of which there are files, by width; of one width WebP, AVIF and JPEG. `steps`: those of WebP and AVIF."""
    made = [Rendition(*step, name, 0) for step in steps for name in ladder.formats]
    jpeg = jpeg_size(decoded.steps, ladder)
    if jpeg:
        made.append(Rendition(*jpeg, "jpeg", 0))
    for one in sorted(made, key=lambda one: one.width):
        if one.file in files:
            yield replace(one, bytes=len(files[one.file]))


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
