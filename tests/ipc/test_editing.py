"""ipc.editing: which posts are taken, and which readers see, as captions and the operator say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ipc import editing
from ipc.editing import Editing
from ipc.files.rows import RowLayout, rows_of
from ipc.intake import Taken, take, withdraw
from ipc.jobs import Job
from ipc.journal import Journal, figures, lookup, pictures, queue, renewals, transitions
from ipc.journal.outputs import changes
from ipc.posts import Post
from ipc.rules import PostRule
from tests.ipc.builders import (
    CHANNEL,
    NO_RETRY,
    NOW,
    again,
    kept_counts,
    open_journal,
    page,
    photo,
    post,
    push,
    put,
    put_in,
    recounted_counts,
)

COMMANDS = Editing(commands=True)
EVERY_STATE = ["seen", "fetched", "claimed", "rendered", "stored", "published", "dead"]
LATER = NOW + 60


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = open_journal(None)
    yield journal
    assert kept_counts(journal) == recounted_counts(journal)
    journal.close()


def came(journal: Journal, *posts: Post, how: Editing = COMMANDS) -> Taken:
    return take(journal, page(*posts, is_present=True), LATER, how)


def job(journal: Journal, message_id: int = 1) -> Job:
    found = lookup.known(journal, CHANNEL, message_id)
    assert found is not None
    return found


def hidden(journal: Journal, *message_ids: int) -> list[str | None]:
    """By whom each is hidden; None: readers may see it."""
    jobs = [job(journal, one) for one in message_ids or (1,)]
    return [one.hidden_by if one.hidden_at is not None else None for one in jobs]


def write_row(journal: Journal, message_id: int = 1) -> Job:
    """The uploader writes the row that is due."""
    assert [one.message_id for one in queue.due(journal, "rendered", 9, stored=True)] == [message_id]
    assert transitions.record_published(journal, [job(journal, message_id)])
    return job(journal, message_id)


# --- captions -----------------------------------------------------------------------------------------------


def test_a_caption_hides_its_post_and_an_edit_brings_it_back(journal: Journal) -> None:
    published = put(journal, 1, "published", "id:1")
    changes.register(journal, "site")
    assert came(journal, post(1, "id:1", caption="A fox #hide")).edited == 1
    one = job(journal)
    assert (one.state, one.stored, one.hidden_at, one.hidden_by) == ("rendered", True, int(LATER), "caption")
    assert one.revision > published.revision and one.caption == "A fox #hide"
    assert write_row(journal).shown is False
    assert came(journal, post(1, "id:1", caption="A fox #hide")) == Taken(published=1), "once"
    assert came(journal, post(1, "id:1", caption="A fox")).edited == 1
    one = job(journal)
    assert (one.state, one.stored, one.hidden_at, one.hidden_by) == ("rendered", True, None, None)
    assert write_row(journal).shown is True
    assert [change.what for change in changes.after(journal, 0, 9)] == ["deleted", "published"]
    assert figures.totals(journal)["processed"] == 1


def test_without_the_setting_it_is_a_hashtag_and_what_it_has_hidden_comes_back(journal: Journal) -> None:
    came(journal, post(1, caption="#hide"), how=Editing())
    assert hidden(journal) == [None]
    came(journal, post(1, caption="#hide"))
    assert hidden(journal) == ["caption"], "the setting is on now: a look at the channel is enough"
    came(journal, post(1, caption="#hide"), how=Editing())
    assert hidden(journal) == [None]


def test_a_new_post_that_is_hidden_goes_its_way_to_a_row_that_readers_do_not_see(journal: Journal) -> None:
    came(journal, post(1, caption="#hide"))
    one = push(journal, job(journal), "published")
    assert (one.hidden_by, one.shown, one.published_at) == ("caption", False, int(NOW))


def test_an_album_is_hidden_as_a_whole_whenever_its_messages_come(journal: Journal) -> None:
    album: dict[str, Any] = {"grouped_id": 7}
    came(journal, post(1, "id:1", caption="", **album), post(9, "id:9", caption=""))
    came(journal, post(2, "id:2", caption="Two #hide", **album))
    came(journal, post(3, "id:3", caption="", **album))
    assert hidden(journal, 1, 2, 3, 9) == ["caption", "caption", "caption", None]
    came(journal, post(2, "id:2", caption="Two", **album))
    assert hidden(journal, 1, 2, 3, 9) == [None] * 4


def test_a_deleted_caption_shows_nothing_of_its_album(journal: Journal) -> None:
    album: dict[str, Any] = {"grouped_id": 7}
    came(journal, post(1, "id:1", caption="#hide", **album), post(2, "id:2", caption="", **album))
    withdraw(journal, CHANNEL, [1], LATER)
    came(journal, post(2, "id:2", caption="", **album))
    assert hidden(journal, 2) == ["caption"]


# --- the operator -------------------------------------------------------------------------------------------


def test_what_the_operator_hides_no_edit_shows(journal: Journal) -> None:
    one = put(journal, 1, "published")
    assert editing.hide_posts(journal, [one], LATER) == 1
    assert editing.hide_posts(journal, [one], LATER) == 0
    came(journal, post(1, caption="edited"))
    came(journal, post(1, caption="edited again #hide"))
    came(journal, post(1, caption="and again"))
    assert hidden(journal) == ["operator"]
    assert editing.show_posts(journal, [one], LATER) == (1, 0)
    assert editing.show_posts(journal, [one], LATER) == (0, 0)
    assert hidden(journal) == [None]


def test_what_the_operator_shows_stays_so_until_its_caption_is_edited(journal: Journal) -> None:
    came(journal, post(1, caption="#hide"))
    assert editing.show_posts(journal, [job(journal)], LATER) == (1, 0)
    came(journal, post(1, caption="#hide"))
    assert hidden(journal) == [None]
    came(journal, post(1, caption="#hide and more"))
    assert hidden(journal) == ["caption"]


def test_shown_by_the_operator_an_album_stays_so_when_a_late_message_comes(journal: Journal) -> None:
    album: dict[str, Any] = {"grouped_id": 7}
    came(journal, post(1, "id:1", caption="#hide", **album), post(2, "id:2", caption="", **album))
    assert editing.show_posts(journal, lookup.posted_with(journal, job(journal)), LATER) == (2, 0)
    came(journal, post(3, "id:3", caption="", **album))
    assert hidden(journal, 1, 2) == [None, None]


def test_whatever_hides_or_shows_the_revision_rises(journal: Journal) -> None:
    one = put(journal, 1, "published")
    revisions = [one.revision]
    for step in (editing.hide_posts, editing.show_posts, editing.hide_posts):
        step(journal, [one], 0.0)
        revisions.append(job(journal).revision)
    assert revisions == sorted(set(revisions))


@pytest.mark.parametrize("state", EVERY_STATE)
def test_hidden_in_any_state_before_readers_saw_it_it_goes_its_way(state: str, journal: Journal) -> None:
    before = put_in(journal, state)
    editing.hide_posts(journal, [before], LATER)
    after = again(journal, before)
    expected = "rendered" if state == "published" else before.state
    assert (after.state, after.hidden_by, after.generation) == (expected, "operator", before.generation)
    assert after.revision > before.revision, "a row that is on its way is written again"


@pytest.mark.parametrize("state", [state for state in EVERY_STATE if state != "published"])
def test_the_row_of_a_former_picture_leaves_at_once_and_comes_back_with_the_new_one(
    state: str, journal: Journal
) -> None:
    put(journal, 1, "published", "id:1")
    came(journal, post(1, "id:2"))
    before = put_in(journal, state, job(journal))
    editing.hide_posts(journal, [before], LATER)
    after = again(journal, before)
    assert (after.state, after.stored, after.claimed_by, after.dead_state) == ("rendered", True, None, None)
    if state != "stored":
        assert after.is_taken_down and after.generation == before.generation + 1
        assert rows_of(after, RowLayout("", str))["images"] is None
        assert lookup.unfinished(journal, [after.id]) == {}
    assert write_row(journal).shown is False
    editing.show_posts(journal, [after], LATER)
    assert again(journal, after).state == ("rendered" if state == "stored" else "seen")
    assert push(journal, again(journal, after), "published").shown is True if state != "stored" else write_row(journal)


def test_shown_again_before_the_row_has_left_or_died_on_its_way(journal: Journal) -> None:
    put(journal, 1, "published", "id:1")
    came(journal, post(1, "id:2"))
    editing.hide_posts(journal, [job(journal)], LATER)
    assert transitions.fail(journal, job(journal), "refused", NO_RETRY) == "dead"
    editing.show_posts(journal, [job(journal)], LATER)
    assert (job(journal).state, job(journal).dead_state) == ("dead", "seen")
    assert transitions.revive(journal, [job(journal).id])
    assert push(journal, job(journal), "published").shown


def test_one_that_is_rendered_anew_is_hidden_as_it_was(journal: Journal) -> None:
    one = put(journal, 1, "published")
    renewals.want(journal, "0a1b2c3d").__next__()
    assert transitions.renew(journal, one, "fetched", was_stripped=True)
    editing.hide_posts(journal, [one], LATER)
    after = again(journal, one)
    assert (after.state, after.stored, after.renditions) == ("rendered", True, one.renditions)
    assert renewals.counts(journal)["wanted"] == 1


# --- blocked pictures ---------------------------------------------------------------------------------------

PICTURE = "5ha"
"""The digest that `push` gives every picture."""


def test_a_blocked_picture_is_hidden_where_it_is_and_goes_no_further_where_it_comes(journal: Journal) -> None:
    states = ["seen", "fetched", "claimed", "rendered", "stored", "published", "dead"]
    for number, state in enumerate(states, 1):
        put_in(journal, state, put(journal, number, "seen", f"id:{number}"))
    became = editing.block(journal, PICTURE, LATER)
    assert (became.hidden, became.stopped) == (3, 2)
    assert hidden(journal, 4, 5, 6) == ["block"] * 3
    assert [job(journal, one).state for one in (1, 2, 3, 7)] == ["seen", "dead", "dead", "dead"]
    assert job(journal, 2).dead_cause == "blocked"
    assert transitions.record_fetched(journal, [(job(journal, 1), PICTURE, 100, None)]) == set()
    assert (job(journal, 1).state, job(journal, 1).dead_cause) == ("dead", "blocked")
    assert lookup.unfinished(journal, [job(journal, one).id for one in (1, 2, 3, 7)]) == {}, "no file of it is kept"
    assert transitions.revive(journal, [job(journal, one).id for one in (1, 2, 3, 7)]) == []
    came(journal, post(2, "id:2", caption="edited"))
    assert job(journal, 2).state == "dead"
    assert figures.totals(journal)["failed"] == 4


def test_let_in_again_everything_goes_on(journal: Journal) -> None:
    for number, state in enumerate(["fetched", "published"], 1):
        put_in(journal, state, put(journal, number, "seen", f"id:{number}"))
    came(journal, post(3, "id:3", caption="#hide"))
    push(journal, job(journal, 3), "published")
    assert editing.unblock(journal, PICTURE, COMMANDS, LATER) is None
    editing.block(journal, PICTURE, LATER)
    assert [one for one, _ in pictures.all_blocked(journal)] == [PICTURE]
    assert editing.show_posts(journal, [job(journal, 2), job(journal, 3)], LATER) == (0, 2)
    assert hidden(journal, 2, 3) == ["block", "block"]
    became = editing.unblock(journal, PICTURE, COMMANDS, LATER)
    assert became is not None and (became.hidden, became.stopped) == (2, 1)
    assert hidden(journal, 2, 3) == [None, "caption"], "as its caption says"
    assert job(journal, 1).state == "seen", "its file was not kept"


def test_a_post_that_gets_another_picture_instead_is_shown(journal: Journal) -> None:
    put(journal, 1, "published", "id:1")
    editing.block(journal, PICTURE, LATER)
    came(journal, post(1, "id:2"))
    assert (job(journal).state, hidden(journal)) == ("seen", [None])


def test_a_post_that_gets_another_picture_and_is_hidden_by_its_caption(journal: Journal) -> None:
    put(journal, 1, "published", "id:1")
    editing.block(journal, PICTURE, LATER)
    came(journal, post(1, "id:2", caption="#hide"))
    assert hidden(journal) == ["caption"]


def test_a_post_that_gets_a_blocked_picture_instead_is_hidden(journal: Journal) -> None:
    put(journal, 1, "published", "id:1")
    came(journal, post(1, "id:2"))
    editing.block(journal, "other", LATER)
    assert transitions.record_fetched(journal, [(job(journal), "other", 100, None)]) == set()
    assert (job(journal).state, hidden(journal)) == ("rendered", ["block"])
    write_row(journal)
    became = editing.unblock(journal, "other", COMMANDS, LATER)
    assert became is not None and became.hidden == 1 and job(journal).state == "seen"


# --- rules --------------------------------------------------------------------------------------------------

PRINT_ONLY = Editing(rules=(PostRule("take", tags=("print",)), PostRule("leave")))


def ignored(journal: Journal) -> dict[str, int]:
    (channel,) = figures.channels(journal)
    return dict(channel["ignored"])


def test_what_a_rule_leaves_is_counted_once_and_has_no_job(journal: Journal) -> None:
    some = [post(1, "id:1", caption="#print"), post(2, "id:2"), post(3, "id:3")]
    for _ in range(2):
        came(journal, *some, how=PRINT_ONLY)
    assert ignored(journal) == {"left_by_rule": 2}
    assert [lookup.known(journal, CHANNEL, one) is not None for one in (1, 2, 3)] == [True, False, False]


def test_an_edit_that_fits_takes_it_and_one_that_does_not_leaves_what_is_there(journal: Journal) -> None:
    came(journal, post(1, "id:1"), how=PRINT_ONLY)
    assert came(journal, post(1, "id:1", caption="#print"), how=PRINT_ONLY).new == 1
    assert came(journal, post(1, "id:1", caption="no more"), how=PRINT_ONLY).edited == 1
    assert job(journal).caption == "no more"
    withdraw(journal, CHANNEL, [1], LATER)
    came(journal, post(1, "id:1", caption="back"), how=PRINT_ONLY)
    assert job(journal).deleted_at is not None


def test_the_tags_of_an_album_are_those_of_all_its_messages(journal: Journal) -> None:
    album: dict[str, Any] = {"grouped_id": 7}
    came(journal, post(1, "id:1", caption="", **album), post(2, "id:2", caption="#print", **album), how=PRINT_ONLY)
    came(journal, post(3, "id:3", caption="", **album), how=PRINT_ONLY)
    assert ignored(journal) == {} and job(journal, 3).state == "seen"


def test_a_rule_for_one_channel_and_for_small_pictures(journal: Journal) -> None:
    small = post(1, "id:1", photo=photo("id:1", width=100))
    for channel, taken in ((f"id:{CHANNEL + 1}", True), (f"id:{CHANNEL}", False)):
        how = Editing(rules=(PostRule("leave", channel=channel, max_width=300),))
        assert (editing.left_by_rules(journal, page(small), how) == set()) is taken
