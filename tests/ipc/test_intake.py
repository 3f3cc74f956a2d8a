"""ipc.intake: the one door. What a page of messages changes, and what it does not, however often it comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipc import failpoints
from ipc.identities import is_other_picture, wants_sha256
from ipc.intake import Taken, digest_of, revision_of, take, withdraw
from ipc.jobs import Job, State
from ipc.journal import Journal, figures, lookup, queue, transitions
from ipc.journal.transitions import POISON
from ipc.posts import MORE, Page, Post, clean
from tests.ipc.builders import (
    CHANNEL,
    NO_RETRY,
    NOW,
    RETRY,
    STATES,
    STORY,
    WAITING,
    again,
    done,
    open_journal,
    page,
    photo,
    post,
    push,
    put,
    recounted,
    rows,
)


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = open_journal(None)
    yield journal
    assert figures.states(journal) == recounted(journal)
    journal.close()


def channel(journal: Journal) -> dict[str, Any]:
    (only,) = figures.channels(journal)
    return only


def changed(before: Job, after: Job) -> set[str]:
    """The columns that differ, but for the queue, which follows from the others, and what only tells its story."""
    compared = set(Job.__slots__) - {"queue", *STORY}
    return {name for name in compared if getattr(before, name) != getattr(after, name)}


# --- new and repeated ---------------------------------------------------------------------------------------


def test_a_new_message(journal: Journal) -> None:
    new = post(
        7,
        "id:9",
        caption="Grüße 🖼",
        grouped_id=5,
        posted_at=1000,
        edited_at=2000,
        photo=photo("id:9", photo_id=9, locator={"message": 7}),
    )
    assert take(journal, page(new, high=9, ignored={"text": 2}, title="News"), NOW + 0.9) == Taken(new=1)
    job = lookup.known(journal, CHANNEL, 7)
    assert job is not None
    assert (job.state, job.generation, job.attempts, job.next_at, job.stored) == ("seen", 1, 0, 0, False)
    assert (job.caption, job.grouped_id, job.posted_at, job.edited_at) == ("Grüße 🖼", 5, 1000, 2000)
    assert (job.photo_id, job.identity, job.source, job.locator) == (9, "id:9", "telegram", {"message": 7})
    assert (job.revision, job.seen_at) == (2_000_000, int(NOW))
    assert (job.priority, job.deleted_at, job.doubted) == (0, None, None)
    assert figures.channels(journal) == [
        {"id": CHANNEL, "title": "News", "name": None, "floor": 1, "cursor": 9, "backfilled": 0, "ignored": {"text": 2}}
    ]


@pytest.mark.parametrize("state", STATES)
def test_a_repeated_page_changes_nothing(state: State, journal: Journal) -> None:
    put(journal, 1, state)
    before = (rows(journal), figures.channels(journal))
    expected = {"published": Taken(published=1), "dead": Taken(dead=1)}.get(state, Taken(pending=1))
    for _ in range(3):
        assert take(journal, page(post()), NOW + 99) == expected
    assert (rows(journal), figures.channels(journal)) == before


def test_a_message_twice_in_a_page_is_one_job(journal: Journal) -> None:
    assert take(journal, page(post(), post()), NOW) == Taken(new=1, pending=1)
    assert len(rows(journal)) == 1


def test_the_same_message_id_in_two_channels_is_two_jobs(journal: Journal) -> None:
    put(journal)
    other = page(post(channel_id=43))
    assert take(journal, replace(other, channel=replace(other.channel, id=43)), NOW) == Taken(new=1)
    assert [row["channel_id"] for row in rows(journal)] == [CHANNEL, 43]


def test_an_empty_page_moves_the_cursor(journal: Journal) -> None:
    assert take(journal, page(high=50, ignored={"service": 50}), NOW) == Taken()
    assert (channel(journal)["floor"], channel(journal)["cursor"], channel(journal)["ignored"]) == (
        1,
        50,
        {"service": 50},
    )


def test_taken_adds_up() -> None:
    assert Taken(1, 2, 3, 4, 5) + Taken(10, 20, 30, 40, 50) == Taken(11, 22, 33, 44, 55)


# --- the cursor ---------------------------------------------------------------------------------------------


def test_the_cursor_never_moves_back(journal: Journal) -> None:
    for cursor, expected in ((5, 5), (9, 9), (3, 9), (9, 9), (10, 10)):
        take(journal, page(high=cursor), NOW)
        assert channel(journal)["cursor"] == expected


def test_the_further_pictures_of_a_message_are_no_messages(journal: Journal) -> None:
    take(journal, page(low=10, high=19, ignored={"text": 10}), NOW)
    take(journal, page(post(5), low=5, high=9, ignored={"text": 4, MORE: 8}), NOW)
    assert channel(journal)["ignored"] == {"text": 14, MORE: 8}
    assert channel(journal)["backfilled"] == 5


def test_ignored_messages_are_counted_once(journal: Journal) -> None:
    first, second = page(high=5, ignored={"text": 3}), page(high=9, ignored={"text": 1, "video": 1})
    for one in (first, first, second, first, second):
        take(journal, one, NOW)
    assert channel(journal)["ignored"] == {"text": 4, "video": 1}


def test_the_title_is_the_latest(journal: Journal) -> None:
    take(journal, page(high=1, title="Old"), NOW)
    take(journal, page(high=1, title="New"), NOW)
    assert channel(journal)["title"] == "New"


class Torn(Exception):
    """Something went wrong in the middle of a page."""


@pytest.mark.parametrize("query", ["move_channel", "add_job", "edit_message", "change_picture", "relocate"])
def test_cursor_and_jobs_move_together_or_not_at_all(
    query: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        put(journal, number)
    before = (rows(journal), figures.channels(journal), figures.states(journal))
    whole = page(
        post(1, caption="edited"),
        post(2, "file:other"),
        replace(post(3), photo=photo(locator={"file": "moved"})),
        post(4),
        high=9,
        ignored={"text": 5},
    )
    run = journal.run

    def torn(statement: str, /, **values: Any) -> Any:
        result = run(statement, **values)
        if statement == query:
            raise Torn
        return result

    monkeypatch.setattr(journal, "run", torn)
    with pytest.raises(Torn):
        take(journal, whole, NOW)
    monkeypatch.undo()
    assert (rows(journal), figures.channels(journal), figures.states(journal)) == before
    assert take(journal, whole, NOW) == Taken(new=1, edited=2, pending=1)
    assert channel(journal)["cursor"] == 9


def test_a_page_that_cannot_be_recorded_moves_nothing(journal: Journal) -> None:
    with pytest.raises(TypeError):
        take(journal, page(post(1), post(2, posted_at=object())), NOW)
    assert (rows(journal), figures.channels(journal)) == ([], [])


def test_the_failpoints_are_before_and_after_the_transaction(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    monkeypatch.setattr(failpoints, "reach", lambda name: seen.append((name, len(rows(journal)))))
    take(journal, page(post()), NOW)
    assert seen == [("seen.before", 0), ("seen.after", 1)]


# --- edits --------------------------------------------------------------------------------------------------

MESSAGE = {"revision", "digest", "caption", "edited_at"}
BOLD = {"type": "bold", "offset": 0, "length": 7}
LINK = {"type": "text_link", "offset": 3, "length": 2, "url": "https://example.org/ü?🖼"}


@pytest.mark.parametrize("state", STATES)
def test_an_edited_caption_changes_the_message_and_no_picture(state: State, journal: Journal) -> None:
    before = put(journal, 1, state)
    edited_at = before.posted_at + 60
    assert take(journal, page(post(caption="edited", edited_at=edited_at)), NOW) == Taken(edited=1)
    job = again(journal, before)
    revived = {"state", "dead_state", "dead_cause", "reason", "attempts"}
    more = {"published": {"state"}, "dead": revived}.get(state, set())
    assert changed(before, job) == MESSAGE | more
    assert job.state == {"published": "rendered", "dead": "fetched"}.get(state, state)
    assert (job.caption, job.edited_at, job.revision) == ("edited", edited_at, 1000 * edited_at)
    assert take(journal, page(post(caption="edited", edited_at=edited_at)), NOW).edited == 0


def test_an_edited_published_message_needs_its_row_only(journal: Journal) -> None:
    published = put(journal, 1, "published")
    take(journal, page(post(caption="edited")), NOW)
    (job,) = queue.due(journal, "rendered", 9)
    assert (job.stored, job.renditions, job.sha256) == (True, published.renditions, published.sha256)
    assert figures.spool_bytes(journal) == 0
    assert transitions.record_published(journal, [job])


@pytest.mark.parametrize("state", WAITING)
def test_an_edited_dead_letter_goes_on_where_it_died_by_itself(state: State, journal: Journal) -> None:
    """What it failed for may be mended by the edit: a caption that the catalogue refused."""
    job = put(journal, 1, state)
    assert state != "rendered" or transitions.record_stored(journal, [job])
    assert transitions.fail(journal, job, "refused", NO_RETRY) == "dead"
    retried = figures.totals(journal)["retried"]
    assert take(journal, page(post()), NOW) == Taken(dead=1), "the same once more is no edit"
    assert take(journal, page(post(caption="edited")), NOW) == Taken(edited=1)
    now = again(journal, job)
    assert (now.state, now.dead_state, now.reason, now.attempts, now.next_at) == (state, None, None, 0, 0)
    assert (now.caption, now.generation, now.stored, now.sha256) == ("edited", 1, state == "rendered", job.sha256)
    assert queue.due(journal, state, 9) == [now] and figures.totals(journal)["retried"] == retried + 1


def test_an_edit_of_the_caption_does_not_bring_back_what_killed_its_workers(journal: Journal) -> None:
    job = put(journal, 1, "fetched")
    assert transitions.strike(journal, job, "why", alone=True)
    assert transitions.bury(journal, job, f"{POISON} after 2 tries: why", cause="poison")
    assert take(journal, page(post(caption="edited")), NOW) == Taken(edited=1)
    now = again(journal, job)
    assert (now.state, now.caption, now.deaths) == ("dead", "edited", 1)
    assert [one["job"] for one in figures.quarantined(journal, 9)] == [job.id]
    assert take(journal, page(post(1, "file:other")), NOW) == Taken(edited=1)
    now = again(journal, job)
    assert (now.state, now.dead_cause) == ("seen", None), "another picture is another chance"
    assert figures.quarantined(journal, 9) == []


def test_what_killed_its_workers_is_in_quarantine_until_its_message_is_gone(journal: Journal) -> None:
    job = put(journal, 1, "fetched")
    assert transitions.bury(journal, job, "why", cause="poison")
    assert again(journal, job).dead_cause == "poison"
    assert withdraw(journal, CHANNEL, [1], NOW) == [1]
    assert again(journal, job).dead_cause is None and figures.quarantined(journal, 9) == []


def test_an_edit_leaves_what_is_known_of_the_picture(journal: Journal) -> None:
    """The same bytes that could not be decoded are the verdict at once."""
    job = put(journal, 1, "fetched")
    assert transitions.doubt(journal, job, "truncated")
    job = push(journal, again(journal, job), "fetched")
    assert not transitions.doubt(journal, job, "truncated") and transitions.bury(journal, job, "truncated")
    take(journal, page(post(caption="edited")), NOW)
    job = again(journal, job)
    assert (job.state, job.doubted) == ("fetched", job.sha256) and not transitions.doubt(journal, job, "truncated")


@pytest.mark.parametrize(("state", "now"), [("seen", "seen"), ("fetched", "dead"), ("rendered", "dead")])
def test_a_dead_letter_whose_file_lies_elsewhere_now(state: State, now: State, journal: Journal) -> None:
    """What could not be fetched is tried again, from there; what failed otherwise does not care."""
    job = put(journal, 1, state)
    assert transitions.bury(journal, job, "why")
    moved = replace(post(), photo=photo(locator={"file": "elsewhere"}))
    assert take(journal, page(moved), NOW) == (Taken(pending=1) if now == "seen" else Taken(dead=1))
    assert (again(journal, job).state, again(journal, job).locator) == (now, {"file": "elsewhere"})
    if now == "seen":
        assert transitions.bury(journal, again(journal, job), "why")
        assert take(journal, page(moved), NOW) == Taken(dead=1), "it was tried there"


# --- the same file under another name -----------------------------------------------------------------------

HERE, THERE = "file:photos/photo@01-02-2025_10-00-00.jpg", "file:photos/photo@01-02-2025_12-00-00.jpg"


def renamed(name: str = THERE, about: str = "9:4x3", sha256: str | None = "5ha", **fields: Any) -> Post:
    return post(photo=photo(f"{name}:{about}", sha256=sha256), **fields)


@pytest.mark.parametrize("state", STATES)
def test_the_same_bytes_under_another_name_only_lie_elsewhere(state: State, journal: Journal) -> None:
    before = put(journal, 1, state, f"{HERE}:9:4x3")
    assert wants_sha256(before, renamed(sha256=None).photo) is (state != "seen")
    taken = take(journal, page(renamed()), NOW)
    assert (taken.edited, taken.new) == (0, 0)
    assert changed(before, again(journal, before)) == {"identity", "locator"}
    assert take(journal, page(renamed(sha256=None)), NOW) == taken, "it goes by that name from now on"
    assert not wants_sha256(again(journal, before), renamed(sha256=None).photo)


@pytest.mark.parametrize("state", STATES[1:])
@pytest.mark.parametrize(("about", "sha256"), [("9:4x3", "other"), ("9:4x3", None), ("8:4x3", "5ha"), ("9:4x4", "5ha")])
def test_other_bytes_another_size_or_other_sides_are_another_picture(
    about: str, sha256: str | None, state: State, journal: Journal
) -> None:
    before = put(journal, 1, state, f"{HERE}:9:4x3")
    assert take(journal, page(renamed(about=about, sha256=sha256)), NOW) == Taken(edited=1)
    assert (again(journal, before).state, again(journal, before).generation) == ("seen", 2)


def test_an_edited_caption_under_another_name(journal: Journal) -> None:
    before = put(journal, 1, "published", f"{HERE}:?:4x3")
    assert take(journal, page(renamed(caption="edited")), NOW) == Taken(edited=1)
    now = again(journal, before)
    assert (now.state, now.generation, now.caption, now.stored) == ("rendered", 1, "edited", True)


def test_an_edit_does_not_disturb_the_worker_that_has_the_picture(journal: Journal) -> None:
    job = put(journal, 1, "fetched")
    assert transitions.claim(journal, job, "image-1")
    take(journal, page(post(caption="edited")), NOW)
    assert again(journal, job).claimed_by == "image-1"
    assert transitions.record_rendered(journal, done(job))


@pytest.mark.parametrize(
    ("changes", "is_edit"),
    [
        ({"caption": ""}, True),
        ({"grouped_id": 8}, True),
        ({"posted_at": 1_700_000_001}, True),
        ({"entities": (BOLD,)}, True),
        ({"forwarded_from": {"channel_id": 43, "message_id": 7}}, True),
        ({"reply_to": 3}, True),
        ({"edited_at": 1_700_000_999}, False),
        ({"photo": photo(bytes=5, width=6, height=7, mime="image/png")}, False),
    ],
)
def test_what_counts_as_an_edit(changes: dict[str, Any], is_edit: bool, journal: Journal) -> None:
    put(journal)
    assert (digest_of(post(**changes)) != digest_of(post())) is is_edit
    assert take(journal, page(post(**changes)), NOW) == (Taken(edited=1) if is_edit else Taken(pending=1))


DETAILS: dict[str, tuple[Any, Any]] = {
    "entities": ((BOLD, LINK), (LINK,)),
    "forwarded_from": ({"channel_id": 43, "message_id": 7, "date": 5}, {"user_id": 2**40, "name": "Grüße"}),
    "reply_to": (3, 2**31),
}


@pytest.mark.parametrize("name", DETAILS)
def test_a_message_s_details_are_kept_changed_and_taken_away(name: str, journal: Journal) -> None:
    job = put(journal, 1, "published")
    plain = getattr(job, name)
    for value in (*DETAILS[name], plain):
        before = again(journal, job)
        for _ in range(2):
            take(journal, page(post(**{name: value})), NOW)
        after = again(journal, job)
        assert getattr(after, name) == value
        assert changed(before, after) == {name, "digest", "revision"} | ({"state"} if before == job else set())
        assert after.revision == before.revision + 1, "once for a change, and not for its repetition"
    assert again(journal, job).digest == job.digest


@pytest.mark.parametrize("name", DETAILS)
def test_details_come_with_a_new_message_and_with_another_picture(name: str, journal: Journal) -> None:
    first, second = DETAILS[name]
    job = put(journal, **{name: first})
    assert getattr(job, name) == first
    assert take(journal, page(post(1, "file:b", **{name: second})), NOW) == Taken(edited=1)
    assert getattr(again(journal, job), name) == second


JSON = st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(), st.lists, max_leaves=3)


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=3), st.dictionaries(st.text(), JSON, min_size=1))
def test_details_are_given_back_as_they_came(entities: list[dict[str, Any]], forwarded: dict[str, Any]) -> None:
    journal = open_journal(None)
    job = put(journal, entities=tuple(entities), forwarded_from=forwarded)
    assert (job.entities, job.forwarded_from) == (tuple(entities), forwarded)
    assert take(journal, page(post(entities=tuple(entities), forwarded_from=forwarded)), NOW) == Taken(pending=1)
    journal.close()


def test_every_detail_has_its_own_place_in_the_digest() -> None:
    """What one loses is not made up for by another that gets it."""
    details: list[dict[str, Any]] = [{}, {"entities": (BOLD,)}, {"forwarded_from": BOLD}, {"reply_to": 1}]
    details += [{"grouped_id": 1}, {"entities": (BOLD, BOLD)}, {"forwarded_from": BOLD, "reply_to": 1}]
    assert len({digest_of(post(**one)) for one in details}) == len(details)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("", ""),
        ("Grüße 🖼\n\t", "Grüße 🖼\n\t"),
        ("a\0b", "a\ufffdb"),
        ("\ud83d", "\ufffd"),
        ("\udc00x\ud800", "\ufffdx\ufffd"),
        ("\ud83d\uddbc", "\ufffd\ufffd"),
        ("\ud7ff\ue000\uffff", "\ud7ff\ue000\uffff"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text(st.characters()))
def test_what_is_clean_can_be_kept_and_is_as_long_as_it_was(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) == len(text)
    assert "\0" not in cleaned.encode().decode()
    assert clean(cleaned) == cleaned


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 2_000_000_000)), min_size=1, max_size=8))
def test_the_revision_grows_with_every_change_but_an_older_state_is_passed_over(
    edits: list[tuple[str, int | None]],
) -> None:
    journal = open_journal(None)
    job = put(journal, caption="first")
    for caption, edited_at in edits:
        before = again(journal, job)
        take(journal, page(post(caption=caption, edited_at=edited_at)), NOW)
        after = again(journal, job)
        if max(edited_at or 0, job.posted_at) < max(before.edited_at or 0, job.posted_at):
            assert after == before  # an export from before the edit that we know
            continue
        assert after.caption == caption
        assert (after.revision > before.revision) is (caption != before.caption)
        assert after.revision >= before.revision
    journal.close()


@pytest.mark.parametrize(
    ("edited_at", "previous", "revision"),
    [(None, 0, 5_000), (9, 0, 9_000), (9, 9_000, 9_001), (9, 50_000, 50_001), (0, 0, 5_000)],
)
def test_revision_of(edited_at: int | None, previous: int, revision: int) -> None:
    assert revision_of(post(posted_at=5, edited_at=edited_at), previous) == revision


# --- pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_another_picture_starts_again_as_a_new_generation(state: State, journal: Journal) -> None:
    before = put(journal, 1, state)
    untouched = put(journal, 2, state)
    assert take(journal, page(post(1, "file:b", caption="new")), NOW) == Taken(edited=1)
    job = again(journal, before)
    fresh = put(journal, 3, identity="file:b", caption="new")
    assert changed(job, fresh) - {"published_at", "shown"} == {"id", "message_id", "generation", "revision"}
    assert (job.published_at, job.shown) == (before.published_at, before.shown)
    assert job.generation == before.generation + 1
    assert job.revision > before.revision
    assert again(journal, untouched) == untouched
    assert push(journal, job, "published").published_at is not None
    assert figures.totals(journal)["processed"] == (2 if state == "published" else 1)


def test_another_picture_takes_the_job_out_of_its_workers_hand(journal: Journal) -> None:
    job = put(journal, 1, "fetched")
    assert transitions.strike(journal, job, "why", alone=True)
    transitions.fail(journal, again(journal, job), "why", RETRY)
    assert transitions.claim(journal, job, "image-1")
    take(journal, page(post(1, "file:b")), NOW)
    new = again(journal, job)
    assert (new.claimed_by, new.deaths, new.alone, new.attempts, new.next_at) == (None, 0, False, 0, 0)
    assert not transitions.record_rendered(journal, done(job))


@pytest.mark.parametrize("state", STATES)
def test_a_picture_that_was_missing_is_there(state: State, journal: Journal) -> None:
    job = put(journal, 1, state, identity="missing:1")
    assert take(journal, page(post(1, "file:a")), NOW) == Taken(edited=1)
    now = again(journal, job)
    assert (now.state, now.generation, now.locator) == ("seen", 2, {"file": "file:a"})


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("identity", ["missing:1", "missing:2"])
def test_a_picture_that_is_missing_now_is_the_one_we_have(identity: str, state: State, journal: Journal) -> None:
    put(journal, 1, state)
    before = rows(journal)
    assert take(journal, page(post(1, identity)), NOW).edited == 0
    assert rows(journal) == before
    take(journal, page(post(1, "file:a")), NOW)
    assert rows(journal) == before


def test_the_message_is_edited_while_its_picture_is_missing(journal: Journal) -> None:
    job = put(journal, 1, "published")
    assert take(journal, page(post(1, "missing:1", caption="edited")), NOW) == Taken(edited=1)
    now = again(journal, job)
    assert (now.state, now.caption, now.identity, now.locator) == ("rendered", "edited", "file:a", {"file": "file:a"})


@pytest.mark.parametrize("state", STATES)
def test_an_export_that_was_moved_only_relocates(state: State, journal: Journal) -> None:
    before = put(journal, 1, state)
    moved = replace(post(), photo=photo(locator={"file": "elsewhere"}))
    assert take(journal, page(moved), NOW).edited == 0
    assert changed(before, again(journal, before)) == {"locator"}
    assert again(journal, before).locator == {"file": "elsewhere"}


@pytest.mark.parametrize("state", STATES)
def test_the_same_message_from_another_kind_of_source(state: State, journal: Journal) -> None:
    before = put(journal, 1, state)
    live = replace(post(), photo=photo("id:9", photo_id=9, locator={"message": 1}))
    assert take(journal, page(live), NOW).edited == 0
    now = again(journal, before)
    assert changed(before, now) == {"locator", "identity", "source", "photo_id"}
    assert (now.identity, now.source, now.photo_id) == ("id:9", "telegram", 9)
    take(journal, page(post()), NOW)
    assert again(journal, before).photo_id == 9  # an export doesn't know it, and that is no reason to forget it
    take(journal, page(live), NOW)
    take(journal, page(replace(live, photo=replace(live.photo, identity="id:10", photo_id=10))), NOW)
    assert again(journal, before).generation == 2


@pytest.mark.parametrize("state", STATES)
def test_a_picture_that_an_export_left_out_comes_from_where_it_is(state: State, journal: Journal) -> None:
    before = put(journal, 1, state, identity="missing:1")
    take(journal, page(post(1, "id:9"), is_present=True), NOW)
    now = again(journal, before)
    assert (now.state, now.generation, now.source) == ("seen", 2, "telegram")
    assert queue.due(journal, "seen", 9, source="telegram") == [now]


@pytest.mark.parametrize(
    ("old", "new", "is_other"),
    [
        ("file:a", "file:a", False),
        ("file:a", "file:b", True),
        ("id:1", "id:2", True),
        ("file:a", "id:1", False),
        ("id:1", "file:a", False),
        ("missing:1", "file:a", True),
        ("missing:1", "id:1", True),
        ("file:a", "missing:1", False),
        ("missing:1", "missing:1", False),
        ("missing:1", "missing:2", False),
    ],
)
def test_is_other_picture(old: str, new: str, is_other: bool) -> None:
    assert is_other_picture(old, new) is is_other


# --- any order ----------------------------------------------------------------------------------------------

CONTENT = st.lists(
    st.tuples(st.text(max_size=5), st.sampled_from(["file:a", "file:b", "missing:1"]), st.none() | st.integers(0, 99)),
    min_size=1,
    max_size=12,
)


@given(CONTENT, st.data())
def test_any_order_and_repetition_of_the_same_pages_ends_the_same(
    content: list[tuple[str, str, int | None]], data: st.DataObject
) -> None:
    posts = [
        post(number, identity, caption=caption, grouped_id=album)
        for number, (caption, identity, album) in enumerate(content, 1)
    ]
    size = data.draw(st.integers(1, 4))
    pages = [page(*posts[first : first + size]) for first in range(0, len(posts), size)]
    some = st.lists(st.sampled_from(pages), max_size=8)
    assert end_of(pages) == end_of(data.draw(some) + data.draw(st.permutations(pages)) + data.draw(some))


def end_of(pages: list[Page]) -> tuple[list[dict[str, Any]], int, dict[str, int]]:
    """Rows, cursor and states after the pages."""
    journal = open_journal(None)
    for one in pages:
        take(journal, one, NOW)
    found = rows(journal), figures.channels(journal)[0]["cursor"], figures.states(journal)
    journal.close()
    return found


def test_a_lost_tail_of_the_journal_comes_again_by_itself() -> None:
    """A power cut takes the last commits: what is taken again from the older cursor ends the same."""
    pages = [page(post(number), post(number + 1)) for number in (1, 3, 5)]
    whole, cut = open_journal(None), open_journal(None)
    for one in pages:
        take(whole, one, NOW)
    take(cut, pages[0], NOW)
    cursor = channel(cut)["cursor"]
    for one in pages:
        if one.high > cursor:
            take(cut, one, NOW)
    assert (rows(cut), figures.channels(cut)) == (rows(whole), figures.channels(whole))
    whole.close()
    cut.close()
