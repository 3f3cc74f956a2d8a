"""What a Telegram message is: its kind, its picture, its caption. Pure; of telethon it needs the types only.

Taken are photos, image documents and, if asked for, the pictures of web-page previews and the posters of videos; also
those of paid media that the account has bought, of polls, and of rich messages. Of a message with several, the first is
taken and the others are counted (`ipc.posts.MORE`): a row has one picture. All else has its kind alone, for the counts,
in the same words as an export's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from telethon.tl import types

from ipc.identities import Identity
from ipc.posts import Photo, Post, clean
from workers.sources.telegram.wire.rich_messages import picture_ids, plain_text


@dataclass(frozen=True, slots=True)
class File:
    """How the bytes are asked for. `location` is telethon's; `bytes` the size that Telegram declares.

    `data` is all of it, where the message itself has brought it: a small picture may be nowhere else.
    """

    location: Any
    dc_id: int
    bytes: int
    data: bytearray | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message of any kind, posted at Unix second `at`; `post` and `file` are there if it is taken.

    `more` pictures it has besides that one. `is_told`: Telegram has said what it is; else that is inferred from its
    silence.
    """

    id: int
    kind: str
    at: int = 0
    post: Post | None = None
    file: File | None = None
    more: int = 0
    is_told: bool = True


@dataclass(frozen=True, slots=True)
class _Found:
    """What a message's media are: `photo` and `file` are there if they are a picture."""

    kind: str
    photo: Photo | None = None
    file: File | None = None
    more: int = 0


_MEDIA_KINDS: Final = {
    types.MessageMediaContact: "contact",
    types.MessageMediaDice: "dice",
    types.MessageMediaGame: "game",
    types.MessageMediaGeo: "location",
    types.MessageMediaGeoLive: "location",
    types.MessageMediaGiveaway: "giveaway",
    types.MessageMediaGiveawayResults: "giveaway",
    types.MessageMediaInvoice: "invoice",
    types.MessageMediaPaidMedia: "paid",
    types.MessageMediaPoll: "poll",
    types.MessageMediaStory: "story",
    types.MessageMediaUnsupported: "unsupported",
    types.MessageMediaVenue: "location",
}

VIDEO_KINDS: Final = ("video", "animation")
"""Kinds that have a poster. A video message, which is round, is no film that a website would show."""

_ENTITIES: Final = {
    types.MessageEntityBankCard: "bank_card",
    types.MessageEntityBlockquote: "blockquote",
    types.MessageEntityBold: "bold",
    types.MessageEntityBotCommand: "bot_command",
    types.MessageEntityCashtag: "cashtag",
    types.MessageEntityCode: "code",
    types.MessageEntityCustomEmoji: "custom_emoji",
    types.MessageEntityEmail: "email",
    types.MessageEntityHashtag: "hashtag",
    types.MessageEntityItalic: "italic",
    types.MessageEntityMention: "mention",
    types.MessageEntityMentionName: "mention_name",
    types.MessageEntityPhone: "phone",
    types.MessageEntityPre: "pre",
    types.MessageEntitySpoiler: "spoiler",
    types.MessageEntityStrike: "strikethrough",
    types.MessageEntityTextUrl: "text_link",
    types.MessageEntityUnderline: "underline",
    types.MessageEntityUrl: "link",
}
"""Named as Telegram Desktop's export names them."""


def read_message(message: Any, channel_id: int, *, previews: bool, posters: bool = False) -> Message:
    """What telethon's `message` of that channel is. `previews`: take the pictures of web-page previews as well;
    `posters`: those of videos, too.
    """
    if isinstance(message, types.MessageEmpty):
        return Message(message.id, "absent")
    at = _seconds(message.date)
    if isinstance(message, types.MessageService):
        return Message(message.id, "service", at)
    found = _picture(message.media, previews, posters)
    rich = message.rich_message
    if rich is not None:
        in_blocks = _rich_pictures(rich)
        found = _first([found, *in_blocks] if found.photo else in_blocks or [found])
    if found.photo is None:
        return Message(message.id, found.kind, at)
    caption = message.message or (plain_text(rich) if rich is not None else "")
    return Message(message.id, "photo", at, _post(message, channel_id, caption, found.photo), found.file, found.more)


