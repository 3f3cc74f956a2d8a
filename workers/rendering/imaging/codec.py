"""One picture into its ladder of WebP and AVIF: the only home of PIL and pillow_avif.

Promises: `render` ends in every rendition on disk, complete and fsynced; or in BadPicture, a verdict on the
picture; or in CodecFault or OutOfMemory, no verdict; or in the OSError of the disk. The same file gives the same bytes.
Renditions are sRGB, upright, the first frame of an animation, never larger than the original, and hold no
metadata (no GPS, no comment).

Left to others: time (the pool's job deadline), crashes of a decoder and the cap itself (the pool), naming and
removing what `render` wrote. Nothing shuts a decoder off from network and files yet; what does so one day must allow
reading and fsyncing the target folder.

The settings were measured on 24 real photographs in 79 sizes, one thread, bytes at equal SSIMULACRA2 against
WebP method 4 quality 80: method 2 costs 5 % more bytes, 6 twice the time for 4 % less. SVT-AV1 speed 8 needs
24 % fewer bytes in less time; aom speed 9 needs 21 % fewer, and with alpha 9 to 17 % fewer than SVT.
Shrinking each width from the next larger one after a JPEG `draft` has SSIM .9991 to a LANCZOS from full size,
at half the CPU.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

# Before the encoder's first use: it writes to stderr otherwise; with "0", too, when it gets no thread or memory.
os.environ["SVT_LOG"] = "-1"

import pillow_avif.AvifImagePlugin
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError

from ipc.jobs import Rendition
from workers.rendering.imaging.blame import CANARIES, CodecFault, decoding, does, encoding
from workers.rendering.imaging.containers import endings, mend
from workers.rendering.imaging.gate import BadPicture, Header, Limits, check, check_size, read
from workers.rendering.imaging.ladder import Ladder, Rendered, steps_for, top_pixels
from workers.rendering.imaging.memory import Gauge, memory_need, trim
from workers.rendering.imaging.priority import give_up_priority

pillow_avif.AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each decoder thread would count its stack against the cap
ImageFile.LOAD_TRUNCATED_IMAGES = False

_MIME = {
    "JPEG": ("image/jpeg", "jpg"),
    "PNG": ("image/png", "png"),
    "WEBP": ("image/webp", "webp"),
    "AVIF": ("image/avif", "avif"),
    "GIF": ("image/gif", "gif"),
}
# All named: by default pillow_avif keeps the source's EXIF (GPS) and colour profile.
_BARE: dict[str, Any] = {"exif": b"", "xmp": b"", "icc_profile": None}
_WEBP: dict[str, Any] = {"format": "WEBP", "quality": 80, "method": 4}
_AVIF: dict[str, Any] = {"format": "AVIF", "subsampling": "4:2:0", "max_threads": 1}
_SVT = _AVIF | {"codec": "svt", "speed": 8, "quality": 53, "advanced": {"tune": "3"}}
_AOM = _AVIF | {"codec": "aom", "speed": 9, "quality": 62}
_ENCODERS = {"webp": "WebP", "avif": "AVIF"}

_SVT_SHORTEST, _SVT_HIGHEST = 4, 8_704
"""SVT-AV1 4.1 takes no side below the one, and no height above the other (in px)."""

_this_thread = threading.local()
_CANARY_LIMITS = Limits(max_bytes=10_000, max_dimension=64, max_pixels=4_096)
_CANARY_LADDER = Ladder((4,), webp=False, avif=False)
_CANARY_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")

_SRGB = ImageCms.createProfile("sRGB")
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_FROM_16_BITS = [(value * 255 + 32_767) // 65_535 for value in range(65_536)]

Decoded = tuple[tuple[int, int], list[tuple[int, int]], Image.Image]
"""What `_decode` returns."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what makes it upright; from 5 on, the stored sides are swapped."""


def render(original: Path, target: Path, limits: Limits, ladder: Ladder, cap_bytes: int | None) -> Rendered:
    """Write `target`/{width}.{format} for each rendition of `original`; all are on disk when this returns.

    `target` is an existing folder. `cap_bytes` is the process's RLIMIT_DATA, None when there is none. Raises
    BadPicture, CodecFault, OutOfMemory, or OSError of reading the original or writing the target, which may then hold
    incomplete files.
    """
    data = read(original, limits)
    rendered, contents = _develop(data, limits, ladder, cap_bytes)
    _write(target, contents)
    return rendered


