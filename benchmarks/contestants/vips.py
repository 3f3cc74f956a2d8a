"""The ladder by pyvips, as fast as it goes: a process a core, each width from the next larger one, one thread each.

Called with a JSON file as `benchmarks/sharp/ladder.mjs` is (`concurrency` and `chained` are ignored); prints the same.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any


def rendered(path: Path, config: dict[str, Any], out: Path | None) -> None:
    import pyvips  # noqa: PLC0415 - after VIPS_CONCURRENCY is set, in the process that uses it

    data = path.read_bytes()
    whole = pyvips.Image.new_from_buffer(data, "")
    widths = sorted({min(step, whole.width) for step in config["widths"]}, reverse=True)
    picture = None
    for step in widths:
        height = max(1, round(step * whole.height / whole.width))
        options = {"height": height, "size": "force"}
        if picture is None:
            made = pyvips.Image.thumbnail_buffer(data, step, **options)
        else:
            made = picture.resize(step / picture.width, vscale=height / picture.height)
        picture = made.copy_memory()
        webp = picture.webpsave_buffer(Q=config["webp"]["quality"], effort=config["webp"]["effort"], keep="none")
        avif = picture.heifsave_buffer(
            compression="av1",
            Q=config["avif"]["quality"],
            effort=config["avif"]["effort"],
            subsample_mode="on",
            tune=config["avif"]["tune"],
            keep="none",
        )
        for name, content in (("webp", webp), ("avif", avif)):
            if out:
                (out / f"{path.stem}-{step}.{name}").write_bytes(content)


def loop(config: dict[str, Any], taken: Synchronized[int], barrier: Barrier, ends: Any) -> None:
    """One process: its share of the pictures. Puts its start and end (monotonic seconds)."""
    files = [Path(name) for name in config["files"]]
    rendered(files[0], config, None)
    barrier.wait(120)
    start = time.monotonic()
    while True:
        with taken.get_lock():
            number = taken.value
            taken.value += 1
        if number >= len(files):
            break
        rendered(files[number], config, Path(config["out"]))
    ends.put((start, time.monotonic()))


def main() -> None:
    os.environ["VIPS_CONCURRENCY"] = "1"
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    context = multiprocessing.get_context("spawn")
    taken, barrier, ends = context.Value("i", 0), context.Barrier(config["jobs"]), context.SimpleQueue()
    processes = [context.Process(target=loop, args=(config, taken, barrier, ends)) for _ in range(config["jobs"])]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(f"picturedesk: a process of pyvips ended with {process.exitcode}")
    spans = [ends.get() for _ in processes]
    print(json.dumps({"seconds": max(end for _, end in spans) - min(start for start, _ in spans)}))


if __name__ == "__main__":
    main()
