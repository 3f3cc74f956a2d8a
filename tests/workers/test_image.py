"""The image worker: an answer to every order, whatever the picture does, under the order's own memory cap."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from structlog.testing import capture_logs

from ipc.files.workplace import Workplace
from ipc.transport.messages import (
    MAX_BYTES,
    NOT_STRIPPED,
    JobDone,
    JobFailed,
    Message,
    Ready,
    RenderRequest,
    Wake,
    encode,
)
from tests.instance import HOME, wait_for
from tests.pictures import draw
from tests.workers.desk import Desk, FakeTree
from tests.workers.rendering.imaging.test_codec import without_svt
from workers import image, stripping
from workers.image import main
from workers.pool import Pool
from workers.rendering import imaging, rlimits
from workers.rendering.imaging.codec import animation
from workers.rendering.imaging.presets import PRESETS
from workers.rendering.renderer import render
from workers.rendering.rlimits import set_memory_cap
from workers.rendering.verdicts.reply_check import is_sound

MIB = 1024 * 1024
LIMITS = imaging.Limits(max_bytes=5_000_000, max_dimension=4000, max_pixels=16_000_000)
LADDER = imaging.Ladder((160, 320), webp=True, avif=True)
OPTIONS: dict[str, Any] = {
    "limits": {"max_bytes": 5_000_000, "max_dimension": 4000, "max_pixels": 16_000_000},
    "ladder": {"widths": [160, 320], "webp": True, "avif": True},
    "strip": True,
    "gc_every": 2,
    "largest_cap_bytes": 0,
}
POOL = {
    "job_seconds": 60.0,
    "deadline_multiplier": 4,
    "poison_after": 2,
    "cap_bytes": 0,
    "large_cap": 2,
    "soft_cap_bytes": 0,
    "processors": 2,
}
RENDITIONS = {"160.webp", "160.avif", "320.webp", "320.avif"}


@pytest.fixture(autouse=True)
def limits_as_they_were() -> Iterator[None]:
    """The worker changes its process: here that is the tests' own."""
    kinds = (resource.RLIMIT_DATA, resource.RLIMIT_CPU)
    before = {kind: resource.getrlimit(kind) for kind in kinds}
    yield
    for kind, limits in before.items():
        resource.setrlimit(kind, limits)


@pytest.fixture
def place(desk: Desk, tmp_path: Path) -> Workplace:
    """The worker's workplace with a real picture in it."""
    place = Workplace(desk.spool.root, desk.context().name)
    place.make()
    draw(tmp_path / "picture.jpg", seed=1)
    shutil.move(tmp_path / "picture.jpg", place.readable / "original")
    return place


def order(cap_bytes: int = 0, cpu_seconds: float = 0.0) -> RenderRequest:
    return RenderRequest(1, 1, cap_bytes, cpu_seconds)


def results(place: Workplace) -> set[str]:
    return {path.name for path in place.writable.iterdir()}


def refusal(answer: Message) -> tuple[str, str]:
    """Verdict and reason of a failure."""
    assert isinstance(answer, JobFailed)
    assert (answer.job_id, answer.generation) == (1, 1)
    assert is_sound(answer)
    assert len(encode(answer)) <= MAX_BYTES
    return answer.verdict, answer.reason


# Answers


def test_a_picture_is_rendered(place: Workplace) -> None:
    answer = render(order(), place, LIMITS, LADDER)
    assert isinstance(answer, JobDone)
    assert (answer.job_id, answer.generation) == (1, 1)
    assert (answer.mime, answer.extension, answer.width, answer.height) == ("image/jpeg", "jpg", 480, 360)
    assert answer.rss_bytes > MIB
    assert {f"{width}.{name}": size for width, _, name, size in answer.renditions} == {
        path.name: path.stat().st_size for path in place.writable.iterdir()
    }
    assert results(place) == RENDITIONS
    assert is_sound(answer)
    assert len(encode(answer)) <= MAX_BYTES


