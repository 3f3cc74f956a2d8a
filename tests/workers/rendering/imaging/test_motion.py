"""Animations: what moves, for how long, how often; and what stands still."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageColor

from tests.workers.rendering.imaging import kinds
from tests.workers.rendering.imaging.test_codec import LIMITS, encoded
from workers.rendering.imaging import BadPicture, Ladder, Rendered, motion, seconds_for
from workers.rendering.imaging.codec import animation
from workers.rendering.imaging.codec.pipeline import develop
from workers.rendering.imaging.containers import mend
from workers.rendering.imaging.containers.avif import boxes, cut, sequences, tracks
from workers.rendering.verdicts import headers

LADDER = Ladder((32, 64), webp=True, avif=True, jpeg_width=64, preview=True, animations=True)
COLOURS = ("#c02020", "#20c020", "#2020c0", "#c0c020")
TIMES = [50, 100, 200, 400]


def frames(mode: str = "RGB", count: int = 4) -> list[Image.Image]:
    """Each of one colour, with noise that makes the file long enough to be cut."""
    noise = Image.frombytes("L", (48, 32), random.Random(5).randbytes(48 * 32))
    made = []
    for colour in COLOURS[:count]:
        picture = Image.new("RGB", (96, 64), colour)
        picture.paste("white", (0, 0, 48, 32), noise)
        made.append(picture.convert(mode))
    return made


def animated(kind: str, pictures: list[Image.Image] | None = None, **options: Any) -> bytes:
    first, *more = pictures or frames()
    return encoded(first, kind, save_all=True, append_images=more, **({"duration": TIMES} | options))


def developed(data: bytes, ladder: Ladder = LADDER, **options: Any) -> tuple[Rendered, dict[str, bytes]]:
    return develop(data, LIMITS, ladder, options.pop("cap_bytes", None), **options)


def shown(data: bytes) -> list[tuple[Image.Image, int]]:
    """Each frame, and how long it is shown in ms; 0 of a still picture."""
    with Image.open(io.BytesIO(data)) as image:
        found = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            found.append((image.convert("RGBA"), int(image.info.get("duration", 0))))
        return found


def near(picture: Image.Image, colour: str) -> bool:
    wanted = Image.new("RGB", (1, 1), colour).getpixel((0, 0))
    got = picture.getpixel((picture.width - 4, picture.height - 4))
    assert isinstance(wanted, tuple)
    assert isinstance(got, tuple)
    return all(abs(one - two) < 40 for one, two in zip(wanted, got, strict=False))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "AVIF", "PNG"])
def test_frames_and_their_times_are_kept_and_the_rest_is_of_the_first(kind: str) -> None:
    rendered, files = developed(animated(kind))
    assert (rendered.appearance.frames, rendered.appearance.animated) == (4, True)
    assert not rendered.fallbacks
    assert set(files) >= {"32.webp", "32.avif", "64.avif"}
    for name in set(files) - {"64.jpg", "preview.jpg"}:
        found = shown(files[name])
        assert [time for _, time in found] == TIMES, name
        assert all(near(picture, colour) for (picture, _), colour in zip(found, COLOURS, strict=True)), name
        assert all(picture.getchannel("A").getextrema() == (255, 255) for picture, _ in found), name
    for name in ("64.jpg", "preview.jpg"):
        [(picture, _)] = shown(files[name])
        assert near(picture, COLOURS[0])


def test_the_same_file_gives_the_same_bytes_on_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """libavif writes the time at which it made a sequence."""
    data = animated("GIF", loop=0)
    _, files = developed(data)
    written = animated("AVIF")
    hours_later = bytearray(written)
    at = written.index(b"mvhd") + 8
    hours_later[at : at + 8] = (int.from_bytes(written[at : at + 8]) + 9_000).to_bytes(8)
    assert sequences.settled(written, 0) == sequences.settled(bytes(hours_later), 0)
    assert developed(data, threads=3)[1] == files


@pytest.mark.parametrize(("options", "plays"), [({}, 1), ({"loop": 0}, 0), ({"loop": 2}, 3)])
def test_how_often_it_is_played(options: dict[str, Any], plays: int) -> None:
    _, files = developed(animated("GIF", **options))
    with Image.open(io.BytesIO(files["32.webp"])) as image:
        assert image.info["loop"] == plays
    assert sequences.plays(files["32.avif"]) == plays
    _, again = developed(files["32.avif"])
    with Image.open(io.BytesIO(again["32.webp"])) as image:
        assert image.info["loop"] == plays


def gif_of(*parts: tuple[int, tuple[int, int], tuple[int, int], int]) -> bytes:
    """A GIF of 96×64 without a transparent colour: of each frame its colour, its corner, its sides and its disposal."""
    palette = [channel for colour in COLOURS for channel in ImageColor.getrgb(colour)]
    out = b""
    for number, (colour, corner, sides, disposal) in enumerate(parts):
        picture = Image.new("P", sides, colour)
        picture.putpalette(palette)
        alone = encoded(picture, "GIF", optimize=False)
        at = alone.index(b",\0\0\0\0")
        if number == 0:
            out = b"GIF89a" + struct.pack("<HH", 96, 64) + alone[10 : 13 + (3 << (alone[10] & 7) + 1)]
        out += b"!\xf9\x04" + bytes([disposal << 2]) + struct.pack("<H", 10) + b"\0\0"
        out += b"," + struct.pack("<HH", *corner) + alone[at + 5 : -1]
    return out + b";"


def test_what_becomes_clear_is_clear() -> None:
    """No frame covers all, and each is cleared: Pillow would paint the rest in some colour."""
    data = gif_of((0, (0, 0), (48, 64), 2), (1, (48, 0), (96, 64), 2))
    _, files = developed(data)
    for name in {"32.webp", "64.webp", "32.avif", "64.avif"} & set(files):
        first, second = (picture.getchannel("A").point(lambda at: at > 250) for picture, _ in shown(files[name]))
        left, right = (4, 10), (first.width - 4, 10)
        assert (first.getpixel(left), first.getpixel(right)) == (True, False), name
        assert (second.getpixel(left), second.getpixel(right)) == (False, True), name


def test_what_is_clear_only_later_is_clear_then() -> None:
    data = gif_of((0, (0, 0), (96, 64), 2), (1, (0, 0), (48, 64), 2))
    _, files = developed(data)
    for name in ("32.webp", "32.avif"):
        first, second = (picture.getchannel("A").point(lambda at: at > 250) for picture, _ in shown(files[name]))
        assert first.getextrema() == (True, True), name
        assert (second.getpixel((4, 10)), second.getpixel((second.width - 4, 10))) == (True, False), name


@pytest.mark.parametrize(("disposal", "colour"), [(3, COLOURS[0]), (1, COLOURS[1])])
def test_what_a_frame_leaves_behind(disposal: int, colour: str) -> None:
    """As it was before, or itself."""
    data = gif_of((0, (0, 0), (96, 64), 1), (1, (48, 0), (48, 64), disposal), (2, (0, 0), (48, 64), 1))
    _, files = developed(data)
    pictures = [picture for picture, _ in shown(files["32.avif"])]
    assert near(pictures[1], COLOURS[1])
    assert near(pictures[2], colour)
    assert near(pictures[2].crop((0, 0, 14, 21)), COLOURS[2])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_a_cut_animation_moves_as_far_as_it_goes(kind: str) -> None:
    data = animated(kind)
    rendered, files = developed(data[: len(data) * 7 // 8])
    assert rendered.appearance.animated
    for name in ("32.avif", "32.webp"):
        found = shown(files[name])
        assert 2 <= len(found) < 4
        assert [time for _, time in found] == TIMES[: len(found)], name
        assert all(near(picture, colour) for (picture, _), colour in zip(found, COLOURS, strict=False)), name


def bytes_of_frames(data: bytes) -> list[int]:
    """Where each frame of an AVIF's first track ends."""
    return [frame.end for frame in tracks.frames(data, next(tracks.film_tracks(data)))]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_avif_is_cut_at_every_frame(mode: str) -> None:
    """Of `n` whole frames all move; a single one stands still; without one it is dead, though alpha's may be there."""
    pictures = frames(mode)
    if mode == "RGBA":
        pictures[1].putalpha(100)
    data = animated("AVIF", pictures)
    for count, end in enumerate(bytes_of_frames(data)[:-1], 1):
        for size in (end, end + 1):
            rendered, files = developed(data[:size])
            assert (rendered.appearance.frames, rendered.appearance.animated) == (count, count > 1)
            pictures_shown = [picture for picture, _ in shown(files["64.avif"])]
            assert len(pictures_shown) == count
            assert near(pictures_shown[-1], COLOURS[count - 1]) or mode == "RGBA"
    with pytest.raises(BadPicture):
        developed(data[: bytes_of_frames(data)[0] - 1])