def _post(message: Any, channel_id: int, caption: str, photo: Photo) -> Post:
    return Post(
        channel_id=channel_id,
        message_id=message.id,
        posted_at=_seconds(message.date),
        # Reactions and counters move the date too; then Telegram asks not to show it.
        edited_at=_seconds(message.edit_date) if message.edit_date and not message.edit_hide else None,
        grouped_id=message.grouped_id,
        caption=clean(caption),
        photo=photo,
        entities=tuple(map(_entity, message.entities or ())),
        forwarded_from=_forwarded(message.fwd_from) if message.fwd_from else None,
        reply_to=_answered(message.reply_to),
    )


def _picture(media: Any, previews: bool, posters: bool = False) -> _Found:
    """A message's media, but for what a rich message has in its blocks."""
    match media:
        case None:
            return _Found("text")
        case types.MessageMediaPhoto():
            return _photo(media.photo)
        case types.MessageMediaDocument():
            found = _document(media.document)
            return _poster(found.kind, media) if posters and found.kind in VIDEO_KINDS else found
        case types.MessageMediaWebPage():
            if not isinstance(getattr(media.webpage, "photo", None), types.Photo):
                return _Found("text")
            return _photo(media.webpage.photo) if previews else _Found("preview")
        case types.MessageMediaPaidMedia():
            return _bought(media.extended_media, "paid")
        case types.MessageMediaInvoice(extended_media=extended) if extended is not None:
            return _bought([extended], "invoice")
        case types.MessageMediaPoll(attached_media=attached) if attached is not None:
            found = _picture(attached, previews=False)
            return found if found.photo else _Found("poll")
    return _Found(_MEDIA_KINDS.get(type(media), "other"))


def _bought(extended: Any, kind: str) -> _Found:
    """Media for money. What the account has not bought, it is shown blurred."""
    seen = [_picture(one.media, previews=False) for one in extended if isinstance(one, types.MessageExtendedMedia)]
    found = _first(seen) if seen else _Found(kind)
    return found if found.photo else _Found(kind)


def _rich_pictures(rich: Any) -> list[_Found]:
    """The pictures of a rich message, in the order in which it shows them."""
    known = {one.id: _photo(one) for one in rich.photos}
    known |= {one.id: _document(one) for one in rich.documents}
    return [known[one] for one in picture_ids(rich) if one in known and known[one].photo]


def _first(several: list[_Found]) -> _Found:
    """The first picture of these, with the number of the others; the first thing if none is a picture."""
    pictures = [one for one in several if one.photo]
    return replace(pictures[0], more=len(pictures) - 1) if pictures else several[0]


def _photo(photo: Any) -> _Found:
    """A photo in its largest size. One that has been taken back, or whose time is over, is none any more."""
    found = _largest(photo, getattr(photo, "sizes", ()), types.InputPhotoFileLocation, "photo")
    return found or _Found("expired")


def _poster(kind: str, media: Any) -> _Found:
    """The poster of a video of that kind: its cover, else its largest thumbnail; without either it is no picture."""
    found = _photo(media.video_cover)
    if found.photo is None:
        document = media.document
        found = _largest(document, document.thumbs or (), types.InputDocumentFileLocation, "thumbnail") or _Found(kind)
    return replace(found, photo=replace(found.photo, kind="video")) if found.photo else found


