"""The events of the log: the stable id of each, its text for people, and its fields.

Code logs an id and fields, `log.error("job.dead", job=7, …)`; `supervisor.logs` adds the text. An id is a noun and what
happened to it. docs/reference.md shows these tables, and a test compares them with every call in the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Event(NamedTuple):
    """`fields` are names of `FIELDS`, with blanks between them; a record may lack some of them."""

    text: str
    fields: str = ""


FIELDS: Mapping[str, str] = {
    # keep sorted: begin
    "already_dead": "number of posts that are dead letters already",
    "already_pending": "number of posts that are on their way already",
    "already_published": "number of posts that are published already",
    "bytes": "size in bytes",
    "channel": "id or address of the channel",
    "channels": "number of channels",
    "cursor": "id of the newest message that is known",
    "edited": "number of posts that show something else than before",
    "error": "the error as its library words it",
    "file": "path of the file",
    "ids": "ids of the messages in their channel",
    "ignored": "number of messages without a picture to take, by kind",
    "job": "id of the job, as in bin/run dead",
    "logger": "name of the library's logger",
    "member": "whether the account is a member of the channel",
    "message": "id of the message in its channel",
    "messages": "number of messages",
    "new": "number of posts that were never seen before",
    "outcome": "what follows: later, later alone, dead, or nothing since the job has moved on",
    "photos": "number of messages with a picture to take",
    "reason": "reason of a failure, as in bin/run dead",
    "records": "number of records",
    "remedy": "what an operator can do",
    "seconds": "duration in seconds",
    "thread": "name of the thread",
    "title": "title of the channel",
    "where": "source file and line",
    "why": "cause, for people",
    # end
}
"""Each field has one meaning and one unit, in whatever event it stands. `exception` holds a traceback."""

EVENTS: Mapping[str, Event] = {
    # keep sorted: begin
    "channel.begun": Event("A channel is read for the first time", "channel cursor title"),
    "channel.closed": Event("A channel can't be read", "channel remedy why"),
    "channel.flooded": Event("Telegram asks to wait before a channel is looked at again", "channel seconds"),
    "channel.opened": Event("A channel was found and is read", "channel member title"),
    "channel.postponed": Event("A channel could not be looked at and is tried again", "channel why"),
    "connection.lost": Event("The connection to Telegram is lost and is made again", "why"),
    "connection.made": Event("Connected to Telegram", "channels"),
    "download.flooded": Event("Telegram asks to wait before the next download", "seconds"),
    "error.ignored": Event("An error was ignored, since nobody could handle it", "where"),
    "export.opened": Event("An export was opened, and all of it is sound", "channel ignored messages photos title"),
    "export.taken_in": Event(
        "All messages of the export are recorded", "already_dead already_pending already_published edited new"
    ),
    "fetching.failed": Event("A picture could not be fetched", "job outcome reason"),
    "fetching.paused": Event("The spool cannot be written: fetching waits", "job reason"),
    "fetching.postponed": Event("A picture could not be fetched, by no fault of its own", "job reason seconds"),
    "job.dead": Event("Dead letter: the job is given up until bin/run retry", "channel job message reason"),
    "library.message": Event("", "logger where why"),
    "log.resumed": Event("The log's reader had stopped: records were left out", "records"),
    "message.passed_over": Event("A message can't be read and is passed over", "channel message why"),
    "messages.deleted": Event("Messages were deleted, or have no picture any more", "channel ids"),
    "messages.missed": Event(
        "Many messages are gone: they are looked for again before that is believed", "channel messages"
    ),
    "messages.omitted": Event(
        "Messages were left out of two answers, minutes apart: they count as absent", "channel ids"
    ),
    "page.split": Event("A page can't be read: its messages are asked for one by one", "channel why"),
    "picture.fetched": Event("A picture was fetched", "bytes job"),
    "picture.left_out": Event(
        "A picture was left out of the export and can't be published; bin/run dead lists it",
        "channel job message reason",
    ),
    "picture.not_compared": Event("A picture cannot be compared: the known one is kept", "job reason"),
    "process.crashed": Event("The process ended by an error that nothing caught"),
    "session.protected": Event("The session's file could be read by others, and cannot any more", "file"),
    "thread.crashed": Event("A thread ended by an error that nothing caught", "thread"),
    # end
}
"""`library.message` is a record of a library, whose own words are its text."""