def lengths_of_boxes(data: bytes) -> list[tuple[int, int]]:
    """Where each box of the file begins, and how long it says that it is."""
    found, at = [], 0
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((at, length))
        at += length
    return found


def test_an_avif_without_the_list_of_its_frames_is_its_picture() -> None:
    """Others write the list at the end, where it is the first that is cut off."""
    data = animated("AVIF")
    [(start, end)] = boxes.within(data, 0, len(data), b"moov")
    rest = kinds.moved_by(data[: start - 8] + data[end:], start - 8 - end)
    film = rest + data[start - 8 : end]
    assert mend(film) is film
    for end in (len(film) - 1, len(rest) + 300, len(rest)):
        mended = mend(film[:end])
        assert mend(mended) is mended
        assert max(start + length for start, length in lengths_of_boxes(mended)) == end, "no box ends behind the file"
        rendered, files = developed(film[:end])
        assert (rendered.appearance.frames, rendered.appearance.animated) == (1, False)
        assert near(shown(files["64.webp"])[0][0], COLOURS[0])


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def in_chunks(data: bytes, counts: list[int]) -> bytes:
    """What comes before the frames of a film, with these in chunks of so many, as other programs write it."""
    track = next(tracks.film_tracks(data))
    starts = [frame.start for frame in tracks.frames(data, track)]
    firsts = [starts[sum(counts[:at])] for at in range(len(counts))]
    runs = b"".join(struct.pack(">III", chunk, count, 1) for chunk, count in enumerate(counts, 1))
    film = box(b"stsd", data[slice(*track.description)]) + box(b"stsz", data[slice(*track.sizes)])
    film += box(b"stsc", struct.pack(">II", 0, len(counts)) + runs)
    film += box(b"stco", struct.pack(f">II{len(firsts)}I", 0, len(firsts), *firsts))
    for kind in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        film = box(kind, film)
    return data[: data.index(b"moov") - 4] + film


