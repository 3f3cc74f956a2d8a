"""What a message is. The messages are those that the loopback Telegram gives, or made of Telegram's own types."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from PIL import Image
from telethon.extensions import BinaryReader
from telethon.tl import types

from tests.servers.telegram import Channel, World
from tests.servers.telegram.media import thumbnail
from tests.servers.telegram.tl import encode
from workers.sources.telegram.wire.media import Message, read_message

AT = 1_700_000_000


@pytest.fixture
def channel() -> Channel:
    return World().add_channel("News", username="newsdesk", empty=True)


def jpeg(size: tuple[int, int] = (640, 480)) -> bytes:
    with io.BytesIO() as buffer:
        Image.effect_noise(size, 50).convert("RGB").save(buffer, "JPEG")
        return buffer.getvalue()


def read(channel: Channel, message_id: int, *, previews: bool = False, posters: bool = False) -> Message:
    post = channel.posts[message_id]
    with BinaryReader(encode(post.tl(channel.id, 0))) as reader:  # as it comes over the connection
        return read_message(reader.tgread_object(), channel.id, previews=previews, posters=posters)


def test_a_photo(channel: Channel) -> None:
    data = jpeg()
    message = read(channel, channel.post_photo(data, "hello", size=(640, 480), date=AT, grouped_id=77, reply_to=3))
    assert (message.kind, message.at) == ("photo", AT)
    assert message.post is not None and message.file is not None
    assert message.file.bytes == len(data)
    post, photo = message.post, message.post.photo
    assert (post.channel_id, post.message_id, post.posted_at, post.edited_at) == (channel.id, message.id, AT, None)
    assert (post.caption, post.grouped_id, post.reply_to, post.forwarded_from) == ("hello", 77, 3, None)
    assert (photo.identity, photo.width, photo.height, photo.bytes) == (f"id:{photo.photo_id}", 640, 480, len(data))


def test_a_progressive_photo_is_as_long_as_its_last_step(channel: Channel) -> None:
    data = jpeg()
    message = read(channel, channel.post_photo(data, progressive=True))
    assert message.file is not None and message.file.bytes == len(data)


def test_a_photo_that_is_in_the_message_itself(channel: Channel) -> None:
    data = jpeg((64, 48))
    message = read(channel, channel.post_photo(data, cached=True))
    assert message.file is not None and bytes(message.file.data or b"") == data and message.file.bytes == len(data)
    assert message.post is not None and message.post.photo.width == 64


@pytest.mark.parametrize(
    ("sizes", "kind"),
    [
        ([types.PhotoStrippedSize("i", b"blur"), types.PhotoPathSize("j", b"outline")], "expired"),
        ([types.PhotoCachedSize("s", 90, 60, b"small"), types.PhotoSize("x", 800, 600, 9000)], "photo"),
    ],
)
def test_the_largest_size_counts(sizes: list[Any], kind: str) -> None:
    photo = types.Photo(1, 2, b"", datetime.fromtimestamp(AT, UTC), sizes, 2)
    message = read_message(made(media=types.MessageMediaPhoto(photo=photo)), 1, previews=False)
    assert message.kind == kind
    assert message.file is None or (message.file.data is None and message.file.bytes == 9000)


def test_an_image_document(channel: Channel) -> None:
    message = read(channel, channel.post_document(b"x" * 5000, "IMAGE/PNG", "a.png", "as a file"))
    assert message.post is not None
    assert (message.kind, message.post.photo.mime, message.post.photo.bytes) == ("photo", "image/png", 5000)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("text", lambda channel: channel.post_text("words")),
        ("service", lambda channel: channel.post_service()),
        ("video", lambda channel: channel.post_video(b"x" * 100)),
        ("sticker", lambda channel: channel.post_sticker(b"x" * 100)),
        ("poll", lambda channel: channel.post_poll("why?")),
        ("expired", lambda channel: channel.post_expired_photo()),
        ("file", lambda channel: channel.post_document(b"x" * 100, "application/pdf", "a.pdf")),
        ("preview", lambda channel: channel.post_web_page("see", "https://example.org", jpeg())),
    ],
)
def test_what_is_not_taken(channel: Channel, kind: str, make: Callable[[Channel], int]) -> None:
    message = read(channel, make(channel))
    assert (message.kind, message.post, message.file) == (kind, None, None)


@pytest.mark.parametrize("animated", [False, True])
def test_a_videos_poster_is_taken_if_asked_for(channel: Channel, animated: bool) -> None:
    message_id = channel.post_video(b"x" * 5000, "a film", animated=animated)
    assert (read(channel, message_id).kind, read(channel, message_id).post) == (
        "animation" if animated else "video",
        None,
    )
    message = read(channel, message_id, posters=True)
    assert message.kind == "photo" and message.post is not None and message.file is not None
    photo = message.post.photo
    assert (photo.kind, photo.mime, photo.width, photo.height) == ("video", "image/jpeg", 90, 60)
    assert photo.identity == f"id:{photo.photo_id}" and photo.bytes == message.file.bytes == len(thumbnail())
    location = message.file.location
    assert isinstance(location, types.InputDocumentFileLocation) and location.thumb_size == "m"


def test_a_videos_cover_comes_before_its_thumbnail(channel: Channel) -> None:
    cover = jpeg()
    message = read(channel, channel.post_video(b"x" * 5000, cover=cover), posters=True)
    assert message.post is not None and message.file is not None
    assert (message.post.photo.kind, message.file.bytes) == ("video", len(cover))
    assert isinstance(message.file.location, types.InputPhotoFileLocation)


def test_a_video_without_a_poster_is_no_picture(channel: Channel) -> None:
    message = read(channel, channel.post_video(b"x" * 5000, thumb=False), posters=True)
    assert (message.kind, message.post) == ("video", None)


def test_an_animated_gif_is_a_picture_even_if_it_is_marked_as_animated(channel: Channel) -> None:
    gif = types.Document(
        5, 2, b"", datetime.fromtimestamp(AT, UTC), "image/gif", 300, 2, [types.DocumentAttributeAnimated()]
    )
    message = read_message(made(media=types.MessageMediaDocument(document=gif)), 1, previews=False, posters=True)
    assert message.post is not None and (message.post.photo.mime, message.post.photo.kind) == ("image/gif", "photo")


def test_a_previews_picture_is_taken_if_asked_for(channel: Channel) -> None:
    message_id = channel.post_web_page("see", "https://example.org", jpeg())
    assert read(channel, message_id).post is None
    message = read(channel, message_id, previews=True)
    assert message.post is not None and message.post.caption == "see"


def test_formatting_and_origin(channel: Channel) -> None:
    entities: list[Any] = [("bold", 0, 2), ("text_url", 3, 4, "https://example.org")]
    message = read(channel, channel.post_photo(jpeg(), "ab link", entities=entities, forwarded_from=(55, 9)))
    assert message.post is not None and message.post.forwarded_from is not None
    assert message.post.entities == (
        {"type": "bold", "offset": 0, "length": 2},
        {"type": "text_link", "offset": 3, "length": 4, "url": "https://example.org"},
    )
    assert (message.post.forwarded_from["channel_id"], message.post.forwarded_from["message_id"]) == (55, 9)


def made(**fields: Any) -> Any:
    plain: dict[str, Any] = {"id": 5, "peer_id": types.PeerChannel(1), "date": datetime.fromtimestamp(AT, UTC)}
    media = types.MessageMediaPhoto(photo=types.Photo(1, 2, b"", plain["date"], [types.PhotoSize("x", 10, 20, 300)], 2))
    return types.Message(**{**plain, "message": "", "media": media, **fields})


@pytest.mark.parametrize(("hidden", "edited_at"), [(False, AT + 9), (True, None)])
def test_an_edit_that_is_not_to_be_shown_is_none(hidden: bool, edited_at: int | None) -> None:
    """Reactions and counters move the date of the edit, too."""
    message = read_message(made(edit_date=datetime.fromtimestamp(AT + 9, UTC), edit_hide=hidden), 1, previews=False)
    assert message.post is not None and message.post.edited_at == edited_at


@pytest.mark.parametrize(
    ("header", "reply_to"),
    [
        (types.MessageReplyHeader(reply_to_msg_id=3), 3),
        (types.MessageReplyHeader(reply_to_msg_id=3, reply_to_peer_id=types.PeerChannel(9)), None),
        (types.MessageReplyStoryHeader(types.PeerChannel(9), 4), None),
        (types.MessageReplyHeader(reply_to_msg_id=3, forum_topic=True), None),
        (types.MessageReplyHeader(reply_to_msg_id=9, reply_to_top_id=3, forum_topic=True), 9),
        (types.MessageReplyHeader(reply_to_msg_id=9, reply_to_top_id=3), 9),
        (None, None),
    ],
)
def test_what_is_answered(header: Any, reply_to: int | None) -> None:
    message = read_message(made(reply_to=header), 1, previews=False)
    assert message.post is not None and message.post.reply_to == reply_to


def test_what_the_database_could_not_hold_is_replaced() -> None:
    message = read_message(made(message="a\0b\ud800c"), 1, previews=False)
    assert message.post is not None and message.post.caption == "a\ufffdb\ufffdc"


def photo_of(number: int) -> Any:
    return types.Photo(number, 2, b"", datetime.fromtimestamp(AT, UTC), [types.PhotoSize("x", 10, 20, 300)], 2)


def document_of(number: int, mime: str) -> Any:
    return types.Document(number, 2, b"", datetime.fromtimestamp(AT, UTC), mime, 300, 2, [])


def bought(*numbers: int) -> list[Any]:
    return [types.MessageExtendedMedia(types.MessageMediaPhoto(photo=photo_of(number))) for number in numbers]


BLURRED = types.MessageExtendedMediaPreview(w=10, h=20)
VIDEO = types.MessageExtendedMedia(types.MessageMediaDocument(document=document_of(5, "video/mp4")))
INVOICE = {"title": "", "description": "", "currency": "XTR", "total_amount": 1, "start_param": ""}


@pytest.mark.parametrize(
    ("media", "kind", "photo_id", "more"),
    [
        (types.MessageMediaPaidMedia(50, [BLURRED, BLURRED]), "paid", None, 0),
        (types.MessageMediaPaidMedia(50, [VIDEO]), "paid", None, 0),
        (types.MessageMediaPaidMedia(50, bought(7)), "photo", 7, 0),
        (types.MessageMediaPaidMedia(50, [VIDEO, *bought(7, 8, 9)]), "photo", 7, 2),
        (types.MessageMediaInvoice(**INVOICE), "invoice", None, 0),
        (types.MessageMediaInvoice(**INVOICE, extended_media=BLURRED), "invoice", None, 0),
        (types.MessageMediaInvoice(**INVOICE, extended_media=bought(7)[0]), "photo", 7, 0),
        (types.MessageMediaPoll(None, None), "poll", None, 0),
        (types.MessageMediaPoll(None, None, attached_media=types.MessageMediaPhoto(photo=photo_of(7))), "photo", 7, 0),
    ],
)
def test_pictures_inside_other_media(media: Any, kind: str, photo_id: int | None, more: int) -> None:
    message = read_message(made(media=media), 1, previews=False)
    assert (message.kind, message.more) == (kind, more)
    assert (message.post.photo.photo_id if message.post else None) == photo_id


def rich(*blocks: Any, photos: tuple[int, ...] = (), documents: tuple[Any, ...] = ()) -> Any:
    """A rich message, as it comes over the connection."""
    made = types.RichMessage(list(blocks), [photo_of(one) for one in photos], list(documents))
    with BinaryReader(bytes(made)) as reader:
        return reader.tgread_object()


def plain(text: str) -> Any:
    return types.TextPlain(text)


def captioned(text: str = "") -> Any:
    return types.PageCaption(plain(text), types.TextEmpty())


def test_the_pictures_of_a_rich_message() -> None:
    message = rich(
        types.PageBlockTitle(types.TextConcat([plain("A "), types.TextBold(plain("title"))])),
        types.PageBlockDivider(),
        types.PageBlockDetails(
            [types.PageBlockCollage([types.PageBlockPhoto(8, captioned("below it"))], captioned())], plain("More")
        ),
        types.PageBlockCover(types.PageBlockPhoto(7, captioned())),
        types.PageBlockDocument(5, captioned()),
        types.PageBlockList([types.PageListItemText(plain("an item"))]),
        types.PageBlockTable(plain(""), [types.PageTableRow([types.PageTableCell(text=plain(one)) for one in "xy"])]),
        photos=(6, 7, 8),
        documents=(document_of(5, "image/png"), document_of(4, "video/mp4")),
    )
    found = read_message(made(media=None, rich_message=message), 1, previews=False)
    assert found.post is not None and found.kind == "photo"
    assert (found.post.photo.photo_id, found.more) == (8, 3), "the first that is shown"
    assert found.post.caption == "A title\nMore\nbelow it\nan item\nx y"
    said = read_message(made(message="in its own words", media=None, rich_message=message), 1, previews=False)
    assert said.post is not None and said.post.caption == "in its own words"


@pytest.mark.parametrize("documents", [(), (document_of(5, "video/mp4"),)])
def test_a_rich_message_without_pictures_is_text(documents: tuple[Any, ...]) -> None:
    message = rich(types.PageBlockParagraph(plain("words")), documents=documents)
    found = read_message(made(media=None, rich_message=message), 1, previews=False)
    assert (found.kind, found.post, found.more) == ("text", None, 0)


def test_a_new_kind_of_media_is_other() -> None:
    assert (
        read_message(made(media=types.MessageMediaToDo.__new__(types.MessageMediaToDo)), 1, previews=False).kind
        == "other"
    )
