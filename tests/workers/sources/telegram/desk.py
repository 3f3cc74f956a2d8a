"""A desk for the live connection: a Telegram on loopback, the whole program reading it, and what should come of it.

`LiveDesk` is the real tree; `alone.Alone` the connection by itself. What is expected is never written down: it is what
the channels hold (`expected_rows`).
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgpack
from PIL import Image

from tests.instance import DEADLINE_SECONDS, Instance, wait_for
from tests.servers.telegram import Channel, TelegramServer
from tests.servers.telegram.media import Document, Photo

_numbers = itertools.count(1)

QUICK = {
    "reconnect_delay_seconds": 0.2,
    "monitor_seconds": 0.5,
    "reconcile_seconds": 1.0,
    "heartbeat_seconds": 1.0,
    "max_restarts": 1000,
}
"""The [telegram] settings of tests, where a test sets no others: what takes minutes with Telegram takes moments."""


def picture(size: tuple[int, int] = (96, 72)) -> bytes:
    """A JPEG that no other test has: small, but larger than the previews that the server makes."""
    seed = random.Random(next(_numbers))
    image = Image.frombytes("RGB", (8, 6), seed.randbytes(8 * 6 * 3)).resize(size, Image.Resampling.BICUBIC)
    with io.BytesIO() as buffer:
        image.save(buffer, "JPEG", quality=80)
        return buffer.getvalue()


def large_picture(size: tuple[int, int] = (1000, 800)) -> bytes:
    """One that no compression makes small: some 1.5 bytes a pixel, and so several parts of a file."""
    noise = random.Random(next(_numbers)).randbytes(size[0] * size[1] * 3)
    with io.BytesIO() as buffer:
        Image.frombytes("RGB", size, noise).save(buffer, "JPEG", quality=80)
        return buffer.getvalue()


def expected_rows(channel: Channel) -> dict[int, tuple[str, str]]:
    """Caption and digest of every message of the channel that is a picture, by message id."""
    with channel.world.lock:
        posts = list(channel.posts.values())
        return {
            post.id: (post.text, hashlib.sha256(post.media.files[0].data).hexdigest())
            for post in posts
            if post.media and _is_picture(post.media) and not post.unreadable
        }


def _is_picture(media: Any) -> bool:
    if isinstance(media, Photo):
        return True
    kinds = {type(one).__name__ for one in media.attributes} if isinstance(media, Document) else set()
    return bool(kinds) and media.file.mime.startswith("image/") and "DocumentAttributeSticker" not in kinds


def settings_text(server: TelegramServer, channels: Sequence[Channel | str], telegram: dict[str, Any]) -> str:
    """The section [telegram] for this server; `telegram` adds to `QUICK`, and is stronger."""
    values = {
        "api_id": server.api_id,
        "api_hash": server.api_hash,
        "session": telegram.get("session") or server.session_string(),
        "server": server.address,
        "channels": [one if isinstance(one, str) else one.name for one in channels],
        **QUICK,
        **telegram,
    }
    return "\n".join(["[telegram]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())])


class LiveDesk:
    """The program on one state_dir, reading these channels of this server.

    `channels` may hold names as a configuration has them; rows are expected of all channels that are `watched`.
    `telegram` are further settings of that section; what other sections are to be, `start` is told.
    """

    def __init__(
        self, folder: Path, server: TelegramServer, channels: Sequence[Channel | str], **telegram: Any
    ) -> None:
        self.server = server
        self.world = server.world
        self.watched = [one for one in channels if isinstance(one, Channel)]
        self.before: dict[int, int] = {one.id: one.top_id for one in self.watched}
        self.dead: set[tuple[int, int]] = set()
        more = f'{settings_text(server, channels, telegram)}\n[storage]\noriginals = "as_is"'
        self.instance = Instance(folder, folder / "no-export", more)
        self.session = json.loads(
            next(
                line.partition("=")[2]
                for line in self.instance.config.read_text().splitlines()
                if line.startswith("session =")
            )
        )

    @property
    def channel(self) -> Channel:
        """The first one."""
        return self.watched[0]

    # Running

    def start(self, **environment: Any) -> None:
        """Start it; `environment` as SECTION__KEY=value. Failures are tried again after 0.1 s unless that says else."""
        settings = {"RETRY__BASE_SECONDS": 0.1, **environment}
        self.instance.start(**{f"PICTUREDESK__{name}": str(value) for name, value in settings.items()})

    def run(self, **environment: Any) -> None:
        """Start it and wait until every watched channel has been looked at."""
        self.start(**environment)
        self.wait_until_watching()

    def wait_until_watching(self) -> None:
        """Connected, every watched channel seen, every process ready."""

        def look() -> bool:
            body = self.instance.status()
            if not body or not body["stats"]["connected"]:
                return False
            rows = {row["id"] for row in body["channels"] if row.get("address")}
            running = {row["name"] for row in body["tree"] if row["state"] == "running"}
            return rows >= {one.id for one in self.watched} and running >= {"uploader", "pool", "image-1", "connection"}

        self.wait_for("the channels to be watched", look)

    def stop(self) -> None:
        """Stop it as a user does: all is done or in the journal, and nothing runs any more."""
        assert self.instance.stop() == 0
        wait_for("every process to be gone", lambda: not self.instance.left_over(), 10)

    def finish(self) -> None:
        """Everything is published, nobody has done what the server did not expect; then stop, and leave nothing."""
        self.settle()
        self.assert_polite()
        self.stop()
        dead = {f"{job}.{of}" for job, of in self.journal("SELECT id, generation FROM jobs WHERE state = 'dead'")}
        assert self.spooled() <= dead
        assert self.journal("SELECT id FROM jobs WHERE claimed_by IS NOT NULL") == []
        states = self.journal("SELECT state, count(*) FROM jobs GROUP BY state ORDER BY state")
        assert states == self.journal("SELECT state, jobs FROM states WHERE jobs > 0 ORDER BY state")
        assert {state for state, _ in states} <= {"published", "dead"}

    def assert_polite(self) -> None:
        """The server was asked nothing that it does not know, and never by two at once."""
        assert self.server.unexpected == []
        assert self.server.duplicates == 0

    # Asking

    def wait_for(self, what: str, look: Callable[[], Any], seconds: float = DEADLINE_SECONDS) -> Any:
        """`tests.instance.wait_for`, with the state of things in the failure."""
        try:
            return wait_for(what, look, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from None

    def describe(self) -> str:
        """How things stand, for a failure: the differences, the problems, the last warnings of the log."""
        body = self.instance.status() or {}
        told = [one for one in self.instance.records() if one.get("level") in ("warning", "error")][-15:]
        return "\n".join(
            [
                f"differences: {self.differences()}",
                f"problems: {body.get('problems')}",
                f"channels: {body.get('channels')}",
                f"source: {body.get('stats', {}).get('source')}",
                *(json.dumps({**one, "exception": str(one.get("exception", ""))[-600:]}) for one in told),
            ]
        )

    def status(self) -> dict[str, Any]:
        return self.instance.status() or {"stats": {"source": {}}, "problems": [], "channels": [], "tree": []}

    @property
    def connected(self) -> bool:
        return bool(self.status()["stats"].get("connected"))

    def problems(self) -> str:
        """All problems of /status with their remedies, as one text."""
        return "\n".join(f"{one['what']} -> {one['remedy']}" for one in self.status()["problems"])

    def unproven_seconds(self) -> float:
        """How long ago Telegram has answered the monitor, as /status says it, which is in whole seconds."""
        proven = self.status()["stats"]["source"].get("proven_at")
        return time.time() - datetime.fromisoformat(proven).timestamp() if proven else 0.0

    def flooded_until(self) -> str:
        """Until when Telegram wants no more of some requests, as /status says it; empty if it does not."""
        return self.status()["stats"]["source"].get("flooded_until") or ""

    def of(self, channel: Channel) -> dict[str, Any]:
        """What /status says of a channel."""
        return next((row for row in self.status()["channels"] if row.get("id") == channel.id), {})

    def said(self, event: str) -> list[dict[str, Any]]:
        """The log records of that event."""
        return [one for one in self.instance.records() if one.get("event") == event]

    def journal(self, query: str, *values: Any) -> list[Any]:
        """Ask the journal, as rows. A statement that changes it is committed."""
        with closing(sqlite3.connect(self.instance.state_dir / "journal.db", timeout=10)) as database, database:
            return database.execute(query, values).fetchall()

    def job(self, channel: Channel, message_id: int, what: str) -> Any:
        """A column of a message's job; None where there is no job."""
        query = f"SELECT {what} FROM jobs WHERE channel_id = ? AND message_id = ?"
        found = self.journal(query, channel.id, message_id)
        return found[0][0] if found else None

    def ignored(self, channel: Channel) -> dict[str, int]:
        """How many messages of each kind were passed over."""
        found = self.journal("SELECT ignored FROM channels WHERE id = ?", channel.id)
        return dict(msgpack.unpackb(found[0][0])) if found else {}

    def counted(self) -> dict[str, int]:
        """The totals: processed, failed, retried."""
        return dict(self.journal("SELECT name, value FROM totals"))

    def hasten(self) -> None:
        """Let what was put off be due now, instead of in some seconds or minutes."""
        self.journal("UPDATE jobs SET next_at = 0 WHERE next_at > 0")

    def requested(self, name: str) -> int:
        """How often the server was asked that."""
        return self.server.requests[name]

    @contextmanager
    def asked_again(self, name: str, times: int = 1) -> Any:
        """Afterwards, wait until the server has been asked that as many times more."""
        before = self.requested(name)
        yield
        self.wait_for(f"{name} to be asked", lambda: self.requested(name) >= before + times)

    # What came of it

    def rows(self) -> list[dict[str, Any]]:
        """Every row of `messages`, with its picture where it has one."""
        path = self.instance.state_dir / "catalog.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(path, timeout=10)) as database:
            database.row_factory = sqlite3.Row
            try:
                query = "SELECT * FROM messages LEFT JOIN images USING (channel_id, message_id)"
                return [dict(row) for row in database.execute(query)]
            except sqlite3.OperationalError:  # it is being made
                return []

    def row(self, channel: Channel, message_id: int) -> dict[str, Any]:
        """A message's row; empty if there is none."""
        found = (row for row in self.rows() if (row["channel_id"], row["message_id"]) == (channel.id, message_id))
        return next(found, {})

    def differences(self) -> list[str]:
        """What the rows and the channels don't agree upon. Nothing, if all is well."""
        found: list[str] = []
        rows = self.rows()
        doubled = [key for key, n in Counter((row["channel_id"], row["message_id"]) for row in rows).items() if n > 1]
        found += [f"doubled: {key}" for key in doubled]
        for channel in self.watched:
            mine = {row["message_id"]: row for row in rows if row["channel_id"] == channel.id}
            expected = {one: of for one, of in expected_rows(channel).items() if one > self.before[channel.id]}
            expected = {one: of for one, of in expected.items() if (channel.id, one) not in self.dead}
            present = {one: row for one, row in mine.items() if row["deleted_at"] is None}
            found += [f"{channel.title}: {one} is missing" for one in sorted(set(expected) - set(present))]
            found += [f"{channel.title}: {one} is too much" for one in sorted(set(present) - set(expected))]
            for one in sorted(set(expected) & set(present)):
                if (present[one]["caption"], present[one]["sha256"]) != expected[one]:
                    shown = (present[one]["caption"], present[one]["sha256"])
                    found.append(f"{channel.title}: {one} is {shown}, and should be {expected[one]}")
            found += [
                f"{channel.title}: {one} has a picture, and is deleted"
                for one, row in mine.items()
                if row["deleted_at"] is not None and row["sha256"] is not None
            ]
        dead = set(self.journal("SELECT channel_id, message_id FROM jobs WHERE state = 'dead'"))
        found += [f"dead: {one}" for one in sorted(dead - self.dead)]
        found += [f"not dead: {one}" for one in sorted(self.dead - dead)]
        return found

    def settle(self, *also: tuple[Channel, int]) -> None:
        """Wait until the rows are what the channels hold, and nothing waits.

        `also`: these messages have been recorded by then, whatever became of them.
        """

        def look() -> bool:
            known = all(self.job(channel, message_id, "id") for channel, message_id in also)
            return known and not self.differences() and not self.waiting()

        self.wait_for("the rows to be what the channels hold", look)

    def spooled(self) -> set[str]:
        """The spool's folders, but for those of pictures that were replaced or withdrawn, which are swept by and by."""
        current = {f"{job}.{of}" for job, of in self.journal("SELECT id, generation FROM jobs")}
        return {path.name for path in self.instance.job_folders()} & current

    def waiting(self) -> int:
        """How many jobs are on their way."""
        (count,) = self.journal("SELECT count(*) FROM jobs WHERE state NOT IN ('published', 'dead')")[0]
        return int(count)

    def assert_originals(self) -> None:
        """The original of every picture is stored, byte for byte."""
        for row in self.rows():
            if row["sha256"]:
                (file,) = (self.instance.state_dir / "media" / row["sha256"][:2] / row["sha256"]).glob("original.*")
                assert hashlib.sha256(file.read_bytes()).hexdigest() == row["sha256"]