# From bytes to bytes, all in memory


def _develop(data: bytes, limits: Limits, ladder: Ladder, cap_bytes: int | None) -> tuple[Rendered, dict[str, bytes]]:
    """Return what `render` does, and the contents of the files by name."""
    with _strict_pillow(limits):
        try:
            header, gauge, (size, steps, picture) = _open(data, len(data), limits, ladder, cap_bytes)
        except BadPicture:
            mended = _mended(data, limits, cap_bytes)
            if mended is None:
                raise
            header, gauge, (size, steps, picture) = _open(mended, 2 * len(data), limits, ladder, cap_bytes)
        contents, fallbacks = _encode_ladder(picture, steps, ladder, gauge)
    renditions = tuple(
        Rendition(*step, name, len(contents[f"{step[0]}.{name}"])) for step in steps for name in ladder.formats
    )
    return Rendered(*_MIME[header.format], *size, renditions, tuple(fallbacks)), contents


def _open(
    data: bytes, file_bytes: int, limits: Limits, ladder: Ladder, cap_bytes: int | None
) -> tuple[Header, Gauge, Decoded]:
    """Check it and decode it; `file_bytes` are what of files is in memory."""
    header = check(data, limits)
    gauge = Gauge.start(
        f"{header.format} of {header.width}×{header.height} pixels",
        memory_need(header.width * header.height, top_pixels(header.width, header.height, ladder), file_bytes),
        cap_bytes,
    )
    canary, reason = partial(_decode_canary, header.format, gauge), partial(_reason, header.format)
    with decoding(header.format, gauge, canary, reason):
        return header, gauge, _decode(data, header, limits, ladder, gauge)


def _mended(data: bytes, limits: Limits, cap_bytes: int | None) -> bytes | None:
    """The refused file without what was wrong with it, if no pixel is missing; None where it is as bad as before."""
    mended = mend(data)
    whole: bytes | None = None
    pixels = b""
    for ended in endings(mended):
        header = check(ended, limits)
        need = memory_need(header.width * header.height, 0, 2 * len(data))
        found = _pixels(ended, Gauge.start("a JPEG without its end", need, cap_bytes))
        if not found or found != (pixels or found):
            return None
        whole, pixels = whole or ended, found
    return whole or (None if mended is data else mended)


def _pixels(data: bytes, gauge: Gauge) -> bytes:
    """A digest of a JPEG's pixels at full size; empty where it does not decode."""
    digest = blake2b()
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.load()
            for top in range(0, image.height, 64):  # in strips: there may be no room for it twice
                digest.update(image.crop((0, top, image.width, min(top + 64, image.height))).tobytes())
    except Exception as error:
        gauge.rule_out_memory(error)
        return b""
    return digest.digest()


def _decode(data: bytes, header: Header, limits: Limits, ladder: Ladder, gauge: Gauge) -> Decoded:
    """Return the upright sides, each rendition's ascending, and the picture, upright, sRGB, at the
    largest."""
    with Image.open(io.BytesIO(data), formats=(header.format,)) as image:
        check_size(*image.size, limits)
        if header.format != "JPEG":
            image.load()
        orientation = _orientation(image, gauge)
        swapped = orientation >= 5
        size = image.size[::-1] if swapped else image.size
        steps = steps_for(size, ladder)
        top = steps[-1] if steps else size
        stored = top[::-1] if swapped else top
        if header.format == "JPEG":
            image.draft(None, stored)
            image.load()
        profile = image.info.get("icc_profile")
        try:
            picture = _resized(_plain(image), stored)
            if orientation in _UPRIGHT:
                picture = picture.transpose(_UPRIGHT[orientation])
            return size, steps, _to_srgb(picture, profile, gauge)
        except CodecFault:
            raise
        except Exception as error:  # decoded it is: what is left to do is ours, unless its palette or key is odd
            gauge.rule_out_memory(error)
            if not does(partial(_convert_canary, gauge)):
                raise CodecFault("pixel converter", error, broken=True) from error
            raise


