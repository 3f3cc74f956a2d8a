"""A live account with all that can go wrong between Telegram and us, in random order, and a kill -9 now and then.

Some hundreds of posts in three channels, with edits and deletions, and faults in between; one channel is backfilled
meanwhile. When all faults are over, the catalogue shows exactly what the channels show: each photo once and as it is
now, with its caption, formatting, origin and dates, at most a tombstone of what was deleted, and nothing else.
"""

from __future__ import annotations

import hashlib
import heapq
import io
import itertools
import json
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image
from telethon.tl import types

from tests.instance import DEADLINE_SECONDS, Instance, wait_for
from tests.lengths import length, seed_of_the_run
from tests.servers.telegram import HOME_DC, OTHER_DC, Channel, File, TelegramServer
from tests.servers.telegram.faults import FileFault, UpdateFault
from tests.servers.telegram.media import Document, Photo
from tests.servers.telegram.posts import Entity, Post, PostOptions
from workers.stripping import strip

LENGTH: Final = length(0.6, 5.0)
"""How many times the steps of `rage` there are."""

LONGEST_PAUSE_SECONDS: Final = 0.1
"""Between two steps. Nothing is waited for by it: it spreads the steps over the program's work."""

SETTLE_SECONDS: Final = 2 * DEADLINE_SECONDS

CONFIG: Final = '''
[images]
widths = [320]
[telegram]
api_id = {server.api_id}
api_hash = "{server.api_hash}"
session = "{session}"
server = "{server.address}"
channels = [{channels}]
reconnect_delay_seconds = 0.2
monitor_seconds = 0.5
reconcile_messages = 400
reconcile_seconds = 1
backfill_on_start = true
public_key = """
{server.public_key}"""
'''

Message = tuple[int, int]
"""Channel and message id."""

Shown = tuple[Any, ...]
"""Caption, formatting, album, origin, what it answers, when it was posted, and the photo's id and sha256."""


@pytest.mark.chaos
def test_the_catalogue_shows_what_the_channels_show(make_instance: Callable[..., Instance]) -> None:
    seed = seed_of_the_run()
    dice = random.Random(seed)
    with TelegramServer() as server:
        feed = Feed(dice, server)
        program = Program(make_instance, server, feed.channels, dice)
        feed.post_before()
        program.begin(feed.channels)
        rage(dice, feed, program, Faults(dice, server, feed))
        server.faults.clear()
        server.start()
        feed.make_all_readable()
        program.settle(feed)
        program.begin(feed.channels)  # once more: it changes nothing, and sweeps what killed processes have left
        program.settle(feed)
        assert program.instance.stop() == 0
        assert server.unexpected == []
        assert server.duplicates == 0
    assert feed.differences(program.instance) == [], f"seed {seed}"
    assert_objects(program.instance, feed.digests)
    assert_done(program.instance)
    assert_calm(program.instance)


def rage(dice: random.Random, feed: Feed, program: Program, faults: Faults) -> None:
    """All that happens, in random order. What lasts ends some steps later."""
    counts: dict[Callable[[], Callable[[], object] | None], int] = {
        feed.post: 200,  # an album is one step, but several messages
        feed.edit_caption: 40,
        feed.edit_photo: 20,
        feed.edit_phantom: 20,
        feed.delete: 25,
        feed.delete_many: 2,
        feed.become_unreadable: 3,
        faults.drop: 8,
        faults.swallow: 2,
        faults.close_other_dc: 2,
        faults.migrate: 3,
        faults.refuse: 3,
        faults.be_down: 3,
        faults.mute: 3,
        faults.spoil_updates: 10,
        faults.flood: 6,
        faults.fail: 8,
        faults.expire_references: 4,
        faults.spoil_file: 10,
        faults.lose_differences: 5,
        faults.change_salts: 2,
        program.kill_connection: 4,
        program.pause: 2,
        program.kill_root: 2,
    }
    steps = [step for step, count in counts.items() for _ in range(round(count * LENGTH))]
    dice.shuffle(steps)
    started, number, lasting = time.monotonic(), itertools.count(), list[tuple[int, int, Callable[[], object]]]()
    for step in range(len(steps)):
        while lasting and lasting[0][0] <= step:
            heapq.heappop(lasting)[2]()
        end = steps[step]()
        print(f"{time.monotonic() - started:6.2f} {steps[step].__qualname__}")
        if end is not None:
            heapq.heappush(lasting, (step + dice.randint(3, 30), next(number), end))
        time.sleep(dice.uniform(0.0, LONGEST_PAUSE_SECONDS))
    for _, _, end in sorted(lasting, key=lambda one: one[:2]):
        end()


