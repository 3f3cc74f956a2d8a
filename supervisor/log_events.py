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
    "channel": "id of the channel, as Telegram has it",
    "error": "the error as its library words it",
    "file": "path or name of a file",
    "folders": "number of folders",
    "job": "id of the job, as in bin/run dead",
    "jobs": "ids of the jobs",
    "logger": "name of the library's logger",
    "message": "id of the message in its channel",
    "outcome": "what followed for the job: later, dead, or moved on (it had changed, and was left alone)",
    "reason": "why it failed, and what to do",
    "records": "number of records",
    "remedy": "what an operator can do",
    "seconds": "duration in seconds",
    "sha256": "digest of the original",
    "thread": "name of the thread",
    "where": "source file and line",
    "why": "cause, for people",
    # end
}
"""Each field has one meaning and one unit, in whatever event it stands. `exception` holds a traceback."""

EVENTS: Mapping[str, Event] = {
    # keep sorted: begin
    "catalogue.failed": Event("The catalogue failed: the rows of these jobs wait", "jobs reason"),
    "error.ignored": Event("An error was ignored, since nobody could handle it", "where"),
    "job.published": Event("Published a picture", "channel job message sha256"),
    "library.message": Event("", "logger where why"),
    "log.resumed": Event("The log's reader had stopped: records were left out", "records"),
    "object.refused": Event("The storage will never take an object: its job loses an attempt", "job outcome reason"),
    "object_keys.failed": Event("No object keys could be made for a picture: its job loses an attempt", "job"),
    "original.unstripped": Event("The original was not stripped yet: the picture is made again", "file job"),
    "process.crashed": Event("The process ended by an error that nothing caught"),
    "publication.failed": Event("A job failed where others succeeded: it loses an attempt", "job outcome reason"),
    "row.failed": Event("No row could be made of a message: its job loses an attempt", "job"),
    "row.refused": Event("The catalogue refused a row: its job loses an attempt", "job outcome reason"),
    "spool.swept": Event("Deleted what killed processes had left in the spool", "folders"),
    "spool_file.lost": Event("The spool has lost files: the picture is made again", "file job"),
    "stage.abandoned": Event("A stage of the uploader was still at work when its time to stop was up", "thread"),
    "stage.crashed": Event("A stage of the uploader ended by an error, as the other one did", "thread"),
    "storage.failed": Event("The storage failed: the objects of these jobs wait", "jobs reason"),
    "thread.crashed": Event("A thread ended by an error that nothing caught", "thread"),
    "tombstone.published": Event("Published the deletion of a message", "channel job message"),
    # end
}
"""`library.message` is a record of a library, whose own words are its text."""