@pytest.mark.parametrize(
    ("counts", "whole", "kept"),
    [([4], 3, 3), ([1, 1, 1, 1], 3, 3), ([2, 2], 3, 2), ([2, 2], 1, 1), ([1, 3], 3, 1), ([3, 1], 2, 2), ([2, 2], 4, 4)],
)
def test_a_chunk_that_is_cut_is_left_out_whole(counts: list[int], whole: int, kept: int) -> None:
    film = in_chunks(animated("AVIF"), counts)
    end = bytes_of_frames(film)[whole - 1]
    assert len(film) < end
    assert len(bytes_of_frames(cut.shortened(film.ljust(end, b"\0")))) == kept


def test_an_animation_whose_second_frame_is_broken_is_its_first() -> None:
    data = animated("GIF")
    second = data.index(b",\0\0\0\0\x60\0\x40\0", data.index(b",\0\0\0\0\x60\0\x40\0") + 1)
    rendered, files = developed(data[: second + 40])
    assert (rendered.appearance.frames, rendered.appearance.animated) == (2, False)
    assert len(shown(files["64.webp"])) == 1
    with pytest.raises(BadPicture):
        developed(data[: data.index(b",") + 40])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "AVIF", "PNG"])
def test_a_single_frame_is_a_still_picture(kind: str) -> None:
    rendered, _ = developed(encoded(frames()[0], kind))
    assert (rendered.appearance.frames, rendered.appearance.animated) == (1, False)


