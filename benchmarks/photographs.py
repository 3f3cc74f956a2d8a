"""Real photographs with free licences, at the sizes that Telegram serves: what picture quality is measured on.

They come from Debian packages of wallpapers, taken by name (`apt-get download`, which needs no root and installs
nothing) into a cache folder outside the checkout: $PICTUREDESK_PHOTOGRAPHS, or else picturedesk-photographs in
$XDG_CACHE_HOME. Drawings among the wallpapers are left out. Authors and licences are those of the packages'
copyright files.

The photographs are in two sets, halves of each package: on FIT settings are chosen and predictors fitted, on JUDGE
they are judged, so nothing is judged on what it was made for.

    benchmarks/run set-up        fetches them all, and prints authors and licences
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from PIL import Image

Set = Literal["fit", "judge"]

SIDES: Final = (1280, 2560)
"""Telegram's long sides in px: of a photo, and of one that was sent in high quality."""

QUALITY: Final = 87
"""Of the JPEGs: what Telegram's own have."""

_FOLDERS: Final = {
    "lomiri-wallpapers-16.04": "usr/share/backgrounds",
    "lomiri-wallpapers-20.04": "usr/share/backgrounds",
    "mate-backgrounds": "usr/share/backgrounds/mate/nature",
    "plasma-workspace-wallpapers": "usr/share/wallpapers",
}


@dataclass(frozen=True, slots=True)
class Photograph:
    """One of them: its path in the package without the folder, long side in px, author and licence."""

    package: str
    path: str
    side: int
    author: str
    licence: str

    @property
    def name(self) -> str:
        return Path(self.path).parts[0].partition(".")[0].partition("_by_")[0].lower()


def _of(package: str, *rows: tuple[str, int, str, str]) -> tuple[Photograph, ...]:
    return tuple(Photograph(package, *row) for row in rows)


def _plasma(*names: str) -> tuple[Photograph, ...]:
    author = "KDE Visual Design Group"
    return _of(
        "plasma-workspace-wallpapers",
        *((f"{name}/contents/images/2560x1600.jpg", 2560, author, "GPL-2+") for name in names),
    )


