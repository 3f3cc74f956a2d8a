"""Pictures of every kind, as Picturedesk shows them and as others do: Chromium, libvips and libavif's avifdec.

The kinds are those of `tests/workers/rendering/imaging/kinds.py`, tiny pictures made by code. Each viewer is asked for
the colours at the same points: Chromium by reading back a canvas, libvips by `thumbnail` into sRGB (pyvips, in
.venv-benchmarks), avifdec (Debian's libavif-bin) into a PNG. That converts no colours: it is asked of AVIFs that need
none.
A difference is the largest of any channel, alpha included, at any point. Whoever is not installed is left out.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest  # noqa: F401  the kinds' module needs it, and the supervisor's package then keeps a part of it out
from PIL import Image
from playwright.sync_api import Page

from benchmarks.common import heading, table
from supervisor.home import HOME
from tests.health.page.browsing import NAMES, chromium
from tests.workers.rendering.imaging import kinds
from tests.workers.rendering.imaging.kinds import Colour, Kind

SAME: Final = 4
"""Of 255: up to here two viewers agree. Lossy formats are decoded and rounded in more than one way."""

Seen = tuple[tuple[int, int], list[Colour]] | None
"""The sides, and the colours at the kind's points; None where it is not shown."""

Viewer = tuple[str, dict[str, Kind], Callable[[Kind], Seen], Callable[[str], str]]

_NAMED: Final = 4
"""Kinds that are named of those which differ for one reason."""

_ASK_CHROMIUM: Final = """async ([data, mime]) => {
  const image = new Image(); image.src = `data:${mime};base64,${data}`;
  try { await image.decode() } catch { return null }
  const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const context = canvas.getContext('2d', {colorSpace: 'srgb'}); context.drawImage(image, 0, 0);
  return [canvas.width, canvas.height, Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data)];
}"""

_ASK_LIBVIPS: Final = """
import base64, json, sys
import pyvips
for line in sys.stdin:
    try:
        options = {"height": 5000, "size": "down", "export_profile": "srgb"}
        picture = pyvips.Image.thumbnail_buffer(base64.b64decode(line), 5000, **options)
        picture = picture.colourspace("srgb").cast("uchar")
        if not picture.hasalpha():
            picture = picture.addalpha()
        found = [picture.width, picture.height, base64.b64encode(picture.write_to_memory()).decode()]
    except pyvips.Error:
        found = None
    print(json.dumps(found), flush=True)
"""

WHY_LIBVIPS: Final = {
    "png gamma": "it reads no gAMA",
    "png key and gamma": "it reads no gAMA",
    "png primaries": "it reads no gAMA",
    "png code": "it reads no cICP",
    "png key beyond": "libpng looks at the low bits of a key alone, browsers at a byte",
    "png more alphas": "libpng passes over alphas of colours that are not there",
    "png animation": "it shows the picture that is meant for viewers without animations",
    "gif": "it gives the rest of the screen a colour, and room to what the screen lacks",
    "jpeg cmyk": "it has a CMYK profile of its own where the file has none; browsers reckon without one",
    "jpeg ycck": "it has a CMYK profile of its own where the file has none; browsers reckon without one",
    "avif of many brands": "it looks at the first brands alone",
    "avif": "it applies no nclx",
}
"""By how a kind's name begins."""

WHY_LIBAVIF: Final = {"avif orientation": "it leaves irot and imir to the PNG's reader", "avif irot": "the same"}


def seen_in(picture: Image.Image, kind: Kind) -> Seen:
    """Where it is clear it has no colour: viewers differ in what they leave there."""
    picture = picture.convert("RGBA")
    return picture.size, [colour if colour[3] else kinds.CLEAR for colour in kinds.points(picture, kind)]


def of_chromium(page: Page, kind: Kind) -> Seen:
    data = kind.data
    mimes = {b"\x89PNG": "image/png", b"GIF8": "image/gif", b"RIFF": "image/webp", b"\xff\xd8": "image/jpeg"}
    mime = next((mime for magic, mime in mimes.items() if data.startswith(magic)), "image/avif")
    found = page.evaluate(_ASK_CHROMIUM, [base64.b64encode(data).decode(), mime])
    return seen_in(Image.frombytes("RGBA", tuple(found[:2]), bytes(found[2])), kind) if found else None


