"""What each setting of docs/tuning.md does: to pictures a second, processor, memory and bytes; to recovery.

Work: the real program publishes JPEGs of 1280 pixels into files and SQLite, as in `throughput`. Each setting's run has
a run with the defaults right before it; the ratios are of such a pair, so that whatever else the machine does hits
both. CPU is of all processes together, peak memory the greatest sum of their PSS (what the tree costs the machine),
looked at five times a second.

Large pictures: one of 24 and one of 48 megapixels instead, and what became of them.

Recovery: a folder that the program needs is away for some seconds. Timed from when it is back to the last picture
published. And a process that is killed again and again, or hangs: to when its successor is ready.

Idle: CPU of the connection while nothing happens.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from PIL import Image

from benchmarks.common import (
    SETTLE_SECONDS,
    Export,
    Tree,
    cpu_seconds,
    heading,
    make_export,
    moment,
    running,
    say,
    table,
    workplace,
)
from benchmarks.memory import held_by
from benchmarks.status import ask
from tests.instance import wait_for

LOOK_SECONDS = 0.2
LONGEST_SECONDS = 150.0

WORK: tuple[tuple[str, dict[str, str]], ...] = (
    ("pool.workers = 1", {"POOL__WORKERS": "1"}),
    ("pool.workers = 4", {"POOL__WORKERS": "4"}),
    ("ENABLE_AVIF=0", {"IMAGES__AVIF": "false"}),
    ("ENABLE_WEBP=0", {"IMAGES__WEBP": "false"}),
    ("IMAGE_SIZES=320,1280", {"IMAGES__WIDTHS": "320,1280"}),
    ("IMAGE_SIZES=640", {"IMAGES__WIDTHS": "640"}),
    ("pool.gc_every = 1", {"POOL__GC_EVERY": "1"}),
    ("pool.memory_soft_mb = 64", {"POOL__MEMORY_SOFT_MB": "64"}),
    ("spool.max_mb = 1", {"SPOOL__MAX_MB": "1"}),
)
"""Environment without `PICTUREDESK__`."""

LARGE: tuple[tuple[str, dict[str, str]], ...] = (
    ("the defaults", {}),
    ("pool.workers = 1", {"POOL__WORKERS": "1"}),
    ("images.max_pixels = 25000000", {"IMAGES__MAX_PIXELS": "25000000"}),
    ("MAX_IMAGE_DIMENSION=4096", {"IMAGES__MAX_DIMENSION": "4096"}),
    ("MAX_IMAGE_SIZE_BYTES=1200000", {"IMAGES__MAX_BYTES": "1200000"}),
    ("pool.memory_cap_mb = 400", {"POOL__MEMORY_CAP_MB": "400"}),
    ("pool.memory_cap_mb = 300", {"POOL__MEMORY_CAP_MB": "300"}),
    ("ENABLE_AVIF=0", {"IMAGES__AVIF": "false"}),
    ("IMAGE_SIZES=320,640", {"IMAGES__WIDTHS": "320,640"}),
)
PARTS = ("work", "large", "recovery", "idle")

SIDES = ((6000, 4000), (8000, 6000))
"""In pixels: 24 and 48 megapixels."""


def environment(settings: dict[str, str]) -> dict[str, str]:
    return {f"PICTUREDESK__{name}": value for name, value in settings.items()}


def workers_of(settings: dict[str, str]) -> int:
    return int(settings.get("POOL__WORKERS", os.cpu_count() or 1))


def processes(settings: dict[str, str]) -> set[str]:
    """The children that a tree with these settings has."""
    workers = {f"image-{number}" for number in range(1, workers_of(settings) + 1)}
    return {"health", "uploader", "pool", "connection", *workers}


# Work


@dataclass(frozen=True, slots=True)
class Run:
    """Pictures a second; CPU seconds and published bytes a picture; peak PSS of the tree, RSS of a worker (MiB)."""

    rate: float
    cpu: float
    published_bytes: float
    peak_pss: float
    peak_worker: float
    dead: int = 0


def run(folder: Path, export: Export, settings: dict[str, str]) -> Run:
    """Let a new tree with these settings publish the export's photographs."""
    count = len(export.photographs)
    export.empty()
    with running(folder, export, **environment(settings)) as (tree, _):
        tree.wait_until_ready(processes(settings))
        time.sleep(SETTLE_SECONDS)
        before = tree_cpu(tree)
        began = moment(tree.feed(export))
        peak_pss, peak_worker = watch(tree, lambda: finished(tree) >= count)
        cpu = tree_cpu(tree) - before
        published = tree.events("job.published")
    ends = [moment(record) for record in published] or [time.time()]
    media = sum(file.stat().st_size for file in (tree.state_dir / "media").rglob("*") if file.is_file())
    return Run(count / (max(ends) - began), cpu / count, media / count, peak_pss, peak_worker, count - len(published))


