"""An origin of the tests' own: it hands pictures over, and reads what became of them. And a node that takes them."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from ipc.machines import result
from ipc.machines.handover import Handover, Key, Terms
from ipc.machines.result import Dead, Published
from ipc.posts import LIVE, Channel, Photo, Post
from tests.hosted import HostedInstance
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from workers.publishing.catalog.supabase.queues import Queues

CHANNEL = 4242
POSTED = 1_738_404_000

NODE = """
[machines]
role = "node"
name = "worker"
lease_seconds = {lease_seconds}
{more}
"""


class Origin:
    """Has a project and a bucket, and no tree of its own. Its pictures are rendered as `terms` say."""

    def __init__(self, rows: RowServer, objects: ObjectServer, bucket: str, *, wire_bucket: str = "") -> None:
        self.id = secrets.token_hex(6)
        self.bucket = bucket
        self._client = objects.client()
        self.queues = Queues(rows.url, rows.keys.new_secret)
        self._number = 0
        self.terms = Terms(
            ladder={
                "widths": [120, 240],
                "webp": True,
                "avif": False,
                "preset": "balanced",
                "jpeg_width": 0,
                "preview": False,
                "animations": False,
            },
            limits={"max_bytes": 10**7, "max_dimension": 5000, "max_pixels": 10**7},
            strip=True,
            originals="stripped",
            bucket=bucket,
            wire_bucket=wire_bucket or bucket,
            prefix="pictures/",
            url="https://pictures.example.org/",
            editor_commands=False,
        )

    def close(self) -> None:
        self.queues.close()

    def handover(self, number: int, data: bytes, *, revision: int = 1000, priority: int = LIVE) -> Handover:
        """That message, whose original has these bytes, and lies in the bucket."""
        self._number += 1
        key = Key(self.id, CHANNEL, number, 1, self._number)
        name, digest = f"pictures/wire/{secrets.token_hex(16)}", hashlib.sha256(data).hexdigest()
        self._client.put_object(Bucket=self.terms.wire_bucket, Key=name, Body=data)
        locator = {"object": name, "sha256": digest, "bytes": len(data)}
        photo = Photo(
            None,
            f"queue:{key}",
            locator,
            source="queue",
            bytes=len(data),
            width=None,
            height=None,
            mime=None,
            sha256=digest,
        )
        post = Post(CHANNEL, number, POSTED + number, None, None, f"caption {number}", photo, revision=revision)
        return Handover(key, Channel(CHANNEL, "News", "news"), post, name, digest, len(data), self.terms, priority)

    def send(self, *handovers: Handover) -> None:
        self.queues.hand_over([("live", one.packed()) for one in handovers])

    def hand_over(self, number: int, data: bytes, **fields: Any) -> Handover:
        handover = self.handover(number, data, **fields)
        self.send(handover)
        return handover

    def results(self) -> dict[int, Published | Dead]:
        """What became of them so far, by message. One that is told twice is an error."""
        found = [result.unpacked(one.result) for one in self.queues.results(self.id, [], 500)]
        by_message = {one.key.message_id: one for one in found}
        assert len(by_message) == len(found), "a result is told twice"
        return by_message

    def queued(self) -> int:
        """How many pictures are in the queues, of all origins."""
        return sum(one.length for one in self.queues.machines().queues)

    def in_hand(self) -> int:
        """How many of them are under lease."""
        return sum(one.taken for one in self.queues.machines().queues)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """What the nodes say of themselves, by name."""
        return {one.node: one.about for one in self.queues.machines().nodes}

    def take(self, count: int = 10, lease_seconds: int = 60) -> list[Any]:
        """As another node would."""
        return self.queues.take("other", {}, count, lease_seconds)


class Node(HostedInstance):
    """A tree as a node."""

    def __init__(
        self,
        folder: Path,
        objects: ObjectServer,
        rows: RowServer,
        bucket: str,
        *,
        lease_seconds: float = 60,
        more: str = "",
        **options: Any,
    ) -> None:
        config = NODE.format(lease_seconds=lease_seconds, more=more)
        super().__init__(folder, folder, objects, rows, bucket, more=config, **options)

    def journal(self, query: str) -> list[tuple[Any, ...]]:
        """What it has; nothing while it is not made yet."""
        try:
            with closing(sqlite3.connect(f"file:{self.state_dir / 'journal.db'}?mode=ro", uri=True)) as database:
                return database.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []

    def is_empty(self) -> bool:
        """Whether it has nothing in hand, and the journal no job."""
        return self.journal("SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM taken)") == [(0,)]

    def counters(self) -> dict[str, int]:
        """What became of all that it took, of all origins together."""
        names = ("published", "dead", "returned", "lost")
        (sums,) = self.journal(f"SELECT {', '.join(f'coalesce(sum({name}), 0)' for name in names)} FROM origins")
        return dict(zip(names, sums, strict=True))
