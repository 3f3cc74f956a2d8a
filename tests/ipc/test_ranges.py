"""ipc.intake: what is known of a channel, from its floor to its cursor, and what was counted on the way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ipc.intake import extended, take
from ipc.journal import Journal, figures, lookup
from ipc.posts import Page
from tests.ipc.builders import CHANNEL, NOW, open_journal, page, post

LAST = 24

Range = tuple[int, int]


def ids(low: int, high: int) -> set[int]:
    return set(range(low, high + 1))


def full(low: int, high: int) -> Page:
    """A page on which every third message has a photo, and all others are counted."""
    posts = tuple(post(number) for number in range(low, high + 1) if number % 3 == 0)
    others = high - low + 1 - len(posts)
    return page(*posts, low=low, high=high, ignored={"text": others} if others else {})


def channel_after(pages: Iterable[Page]) -> dict[str, Any]:
    journal = open_journal(None)
    for one in pages:
        take(journal, one, NOW)
    (found,) = figures.channels(journal)
    journal.close()
    return found


# --- one page -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "came", "after"),
    [
        ((5, 9), (10, 12), (5, 12)),  # touches above
        ((5, 9), (8, 12), (5, 12)),
        ((5, 9), (11, 12), (5, 9)),  # a gap of one message
        ((5, 9), (1, 4), (1, 9)),  # touches below
        ((5, 9), (1, 6), (1, 9)),
        ((5, 9), (1, 3), (5, 9)),
        ((5, 9), (6, 7), (5, 9)),
        ((5, 9), (5, 9), (5, 9)),
        ((5, 9), (1, 20), (1, 20)),
        ((5, 9), (10, 9), (5, 9)),  # a page of no messages
        ((5, 9), (5, 4), (5, 9)),
        ((5, 9), (30, 29), (5, 9)),
        ((1, 0), (1, 7), (1, 7)),  # a channel of which nothing is known yet
        ((1, 0), (2, 7), (1, 0)),
        ((6, 5), (1, 5), (1, 5)),
        ((6, 5), (6, 9), (6, 9)),
        ((6, 5), (7, 9), (6, 5)),
    ],
)
def test_extended(known: Range, came: Range, after: Range) -> None:
    assert extended(*known, *came) == after


@given(*[st.integers(1, 9)] * 2, *[st.integers(0, 9)] * 2)
def test_extended_is_the_union_wherever_that_has_no_gap(floor: int, low: int, known: int, came: int) -> None:
    cursor, high = floor + known - 1, low + came - 1
    after = ids(*extended(floor, cursor, low, high))
    union = ids(floor, cursor) | ids(low, high)
    has_gap = bool(union) and union != ids(min(union), max(union))
    if has_gap:
        assert after == ids(floor, cursor)
    elif known and came:
        assert after == union
    else:  # a range of nothing is a place all the same, and what lies elsewhere does not join it
        assert after in (ids(floor, cursor), union)


@pytest.mark.parametrize(("low", "high"), [(1, 0), (1, 7), (700, 900), (701, 700)])
def test_the_first_page_is_all_that_is_known(low: int, high: int) -> None:
    found = channel_after([page(low=low, high=high, ignored={"text": 3})])
    assert found == {
        "id": CHANNEL,
        "title": "Test",
        "name": None,
        "floor": low,
        "cursor": high,
        "backfilled": 0,
        "ignored": {"text": 3},
    }


def test_each_channel_has_its_own_range() -> None:
    journal = open_journal(None)
    take(journal, page(low=5, high=9), NOW)
    other = page(low=1, high=4)
    take(journal, Page(type(other.channel)(43, "Other"), (), 1, 4, {}), NOW)
    assert [(one["id"], one["floor"], one["cursor"]) for one in figures.channels(journal)] == [
        (CHANNEL, 5, 9),
        (43, 1, 4),
    ]
    journal.close()


# --- many pages, in any order -------------------------------------------------------------------------------

ANY_PAGES = st.lists(st.tuples(st.integers(1, LAST), st.integers(0, 6)), min_size=1, max_size=12)


@given(ANY_PAGES)
@example([(10, 3), (1, 3), (20, 3), (4, 6)])
def test_nothing_is_known_that_no_page_covered(spans: list[tuple[int, int]]) -> None:
    journal = open_journal(None)
    covered: set[int] = set()
    photos: set[int] = set()
    before: set[int] = set()
    for low, length in spans:
        came = full(low, low + length - 1)
        covered |= ids(came.low, came.high)
        photos |= {one.message_id for one in came.posts}
        take(journal, came, NOW)
        (channel,) = figures.channels(journal)
        known = ids(channel["floor"], channel["cursor"])
        assert before <= known <= covered
        assert lookup.messages_between(journal, CHANNEL, 0, 2 * LAST) == photos, (
            "what lies apart is recorded all the same"
        )
        before = known
    journal.close()


@st.composite
def parts(draw: st.DrawFn) -> list[Range]:
    """The messages 1 to LAST, parted into pages that don't overlap."""
    cuts = sorted(draw(st.sets(st.integers(1, LAST - 1), max_size=8)))
    return list(zip([1, *(cut + 1 for cut in cuts)], [*cuts, LAST], strict=True))


