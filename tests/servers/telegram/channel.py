"""A channel that tests drive: what they post, edit and delete here, clients see.

Every method may be called from any thread, whether or not a server is running. Ids rise by one a message, `pts` by one
a change; both are never used twice.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack

from telethon.tl import types

from tests.servers.telegram.media import Document, ExpiredPhoto, File, Media, Photo, Poll, WebPage, dimensions, moment
from tests.servers.telegram.posts import Post, PostOptions

if TYPE_CHECKING:
    from tests.servers.telegram.world import World

Kind = Literal["new", "edit", "delete", "info"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened: `pts` after it, by how much that rose, and the messages concerned.

    "info" is about the channel itself and moves no pts.
    """

    kind: Kind
    pts: int
    pts_count: int
    ids: tuple[int, ...]
    at: float


class Channel:
    """Made by `World.add_channel`. `member`, `banned` and `title` may be read; the methods change them."""

    def __init__(self, world: World, channel_id: int, access_hash: int, title: str, username: str | None) -> None:
        self.world = world
        self.id = channel_id
        self.access_hash = access_hash
        self.title = title
        self.username = username
        self.invite: str | None = None
        self.member = True
        self.banned = False
        self.posts: dict[int, Post] = {}
        self.ids: list[int] = []
        self.pts = 1
        self.changes: list[Change] = []
        self._next_id = 1

    # What there is

    @property
    def name(self) -> str:
        """How a configuration names it: @username, an invite link, or the id with its mark."""
        if self.username:
            return f"@{self.username}"
        return f"https://t.me/+{self.invite}" if self.invite else f"-100{self.id}"

    @property
    def top_id(self) -> int:
        """The highest id of a message that is there; 0 without any."""
        return self.ids[-1] if self.ids else 0

    # Posting: each gives the message's id

    def post_photo(
        self,
        data: bytes | File,
        caption: str = "",
        *,
        size: tuple[int, int] | None = None,
        progressive: bool = False,
        spoiler: bool = False,
        cached: bool = False,
        dc: int | None = None,
        **options: Unpack[PostOptions],
    ) -> int:
        """A photo, whole and byte for byte as given. `dc` is the data centre that keeps it."""
        file = self.world.file(data, "image/jpeg", dc)
        return self.post(caption, Photo(file, size or dimensions(file.data), progressive, spoiler, cached), **options)

    def post_photos(self, count: int, data: bytes | File, caption: str = "photo") -> list[int]:
        """Many photos that share one file's bytes but not its id, captioned with their numbers."""
        with self.world.lock:
            whole = data.data if isinstance(data, File) else data
            return [self.post_photo(whole, f"{caption} {n}") for n in range(1, count + 1)]

    def post_document(
        self,
        data: bytes | File,
        mime: str = "image/png",
        name: str | None = "picture.png",
        caption: str = "",
        *,
        dc: int | None = None,
        **options: Unpack[PostOptions],
    ) -> int:
        """A file, which is how pictures are sent uncompressed."""
        file = self.world.file(data, mime, dc)
        attributes: list[Any] = []
        if mime.startswith("image/"):
            attributes.append(types.DocumentAttributeImageSize(*dimensions(file.data)))
        if name is not None:
            attributes.append(types.DocumentAttributeFilename(name))
        return self.post(caption, Document(file, tuple(attributes)), **options)

    def post_video(
        self,
        data: bytes | File,
        caption: str = "",
        *,
        cover: bytes | None = None,
        thumb: bool = True,
        animated: bool = False,
        **options: Unpack[PostOptions],
    ) -> int:
        """`animated`: one without sound, which clients play like a GIF."""
        attributes: list[Any] = [types.DocumentAttributeVideo(duration=3, w=640, h=480, supports_streaming=True)]
        if animated:
            attributes.append(types.DocumentAttributeAnimated())
        photo = Photo(self.world.file(cover, "image/jpeg", None), dimensions(cover)) if cover else None
        video = Document(self.world.file(data, "video/mp4", None), tuple(attributes), thumb, photo)
        return self.post(caption, video, **options)

    def post_sticker(self, data: bytes | File, **options: Unpack[PostOptions]) -> int:
        """A sticker: a document that is an image by its type, but nobody's photograph."""
        sticker = types.DocumentAttributeSticker(alt="🙂", stickerset=types.InputStickerSetEmpty())
        size = types.DocumentAttributeImageSize(512, 512)
        return self.post("", Document(self.world.file(data, "image/webp", None), (size, sticker)), **options)

    def post_web_page(self, text: str, url: str, photo: bytes | File, **options: Unpack[PostOptions]) -> int:
        """A text with a link, whose preview has a photo."""
        file = self.world.file(photo, "image/jpeg", None)
        return self.post(text, WebPage(url, Photo(file, dimensions(file.data))), **options)

    def post_poll(self, question: str, answers: Sequence[str] = ("yes", "no"), **options: Unpack[PostOptions]) -> int:
        return self.post("", Poll(question, tuple(answers)), **options)

    def post_expired_photo(self, **options: Unpack[PostOptions]) -> int:
        """A photo message whose photo is gone."""
        return self.post("", ExpiredPhoto(), **options)

    def post_text(self, text: str, **options: Unpack[PostOptions]) -> int:
        return self.post(text, None, **options)

    def post_service(self, action: Any = None) -> int:
        """A service message; without a TL action, that the channel's title was set."""
        return self.post("", None, action=action or types.MessageActionChatEditTitle(self.title))

    def post_album(
        self, items: Sequence[bytes | File], caption: str = "", *, parts: int = 1, **options: Unpack[PostOptions]
    ) -> list[int]:
        """Photos of one grouped_id, the caption with the first, announced in as many updates."""
        with self.world.lock:
            options.setdefault("grouped_id", self.world.next_number())
            files = [self.world.file(item, "image/jpeg", None) for item in items]
            before = len(self.changes)
            ids = [
                self.post(caption if n == 0 else "", Photo(file, dimensions(file.data)), announce=False, **options)
                for n, file in enumerate(files)
            ]
            changes = self.changes[before:]
            for part in range(parts):
                self.world.announce(self, changes[part * len(ids) // parts : (part + 1) * len(ids) // parts])
            return ids

    def post(
        self,
        text: str,
        media: Media | None,
        *,
        action: Any = None,
        announce: bool = True,
        **options: Unpack[PostOptions],
    ) -> int:
        """Any message. All the others end here."""
        with self.world.lock:
            post = Post(self._next_id, moment(options.get("date", self.world.now())), text, media, action=action)
            for name, value in options.items():
                if name != "date":
                    setattr(post, name, value)
            self._next_id += 1
            self.posts[post.id] = post
            self.ids.append(post.id)
            for file in media.files if media else ():
                file.channel_ids.add(self.id)
            self._change("new", (post.id,), announce=announce)
            return post.id

    def skip_ids(self, count: int) -> None:
        """Use up ids without a message, as messages do that were deleted long ago."""
        with self.world.lock:
            self._next_id += count

    # Changing

    def edit(
        self,
        message_id: int,
        caption: str | None = None,
        photo: bytes | File | None = None,
        entities: list[tuple[str, int, int] | tuple[str, int, int, str]] | None = None,
    ) -> None:
        """Change what is given; a new photo is a new file with an id of its own."""
        with self.world.lock:
            post = self.posts[message_id]
            if caption is not None:
                post.text = caption
            if photo is not None:
                file = self.world.file(photo, "image/jpeg", None)
                file.channel_ids.add(self.id)
                post.media = Photo(file, dimensions(file.data))
            if entities is not None:
                post.entities = entities
            post.edit_date, post.edit_hide = moment(self.world.now()), False
            post.changed()
            self._change("edit", (message_id,))

    def react(self, message_id: int) -> None:
        """A phantom edit: an edit is announced, but only its counters have changed."""
        with self.world.lock:
            post = self.posts[message_id]
            post.reactions += 1
            post.views += 1
            post.edit_date, post.edit_hide = moment(self.world.now()), True
            post.changed()
            self._change("edit", (message_id,))

    def count_views(self, message_id: int, views: int = 1, forwards: int = 0) -> None:
        """Let the counters rise, without an update that says so."""
        with self.world.lock:
            post = self.posts[message_id]
            post.views += views
            post.forwards += forwards
            post.changed()

    def delete(self, message_ids: int | Iterable[int]) -> None:
        """Delete those of these messages that are there."""
        wanted = [message_ids] if isinstance(message_ids, int) else list(message_ids)
        with self.world.lock:
            gone = tuple(one for one in wanted if self.posts.pop(one, None))
            for one in gone:
                del self.ids[bisect_left(self.ids, one)]
            if gone:
                self._change("delete", gone)

    def hide(self, message_id: int) -> Post:
        """Let it not be there for the server that answers, which hasn't heard of it yet; `reveal` what this gives."""
        with self.world.lock:
            del self.ids[bisect_left(self.ids, message_id)]
            return self.posts.pop(message_id)

    def reveal(self, post: Post) -> None:
        """Let it be there. No client is told."""
        with self.world.lock:
            insort(self.ids, post.id)
            self.posts[post.id] = post

    def make_unreadable(self, message_id: int, unreadable: bool = True) -> None:
        """From now on any answer or update with this message has an unknown constructor in its place."""
        with self.world.lock:
            self.posts[message_id].unreadable = unreadable

    def rename(self, username: str | None) -> None:
        """Another public name; None takes it away."""
        with self.world.lock:
            self.username = username
            self._change("info", ())

    def make_private(self, invite: str | None = None) -> None:
        """Take its public name away: from now on it is there for members only."""
        with self.world.lock:
            self.invite = invite or self.invite
            self.rename(None)

    def join(self) -> None:
        """Become a member."""
        self._belong(member=True, banned=False)

    def leave(self) -> None:
        """Be no member any more; a public channel can still be read."""
        self._belong(member=False, banned=False)

    def ban(self) -> None:
        """Be thrown out: CHANNEL_PRIVATE from now on."""
        self._belong(member=False, banned=True)

    def unban(self) -> None:
        """Be a member again."""
        self._belong(member=True, banned=False)

    def push_typing(self) -> None:
        """Push an update that speaks of no message."""
        self.world.push(
            self, types.UpdateChannelUserTyping(self.id, types.PeerUser(1), types.SendMessageTypingAction())
        )

    def push_too_long(self) -> None:
        """Push updateChannelTooLong: that there was something, and the client must ask what."""
        self.world.push(self, types.UpdateChannelTooLong(self.id, self.pts))

    # Inside

    @property
    def readable(self) -> bool:
        """Whether its messages may be read by the account."""
        return not self.banned and (self.member or self.username is not None)

    def _belong(self, *, member: bool, banned: bool) -> None:
        with self.world.lock:
            self.member, self.banned = member, banned
            self._change("info", ())

    def _change(self, kind: Kind, ids: tuple[int, ...], *, announce: bool = True) -> None:
        self.pts += len(ids)
        change = Change(kind, self.pts, len(ids), ids, self.world.now())
        if kind != "info":
            self.changes.append(change)
        if announce:
            self.world.announce(self, [change])