PHOTOGRAPHS: Final = (
    *_of(
        "lomiri-wallpapers-16.04",
        ("Bridge_by_Sander_Klootwijk.jpg", 4352, "Sander Klootwijk", "CC-BY-SA-4.0"),
        ("Dragonfly_by_Bolly.jpg", 4224, "Bolly", "CC-BY-SA-4.0"),
        ("Picture_0B_by_freespace.jpg", 2572, "Trevor Freespace", "CC-BY-4.0"),
        ("Picture_1A_by_freespace.jpg", 1365, "Trevor Freespace", "CC-BY-4.0"),
        ("Wine_by_Jakkub_Mede.jpg", 3837, "Jakub Mede", "CC-BY-4.0"),
        ("aitzgorri_by_Aitzol_Berasategi.jpg", 3088, "Aitzol Berasategi", "CC-BY-4.0"),
        ("analogpattern_by_Peter_Nerlich.jpg", 2880, "Peter Nerlich", "CC-BY-SA-4.0"),
        ("free_by_Peter_Nerlich.jpg", 2880, "Peter Nerlich", "CC-BY-SA-4.0"),
        ("friends_by_Aitzol_Berasategi.jpg", 3088, "Aitzol Berasategi", "CC-BY-4.0"),
        ("greentock_by_Peter_Nerlich.jpg", 2880, "Peter Nerlich", "CC-BY-SA-4.0"),
        ("life_by_Aitzol_Berasategi.jpg", 3088, "Aitzol Berasategi", "CC-BY-4.0"),
        ("picosdeeuropa_by_Aitzol_Berasategi.jpg", 3264, "Aitzol Berasategi", "CC-BY-4.0"),
        ("seeding_by_Clements_Engelhardt.jpg", 5312, "Clemens Engelhardt", "CC0-1.0"),
        ("sunset_by_Aitzol_Berasategi.jpg", 4272, "Aitzol Berasategi", "CC-BY-4.0"),
    ),
    *_of("lomiri-wallpapers-20.04", ("Kleiber_by_Lukas_Baubkus.jpg", 6028, "Lukas Baubkus", "CC-BY-SA-3.0")),
    *_of(
        "mate-backgrounds",
        ("Aqua.jpg", 2560, "Charles Barbin", "GPL-2+"),
        ("Blinds.jpg", 1920, "Lennart Poettering, Andrea Cimitan", "GPL-2+"),
        ("Dune.jpg", 1680, "Marco Cogoni, Hylke Bons", "GPL-2+"),
        ("FreshFlower.jpg", 1600, "Jens Ansorg", "GPL-2+"),
        ("Garden.jpg", 2560, "Charles Barbin", "GPL-2+"),
        ("GreenMeadow.jpg", 1280, "Timothy Schellhase, Lapo Calamandrei", "GPL-2+"),
        ("LadyBird.jpg", 2560, "Charles Barbin", "GPL-2+"),
        ("RainDrops.jpg", 1920, "blackcombwhistler07", "GPL-2+"),
        ("Storm.jpg", 1920, "Sergey Nazarov", "GPL-2+"),
        ("TwoWings.jpg", 2560, "Charles Barbin, Hylke Bons", "GPL-2+"),
        ("Wood.jpg", 2560, "Jean-François Fortin Tam", "GPL-2+"),
        ("YellowFlower.jpg", 2560, "Charles Barbin", "GPL-2+"),
    ),
    *_plasma("BytheWater", "ColdRipple", "ColorfulCups", "DarkestHour", "EveningGlow", "FallenLeaf"),
    *_plasma("Grey", "Kite", "OneStandsOut", "Path", "summer_1am"),
)


def cache() -> Path:
    """The folder of all that was fetched and made; it can be removed at any time."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("PICTUREDESK_PHOTOGRAPHS") or home / "picturedesk-photographs")


def members(which: Set) -> tuple[Photograph, ...]:
    """The photographs of a set: every other one."""
    return PHOTOGRAPHS[0 if which == "fit" else 1 :: 2]


def photographs(which: Set, side: int) -> list[Path]:
    """JPEGs with a long side of `side` px, of each photograph of the set that is large enough, fetched where needed.

    All 38 are at 1280 px, 31 of them at 2560. Raises CalledProcessError where a package can't be fetched.
    """
    return [served(one, side) for one in members(which) if one.side >= side]


def served(photograph: Photograph, side: int) -> Path:
    """The photograph as Telegram would serve it at that long side in px."""
    path = cache() / str(side) / f"{photograph.name}.jpg"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(original(photograph)) as image:
            scale = side / max(image.size)
            size = (round(image.width * scale), round(image.height * scale))
            made = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        part = path.with_suffix(f".{os.getpid()}")
        made.save(part, "JPEG", quality=QUALITY)
        part.replace(path)
    return path


def original(photograph: Photograph) -> Path:
    """The file as its package has it, fetched where needed."""
    folder = cache() / "packages" / photograph.package
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", photograph.package]
            subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL)
            (package,) = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg-deb", "--extract", package, f"{scratch}/out"], check=True)
            Path(scratch, "out").rename(folder)
    return folder / _FOLDERS[photograph.package] / photograph.path


def main() -> None:
    print("| photograph | set | sides | package | author | licence |\n| --- | --- | --- | --- | --- | --- |")
    for number, one in enumerate(PHOTOGRAPHS):
        sides = [side for side in SIDES if one.side >= side]
        for side in sides:
            served(one, side)
        which = "judge" if number % 2 else "fit"
        print(f"| {one.name} | {which} | {', '.join(map(str, sides))} | {one.package} | {one.author} | {one.licence} |")


if __name__ == "__main__":
    main()
