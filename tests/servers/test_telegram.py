"""The real client connects, logs in and downloads."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from telethon import errors, functions, types
from telethon.network import (
    ConnectionTcpAbridged,
    ConnectionTcpFull,
    ConnectionTcpIntermediate,
    ConnectionTcpObfuscated,
)
from telethon.sessions import SQLiteSession, StringSession

from tests.servers.telegram import OTHER_DC, TelegramServer
from tests.servers.telegram.background import bind, listen
from tests.servers.telegram_client import client_of, connected, jpeg, raises, run, trust, until


@pytest.fixture
def server() -> Iterator[TelegramServer]:
    with TelegramServer() as server:
        yield server
        assert server.unexpected == []


@pytest.mark.parametrize(
    "transport", [ConnectionTcpFull, ConnectionTcpAbridged, ConnectionTcpIntermediate, ConnectionTcpObfuscated]
)
def test_connects_with_a_key_that_is_known(server: TelegramServer, transport: type) -> None:
    async def body() -> None:
        async with connected(server, connection=transport) as client:
            me = await client.get_me()
            assert (me.id, me.phone) == (server.world.user_id, server.world.phone)
            assert await client.is_user_authorized()
            assert server.connections == server.connections_total == server.subscribers == 1
        await until("the connection to end", lambda: server.connections == 0)

    run(body())
    assert server.requests["help.getConfig"] == 1
    assert [request.name for request in server.log][:2] == ["help.getConfig", "users.getUsers"]


def test_a_port_is_its_servers_alone() -> None:
    """Two sockets may be bound to one port before either listens: then the second one could not."""
    with listen() as one, pytest.raises(OSError, match="in use"):
        bind(one.getsockname()[1])


def test_a_session_file_is_for_its_owner_only_and_works(server: TelegramServer, tmp_path: Path) -> None:
    path = server.session_file(tmp_path / "own.session")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    async def body() -> None:
        async with connected(server, SQLiteSession(str(path))) as client:
            assert await client.is_user_authorized()

    run(body())


def test_a_session_that_is_not_logged_in(server: TelegramServer) -> None:
    async def body() -> None:
        async with connected(server, StringSession(server.session_string(logged_in=False))) as client:
            assert await client.get_me() is None
            await raises(errors.AuthKeyUnregisteredError, client(functions.updates.GetStateRequest()))
            assert server.subscribers == 0

    run(body())


def test_a_client_may_know_nothing_of_updates(server: TelegramServer) -> None:
    async def body() -> None:
        async with connected(server, receive_updates=False) as client:
            await client.get_me()
            assert server.subscribers == 0

    run(body())


def test_requests_in_one_container_and_zipped(server: TelegramServer) -> None:
    channel = server.world.add_channel()
    ids = channel.post_photos(80, jpeg())

    async def body() -> None:
        async with connected(server) as client:
            peer = types.InputChannel(channel.id, channel.access_hash)
            asked = functions.channels.GetMessagesRequest(peer, [types.InputMessageID(one) for one in ids])
            assert len(bytes(asked)) > 512, "large enough to be zipped"
            first, second = await client([asked, functions.updates.GetStateRequest()])
            assert [message.id for message in first.messages] == ids
            assert second.pts > 0
            await until("acknowledgements", lambda: server.acknowledged > 0)

    run(body())


def test_other_salts_cost_the_client_one_more_try(server: TelegramServer) -> None:
    async def body() -> None:
        async with connected(server) as client:
            server.change_salts()
            assert await client.get_me()

    run(body())


def test_service_requests(server: TelegramServer) -> None:
    async def body() -> None:
        async with connected(server) as client:
            assert (await client(functions.PingRequest(7))).ping_id == 7
            salts = await client(functions.GetFutureSaltsRequest(1))
            assert len(salts.salts) == 1
            assert (await client(functions.DestroySessionRequest(5))).session_id == 5
            await client(functions.help.GetNearestDcRequest())
            full = await client(functions.users.GetFullUserRequest("me"))
            assert full.full_user.id == server.world.user_id
            assert (await client(functions.PingDelayDisconnectRequest(8, 0))).ping_id == 8
            await until("the server to hang up and the client to come back", lambda: server.connections_total == 2)

    run(body())


def test_an_unknown_method_is_recorded(server: TelegramServer) -> None:
    async def body() -> None:
        async with connected(server) as client:
            await raises(errors.MethodInvalidError, client(functions.help.GetSupportRequest()))

    run(body())
    assert server.unexpected == ["help.getSupport"]
    server.unexpected.clear()


class TestLogin:
    def test_by_code_with_a_key_exchange(self, server: TelegramServer) -> None:
        trust(server)

        async def body() -> None:
            async with connected(server, server.fresh_session()) as client:
                await client.send_code_request(server.world.phone)
                await raises(errors.PhoneCodeInvalidError, client.sign_in(server.world.phone, "11111"))
                await client(functions.auth.ResendCodeRequest(client._phone, client._phone_code_hash[client._phone]))
                me = await client.sign_in(server.world.phone, server.world.code)
                assert me.id == server.world.user_id
                saved = StringSession.save(client.session)
            async with connected(server, StringSession(saved)) as client:
                assert await client.is_user_authorized()

        run(body())

    def test_what_is_refused(self, server: TelegramServer) -> None:
        trust(server)
        code = server.world.code

        async def body() -> None:
            session = StringSession(server.session_string(logged_in=False))
            async with connected(server, session) as client:
                await raises(errors.PhoneNumberInvalidError, client.send_code_request("+4930123456"))
                client.api_hash = "0" * 32
                await raises(errors.ApiIdInvalidError, client.send_code_request(server.world.phone))
                await raises(errors.ApiIdInvalidError, client.qr_login())
                client.api_hash = server.api_hash
                sent = await client.send_code_request(server.world.phone)
                phone, code_hash = server.world.phone, sent.phone_code_hash
                empty = functions.auth.SignInRequest(phone, code_hash, "")
                await raises(errors.PhoneCodeEmptyError, client(empty))
                server.expire_codes()
                await raises(errors.PhoneCodeExpiredError, client.sign_in(phone, code))

        run(body())

    def test_two_step_verification(self, server: TelegramServer) -> None:
        server.world.password = "correct horse"

        async def body() -> None:
            session = StringSession(server.session_string(logged_in=False))
            async with connected(server, session) as client:
                await client.send_code_request(server.world.phone)
                code = client.sign_in(server.world.phone, server.world.code)
                await raises(errors.SessionPasswordNeededError, code)
                await raises(errors.PasswordHashInvalidError, client.sign_in(password="battery staple"))
                assert (await client.sign_in(password="correct horse")).id == server.world.user_id
                pushed = server.updates_pushed
                server.world.add_channel()
                await until("updates to come", lambda: server.updates_pushed > pushed)

        run(body())

    @pytest.mark.parametrize("password", [None, "correct horse"])
    def test_by_another_device(self, server: TelegramServer, password: str | None) -> None:
        server.world.password = password

        async def body() -> None:
            session = StringSession(server.session_string(logged_in=False))
            async with connected(server, session) as client:
                code = await client.qr_login()
                assert code.url.startswith("tg://login?token=")
                waiting = asyncio.create_task(code.wait(5))
                await until("the client to listen", client.list_event_handlers)
                server.accept_qr(code.url if password else code.token)
                if password:
                    await raises(errors.SessionPasswordNeededError, waiting)
                    assert await client.sign_in(password=password)
                else:
                    assert (await waiting).id == server.world.user_id

        run(body())

    def test_in_the_wrong_data_centre(self, server: TelegramServer) -> None:
        trust(server)

        async def body() -> None:
            session = server.fresh_session()
            session.set_dc(OTHER_DC, "127.0.0.1", server.ports[OTHER_DC])
            async with connected(server, session) as client:
                await client.send_code_request(server.world.phone)
                assert await client.sign_in(server.world.phone, server.world.code)
                assert client.session.port == server.port

        run(body())

    def test_logging_out(self, server: TelegramServer) -> None:
        async def body() -> None:
            session = server.session_string()
            client = client_of(server, StringSession(session))
            await client.connect()
            assert await client.log_out()
            async with connected(server, StringSession(session)) as client:
                assert await client.get_me() is None

        run(body())


class TestFiles:
    @pytest.mark.parametrize("length", [100, 4096, 128 * 1024, 128 * 1024 + 1, 3 * 512 * 1024, 1_700_001])
    def test_downloads_are_whole(self, server: TelegramServer, length: int) -> None:
        data = (jpeg() * (length // len(jpeg()) + 1))[:length]
        channel = server.world.add_channel()
        photo, document = channel.post_photo(data), channel.post_document(data)

        async def body() -> None:
            async with connected(server) as client:
                await client.get_dialogs()
                for one in await client.get_messages(channel.id, ids=[photo, document]):
                    assert await one.download_media(bytes) == data
                    # As large as they may be: an exact multiple ends with an empty part.
                    parts = client.iter_download(one.media, request_size=512 * 1024)
                    assert b"".join([bytes(part) async for part in parts]) == data

        run(body())
        assert server.bytes_served == 4 * length

    def test_sizes_of_a_photo(self, server: TelegramServer) -> None:
        channel = server.world.add_channel()
        number = channel.post_photo(jpeg(1), progressive=True)

        async def body() -> None:
            async with connected(server) as client:
                await client.get_dialogs()
                message = await client.get_messages(channel.id, ids=number)
                stripped, small, whole = message.photo.sizes
                assert isinstance(stripped, types.PhotoStrippedSize)
                assert isinstance(whole, types.PhotoSizeProgressive)
                assert (whole.w, whole.h, whole.sizes[-1]) == (64, 48, len(jpeg(1)))
                thumb = await message.download_media(bytes, thumb=small)
                assert len(thumb) == small.size
                assert thumb != jpeg(1)
                assert await message.download_media(bytes) == jpeg(1)

        run(body())

    def test_from_another_data_centre(self, server: TelegramServer) -> None:
        trust(server)
        channel = server.world.add_channel()
        ids = [channel.post_photo(jpeg(n), dc=OTHER_DC) for n in (1, 2)]

        async def body() -> None:
            async with connected(server) as client:
                await client.get_dialogs()
                for n, message in enumerate(await client.get_messages(channel.id, ids=ids), 1):
                    assert await message.download_media(bytes) == jpeg(n)
                # Told where it is, the client doesn't ask at home first.
                before = server.requests["upload.getFile"]
                parts = client.iter_download(message.photo, dc_id=message.photo.dc_id, request_size=4096)
                assert b"".join([bytes(part) async for part in parts]) == jpeg(2)
                assert server.requests["upload.getFile"] == before + 1

        run(body())
        assert {request.dc_id for request in server.log if request.name == "upload.getFile"} == {2, 4}
        assert server.duplicates == 0

    def test_parts_must_be_aligned(self, server: TelegramServer) -> None:
        channel = server.world.add_channel()
        number = channel.post_photo(jpeg())

        async def body() -> None:
            async with connected(server) as client:
                await client.get_dialogs()
                photo = (await client.get_messages(channel.id, ids=number)).photo
                place = types.InputPhotoFileLocation(photo.id, photo.access_hash, photo.file_reference, "y")

                def part(offset: int, limit: int, precise: bool = False, **changes: object) -> object:
                    location = types.InputPhotoFileLocation(**{**place.__dict__, **changes})
                    return client(functions.upload.GetFileRequest(location, offset, limit, precise=precise))

                limits = [(0, 1000), (0, 12288), (0, 2 << 20), (4096, 1 << 20), (0, 0)]
                for offset, limit in limits:
                    await raises(errors.LimitInvalidError, part(offset, limit))  # type: ignore[arg-type]
                await raises(errors.OffsetInvalidError, part(1024, 4096))  # type: ignore[arg-type]
                assert (await part(1024, 3072, precise=True)).bytes == jpeg()[1024:4096]  # type: ignore[misc]
                for error, changes in {
                    errors.FileReferenceEmptyError: {"file_reference": b""},
                    errors.FileReferenceInvalidError: {"file_reference": b"?" * 21},
                    errors.FileIdInvalidError: {"access_hash": 1},
                    errors.LocationInvalidError: {"thumb_size": "z"},
                }.items():
                    await raises(error, part(0, 4096, **changes))  # type: ignore[arg-type]

        run(body())

    def test_references_expire(self, server: TelegramServer) -> None:
        channel = server.world.add_channel()
        ids = [channel.post_photo(jpeg()), channel.post_document(jpeg(), "image/jpeg")]

        async def body() -> None:
            async with connected(server) as client:
                await client.get_dialogs()
                photo, document = await client.get_messages(channel.id, ids=ids)
                server.world.expire_references()
                await raises(errors.FileReferenceExpiredError, photo.download_media(bytes))
                # A document's reference is fetched again by Telethon itself.
                assert await document.download_media(bytes) == jpeg()
                photo = await client.get_messages(channel.id, ids=ids[0])
                assert await photo.download_media(bytes) == jpeg()

        run(body())
