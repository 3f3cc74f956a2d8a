"""An original without what its camera and its editors wrote into it: place, time, device, comments.

Promises. The pixels, the orientation and the colour profile are those of the original, bit for bit: no picture is
decoded or encoded. EXIF, GPS, XMP, IPTC, comments, embedded thumbnails, unknown blocks and whatever is appended are
gone. The same bytes give the same bytes, and a stripped original gives itself. A file that isn't built as its format
says raises Unstrippable: better not published than published with something in it that was overlooked. An unforeseen
error is a StripperFault: ours, and no verdict on the file.

Left to others: whether the file is a picture at all (`workers.rendering.imaging.gate`), and what hides in the pixels
themselves.

    errors        Unstrippable, StripperFault
    orientation   the one thing that EXIF says of how the picture looks
    jpeg png webp gif   a module each: what of its blocks is kept
    avif          the same, with no byte moved
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

from ipc.files.spool import fsync_folder
from workers.stripping import avif, gif, jpeg, png, webp
from workers.stripping.errors import StripperFault, Unstrippable

__all__ = ["STRIPPERS", "StripperFault", "Unstrippable", "strip", "write_stripped"]

STRIPPERS: dict[str, Callable[[bytes], bytes]] = {
    "jpg": jpeg.strip,
    "png": png.strip,
    "webp": webp.strip,
    "avif": avif.strip,
    "gif": gif.strip,
}


def strip(data: bytes, extension: str) -> bytes:
    """The picture in `data`, a file of that extension, without metadata. Raises Unstrippable and StripperFault."""
    stripper = STRIPPERS.get(extension)
    if stripper is None:
        raise Unstrippable(f"nothing is known of {extension}")
    try:
        return stripper(data)
    except (Unstrippable, MemoryError):
        raise
    except (IndexError, ValueError, struct.error, RecursionError) as error:  # shorter than it says, or too deep
        raise Unstrippable(f"{extension}: {error}") from error
    except Exception as error:
        raise StripperFault(f"{extension}: {type(error).__name__}: {error}") from error


def write_stripped(original: Path, target: Path, extension: str) -> int:
    """Write the stripped original, complete and fsynced, as a new file `target`; its size in bytes.

    Raises Unstrippable, StripperFault, and OSError of the disk.
    """
    stripped = strip(original.read_bytes(), extension)
    target.unlink(missing_ok=True)  # never written over: the old one may have become an object by a hard link
    with target.open("xb") as file:
        file.write(stripped)
        file.flush()
        os.fsync(file.fileno())
    fsync_folder(target.parent)
    return len(stripped)
