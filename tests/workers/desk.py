"""A desk for one worker: a real journal, a real spool, real mailboxes, and the supervisor's side of them."""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

from ipc.files.spool import PREVIEW, STRIPPED, WORKPLACES, Spool
from ipc.files.workplace import Workplace
from ipc.intake import take
from ipc.jobs import EXTENSIONS, PREVIEW_SIZE, Appearance, Job
from ipc.journal import Journal, lookup, transitions
from ipc.posts import Channel, Page, Photo, Post
from ipc.transport.context import Context
from ipc.transport.mailbox import Inbox, Outbox, pair
from ipc.transport.messages import JobDone, Message, Report, Wake
from ipc.transport.router import CpuUsage

CHANNEL = 77
POSTED = 1_738_404_000


def webp(width: int, height: int, more: bytes = b"") -> bytes:
    """What begins as a WebP of these sides."""
    body = (
        b"VP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body) + len(more)) + b"WEBP" + body + more


def avif(width: int, height: int) -> bytes:
    """What begins as an AVIF of these sides."""
    made = struct.pack(">I4sIII", 20, b"ispe", 0, width, height)
    for kind, before in ((b"ipco", b""), (b"iprp", b""), (b"meta", bytes(4))):
        made = struct.pack(">I4s", 8 + len(before) + len(made), kind) + before + made
    return struct.pack(">I8s", 12, b"ftypavif") + made


def jpeg(width: int, height: int) -> bytes:
    """What begins as a JPEG of these sides."""
    return b"\xff\xd8\xff\xe0" + struct.pack(">H", 16) + bytes(14) + struct.pack(">HHBHH", 0xFFC0, 17, 8, height, width)


LADDER = {"320.webp": webp(320, 200), "320.avif": avif(320, 200), "640.webp": webp(640, 200, b"larger")}
"""The renditions of a picture on this desk, beside which lies a stripped original: bytes by file name. Whoever stores
them never looks inside."""


WHOLE_LADDER = LADDER | {"640.jpg": jpeg(640, 200), PREVIEW: jpeg(*PREVIEW_SIZE)}
"""With a JPEG and the picture for link cards."""

RECIPE = "0a1b2c3d"
"""What an image worker of this desk says that it made them by."""


APPEARANCE = Appearance(bytes(range(21)), "#0a1b2c", 2**64 - 5, has_alpha=False, frames=1, animated=False)
"""And of its looks."""


class Desk:
    """A state_dir, and the context of the one child that works on it. `journal` is the test's own connection.

    `recipe` is that of what is rendered from now on; empty: none, as earlier versions did. `ladder`: its files.
    """

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.journal = Journal.open(state_dir / "journal.db")
        self.spool = Spool(state_dir / "spool")
        self.media = state_dir / "media"
        self.recipe = ""
        self.ladder = LADDER
        self._inbox, to_child = pair()
        from_child, self._outbox = pair()
        self._to_child = Outbox(to_child, blocking=False)
        self._from_child = Inbox(from_child)
        self._stop_reader, self._stop_writer = os.pipe()

    def context(self, **options: Any) -> Context:
        """What the child gets; the same mailboxes each time."""
        return Context(
            name="child",
            incarnation=1,
            options={"state_dir": str(self.state_dir), "retry": {"max_attempts": 2, "base_seconds": 60.0}, **options},
            inbox=Inbox(self._inbox),
            outbox=Outbox(self._outbox, blocking=True),
            stop_fd=self._stop_reader,
        )

    def close(self) -> None:
        self.journal.close()
        for end in (self._inbox, self._outbox, self._to_child, self._from_child):
            end.close()
        os.close(self._stop_reader)
        os.close(self._stop_writer)

    # The supervisor's side

    def ask_to_stop(self) -> None:
        os.write(self._stop_writer, b"\x0f")

    def clear_stop(self) -> None:
        """Take it back: for another incarnation."""
        os.read(self._stop_reader, 1)

    def send(self, message: Message) -> None:
        assert self._to_child.send(message)

    def said(self) -> list[Message]:
        """What the child has said since this was last asked."""
        messages = []
        while (message := self._from_child.receive()) is not None:
            messages.append(message)
        return messages

    def reported(self) -> dict[str, Any]:
        """The facts of the last report, those on feeds and gallery aside; empty if there was none."""
        reports = [one.facts for one in self.said() if isinstance(one, Report) and one.topic not in ("feeds", "site")]
        return reports[-1] if reports else {}

    def wakes(self) -> list[str]:
        return [message.state for message in self.said() if isinstance(message, Wake)]

    # Jobs

    def take(self, number: int, *, caption: str = "", picture: str = "a", edited_at: int | None = None) -> Job:
        """Have message `number` come in, as new or as an edit, with a picture of that name; its job."""
        post = Post(
            channel_id=CHANNEL,
            message_id=number,
            posted_at=POSTED + number,
            edited_at=edited_at,
            grouped_id=None,
            caption=caption or f"caption {number}",
            photo=Photo(
                photo_id=None,
                identity=f"file:{picture}",
                locator={"export": "nowhere", "file": picture},
                source="export",
                bytes=None,
                width=None,
                height=None,
                mime=None,
            ),
        )
        take(self.journal, Page(Channel(CHANNEL, "Test"), (post,), low=1, high=number, ignored={}), now=POSTED)
        return self.of(number)

    def fetch(self, number: int, data: bytes = b"") -> Job:
        """Bring message `number` to fetched, with `data` as its original (by default bytes of its own)."""
        data = data or b"\xff\xd8\xff" + f"original {number}".encode()
        job = self.known(number) or self.take(number)
        self.spool.write_original(job.id, job.generation, lambda part: part.write_bytes(data))
        assert transitions.record_fetched(self.journal, [(job, hashlib.sha256(data).hexdigest(), len(data), None)])
        return self.of(number)

    def render(self, number: int, data: bytes = b"") -> Job:
        """Bring message `number` to rendered, with the files of LADDER in the spool."""
        job = self.fetch(number, data)
        assert transitions.record_rendered(self.journal, self.write_ladder(job))
        return self.of(number)

    def work(self, job: Job, worker: str = "image-1") -> JobDone:
        """Write the files of LADDER into the worker's workplace; what the worker would say of them."""
        out = Workplace(self.spool.root, worker).writable
        done = self.write_ladder(job, out)
        (out / STRIPPED).write_bytes(b"\xff\xd8\xff, stripped")  # nobody looks behind that
        return replace(done, stripped_bytes=(out / STRIPPED).stat().st_size, recipe=RECIPE)

    def write_ladder(self, job: Job, folder: Path | None = None) -> JobDone:
        """Write the files of LADDER into the job's folder, or this one; what an image worker would say of them."""
        folder = folder or self.spool.folder(job.id, job.generation)
        for name, content in self.ladder.items():
            (folder / name).write_bytes(content)
        original = self.spool.original(job.id, job.generation)
        stripped = original.read_bytes() if original.exists() else b"stripped"  # nobody looks inside
        (folder / STRIPPED).write_bytes(stripped)
        formats = {extension: name for name, extension in EXTENSIONS.items()}
        sizes = [
            [int(name.split(".")[0]), 200, formats[name.split(".")[1]], len(data)]
            for name, data in self.ladder.items()
            if name != PREVIEW
        ]
        return JobDone(
            *(job.id, job.generation, 10_000_000, "image/jpeg", "jpg", 640, 400, sizes),
            stripped_bytes=len(stripped),
            recipe=self.recipe,
            appearance=APPEARANCE.packed() if self.recipe else [],
            preview_bytes=len(self.ladder.get(PREVIEW, b"")),
        )

    def of(self, number: int) -> Job:
        """The job of message `number` as the journal has it now."""
        job = self.known(number)
        assert job is not None
        return job

    def known(self, number: int) -> Job | None:
        return lookup.known(self.journal, CHANNEL, number)

    def spooled(self) -> set[str]:
        """Every file in the spool, as folder/name, but for the workplaces."""
        root = self.state_dir / "spool"
        paths = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        return {str(path) for path in paths if path.parts[0] != WORKPLACES}

    def stored(self) -> dict[str, bytes]:
        """Every file under media, the hidden ones included: bytes by key."""
        return {
            str(path.relative_to(self.media)): path.read_bytes() for path in self.media.rglob("*") if path.is_file()
        }


class FakeTree:
    """A supervisor's face, as `ipc.transport.router.Tree` describes it, that writes down what it is asked."""

    def __init__(self, *names: str) -> None:
        self.stopping = False
        self.sent: list[tuple[str, Message]] = []
        self.caps: dict[str, int] = {}
        self.killed: list[str] = []
        self.recycled: list[str] = []
        self.resting: list[str] = []
        self.holds: dict[str, int] = {}
        self.cpu_usages: dict[str, CpuUsage] = {}
        self.ready = set(names)
        self.full: set[str] = set()
        self.unwanted: set[str] = set()
        self._names = list(names)

    def names(self) -> list[str]:
        return self._names

    def is_ready(self, name: str) -> bool:
        return name in self.ready

    def send(self, name: str, message: Message) -> bool:
        if name in self.full or name not in self.ready:
            return False
        self.sent.append((name, message))
        return True

    def set_cap(self, name: str, cap_bytes: int) -> bool:
        if 0 < cap_bytes < self.holds.get(name, 0):
            return False
        self.caps[name] = cap_bytes
        return True

    def kill_hung(self, name: str) -> None:
        self.killed.append(name)
        self.ready.discard(name)

    kill_for_protocol_error = kill_hung

    def recycle(self, name: str) -> None:
        self.recycled.append(name)
        self.ready.discard(name)

    def rest(self, name: str) -> None:
        self.resting.append(name)
        self.ready.discard(name)

    def wake(self, name: str) -> None:
        self.resting.remove(name)
        self.ready.add(name)

    def is_wanted(self, name: str) -> bool:
        return name not in self.unwanted

    def cpu_usage(self, name: str) -> CpuUsage | None:
        return self.cpu_usages.get(name)
