"""What messages carry: stored files, and the media that are made of them."""

from __future__ import annotations

import functools
import io
import os
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol

from PIL import Image
from telethon.tl import types

from tests.servers.telegram.tl import RpcError

REFERENCE = struct.Struct("<BIq8x")
"""A file reference: 1, the epoch in which it was given out, the file's id, and some zeros."""


@functools.cache
def thumbnail() -> bytes:
    """The small preview of every picture: grey, so that taking it for the picture itself is noticed."""
    with io.BytesIO() as buffer:
        Image.new("L", (90, 60), "grey").save(buffer, "JPEG", quality=1, optimize=True)
        return buffer.getvalue()


@functools.lru_cache(maxsize=256)
def dimensions(data: bytes) -> tuple[int, int]:
    """Width and height as the file's header has them; something likely for what is no picture."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 1280, 960


@dataclass(eq=False)
class CdnCopy:
    """A file as the CDN has it: encrypted with a key that Telegram tells its clients, and the tokens of today."""

    is_there: bool
    digests: int
    key: bytes = field(default_factory=lambda: os.urandom(32))
    iv: bytes = field(default_factory=lambda: os.urandom(16))
    token: bytes = field(default_factory=lambda: os.urandom(24))
    request_token: bytes = field(default_factory=lambda: os.urandom(24))


@dataclass(eq=False)
class File:
    """A file in one of the data centres. Messages that are given the same File share its id, as forwards do."""

    id: int
    data: bytes
    dc_id: int
    mime: str
    access_hash: int
    channel_ids: set[int] = field(default_factory=set)
    cdn: CdnCopy | None = None

    def reference(self, epoch: int) -> bytes:
        return REFERENCE.pack(1, epoch, self.id)

    def check(self, access_hash: int, reference: bytes, epoch: int) -> None:
        """RpcError unless the location is this file's, and its reference of now."""
        if access_hash != self.access_hash:
            raise RpcError(400, "FILE_ID_INVALID")
        if not reference:
            raise RpcError(400, "FILE_REFERENCE_EMPTY")
        if len(reference) != REFERENCE.size or reference != self.reference(REFERENCE.unpack(reference)[1]):
            raise RpcError(400, "FILE_REFERENCE_INVALID")
        if reference != self.reference(epoch):
            raise RpcError(400, "FILE_REFERENCE_EXPIRED")


class Media(Protocol):
    """What a message may carry."""

    @property
    def files(self) -> list[File]: ...

    def tl(self, epoch: int, date: datetime) -> Any:
        """Telegram's form of it; `epoch` is that of the file references."""
        ...


@dataclass(frozen=True)
class Photo:
    """A photo: a stripped preview, a small one, and the whole, which may be progressive.

    One that is `cached` is in the message itself, and nowhere else.
    """

    file: File
    size: tuple[int, int]
    progressive: bool = False
    spoiler: bool = False
    cached: bool = False

    @property
    def files(self) -> list[File]:
        return [self.file]

    def photo(self, epoch: int, date: datetime) -> Any:
        width, height = self.size
        return types.Photo(
            id=self.file.id,
            access_hash=self.file.access_hash,
            file_reference=self.file.reference(epoch),
            date=date,
            dc_id=self.file.dc_id,
            sizes=[
                types.PhotoStrippedSize("i", b"\x01\x28\x28"),
                *([types.PhotoCachedSize("m", width, height, self.file.data)] if self.cached else self._sizes()),
            ],
        )

    def _sizes(self) -> list[Any]:
        width, height = self.size
        length = len(self.file.data)
        if self.progressive:
            whole = types.PhotoSizeProgressive("y", width, height, [length // 10, length // 3, length])
        else:
            whole = types.PhotoSize("y", width, height, length)
        return [*_small_size(self.file), whole]

    def tl(self, epoch: int, date: datetime) -> Any:
        return types.MessageMediaPhoto(photo=self.photo(epoch, date), spoiler=self.spoiler)


@dataclass(frozen=True)
class ExpiredPhoto:
    """A photo that destroyed itself: the message is still of this kind, the photo is no more."""

    @property
    def files(self) -> list[File]:
        return []

    def tl(self, epoch: int, date: datetime) -> Any:
        return types.MessageMediaPhoto(ttl_seconds=60)


@dataclass(frozen=True)
class Document:
    """Any file: a picture sent as a file, a video, which may have a cover, a sticker."""

    file: File
    attributes: tuple[Any, ...]
    thumb: bool = True
    cover: Photo | None = None

    @property
    def files(self) -> list[File]:
        return [self.file, *(self.cover.files if self.cover else [])]

    def tl(self, epoch: int, date: datetime) -> Any:
        document = types.Document(
            id=self.file.id,
            access_hash=self.file.access_hash,
            file_reference=self.file.reference(epoch),
            date=date,
            mime_type=self.file.mime,
            size=len(self.file.data),
            dc_id=self.file.dc_id,
            attributes=list(self.attributes),
            thumbs=_small_size(self.file) if self.thumb else None,
        )
        cover = self.cover.photo(epoch, date) if self.cover else None
        return types.MessageMediaDocument(document=document, video_cover=cover)


@dataclass(frozen=True)
class WebPage:
    """A link's preview with its photo."""

    url: str
    photo: Photo

    @property
    def files(self) -> list[File]:
        return self.photo.files

    def tl(self, epoch: int, date: datetime) -> Any:
        page = types.WebPage(
            id=self.photo.file.id,
            url=self.url,
            display_url=self.url,
            hash=0,
            type="photo",
            title="A page",
            photo=self.photo.photo(epoch, date),
        )
        return types.MessageMediaWebPage(webpage=page)


@dataclass(frozen=True)
class PaidMedia:
    """Photos for stars: as they are if the account has bought them, else a blur each."""

    photos: tuple[Photo, ...]
    is_bought: bool

    @property
    def files(self) -> list[File]:
        return [photo.file for photo in self.photos]

    def tl(self, epoch: int, date: datetime) -> Any:
        bought = [types.MessageExtendedMedia(photo.tl(epoch, date)) for photo in self.photos]
        blurred = [types.MessageExtendedMediaPreview(w=one.size[0], h=one.size[1]) for one in self.photos]
        return types.MessageMediaPaidMedia(50, bought if self.is_bought else blurred)


@dataclass(frozen=True)
class Poll:
    """A poll, which has no file at all."""

    question: str
    answers: tuple[str, ...]

    @property
    def files(self) -> list[File]:
        return []

    def tl(self, epoch: int, date: datetime) -> Any:
        answers = [types.PollAnswer(_text(answer), bytes([48 + n])) for n, answer in enumerate(self.answers)]
        poll = types.Poll(id=_id_of(self.question), question=_text(self.question), answers=answers, hash=0)
        return types.MessageMediaPoll(poll=poll, results=types.PollResults(total_voters=0))


def moment(when: float | datetime) -> datetime:
    """Whole seconds in UTC, which is all that the protocol has room for."""
    return (when if isinstance(when, datetime) else datetime.fromtimestamp(when, UTC)).replace(microsecond=0)


def _small_size(file: File) -> list[Any]:
    # Clients take the size with the most bytes for the whole: a tiny picture can have no smaller one.
    small = len(thumbnail())
    return [types.PhotoSize("m", 90, 60, small)] if small < len(file.data) else []


def _text(text: str) -> Any:
    return types.TextWithEntities(text, [])


def _id_of(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:7], "little")