def _largest(owner: Any, sizes: Iterable[Any], location: type, name: str) -> _Found | None:
    """The largest of these sizes of a photo, or of a document's thumbnails; None: none of them is a file.

    `location` is how telethon asks for it, `name` how our locator does.
    """
    files = [one for one in sizes if _bytes_of(one)]
    if not files:
        return None
    largest = max(files, key=lambda size: (size.w * size.h, _bytes_of(size)))
    size = _bytes_of(largest)
    data = bytearray(largest.bytes) if isinstance(largest, types.PhotoCachedSize) else None
    place = location(owner.id, owner.access_hash, owner.file_reference, largest.type)
    declared = Photo(
        photo_id=owner.id,
        identity=str(Identity.of_telegram(owner.id)),
        locator={"telegram": name},
        source="telegram",
        bytes=size,
        width=largest.w,
        height=largest.h,
        mime="image/jpeg",
    )
    return _Found("photo", declared, File(place, owner.dc_id, size, data))


def _bytes_of(size: Any) -> int:
    """The size of a photo's file in bytes; 0 for outlines and blurs, which are no files."""
    if isinstance(size, types.PhotoSizeProgressive):
        return max(size.sizes, default=0)
    if isinstance(size, types.PhotoCachedSize):
        return len(size.bytes)
    return size.size if isinstance(size, types.PhotoSize) else 0


def _document(document: Any) -> _Found:
    if not isinstance(document, types.Document):
        return _Found("expired")
    about = {type(one): one for one in document.attributes}
    kind = _kind_of_document(about)
    # A GIF may be sent as a file and be marked as animated; what Telegram makes an animation of is an MP4.
    if kind not in ("file", "animation") or not document.mime_type.lower().startswith("image/"):
        return _Found(kind)
    dimensions = about.get(types.DocumentAttributeImageSize)
    location = types.InputDocumentFileLocation(document.id, document.access_hash, document.file_reference, "")
    declared = Photo(
        photo_id=document.id,
        identity=str(Identity.of_telegram(document.id)),
        locator={"telegram": "document"},
        source="telegram",
        bytes=document.size,
        width=dimensions.w if dimensions else None,
        height=dimensions.h if dimensions else None,
        mime=document.mime_type.lower(),
    )
    return _Found("photo", declared, File(location, document.dc_id, document.size))


def _kind_of_document(about: dict[type, Any]) -> str:
    if types.DocumentAttributeSticker in about or types.DocumentAttributeCustomEmoji in about:
        return "sticker"
    if types.DocumentAttributeAnimated in about:
        return "animation"
    if video := about.get(types.DocumentAttributeVideo):
        return "video_message" if video.round_message else "video"
    if audio := about.get(types.DocumentAttributeAudio):
        return "voice_message" if audio.voice else "audio"
    return "file"


def _entity(entity: Any) -> dict[str, Any]:
    made = {"type": _ENTITIES.get(type(entity), "unknown"), "offset": entity.offset, "length": entity.length}
    for name in ("url", "language", "user_id", "document_id"):
        value = getattr(entity, name, None)
        if value not in (None, ""):
            made[name] = clean(value) if isinstance(value, str) else value
    return made


def _forwarded(header: Any) -> dict[str, Any]:
    origin = header.from_id
    known = {
        "channel_id": getattr(origin, "channel_id", None),
        "message_id": header.channel_post,
        "user_id": getattr(origin, "user_id", None),
        "name": clean(header.from_name) if header.from_name else None,
        "date": _seconds(header.date) if header.date else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _answered(header: Any) -> int | None:
    """The message of this channel that is answered: not one of another chat, nor a story, nor a forum's topic.

    What is posted in a topic and answers nothing has the topic's own id there; what answers something has both.
    """
    elsewhere = getattr(header, "reply_to_peer_id", None) is not None
    only_in_topic = getattr(header, "forum_topic", None) and header.reply_to_top_id is None
    return None if elsewhere or only_in_topic else getattr(header, "reply_to_msg_id", None)


def _seconds(time: datetime) -> int:
    return int(time.timestamp())
