"""The AV1 stream's own word on its colours: read from real encoders' streams, from any other header, and from junk."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.workers.rendering.imaging import kinds
from tests.workers.rendering.imaging.test_codec import encoded, quarters
from workers.rendering.imaging.containers.avif import properties
from workers.rendering.imaging.containers.avif.sequence_header import LONGEST, BadStream, Colours, colours


class Stream:
    """Bits, one number after another."""

    def __init__(self) -> None:
        self.bits = ""

    def put(self, *numbers: tuple[int, int]) -> None:
        """Each with its length in bits."""
        for value, size in numbers:
            self.bits += format(value & (1 << size) - 1, f"0{size}b") if size else ""

    def obu(self, kind: int = 1, *, sized: bool = True, layers: bool = False) -> bytes:
        """As an OBU of that type, with the bit that ends it."""
        bits = self.bits + "1"
        body = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))
        head = bytes([kind << 3 | layers << 2 | sized << 1]) + b"\x20" * layers
        return head + (bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) if sized else b"") + body


class Writer:
    """Writes any sequence header that the specification allows, in the order of its syntax tables (5.5)."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw, self.stream = draw, Stream()

    def free(self, *sizes: int) -> None:
        """Numbers of so many bits that mean nothing to us."""
        self.stream.put(*((self.draw(st.integers(0, (1 << size) - 1)), size) for size in sizes))

    def chosen(self) -> int:
        value = self.draw(st.integers(0, 1))
        self.stream.put((value, 1))
        return value

    def length(self, most: int, bits: int) -> int:
        """A number from 1, written less one."""
        value = self.draw(st.integers(1, most))
        self.stream.put((value - 1, bits))
        return value

    def operating_points(self) -> None:
        delay, model = 0, 0
        if self.chosen():
            self.free(32, 32)
            if self.chosen():
                zeros = self.draw(st.integers(0, 33))
                self.stream.put((0, zeros), (1, 1))
                self.free(zeros if zeros < 32 else 0)
            model = self.chosen()
            if model:
                delay = self.length(32, 5)
                self.free(32, 5, 5)
        delays = self.chosen()
        for _ in range(self.length(32, 5)):
            level = self.draw(st.integers(0, 31))
            self.free(12)
            self.stream.put((level, 5))
            self.free(int(level > 7))
            if model and self.chosen():
                self.free(delay, delay, 1)
            if delays and self.chosen():
                self.free(4)

    def tools(self, reduced: int) -> None:
        self.free(self.length(16, 4), self.length(16, 4)) if reduced else self.sides()
        self.free(1, 1, 1)
        if not reduced:
            self.free(1, 1, 1, 1)
            order = self.chosen()
            self.free(*[1, 1] * order)
            screen = 2 if self.chosen() else self.chosen()
            if screen and not self.chosen():
                self.free(1)
            self.free(3 * order)
        self.free(1, 1, 1)

    def sides(self) -> None:
        self.free(self.length(16, 4), self.length(16, 4))
        if self.chosen():
            self.free(4, 3)

    def colours(self, profile: int) -> Colours:
        high = self.chosen()
        self.free(int(profile == 2 and high))
        grey = profile != 1 and self.chosen()
        codes = (2, 2, 2)
        if self.chosen():
            codes = self.draw(st.tuples(*[st.integers(0, 255)] * 3) | st.just((1, 13, 0)))
            self.stream.put(*((code, 8) for code in codes))
        full = bool(codes == (1, 13, 0) and not grey) or bool(self.chosen())
        return Colours(*codes, full)


@st.composite
def headers(draw: st.DrawFn) -> tuple[Stream, Colours]:
    """A header, and what it says."""
    writer, profile = Writer(draw), draw(st.integers(0, 2))
    writer.stream.put((profile, 3), (1, 1))
    reduced = writer.chosen()
    if reduced:
        writer.free(5)
    else:
        writer.operating_points()
    writer.tools(reduced)
    return writer.stream, writer.colours(profile)


@given(headers(), st.booleans(), st.booleans(), st.binary(max_size=9))
@settings(max_examples=100)
def test_any_header_says_what_was_written(made: tuple[Stream, Colours], sized: bool, layers: bool, rest: bytes) -> None:
    stream, wanted = made
    header = stream.obu(sized=sized, layers=layers)
    assert colours(b"\x12\0" + header + rest * sized) == wanted, "behind a temporal delimiter"
    end = 1 + layers + 2 * sized + -(-len(stream.bits) // 8)
    with pytest.raises(BadStream):
        colours(header[: end - 1])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("pq10", (9, 16, 9, True)),
        ("hlg12", (9, 18, 9, True)),
        ("p3-10", (12, 13, 6, True)),
        ("identity", (1, 13, 0, True)),
        ("ycgco", (1, 13, 8, True)),
        ("limited10", (1, 13, 1, False)),
        ("grey", (1, 13, 1, True)),
    ],
)
def test_what_avifenc_wrote(name: str, wanted: tuple[int, int, int, bool]) -> None:
    assert colours(properties.first_bytes(kinds.AVIFS[name], LONGEST)) == wanted


@pytest.mark.parametrize("options", [{}, {"codec": "aom"}, {"codec": "rav1e"}, {"range": "limited"}])
@pytest.mark.parametrize("moves", [False, True])
def test_what_each_encoder_wrote(options: dict[str, Any], moves: bool) -> None:
    more = {"save_all": True, "append_images": [quarters()], "duration": 100} if moves else {}
    data = encoded(quarters(), "AVIF", **options, **more)
    for file in (data, data.replace(b"meta", b"free", 1)) if moves else (data,):
        found = colours(properties.first_bytes(file, LONGEST))
        assert found == (1, 13, 6, "range" not in options)


def test_a_grid_says_it_in_its_first_tile() -> None:
    """As made by reference alone: the primary item is derived from others."""
    alpha = encoded(Image.new("RGBA", (16, 16), (*kinds.A, 9)), "AVIF")
    at = alpha.index(b"auxl")
    grid = bytearray(alpha)
    grid[at : at + 8] = b"dimg" + alpha[at + 4 : at + 8]
    first = alpha.index(b"pitm") + 8
    grid[first : first + 2] = alpha[at + 4 : at + 6]  # the item that referred to the other one
    assert colours(properties.first_bytes(bytes(grid), LONGEST)) == colours(properties.first_bytes(alpha, LONGEST))


@given(st.binary(max_size=300) | headers().map(lambda made: made[0].obu()[: len(made[0].bits) // 9]))
@example(b"\x0a")
@example(b"\x0a" + b"\xff" * 9)
@example(bytes(LONGEST + 9))
@settings(max_examples=200)
def test_junk_raises_nothing_else_and_nothing_beyond_is_read(junk: bytes) -> None:
    """One bit more than there is would be an error, never a zero: so of a header that is cut nothing is made up."""
    try:
        found = colours(junk)
    except BadStream:
        return
    assert all(0 <= code < 256 for code in found[:3])


@given(st.sampled_from([*kinds.AVIFS.values(), kinds.avif(1, 13)]), st.integers(0, 400), st.binary(max_size=12))
@settings(max_examples=200)
def test_no_box_makes_it_read_beyond_the_file(data: bytes, at: int, junk: bytes) -> None:
    """Offsets and lengths of any size give bytes of the file, or none, or an error of a file that is cut."""
    spoilt = data[:at] + junk + data[at + len(junk) :]
    with contextlib.suppress(IndexError, struct.error):
        assert len(properties.first_bytes(spoilt, LONGEST)) <= min(LONGEST, len(spoilt))
