"""The ladder of real photographs: ours against sharp, pyvips and naive Pillow, at equal quality.

The photographs are of the set "judge" (`benchmarks/photographs.py`): all at 1280 px, and every third of those that are
large enough at 2560 too. The contestants take turns, so that whatever else the machine does hits all:

- tree: the real program with its defaults, timed as in `benchmarks/throughput.py`, from intake to the last row;
- alone: the same with WebP and AVIF alone, since the others make neither JPEG nor preview;
- bare: a loop of the same calls in as many processes, without a tree, files or fsync;
- sharp and pyvips: each width from the next larger one, no cache; in the best of several shares of threads and pictures
  at a time, which is found first. AVIF effort 1 is the fastest that needs no more bytes than ours. Two rows more: sharp
  at AVIF effort 0, and at WebP effort 4, which is its default; else its WebP effort is our method;
- naive: each width from the file anew, in one process, everything else by default. It has one turn.

Quality is SSIMULACRA2 (`benchmarks/quality_metric.py`) against a LANCZOS of the full-size picture on sRGB's values
(gamma space). Each one's quality settings are those by which its mean is nearest below ours, format by format, found
first on these photographs: none is charged for quality that ours has not. Bytes are weighted 0.95 AVIF + 0.05 WebP, as
readers' browsers take them. Memory is the peak of the summed PSS, in a round that is not timed: of the image workers,
and of all of the other's processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.common import PYTHON, Export, Tree, heading, image_specs, say, spread, table, workplace
from benchmarks.contestants.held import Watch, family
from benchmarks.photographs import photographs
from benchmarks.quality_metric import Reference
from benchmarks.throughput import bare_run, tree_run
from supervisor.home import HOME
from supervisor.processes.spec import ChildSpec
from workers.rendering import imaging
from workers.rendering.imaging.codec import pipeline
from workers.rendering.imaging.presets import PRESETS

FORMATS = ("webp", "avif")
WEIGHTS = {"webp": 0.05, "avif": 0.95}
START = {"webp": (78, 84), "avif": (55, 65)}
"""Quality settings between and beyond which the one of equal quality is looked for."""

SHARES = {"sharp": ((1, 2), (1, 4), (2, 1), (2, 2)), "pyvips": ((1, 2), (1, 3))}
"""Threads of libvips and pictures at a time, on two cores; scaled to the machine's."""

GOALS = {"sharp": 0.40, "pyvips": 0.38}

