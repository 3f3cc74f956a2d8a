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
    "broken": "whether the codec works on no picture",
    "cause": "cause of a process's exit, as in /status",
    "channel": "id or address of the channel",
    "codec": "the decoder or encoder",
    "cpu_seconds": "CPU time in seconds",
    "error": "the error as its library words it",
    "file": "path of the file",
    "job": "id of the job, as in bin/run dead",
    "jobs": "number of jobs",
    "kind": "type of the message or update, as Telegram's schema names it",
    "logger": "name of the library's logger",
    "message": "id of the message in its channel",
    "outcome": "what follows: later, later alone, dead, or nothing since the job has moved on",
    "place": "place in the export: which message of which channel",
    "reason": "reason of a failure, as in bin/run dead",
    "records": "number of records",
    "remedy": "what an operator can do",
    "renditions": "number of renditions",
    "rss_bytes": "resident memory in bytes",
    "seconds": "duration in seconds",
    "thread": "name of the thread",
    "timing": "over: it had all that it needed; hindered: the machine kept the worker off the CPU",
    "what": "what follows from the error, for people",
    "where": "source file and line",
    "why": "cause, for people",
    "withheld_seconds": "time that the machine kept the worker off the CPU, in seconds",
    "worker": "name of the image worker",
    # end
}
"""Each field has one meaning and one unit, in whatever event it stands. `exception` holds a traceback."""

EVENTS: Mapping[str, Event] = {
    # keep sorted: begin
    "claims.released": Event("Jobs were taken back that the previous pool had given out", "jobs"),
    "codec.broken": Event("Pictures wait: a codec of ours works on no picture", "job reason"),
    "codec.failed": Event("A codec of ours failed, by no fault of the picture", "broken codec job"),
    "encoder.replaced": Event("Another encoder stood in for the one of choice", "job renditions why"),
    "error.ignored": Event("An error was ignored, since nobody could handle it", "where"),
    "error.unforeseen": Event("An unforeseen error", "channel file job kind message place what"),
    "job.dead": Event("Dead letter: the job is given up until bin/run retry", "channel job message reason"),
    "job.given_back": Event("A worker left before it was done with its job; another one gets it", "job why worker"),
    "job.rendered": Event("A picture was rendered", "job renditions seconds"),
    "job.timed_out": Event("A job takes too long", "cpu_seconds job seconds timing withheld_seconds worker"),
    "library.message": Event("", "logger where why"),
    "log.resumed": Event("The log's reader had stopped: records were left out", "records"),
    "original.doubted": Event("The original can't be decoded and is fetched once more", "job reason"),
    "original.lost": Event("The original is not in the spool and is fetched again", "job"),
    "process.crashed": Event("The process ended by an error that nothing caught"),
    "rendering.crashed": Event("Rendering failed by an unforeseen error", "job"),
    "rendering.failed": Event("A picture could not be rendered", "job outcome reason"),
    "rendering.paused": Event("The spool cannot be written: rendering waits", "job reason"),
    "stripping.failed": Event("Stripping failed by a fault of our own: the original will not be published", "job"),
    "stripping.refused": Event("The original can't be stripped of its metadata: it will not be published", "job why"),
    "thread.crashed": Event("A thread ended by an error that nothing caught", "thread"),
    "warm_up.failed": Event("A codec failed while the worker warmed up"),
    "worker.died": Event("A worker died of a job", "cause job why worker"),
    "worker.protocol_error": Event("A worker's answer makes no sense: the worker is ended", "job worker"),
    "worker.replaced": Event("A worker that holds on to memory is replaced", "rss_bytes worker"),
    # end
}
"""`library.message` is a record of a library, whose own words are its text."""
