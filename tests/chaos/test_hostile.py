"""Many files that mean harm, among twenty good ones: the good ones are published, and nothing else happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image

from ipc.kernel import proc
from supervisor.resources.memory import MIB
from tests.chaos import hostile
from tests.chaos.hostile import Hostile
from tests.instance import DEADLINE_SECONDS, Instance, wait_for
from tests.lengths import length, seed_of_the_run
from tests.pictures import draw, message, write_result
from workers.rendering.imaging.containers import endings, mend

FILES = length(120, 5000)
GOOD = 20
CAP_MIB = 300
LARGEST_CAP = 2 * CAP_MIB * MIB
"""Of a try alone."""

SHARED_BYTES = 64 * MIB
"""The pages of libraries, which are resident too and no allocation."""

MORE = f"""
[images]
widths = [100, 200]
[pool]
workers = 2
job_seconds = 20
memory_cap_mb = {CAP_MIB}
memory_soft_mb = 200
"""


def test_the_good_ones_are_published_and_nothing_else_happens(
    tmp_path: Path, make_instance: Callable[..., Instance]
) -> None:
    files = hostile.make(seed_of_the_run(), FILES)
    kinds = make_export(tmp_path / "export", files)
    instance = make_instance(tmp_path / "export", workers=2)
    instance.config.write_text(instance.config.read_text().replace("[pool]\nworkers = 2", MORE))
    instance.start()
    peaks, allocated = dict[str, int](), dict[str, int]()
    wait_for(
        "all to be published or dead", lambda: is_done(instance, peaks, allocated), length(2, 20) * DEADLINE_SECONDS
    )

    tree = {row["name"]: row for row in (instance.status() or {"tree": []})["tree"]}
    above = [name for name in tree if not name.startswith("image")]
    assert {name: tree[name]["restarts"] for name in above} == dict.fromkeys(above, 0)
    assert 0 < max(allocated.values()) <= LARGEST_CAP, "the kernel holds what it allocates to the cap (RLIMIT_DATA)"
    assert max(peaks.values()) < 1.05 * LARGEST_CAP + SHARED_BYTES
    dead = {one["message_id"]: one["reason"] for one in dead_letters(instance)}
    assert instance.stop() == 0
    published = {row["message_id"] for row in instance.rows()}
    assert published | dead.keys() == kinds.keys() and not published & dead.keys()
    assert all(dead.values())
    assert {one for one, kind in kinds.items() if kind is None} <= published
    for kind in filter(None, (kinds[one] for one in published)):
        print(f"published, for it can be shown: {kind.what}")
        assert not kind.is_surely_dead, kind.what
        assert_can_be_shown(kind)
    instance.assert_published(sorted(published))
    instance.assert_nothing_left(dead=len(dead))
    assert not Path("/tmp/hostile").exists()


def make_export(folder: Path, files: list[Hostile]) -> dict[int, Hostile | None]:
    """The hostile ones, and after every tenth a good one (None); by message id."""
    (folder / "photos").mkdir(parents=True)
    hostile.lay_traps(folder)
    kinds: dict[int, Hostile | None] = {}
    messages = []
    step = len(files) // GOOD
    everything = [one for at, file in enumerate(files, 1) for one in ([file, None] if at % step == 0 else [file])]
    for number, kind in enumerate(everything, 1):
        name = f"photos/photo_{number}@01-02-2025_10-00-00.jpg"
        if kind is None:
            draw(folder / name, number, (240, 180))
        elif not kind.name:
            (folder / name).write_bytes(kind.data)
        kinds[number] = kind
        messages.append(message(number, photo=kind.name if kind and kind.name else name, width=96, height=72))
    write_result(folder, messages)
    return kinds


def is_done(instance: Instance, peaks: dict[str, int], allocated: dict[str, int]) -> bool:
    """Whether it is; notes the highest peak of each image worker's memory, and the most that it had allocated."""
    for row in (instance.status() or {"tree": []})["tree"]:
        name = row["name"]
        if name.startswith("image"):
            sizes = proc.process_sizes(row.get("pid", 0))
            peaks[name] = max(peaks.get(name, 0), row.get("peak_rss_bytes", 0), sizes.get("VmHWM", 0))
            allocated[name] = max(
                allocated.get(name, 0), sizes.get("VmData", 0) if row.get("state") == "running" else 0
            )
    return instance.is_done()


def dead_letters(instance: Instance) -> list[dict[str, object]]:
    lines = instance.command("dead", "--json").stdout.splitlines()
    return [json.loads(line) for line in lines]


def assert_can_be_shown(kind: Hostile) -> None:
    mended = mend(kind.data)  # a bomb in what is not needed costs nobody the picture
    with Image.open(BytesIO(next(endings(mended), mended))) as image:
        image.load()


def test_the_same_seed_makes_the_same_files_and_they_are_small() -> None:
    made = hostile.make(7, FILES)
    assert made == hostile.make(7, FILES) != hostile.make(8, FILES)
    assert max(len(one.data) for one in made) < 5 * MIB