ALONE = {"PICTUREDESK__IMAGES__JPEG_WIDTH": "0", "PICTUREDESK__IMAGES__PREVIEW": "false"}
"""Settings by which the tree makes what the others make, and nothing else."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What a contestant made of all photographs, in one format: bytes, and SSIMULACRA2 of each rendition."""

    bytes: int
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores)

    @property
    def worst_tenth(self) -> float:
        return statistics.fmean(sorted(self.scores)[: max(1, len(self.scores) // 10)])


@dataclass(slots=True)
class Rival:
    """Another's ladder: what starts it, and its settings, which go to it as JSON."""

    name: str
    command: tuple[str, ...]
    config: dict[str, Any]
    made: dict[str, Quality] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    peak: float = 0.0

    def run(self, folder: Path, **more: Any) -> float:
        """Have it make all in `folder`/out; its seconds."""
        process = self._start(folder, **more)
        output, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"picturedesk: {self.name} ended with {process.returncode}")
        return float(json.loads(output)["seconds"])

    def weigh(self, folder: Path) -> None:
        """The same, for its peak memory."""
        process = self._start(folder)
        with Watch(lambda: family(process.pid)) as watch:
            process.communicate()
        self.peak = watch.peak

    def _start(self, folder: Path, **more: Any) -> subprocess.Popen[bytes]:
        (folder / "out").mkdir(parents=True, exist_ok=True)
        config = folder / "config.json"
        config.write_text(json.dumps(self.config | {"out": str(folder / "out")} | more), encoding="utf-8")
        environment = {**os.environ, "UV_THREADPOOL_SIZE": "8", "VIPS_CONCURRENCY": "1"}
        return subprocess.Popen((*self.command, str(config)), cwd=HOME, env=environment, stdout=subprocess.PIPE)


def rivals(paths: list[Path], widths: list[int]) -> list[Rival]:
    avif = {"quality": 60, "chromaSubsampling": "4:2:0", "tune": "iq"}
    method = PRESETS["balanced"].webp["method"]
    base = {"files": [str(path) for path in paths], "widths": widths, "chained": True, "concurrency": 1}
    base["jobs"] = len(os.sched_getaffinity(0))
    one = base | {"webp": {"quality": 80, "effort": method}, "avif": avif | {"effort": 1}}
    zero = one | {"avif": avif | {"effort": 0}}
    four = one | {"webp": {"quality": 80, "effort": 4}}
    sharp, python = ("node", str(HOME / "benchmarks" / "sharp" / "ladder.mjs")), (sys.executable, "-P", "-m")
    return [
        Rival("sharp", sharp, one),
        Rival("sharp, AVIF effort 0", sharp, zero),
        Rival("sharp, WebP effort 4", sharp, four),
        Rival("pyvips", (*python, "benchmarks.contestants.vips"), one),
        Rival("naive", (*python, "benchmarks.contestants.naive"), one),
    ]


# Quality


def judged(paths: list[Path], read: Callable[[Path, int, str], bytes | None], widths: list[int]) -> dict[str, Quality]:
    """Score all renditions, in as many processes as there are cores."""
    jobs = []
    for path in paths:
        with Image.open(path) as image:
            steps = imaging.widths_for(image.width, tuple(widths))
        jobs.append((path, {(step, name): read(path, step, name) for step in steps for name in FORMATS}))
    with ProcessPoolExecutor() as pool:
        found = [row for rows in pool.map(_scores, jobs) for row in rows]
    return {
        name: Quality(
            sum(size for kind, size, _ in found if kind == name),
            tuple(score for kind, _, score in found if kind == name),
        )
        for name in FORMATS
        if any(kind == name for kind, _, _ in found)
    }


def _scores(job: tuple[Path, dict[tuple[int, str], bytes | None]]) -> list[tuple[str, int, float]]:
    path, contents = job
    with Image.open(path) as image:
        full = image.convert("RGB")
    found, references = [], {}
    for (step, name), content in contents.items():
        if content is None:
            continue
        size = (step, max(1, round(step * full.height / full.width)))
        if step not in references:
            references[step] = Reference(full if size == full.size else full.resize(size, Image.Resampling.LANCZOS))
        found.append((name, len(content), references[step].score(content)))
    return found


def ours(paths: list[Path], spec: ChildSpec) -> dict[str, Quality]:
    """What the tree makes: the same calls give the same bytes."""
    ladder = imaging.Ladder(**{**spec.options["ladder"], "widths": tuple(spec.options["ladder"]["widths"])})
    limits, made = imaging.Limits(**spec.options["limits"]), {}
    for path in paths:
        made[path] = pipeline.develop(path.read_bytes(), limits, ladder, None)[1]
    return judged(paths, lambda path, step, name: made[path][f"{step}.{name}"], list(ladder.widths))


def read_from(folder: Path, only: str = "") -> Callable[[Path, int, str], bytes | None]:
    return lambda path, step, name: (
        (folder / "out" / f"{path.stem}-{step}.{name}").read_bytes() if only in ("", name) else None
    )


def match(rival: Rival, folder: Path, paths: list[Path], aim: dict[str, Quality]) -> None:
    """Set its quality so that its mean is the nearest below ours (or the same), in each format; note what it makes."""
    found: dict[str, list[tuple[int, Quality]]] = {name: [] for name in FORMATS}
    settings = {name: START[name][0] for name in FORMATS}
    for tries in range(6):
        rival.config |= {name: rival.config[name] | {"quality": settings[name]} for name in FORMATS}
        rival.run(folder)
        made = judged(paths, read_from(folder), rival.config["widths"])
        for name in FORMATS:
            found[name].append((settings[name], made[name]))
        wanted = {name: START[name][1] if not tries else nearest(found[name], aim[name].mean) for name in FORMATS}
        if all(wanted[name] in dict(found[name]) for name in FORMATS):
            break
        settings = wanted
    for name in FORMATS:
        best = below(found[name], aim[name].mean)
        rival.config[name] = rival.config[name] | {"quality": best[0]}
        rival.made[name] = best[1]
    say(f"{rival.name}: WebP quality {rival.config['webp']['quality']}, AVIF {rival.config['avif']['quality']}")


def nearest(found: list[tuple[int, Quality]], aim: float) -> int:
    """The quality setting to try next: the largest whole one that should have a mean not above `aim`."""
    (q1, first), *others = sorted(dict(found).items(), key=lambda one: abs(one[1].mean - aim))
    q2, second = next(
        one for one in others if one[1].mean != first.mean
    )  # neighbouring settings may be one to the encoder
    guess = q1 + (aim - first.mean) * (q2 - q1) / (second.mean - first.mean)
    return max(1, min(100, int(guess // 1)))


def below(found: list[tuple[int, Quality]], aim: float) -> tuple[int, Quality]:
    """The best that is not above `aim`, or else the worst."""
    fitting = [one for one in found if one[1].mean <= aim]
    return max(fitting, key=lambda one: one[1].mean) if fitting else min(found, key=lambda one: one[1].mean)


# Speed and memory


def tune(rival: Rival, folder: Path) -> None:
    """Give it the share of threads and pictures at a time by which it is fastest."""
    cores = len(os.sched_getaffinity(0))
    shares = SHARES.get(rival.name.partition(",")[0], ())
    tried = []
    for threads, jobs in shares:
        share = {"concurrency": max(1, threads * cores // 2), "jobs": max(1, jobs * cores // 2)}
        for parallel in (False, True) if "sharp" in rival.name else (False,):
            chosen = share | {"parallel": parallel}
            tried.append((min(rival.run(folder, **chosen) for _ in range(2)), chosen))
    if tried:
        rival.config |= min(tried, key=lambda one: one[0])[1]
        say(f"{rival.name}: {min(tried, key=lambda one: one[0])[1]}")


def tree_peak(folder: Path, export: Export) -> float:
    """The peak of the image workers' summed PSS in MiB, in a run of its own."""
    workers: list[int] = []

    def note(tree: Tree) -> None:
        workers.extend(pid for name, pid in tree.living().items() if name.startswith("image"))

    with Watch(lambda: workers) as watch:
        tree_run(folder, export, seen=note)
    return watch.peak


def exported(folder: Path, paths: list[Path]) -> Export:
    """An export of these photographs."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    copies = [photos / f"photo_{number}@01-02-2025_10-00-00.jpg" for number, _ in enumerate(paths, 1)]
    for path, copy in zip(paths, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    export = Export(folder, tuple(copies))
    export.fill()
    return export


# The report


@dataclass(slots=True)
class Walls:
    """Seconds of each round: of the tree, of the tree with WebP and AVIF alone, and of the bare loop."""

    trees: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    bares: list[float] = field(default_factory=list)


def report(made: dict[str, Quality], walls: Walls, peak: float, others: list[Rival]) -> None:
    weighted = {"ours": _weighted(made), **{rival.name: _weighted(rival.made) for rival in others}}
    rows = [("ours", made, "", ""), *((one.name, one.made, one.config["webp"], one.config["avif"]) for one in others)]
    table(
        (
            "quality and bytes",
            "settings",
            "WebP s2",
            "worst tenth",
            "MB",
            "AVIF s2",
            "worst tenth",
            "MB",
            "weighted bytes, ours/theirs",
        ),
        [
            (
                name,
                f"q{webp['quality']} and q{avif['quality']}" if webp else "balanced",
                *_figures(found["webp"]),
                *_figures(found["avif"]),
                f"{weighted['ours'] / weighted[name]:.3f}",
            )
            for name, found, webp, avif in rows
        ],
    )
    rows_ = []
    for rival in others:
        ratios = [tree / seconds for tree, seconds in zip(walls.trees, rival.seconds, strict=False)]
        alike = [alone / seconds for alone, seconds in zip(walls.alone, rival.seconds, strict=False)]
        goal = f"≤ {GOALS[rival.name]:.2f}" if rival.name in GOALS else "≤ 0.083" if rival.name == "naive" else ""
        share = f"{rival.config['concurrency']} × {rival.config['jobs']}"
        rows_.append((rival.name, share, *spread(rival.seconds), spread(ratios, 3)[0], *spread(alike, 3), goal))
    titles = ("wall", "threads × pictures", "seconds", "min", "max", "tree / it", "alone / it", "min", "max", "goal")
    table(titles, rows_)
    ratio = spread([bare / tree for tree, bare in zip(walls.trees, walls.bares, strict=True)], 3)
    print(
        f"The tree: {spread(walls.trees)[0]} s, with WebP and AVIF alone {spread(walls.alone)[0]}; tree / bare loop"
        f" **{ratio[0]}**, min {ratio[1]}, max {ratio[2]}; goal 0.92.\n"
    )
    for rival in others:
        print(f"Peak PSS: workers {peak:.0f} MiB, {rival.name} {rival.peak:.0f}: {peak / max(1, rival.peak):.2f}")
    print()


def _weighted(found: dict[str, Quality]) -> float:
    return sum(WEIGHTS[name] * found[name].bytes for name in FORMATS)


def _figures(found: Quality) -> tuple[str, str, str]:
    return (f"{found.mean:.2f}", f"{found.worst_tenth:.2f}", f"{found.bytes / 1e6:.3f}")


def rounds(options: argparse.Namespace, folder: Path, paths: list[Path], others: list[Rival]) -> Walls:
    """Let all take turns. The naive one, which takes minutes, has one turn."""
    specs, walls = image_specs(), Walls()
    for number in range(1, options.rounds + 1):
        walls.bares.append(len(paths) / bare_run(tuple(paths), specs).rate)
        export = exported(folder / f"export-{number}", paths)
        walls.trees.append(len(paths) / tree_run(folder / f"tree-{number}", export).rate)
        walls.alone.append(len(paths) / tree_run(folder / f"alone-{number}", export, None, PYTHON, **ALONE).rate)
        for rival in others:
            if rival.name != "naive" or number == 1:
                rival.seconds.append(rival.run(folder / rival.name))
        say(f"round {number} of {options.rounds}: tree {walls.trees[-1]:.2f} s, sharp {others[0].seconds[-1]:.2f} s")
    return walls


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run imaging", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--short", action="store_true", help="eight photographs, two rounds: some minutes")
    parser.add_argument(
        "--pictures", type=int, default=0, help="so many photographs at 1280 px, one round: does it run?"
    )
    options = parser.parse_args()
    small, large = photographs("judge", 1280), photographs("judge", 2560)[::3]
    if options.short:
        small, large, options.rounds = small[::3], large[:1], 2
    if options.pictures:
        small, large, options.rounds = small[: options.pictures], [], 1
    paths, specs = small + large, image_specs()
    with workplace(3600) as folder:
        paths = linked(folder / "photographs", paths)
        heading(
            "imaging",
            f"{len(small)} photographs at 1280 px and {len(large)} at 2560, {len(specs)} image workers, widths"
            f" {specs[0].options['ladder']['widths']}, preset {specs[0].options['ladder']['preset']}.",
        )
        made, others = ours(paths, specs[0]), rivals(paths, specs[0].options["ladder"]["widths"])
        for rival in others:
            match(rival, folder / rival.name, paths, made)
            tune(rival, folder / rival.name)
        walls = rounds(options, folder, paths, others)
        for rival in others:
            rival.weigh(folder / rival.name)
        peak = tree_peak(folder / "tree-memory", exported(folder / "export-memory", paths))
        report(made, walls, peak, others)


def linked(folder: Path, paths: list[Path]) -> list[Path]:
    """The photographs in one folder, by names that tell one of two sizes from the other."""
    folder.mkdir()
    links = [folder / f"{path.stem}-{path.parent.name}.jpg" for path in paths]
    for path, link in zip(paths, links, strict=True):
        link.symlink_to(path)
    return links


if __name__ == "__main__":
    main()
