"""ipc/journal/outputs/changes.py: what is new for readers reaches every consumer, in order, and is then forgotten."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ipc.intake import take, withdraw
from ipc.journal import Journal, lookup, transitions
from ipc.journal.outputs import changes
from ipc.journal.outputs.changes import Change
from tests.ipc.builders import CHANNEL, NOW, again, open_journal, page, post, push, put, put_in
from tests.ipc.tables import sql


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = open_journal(None)
    yield journal
    journal.close()


def publish(journal: Journal, message_id: int) -> None:
    job = lookup.known(journal, CHANNEL, message_id)
    assert job is not None
    if job.state == "rendered" and job.stored:
        transitions.record_published(journal, [job])
    else:
        push(journal, job, "published")


def told(found: list[Change]) -> list[tuple[int, str]]:
    return [(one.message_id, one.what) for one in found]


def test_what_readers_see_is_told_in_order(journal: Journal) -> None:
    put(journal, 1, "published")
    assert changes.after(journal, 0, 9) == [], "nobody follows"
    consumer = changes.register(journal, "feeds")
    assert (consumer.position, consumer.is_built) == (0, False)
    put(journal, 2, "published")
    take(journal, page(post(1, caption="edited")), NOW)
    publish(journal, 1)
    withdraw(journal, CHANNEL, [2], NOW)
    publish(journal, 2)
    take(journal, page(post(2, "file:b"), is_present=True), NOW)
    publish(journal, 2)
    expected = [(2, "published"), (1, "changed"), (2, "deleted"), (2, "published")]
    assert told(changes.after(journal, consumer.position, 9)) == expected
    assert told(changes.after(journal, consumer.position, 2)) == expected[:2]


def test_a_message_that_goes_before_it_was_shown_is_no_change(journal: Journal) -> None:
    changes.register(journal, "feeds")
    put(journal, 1, "seen")
    withdraw(journal, CHANNEL, [1], NOW)
    publish(journal, 1)
    assert changes.after(journal, 0, 9) == []


@pytest.mark.parametrize("how", ["deleted", "hidden", "replaced and hidden"])
def test_what_goes_when_its_row_may_be_there_is_told(journal: Journal, how: str) -> None:
    """The uploader may have been killed between the row and its record; a feed may have it."""
    changes.register(journal, "feeds")
    job = put_in(journal, "stored", put(journal, 1, "seen", "id:1"))
    if how == "deleted":
        withdraw(journal, CHANNEL, [1], NOW)
    else:
        if how != "hidden":
            take(journal, page(post(1, "id:2")), NOW)
        transitions.hide(journal, again(journal, job), "operator", NOW)
    publish(journal, 1)
    assert told(changes.after(journal, 0, 9)) == [(1, "deleted")]


def test_hidden_and_shown_before_its_first_row_it_is_published(journal: Journal) -> None:
    changes.register(journal, "feeds")
    job = put_in(journal, "stored", put(journal, 1, "seen"))
    transitions.hide(journal, job, "operator", NOW)
    transitions.unhide(journal, again(journal, job), "operator", NOW)
    publish(journal, 1)
    assert told(changes.after(journal, 0, 9)) == [(1, "published")]


def test_one_that_is_hidden_is_deleted_for_readers(journal: Journal) -> None:
    changes.register(journal, "feeds")
    job = put(journal, 1, "published")
    for hidden_at, what in ((int(NOW), "deleted"), (None, "published")):
        sql(journal, "UPDATE jobs SET hidden_at = ?, state = 'rendered', revision = revision + 1", hidden_at)
        publish(journal, 1)
        assert told(changes.after(journal, 0, 9))[-1] == (1, what)
        assert again(journal, job).shown is (hidden_at is None)


def test_what_all_have_passed_is_forgotten(journal: Journal) -> None:
    changes.register(journal, "feeds")
    for number in (1, 2, 3):
        put(journal, number, "published")
    first, second, third = (one.id for one in changes.after(journal, 0, 9))
    assert changes.register(journal, "site").position == third, "it looks for the rest itself"
    changes.register(journal, "slow")
    changes.advance(journal, "feeds", second)
    assert [one.id for one in changes.after(journal, 0, 9)] == [third]
    changes.advance(journal, "feeds", first)
    assert changes.register(journal, "feeds").position == second, "it never goes back"
    changes.unregister(journal, "feeds")
    assert changes.after(journal, 0, 9) == []
    put(journal, 4, "published")
    (fourth,) = changes.after(journal, third, 9)
    assert fourth.id > third, "no id is used twice"
    assert changes.names(journal) == ["site", "slow"]


def test_a_consumer_goes_on_where_it_was(journal: Journal) -> None:
    changes.register(journal, "feeds")
    put(journal, 1, "published")
    changes.note_built(journal, "feeds")
    changes.advance(journal, "feeds", 1)
    consumer = changes.register(journal, "feeds")
    assert (consumer.position, consumer.is_built) == (1, True)