def test_a_request_with_terms_is_rendered_by_these(place: Workplace) -> None:
    own = image.RenderingTerms(LIMITS, LADDER, strip=False)
    ladder = {"widths": [90], "webp": True, "avif": False}
    limits = {"max_bytes": MIB, "max_dimension": 1000, "max_pixels": MIB}
    request = replace(order(), terms={"limits": limits, "ladder": ladder, "strip": True})
    answer = image.render_by(request, place, own)
    assert isinstance(answer, JobDone)
    assert results(place) == {"90.webp", "stripped"} and answer.stripped_bytes > 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"limits": {"max_bytes": 10, "max_dimension": 1000, "max_pixels": MIB}}, "too large"),
        ({"ladder": {"widths": [90], "webp": True, "avif": False, "jxl": True}}, "does not know"),
        ({"strip": True}, ""),
    ],
    ids=["its limits", "an unknown format", "its own"],
)
def test_terms_have_limits_and_may_be_unknown(change: dict[str, Any], reason: str, place: Workplace) -> None:
    own = image.RenderingTerms(LIMITS, LADDER, strip=False)
    terms = {
        "limits": {"max_bytes": MIB, "max_dimension": 1000, "max_pixels": MIB},
        "ladder": {"widths": [], "webp": False, "avif": False},
        "strip": False,
        **change,
    }
    answer = image.render_by(replace(order(), terms=terms), place, own)
    if reason:
        verdict, told = refusal(answer)
        assert reason in told and verdict == ("bad" if "large" in reason else "passing")
    else:
        assert isinstance(answer, JobDone) and answer.renditions == []


def test_a_fallback_is_logged_and_told(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "balanced", without_svt())
    with capture_logs() as logs:
        answer = render(order(), place, LIMITS, LADDER)
    assert isinstance(answer, JobDone)
    assert (answer.fallbacks, answer.fallback_reason[:7]) == (2, "SVT-AV1")
    assert [(one["log_level"], one["job"], one["why"]) for one in logs] == [("warning", 1, answer.fallback_reason)]
    assert is_sound(answer)
    assert len(encode(answer)) <= MAX_BYTES


@pytest.mark.parametrize(("broken", "counted"), [(True, 1), (False, 0)], ids=["an encoder", "no time"])
def test_an_animation_that_an_encoder_stilled_is_counted(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, broken: bool, counted: int
) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    frames[0].save(place.readable / "original", "GIF", save_all=True, append_images=frames[1:])
    monkeypatch.setitem(animation.ENCODERS, "webp", lambda *_: 1 / 0 if broken else "")
    seconds = 60.0 if broken else -1.0
    monkeypatch.setattr(imaging, "seconds_for", lambda _: seconds)
    ladder = imaging.Ladder((160,), webp=True, avif=False, animations=True)
    with capture_logs() as logs:
        answer = render(order(), place, LIMITS, ladder)
    assert isinstance(answer, JobDone) and is_sound(answer)
    assert answer.fallbacks == counted
    assert [one["event"] for one in logs] == ["animation.stilled", "encoder.replaced"][: 1 + counted]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"not a picture at all", "not"),
        (b"%PDF-1.7 " + bytes(100), "PDF"),
        (b"\xff\xd8\xff\xe0" + bytes(range(256)) * 9, ""),
    ],
    ids=["empty", "text", "PDF", "a broken JPEG"],
)
def test_a_bad_picture(place: Workplace, data: bytes, reason: str) -> None:
    (place.readable / "original").write_bytes(data)
    verdict, text = refusal(render(order(), place, LIMITS, LADDER))
    assert verdict == "bad"
    assert reason in text
    assert text
    assert results(place) == set()