def of_libvips(process: subprocess.Popen[str], kind: Kind) -> Seen:
    assert process.stdin and process.stdout
    print(base64.b64encode(kind.data).decode(), file=process.stdin, flush=True)
    found = json.loads(process.stdout.readline())
    return seen_in(Image.frombytes("RGBA", tuple(found[:2]), base64.b64decode(found[2])), kind) if found else None


def of_libavif(folder: Path, kind: Kind) -> Seen:
    (folder / "a.avif").write_bytes(kind.data)
    (folder / "a.png").unlink(missing_ok=True)
    command = ["avifdec", "--no-strict", "-d", "8", str(folder / "a.avif"), str(folder / "a.png")]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return None
    with Image.open(folder / "a.png") as picture:
        return seen_in(picture, kind)


def difference(ours: Seen, theirs: Seen) -> int | None:
    """None where the other shows nothing, or other sides."""
    if ours is None or theirs is None or ours[0] != theirs[0]:
        return None
    pairs = zip(ours[1], theirs[1], strict=True)
    return max((abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True)), default=0)


def compared(asked: dict[str, Kind], viewer: Callable[[Kind], Seen]) -> dict[str, str]:
    """By name of each kind that differs: what the viewer shows."""
    found = {}
    for name, kind in asked.items():
        theirs = viewer(kind)
        apart = difference(seen_in(kinds.decoded(kind.data), kind), theirs)
        if apart is None:
            found[name] = "nothing" if theirs is None else f"{theirs[0][0]}×{theirs[0][1]} pixels"
        elif apart > SAME:
            found[name] = f"{apart} apart"
    return found


def told(viewer: str, found: dict[str, str], why: Callable[[str], str]) -> None:
    """Print each reason of a viewer's differences, with the kinds that it is the reason of."""
    groups: dict[str, list[str]] = {}
    for name, what in found.items():
        groups.setdefault(why(name) or "not explained", []).append(f"{name} ({what})")
    for reason, names in groups.items():
        shown = "; ".join(names[:_NAMED]) + (f"; and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        print(f"- {viewer}: {reason}: {shown}.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run kinds", description=(__doc__ or "").splitlines()[0])
    parser.parse_args()
    everything = kinds.everything()
    text = f"{len(everything)} pictures, each of a kind of its own. The same: within {SAME} of 255 at every point."
    heading("kinds", text)
    rows = []
    with ExitStack() as stack:
        for viewer, asked, how, why in viewers(everything, stack):
            found = compared(asked, how)
            told(viewer, found, why)
            unexplained = sum(not why(name) for name in found)
            rows.append((viewer, *map(str, (len(asked), len(asked) - len(found), len(found), unexplained))))
    print()
    table(("viewer", "asked", "the same", "differ", "of these not explained"), rows)


def viewers(everything: dict[str, Kind], stack: ExitStack) -> Iterator[Viewer]:
    """Those that are installed: name, what they are asked, how, and why they differ from us."""
    if any(map(shutil.which, NAMES)):
        browser = stack.enter_context(chromium())
        page = browser.new_page()
        name = f"Chromium {browser.version}"
        yield name, everything, lambda kind: of_chromium(page, kind), lambda name: everything[name].why
    vips = HOME / ".venv-benchmarks" / "bin" / "python"
    if vips.exists():
        process = stack.enter_context(started_libvips(vips))
        yield "libvips", everything, lambda kind: of_libvips(process, kind), lambda name: known(WHY_LIBVIPS, name)
    if shutil.which("avifdec"):
        asked = {name: kind for name, kind in everything.items() if is_plain_avif(name)}
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield "avifdec", asked, lambda kind: of_libavif(folder, kind), lambda name: known(WHY_LIBAVIF, name)


def started_libvips(python: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [str(python), "-c", _ASK_LIBVIPS]
    return subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)


def known(reasons: dict[str, str], name: str) -> str:
    return next((why for start, why in reasons.items() if name.startswith(start)), "")


def is_plain_avif(name: str) -> bool:
    """Of the colours that avifdec leaves as they are."""
    return name.startswith("avif") and not any(word in name for word in ("code of", "profile", "PQ", "HLG", "P3"))


if __name__ == "__main__":
    main()