def finished(tree: Tree) -> int:
    return tree.count_events("job.published") + tree.count_events("job.dead")


def watch(tree: Tree, is_over: Callable[[], bool]) -> tuple[float, float]:
    """Wait until it is over; the peak PSS of the tree, and the peak RSS of an image worker, in MiB."""
    until, peak_pss, peak_worker = time.monotonic() + LONGEST_SECONDS, 0.0, 0.0
    while not is_over():
        if time.monotonic() > until:
            raise SystemExit(f"picturedesk: not over after {LONGEST_SECONDS:.0f} s")
        pss, worker = held(tree)
        peak_pss, peak_worker = max(peak_pss, pss), max(peak_worker, worker)
        time.sleep(LOOK_SECONDS)
    return peak_pss, peak_worker


def held(tree: Tree) -> tuple[float, float]:
    """PSS of the tree, and RSS of its largest image worker (MiB)."""
    assert tree.root is not None
    pss = worker = 0.0
    root = psutil.Process(tree.root.pid)
    for process in (root, *root.children(recursive=True)):
        try:
            now, words = held_by(process.pid), process.cmdline()
        except (psutil.Error, OSError, KeyError):  # it has just ended
            continue
        pss += now.pss
        if any(word.startswith("image-") for word in words):
            worker = max(worker, now.peak)
    return pss, worker


def tree_cpu(tree: Tree) -> float:
    """CPU seconds of all processes so far, the dead ones included: their parents count them."""
    used = 0.0
    for pid in set(tree.living().values()):
        try:
            used += cpu_seconds(pid, with_children=True)
        except OSError:
            continue
    return used


def compare_work(folder: Path, export: Export, rounds: int, only: str) -> list[tuple[str, ...]]:
    """A line of the table for each setting of WORK."""
    rows = []
    for number, (name, settings) in enumerate(WORK):
        if only not in name:
            continue
        pairs = []
        for turn in range(rounds):
            here = folder / f"{number}-{turn}"
            pairs.append(
                (run(here.with_suffix(".default"), export, {}), run(here.with_suffix(".set"), export, settings))
            )
        rows.append((name, *ratios(pairs)))
        say(" ".join(rows[-1]))
    return rows


def ratios(pairs: list[tuple[Run, Run]]) -> tuple[str, ...]:
    """Medians: the ratios to the defaults, and both peaks."""

    def ratio(value: Callable[[Run], float]) -> str:
        return f"{statistics.median(value(theirs) / value(default) for default, theirs in pairs):.2f}"

    def peaks(side: int) -> str:
        return f"{statistics.median(pair[side].peak_pss for pair in pairs):.0f}"

    return (
        ratio(lambda one: one.rate),
        ratio(lambda one: one.cpu),
        ratio(lambda one: one.published_bytes),
        peaks(0),
        peaks(1),
    )


# Large pictures