def test_beyond_the_limits_the_first_frame_stands_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion, "MOST_FRAMES", 3)
    rendered, files = developed(animated("GIF"))
    assert (rendered.appearance.frames, rendered.appearance.animated, rendered.fallbacks) == (4, False, {})
    assert {name for name in files if len(shown(files[name])) > 1} == set()
    assert "64.webp" in files


def test_as_many_frames_as_the_limit_says_move() -> None:
    assert [bool(motion.moving_steps((9, 9), count, [(1, 1)])) for count in (1, 2, 300, 301)] == [
        False,
        True,
        True,
        False,
    ]


def test_without_the_setting_nothing_moves() -> None:
    rendered, _ = developed(animated("WEBP"), Ladder((32, 64), webp=True, avif=True))
    assert (rendered.appearance.frames, rendered.appearance.animated) == (4, False)


@pytest.mark.parametrize("want", ["time", "memory", "an encoder"])
def test_for_want_of_anything_the_first_frame_stands_for_it(want: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {}
    if want == "time":
        options["seconds"] = 0.0
        monkeypatch.setattr(animation, "_works", lambda *_: pytest.fail("it was decoded first"))
    elif want == "memory":
        monkeypatch.setattr(animation, "frames_need", lambda pixels: 2**40)
        options["cap_bytes"] = 2**40
    else:
        monkeypatch.setitem(animation.ENCODERS, "avif", lambda *_: 1 / 0)
    rendered, files = developed(animated("GIF"), **options)
    assert not rendered.appearance.animated
    assert list(rendered.fallbacks) == ["animation encoder" if want == "an encoder" else "animation"]
    assert len(shown(files["64.avif"])) == 1


def test_only_what_fits_moves_and_nothing_of_it_stands_still_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser would take the wider one, which does not move."""
    monkeypatch.setattr(motion, "MOST_STEP_PIXELS", 4 * 64 * 43)
    rendered, files = developed(animated("GIF"))
    assert rendered.appearance.animated
    assert sorted(files) == ["32.avif", "32.webp", "64.jpg", "preview.jpg"]


def test_the_check_of_files_takes_what_moves(tmp_path: Path) -> None:
    for mode in ("RGB", "RGBA"):
        pictures = frames(mode)
        if mode == "RGBA":
            pictures[1].putalpha(100)
        rendered, files = developed(animated("WEBP", pictures, lossless=True))
        for one in rendered.renditions:
            head = files[one.file][:4096]
            assert headers.begins_as(one.format, head)
            assert headers.size_of(one.format, head) == (one.width, one.height), one.file


def test_the_time_for_it_is_over_well_before_the_deadline() -> None:
    assert [seconds_for(job_seconds) for job_seconds in (0, 10, 60, 600)] == [30.0, 5.0, 30.0, 30.0]


def test_pictures_of_few_pixels_move_too() -> None:
    rendered, files = developed(animated("GIF", [one.resize((2, 1)) for one in frames()]))
    assert rendered.appearance.animated
    assert len(shown(files["2.avif"])) == 4


def test_a_frame_without_a_time_is_shown_as_long_as_in_browsers() -> None:
    _, files = developed(animated("GIF", duration=[0, 10, 20, 400]))
    for name in ("32.webp", "32.avif"):
        assert [time for _, time in shown(files[name])] == [100, 100, 20, 400], name


def test_a_frame_is_shown_for_no_longer_than_the_formats_can_say() -> None:
    assert [motion.shown_for(time) for time in (10, 11, 2**24 - 1, 2**24, 1e12)] == [100, 11, *[2**24 - 1] * 3]
