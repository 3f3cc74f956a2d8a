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
    "error": "the error as its library words it",
    "job": "id of the job, as in bin/run dead",
    "logger": "name of the library's logger",
    "records": "number of records",
    "remedy": "what an operator can do",
    "seconds": "duration in seconds",
    "thread": "name of the thread",
    "where": "source file and line",
    "why": "cause, for people",
    # end
}
"""Each field has one meaning and one unit in all events. `exception` holds a traceback."""

EVENTS: Mapping[str, Event] = {
    # keep sorted: begin
    "error.ignored": Event("An error was ignored, since nothing could handle it", "where"),
    "library.message": Event("", "logger where why"),
    "log.resumed": Event("The log's reader had stopped: records were left out", "records"),
    "process.crashed": Event("The process ended by an error that nothing caught"),
    "thread.crashed": Event("A thread ended by an error that nothing caught", "thread"),
    # end
}
"""`library.message` is a record of a library, whose own words are its text."""
