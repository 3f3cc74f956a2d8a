"""WebP: RIFF chunks of kind, length and content, padded to even."""

from __future__ import annotations

import struct

from workers.rendering.imaging.containers.parts import MAX_PARTS


def mend(data: bytes) -> bytes:
    stated = 8 + struct.unpack_from("<I", data, 4)[0]
    limit = min(stated, len(data))
    at, kept, has_pixels = 12, [], False
    for _ in range(MAX_PARTS):
        kind, length = struct.unpack_from("<4sI", data, at) if at + 8 <= limit else (b"", 0)
        end = at + 8 + length
        if not kind or end > limit:
            break
        has_pixels = has_pixels or kind in (b"VP8 ", b"VP8L", b"ANMF")
        kept.append(data[at:end] + bytes(end & 1))  # the byte that pads the last one may be missing
        at = end + (end & 1)
    else:
        return data
    body = b"".join(kept)
    if not has_pixels or (stated <= len(data) and at <= limit):
        return data
    kinds = {one[:4] for one in kept}
    if kept[0][:4] == b"VP8X":  # it says which of the optional chunks there are
        absent = (0x08 if b"EXIF" not in kinds else 0) | (0x04 if b"XMP " not in kinds else 0)
        body = body[:8] + bytes([body[8] & ~absent]) + body[9:]
    return data[:4] + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
