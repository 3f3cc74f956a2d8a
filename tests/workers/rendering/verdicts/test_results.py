"""What a worker has made is taken only where it is what the worker says; a worker that lies is found out."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from ipc.jobs import PREVIEW_SIZE, Job
from ipc.transport.messages import JobDone
from tests.workers.desk import WHOLE_LADDER, Desk, avif, jpeg, webp
from workers.rendering.imaging.codec import pipeline
from workers.rendering.imaging.codec.pillow import saved
from workers.rendering.imaging.presets import PRESETS
from workers.rendering.verdicts import headers, results
from workers.rendering.verdicts.results import FalseResult


@pytest.fixture
def job(desk: Desk) -> Job:
    return desk.fetch(1)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def done(desk: Desk, job: Job, out: Path) -> JobDone:
    desk.ladder = WHOLE_LADDER
    made = desk.write_ladder(job, out)
    (out / "stripped").write_bytes(b"\xff\xd8\xff, stripped")
    return replace(made, stripped_bytes=13)


def test_all_that_the_answer_names_is_moved_and_nothing_else(done: JobDone, out: Path, tmp_path: Path) -> None:
    (out / "more").write_bytes(b"of its own accord")
    results.take(done, out, tmp_path / "1.1")
    assert {path.name for path in (tmp_path / "1.1").iterdir()} == {*WHOLE_LADDER, "stripped"}
    assert [path.name for path in out.iterdir()] == ["more"]


def put(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


@pytest.mark.parametrize(
    ("name", "make", "what"),
    [
        ("320.webp", lambda path: None, "No such file"),
        ("320.webp", lambda path: path.symlink_to("/etc/hostname"), "symbolic links"),
        ("320.webp", lambda path: path.mkdir(), "no plain file"),
        ("320.webp", os.mkfifo, "no plain file"),
        ("320.webp", lambda path: os.link(path.parent / "640.webp", path), "no plain file of its own"),
        ("320.webp", lambda path: path.write_bytes(webp(320, 200) + b"more"), "bytes, not"),
        ("320.webp", lambda path: path.write_bytes(b"<html>".ljust(30)), "does not begin as webp"),
        ("320.webp", lambda path: path.write_bytes(webp(321, 200)), r"\(321, 200\) pixels, not \(320, 200\)"),
        ("320.avif", lambda path: path.write_bytes(avif(320, 2000)), r"\(320, 2000\) pixels"),
        ("320.avif", lambda path: path.write_bytes(b"\0\0\0\x0cftypavif".ljust(60, b"\0")), "of None pixels"),
        ("640.jpg", lambda path: path.write_bytes(b"<html>".ljust(29)), "does not begin as jpeg"),
        ("640.jpg", lambda path: path.write_bytes(jpeg(641, 200)), r"\(641, 200\) pixels"),
        ("preview.jpg", lambda path: None, "No such file"),
        ("preview.jpg", lambda path: path.symlink_to("/etc/hostname"), "symbolic links"),
        ("preview.jpg", lambda path: path.write_bytes(jpeg(1200, 630) + b"more"), "bytes, not"),
        ("preview.jpg", lambda path: path.write_bytes(webp(1200, 630)[:29]), "does not begin as jpeg"),
        ("preview.jpg", lambda path: path.write_bytes(jpeg(630, 1200)), r"\(630, 1200\) pixels, not \(1200, 630\)"),
        ("preview.jpg", lambda path: path.write_bytes(b"\xff\xd8\xff".ljust(29, b"\xff")), "of None pixels"),
        ("stripped", lambda path: path.write_bytes(b"GIF89a, and so"), "bytes, not 13"),
        ("stripped", lambda path: path.write_bytes(b"GIF89a, so on"), "does not begin as jpg"),
    ],
)
def test_a_lie_is_found_out_and_nothing_is_taken(
    done: JobDone, out: Path, tmp_path: Path, name: str, make: Callable[[Path], object], what: str
) -> None:
    put(out / name, make)
    with pytest.raises(FalseResult, match=what):
        results.take(done, out, tmp_path / "1.1")
    assert not list((tmp_path / "1.1").iterdir())


@pytest.mark.parametrize("how", ["open", "mapped"])
def test_a_file_that_can_still_be_changed_is_refused(done: JobDone, out: Path, tmp_path: Path, how: str) -> None:
    with (out / "320.webp").open("r+b") as file, mmap.mmap(file.fileno(), 0):
        if how == "mapped":
            file.close()
        with pytest.raises(FalseResult, match=r"320\.webp: is still open for writing"):
            results.take(done, out, tmp_path / "1.1")
    assert not list((tmp_path / "1.1").iterdir())


def test_what_is_put_in_place_of_a_file_that_was_looked_at_is_not_taken(
    done: JobDone, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is looked at where its worker can't reach it."""
    check = results.check

    def check_and_swap(result: results.ResultFile, folder: int) -> None:
        check(result, folder)
        (out / result.name).write_bytes(b"<html>")

    monkeypatch.setattr(results, "check", check_and_swap)
    results.take(done, out, tmp_path / "1.1")
    assert all(b"<html>" not in path.read_bytes() for path in (tmp_path / "1.1").iterdir())