class Feed:
    """Three channels, and what is posted, edited and deleted there. `digests`: of all pictures that ever were."""

    def __init__(self, dice: random.Random, server: TelegramServer) -> None:
        self._dice = dice
        self.world = server.world
        self.channels = [
            self.world.add_channel("Public", "publicdesk"),
            self.world.add_channel("Invited", invite="AbCdEf0123456789"),
            self.world.add_channel("Not joined", "notjoined", member=False),  # nothing is pushed of this one
        ]
        self.digests: set[str] = set()
        self.edited: dict[Message, set[str]] = {}
        self._files: list[File] = []
        self._deleted: set[Message] = set()
        self._unreadable: set[tuple[Channel, int]] = set()

    def post_before(self) -> None:
        """What was posted before the program was ever started: it is backfilled while the rest happens."""
        for channel in self.channels:
            for number in range(40):
                date = 1_700_000_000 + number
                if number % 4:
                    channel.post_text(f"from before {number}", date=date)
                else:
                    channel.post_photo(self._file(), f"from before {number}", date=date)

    # Steps

    def post(self) -> None:
        channel, dice = self._dice.choice(self.channels), self._dice
        match dice.choices(range(7), weights=[50, 12, 8, 14, 5, 5, 6])[0]:
            case 0:
                text = self._text()
                channel.post_photo(self._file(), text, progressive=dice.random() < 0.2, **self._options(channel, text))
            case 1:
                parts = dice.choice([1, 1, 2])
                channel.post_album([self._file() for _ in range(dice.randint(2, 6))], self._text(), parts=parts)
            case 2:
                channel.post_document(self._picture("PNG"), "image/png", "drawing.png", self._text())
            case 3:
                channel.post_text(self._text())
            case 4:
                channel.post_sticker(self._picture("WEBP"))
            case 5:
                channel.post_service()
            case _:
                channel.post_document(dice.randbytes(500), "application/zip", "data.zip", self._text())

    def edit_caption(self) -> None:
        if found := self._some():
            text = self._text()
            found[0].edit(found[1], caption=text, entities=self._entities(text))
            self._edited(found)

    def edit_photo(self) -> None:
        """Another picture; what was a text becomes a photo by it."""
        if found := self._some():
            found[0].edit(found[1], photo=self._file())
            self._edited(found)

    def edit_phantom(self) -> None:
        if found := self._some():
            found[0].react(found[1])

    def delete(self) -> None:
        if found := self._some():
            self._delete(found[0], [found[1]])

    def delete_many(self) -> None:
        channel = self._dice.choice(self.channels)
        ids = self._ids(channel)
        start = self._dice.randrange(len(ids)) if ids else 0
        self._delete(channel, ids[start : start + 30])

    def become_unreadable(self) -> Callable[[], None] | None:
        """A message that is newer than the program's copy of the schema, for a while."""
        found = self._some()
        if found is None:
            return None
        channel, message_id = found
        channel.make_unreadable(message_id)
        self._unreadable.add(found)

        def end() -> None:
            self._unreadable.discard(found)
            if message_id in channel.posts:
                channel.make_unreadable(message_id, False)

        return end

    def make_all_readable(self) -> None:
        assert not self._unreadable, "whatever lasts has ended"

    def spoilable(self) -> File:
        """Post a photo whose file was never asked for."""
        file = self.world.file(self._jpeg())
        self._dice.choice(self.channels).post_photo(file, self._text())
        return file

    # Parts of steps

    def _options(self, channel: Channel, text: str) -> PostOptions:
        """Formatting, an origin, an answered message: now and then."""
        options: PostOptions = {"entities": self._entities(text)}
        match self._dice.randrange(8):
            case 0:
                options["forwarded_from"] = (1234567, self._dice.randint(1, 99))
            case 1:
                options["forwarded_from"] = "Some Body"
            case 2 if channel.top_id:
                options["reply_to"] = channel.top_id
        return options

    def _entities(self, text: str) -> list[Entity]:
        if not text or self._dice.random() < 0.5:
            return []
        bold: Entity = ("bold", 0, min(4, len(text)))
        link: Entity = ("text_url", 0, min(4, len(text)), "https://example.org/")
        return [self._dice.choice([bold, link])]

    def _edited(self, found: tuple[Channel, int]) -> None:
        """Note when: a reaction may have moved the date since, and then nobody is told it."""
        channel, message_id = found
        edited = channel.posts[message_id].edit_date
        assert edited is not None
        self.edited.setdefault((channel.id, message_id), set()).add(_iso(edited))

    def _some(self) -> tuple[Channel, int] | None:
        """Some message of the last ones."""
        channel = self._dice.choice(self.channels)
        ids = self._ids(channel)
        return (channel, self._dice.choice(ids[-40:])) if ids else None

    def _ids(self, channel: Channel) -> list[int]:
        return [one for one in channel.ids if not channel.posts[one].action]

    def _delete(self, channel: Channel, message_ids: list[int]) -> None:
        self._deleted |= {(channel.id, one) for one in message_ids}
        channel.delete(message_ids)

    def _text(self) -> str:
        return self._dice.choice(["", f"number {self._dice.randrange(10**6)}", "Ünïcödé 🙂\nand a second line"])

    def _file(self) -> File:
        """A photo's file: mostly a new one, at times one that was posted before, or the same bytes once more."""
        chance = self._dice.random()
        if self._files and chance < 0.1:
            old = self._dice.choice(self._files)
            return old if chance < 0.05 else self.world.file(old.data)
        self._files.append(self.world.file(self._jpeg(), dc=self._dice.choice([HOME_DC, HOME_DC, HOME_DC, OTHER_DC])))
        return self._files[-1]

    def _jpeg(self) -> bytes:
        return self._picture("JPEG")

    def _picture(self, form: str) -> bytes:
        """A small one, but larger than the server's previews: a client takes the size with the most pixels."""
        width, height = self._dice.randint(100, 130), self._dice.randint(70, 100)
        with io.BytesIO() as buffer:
            Image.frombytes("L", (width, height), self._dice.randbytes(width * height)).save(buffer, form)
            data = buffer.getvalue()
        self.digests.add(hashlib.sha256(data).hexdigest())
        return data

    # What there should be

    def expected(self) -> dict[Message, Shown]:
        """Every photo that is there."""
        with self.world.lock:
            posts = {
                (channel.id, one.id): (one, _file_of(one))
                for channel in self.channels
                for one in channel.posts.values()
            }
            return {message: _shown(post, file) for message, (post, file) in posts.items() if file is not None}

    def differences(self, instance: Instance) -> list[str]:
        """Between what the catalogue shows and what there should be."""
        expected, shown, tombstones, edited = self.expected(), *catalogue(instance)
        return [
            *(f"{one}: missing" for one in expected.keys() - shown.keys()),
            *(f"{one}: not expected" for one in shown.keys() - expected.keys()),
            *(
                f"{one}: {shown[one]} and not {expected[one]}"
                for one in shown.keys() & expected.keys()
                if shown[one] != expected[one]
            ),
            *(
                f"{one}: edited at {at}, and not at one of {self.edited.get(one)}"
                for one, at in edited.items()
                if at is not None and at not in self.edited.get(one, ())
            ),
            *(f"{one}: a tombstone, but it was not deleted" for one in tombstones - self._deleted),
        ]


