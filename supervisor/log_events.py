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
    "action": "the operation: start, stop, restart, reload; on the page also retry",
    "added": "names of the children that were added",
    "already_dead": "number of posts that are dead letters already",
    "already_pending": "number of posts that are on their way already",
    "already_published": "number of posts that are published already",
    "available_bytes": "memory that the machine could still give",
    "broken": "whether the codec works on no picture",
    "bytes": "size in bytes",
    "cap_bytes": "memory cap of the process",
    "cause": "kind of the exit, as in /status",
    "cgroup": "folder of the cgroup",
    "changed": "files and modes, before and after",
    "channel": "id or address of the channel",
    "channels": "number of channels",
    "child": "name of the child",
    "client": "address that a request comes from",
    "codec": "the decoder or encoder",
    "cpu_seconds": "CPU time in seconds",
    "cursor": "id of the newest message that is known",
    "deaths": "deaths within the window",
    "documents": "number of documents",
    "drain_seconds": "what the stop may take, in seconds",
    "edited": "number of posts that show something else than before",
    "error": "the error as its library words it",
    "exit_code": "exit code of the program",
    "file": "path or name of a file",
    "files": "files and their modes",
    "folders": "number of folders",
    "ids": "ids of the messages in their channel",
    "ignored": "number of messages without a picture to take, by kind",
    "incarnation": "number of the child's process, from 1",
    "intake": "whether pictures are fetched",
    "job": "id of the job, as in bin/run dead",
    "job_ids": "ids of the jobs",
    "jobs": "number of jobs",
    "key": "of a hand-over: origin, channel, message, generation and number",
    "killed": "name of the child that was killed for want of memory",
    "kind": "type of the message or update, as Telegram's schema names it",
    "line": "a line of the command's output",
    "lines": "number of lines",
    "lived_seconds": "how long the process lived, in seconds",
    "logger": "name of the library's logger",
    "member": "whether the account is a member of the channel",
    "message": "id of the message in its channel",
    "messages": "number of messages",
    "new": "number of posts that were never seen before",
    "node": "name of a machine that renders for others",
    "notices": "number of notices: what is told of one problem each",
    "objects": "number of objects",
    "outcome": "what follows for the job: later, later alone, dead, or moved on (it changed and is left alone)",
    "output": "what is made of the rows: feeds, site",
    "path": "file or folder",
    "peak_bytes": "the most memory that the process had",
    "photos": "number of messages with a picture to take",
    "pid": "process id",
    "place": "place in the export: which message of which channel",
    "pressure_percent": "part of the last 10 s in which a process waited for memory",
    "queue": "name of the queue in the database",
    "ready": "whether the child had been ready",
    "reason": "reason of a failure, as in bin/run dead",
    "records": "number of records",
    "remedy": "what an operator can do",
    "removed": "names of the children that were removed",
    "renditions": "number of renditions",
    "replaced": "children that are replaced by a reload, by name; of an exit: whether it is",
    "restarted": "names of the children that get another try",
    "rss_bytes": "resident memory of the process",
    "rss_bytes_by_process": "resident memory of each process, by name",
    "seconds": "duration in seconds",
    "sha256": "digest of the original",
    "silent_seconds": "time since the last heartbeat, in seconds",
    "stack": "stack of a thread, or a piece of it",
    "stalled_seconds": "time since the main loop last came round, in seconds",
    "stream": "stdout or stderr",
    "thread": "name of the thread",
    "timing": "over: it had all that it needed; hindered: the machine kept the worker off the CPU",
    "title": "title of the channel",
    "total_bytes": "resident memory of all processes",
    "tried_again_in_seconds": "pause until the child is tried once more, in seconds",
    "url": "recipient (one of notify.urls) by its number, without its secrets",
    "urls": "number of addresses",
    "webhook": "place of the webhook in the settings and its URL, without its secrets",
    "what": "what happened or follows, for people",
    "where": "source file and line",
    "why": "cause, for people",
    "window_seconds": "window of the restart intensity, in seconds",
    "withheld_seconds": "time that the machine kept the worker off the CPU, in seconds",
    "worker": "name of the image worker",
    "workers": "number of image workers",
}
"""Each field has one meaning and one unit in all events. `exception` holds a traceback."""