def _orientation(image: Image.Image, gauge: Gauge) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or it can't be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception as error:
        gauge.rule_out_memory(error)
        return 1
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _plain(image: Image.Image) -> Image.Image:
    """Return it in a mode that can be shrunk: L, LA, RGB, RGBA or CMYK, with alpha only where some of it
    shows.

    16 bits are scaled to 8. The formats taken hold no F and no true 32-bit I; they would be clipped.
    """
    if image.mode.startswith("I"):
        plain = image.convert("I").point(_FROM_16_BITS, "L")
        if image.has_transparency_data:
            plain = Image.merge("LA", (plain, image.convert("RGBA").getchannel("A")))
    elif image.mode in ("LA", "RGBA"):
        plain = image
    elif image.has_transparency_data:
        plain = image.convert("RGBA")
    elif image.mode in ("L", "RGB", "CMYK"):
        plain = image
    else:
        plain = image.convert("RGB")
    if plain.mode in ("LA", "RGBA") and plain.getchannel("A").getextrema() == (255, 255):
        plain = plain.convert(plain.mode[:-1])
    return plain


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _to_srgb(image: Image.Image, profile: bytes | None, gauge: Gauge) -> Image.Image:
    """Return it as RGB or RGBA in sRGB; without a usable profile it is taken to be sRGB already."""
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colour = image.convert(image.mode[:-1]) if alpha else image
    result = (_through_profile(colour, profile, gauge) if profile else None) or colour.convert("RGB")
    if alpha:
        result.putalpha(alpha)
    return result


def _through_profile(colour: Image.Image, profile: bytes, gauge: Gauge) -> Image.Image | None:
    """Return `colour` (L, RGB, CMYK) as sRGB; None where the profile is broken or of another kind."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _PROFILE_MODES.get(source.profile.xcolor_space.strip())
        if mode is None or (mode != colour.mode and (mode, colour.mode) != ("RGB", "L")):
            return None
        return ImageCms.profileToProfile(
            colour.convert(mode),
            source,
            _SRGB,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except Exception as error:
        gauge.rule_out_memory(error)
        if not does(lambda: ImageCms.profileToProfile(_canary(), _SRGB, _SRGB, outputMode="RGB")):
            raise CodecFault("colour converter", error, broken=True) from error
        return None


def _decode_canary(kind: str, gauge: Gauge) -> None:
    with _strict_pillow(_CANARY_LIMITS):
        _decode(CANARIES[kind], check(CANARIES[kind], _CANARY_LIMITS), _CANARY_LIMITS, _CANARY_LADDER, gauge)


def _convert_canary(gauge: Gauge) -> None:
    for mode in _CANARY_MODES:
        image = Image.new(mode, (8, 8))
        if mode == "P":
            image.info["transparency"] = 0
        for how in _UPRIGHT.values():
            _to_srgb(_resized(_plain(image), (4, 4)).transpose(how), None, gauge)


def _encode_ladder(
    picture: Image.Image, steps: list[tuple[int, int]], ladder: Ladder, gauge: Gauge
) -> tuple[dict[str, bytes], list[str]]:
    """Return the contents of each rendition by file name, shrinking each width from the next larger one; and why
    SVT could not make those that another encoder had to make instead.
    """
    contents, fallbacks = {}, []
    for step in reversed(steps if ladder.formats else []):
        with encoding("scaler", gauge, lambda: _resized(_canary(), (4, 4))):
            picture = _resized(picture, step)
        for name in ladder.formats:
            with encoding(f"{_ENCODERS[name]} encoder", gauge, partial(_encode_canary, name, gauge)):
                contents[f"{step[0]}.{name}"], fallback = _encode(picture, name, gauge)
            fallbacks += [fallback] if fallback else []
    return contents, fallbacks


def _encode_canary(name: str, gauge: Gauge) -> None:
    _encode(_canary(), name, gauge)


def _canary() -> Image.Image:
    return Image.new("RGB", (8, 8), "teal")


def _encode(picture: Image.Image, name: str, gauge: Gauge) -> tuple[bytes, str]:
    """Encode RGB or RGBA; the file, and why it is not of the encoder that it should be of ("": it is)."""
    if name == "webp":
        return _saved(picture, _WEBP), ""
    if not _is_for_svt(picture):
        return _saved(picture, _AOM), ""
    fallback = _why_not_svt()
    if not fallback:
        try:
            return _saved(picture, _SVT), ""
        except Exception as error:
            gauge.rule_out_memory(error)
            fallback = f"{type(error).__name__}: {error}"
    return _saved(picture, _AOM), f"SVT-AV1 at {picture.width}×{picture.height} pixels: {fallback}"


def _is_for_svt(picture: Image.Image) -> bool:
    """Whether SVT is to encode it. With alpha aom's files are smaller; and some sizes only aom takes."""
    return picture.mode == "RGB" and min(picture.size) >= _SVT_SHORTEST and picture.height <= _SVT_HIGHEST


