"""Files that mean harm, made from a seed: small, every one with a name that says what is wrong with it.

Some of them are pictures all the same, as far as anybody can tell (a flipped bit in the pixels; an animation of four
thousand frames, of which one is wanted): `is_surely_dead` says of which kind that cannot be.
"""

from __future__ import annotations

import io
import os
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF")


@dataclass(frozen=True, slots=True)
class Hostile:
    """One file: what it is, its bytes, whether nobody could show it. Of an ill name, `name` is that, and no bytes."""

    what: str
    data: bytes = b""
    is_surely_dead: bool = True
    name: str = ""


def make(seed: int, count: int) -> list[Hostile]:
    """That number of files: each bomb and each ill name once, the rest truncated and bit-flipped pictures."""
    dice = random.Random(seed)
    made = [*_nothings(dice), *_fixed()]
    made += list(_damaged(dice, count - len(made)))
    dice.shuffle(made)
    assert len(made) == count, "more kinds than files"
    return made


@cache
def _fixed() -> tuple[Hostile, ...]:
    """Those that no seed changes: some of them take seconds to make."""
    return (*_bombs(), *_swarms(), *_liars(), *_empty_sides(), *_polyglots(), *_names())


def lay_traps(folder: Path) -> None:
    """Put what ill names lead to into an export's folder."""
    photos = folder / "photos"
    (photos / "out.jpg").symlink_to("/etc/hostname")
    (photos / "up.jpg").symlink_to("../../../../../../etc/hostname")
    (photos / "loop.jpg").symlink_to("loop.jpg")
    (photos / "folder.jpg").mkdir()
    os.mkfifo(photos / "pipe.jpg")


# Truncated and bit-flipped


def _damaged(dice: random.Random, count: int) -> Iterator[Hostile]:
    whole = {form: saved(noisy(dice, (96, 72)), form) for form in FORMATS}
    for number in range(count):
        form = FORMATS[number % len(FORMATS)]
        data = bytearray(whole[form])
        if number % 3 == 0:
            cut = dice.randrange(1, len(data))
            yield Hostile(f"{form} cut off after {cut} bytes", bytes(data[:cut]), is_surely_dead=form == "TIFF")
            continue
        flips = dice.choice([1, 4, 50])
        for _ in range(flips):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        yield Hostile(f"{form} with {flips} flipped bits", bytes(data), is_surely_dead=False)


def noisy(dice: random.Random, size: tuple[int, int]) -> Image.Image:
    return Image.frombytes("RGB", (8, 6), dice.randbytes(8 * 6 * 3)).resize(size, Image.Resampling.BICUBIC)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    with io.BytesIO() as buffer:
        image.save(buffer, form, **options)
        return buffer.getvalue()


# What is no picture at all


