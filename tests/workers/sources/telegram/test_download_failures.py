"""What /status says of downloads that fail, and when they are tried again."""

from __future__ import annotations

import errno

import pytest

from ipc.process.holds import Hold
from tests.workers.desk import Desk
from workers.sources.settle import Failed, Gone, NoRoom, PutOff, Withdrawn
from workers.sources.telegram.downloads.failures import (
    GRACE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MAX_REMEMBERED,
    OUTAGE_SECONDS,
    STUBBORN_SECONDS,
    DownloadFailures,
)
from workers.sources.telegram.wire import errors

NEWS, OTHER = 7, 8


def test_a_picture_that_fails_waits_longer_each_time() -> None:
    it = DownloadFailures()
    pauses = [it.note(1, NEWS, "silence", 100.0) for _ in range(9)]
    assert pauses[:4] == [30.0, 60.0, 120.0, 240.0] and pauses[-1] == LONGEST_PAUSE_SECONDS
    assert it.note(2, NEWS, "silence", 100.0) == 30.0
    it.fetched(1, 200.0)
    assert it.note(1, NEWS, "silence", 300.0) == 30.0


def test_it_is_a_problem_when_nothing_has_come_for_a_minute() -> None:
    it = DownloadFailures()
    assert it.complaint(0.0) is None
    it.note(1, NEWS, "silence", 100.0)
    it.note(2, NEWS, "INTERNAL", 130.0)
    assert it.complaint(100.0 + GRACE_SECONDS - 1) is None
    told = it.complaint(100.0 + GRACE_SECONDS)
    assert told is not None and told.since == 100.0 and told.remedy
    assert told.what == "2 pictures can't be fetched: INTERNAL"
    it.fetched(3, 170.0)
    assert it.complaint(500.0) is None, "others come: it is theirs alone"
    it.note(4, NEWS, "silence", 600.0)
    it.note(1, NEWS, "silence", 600.0)
    told = it.complaint(700.0)
    assert told is not None and told.what == "1 picture can't be fetched: silence" and told.since == 600.0
    it.forget(4)
    assert it.complaint(700.0) is None


def test_one_that_does_not_come_for_long_is_told_although_others_come() -> None:
    it = DownloadFailures()
    it.note(1, NEWS, "not what it was", 100.0)
    it.fetched(2, 101.0)
    assert it.complaint(100.0 + STUBBORN_SECONDS - 1) is None
    told = it.complaint(100.0 + STUBBORN_SECONDS)
    assert told is not None and told.since == 100.0
    assert told.what == "1 picture can't be fetched: not what it was"


def test_a_data_centre_is_told_at_once_and_by_its_number() -> None:
    it = DownloadFailures()
    it.note(1, NEWS, "refused", 100.0, dc_id=4)
    it.note(2, NEWS, "refused", 101.0, dc_id=4)
    it.note(3, NEWS, "no route", 102.0, dc_id=1)
    it.fetched(9, 103.0)
    told = it.complaint(104.0)
    assert told is not None and told.since == 100.0
    assert told.what == "nothing can be fetched from data centre 1 (1 picture) and data centre 4 (2 pictures): no route"
    assert it.waiting_for(4) == [1, 2] and it.waiting_for(2) == []
    for one in (1, 2, 3):
        it.fetched(one, 105.0)
    assert it.complaint(106.0) is None


def test_whose_files_are_asked_for_in_vain() -> None:
    it = DownloadFailures()
    it.note(1, NEWS, "no answer", 100.0, is_silent=True)
    it.note(2, OTHER, "INTERNAL", 100.0)
    assert it.silent_channels() == {NEWS}
    it.note(1, NEWS, "INTERNAL", 101.0)
    assert it.silent_channels() == set()


def test_who_is_alone_with_it() -> None:
    it = DownloadFailures()
    it.note(1, NEWS, "no answer", 100.0, is_silent=True)
    assert not it.is_the_only_one(1) and not it.is_the_only_one(2)
    it.fetched(2, 101.0)
    assert it.is_the_only_one(1)


def test_for_how_long_a_picture_has_been_failing() -> None:
    it = DownloadFailures()
    assert it.seconds(1, 100.0) == 0.0
    it.note(1, NEWS, "INTERNAL", 100.0)
    it.note(1, NEWS, "INTERNAL", 130.0)
    assert it.seconds(1, 150.0) == 50.0
    it.fetched(1, 160.0)
    assert it.seconds(1, 170.0) == 0.0