KINDS: Final = {"bold": "bold", "text_url": "text_link"}


def _shown(post: Post, file: File) -> Shown:
    """What the catalogue should show of it."""
    entities = [
        {"type": KINDS[kind], "offset": offset, "length": length, **({"url": url[0]} if url else {})}
        for kind, offset, length, *url in post.entities
    ]
    posted = int(post.date.timestamp())
    origin: dict[str, Any] | None = None
    match post.forwarded_from:
        case str(name):
            origin = {"name": name, "date": posted}
        case (channel_id, message_id):
            origin = {"channel_id": channel_id, "message_id": message_id, "date": posted}
    sha256 = hashlib.sha256(file.data).hexdigest()
    return (post.text, entities, post.grouped_id, origin, post.reply_to, _iso(post.date), file.id, sha256)


def _iso(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%SZ")


def _file_of(post: Post) -> File | None:
    """The picture of a post, if it is one that is taken."""
    match post.media:
        case Photo(file=file):
            return file
        case Document(file=file, attributes=attributes) if file.mime.startswith("image/"):
            is_sticker = any(isinstance(one, types.DocumentAttributeSticker) for one in attributes)
            return None if is_sticker else file
    return None


class Faults:
    """What goes wrong on Telegram's side and on the way."""

    def __init__(self, dice: random.Random, server: TelegramServer, feed: Feed) -> None:
        self._dice = dice
        self._server = server
        self._feed = feed

    def drop(self) -> None:
        self._server.drop_connections()

    def swallow(self) -> Callable[[], None]:
        """Nothing is answered, and nothing closed."""
        return self._server.faults.black_hole().clear

    def close_other_dc(self) -> Callable[[], None]:
        self._server.close_data_centre(OTHER_DC)
        return self._server.accept_connections

    def migrate(self) -> None:
        """Files lie elsewhere than their messages say."""
        dc = self._dice.choice([HOME_DC, OTHER_DC])
        self._server.faults.rpc("upload.getFile", error=f"FILE_MIGRATE_{dc}", times=self._dice.randint(1, 2))

    def refuse(self) -> None:
        self._server.refuse_connections(self._dice.uniform(0.1, 1.0))
        self._server.drop_connections()

    def be_down(self) -> Callable[[], None]:
        self._server.stop()
        return self._server.start

    def mute(self) -> Callable[[], None]:
        return self._server.faults.updates("lost", channel=self._channel()).clear

    def spoil_updates(self) -> None:
        how: UpdateFault = self._dice.choice(["doubled", "swapped", "unreadable", "lost"])
        self._server.faults.updates(how, times=self._dice.randint(1, 4), channel=self._channel())

    def flood(self) -> None:
        self._server.faults.rpc(self._method(), error="FLOOD_WAIT_1", times=self._dice.randint(1, 2))

    def fail(self) -> None:
        error = self._dice.choice(["INTERNAL", "RPC_CALL_FAIL", "Timeout"])
        self._server.faults.rpc(self._method(), error=error, times=self._dice.randint(1, 2))

    def expire_references(self) -> None:
        self._feed.world.expire_references()

    def spoil_file(self) -> None:
        """Once: the same damage twice is a verdict."""
        how: FileFault = self._dice.choice(["truncated", "corrupt", "empty"])
        with self._feed.world.lock:  # nobody asks for it before the rule is there
            self._server.faults.file(how, times=1, file_id=self._feed.spoilable().id)

    def lose_differences(self) -> None:
        self._server.faults.difference_too_long(times=self._dice.randint(1, 3))
        if channel := self._channel():
            channel.push_too_long()

    def change_salts(self) -> None:
        self._server.change_salts()

    def _channel(self) -> Channel | None:
        return self._dice.choice([None, *self._feed.channels])

    def _method(self) -> str:
        return self._dice.choice(
            [
                "upload.getFile",
                "messages.getHistory",
                "channels.getMessages",
                "messages.getPeerDialogs",
                "channels.getChannels",
                "users.getUsers",
            ]
        )


class Program:
    """The real tree, and what is done to it. Its session is a file or a string."""

    def __init__(
        self,
        make_instance: Callable[..., Instance],
        server: TelegramServer,
        channels: list[Channel],
        dice: random.Random,
    ) -> None:
        self._dice = dice
        is_file = dice.random() < 0.5
        names = ", ".join(f'"{channel.name}"' for channel in channels)
        session = "telegram.session" if is_file else server.session_string()
        more = CONFIG.format(server=server, session=session, channels=names)
        self.instance: Instance = make_instance(Path("/nonexistent"), more)
        config = self.instance.config
        config.write_text(config.read_text().replace("base_seconds = 0.2", "base_seconds = 0.1"))
        if is_file:
            self.instance.state_dir.mkdir()
            server.session_file(self.instance.state_dir / session)
        self._is_up = False

    def begin(self, channels: list[Channel]) -> None:
        """Start it, anew if it runs; wait until it has seen every channel."""

        def seen() -> set[int]:
            return {one["id"] for one in (self.instance.status() or {"channels": []})["channels"] if one.get("cursor")}

        if self._is_up:
            assert self.instance.stop() == 0
        self._start()
        wait_for("every channel to be seen", lambda: seen() == {channel.id for channel in channels})

    # Steps

    def kill_connection(self) -> None:
        if not self._is_up:
            return
        self.instance.strike("connection")

    def pause(self) -> Callable[[], None] | None:
        """Stopped in order, and started again some steps later."""
        if not self._is_up:
            return None
        wait_for("the tree to answer", self.instance.status)
        self._is_up = False
        assert self.instance.stop() == 0
        return self._start

    def kill_root(self) -> Callable[[], None] | None:
        """kill -9 of the root, and started again some steps later, or at once."""
        if not self._is_up:
            return None
        self._is_up = False
        self.instance.kill()
        if self._dice.random() < 0.5:
            self._start()
            return None
        self.instance.wait_until_gone()
        return self._start

    def _start(self) -> None:
        self.instance.start()
        self._is_up = True

    # The end

    def settle(self, feed: Feed) -> None:
        """Wait until the catalogue is as it should be and nothing is under way, or until that takes too long."""
        until = time.monotonic() + SETTLE_SECONDS
        while feed.differences(self.instance) or self._is_busy():
            if time.monotonic() > until:
                body: dict[str, Any] = self.instance.status() or {}
                pytest.fail("\n".join(["it does not settle", *feed.differences(self.instance), str(body)]))
            with closing(sqlite3.connect(self.instance.state_dir / "journal.db", timeout=30)) as journal, journal:
                journal.execute("UPDATE jobs SET next_at = 0 WHERE next_at > 0")  # what was put off: its time has come
            time.sleep(0.25)

    def _is_busy(self) -> bool:
        body = self.instance.status()
        return body is None or body["stats"]["queue_size"] > 0


def catalogue(instance: Instance) -> tuple[dict[Message, Shown], set[Message], dict[Message, str | None]]:
    """What the catalogue shows, the messages of which it has a tombstone, and when those that it shows were edited."""
    path = instance.state_dir / "catalog.db"
    if not path.exists():
        return {}, set(), {}
    with closing(sqlite3.connect(path, timeout=30)) as database:
        database.row_factory = sqlite3.Row
        rows = database.execute("SELECT * FROM messages LEFT JOIN images USING (channel_id, message_id)").fetchall()
    assert all(row["sha256"] is None for row in rows if row["deleted_at"]), "a tombstone has no image"
    present = {(row["channel_id"], row["message_id"]): row for row in rows if row["deleted_at"] is None}
    shown = {
        message: (
            row["caption"],
            json.loads(row["entities"]),
            row["grouped_id"],
            json.loads(row["forwarded_from"]) if row["forwarded_from"] else None,
            *(row[name] for name in ("reply_to", "posted_at", "photo_id", "sha256")),
        )
        for message, row in present.items()
    }
    tombstones = {(row["channel_id"], row["message_id"]) for row in rows} - shown.keys()
    return shown, tombstones, {message: row["edited_at"] for message, row in present.items()}


def assert_objects(instance: Instance, digests: set[str]) -> None:
    """Every picture's objects are there and whole; besides, at most those of pictures that are not shown any more."""
    media = instance.state_dir / "media"
    found = {str(file.relative_to(media)) for file in media.rglob("*") if file.is_file()}
    rows = instance.rows()
    named = {one["key"] for row in rows for one in (*row["renditions"], json.loads(row["preview"]))}
    for row in rows:
        folder = f"{row['sha256'][:2]}/{row['sha256']}"
        (original,) = (key for key in found if key.startswith(f"{folder}/stripped."))
        assert strip((media / original).read_bytes(), original.rpartition(".")[2]) == (media / original).read_bytes()
        assert all((media / one["key"]).stat().st_size == one["bytes"] for one in row["renditions"])
        named.add(original)
    assert named <= found
    shown = {row["sha256"] for row in rows}
    assert {key.split("/")[1] for key in found - named} <= digests - shown


def assert_done(instance: Instance) -> None:
    """No process and no file of the spool is left, and every job has come to its end."""
    instance.wait_until_gone()
    assert instance.job_folders() == []
    with closing(sqlite3.connect(instance.state_dir / "journal.db")) as journal:
        assert journal.execute("SELECT DISTINCT state FROM jobs").fetchall() == [("published",)]
        assert journal.execute("SELECT count(*) FROM jobs WHERE claimed_by IS NOT NULL").fetchone() == (0,)


def assert_calm(instance: Instance) -> None:
    """Whatever happened was foreseen: no process ended with a traceback, and asyncio has nothing to complain of."""
    records = instance.records()
    assert [one for one in records if one["event"] == "process.crashed" or one.get("logger") == "asyncio"] == []