def make_large(folder: Path) -> Export:
    """One photograph of each of SIDES. They are WebP: a JPEG can be decoded small at once, and takes little memory."""
    export = make_export(folder, len(SIDES))
    for path, size in zip(export.photographs, SIDES, strict=True):
        with Image.open(path) as picture:
            large = picture.resize(size, Image.Resampling.BILINEAR)
        large.save(path, "WEBP", quality=60, method=0)
    export.fill()
    return export


def compare_large(folder: Path, only: str) -> list[tuple[str, ...]]:
    """A line of the table for each setting of LARGE."""
    export = make_large(folder / "large")
    rows: list[tuple[str, ...]] = []
    for number, (name, settings) in enumerate(LARGE):
        if only not in name:
            continue
        one = run(folder / f"large-{number}", export, settings)
        count = len(SIDES)
        rows.append((name, f"{count - one.dead}", f"{one.dead}", f"{one.peak_worker:.0f}", f"{one.peak_pss:.0f}"))
        say(" ".join(rows[-1]))
    return rows


# Recovery


def after_outage(folder: Path, export: Export, settings: dict[str, str], away: Callable[[Tree], Path]) -> float:
    """Seconds from the end of an outage of 10 s, of the folder `away`, to the last picture published."""
    export.empty()
    with running(folder, export, **environment(settings)) as (tree, _):
        tree.wait_until_ready()
        time.sleep(SETTLE_SECONDS)
        tree.feed(export)
        tree.wait_until_published(1)
        place = away(tree)
        hidden = place.with_name("away")
        place.rename(hidden)
        place.write_text("not the folder")
        time.sleep(10)
        place.unlink()
        hidden.rename(place)
        back = time.time()
        watch(tree, lambda: finished(tree) >= len(export.photographs))
        return max(moment(record) for record in tree.events("job.published")) - back


def compare_recovery(folder: Path, export: Export) -> list[tuple[str, ...]]:
    """How long the last picture takes to be published after an outage."""
    cases = [
        (f"the storage's folder, breaker.timeout_seconds = {seconds}", {"BREAKER__TIMEOUT_SECONDS": str(seconds)}, True)
        for seconds in (60, 10)
    ]
    cases += [
        (
            f"the same, 10 s and breaker.failures = {count}",
            {"BREAKER__FAILURES": str(count), "BREAKER__TIMEOUT_SECONDS": "10"},
            True,
        )
        for count in (1, 1000)
    ]
    cases += [
        (
            f"the export's folder, RETRY_DELAY_BASE_SECS={seconds}",
            {"RETRY__BASE_SECONDS": str(seconds), "SPOOL__MAX_MB": "1"},
            False,
        )
        for seconds in (60, 5)
    ]
    rows: list[tuple[str, ...]] = []
    for number, (name, settings, is_storage) in enumerate(cases):
        here = folder / f"outage-{number}"
        away = (lambda tree: tree.state_dir / "media") if is_storage else (lambda tree: export.folder)
        rows.append((name, f"{after_outage(here, export, settings, away):.1f}"))
        say(" ".join(rows[-1]))
    return rows


def kill_again_and_again(folder: Path, export: Export, delay: float, times: int = 6) -> list[float]:
    """Seconds from each kill of the uploader to its successor's readiness, one right after the other."""
    export.empty()
    found = []
    with running(folder, export, **environment({"SUPERVISOR__RESTART_DELAY_SECONDS": f"{delay}"})) as (tree, _):
        tree.wait_until_ready()
        for _ in range(times):
            killed = tree.kill_child("uploader")
            found.append(moment(tree.wait_until_replaced("uploader", killed)) - killed)
    return found


def until_given_up(folder: Path, export: Export, most: int) -> tuple[int, int]:
    """How many deaths of the uploader the tree survives, and its exit code."""
    export.empty()
    with running(folder, export, **environment({"SUPERVISOR__MAX_RESTARTS": f"{most}"})) as (tree, _):
        tree.wait_until_ready()
        assert tree.root is not None
        for deaths in range(1, most + 2):
            killed = tree.kill_child("uploader")
            if deaths <= most:
                tree.wait_until_replaced("uploader", killed)
        return deaths, tree.wait()