@given(parts(), st.data())
def test_whatever_order_pages_come_in_each_message_of_the_range_is_counted_once(
    spans: list[Range], data: st.DataObject
) -> None:
    """Also where a page comes again, or a first time that left no trace on the range."""
    order = data.draw(st.lists(st.sampled_from(spans), min_size=1, max_size=20))
    found = channel_after(full(*span) for span in order)
    known = ids(found["floor"], found["cursor"])
    assert sum(found["ignored"].values()) == sum(number % 3 != 0 for number in known)
    assert found["backfilled"] == order[0][0] - found["floor"]


@given(parts(), st.data())
def test_up_from_the_cursor_and_down_from_the_floor_all_is_known_in_the_end(
    spans: list[Range], data: st.DataObject
) -> None:
    """As live catch-up and backfill go, each at its own pace."""
    first = data.draw(st.integers(0, len(spans) - 1))
    up, down = spans[first + 1 :], spans[:first][::-1]
    order = [spans[first]]
    while up or down:
        side = up if up and (not down or data.draw(st.booleans())) else down
        order.append(side.pop(0))
    found = channel_after(full(*span) for span in order)
    assert (found["floor"], found["cursor"]) == (1, LAST)
    assert found["backfilled"] == spans[first][0] - 1


# --- exports of a part of the channel -----------------------------------------------------------------------


def test_an_old_export_of_some_weeks_leaves_no_gap_that_nobody_looks_into() -> None:
    journal = open_journal(None)
    for low, high in ((900, 999), (100, 200), (1500, 1600)):
        take(journal, full(low, high), NOW)
    (found,) = figures.channels(journal)
    assert (found["floor"], found["cursor"], found["backfilled"]) == (900, 999, 0)
    assert lookup.messages_between(journal, CHANNEL, 100, 200), "its pictures are taken"
    take(journal, full(201, 899), NOW)
    (found,) = figures.channels(journal)
    assert (found["floor"], found["cursor"]) == (201, 999), "what was taken out of turn is looked at once more"
    journal.close()


def test_a_page_that_lies_apart_is_counted_when_it_joins() -> None:
    journal = open_journal(None)
    counted = []
    for low, high in ((10, 12), (1, 3), (1, 3), (4, 9), (1, 3), (1, 3)):
        take(journal, page(low=low, high=high, ignored={"text": high - low + 1}), NOW)
        (found,) = figures.channels(journal)
        counted.append((found["ignored"]["text"], found["backfilled"]))
    assert counted == [(3, 0), (3, 0), (3, 0), (9, 6), (12, 9), (12, 9)]
    journal.close()


def test_a_page_torn_from_its_middle_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(None)
    take(journal, full(10, 12), NOW)
    before = figures.channels(journal)

    def torn(*_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr("ipc.intake._take_post", torn)
    for low, high in ((13, 15), (7, 9)):
        with pytest.raises(InterruptedError):
            take(journal, full(low, high), NOW)
    assert figures.channels(journal) == before
    journal.close()


def test_the_range_survives_the_process(tmp_path: Any) -> None:
    journal = open_journal(tmp_path)
    take(journal, full(10, 12), NOW)
    take(journal, full(4, 9), NOW)
    before = figures.channels(journal)
    journal.close()
    again = Journal.open(tmp_path / "journal.db")
    assert figures.channels(again) == before
    again.close()