def _why_not_svt() -> str:
    """Why SVT must not be used in this thread: it would take real-time priority. "": it may be."""
    if not hasattr(_this_thread, "why_not_svt"):
        try:
            give_up_priority()
        except OSError as error:
            _this_thread.why_not_svt = f"real-time priority could not be given up first ({error})"
        else:
            _this_thread.why_not_svt = ""
    reason: str = _this_thread.why_not_svt
    return reason


def _saved(picture: Image.Image, options: dict[str, Any], **metadata: Any) -> bytes:
    """Return the file; with no metadata but what is given."""
    buffer = io.BytesIO()
    picture.save(buffer, **options | _BARE | metadata)
    return buffer.getvalue()


@contextmanager
def _strict_pillow(limits: Limits) -> Iterator[None]:
    """Pillow's own pixel limit at the gate's, and its warning an error; its other warnings refuse nothing."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _reason(kind: str, error: Exception) -> str:
    """What is wrong with the picture."""
    if isinstance(error, UnidentifiedImageError):  # its text holds the address of an object
        return f"damaged or cut off: no readable {kind} header"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"too many pixels: {error}"
    text = str(error)[:200] or type(error).__name__
    return f"truncated: {text}" if "truncat" in text.lower() else f"damaged: {text}"


# To disk


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


# Warming up


def warm_up() -> None:
    """Use every decoder and encoder once, on success and on failure, so that no picture is the first.

    Pillow imports its plugins' helpers at first use (GIF needs `copy`). Takes about 0.2 s; touches no file of
    ours.
    """
    limits = Limits(max_bytes=1_000_000, max_dimension=1_000, max_pixels=1_000_000)
    ladder = Ladder((16, 64), webp=True, avif=True)
    for sample in _samples():
        for data in (sample, sample[: len(sample) // 2]):
            with suppress(BadPicture, CodecFault):
                _develop(data, limits, ladder, None)
    trim()


def _samples() -> Iterator[bytes]:
    """Yield tiny pictures: each format, frames where it has them, alpha, CMYK, EXIF and a profile."""
    frames = [Image.linear_gradient("L").resize((96, 64)).convert("RGB").rotate(angle) for angle in (0, 180)]
    alpha = frames[0].copy()
    alpha.putalpha(frames[1].getchannel("R"))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    profile = ImageCms.ImageCmsProfile(_SRGB).tobytes()
    yield _saved(frames[0], {"format": "JPEG", "progressive": True}, exif=exif, icc_profile=profile)
    yield _saved(frames[0].convert("CMYK"), {"format": "JPEG"})
    yield _saved(frames[0], {"format": "MPO", "save_all": True, "append_images": frames[1:]})
    yield _saved(frames[0].convert("I;16"), {"format": "PNG"})
    # No EXIF here: pillow_avif 1.6 crashes on an animation with it.
    for name in ("GIF", "PNG", "WEBP", "AVIF"):
        yield _saved(frames[0], {"format": name, "save_all": True, "append_images": frames[1:]})
        yield _saved(alpha, {"format": name})
    yield _saved(frames[0].resize((2, 2)), {"format": "PNG"})  # which SVT refuses
