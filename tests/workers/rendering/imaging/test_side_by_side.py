"""Several renditions at once: the outcome is that of one thread, and nothing runs on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from PIL import Image

from tests.instance import HOME
from tests.workers.rendering.imaging.test_codec import LIMITS, encoded, soft
from workers.rendering.imaging import CodecFault, Ladder, OutOfMemory
from workers.rendering.imaging.codec import encoder, pipeline, side_by_side

LADDER = Ladder((16, 32, 64, 128), webp=True, avif=True, jpeg_width=50, preview=True)


def helpers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("side-by-side")]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_the_bytes_are_those_of_one_thread(mode: str) -> None:
    picture = soft((320, 240))
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    data = encoded(picture, "PNG")
    alone = pipeline.develop(data, LIMITS, LADDER, None)
    ladder = {f"{width}.{name}" for width in (128, 64, 32, 16) for name in ("webp", "avif")}
    assert set(alone[1]) == ladder | {"50.jpg", "preview.jpg"}
    for threads in (2, 4, 99):
        several = pipeline.develop(data, LIMITS, LADDER, None, threads)
        assert several == alone
        assert list(several[1]) == list(alone[1])
        assert not helpers()


def test_works_are_done_at_once() -> None:
    """Each waits until all have begun."""
    together = threading.Barrier(4, timeout=60)
    numbers = side_by_side.run([together.wait for _ in range(4)], 4)
    assert sorted(numbers) == [0, 1, 2, 3]


@pytest.mark.parametrize("fails_itself", [False, True], ids=["a later work fails", "what makes them fails"])
def test_the_first_failure_by_order_is_raised_and_the_others_are_awaited(fails_itself: bool) -> None:
    later_failed, ended = threading.Event(), []

    def first() -> None:
        assert later_failed.wait(60)
        ended.append("first")
        raise ValueError("first")

    def second() -> None:
        later_failed.set()
        raise KeyError("second")

    def works() -> Iterator[Callable[[], None]]:
        yield first
        if not fails_itself:
            yield second
        later_failed.set()
        raise IndexError("none left")

    with pytest.raises(ValueError, match="first"):
        side_by_side.run(works(), 2)
    assert ended == ["first"]
    assert not helpers()


def test_an_interruption_waits_for_those_at_work_and_begins_no_other() -> None:
    begun, interrupted, done = threading.Event(), threading.Event(), []

    def at_work() -> None:
        begun.set()
        assert interrupted.wait(60)
        done.append("at work")

    def works() -> Iterator[Callable[[], None]]:
        yield at_work
        assert begun.wait(60)
        yield lambda: done.append("waiting")
        threading.Timer(0.1, interrupted.set).start()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side.run(works(), 2)
    assert done == ["at work"]


WITHOUT_THREADS = """
import resource, threading
from ipc.kernel import proc
from workers.rendering.imaging.codec import side_by_side
room = proc.process_sizes()["VmData"] + (4 << 20)  # less than the stack of a thread
resource.setrlimit(resource.RLIMIT_DATA, (room, room))
try:
    threading.Thread(target=print).start()
except RuntimeError as error:
    print(error)
print(side_by_side.run([threading.get_ident] * 3, 3) == [threading.get_ident()] * 3)
done = []
try:
    side_by_side.run([lambda: done.append(1), lambda: 1 / 0, lambda: done.append(3)], 3)
except ZeroDivisionError:
    print(done)
"""


def test_without_a_thread_to_be_had_one_does_all_and_stops_at_a_failure() -> None:
    child = subprocess.run(
        [sys.executable, "-c", WITHOUT_THREADS], cwd=HOME, capture_output=True, text=True, check=False
    )
    assert (child.stdout, child.stderr) == ("can't start new thread\nTrue\n[1]\n", "")


def test_an_encoder_that_fails_in_a_thread_is_told_as_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    really = encoder.encode

    def encode(picture: Image.Image, name: str, *more: object) -> tuple[bytes, str]:
        if (picture.width, name) in ((128, "avif"), (64, "webp"), (16, "avif")):
            raise ValueError(f"{name} of {picture.width}")
        return really(picture, name, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(encoder, "encode", encode)
    data = encoded(soft((320, 240)), "PNG")
    for threads in (1, 2, 4):
        with pytest.raises(CodecFault, match="avif of 128") as caught:
            pipeline.develop(data, LIMITS, LADDER, None, threads)
        assert (caught.value.codec, caught.value.broken) == ("AVIF encoder", False)
        with pytest.raises(OutOfMemory):
            pipeline.develop(data, LIMITS, LADDER, 1, threads)
        assert not helpers()
