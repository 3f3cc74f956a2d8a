"""Instances that publish to real servers of the tests' own, and pictures that come to them ready to be published."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack
from PIL import Image

from ipc.files.spool import STRIPPED, Spool
from ipc.intake import take
from ipc.jobs import Job
from ipc.journal import Journal, lookup
from ipc.posts import Channel, Page, Photo, Post
from tests.instance import Instance
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from workers.publishing.storage.r2 import CACHE_CONTROL
from workers.stripping import strip

FED = 4321
"""The channel of the pictures that are fed."""

POSTED = 1_738_404_000

CONFIG = """
[images]
widths = {widths}
[storage]
backend = "r2"
endpoint = "{endpoint}"
bucket = "{bucket}"
prefix = "pictures/"
[catalog]
backend = "supabase"
url = "{url}"
[breaker]
failures = 2
timeout_seconds = 0.5
{more}
"""


class HostedInstance(Instance):
    """An instance with R2 and Supabase. Its secrets go through the environment: `secrets` are those variables."""

    def __init__(
        self,
        folder: Path,
        export: Path,
        objects: ObjectServer,
        rows: RowServer,
        bucket: str,
        *,
        endpoint: str = "",
        url: str = "",
        more: str = "",
        workers: int = 1,
        widths: Sequence[int] = (100, 200),
    ) -> None:
        config = CONFIG.format(
            endpoint=endpoint or objects.endpoint, bucket=bucket, url=url or rows.url, more=more, widths=list(widths)
        )
        super().__init__(folder, export, config, workers=workers)
        self.client = objects.client()
        self._rows = rows
        self.bucket = bucket
        self.secrets = {
            "PICTUREDESK__STORAGE__ACCESS_KEY_ID": objects.access_key_id,
            "PICTUREDESK__STORAGE__SECRET_ACCESS_KEY": objects.secret_access_key,
            "PICTUREDESK__CATALOG__KEY": rows.keys.new_secret,
        }

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(**{**self.secrets, **more})

    def wait_until_running(self) -> dict[str, int]:
        pids = super().wait_until_running()
        self.assert_no_secret(json.dumps(self.status()))
        return pids

    def assert_no_secret(self, *texts: str) -> None:
        """None of the secrets is in these texts, nor in the log so far."""
        for text in (*texts, self.log.read_text(errors="replace") if self.log.exists() else ""):
            for name, secret in self.secrets.items():
                assert secret not in text, f"{name} is told"

    # What came of it

    def rows(self) -> list[dict[str, Any]]:
        """The published pictures: rows of `messages` and `images` joined, in the shape of SQLite's."""
        found = self._rows.sql(
            "select * from public.messages join public.images using (channel_id, message_id)"
            " order by channel_id, message_id"
        )
        return [{name: plain(value) for name, value in row.items()} for row in found]

    def objects(self) -> dict[str, int]:
        """Size by key of all that is in the bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}

    def assert_published(self, message_ids: list[int]) -> None:
        """Exactly these messages have their one row, and every object that a row names is whole and served right."""
        rows = self.rows()
        assert [row["message_id"] for row in rows] == message_ids
        named: dict[str, tuple[int, str]] = {}
        for row in rows:
            original = f"pictures/{row['sha256'][:2]}/{row['sha256']}/stripped.jpg"
            named[original] = (len(self.body_of(original)), row["mime"])
            for one in row["renditions"]:
                named[one["key"]] = (one["bytes"], f"image/{one['format']}")
                assert one["url"].endswith(f"/{self.bucket}/{one['key']}")
                with Image.open(io.BytesIO(self.body_of(one["key"]))) as image:
                    image.load()
                    assert image.size == (one["width"], one["height"])
            keys = [one["key"] for one in row["renditions"]]
            (preview,) = {re.sub(r"[0-9]+-([0-9a-f]{8})\.[a-z]+$", r"preview-\1.jpg", key) for key in keys}
            named[preview] = (len(self.body_of(preview)), "image/jpeg")
            assert strip(self.body_of(original), "jpg") == self.body_of(original)
        for key, (size, content_type) in named.items():
            head = self.client.head_object(Bucket=self.bucket, Key=key)
            assert (head["ContentLength"], head["ContentType"]) == (size, content_type)
            assert head["CacheControl"] == CACHE_CONTROL
        assert set(self.objects()) == set(named)

    def body_of(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()


def plain(value: Any) -> Any:
    """A value as SQLite's catalogue has it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


