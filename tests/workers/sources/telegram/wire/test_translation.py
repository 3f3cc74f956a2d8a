"""What errors mean: every one that the facts know of becomes something that somebody handles."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from telethon import errors as telethon
from telethon.errors import rpcerrorlist as answers

from ipc.process.holds import Hold
from workers.sources.telegram.reconnecting import reconnect_delay
from workers.sources.telegram.source import first_to_end
from workers.sources.telegram.wire import errors
from workers.sources.telegram.wire.translation import meaning, translated

MEANINGS: list[tuple[Exception, type[Exception], str]] = [
    (answers.FloodWaitError(None, 48_038), errors.Flooded, "13 h 21 min"),
    (answers.FileReferenceExpiredError(None), errors.StaleReference, ""),
    (answers.FileReferenceInvalidError(None), errors.StaleReference, ""),
    (answers.AuthKeyDuplicatedError(None), Hold, "AUTH_KEY_DUPLICATED"),
    (answers.AuthKeyUnregisteredError(None), Hold, "bin/run login"),
    (answers.SessionRevokedError(None), Hold, "SESSION_REVOKED"),
    (answers.UserDeactivatedError(None), Hold, "USER_DEACTIVATED"),
    (answers.UserDeactivatedBanError(None), Hold, "recover@telegram.org"),
    (answers.ApiIdInvalidError(None), Hold, "my.telegram.org"),
    (answers.ConnectionApiIdInvalidError(None), Hold, "my.telegram.org"),
    (answers.ApiIdPublishedFloodError(None), Hold, "my.telegram.org"),
    (answers.ChannelPrivateError(None), errors.ChannelFault, "private"),
    (answers.ChannelInvalidError(None), errors.UnknownChannel, ""),
    (answers.UsernameNotOccupiedError(None), errors.ChannelFault, "renamed"),
    (answers.InviteHashExpiredError(None), errors.ChannelFault, "expired"),
    (telethon.ServerError(None, "INTERNAL", 500), errors.ServerTrouble, "500"),
    (telethon.BadRequestError(None, "NEVER_HEARD_OF", 400), errors.ServerTrouble, "answers NEVER_HEARD_OF (400)"),
    (answers.FileIdInvalidError(None), errors.ServerTrouble, "answers FILE_ID_INVALID (400): The provided file id is"),
    (answers.LocationInvalidError(None), errors.ServerTrouble, "LOCATION_INVALID (400)"),
    (answers.FilePartMissingError(None, 3), errors.ServerTrouble, "FILE_PART_X_MISSING (400)"),
    (telethon.TypeNotFoundError(0xDEADBEEF, b""), errors.Unreadable, "unknown constructor deadbeef"),
    (telethon.AuthKeyNotFound(), errors.KeyUnknown, "-404"),
    (telethon.InvalidBufferError(b"\x53\xfe\xff\xff"), errors.ConnectionLost, "429"),
    (ConnectionResetError("reset by peer"), errors.ConnectionLost, "reset by peer"),
    (asyncio.IncompleteReadError(b"", 8), errors.ConnectionLost, "other side"),
    (TimeoutError(), errors.ConnectionLost, "TimeoutError"),
    (ValueError("Request was unsuccessful 2 time(s)"), errors.ServerTrouble, "unsuccessful"),
]


@pytest.mark.parametrize(("error", "kind", "text"), MEANINGS, ids=lambda value: type(value).__name__)
def test_meanings(error: Exception, kind: type[Exception], text: str) -> None:
    found = meaning(error)
    assert type(found) is kind
    assert text in str(found)


def test_what_is_raised_is_translated() -> None:
    async def fail(error: BaseException) -> None:
        raise error

    with pytest.raises(errors.Flooded):
        asyncio.run(translated(fail(answers.FloodWaitError(None, 3))))
    with pytest.raises(KeyError):  # a defect of ours
        asyncio.run(translated(fail(KeyError("x"))))


def test_a_request_that_telethon_cancels_is_a_lost_connection_and_our_own_cancelling_is_not() -> None:
    async def both() -> None:
        loop = asyncio.get_running_loop()
        given_up: asyncio.Future[Any] = loop.create_future()
        given_up.cancel()
        with pytest.raises(errors.ConnectionLost):
            await translated(given_up)
        task = asyncio.create_task(translated(asyncio.sleep(60)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(both())


def test_the_first_to_end_ends_the_others() -> None:
    ended: list[str] = []

    async def wait(name: str) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(name)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise errors.ConnectionLost("gone")

    with pytest.raises(errors.ConnectionLost):
        asyncio.run(first_to_end(wait("a"), fail(), wait("b")))
    assert sorted(ended) == ["a", "b"]


@pytest.mark.parametrize("failures", range(20))
def test_reconnect_delays(failures: int) -> None:
    longest, shortest = reconnect_delay(failures, 5.0, 0.0), reconnect_delay(failures, 5.0, 0.999)
    assert longest == (0.0 if failures == 0 else min(60.0, 5.0 * 2 ** (failures - 1)))
    assert 0.74 * longest <= shortest <= longest