def _nothings(dice: random.Random) -> Iterator[Hostile]:
    yield Hostile("nothing")
    yield Hostile("one byte", b"\xff")
    yield Hostile("text", "Überhaupt kein Bild.\n".encode() * 50)
    yield Hostile("HTML", b"<!DOCTYPE html><html><body>404</body></html>")
    yield Hostile("SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>')
    yield Hostile("noise", dice.randbytes(4096))
    yield Hostile("noise behind a JPEG's first bytes", b"\xff\xd8\xff\xe0" + dice.randbytes(4096))
    yield Hostile("zeros", bytes(65536))
    yield Hostile("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n")
    yield Hostile("a script", b"#!/bin/sh\ntouch /tmp/hostile\n")
    yield Hostile("PDF", b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n")
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w") as archive:
            name = zipfile.ZipInfo("../../bomb")  # of a fixed date
            archive.writestr(name, bytes(2**24), zipfile.ZIP_DEFLATED)
        yield Hostile("a ZIP bomb", buffer.getvalue())
    yield Hostile("zlib", zlib.compress(bytes(2**24)))


# Small files that want much


def _bombs() -> Iterator[Hostile]:
    bomb = zlib.compress(bytes(2**26))
    yield Hostile("WebP that claims 13000 × 13000", webp_claiming(13000, 13000))
    yield Hostile("WebP that claims 16383 × 16383", webp_claiming(16383, 16383))
    yield Hostile("PNG of 20000 × 20000", png(20000, 20000, 1, 0, [b"\0" * 2501] * 20000))
    yield Hostile("PNG that claims 2³¹−1 each way", png(2**31 - 1, 2**31 - 1, 8, 6, []))
    yield Hostile("PNG of 7000 × 7000 in RGBA", png(7000, 7000, 8, 6, [b"\0" * 28001] * 7000), is_surely_dead=False)
    yield Hostile("PNG of 1 × 1000000", png(1, 10**6, 8, 0, [b"\0\0"] * 10**6))
    yield Hostile("PNG in 100000 chunks", png_in_chunks(10**5), is_surely_dead=False)
    yield Hostile("PNG with an iCCP bomb", png_with(b"iCCP", b"x\0\0" + bomb), False)
    yield Hostile("PNG with a zTXt bomb", png_with(b"zTXt", b"x\0\0" + bomb), False)
    yield Hostile("PNG with an iTXt bomb", png_with(b"iTXt", b"x\0\1\0\0\0" + bomb), False)
    yield Hostile("PNG whose pixels never end", png(64, 64, 8, 2, [b"\0" * 193] * 10**5), False)
    yield Hostile("JPEG with 3000 scans", jpeg_with_scans(3000))
    yield Hostile("JPEG with 65535 × 65535 in its header", jpeg_claiming(65535, 65535))
    yield Hostile("JPEG behind 4 MiB of fill bytes", b"\xff\xd8" + b"\xff" * 2**22 + _jpeg()[2:])
    yield Hostile("JPEG with 20000 comments", _jpeg()[:2] + b"\xff\xfe\0\2" * 20000 + _jpeg()[2:])
    yield Hostile("GIF of 4000 frames", gif_of_frames(4000), is_surely_dead=False)
    yield Hostile("GIF on a canvas of 65535 × 65535", gif_claiming(65535, 65535))
    yield Hostile("AVIF that claims 13000 × 13000", avif_claiming(13000, 13000))
    yield Hostile("TIFF that claims 10⁵ × 10⁵", tiff_claiming(10**5, 10**5))


def _swarms() -> Iterator[Hostile]:
    """Thousands of parts, each of them harmless."""
    webp, gif, avif = (saved(noisy(random.Random(7), (64, 48)), form) for form in ("WEBP", "GIF", "AVIF"))
    parts = b"JUNK\0\0\0\0" * 10**5
    riff = b"RIFF" + struct.pack("<I", len(webp) - 8 + len(parts)) + webp[8:]
    yield Hostile("WebP with 100000 chunks", riff + parts, is_surely_dead=False)
    yield Hostile("GIF with 100000 comments", gif[:-1] + b"\x21\xfe\1x\0" * 10**5 + gif[-1:], is_surely_dead=False)
    yield Hostile("AVIF with 100000 boxes", avif + b"\0\0\0\x08free" * 10**5, is_surely_dead=False)
    nest = b"".join(struct.pack(">I", 8 * (5000 - depth)) + b"moov" for depth in range(5000))
    yield Hostile("AVIF with boxes 5000 deep", avif + nest, is_surely_dead=False)
    ends = b"".join(struct.pack(">I4s", 1, b"free") + struct.pack(">Q", 2**63) for _ in range(1000))
    yield Hostile("AVIF with boxes of 2⁶³ bytes", avif + ends, is_surely_dead=False)
    yield Hostile(
        "JPEG with 5000 tables", _jpeg()[:2] + (b"\xff\xdb\0\x43\0" + bytes([1] * 64)) * 5000 + _jpeg()[2:], False
    )
    restarts = bytes(byte for at in range(10**5) for byte in (0xFF, 0xD0 + at % 8))
    yield Hostile("JPEG with 100000 restarts", _jpeg()[:-2] + restarts + b"\xff\xd9", is_surely_dead=False)


def _empty_sides() -> Iterator[Hostile]:
    yield Hostile("PNG of 0 × 0", png(0, 0, 8, 2, []))
    yield Hostile("PNG of 5 × 0", png(5, 0, 8, 2, []))
    yield Hostile("JPEG of 0 × 0", jpeg_claiming(0, 0))
    yield Hostile("GIF of 0 × 0", gif_claiming(0, 0), is_surely_dead=False)
    yield Hostile("AVIF of 0 × 0", avif_claiming(0, 0), is_surely_dead=False)
    yield Hostile("TIFF of 0 × 0", tiff_claiming(0, 0))


def _polyglots() -> Iterator[Hostile]:
    """A picture that is something else too: as a picture it may be shown, and as nothing else."""
    page = b"<script>alert(1)</script><?php system('id'); ?>"
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(zipfile.ZipInfo("index.html"), page)
        archived = buffer.getvalue()
    yield Hostile("JPEG and ZIP", _jpeg() + archived, is_surely_dead=False)
    yield Hostile("PNG and HTML", png_with(b"tEXt", b"Comment\0" + page), is_surely_dead=False)
    gif = saved(noisy(random.Random(8), (64, 48)), "GIF")
    yield Hostile("GIF and script", gif[:-1] + b"\x21\xfe" + bytes([len(page)]) + page + b"\0;", is_surely_dead=False)
    yield Hostile("JPEG and PDF", _jpeg() + b"%PDF-1.7\n1 0 obj\n<< >>\nendobj\n", is_surely_dead=False)
    yield Hostile("JPEG and AVIF", _jpeg() + saved(noisy(random.Random(9), (64, 48)), "AVIF"), is_surely_dead=False)
    yield Hostile("ZIP and JPEG", archived + _jpeg())


def _liars() -> Iterator[Hostile]:
    yield Hostile("AVIF whose ispe says 8 × 8", avif_claiming(8, 8), is_surely_dead=False)
    yield Hostile("JPEG whose header says 8000 × 6000", jpeg_claiming(8000, 6000), is_surely_dead=False)
    yield Hostile("PNG of which but 3 lines are there", png(2000, 2000, 8, 2, [b"\0" * 6001] * 3), is_surely_dead=False)
    yield Hostile("PNG with wrong checksums", bytes(b ^ 1 if i == 30 else b for i, b in enumerate(_png())))


def webp_claiming(width: int, height: int) -> bytes:
    """A lossless WebP's header without a picture."""
    size = (width - 1) | (height - 1) << 14
    body = b"\x2f" + struct.pack("<I", size) + bytes(4)
    chunk = b"VP8L" + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def png(width: int, height: int, depth: int, color: int, lines: list[bytes]) -> bytes:
    packer = zlib.compressobj(9 if len(lines) < 1000 else 1)
    blocks = (b"".join(lines[at : at + 1000]) for at in range(0, len(lines), 1000))  # a million calls take a second
    pixels = b"".join(map(packer.compress, blocks)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png() -> bytes:
    return saved(noisy(random.Random(3), (64, 48)), "PNG")


def png_with(kind: bytes, data: bytes) -> bytes:
    whole = _png()
    return whole[:33] + chunk(kind, data) + whole[33:]


def png_in_chunks(count: int) -> bytes:
    whole = _png()
    return whole[:33] + chunk(b"teXt", b"") * count + whole[33:]


def _jpeg() -> bytes:
    return saved(noisy(random.Random(4), (64, 48)), "JPEG")


def jpeg_claiming(width: int, height: int) -> bytes:
    data = bytearray(_jpeg())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_with_scans(count: int) -> bytes:
    """A progressive one whose last scan comes again and again."""
    data = saved(noisy(random.Random(5), (64, 48)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def gif_of_frames(count: int) -> bytes:
    whole = saved(Image.new("P", (16, 16), 1), "GIF")
    first = whole.index(b"\x2c\0\0\0\0")
    return whole[:first] + (b"\x21\xf9\4\0\1\0\0\0" + whole[first:-1]) * count + whole[-1:]


def gif_claiming(width: int, height: int) -> bytes:
    whole = saved(Image.new("P", (16, 16), 1), "GIF")
    return whole[:6] + struct.pack("<HH", width, height) + whole[10:]


def avif_claiming(width: int, height: int) -> bytes:
    data = bytearray(saved(noisy(random.Random(6), (64, 48)), "AVIF"))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


def tiff_claiming(width: int, height: int) -> bytes:
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 9)]
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4)


# Names that lead astray


def _names() -> Iterator[Hostile]:
    for name in (
        "../../../../../../etc/hostname",
        "/etc/hostname",
        "photos/../../export/../../etc/hostname",
        "photos/out.jpg",
        "photos/up.jpg",
        "photos/loop.jpg",
        "photos/folder.jpg",
        "photos/pipe.jpg",
        "photos/" + "n" * 300 + ".jpg",
        "photos/new\nline.jpg",
        "photos/\u202egpj.exe",
        "photos/$(touch hostile).jpg",
        "photos/nul\0.jpg",
        "/proc/self/environ",
        "/dev/zero",
    ):
        yield Hostile(f"the name {name[:40]!r}", name=name)
