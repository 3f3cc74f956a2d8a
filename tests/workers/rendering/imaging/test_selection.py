"""Which renditions are kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipc.jobs import Rendition
from workers.rendering.imaging.ladder import widths_for
from workers.rendering.imaging.selection import kept, worth_moving

WIDTHS = (320, 640, 1280, 1920)

sizes = st.integers(1, 50)
"""Few, so that some are equal."""

ladders = st.builds(
    lambda width, formats, bytes_: [
        Rendition(step, step, name, size)
        for (step, name), size in zip(
            ((step, name) for step in widths_for(width, WIDTHS) for name in sorted(formats, reverse=True)),
            bytes_,
            strict=False,
        )
    ],
    st.integers(1, 2500),
    st.sets(st.sampled_from(("webp", "avif"))),
    st.lists(sizes, min_size=8, max_size=8),
)


def of(*sizes: int, name: str = "webp") -> list[Rendition]:
    return [Rendition(width, width, name, size) for width, size in zip(WIDTHS, sizes, strict=False)]


def test_a_ladder_that_rises_is_kept_whole() -> None:
    assert kept(of(10, 20, 30, 40)) == tuple(of(10, 20, 30, 40))
    assert kept([]) == ()


def test_one_with_more_bytes_than_a_wider_one_is_left_out() -> None:
    first, second, third, fourth = of(10, 45, 30, 40)
    assert kept([first, second, third, fourth]) == (first, third, fourth)


def test_what_is_left_out_is_no_measure() -> None:
    """320 px of 35 bytes have fewer than 640 px, but more than 1920 px, which took the place of those."""
    ladder = of(35, 45, 50, 30)
    assert kept(ladder) == (ladder[3],)


def test_the_widest_is_kept_and_one_of_the_same_size_too() -> None:
    ladder = of(30, 30, 31, 30)
    assert kept(ladder) == (ladder[0], ladder[1], ladder[3])


def test_formats_do_not_compete() -> None:
    webp, avif = of(50, 60), of(20, 10, name="avif")
    assert kept([webp[0], avif[0], webp[1], avif[1]]) == (webp[0], webp[1], avif[1])


@given(ladders)
def test_the_rule(ladder: list[Rendition]) -> None:
    left = kept(ladder)
    assert list(left) == [one for one in ladder if one in left], "in the order given"
    assert kept(left) == left
    for one in ladder:
        wider = [other for other in ladder if other.format == one.format and other.width > one.width]
        assert (one in left) == all(one.bytes <= other.bytes for other in wider)


@given(st.integers(1, 5000), st.sets(st.integers(1, 4000), min_size=1))
def test_only_the_widest_can_have_the_sides_of_the_original(width: int, widths: set[int]) -> None:
    *narrower, _ = widths_for(width, tuple(widths))
    assert width not in narrower


def test_of_an_animation_none_is_larger_than_its_file_but_the_narrowest() -> None:
    offered = [
        *(Rendition(width, width, "webp", size) for width, size in ((320, 900), (640, 2000))),
        *(Rendition(width, width, "avif", size) for width, size in ((320, 100), (640, 500))),
        Rendition(640, 640, "jpeg", 3000),
    ]
    kept_files = [one.file for one in worth_moving(offered, 800)]
    assert kept_files == ["320.webp", "320.avif", "640.avif", "640.jpg"]