EVENTS: Mapping[str, Event] = {
    "animation.stilled": Event("The first frame stands for an animation that is within the limits", "job why"),
    "catalogue.failed": Event("The catalogue failed: the rows of these jobs wait", "job_ids reason"),
    "catalogue.schema_outdated": Event("The catalogue lacks columns: rows are written without them", "reason"),
    "catalogue.schema_unknown": Event("The catalogue does not say whether it has all columns", "reason"),
    "cgroup.cap_failed": Event("The memory limit of a cgroup could not be changed", "cgroup error"),
    "cgroup.divided": Event("The kernel holds each worker to its memory cap", "cgroup"),
    "cgroup.file_omitted": Event("The kernel has no such file for a cgroup, which goes without it", "error path"),
    "cgroup.leaf_failed": Event("A worker got no cgroup: its memory is sampled", "error"),
    "cgroup.left": Event("A cgroup could not be removed", "cgroup error"),
    "cgroup.rejected": Event("The memory of workers is sampled, the kernel does not limit it", "why"),
    "channel.begun": Event("A channel is read for the first time", "channel cursor title"),
    "channel.closed": Event("A channel can't be read", "channel remedy why"),
    "channel.flooded": Event("Telegram asks to wait before a channel is looked at again", "channel seconds"),
    "channel.opened": Event("A channel was found and is read", "channel member title"),
    "channel.postponed": Event("A channel could not be looked at and is tried again", "channel why"),
    "child.cap_exceeded": Event("A child outgrew its memory cap and is killed", "cap_bytes child pid rss_bytes"),
    "child.exited": Event("A child's process ended", "cause child lived_seconds pid replaced what"),
    "child.held": Event(
        "A child died too often: it is held, and tried once more later",
        "child deaths tried_again_in_seconds window_seconds",
    ),
    "child.hung": Event("A child gave no sign of life and is ended", "child pid ready silent_seconds stalled_seconds"),
    "child.operation_requested": Event("The operator asked for an operation on a child", "action child"),
    "child.protocol_error": Event("A child sent what is no message and is killed", "child error pid"),
    "child.ready": Event("A child is ready", "child pid seconds"),
    "child.stack_shown": Event("Where a thread of the child stood", "child pid stack"),
    "child.start_failed": Event("A child could not be started and is tried again", "child error"),
    "child.started": Event("A child was started", "child incarnation pid"),
    "child.stop_timed_out": Event("A child did not stop in time and is killed", "child pid"),
    "claims.released": Event("Jobs were taken back that the previous pool had given out", "jobs"),
    "codec.broken": Event("Pictures wait: a codec of ours works on no picture", "job reason"),
    "codec.failed": Event("A codec of ours failed, by no fault of the picture", "broken codec job"),
    "command.output_omitted": Event(
        "A command's last output was too long: its beginning is left out", "child lines stream"
    ),
    "command.printed": Event("A command wrote a line", "child line stream"),
    "configuration.rejected": Event("The new configuration was refused, the old one stays in force", "why"),
    "configuration.reloaded": Event("The new configuration is in force", "added removed replaced restarted"),
    "connection.lost": Event("The connection to Telegram is lost and is made again", "why"),
    "connection.made": Event("Connected to Telegram", "channels"),
    "control_socket.failed": Event(
        "No operations can be taken: the control socket could not be made", "path remedy why"
    ),
    "copies.purged": Event("The CDN has forgotten its copies of deleted objects", "urls"),
    "disk.awaited": Event("The disk cannot be written: the process waits for it", "why"),
    "disk.recovered": Event("The disk can be written again"),
    "documents.removed": Event("Documents of an output that is turned off were deleted", "documents output"),
    "documents.written": Event("Documents were written that have become others", "documents output"),
    "download.flooded": Event("Telegram asks to wait before the next download", "seconds"),
    "encoder.replaced": Event("Another encoder stood in for the one of choice", "job renditions why"),
    "error.ignored": Event("An error was ignored, since nothing could handle it", "where"),
    "error.unforeseen": Event("An unforeseen error", "channel file job kind message place what"),
    "export.opened": Event("An export was opened, and all of it is sound", "channel ignored messages photos title"),
    "export.taken_in": Event(
        "All messages of the export are recorded", "already_dead already_pending already_published edited new"
    ),
    "fetching.failed": Event("A picture could not be fetched", "job outcome reason"),
    "fetching.paused": Event("The spool cannot be written: fetching waits", "job reason"),
    "fetching.postponed": Event("A picture could not be fetched, by no fault of its own", "job reason seconds"),
    "handover.came_again": Event("A picture that is in hand came again: its lease had been over", "key"),
    "handover.given_up": Event("A node has given up a picture", "job node outcome reason"),
    "handover.lost": Event(
        "Leases are over, or origins have taken their pictures back: they are dropped here", "job_ids"
    ),
    "handover.refused": Event("A picture can't be rendered here: it is given back", "queue reason"),
    "handover.returned": Event("Pictures are given back to the queue, for other nodes", "job_ids"),
    "handover.taken": Event("A picture was taken out of a queue", "key queue"),
    "handover.unreachable": Event("Nobody could be asked for what was handed over: all of it is begun here", "reason"),
    "heartbeat.failed": Event("The ping of notify.heartbeat_url failed; it is tried again every minute", "why"),
    "heartbeat.recovered": Event("The ping of notify.heartbeat_url works again"),
    "job.dead": Event("Dead letter: the job is given up until bin/run retry", "channel job message reason"),
    "job.fenced": Event(
        "No row was written: another node has the picture, or its origin has taken it back", "channel job message"
    ),
    "job.given_back": Event("A worker left before it was done with its job; another one gets it", "job why worker"),
    "job.published": Event("Published a picture", "channel job message sha256"),
    "job.rendered": Event("A picture was rendered", "job renditions seconds"),
    "job.timed_out": Event("A job takes too long", "cpu_seconds job seconds timing withheld_seconds worker"),
    "library.message": Event("", "logger where why"),
    "log.resumed": Event("The log's reader had stopped: records were left out", "records"),
    "machine.memory_recovered": Event(
        "The machine has memory again", "available_bytes intake pressure_percent workers"
    ),
    "machine.memory_short": Event("The machine is short of memory", "available_bytes intake pressure_percent workers"),
    "machines.address_unknown": Event("A node's row is under an address that was never handed over", "node reason"),
    "machines.brought_back": Event("Pictures that were handed over are rendered here after all", "jobs"),
    "machines.ended_found": Event(
        "The queue has pictures that nobody waits for, as one that was restored: they are taken out", "messages"
    ),
    "machines.handed_over": Event("Pictures were handed over to nodes", "jobs"),
    "machines.handed_over_again": Event("The queue has lost pictures: they are handed over again", "jobs"),
    "machines.originals_left": Event(
        "Originals of pictures that were handed over may be left in a bucket that the settings name no more", "objects"
    ),
    "machines.originals_lost": Event("Originals of pictures that are handed over are put again", "jobs"),
    "machines.published": Event("A node has published a picture", "channel job message node outcome"),
    "machines.refused": Event("A picture can't be handed over, and is rendered here", "job reason"),
    "machines.result_unreadable": Event("A node's result says nothing to this version", "error job node outcome"),
    "machines.wire_unlisted": Event("It is not known which originals on their way to nodes are there", "reason"),
    "memory.sampled": Event(
        "The memory of every process", "cap_bytes cause job killed peak_bytes rss_bytes_by_process total_bytes what"
    ),
    "message.passed_over": Event("A message can't be read and is passed over", "channel message why"),
    "message.rejected": Event("A message to a child could not be sent", "child error"),
    "messages.deleted": Event("Messages were deleted, or have no picture any more", "channel ids"),
    "messages.missed": Event(
        "Many messages are gone: they are looked for again before that is believed", "channel messages"
    ),
    "messages.omitted": Event(
        "Messages were left out of two answers, minutes apart: they count as absent", "channel ids"
    ),
    "notify.dropped": Event("Too many notices wait for a recipient: the oldest are dropped", "notices url"),
    "notify.failed": Event("A message to people did not arrive; it is sent again later", "notices seconds url why"),
    "notify.sent": Event("A message to people was accepted", "notices url"),
    "notify.state_failed": Event(
        "The file of what people were told can't be used: a restart may repeat or forget a message", "error path"
    ),
    "notify.url_rejected": Event("A recipient can't be used", "url why"),
    "object.refused": Event("The storage will never take an object: its job loses an attempt", "job outcome reason"),
    "object_keys.failed": Event("No object keys could be made for a picture: its job loses an attempt", "job"),
    "operation.failed": Event("An operation failed by an error in the program", "action"),
    "options.refused": Event("The child cannot use its options"),
    "original.doubted": Event("The original can't be decoded and is fetched once more", "job reason"),
    "original.lost": Event("The original is not in the spool and is fetched again", "job"),
    "original.unstripped": Event("The original was not stripped yet: the picture is made again", "file job"),
    "page.action_taken": Event("Somebody with the token acted on the page", "action child client job_ids what"),
    "page.reader_dropped": Event("A reader of the page read too slowly and was dropped", "seconds"),
    "page.session_opened": Event("Somebody has shown the token to the page", "client"),
    "page.split": Event("A page can't be read: its messages are asked for one by one", "channel why"),
    "page.token_refused": Event("Somebody has shown a wrong token to the page", "client"),
    "picture.fetched": Event("A picture was fetched", "bytes job"),
    "picture.kept": Event("The objects of a deleted or hidden post stay: they are named elsewhere", "sha256 why"),
    "picture.left_out": Event(
        "A picture was left out of the export, or is blocked: it is not published; bin/run dead lists it",
        "channel job message reason",
    ),
    "picture.not_compared": Event("A picture cannot be compared: the known one is kept", "job reason"),
    "picture.taken_down": Event("The objects of a deleted or hidden post are deleted", "objects sha256"),
    "process.crashed": Event("The process ended by an error that nothing caught"),
    "process.held": Event("The process ended: only a person can make it work again", "remedy what"),
    "publication.failed": Event("A job failed where others succeeded: it loses an attempt", "job outcome reason"),
    "purge.dropped": Event("There is no CDN any more that could be asked to forget copies", "why"),
    "purge.failed": Event("The CDN has not forgotten its copies, and is asked again", "reason seconds"),
    "queue.failed": Event("The database with the queues gave no answer: leases go on by its own clock", "reason"),
    "queue.recovered": Event("The database with the queues answers again"),
    "rendering.crashed": Event("Rendering failed by an unforeseen error", "job"),
    "rendering.failed": Event("A picture could not be rendered", "job outcome reason"),
    "rendering.paused": Event("The spool cannot be written: rendering waits", "job reason"),
    "renditions.replaced": Event(
        "The old renditions of a picture were deleted: its row names new ones", "renditions sha256"
    ),
    "result.discarded": Event("A node's result came too late, and changes nothing", "key node"),
    "row.failed": Event("No row could be made of a message: its job loses an attempt", "job"),
    "row.refused": Event("The catalogue refused a row: its job loses an attempt", "job outcome reason"),
    "sandbox.layer_failed": Event("A layer of the sandbox could not be put on", "why"),
    "server.full": Event("The health process accepts no connection for the moment: clients wait", "why"),
    "session.protected": Event("The session's file could be read by others, and cannot any more", "file"),
    "spool.swept": Event("Deleted what killed processes had left in the spool", "folders"),
    "spool_file.lost": Event("The spool has lost files: the picture is made again", "file job"),
    "stage.abandoned": Event("A stage of the uploader was still at work when its time to stop was up", "thread"),
    "stage.crashed": Event("A stage of the uploader ended by an error, as the other one did", "thread"),
    "state_dir.closed": Event("Files of the program were open to other users, and are not any more", "changed path"),
    "state_dir.left_open": Event(
        "Files of the program are open to other users, and that could not be changed", "files path remedy"
    ),
    "state_dir.lost": Event("state_dir belongs to this instance no more: all processes are ended", "remedy why"),
    "storage.failed": Event("The storage failed: the objects of these jobs wait", "job_ids reason"),
    "stripping.failed": Event("Stripping failed by a fault of our own: the original will not be published", "job"),
    "stripping.refused": Event("The original can't be stripped of its metadata: it will not be published", "job why"),
    "supervisor.gave_up": Event("A child died too often: the supervisor stops", "child deaths window_seconds"),
    "supervisor.stop_begun": Event("The supervisor stops: work in hand is finished", "drain_seconds"),
    "supervisor.stop_forced": Event("The supervisor stops at once"),
    "supervisor.stopped": Event("The program has stopped", "exit_code"),
    "supervisor.suspended": Event(
        "The supervisor did not run for a while: its children are not judged by that time", "seconds"
    ),
    "systemd.watchdog_starved": Event(
        "A child that should be gone is still there: systemd is not told that the tree is alive"
    ),
    "thread.crashed": Event("A thread ended by an error that nothing caught", "thread"),
    "tombstone.published": Event("Published the deletion of a message", "channel job message"),
    "warm_up.failed": Event("A codec failed while the worker warmed up"),
    "webhook.delivered": Event("A webhook has accepted a message", "channel message webhook"),
    "webhook.failed": Event(
        "A message to a webhook, or a rebuild, did not arrive", "channel message outcome reason webhook"
    ),
    "webhook.gone": Event("A webhook has answered 410, that it is gone: it gets nothing more", "reason webhook"),
    "webhook.rebuilt": Event("A static host was asked to build the site anew", "webhook"),
    "webhook.recovered": Event("A webhook accepts messages again", "webhook"),
    "webhook.removed": Event("A webhook is no more in the settings: what it was to be told is dropped", "webhook"),
    "work.paused": Event("Work of the uploader beside its stages is put off", "thread reason seconds"),
    "worker.died": Event("A worker died of a job", "cause job why worker"),
    "worker.overfull": Event("A worker has written more than any picture needs: it is ended", "job worker"),
    "worker.protocol_error": Event("A worker's answer makes no sense: the worker is ended", "job why worker"),
    "worker.replaced": Event("A worker that holds on to memory is replaced", "rss_bytes worker"),
    "workers.counted": Event("How many image workers there are", "why workers"),
}
"""`library.message` is a record of a library, whose own words are its text."""
