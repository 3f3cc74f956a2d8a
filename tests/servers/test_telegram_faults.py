"""Each fault does to the real client what it does in the field."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from telethon import errors, functions, types
from telethon.network import ConnectionTcpAbridged, ConnectionTcpFull, MTProtoSender
from telethon.sessions import StringSession

from tests.servers.telegram import Channel, TelegramServer
from tests.servers.telegram.faults import FileFault
from tests.servers.telegram_client import Heard, client_of, connected, jpeg, raises, run, trust, until


@pytest.fixture
def server() -> Iterator[TelegramServer]:
    with TelegramServer() as server:
        yield server
        assert server.unexpected == []


@pytest.fixture
def channel(server: TelegramServer) -> Channel:
    return server.world.add_channel("News", "news_channel")


def peer(channel: Channel) -> types.InputPeerChannel:
    return types.InputPeerChannel(channel.id, channel.access_hash)


class TestRequests:
    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            ("FLOOD_WAIT_90", errors.FloodWaitError),
            ("FILE_REFERENCE_EXPIRED", errors.FileReferenceExpiredError),
            ("CHANNEL_PRIVATE", errors.ChannelPrivateError),
            ("AUTH_KEY_DUPLICATED", errors.AuthKeyDuplicatedError),
            ("AUTH_KEY_UNREGISTERED", errors.AuthKeyUnregisteredError),
            ("SESSION_REVOKED", errors.SessionRevokedError),
            ("USER_DEACTIVATED", errors.UserDeactivatedError),
            ("SOMETHING_NEW", errors.BadRequestError),
        ],
    )
    def test_errors(self, server: TelegramServer, channel: Channel, error: str, kind: type[BaseException]) -> None:
        other = server.world.add_channel()
        fault = server.faults.rpc("messages.getHistory", error=error, times=1, after=1, channel=channel)

        async def body() -> None:
            async with connected(server) as client:
                for _ in range(2):
                    assert await client.get_messages(peer(other), limit=1)
                assert await client.get_messages(peer(channel), limit=1)
                assert (fault.active, fault.hits) == (True, 0)
                await raises(kind, client.get_messages(peer(channel), limit=1))
                assert (fault.active, fault.hits) == (False, 1)
                if error != "FLOOD_WAIT_90":  # which Telethon remembers by itself
                    assert await client.get_messages(peer(channel), limit=1)

        run(body())

    @pytest.mark.parametrize(("error", "seconds"), [("FLOOD_WAIT_1", 1.0), ("Timeout", 2.0)])
    def test_telethon_waits_and_tries_again(self, server: TelegramServer, error: str, seconds: float) -> None:
        server.faults.rpc("users.getUsers", error=error, times=1, after=1)

        async def body() -> None:
            async with connected(server) as client:
                start = time.monotonic()
                assert await client.get_me()
                assert time.monotonic() - start > seconds * 0.9

        run(body())

    def test_late_answers_and_none_at_all(self, server: TelegramServer, channel: Channel) -> None:
        async def body() -> None:
            async with connected(server) as client:
                late = server.faults.rpc("messages.getHistory", delay=0.3)
                start = time.monotonic()
                asked = asyncio.create_task(client.get_messages(peer(channel), limit=1))
                await until("the request", lambda: server.requests["messages.getHistory"] == 1)
                channel.post_text("meanwhile")
                assert [one.id for one in await asked] == [1], "the answer was true when the request came"
                assert time.monotonic() - start > 0.29
                late.clear()
                server.faults.rpc("*", silent=True, times=1)
                await raises(TimeoutError, asyncio.wait_for(client.get_me(), 0.2))
                assert await client.get_me()
                server.faults.rpc("ping", silent=True, times=1)
                await raises(TimeoutError, asyncio.wait_for(client(functions.PingRequest(1)), 0.2))
                server.faults.rpc("users.getUsers", delay=60)
                pending = asyncio.create_task(client.get_me())
                await until("the request", lambda: server.requests["users.getUsers"] == 4)
                pending.cancel()

        run(body())


class TestFiles:
    def test_sent_to_another_data_centre(self, server: TelegramServer, channel: Channel) -> None:
        trust(server)
        number = channel.post_photo(jpeg())
        server.faults.rpc("upload.getFile", error="FILE_MIGRATE_4", times=1)

        async def body() -> None:
            async with connected(server) as client:
                message = await client.get_messages(peer(channel), ids=number)
                assert await message.download_media(bytes) == jpeg()
                assert await message.download_media(bytes) == jpeg()

        run(body())
        assert server.connections_total == 2

    @pytest.mark.parametrize(("how", "expected"), [("truncated", 5000), ("empty", 0), ("corrupt", 300_000)])
    def test_no_exception_but_wrong_bytes(
        self, server: TelegramServer, channel: Channel, how: FileFault, expected: int
    ) -> None:
        data = bytes(range(250)) * 1200
        ids = [channel.post_document(data), channel.post_document(data)]

        async def body() -> None:
            async with connected(server) as client:
                spoiled, whole = await client.get_messages(peer(channel), ids=ids)
                server.faults.file(how, times=1, keep=5000, file_id=spoiled.document.id)
                got = await spoiled.download_media(bytes)
                assert len(got) == expected and got != data
                assert await whole.download_media(bytes) == data
                assert await spoiled.download_media(bytes) == data

        run(body())

    def test_slow(self, server: TelegramServer, channel: Channel) -> None:
        number = channel.post_photo(jpeg() * 100)

        async def body() -> None:
            async with connected(server) as client:
                message = await client.get_messages(peer(channel), ids=number)
                server.faults.file("slow", bytes_per_second=256 * 1024)
                start = time.monotonic()
                assert len(await message.download_media(bytes)) == len(jpeg()) * 100
                assert time.monotonic() - start > 0.2

        run(body())


class TestUpdates:
    def test_lost_doubled_swapped_unreadable(self, server: TelegramServer, channel: Channel) -> None:
        async def body() -> None:
            async with connected(server) as client:
                heard = Heard(client)
                sent: list[int] = [channel.post_text("one")]
                server.faults.updates("doubled", times=1)
                sent.append(channel.post_text("two"))
                server.faults.updates("swapped", times=1, channel=channel)
                sent += [channel.post_text("three"), channel.post_text("four")]
                await until("each once, in order", lambda: heard.new == sent)
                for how in ("lost", "unreadable"):
                    server.faults.updates(how, times=1)
                    sent += [channel.post_text(how), channel.post_text("behind it")]
                    # The next one shows the gap, and after half a second the client asks.
                    await until("what was lost", partial(heard.has, sent))
                assert heard.new == sent
                server.mute_updates()
                channel.post_text("silence")
                server.unmute_updates()
                await client.get_me()
                assert heard.new == sent

        run(body())
        assert server.requests["updates.getChannelDifference"] == 2

    def test_too_long_a_difference_loses_all(self, server: TelegramServer, channel: Channel) -> None:
        async def body() -> None:
            async with connected(server) as client:
                heard = Heard(client)
                first = channel.post_text("one")
                await until("the first", lambda: heard.new == [first])
                fault = server.faults.difference_too_long(times=1, channel=channel)
                server.faults.updates("lost", times=1)
                channel.post_text("lost")
                channel.post_text("lost with it")
                await until("the fault to strike", lambda: fault.hits == 1)
                await until("the second try", lambda: server.requests["updates.getChannelDifference"] == 2)
                last = channel.post_text("last")
                await until("the last", lambda: heard.new == [first, last])

        run(body())

    def test_a_message_that_nobody_can_read(self, server: TelegramServer, channel: Channel) -> None:
        ids = [channel.post_text(str(n)) for n in range(5)]
        channel.make_unreadable(ids[2])

        async def body() -> None:
            async with connected(server) as client:
                unknown = errors.TypeNotFoundError
                await raises(unknown, client.get_messages(peer(channel), limit=10))
                await raises(unknown, client.get_messages(peer(channel), ids=ids))
                assert await client.get_messages(peer(channel), ids=[ids[0], ids[4]])
                channel.make_unreadable(ids[2], unreadable=False)
                assert len(await client.get_messages(peer(channel), ids=ids)) == 5
                # In a difference it makes Telethon give up altogether.
                heard = Heard(client)
                channel.edit(ids[0], "x")
                await until("the edit", lambda: heard.edited)
                server.mute_updates()
                channel.make_unreadable(channel.post_text("lost"))
                server.unmute_updates()
                channel.push_too_long()
                await until("the client to disconnect itself", lambda: not client.is_connected())

        run(body())


class TestConnections:
    def test_a_drop_is_mended_and_what_was_pushed_meanwhile_is_lost(
        self, server: TelegramServer, channel: Channel
    ) -> None:
        async def body() -> None:
            async with connected(server) as client:
                heard = Heard(client)
                first = channel.post_text("seen")
                await until("the first", lambda: heard.new == [first])
                server.faults.rpc("users.getUsers", silent=True, times=1)
                pending = asyncio.create_task(client.get_me())
                await until("the request", lambda: server.requests["users.getUsers"] == 2)
                server.refuse_connections()
                server.drop_connections()
                await until("nobody to be there", lambda: server.connections == 0)
                lost = channel.post_text("nobody hears")
                server.accept_connections()
                assert await pending, "requests are made again"
                assert heard.new == [first]
                last = channel.post_text("heard")
                await until("the gap to be noticed", lambda: sorted(heard.new) == [first, lost, last])

        run(body())
        assert server.duplicates == 0

    def test_down_and_up_again_on_the_same_ports(self, server: TelegramServer) -> None:
        address, string = server.address, server.session_string()

        async def body() -> None:
            async with connected(server, StringSession(string)) as client:
                server.stop()
                server.stop()
                assert server.connections == 0 or await client.get_me()
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", server.port)
                server.start()
                server.start()
                assert await client.get_me()
                server.refuse_connections(0.2)
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", server.port)
                assert await client.get_me(), "who is there may stay"
                server.drop_connections()
                assert await client.get_me()

        run(body())
        assert server.address == address

    def test_giving_up_after_too_many_refusals(self, server: TelegramServer) -> None:
        async def body() -> None:
            async with connected(server, connection_retries=1, retry_delay=0) as client:
                server.stop()
                await raises(ConnectionError, client.disconnected)
                server.start()
                await client.connect()
                assert await client.get_me()

        run(body())

    def test_a_black_hole(self, server: TelegramServer, channel: Channel) -> None:
        async def body() -> None:
            async with connected(server) as client:
                heard = Heard(client)
                hole = server.faults.black_hole()
                await raises(TimeoutError, asyncio.wait_for(client.get_me(), 0.3))
                channel.post_text("unheard")
                assert server.connections == 1 and hole.hits >= 1
                late = client_of(server, connection_retries=1)
                await raises(TimeoutError, asyncio.wait_for(late.connect(), 0.3))
                await late.disconnect()
                server.faults.clear()
                assert await client.get_me()
                assert heard.new == []

        run(body())

    @pytest.mark.parametrize("transport", [ConnectionTcpFull, ConnectionTcpAbridged])
    def test_transport_errors(self, server: TelegramServer, transport: type, caplog: pytest.LogCaptureFixture) -> None:
        async def body() -> None:
            async with connected(server, connection=transport) as client:
                server.faults.transport(404, times=1)
                await raises(errors.AuthKeyNotFound, client.get_me())
                assert not client.is_connected()
            async with connected(server, connection=transport) as client:
                server.send_transport_error(429)
                if transport is ConnectionTcpFull:
                    await raises(errors.InvalidBufferError, client.disconnected)
                else:
                    await until("the client to come back", lambda: server.connections_total >= 3)
                    assert await client.get_me()
            await until("nobody to be there", lambda: server.connections == 0)

        run(body())

    def test_a_key_that_is_forgotten(self, server: TelegramServer) -> None:
        async def body() -> None:
            async with connected(server) as client:
                server.forget_keys()
                await raises(errors.AuthKeyNotFound, client.get_me())

        run(body())

    def test_noise(self, server: TelegramServer, caplog: pytest.LogCaptureFixture) -> None:
        async def body() -> None:
            async with connected(server) as client:
                server.send_garbage(framed=True)
                assert await client.get_me(), "a packet of noise is ignored"
                server.send_garbage(6)
                server.drop_connections()
                assert await client.get_me()
            # And noise from a client is no reason for the server to fall over.
            for noise in (
                b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + bytes(100),
                b"\xef\x02" + bytes(8),  # too short
                b"\xef\x08" + bytes(32),  # an exchange of nothing
                b"\xee\xee\xee\xee\xff\xff\xff\xff",  # too long
                b"\x1c\0\0\0" + bytes(24),  # a wrong checksum
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(noise)
                assert await reader.read() == b""
                writer.close()
                await writer.wait_closed()

        run(body())

    @pytest.mark.parametrize("seconds", [-3600, -120, 120, 3600])
    def test_clocks_that_disagree(self, server: TelegramServer, channel: Channel, seconds: int) -> None:
        server.world.clock_offset = seconds

        async def body() -> None:
            async with connected(server) as client:
                heard = Heard(client)
                number = channel.post_text("now")
                await until("the update", lambda: heard.new == [number])
                message = await client.get_messages(peer(channel), ids=number)
                assert abs(message.date.timestamp() - time.time() - seconds) < 20
            server.world.clock_offset = 0
            async with connected(server) as client:
                assert await client.get_me()

        run(body())


class TestSessions:
    @pytest.mark.parametrize(
        ("error", "kind"),
        [("SESSION_REVOKED", errors.SessionRevokedError), ("AUTH_KEY_DUPLICATED", errors.AuthKeyDuplicatedError)],
    )
    def test_revoked(self, server: TelegramServer, error: str, kind: type[BaseException]) -> None:
        async def body() -> None:
            async with connected(server) as client:
                server.revoke(error)
                assert server.subscribers == 0
                await raises(kind, client(functions.updates.GetStateRequest()))
                if error == "SESSION_REVOKED":
                    assert await client.get_me() is None
                server.restore()
                assert await client.get_me()

        run(body())

    def test_one_key_for_two_clients_is_the_end_of_it(self, server: TelegramServer) -> None:
        string = server.session_string()

        async def body() -> None:
            async with connected(server, StringSession(string)) as first:
                second = client_of(server, StringSession(string))
                await raises(errors.AuthKeyDuplicatedError, second.connect())
                await second.disconnect()
                assert first.is_connected(), "an idle client notices nothing"
                await raises(errors.AuthKeyDuplicatedError, first.get_me())
                assert server.duplicates == 1

        run(body())

    def test_one_after_the_other_or_one_that_only_downloads_is_no_duplicate(
        self, server: TelegramServer, channel: Channel
    ) -> None:
        string = server.session_string()
        number = channel.post_photo(jpeg())

        async def body() -> None:
            async with connected(server, StringSession(string)) as client:
                for _ in range(5):
                    server.drop_connections()
                    assert await client.get_me()
                photo = (await client.get_messages(peer(channel), ids=number)).photo
                beside = await _download_beside(client, photo)
                assert server.connections == 2
                assert await client.get_me()
            async with connected(server, StringSession(string)) as client:
                assert await client.get_me()
            await beside.disconnect()

        run(body())
        assert server.duplicates == 0


async def _download_beside(client: Any, photo: Any) -> MTProtoSender:
    """Download over a second connection of the same key, as fast downloaders do."""
    sender = MTProtoSender(client.session.auth_key, loggers=client._log)
    connection = client._connection(
        client.session.server_address, client.session.port, client.session.dc_id, loggers=client._log
    )
    await sender.connect(connection)
    place = types.InputPhotoFileLocation(photo.id, photo.access_hash, photo.file_reference, "y")
    part = await sender.send(functions.upload.GetFileRequest(place, 0, 4096))
    assert part.bytes == jpeg()
    return sender
