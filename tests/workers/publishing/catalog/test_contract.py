"""What every catalogue promises, held against each of them: a SQLite file, and a real Supabase-like stack."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.workers.publishing.catalog.builders import CHANNEL, RENDITION, deletion, digest, entry, image, message
from tests.workers.publishing.catalog.conftest import Shelf
from workers.publishing.catalog import BATCH_ENTRIES, Catalog, MessageRows, RowFault, WriteOutcome


def refused(outcomes: Sequence[WriteOutcome]) -> list[bool | str]:
    """The outcomes, with "refused" for those that are."""
    return [one if isinstance(one, bool) else "refused" for one in outcomes]


# What is written


def test_a_row_comes_out_as_it_went_in(catalog: Catalog, shelf: Shelf) -> None:
    whole = message(
        5,
        grouped_id=12,
        caption="Ein *Ü* 日本 👩‍👩‍👧 \\u0000 'quoted' \"twice\"\n",
        edited_at="2025-02-02T10:00:00Z",
        entities=[
            {"type": "bold", "offset": 4, "length": 3},
            {"type": "text_link", "offset": 0, "length": 3, "url": "x"},
        ],
        forwarded_from={"channel_id": 9, "message_id": None, "name": "Ünder", "date": "2025-01-01T00:00:00Z"},
        reply_to=4,
        alt="A *Ü*",
        tags=["日本", "über"],
        is_cover=True,
        caption_html="Ein <b>*Ü*</b>",
        caption_shown="Ein *Ü*",
    )
    picture = image(
        5,
        photo_id=2**60,
        kind="animation",
        preview={"key": "a/p.jpg", "url": "https://example.org/a/p.jpg", "width": 1200, "height": 630, "bytes": 9},
        thumbhash="1QcSHQRnh493V4dIh4eXh1h4kJUI",
        color="#a0b1c2",
        phash=-(2**63),
        has_alpha=True,
        animated=False,
        alt="Ein Ü",
    )
    channel = {"id": 7, "title": "Test", "name": "test"}
    assert catalog.write_many([MessageRows(channel, whole, picture)]) == [True]
    assert shelf.rows("channels") == [channel]
    assert shelf.rows("messages") == [whole]
    assert shelf.rows("images") == [picture]


def test_the_columns_are_those_that_others_rely_on(catalog: Catalog, shelf: Shelf) -> None:
    catalog.write_many([entry(1)])
    (of_messages,), (of_images,) = shelf.rows("messages"), shelf.rows("images")
    assert " ".join(of_messages) == (
        "channel_id message_id revision grouped_id caption posted_at edited_at deleted_at"
        " entities forwarded_from reply_to hidden_at alt tags is_cover caption_html caption_shown"
    )
    assert " ".join(of_images) == (
        "channel_id message_id photo_id sha256 mime width height bytes renditions"
        " kind preview thumbhash color phash has_alpha animated alt"
    )


def test_columns_that_the_first_version_did_not_have_may_be_left_out(catalog: Catalog, shelf: Shelf) -> None:
    old = dict(list(message(1).items())[:8])
    assert catalog.write({"id": 7, "title": "Test"}, old, dict(list(image(1).items())[:9]))
    assert shelf.rows("messages") == [message(1)]
    assert shelf.rows("images") == [image(1)]
    named = {**CHANNEL, "name": "test"}
    catalog.write(named, message(2), None)
    catalog.write({"id": 7, "title": "Test"}, message(3), None)
    assert shelf.rows("channels") == [named]  # whoever knows no names changes none


def test_ids_that_no_double_holds(catalog: Catalog, shelf: Shelf) -> None:
    ids = [2**53 + 1, 2**63 - 1]
    for number in ids:
        catalog.write_many([entry(number, number, grouped_id=number, reply_to=number)])
    rows = shelf.rows("messages")
    assert [row["message_id"] for row in rows] == ids
    assert [(row["revision"], row["grouped_id"], row["reply_to"]) for row in rows] == [(one, one, one) for one in ids]


def test_an_empty_caption_and_a_long_one(catalog: Catalog, shelf: Shelf) -> None:
    captions = ["", "ü" * 100_000]
    assert catalog.write_many([entry(1, number, caption=text) for number, text in enumerate(captions)]) == [True, True]
    assert [row["caption"] for row in shelf.rows("messages")] == captions


def test_a_message_without_an_image(catalog: Catalog, shelf: Shelf) -> None:
    assert catalog.write(CHANNEL, message(1), None)
    assert shelf.rows("messages") == [message(1)]
    assert shelf.rows("images") == []
    assert catalog.write(CHANNEL, message(2), image(2))
    assert catalog.write(CHANNEL, message(3), None)
    assert shelf.rows("images") == [image(2)]  # it is left as it was


def test_a_renamed_channel(catalog: Catalog, shelf: Shelf) -> None:
    catalog.write_many([entry(1), MessageRows({"id": 8, "title": "Other"}, message(1, channel_id=8))])
    other = {"id": 8, "title": "Other", "name": None}
    for revision, name, title in [(2, None, "Renamed"), (3, "name", "Renamed"), (4, "name2", "R"), (5, None, "R")]:
        renamed = {"id": 7, "title": title, "name": name}
        catalog.write(renamed, message(revision), image(revision))
        assert shelf.rows("channels") == [renamed, other]


@pytest.mark.parametrize("revisions", [(2, 3), (3, 2), (2, 2)])
def test_a_channel_with_two_titles_in_one_batch_gets_the_last(
    catalog: Catalog, shelf: Shelf, revisions: tuple[int, int]
) -> None:
    catalog.write_many([entry(1)])
    new = MessageRows({"id": 7, "title": "New"}, message(revisions[0], 1))
    old = MessageRows({"id": 7, "title": "Test"}, message(revisions[1], 2))
    refused_one = MessageRows({"id": 7, "title": ["Never"]}, message(4, 3))
    catalog.write_many([new, old, refused_one])
    assert shelf.rows("channels") == [CHANNEL]
    assert [row["revision"] for row in shelf.rows("messages")] == list(revisions)


def test_a_message_comes_with_its_own_channel(catalog: Catalog, shelf: Shelf) -> None:
    catalog.write_many([entry(1), MessageRows({"id": 8, "title": "Other"}, message(1, channel_id=8))])
    with pytest.raises(RowFault, match="a message of channel 8 with the title of channel 7"):
        catalog.write(CHANNEL, message(2, channel_id=8), None)


# Revisions


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 2, 1], [2, 3, 1], [2, 2, 1, 4, 4, 3], [1, 5, 3, 5, 2, 6]])
def test_the_highest_revision_wins_in_any_order(catalog: Catalog, shelf: Shelf, order: list[int]) -> None:
    highest = 0
    for revision in order:
        assert catalog.write_many([entry(revision)]) == [revision > highest]
        highest = max(highest, revision)
        assert shelf.revisions() == [(highest, highest)]
    assert shelf.rows("messages") == [message(highest)]


def test_the_same_revision_changes_nothing(catalog: Catalog, shelf: Shelf) -> None:
    catalog.write_many([entry(5)])
    assert not catalog.write(CHANNEL, message(5, caption="other"), image(5, width=1))
    assert shelf.rows("messages") == [message(5)]
    assert shelf.rows("images")[0]["width"] == 640


def test_messages_do_not_touch_each_other(catalog: Catalog, shelf: Shelf) -> None:
    catalog.write_many([entry(9, 1)])
    catalog.write_many([entry(3, 2)])
    catalog.write_many([entry(4, 2)])
    assert shelf.revisions() == [(9, 9), (4, 4)]


def test_two_at_the_same_catalogue(catalog: Catalog, shelf: Shelf) -> None:
    other = shelf.another()
    assert catalog.write_many([entry(5)]) == [True]
    assert other.write_many([entry(5)]) == [False]
    assert other.write_many([entry(6)]) == [True]
    assert catalog.write_many([entry(5)]) == [False]
    assert shelf.revisions() == [(6, 6)]


def test_closed_it_opens_anew(catalog: Catalog, shelf: Shelf) -> None:
    assert catalog.write_many([entry(1)]) == [True]
    catalog.close()
    assert catalog.write_many([entry(1)]) == [False]


# Deletions


def test_a_deletion_leaves_a_tombstone_and_no_image(catalog: Catalog, shelf: Shelf) -> None:
    catalog.write_many([entry(1, 1), entry(1, 2)])
    assert catalog.write_many([deletion(2)]) == [True]
    assert shelf.rows("messages") == [deletion(2).message, message(1, 2)]
    assert shelf.rows("images") == [image(1, 2)]


def test_a_deletion_with_an_image_has_none_all_the_same(catalog: Catalog, shelf: Shelf) -> None:
    catalog.write_many([entry(1)])
    assert catalog.write(CHANNEL, deletion(2).message, image(2))
    assert shelf.rows("images") == []


def test_a_deletion_that_comes_first(catalog: Catalog, shelf: Shelf) -> None:
    assert catalog.write_many([deletion(5)]) == [True]
    assert catalog.write_many([entry(4)]) == [False]
    assert shelf.rows("messages") == [deletion(5).message]
    assert shelf.rows("images") == []


def test_a_deletion_that_comes_late_changes_nothing(catalog: Catalog, shelf: Shelf) -> None:
    catalog.write_many([entry(6)])
    assert catalog.write_many([deletion(5)]) == [False]
    assert shelf.revisions() == [(6, 6)]


def test_what_was_thought_deleted_comes_back(catalog: Catalog, shelf: Shelf) -> None:
    catalog.write_many([entry(1)])
    catalog.write_many([deletion(2)])
    assert catalog.write_many([entry(3)]) == [True]
    assert shelf.revisions() == [(3, 3)]


# Batches


def test_no_batch(catalog: Catalog) -> None:
    assert catalog.write_many([]) == []


def test_a_whole_batch(catalog: Catalog, shelf: Shelf) -> None:
    catalog.write_many([entry(2, 3)])
    batch = [entry(1, number) for number in range(BATCH_ENTRIES)]
    assert catalog.write_many(batch) == [number != 3 for number in range(BATCH_ENTRIES)]
    assert shelf.revisions() == [(2, 2) if number == 3 else (1, 1) for number in range(BATCH_ENTRIES)]
    assert catalog.write_many(batch) == [False] * BATCH_ENTRIES


def test_of_one_message_several_times_in_a_batch_the_newest_is_written(catalog: Catalog, shelf: Shelf) -> None:
    batch = [entry(2), entry(1, 2), entry(3), deletion(1), entry(3, caption="the same again"), deletion(4, 2)]
    assert catalog.write_many(batch) == [False, False, True, False, False, True]
    assert shelf.rows("messages") == [message(3), deletion(4, 2).message]
    assert shelf.rows("images") == [image(3)]


# Faults of a row

BAD = [
    pytest.param({"caption": None}, {}, id="nothing where something must be"),
    pytest.param({"posted_at": None}, {}, id="no time"),
    pytest.param({}, {"width": "wide"}, id="text for a number"),
    pytest.param({}, {"width": 640.5}, id="a fraction of a pixel"),
    pytest.param({}, {"sha256": None}, id="no digest"),
    pytest.param({}, {"message_id": 99}, id="an image of no message"),
    pytest.param({}, {"message_id": 2}, id="an image of another message"),
    pytest.param({"channel_id": 8}, {"channel_id": 8}, id="a message of another channel"),
    pytest.param({"caption": "\ud83d"}, {}, id="half a character"),
    pytest.param({"caption": "a\0b"}, {}, id="a NUL"),
    pytest.param({"entities": [{"url": "a\0b"}]}, {}, id="a NUL deep inside"),
    pytest.param({}, {"mime": "image/\ud83d"}, id="half a character of the image's"),
    pytest.param({"grouped_id": 2**63}, {}, id="a number of 65 bits"),
    pytest.param({"revision": None}, {}, id="no revision"),
    pytest.param({"caption": ["a"]}, {}, id="a list for text"),
    pytest.param({"caption": {1, 2}}, {}, id="a value that JSON has not"),
    pytest.param({"entities": {"type": "bold"}}, {}, id="formatting that is no array"),
    pytest.param({"forwarded_from": ["a"]}, {}, id="an origin that is no object"),
    pytest.param({"entities": [float("nan")]}, {}, id="not a number"),
]


@pytest.mark.parametrize(("of_message", "of_image"), BAD)
def test_a_row_that_is_refused(
    catalog: Catalog, shelf: Shelf, of_message: dict[str, Any], of_image: dict[str, Any]
) -> None:
    catalog.write_many([entry(1), entry(1, 2)])
    with pytest.raises(RowFault, match=r"^\S+: the row is refused: "):
        catalog.write({"id": 7, "title": "Renamed"}, message(2, **of_message), image(2, **of_image))
    assert shelf.revisions() == [(1, 1), (1, 1)]  # neither half of it is there
    assert shelf.rows("channels") == [CHANNEL]
    assert catalog.write_many([entry(2)]) == [True]  # and the next one finds the catalogue in order


@pytest.mark.parametrize(("of_message", "of_image"), BAD)
def test_a_refused_row_keeps_none_of_its_batch_out(
    catalog: Catalog, shelf: Shelf, of_message: dict[str, Any], of_image: dict[str, Any]
) -> None:
    bad = MessageRows(CHANNEL, message(2, 3, **of_message), image(2, 3, **of_image))
    batch = [entry(1, 1), entry(1, 2), bad, entry(1, 4), entry(1, 5)]
    assert refused(catalog.write_many(batch)) == [True, True, "refused", True, True]
    assert [row["message_id"] for row in shelf.rows("messages")] == [1, 2, 4, 5]
    assert [row["message_id"] for row in shelf.rows("images")] == [1, 2, 4, 5]


def test_several_refused_rows(catalog: Catalog, shelf: Shelf) -> None:
    bad = {0, 7, 8, 20}
    batch = [entry(1, number, **({"posted_at": None} if number in bad else {})) for number in range(21)]
    assert refused(catalog.write_many(batch)) == ["refused" if number in bad else True for number in range(21)]
    assert {row["message_id"] for row in shelf.rows("messages")} == set(range(21)) - bad


def test_what_a_trigger_of_the_operators_refuses_is_the_rows_own_fault(catalog: Catalog, shelf: Shelf) -> None:
    shelf.forbid("not wanted")
    bad = entry(1, 2, caption="not wanted")
    outcomes = catalog.write_many([entry(1, 1), bad, entry(1, 3)])
    assert refused(outcomes) == [True, "refused", True]
    assert "not this one" in str(outcomes[1])


def test_when_the_newest_of_a_batch_is_refused_the_one_before_is_written(catalog: Catalog, shelf: Shelf) -> None:
    outcomes = refused(catalog.write_many([entry(1), entry(3, posted_at=None), entry(2)]))
    assert outcomes[1:] == ["refused", True]
    assert shelf.revisions() == [(2, 2)]


# What the garbage collection asks


def test_referenced(catalog: Catalog) -> None:
    assert catalog.referenced([]) == set()
    assert catalog.referenced([digest(1)]) == set()
    same = MessageRows(CHANNEL, message(9, 3), image(9, 3, sha256=digest(1)))
    catalog.write_many([entry(1, 1), entry(2, 2), same])
    asked = [digest(number) for number in range(4)]
    assert catalog.referenced(asked) == {digest(1), digest(2)}
    catalog.write_many([deletion(10, 1), entry(4, 2)])
    assert catalog.referenced(iter(asked)) == {digest(1)}  # another message shows it still
    catalog.write_many([deletion(10, 3)])
    assert catalog.referenced(asked) == set()


def test_named(catalog: Catalog) -> None:
    one, other = "a" * 64, "b" * 64
    first = [{**RENDITION, "key": "a/1"}, {**RENDITION, "key": "a/2"}]
    catalog.write(CHANNEL, message(1), image(1, sha256=one, renditions=first))
    catalog.write(CHANNEL, message(1, 2), image(1, 2, sha256=one, renditions=[{**RENDITION, "key": "a/3"}]))
    preview = {"key": "a/4", "url": "https://x/4", "width": 1200, "height": 630, "bytes": 9}
    catalog.write(CHANNEL, message(1, 4), image(1, 4, sha256="d" * 64, renditions=[], preview=preview))
    assert (catalog.named(["d" * 64]), catalog.urls(["d" * 64])) == ({"a/4"}, {"https://x/4"})
    catalog.write(CHANNEL, message(1, 3), image(1, 3, sha256=other, renditions=[{**RENDITION, "key": "b/1"}]))
    assert catalog.named([one]) == {"a/1", "a/2", "a/3"}
    assert catalog.named([one, other, "c" * 64]) == {"a/1", "a/2", "a/3", "b/1"}
    assert catalog.named(["c" * 64]) == catalog.named([]) == set()
    catalog.write(CHANNEL, message(2, deleted_at="2025-02-01T10:00:00Z"), None)
    assert catalog.named([one]) == {"a/3"}


def test_urls(catalog: Catalog) -> None:
    one, other = "a" * 64, "b" * 64
    urls = [{**RENDITION, "url": "https://x/1"}, {**RENDITION, "url": "https://x/2"}]
    catalog.write(CHANNEL, message(1), image(1, sha256=one, renditions=urls))
    catalog.write(CHANNEL, message(1, 2), image(1, 2, sha256=other, renditions=[{**RENDITION, "url": "https://y/1"}]))
    assert catalog.urls([one]) == {"https://x/1", "https://x/2"}
    assert catalog.urls([one, other, "c" * 64]) == {"https://x/1", "https://x/2", "https://y/1"}
    assert catalog.urls(["c" * 64]) == catalog.urls([]) == set()


def test_referenced_of_more_than_are_asked_for_at_a_time(catalog: Catalog) -> None:
    for start in range(0, 1200, 400):
        catalog.write_many([entry(number, number) for number in range(start, start + 400)])
    asked = [digest(number) for number in range(2500)]
    assert catalog.referenced(asked) == {digest(number) for number in range(1200)}


# Many at once


def test_eight_writers_of_shuffled_batches_that_overlap_leave_the_newest(shelf: Shelf) -> None:
    """Every revision of every message is written by several of them, in any order; some revisions are deletions."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    messages, revisions, deleted = range(1, 16), range(1, 9), {(3, 8), (4, 7), (5, 8), (6, 2), (9, 8), (12, 7)}
    everything = [
        deletion(revision, number) if (number, revision) in deleted else entry(revision, number)
        for number in messages
        for revision in revisions
    ]

    def write(order: list[MessageRows]) -> int:
        catalog = shelf.another()
        outcomes = [one for start in range(0, len(order), 10) for one in catalog.write_many(order[start : start + 10])]
        return outcomes.count(True)

    with ThreadPoolExecutor(8) as writers:
        written = list(writers.map(write, [chance.sample(everything, len(everything)) for _ in range(8)]))
    assert len(messages) <= sum(written) <= len(everything), f"seed {seed}"
    assert [(row["message_id"], row["revision"]) for row in shelf.rows("messages")] == [
        (number, max(revisions)) for number in messages
    ]
    alive = [number for number in messages if (number, max(revisions)) not in deleted]
    assert [(row["message_id"], row["bytes"]) for row in shelf.rows("images")] == [
        (number, max(revisions)) for number in alive
    ], f"seed {seed}"