class Feed:
    """Gives an instance pictures that are rendered already, as if its pool had just made them.

    They are no real ones: who publishes them never looks inside. They are posts of an account, so that the instance,
    which reads an export, does not ask for them anew.
    """

    def __init__(self, state_dir: Path) -> None:
        self.journal = Journal.open(state_dir / "journal.db")
        self.spool = Spool(state_dir / "spool")
        self._last = 0

    def begin_at(self, number: int) -> None:
        """Give the pictures that follow message ids above this one."""
        self._last = number

    def close(self) -> None:
        self.journal.close()

    def pictures(self, count: int, *, bytes_each: int = 2000, stored: bool = False) -> list[int]:
        """`count` pictures, all at once; their message ids. `stored`: they want nothing but their rows."""
        numbers = range(self._last + 1, self._last + 1 + count)
        self._last += count
        posts = tuple(map(self._post, numbers))
        take(self.journal, Page(Channel(FED, "Fed"), posts, numbers[0], numbers[-1], {}), POSTED)
        jobs = [self.of(number) for number in numbers]
        facts = [self._write(job, bytes_each) for job in jobs]
        with self.journal.transaction():
            for job, values in zip(jobs, facts, strict=True):
                address = {"id": job.id, "generation": job.generation, "step": b""}
                self.journal.run("to_fetched", **address, sha256=values.pop("sha256"), bytes=bytes_each)
                self.journal.run("to_rendered", **address, **values)
                if stored:
                    jobs_json = json.dumps([[job.id, job.generation]])
                    self.journal.run("mark_stored", jobs=jobs_json, step=b"").fetchall()
                    self.spool.remove(job.id, job.generation)
        return list(numbers)

    def edit(self, number: int, caption: str) -> None:
        """The message comes again with another caption."""
        post = replace(self._post(number), caption=caption, edited_at=POSTED + number + 9)
        take(self.journal, Page(Channel(FED, "Fed"), (post,), number, number, {}), POSTED)

    def _post(self, number: int) -> Post:
        photo = Photo(number, f"id:{number}", {"fed": number}, None, None, None, None, source="telegram")
        return Post(FED, number, POSTED + number, None, None, f"fed {number}", photo)

    def _write(self, job: Job, size: int) -> dict[str, Any]:
        """Write its files; what the journal is told of them."""

        def content(name: str) -> bytes:
            return f"{name} of {job.id}. ".encode().ljust(size, b"x")

        with self.spool.original_being_made(job.id, job.generation) as part:
            part.write_bytes(content("original"))
        renditions = [[width, width, name, size] for width in (100, 200) for name in ("webp", "avif")]
        for width, _, name, _ in renditions:
            (self.spool.folder(job.id, job.generation) / f"{width}.{name}").write_bytes(content(f"{width}.{name}"))
        (self.spool.folder(job.id, job.generation) / STRIPPED).write_bytes(content("stripped"))
        return {
            "sha256": hashlib.sha256(content("original")).hexdigest(),
            "mime": "image/jpeg",
            "extension": "jpg",
            "width": 200,
            "height": 200,
            "renditions": msgpack.packb(renditions),
            "rendition_bytes": size * (len(renditions) + 1),
            "stripped_bytes": size,
            "appearance": None,
            "preview_bytes": None,
            "recipe": None,
        }

    def of(self, number: int) -> Job:
        job = lookup.known(self.journal, FED, number)
        assert job is not None
        return job

    def states(self, numbers: Sequence[int]) -> set[tuple[str, bool]]:
        """State, and whether their objects are stored."""
        return {(job.state, job.stored) for job in map(self.of, numbers)}

    def keys(self, numbers: Sequence[int], prefix: str = "pictures/") -> set[str]:
        """The objects that there should be of these."""
        files = ("100.webp", "100.avif", "200.webp", "200.avif", "stripped.jpg")
        jobs = map(self.of, numbers)
        return {f"{prefix}{str(job.sha256)[:2]}/{job.sha256}/{file}" for job in jobs for file in files}
