"""The references that Telegram's files are asked for by. One holds for hours, and is given with its message.

The messages that were just read are remembered with theirs. For any other, and for a reference that has expired, the
message is read again, which also shows whether the picture is still there.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ipc.jobs import Job
from workers.sources.telegram.history.history import History
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.media import File, Message

MAX_REMEMBERED: Final = 2000
"""Most references that are kept. Each takes some 1 KiB."""


class PictureGone(Exception):
    """The message does not show the job's picture any more: the text is its kind. The journal knows, if it can."""


class FileReferences:
    """The files of messages that were read lately, by channel and message id."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[int, int], tuple[str, File]] = OrderedDict()

    def remember(self, channel_id: int, message: Message) -> None:
        """A message was just read: its file's reference is fresh."""
        if message.post is None or message.file is None:
            return
        key = (channel_id, message.id)
        self._files[key] = (message.post.photo.identity, message.file)
        self._files.move_to_end(key)
        while len(self._files) > MAX_REMEMBERED:
            self._files.popitem(last=False)

    def forget(self, job: Job) -> None:
        """The reference has expired."""
        self._files.pop((job.channel_id, job.message_id), None)

    async def find(self, connection: Connection, history: History, job: Job) -> File:
        """The file of the job's picture, with a reference that holds. Raises PictureGone."""
        identity, file = self._files.get((job.channel_id, job.message_id), ("", None))
        if file is not None and identity == job.identity:
            return file
        kind = "absent"
        for message in (await connection.by_ids(history.peer, [job.message_id])).messages:
            self.remember(job.channel_id, message)
            if message.post and message.file and message.post.photo.identity == job.identity:
                return message.file
            kind = message.kind
        async with history.lock:
            await history.look_at(connection, [job.message_id], everywhere=True)  # deleted, or another picture by now
        raise PictureGone(kind)
