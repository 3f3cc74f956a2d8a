"""What tests do to channels, the real client sees: histories, updates, memberships."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon import errors, functions, types, utils
from telethon.sessions import SQLiteSession

from tests.servers.telegram import Channel, TelegramServer
from tests.servers.telegram.rpc.history import window
from tests.servers.telegram_client import Heard, connected, jpeg, raises, run, until


@pytest.fixture
def server() -> Iterator[TelegramServer]:
    with TelegramServer() as server:
        yield server
        assert server.unexpected == []


def peer(channel: Channel) -> types.InputPeerChannel:
    return types.InputPeerChannel(channel.id, channel.access_hash)


class TestHistory:
    @given(
        ids=st.sets(st.integers(1, 60)).map(sorted),
        offset_id=st.integers(0, 70),
        add_offset=st.integers(-80, 80),
        limit=st.integers(0, 80),
    )
    def test_a_window_is_that_of_the_list_newest_first(
        self, ids: list[int], offset_id: int, add_offset: int, limit: int
    ) -> None:
        newest_first = ids[::-1]
        start = add_offset + sum(one >= offset_id > 0 for one in ids)
        assert window(ids, offset_id, add_offset, limit) == [
            one for place, one in enumerate(newest_first) if start <= place < start + limit
        ]

    def test_both_ways_with_gaps_and_service_messages(self, server: TelegramServer) -> None:
        channel = server.world.add_channel()
        channel.post_photos(150, jpeg())
        channel.skip_ids(500)
        service = channel.post_service()
        channel.post_photos(120, jpeg())
        channel.delete(range(20, 140))
        ids = channel.ids
        assert service in ids and len(ids) == 152 and channel.top_id == 772

        async def body() -> None:
            async with connected(server) as client:

                async def scan(**options: object) -> list[int]:
                    return [message.id async for message in client.iter_messages(peer(channel), wait_time=0, **options)]

                assert await scan() == ids[::-1]
                assert await scan(reverse=True) == ids
                for low in (0, 1, 19, 150, 651, 700, 771, 772, 900):
                    assert await scan(reverse=True, min_id=low) == [one for one in ids if one > low]
                    assert await scan(max_id=low or 1) == [one for one in ids[::-1] if one < (low or 1)]
                assert await scan(limit=3) == [772, 771, 770]
                found = await client.get_messages(peer(channel), limit=1)
                assert found.total == len(ids)
                windowed = functions.messages.GetHistoryRequest(peer(channel), 0, None, 0, 100, 771, 760, 0)
                assert [one.id for one in (await client(windowed)).messages] == list(range(770, 760, -1))

        run(body())

    def test_by_date(self, server: TelegramServer) -> None:
        channel = server.world.add_channel(empty=True)
        days = [datetime(2020, 1, day, 12, tzinfo=UTC) for day in (1, 2, 3)]
        first, second, third = (channel.post_text("x", date=day) for day in days)

        async def body() -> None:
            async with connected(server) as client:
                noon = days[1]
                assert [one.id async for one in client.iter_messages(peer(channel), limit=5, offset_date=noon)] == [
                    first
                ]
                later = client.iter_messages(peer(channel), limit=5, offset_date=noon, reverse=True)
                assert [one.id async for one in later] == [second, third]

        run(body())

    def test_single_messages_and_those_that_are_not_there(self, server: TelegramServer) -> None:
        channel = server.world.add_channel()
        ids = channel.post_photos(4, jpeg())
        channel.delete(ids[1])

        async def body() -> None:
            async with connected(server) as client:
                asked = [types.InputMessageID(one) for one in [*ids, 999]]
                found = await client(functions.channels.GetMessagesRequest(peer(channel), asked))
                kinds = [type(one).__name__ for one in found.messages]
                assert kinds == ["Message", "MessageEmpty", "Message", "Message", "MessageEmpty"]
                assert (found.pts, found.count, found.chats[0].id) == (channel.pts, 4, channel.id)
                too_many = [types.InputMessageID(1)] * 101
                assert (
                    len((await client(functions.channels.GetMessagesRequest(peer(channel), too_many))).messages) == 100
                )

        run(body())
        assert server.unexpected == ["channels.getMessages of 101 ids"]
        server.unexpected.clear()

    def test_top_messages_of_many_channels(self, server: TelegramServer) -> None:
        channels = [server.world.add_channel(f"number {n}") for n in range(120)]
        channels[7].post_text("newest")

        async def body() -> None:
            async with connected(server) as client:
                asked = [types.InputDialogPeer(peer(one)) for one in channels[:20]]
                answer = await client(functions.messages.GetPeerDialogsRequest(asked))
                assert [one.top_message for one in answer.dialogs] == [one.top_id for one in channels[:20]]
                assert [one.pts for one in answer.dialogs] == [one.pts for one in channels[:20]]
                assert {one.title async for one in client.iter_dialogs()} == {one.title for one in channels}
                first = (await client.get_dialogs(limit=1))[0]
                assert (first.message.message, first.entity.id) == ("newest", channels[7].id)

        run(body())


class TestMessages:
    def test_every_kind(self, server: TelegramServer) -> None:
        channel = server.world.add_channel()
        shared = server.world.file(jpeg(5))
        made = {
            "photo": channel.post_photo(
                shared,
                "bold and a link",
                entities=[("bold", 0, 4), ("text_url", 11, 4, "https://example.org/")],
                views=70,
                forwards=3,
                author="Ann",
                silent=True,
                spoiler=True,
            ),
            "forward": channel.post_photo(shared, forwarded_from=(4242, 17), reply_to=2),
            "name": channel.post_text("said", forwarded_from="A. Nonymous"),
            "document": channel.post_document(jpeg(), "image/png", "one.png", "as a file"),
            "video": channel.post_video(b"0" * 2000),
            "sticker": channel.post_sticker(jpeg()),
            "page": channel.post_web_page("see", "https://example.org/", jpeg(6)),
            "poll": channel.post_poll("well?"),
            "expired": channel.post_expired_photo(),
            "service": channel.post_service(),
        }
        channel.count_views(made["photo"], 5, forwards=1)

        async def body() -> None:
            async with connected(server) as client:
                messages = await client.get_messages(peer(channel), ids=list(made.values()))
                got = dict(zip(made, messages, strict=True))
                photo, forward = got["photo"], got["forward"]
                assert [(type(one), text) for one, text in photo.get_entities_text()] == [
                    (types.MessageEntityBold, "bold"),
                    (types.MessageEntityTextUrl, "link"),
                ]
                assert (photo.views, photo.forwards, photo.post_author, photo.silent) == (75, 4, "Ann", True)
                assert photo.media.spoiler
                assert photo.photo.id == forward.photo.id
                assert utils.get_peer_id(forward.fwd_from.from_id) == -1000000004242
                assert (forward.fwd_from.channel_post, forward.reply_to.reply_to_msg_id) == (17, 2)
                assert got["name"].fwd_from.from_name == "A. Nonymous"
                assert (got["document"].file.name, got["document"].file.mime_type) == ("one.png", "image/png")
                assert (got["document"].file.width, got["document"].file.height) == (64, 48)
                assert got["video"].video and got["sticker"].sticker and got["poll"].poll
                assert await got["page"].download_media(bytes) == jpeg(6)
                assert got["expired"].media.photo is None
                assert isinstance(got["service"], types.MessageService)

        run(body())

    def test_albums(self, server: TelegramServer) -> None:
        channel = server.world.add_channel()

        async def body() -> None:
            async with connected(server) as client:
                heard = Heard(client)
                await client.get_me()
                first = channel.post_album([jpeg(n) for n in range(3)], "an album")
                second = channel.post_album([jpeg(n) for n in range(4)], parts=2)
                await until("both albums", lambda: len(heard.albums) == 2)
                assert sorted(map(sorted, heard.albums)) == [first, second]
                assert heard.new == first + second
                messages = await client.get_messages(peer(channel), ids=first)
                assert len({one.grouped_id for one in messages}) == 1
                assert [one.message for one in messages] == ["an album", "", ""]

        run(body())

    def test_five_thousand_are_made_in_no_time(self, server: TelegramServer) -> None:
        channel = server.world.add_channel()
        file = server.world.file(jpeg())
        assert len(channel.post_photos(5000, file)) == 5000
        assert len({channel.posts[one].media.files[0].id for one in channel.ids[1:]}) == 5000  # type: ignore[union-attr]


class TestUpdates:
    def test_are_pushed(self, server: TelegramServer) -> None:
        channel = server.world.add_channel(username="news_channel")

        async def body() -> None:
            async with connected(server) as client:
                heard = Heard(client)
                number = channel.post_photo(jpeg(), "one")
                channel.edit(number, "two", entities=[("italic", 0, 3)])
                await until("new and edited", lambda: heard.new == [number] and heard.edited == [number])
                seen = await client.get_messages(peer(channel), ids=number)
                assert (seen.message, seen.edit_hide, seen.edit_date is None) == ("two", False, False)
                channel.edit(number, photo=jpeg(2))
                await until("the other photo", lambda: len(heard.edited) == 2)
                edited = await client.get_messages(peer(channel), ids=number)
                assert edited.photo.id != seen.photo.id
                channel.react(number)
                await until("a phantom edit", lambda: len(heard.edited) == 3)
                phantom = await client.get_messages(peer(channel), ids=number)
                assert (phantom.message, phantom.photo.id, phantom.edit_hide) == ("two", edited.photo.id, True)
                assert phantom.reactions.results[0].count == 1
                channel.delete([number, 999])
                await until("the deletion", lambda: heard.deleted == [number])

        run(body())

    def test_a_difference_holds_what_was_missed(self, server: TelegramServer) -> None:
        channel = server.world.add_channel()
        kept = channel.post_text("kept")
        pts = channel.pts
        ids = channel.post_photos(150, jpeg())
        channel.edit(kept, "edited")
        channel.delete(ids[:2])

        async def body() -> None:
            async with connected(server, receive_updates=False) as client:

                async def ask(pts: int) -> object:
                    channel_filter = types.ChannelMessagesFilterEmpty()
                    asked = functions.updates.GetChannelDifferenceRequest(peer(channel), channel_filter, pts, 100)
                    return await client(asked)

                first = await ask(pts)
                assert isinstance(first, types.updates.ChannelDifference) and not first.final
                assert [one.id for one in first.new_messages] == ids[2:100]
                second = await ask(first.pts)
                assert isinstance(second, types.updates.ChannelDifference) and second.final
                assert [one.id for one in second.new_messages] == ids[100:]
                edit, deletion = second.other_updates
                assert (edit.message.message, deletion.messages) == ("edited", ids[:2])
                assert second.pts == deletion.pts == channel.pts
                assert isinstance(await ask(channel.pts), types.updates.ChannelDifferenceEmpty)
                await raises(errors.PersistentTimestampInvalidError, ask(channel.pts + 1))
                await raises(errors.PersistentTimestampEmptyError, ask(0))
                channel.post_photos(1000, jpeg())
                assert isinstance(await ask(pts), types.updates.ChannelDifferenceTooLong)

        run(body())

    def test_too_long_makes_the_client_ask(self, server: TelegramServer) -> None:
        channel = server.world.add_channel()

        async def body() -> None:
            async with connected(server) as client:
                heard = Heard(client)
                channel.post_text("seen")
                await until("the first", lambda: len(heard.new) == 1)
                server.mute_updates()
                missed = channel.post_text("missed")
                server.unmute_updates()
                channel.push_too_long()
                await until("the missed one", lambda: heard.new[1:] == [missed])

        run(body())
        assert server.requests["updates.getChannelDifference"] == 1

    @pytest.mark.parametrize("announced", [True, False])
    def test_catching_up_after_a_pause(self, server: TelegramServer, tmp_path: Path, announced: bool) -> None:
        """Posts are caught up with if the channel is announced; edits and deletions never."""
        server.world.announces_channels = announced
        channel = server.world.add_channel()
        path = server.session_file(tmp_path / "own.session")

        async def body() -> None:
            async with connected(server, SQLiteSession(str(path)), catch_up=True) as client:
                heard = Heard(client)
                first = channel.post_text("one")
                await until("the first", lambda: heard.new == [first])
            missed = channel.post_text("two")
            channel.edit(first, "changed")
            async with connected(server, SQLiteSession(str(path)), catch_up=True) as client:
                heard = Heard(client)
                asked = server.requests["updates.getDifference"]
                await until("the difference", lambda: server.requests["updates.getDifference"] > asked)
                if announced:
                    await until("the missed one", lambda: heard.new == [missed])
                await client.get_me()
                assert (heard.new, heard.edited) == ([missed] if announced else [], [])

        run(body())

    @pytest.mark.parametrize("announced", [True, False])
    def test_the_account_difference_names_channels_that_changed(self, server: TelegramServer, announced: bool) -> None:
        server.world.announces_channels = announced
        channel = server.world.add_channel()
        channel.post_text("x", date=server.world.now())

        async def body() -> None:
            async with connected(server) as client:
                long_ago = datetime(2020, 1, 1, tzinfo=UTC)
                answer = await client(functions.updates.GetDifferenceRequest(1, long_ago, 0))
                found = [one.channel_id for one in getattr(answer, "other_updates", [])]
                assert found == ([channel.id] if announced else [])

        run(body())


class TestMembership:
    def test_by_name(self, server: TelegramServer) -> None:
        channel = server.world.add_channel("News", "news_channel", member=False)
        number = channel.post_text("public")

        async def body() -> None:
            async with connected(server) as client:
                assert (await client.get_entity("@News_Channel")).left
                assert (await client.get_messages("news_channel", ids=number)).message == "public"
                await raises(errors.UsernameNotOccupiedError, client(_resolve("nobody_here")))
                await raises(errors.UsernameInvalidError, client(_resolve("1x")))
                heard = Heard(client)
                channel.post_text("for members")
                await client(functions.channels.JoinChannelRequest(peer(channel)))
                assert (channel.member, channel.readable) == (True, True)
                live = channel.post_text("live")
                await until("the update", lambda: heard.new == [live])
                channel.rename("other_name")
                await raises(errors.UsernameNotOccupiedError, client(_resolve("news_channel")))
                assert (await client.get_entity("other_name")).id == channel.id
                await client(functions.channels.LeaveChannelRequest(peer(channel)))
                assert not channel.member
                await raises(
                    errors.UserNotParticipantError, client(functions.channels.LeaveChannelRequest(peer(channel)))
                )

        run(body())

    def test_by_invitation(self, server: TelegramServer) -> None:
        channel = server.world.add_channel("Closed", invite="AbCdEf123456", member=False)
        check, enter = functions.messages.CheckChatInviteRequest, functions.messages.ImportChatInviteRequest
        assert channel.name == "https://t.me/+AbCdEf123456"

        async def body() -> None:
            async with connected(server) as client:
                assert (await client(check("AbCdEf123456"))).title == "Closed"
                await raises(errors.ChannelPrivateError, client.get_messages(peer(channel), ids=1))
                assert await client(enter("AbCdEf123456"))
                assert (await client(check("AbCdEf123456"))).chat.id == channel.id
                await raises(errors.UserAlreadyParticipantError, client(enter("AbCdEf123456")))
                await raises(errors.InviteHashExpiredError, client(check("ZyXwVu987654")))
                await raises(errors.InviteHashInvalidError, client(check("?")))
                await raises(errors.InviteHashEmptyError, client(check("")))
                assert (await client.get_entity("https://t.me/+AbCdEf123456")).id == channel.id

        run(body())

    def test_private_banned_and_unknown(self, server: TelegramServer) -> None:
        channel = server.world.add_channel("News", "news_channel")

        async def body() -> None:
            async with connected(server) as client:
                get = functions.channels.GetChannelsRequest
                channel.make_private("AbCdEf123456")
                await raises(errors.UsernameNotOccupiedError, client(_resolve("news_channel")))
                assert await client.get_messages(peer(channel), ids=1)
                full = await client(functions.channels.GetFullChannelRequest(peer(channel)))
                assert (full.full_chat.pts, full.chats[0].title) == (channel.pts, "News")
                channel.ban()
                await raises(errors.ChannelPrivateError, client.get_messages(peer(channel), ids=1))
                await raises(errors.ChannelPrivateError, client.get_messages(peer(channel), limit=1))
                assert isinstance((await client(get([peer(channel)]))).chats[0], types.ChannelForbidden)
                channel.unban()
                assert (await client(get([peer(channel)]))).chats[0].title == "News"
                channel.leave()
                await raises(errors.ChannelPrivateError, client(get([peer(channel)])))
                channel.join()
                await raises(errors.ChannelInvalidError, client(get([types.InputChannel(channel.id, 1)])))
                await raises(errors.ChannelInvalidError, client(get([types.InputChannel(1, 1)])))
                assert await client.get_dialogs()

        run(body())
        assert server.world.add_channel().name.startswith("-100")


def _resolve(name: str) -> object:
    return functions.contacts.ResolveUsernameRequest(name)