def hang(folder: Path, export: Export, seconds: float) -> float:
    """Seconds from when an image worker stops, with a picture in hand, to its successor's readiness."""
    export.fill()
    with running(folder, export, **environment({"POOL__JOB_SECONDS": f"{seconds}"})) as (tree, _):
        name = wait_for("a job", lambda: next((n for n in ("image-1", "image-2") if tree.row(n).get("job")), None))
        tree.strike(name, signal.SIGSTOP)
        stopped = time.time()
        return moment(tree.wait_until_replaced(name, stopped)) - stopped


# Idle


def idle(folder: Path, export: Export, beat: str, seconds: float) -> tuple[float, float]:
    """CPU of the connection in percent of a core, and milliseconds of a GET /status."""
    export.empty()
    with running(folder, export, HEARTBEAT_SECS=beat) as (tree, _):
        tree.wait_until_ready()
        tree.wait_until_idle()
        pid, address = tree.living()["connection"], urlsplit(tree.url() or "").netloc
        before = cpu_seconds(pid)
        time.sleep(seconds)
        cpu = 100 * (cpu_seconds(pid) - before) / seconds
        return cpu, statistics.median(ask(address) for _ in range(20))


# The report


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run tuning", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default="", metavar="WORD", help="settings with this word in their name")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    with workplace(3000) as folder:
        heading(
            "tuning",
            f"{options.pictures} JPEGs of 1280 pixels, {options.rounds} pairs. Ratios are to a run with the defaults"
            " right before; medians.",
        )
        export = make_export(folder / "export", options.pictures)
        if "work" in options.parts:
            report_work(folder, export, options.rounds, options.only)
        if "large" in options.parts:
            report_large(folder, options.only)
        if "recovery" in options.parts:
            report_recovery(folder, export)
            report_restarts(folder, export)
        if "idle" in options.parts:
            report_idle(folder, export)


def report_work(folder: Path, export: Export, rounds: int, only: str) -> None:
    titles = ("setting", "pictures/s, ratio", "CPU, ratio", "bytes, ratio", "peak PSS of the defaults, MiB", "with it")
    table(titles, compare_work(folder, export, rounds, only))


def report_large(folder: Path, only: str) -> None:
    print("One picture of 24 and one of 48 megapixels:\n")
    titles = ("setting", "published", "dead", "peak RSS of a worker, MiB", "peak PSS of the tree")
    table(titles, compare_large(folder, only))


def report_recovery(folder: Path, export: Export) -> None:
    table(("10 s without …", "from its end to the last picture, s"), compare_recovery(folder, export))


def report_restarts(folder: Path, export: Export) -> None:
    rows = []
    for delay in (10, 1):
        times = kill_again_and_again(folder / f"killed-{delay}", export, delay)
        rows.append((f"SUPERVISOR_RESTART_DELAY={delay}", *(f"{one:.1f}" for one in times)))
        say(" ".join(rows[-1]))
    table(("the uploader is killed, s to ready", *(f"{n}." for n in range(1, 7))), rows)
    deaths, code = until_given_up(folder / "given-up", export, 3)
    print(f"SUPERVISOR_MAX_RESTARTS=3: at death {deaths} of the uploader the tree ends, with exit code {code}.\n")
    hung = [(f"pool.job_seconds = {n}", f"{hang(folder / f'hung-{n}', export, n):.1f}") for n in (60, 10)]
    table(("an image worker hangs with a picture in hand", "to ready again, s"), hung)


def report_idle(folder: Path, export: Export) -> None:
    beats = [(beat, *idle(folder / f"beat-{beat}", export, beat, 20.0)) for beat in ("60", "1", "0.1")]
    rows = [(f"HEARTBEAT_SECS={beat}", f"{cpu:.2f}%", f"{ms:.1f}") for beat, cpu, ms in beats]
    table(("idle", "the connection, of a core", "GET /status, ms"), rows)


if __name__ == "__main__":
    main()