def test_half_a_picture(place: Workplace) -> None:
    whole = (place.readable / "original").read_bytes()
    (place.readable / "original").write_bytes(whole[: len(whole) // 2])
    assert refusal(render(order(), place, LIMITS, LADDER))[0] == "bad"


def test_a_picture_beyond_the_limits(place: Workplace) -> None:
    limits = imaging.Limits(max_bytes=100, max_dimension=4000, max_pixels=16_000_000)
    assert refusal(render(order(), place, limits, LADDER))[0] == "bad"


@pytest.mark.parametrize("missing", ["the original", "the folder"])
def test_what_is_not_there(place: Workplace, missing: str) -> None:
    (place.readable / "original").unlink()
    if missing == "the folder":
        place.readable.rmdir()
    verdict, text = refusal(render(order(), place, LIMITS, LADDER))
    assert verdict == "missing"
    assert "original" in text


def test_a_fault_of_the_disk_is_no_verdict_on_the_picture(place: Workplace) -> None:
    (place.writable / "320.webp").mkdir()
    verdict, text = refusal(render(order(), place, LIMITS, LADDER))
    assert verdict == "passing"
    assert "IsADirectoryError" in text


@pytest.mark.parametrize(
    ("error", "verdict", "reason"),
    [
        (MemoryError(), "memory", "no memory left"),
        (imaging.OutOfMemory("12 MP"), "memory", "12 MP"),
        (imaging.BadPicture("œ" * 5000), "bad", "œ"),
        (imaging.CodecFault("WebP encoder", ValueError("œ" * 5000), broken=True), "broken", "WebP encoder failed"),
        (imaging.CodecFault("WebP encoder", ValueError("why"), broken=False), "passing", "ValueError: why"),
        (ValueError("what?"), "passing", "ValueError: what?"),
        (RecursionError("too deep"), "passing", "RecursionError: too deep"),
        (OSError(28, "No space left on device"), "machine", "No space left on device"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_whatever_is_raised_becomes_an_answer(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, error: Exception, verdict: str, reason: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(imaging, "render", fail)
    found, text = refusal(answer := render(order(), place, LIMITS, LADDER))
    assert found == verdict
    assert reason in text
    assert isinstance(answer, JobFailed)
    assert answer.codec == (error.codec if isinstance(error, imaging.CodecFault) else "")


def test_rendering_twice_gives_the_same_files(place: Workplace) -> None:
    def contents() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in place.writable.iterdir()}

    render(order(), place, LIMITS, LADDER)
    first = contents()
    render(order(), place, LIMITS, LADDER)
    assert contents() == first


# Memory


def soft_cap() -> int:
    return resource.getrlimit(resource.RLIMIT_DATA)[0]


def test_each_job_has_its_own_cap(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, object]] = []

    def look(original: Path, target: Path, limits: object, ladder: object, cap_bytes: int | None, *_: object) -> None:
        seen.append((soft_cap(), cap_bytes))
        raise imaging.BadPicture("enough seen")

    monkeypatch.setattr(imaging, "render", look)
    for cap in (8 << 30, 16 << 30, 4 << 30, 0):
        render(order(cap), place, LIMITS, LADDER)
    assert seen == [(8 << 30, 8 << 30), (16 << 30, 16 << 30), (4 << 30, 4 << 30), (resource.RLIM_INFINITY, None)]


def test_a_job_on_several_threads_gives_the_same_files(place: Workplace) -> None:
    def made(threads: int) -> tuple[Message, dict[str, bytes]]:
        answer = render(RenderRequest(1, 1, 0, 0.0, threads), place, LIMITS, LADDER)
        assert isinstance(answer, JobDone)
        files = {path.name: path.read_bytes() for path in place.writable.iterdir()}
        place.clear()
        (place.readable / "original").write_bytes(original)
        return replace(answer, rss_bytes=0), files

    original = (place.readable / "original").read_bytes()
    before = threading.active_count()
    assert made(1) == made(3)
    assert threading.active_count() == before


IN_A_PROCESS = """
import resource, sys
from pathlib import Path
from tests.workers import test_image as test
from workers.rendering import imaging
imaging.warm_up()
"""


def run(code: str, *words: str) -> str:
    """What the code prints, in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS + code, *words], cwd=HOME, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_cap_too_small_is_no_verdict_and_the_next_job_has_its_own(
    desk: Desk, place: Workplace, tmp_path: Path
) -> None:
    large = Workplace(tmp_path / "spool", "large")
    (tmp_path / "spool").mkdir()
    large.make()
    Image.new("RGB", (4000, 4000), "teal").save(large.readable / "original", "PNG")  # 61 MiB once it is decoded
    code = """
data = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) * 1024
places = [test.Workplace(Path(sys.argv[1]), "large"), test.Workplace(Path(sys.argv[2]), sys.argv[3])]
for more, number in [(45, 0), (900, 0), (45, 0), (45, 1), (900, 0)]:
    answer = test.render(test.order(data + (more << 20)), places[number], test.LIMITS, test.LADDER)
    print(getattr(answer, "verdict", "done"))
"""
    words = (str(tmp_path / "spool"), str(desk.spool.root), desk.context().name)
    assert run(code, *words).split() == ["memory", "done", "memory", "done", "done"]


def test_the_hard_limit_is_kept_and_never_exceeded() -> None:
    code = """
hard = 8 << 30
resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
for cap in (1 << 30, 16 << 30, 2 << 30, 0):
    test.set_memory_cap(cap)
    print(*(limit >> 30 for limit in resource.getrlimit(resource.RLIMIT_DATA)), end=",")
"""
    assert run(code) == "1 8,8 8,2 8,8 8,"


def test_no_cap_is_no_limit() -> None:
    set_memory_cap(8 << 30)
    set_memory_cap(0)
    assert soft_cap() == resource.getrlimit(resource.RLIMIT_DATA)[1]


def test_a_job_that_never_ends_is_ended_by_the_kernel() -> None:
    """Even if nobody else looks."""
    code = """
import os, signal
from workers.rendering import rlimits
rlimits.CPU_MARGIN_SECONDS = 0.0
rlimits.set_time_limit(0.1)
if os.fork() == 0:
    while True:
        pass
rlimits.set_time_limit(0.0)
print(os.wait()[1] == signal.SIGXCPU, resource.getrlimit(resource.RLIMIT_CPU)[0] == resource.RLIM_INFINITY)
"""
    assert run(code).strip() == "True True"


def test_every_job_has_its_own_time(place: Workplace) -> None:
    assert isinstance(render(order(cpu_seconds=100.0), place, LIMITS, LADDER), JobDone)
    soft, _ = resource.getrlimit(resource.RLIMIT_CPU)
    used = time.process_time()
    assert used + 100 < soft <= used + 100 + rlimits.CPU_MARGIN_SECONDS + 1


def test_what_no_job_can_go_beyond() -> None:
    code = """
from workers.rendering.rlimits import FILE_BYTES, set_hard_limits
set_hard_limits(8 << 30)
kinds = ("DATA", "FSIZE", "NOFILE", "CORE")
print(*(resource.getrlimit(getattr(resource, f"RLIMIT_{kind}")) for kind in kinds))
"""
    assert run(code).strip() == f"{(8 << 30, 8 << 30)} {(1 << 30, 1 << 30)} (256, 256) (0, 0)"


# The loop


@pytest.fixture
def worker(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Message]]:
    """A worker's main function at work in a thread; gives what it says next."""
    monkeypatch.setattr(image, "set_hard_limits", lambda cap_bytes: None)
    thread = threading.Thread(target=main, args=(desk.context(**OPTIONS, spool=str(desk.spool.root)),))
    heard: list[Message] = []

    def hear() -> Message:
        def look() -> bool:
            heard.extend(desk.said())
            return bool(heard)

        wait_for("the worker to speak", look)
        return heard.pop(0)

    thread.start()
    yield hear
    desk.ask_to_stop()
    thread.join(30)
    assert not thread.is_alive()
    assert not heard
    assert not desk.said()


def test_main_renders_one_after_another_until_it_is_stopped(
    desk: Desk, place: Workplace, worker: Callable[[], Message]
) -> None:
    assert worker() == Ready()
    desk.send(Wake("fetched"))  # no order: passed over
    for _ in range(3):
        desk.send(order())
    for _ in range(3):
        assert isinstance(worker(), JobDone)
    (place.readable / "original").write_bytes(b"")
    desk.send(order())
    assert refusal(worker())[0] == "bad"
    draw(place.writable / "again.jpg", seed=3)
    (place.writable / "again.jpg").replace(place.readable / "original")
    desk.send(order())
    assert isinstance(worker(), JobDone)  # a bad picture is no reason to end


def test_a_broken_codec_ends_no_worker(
    desk: Desk, place: Workplace, worker: Callable[[], Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    warmed = threading.Event()

    def fail(*_: object) -> None:
        warmed.set()
        raise AttributeError("gone")

    monkeypatch.setattr(imaging, "warm_up", fail)
    assert worker() == Ready()
    assert warmed.wait(30)
    desk.send(order())
    assert isinstance(worker(), JobDone)


def test_memory_is_given_back_soon_after_the_last_job(
    desk: Desk, place: Workplace, worker: Callable[[], Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    trimmed = threading.Event()
    monkeypatch.setattr(imaging, "trim", trimmed.set)
    monkeypatch.setattr(image, "POLL_SECONDS", 3600.0)
    assert worker() == Ready()
    desk.send(order())
    assert isinstance(worker(), JobDone)
    assert trimmed.wait(30)


def test_a_stop_lets_the_job_in_hand_be_finished(desk: Desk, place: Workplace) -> None:
    code = """
from tests.workers.desk import Desk
desk = Desk(Path(sys.argv[1]))
for _ in range(2):
    desk.send(test.order())
render = imaging.render
def stop_meanwhile(*words):
    desk.ask_to_stop()
    return render(*words)
imaging.render = stop_meanwhile
test.main(desk.context(**test.OPTIONS, spool=sys.argv[2]))
print(*(type(message).__name__ for message in desk.said()))
print(desk.context().receive(0) is not None)
"""
    said, one_is_left = run(code, str(desk.state_dir), str(desk.spool.root)).splitlines()
    assert (said, one_is_left) == ("Ready JobDone", "True")


def test_the_pools_orders_and_the_workers_answers_fit(desk: Desk, tmp_path: Path) -> None:
    """A picture and a text, through the pool with the worker's own function in between."""
    draw(tmp_path / "picture.jpg", seed=4)
    desk.fetch(1, (tmp_path / "picture.jpg").read_bytes())
    desk.fetch(2, b"not a picture")
    tree = FakeTree("image-1")
    place = Workplace(desk.spool.root, "image-1")
    place.make()
    pool = Pool(tree, desk.context(**POOL))
    pool.on_ready("image-1")
    for number in range(2):
        _, message = tree.sent[number]
        assert isinstance(message, RenderRequest)
        pool.on_message("image-1", render(message, place, LIMITS, LADDER))
    assert [desk.of(number).state for number in (1, 2)] == ["rendered", "seen"]
    assert [bool(desk.of(number).doubted) for number in (1, 2)] == [False, True]
    assert {f"{one.width}.{one.format}" for one in desk.of(1).renditions} == RENDITIONS


# The original without metadata


def test_a_picture_is_stripped_where_that_is_wanted(place: Workplace) -> None:
    draw(place.writable / "marked.jpg", seed=1)
    with Image.open(place.writable / "marked.jpg") as picture:
        picture.save(place.readable / "original", "JPEG", comment=b"PLANTED")
    (place.writable / "marked.jpg").unlink()
    answer = render(order(), place, LIMITS, LADDER, strip=True)
    assert isinstance(answer, JobDone) and is_sound(answer)
    assert results(place) == RENDITIONS | {"stripped"}
    assert b"PLANTED" in (place.readable / "original").read_bytes()
    assert b"PLANTED" not in (place.writable / "stripped").read_bytes()
    assert answer.stripped_bytes == (place.writable / "stripped").stat().st_size


def test_a_picture_that_cannot_be_stripped_is_rendered_all_the_same(place: Workplace) -> None:
    """Decoders take a GIF without its end; what follows its frames, nobody can say."""
    Image.new("P", (400, 300)).save(place.readable / "original", "GIF")
    data = (place.readable / "original").read_bytes()
    (place.readable / "original").write_bytes(data.removesuffix(b";"))
    answer = render(order(), place, LIMITS, LADDER, strip=True)
    assert isinstance(answer, JobDone) and is_sound(answer)
    assert answer.stripped_bytes == 0
    assert results(place) == RENDITIONS


def test_a_fault_of_the_stripper_costs_the_original_alone(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stripping.STRIPPERS, "jpg", lambda data: dict[bytes, bytes]()[data])
    with capture_logs() as logs:
        answer = render(order(), place, LIMITS, LADDER, strip=True)
    assert isinstance(answer, JobDone) and answer.stripped_bytes == 0
    assert [one["log_level"] for one in logs] == ["error"]
    assert results(place) == RENDITIONS


def test_nothing_is_stripped_where_nobody_wants_it(place: Workplace) -> None:
    answer = render(order(), place, LIMITS, LADDER)
    assert isinstance(answer, JobDone) and is_sound(answer)
    assert answer.stripped_bytes == NOT_STRIPPED
    assert not (place.writable / "stripped").exists()