@pytest.mark.parametrize(
    ("extension", "original", "is_taken"),
    [
        ("jpg", b"\xff\xd8\xff and so on", True),
        ("jpg", b"<svg onload='alert(1)'>", False),
        ("avif", b"\0\0\0\x20ftypmif1\0\0\0\0avif", True),
        ("avif", b"<svg onload='alert(1)'>", False),
        ("gif", b"\xff\xd8\xff and so on", False),
    ],
)
def test_an_original_is_what_it_is_taken_for(
    done: JobDone, out: Path, tmp_path: Path, extension: str, original: bytes, is_taken: bool
) -> None:
    (tmp_path / "1.1").mkdir()
    (tmp_path / "1.1" / "original").write_bytes(original)
    said = replace(done, extension=extension, stripped_bytes=-1)
    if is_taken:
        results.take(said, out, tmp_path / "1.1")
        return
    with pytest.raises(FalseResult, match=f"the original is no {extension}"):
        results.take(said, out, tmp_path / "1.1")
    assert [path.name for path in (tmp_path / "1.1").iterdir()] == ["original"]


def test_a_folder_that_is_a_link_is_refused(done: JobDone, out: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(OSError, match="Not a directory"):
        results.take(done, tmp_path / "link", tmp_path / "1.1")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize(("name", "options"), [("webp", {}), ("webp", {"lossless": True}), ("avif", {})])
@pytest.mark.parametrize("size", [(1, 1), (33, 7), (640, 480)])
def test_the_sides_of_real_files(
    tmp_path: Path, mode: str, name: str, options: dict[str, bool], size: tuple[int, int]
) -> None:
    Image.new(mode, size, "teal").save(tmp_path / "picture", name, **options)
    head = (tmp_path / "picture").read_bytes()[: results.HEAD_BYTES]
    assert headers.begins_as(name, head)
    assert headers.size_of(name, head) == size


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(1, 1), (33, 7), PREVIEW_SIZE])
def test_the_sides_of_real_jpegs(tmp_path: Path, preset: str, size: tuple[int, int]) -> None:
    head = saved(Image.new("RGB", size, "teal"), PRESETS[preset].jpeg)[: results.HEAD_BYTES]
    assert headers.begins_as("jpeg", head)
    assert headers.size_of("jpeg", head) == size


@pytest.mark.parametrize(
    ("name", "form"), [("jpg", "JPEG"), ("png", "PNG"), ("gif", "GIF"), ("webp", "WEBP"), ("avif", "AVIF")]
)
def test_every_format_is_known_by_its_beginning(tmp_path: Path, name: str, form: str) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "picture", form)
    head = (tmp_path / "picture").read_bytes()
    others = {"jpg", "png", "gif", "webp", "avif", "exe"} - {name}
    assert headers.begins_as(name, head) and not any(headers.begins_as(other, head) for other in others)
    assert headers.may_be(name, head)


def test_originals_are_of_the_formats_that_are_decoded() -> None:
    assert {(mime, extension) for extension, mime in headers.MIMES.items()} == set(pipeline.MIME.values())


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_a_header_that_is_cut_off_has_no_sides(cut: int) -> None:
    assert headers.size_of("webp", webp(320, 200)[:cut]) in (None, (320, 200))
    assert headers.size_of("avif", avif(320, 200)[:cut]) in (None, (320, 200))
    assert headers.size_of("jpeg", jpeg(320, 200)[:cut]) in (None, (320, 200))
