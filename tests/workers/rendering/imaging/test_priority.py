"""Pictures are made with no more right to the processors than anybody else has, also by root; and with the same
encoder where there is no right to give up, and none to give it up.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from PIL import Image

from tests.instance import HOME
from workers.rendering.imaging import Ladder, Limits, render
from workers.rendering.imaging.codec import encoder, pillow
from workers.rendering.imaging.memory import Gauge
from workers.rendering.imaging.presets import PRESETS
from workers.rendering.imaging.priority import give_up_priority

LIMITS = Limits(max_bytes=10_000_000, max_dimension=5_000, max_pixels=25_000_000)


def is_ordinary() -> bool:
    """Whether every thread of this process has the default scheduling."""
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            found.add(os.sched_getscheduler(int(thread.name)))
    return found == {os.SCHED_OTHER}


def test_rendering_leaves_nobody_with_real_time_priority(tmp_path: Path) -> None:
    """Neither while it goes on nor afterwards: what is started later would have it as well."""
    Image.effect_noise((1200, 900), 40).convert("RGB").save(tmp_path / "original", "JPEG")
    seen, over = [], threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.append(is_ordinary())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        rendered = render(tmp_path / "original", tmp_path, LIMITS, Ladder((640, 1200), webp=False, avif=True), None, 2)
    finally:
        over.set()
        watching.join()
    assert len(seen) > 3 and all(seen)
    assert is_ordinary() and os.sched_getscheduler(0) == os.SCHED_OTHER
    assert not rendered.fallbacks


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_given_up_is_gone_for_this_process_only() -> None:
    code = (
        "import os, subprocess, sys\n"
        "from workers.rendering.imaging.priority import give_up_priority; give_up_priority()\n"
        "try: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)); print('took it')\n"
        "except PermissionError: print('refused')"
    )
    assert run(code) == "refused\n"
    give_up_priority()
    give_up_priority()  # any number of times


UNDER_THE_FILTER = """
import ctypes, hashlib
from tests import unit_filter
from workers.rendering.imaging import Ladder, Limits
from workers.rendering.imaging.codec import pipeline, warming
samples = list(warming.samples())
{set_up}
print(ctypes.CDLL(None, use_errno=True).capset(0, 0), ctypes.get_errno())
for sample in samples:
    rendered, contents = pipeline.develop(sample, Limits(10**6, 1000, 10**6), Ladder((16, 64), True, True), None, 2)
    print(*rendered.fallbacks.values(), *(hashlib.sha256(content).hexdigest() for content in contents.values()))
"""


def test_the_units_filter_changes_no_byte() -> None:
    """The service has no capabilities and may not call capset: nothing is to be given up, and SVT encodes."""
    free, *as_they_are = run(UNDER_THE_FILTER.format(set_up="")).splitlines()
    set_up = "unit_filter.drop_capabilities(); unit_filter.put_on()"
    denied, *under_the_filter = run(UNDER_THE_FILTER.format(set_up=set_up)).splitlines()
    assert (free, denied) == ("-1 14", "-1 1"), "EFAULT, and EPERM"
    assert under_the_filter == as_they_are
    assert len(as_they_are) > 10 and not any("SVT" in line for line in as_they_are)


def test_a_right_that_cannot_be_given_up_is_not_made_use_of() -> None:
    """As by root under the filter alone. Better a larger file than a machine at a stand; and it is told."""
    holds = "0 == int(next(line for line in open('/proc/self/status') if line.startswith('CapEff'))[8:], 16) >> 23 & 1"
    if run(f"print({holds})") == "True\n":
        return  # nobody here holds it
    lines = run(UNDER_THE_FILTER.format(set_up="unit_filter.put_on()")).splitlines()[1:]
    reason = "SVT-AV1 at 64×43 pixels: real-time priority could not be given up first ([Errno 1] capset)"
    assert any(line.startswith(reason) for line in lines)


FAILING = """
from PIL import Image
Image.init()
really = Image.SAVE["AVIF"]
def fail(image, file, name, **more):
    if image.encoderinfo.get("codec") == "svt":
        raise RuntimeError("no such call")
    really(image, file, name, **more)
Image.SAVE["AVIF"] = fail
del samples[1:]
"""


def test_an_encoder_that_fails_under_the_filter_is_replaced_and_that_is_told() -> None:
    """Never a verdict on the picture: each rendition that is kept is there, by another encoder, with the reason."""
    set_up = "unit_filter.drop_capabilities(); unit_filter.put_on()" + FAILING
    _, line = run(UNDER_THE_FILTER.format(set_up=set_up)).splitlines()
    told = [f"SVT-AV1 at {width}×{height} pixels: RuntimeError: no such call" for width, height in ((64, 96), (16, 24))]
    assert line.startswith(" ".join(told))
    assert len(line.removeprefix(" ".join(told)).split()) == 3  # the narrow WebP has more bytes than the wide one


def test_what_only_another_encoder_takes_is_no_fallback() -> None:
    """The figures are those of the encoder at hand: SVT fails just beyond them."""
    for size, is_for_svt in [((4, 4), True), ((3, 9), False), ((9, 3), False), ((4, 8704), True), ((4, 8705), False)]:
        picture = Image.new("RGB", size, "teal")
        assert encoder.is_for_svt(picture) is is_for_svt
        assert (encoder.encode(picture, "avif", Gauge.start("a test", 0, None), PRESETS["balanced"])[1]) == ""
        if not is_for_svt:
            try:
                pillow.saved(picture, PRESETS["balanced"].avif_svt)
            except RuntimeError:
                continue
            raise AssertionError(f"SVT takes {size} now")
    assert not encoder.is_for_svt(Image.new("RGBA", (64, 64)))