def test_no_more_is_remembered_than_is_of_use() -> None:
    it = DownloadFailures()
    for number in range(2 * MAX_REMEMBERED):
        assert it.note(number, NEWS, "refused", 100.0, dc_id=4) == 30.0
    assert len(it.known()) == MAX_REMEMBERED


# How an error is settled


@pytest.mark.parametrize(
    "error",
    [
        errors.ServerTrouble("INTERNAL"),
        errors.ChannelFault("it is private", "join it"),
        errors.Unreadable("newer"),
        errors.Unanswered("no answer"),
        errors.Unreachable(4, "refused", 3.0),
        KeyError("unforeseen"),
    ],
)
def test_what_is_not_the_pictures_fault_puts_it_off(desk: Desk, error: Exception) -> None:
    it, job = DownloadFailures(), desk.take(1)
    first, second = (it.of_error(job, error, now) for now in (100.0, 130.0))
    assert isinstance(first, PutOff) and isinstance(second, PutOff)
    assert (first.seconds, second.seconds) == (30.0, 60.0)
    assert str(error) in first.reason
    assert it.waiting_for(4) == ([job.id] if isinstance(error, errors.Unreachable) else [])
    assert it.silent_channels() == ({job.channel_id} if isinstance(error, errors.Unanswered) else set())


def test_a_data_centre_that_asks_for_more_time_gets_it(desk: Desk) -> None:
    outcome = DownloadFailures().of_error(desk.take(1), errors.Unreachable(4, "refused", 90.0), 100.0)
    assert outcome == PutOff("Telegram's data centre 4 gives no files: refused", 90.0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.StaleReference("EXPIRED"), "a reference that was just given does not hold: EXPIRED"),
        (errors.Damaged("5 bytes came"), "5 bytes came"),
        (OSError(errno.EIO, "Input/output error"), "cannot be written: [Errno 5] Input/output error"),
    ],
)
def test_the_pictures_own_fault_costs_an_attempt_and_is_no_outage(desk: Desk, error: Exception, reason: str) -> None:
    it, job = DownloadFailures(), desk.take(1)
    it.of_error(job, errors.Unanswered("no answer"), 100.0)
    assert it.of_error(job, error, 110.0) == Failed(reason)
    assert it.known() == []


def test_a_full_disk_is_nobodys_fault(desk: Desk) -> None:
    it, job = DownloadFailures(), desk.take(1)
    assert isinstance(it.of_error(job, OSError(errno.ENOSPC, "No space left on device"), 100.0), NoRoom)
    assert it.known() == []


def test_what_concerns_the_whole_process_is_raised(desk: Desk) -> None:
    with pytest.raises(Hold):
        DownloadFailures().of_error(desk.take(1), Hold("banned", "write"), 100.0)


def test_after_a_day_alone_with_it_each_error_costs_an_attempt(desk: Desk) -> None:
    it, job, trouble = DownloadFailures(), desk.take(1), errors.ServerTrouble("INTERNAL")
    late = 100.0 + OUTAGE_SECONDS + 1
    assert isinstance(it.of_error(job, trouble, 100.0), PutOff)
    assert isinstance(it.of_error(job, trouble, late), PutOff), "no other one has come: it is an outage"
    it.fetched(2, late)
    assert isinstance(it.of_error(job, trouble, 100.0 + OUTAGE_SECONDS), PutOff), "not for a day yet"
    assert [it.of_error(job, trouble, late + n) for n in (1, 2)] == [Failed("INTERNAL")] * 2


@pytest.mark.parametrize(
    ("kind", "is_unchanged", "expected"),
    [
        ("absent", False, Withdrawn()),
        ("preview", False, Withdrawn()),
        ("preview", True, Gone("it is the picture of a link's preview, and telegram.web_previews is off")),
        ("absent", True, PutOff("the message does not show the picture that it had (absent)", 60.0)),
    ],
)
def test_a_message_without_its_picture(desk: Desk, kind: str, is_unchanged: bool, expected: object) -> None:
    it, job = DownloadFailures(), desk.take(1)
    it.of_error(job, errors.Unanswered("no answer"), 100.0)
    assert it.of_absence(job, kind, is_unchanged, 110.0) == expected
    assert it.known() == ([job.id] if isinstance(expected, PutOff) else [])
