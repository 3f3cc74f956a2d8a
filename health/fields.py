"""Every field of /status: its type, unit and meaning. docs/reference.md and docs/status.schema.json show these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

TIME = "ISO 8601, UTC"


class Field(NamedTuple):
    """`kind` is a type of JSON Schema, or two with a blank between them; `always`: wherever its object is."""

    unit: str
    meaning: str
    kind: str = "string"
    always: bool = True


def _often(unit: str, meaning: str, kind: str = "string") -> Field:
    """A field that an object may lack."""
    return Field(unit, meaning, kind, always=False)


_BREAKER = "`closed` (requests go out), `open` (none does) or `half-open` (one tries): the circuit breaker of the "
_CAUSE = "why it ended, in a word or two: `crashed`, `signalled`, `out of memory`, `hung`, `held`, `asked` and others"
_ORIGIN, _NODE = "of an origin: ", "of a node: "
_EXPORT, _TELEGRAM = "of an export: ", "of Telegram: "

_STAGES = {
    "fetch": "originals that came into the spool",
    "render": "pictures whose renditions were made",
    "store": "pictures whose objects were put",
    "write": "rows that were written",
}


def _of_stages() -> dict[str, Field]:
    fields = {}
    for stage, what in _STAGES.items():
        fields[f"stages.{stage}.count"] = Field("times", f"{what}, over all restarts", "integer")
        fields[f"stages.{stage}.seconds"] = Field("s", "that took together", "number")
        fields[f"stages.{stage}.failures.*"] = _often(
            "times",
            "it ended so: `retried`, `postponed` (an outage), `doubted` (fetched again), `lost` (from the spool),"
            " `left_out`, `dead`, `poison`",
            "integer",
        )
    return fields


FIELDS: Mapping[str, Field] = {
    "ok": Field("yes or no", "whether there is no problem", "boolean"),
    "problems[].id": Field("id", "kind of problem, for programs: it never changes"),
    "problems[].subject": Field("text", "what is concerned, as `child pool`: the same in every problem of it"),
    "problems[].what": Field("text", "what is wrong"),
    "problems[].since": Field(TIME, "since when"),
    "problems[].remedy": Field("text", "what an operator can do"),
    "stats.started_at": Field(TIME, "when the root was started"),
    "stats.processed": Field("pictures", "published, over all restarts", "integer"),
    "stats.failed": Field("messages", "became dead, over all restarts", "integer"),
    "stats.retried": Field("attempts", "after the first one of a picture, over all restarts", "integer"),
    "stats.dead": Field("pictures", "are dead letters now", "integer"),
    "stats.encoder_fallbacks": Field(
        "renditions", "made by the second-best encoder or left out, since one failed, over all restarts", "integer"
    ),
    "stats.renewing": Field(
        "pictures", "published and rendered anew (`republish --renditions`): wanted, or not done with yet", "integer"
    ),
    "stats.taken_down": Field("pictures", "whose objects were deleted after their posts, over all restarts", "integer"),
    "stats.takedowns": Field("pictures", "of deleted or hidden posts, whose objects are about to go", "integer"),
    "stats.purges": Field("addresses", "of deleted objects, whose copies the CDN has still to forget", "integer"),
    "stats.not_renewed": Field("pictures", "could not be rendered anew, and stay as they are", "integer"),
    "stats.connected": Field("yes or no", "whether there is a connection to the source", "boolean"),
    "stats.queue_size": Field("pictures", "neither published nor dead: `seen` + `fetched` + `rendered`", "integer"),
    "stats.r2_circuit_breaker": Field("word", f"{_BREAKER}storage"),
    "stats.r2_circuit_breaker_since": Field(TIME, "since when it is not closed", "string null"),
    "stats.r2_next_probe_at": Field(TIME, "when the storage is asked again", "string null"),
    "stats.supabase_circuit_breaker": Field("word", f"{_BREAKER}catalogue"),
    "stats.supabase_circuit_breaker_since": Field(TIME, "since when it is not closed", "string null"),
    "stats.supabase_next_probe_at": Field(TIME, "when the catalogue is asked again", "string null"),
    "stats.last_error": Field("text", "the newest thing that went wrong and still matters", "string null"),
    "stats.last_heartbeat_at": Field(TIME, "when the connection last reported", "string null"),
    "stats.seen": Field("pictures", "recorded, not fetched yet", "integer"),
    "stats.fetched": Field("pictures", "in the spool, not rendered yet", "integer"),
    "stats.rendered": Field("pictures", "in the spool with their renditions, not published yet", "integer"),
    "stats.published": Field(
        "pictures", "published now; with `seen`, `fetched`, `rendered` and `dead` this is all of them", "integer"
    ),
    "stats.waiting_for_retry": Field("pictures", "of the queue, wait for the time of their next attempt", "integer"),
    "stats.spool_bytes": Field("bytes", "of originals and renditions in the spool, without dead letters", "integer"),
    "stats.oldest_waiting_seconds": Field(
        "s", "since the oldest picture of the queue set out, or its edit did; 0: none waits", "number"
    ),
    "stats.published_per_minute": Field("pictures a minute", "published for the first time, mean of an hour", "number"),
    "stats.post_to_row_seconds.p50": Field(
        "s", "from post to row, median of all live posts ever; null before the first one", "number null"
    ),
    "stats.post_to_row_seconds.p99": Field("s", "the same, what 99 % of them did not exceed", "number null"),
    "stats.post_to_row_seconds.count": Field("pictures", "these are of", "integer"),
    "stats.source.source": _often("word", "`telegram`, `export` or `queue` (a node's)"),
    "stats.source.connected": _often("yes or no", "as the connection last said", "boolean"),
    "stats.source.error": _often("text", "why it is not connected; empty if nothing is known"),
    "stats.source.behind": _often("messages", "that the source has and the journal has not, at most", "integer null"),
    "stats.source.spool_full": _often("yes or no", "whether fetching waits for room in the spool", "boolean"),
    "stats.source.spool_error": _often("text", "why the spool cannot be written; empty if it can"),
    "stats.source.channels": _often("channels", f"{_TELEGRAM}that are configured", "integer"),
    "stats.source.flooded_until": _often(TIME, f"{_TELEGRAM}until when it wants no more requests", "string null"),
    "stats.source.nothing_to_fetch": _often(
        "yes or no", f"{_TELEGRAM}whether no picture in `seen` can be fetched now", "boolean"
    ),
    "stats.source.fetch_error": _often("text", f"{_TELEGRAM}what keeps files from being fetched; empty if nothing"),
    "stats.source.fetch_error_since": _often(TIME, f"{_TELEGRAM}since when", "string null"),
    "stats.source.fetch_error_remedy": _often("text", f"{_TELEGRAM}what an operator can do about it"),
    "stats.source.proven_at": _often(TIME, f"{_TELEGRAM}when it last answered", "string null"),
    "stats.source.number": _often("number", f"{_EXPORT}which import of this instance it is, 0 for none", "integer"),
    "stats.source.path": _often("path", f"{_EXPORT}its folder, the end of a long one"),
    "stats.source.messages": _often("messages", f"{_EXPORT}in it", "integer"),
    "stats.source.photos": _often("messages", f"{_EXPORT}in it, with a picture", "integer"),
    "stats.source.channel": _often("channel id", f"{_EXPORT}whose it is", "integer null"),
    "stats.source.exhausted": _often("yes or no", f"{_EXPORT}whether all of it is taken in", "boolean"),
    "stats.source.published": _often("pictures", f"{_EXPORT}published since its import began", "integer"),
    "stats.source.already_there": _often("pictures", f"{_EXPORT}published before its import began", "integer"),
    "stats.source.dead": _often("pictures", f"{_EXPORT}that became dead letters", "integer"),
    "stats.source.waiting": _often("pictures", f"{_EXPORT}neither published nor dead", "integer"),
    "stats.source.waiting_for_retry": _often("pictures", f"{_EXPORT}of these, put off", "integer"),
    "stats.source.new": _often("messages", f"{_EXPORT}that the journal did not know", "integer"),
    "stats.source.edited": _often("messages", f"{_EXPORT}that the journal knew otherwise", "integer"),
    "stats.source.already_published": _often("messages", f"{_EXPORT}known and published before", "integer"),
    "stats.source.already_dead": _often("messages", f"{_EXPORT}known and dead before", "integer"),
    "stats.source.already_pending": _often("messages", f"{_EXPORT}known and on their way before", "integer"),
    "stats.feeds.waiting": _often("posts", "have changed and are not in the feeds yet", "integer"),
    "stats.feeds.written_at": _often(TIME, "when this uploader last wrote a feed that had changed", "string null"),
    "stats.feeds.failing_since": _often(TIME, "since when the feeds can't be written", "string null"),
    "stats.feeds.error": _often("text", "why; empty if they can"),
    "stats.site.waiting": _often("tasks", "of the gallery wait, some 20 pages each", "integer"),
    "stats.site.written_at": _often(TIME, "when this uploader last wrote a page that had changed", "string null"),
    "stats.site.failing_since": _often(TIME, "since when the gallery can't be written", "string null"),
    "stats.site.error": _often("text", "why; empty if it can"),
    "tree[].name": Field("name", "of the process: `root` first, then in the order in which they are started"),
    "tree[].state": Field("word", "`waiting`, `starting`, `running`, `stopping`, `stopped`, `finished` or `held`"),
    "tree[].restarts": Field("times", "it was replaced", "integer"),
    "tree[].pid": _often("process id", "while it is up", "integer"),
    "tree[].uptime_seconds": _often("s", "since it was started, while it is up", "number"),
    "tree[].last_seen_seconds": _often("s", "since it was last heard of", "number"),
    "tree[].resting": _often("yes or no", "whether it is stopped while memory is short", "boolean"),
    "tree[].rss_bytes": _often("bytes", "resident memory now", "integer"),
    "tree[].peak_rss_bytes": _often("bytes", "the most that was seen of it", "integer"),
    "tree[].cgroup_peak_bytes": _often("bytes", "the most that its cgroup counted", "integer"),
    "tree[].pss_bytes": _often(
        "bytes", "memory, a page that n processes share as 1/n; at most a minute old", "integer"
    ),
    "tree[].uss_bytes": _often("bytes", "memory that is its own alone; at most a minute old", "integer"),
    "tree[].rss_trend_bytes_per_hour": _often(
        "bytes an hour", "how fast it grows; null for the first ten minutes", "integer null"
    ),
    "tree[].cap_bytes": Field("bytes", "at which it is killed; 0: no cap", "integer"),
    "tree[].enforced_by": _often("word", "who holds it to its cap: `cgroup` (the kernel) or `sampling`"),
    "tree[].job": _often("job id", "what an image worker has in hand, at most two seconds ago", "integer"),
    "tree[].job_seconds": _often("s", "since it got that job", "number"),
    "tree[].last_exit.cause": Field("words", _CAUSE),
    "tree[].last_exit.what": Field("text", "how its last process ended"),
    "tree[].exit_causes.*": _often("times", "it ended for that cause", "integer"),
    "tree[].sandbox.seccomp": _often("yes or no", "whether the image worker's system calls are filtered", "boolean"),
    "tree[].sandbox.landlock": _often("version", "of Landlock, which keeps it to its files; 0: none", "integer"),
    "tree[].exits[].at": Field(TIME, "when one of its last twenty processes ended"),
    "tree[].exits[].cause": Field("words", _CAUSE),
    "tree[].exits[].what": Field("text", "how it ended"),
    "tree[].exits[].lived_seconds": _often("s", "from its start to its end", "number"),
    "tree[].exits[].peak_bytes": _often("bytes", "the most memory that was seen of it", "integer"),
    "tree[].exits[].cap_bytes": _often("bytes", "its cap; 0: none", "integer"),
    "tree[].exits[].job": _often("job id", "what it had in hand", "integer"),
    "tree[].exits[].stacks": _often("text", "the stacks of its threads, if it hung or crashed"),
    "memory.rss_bytes": Field("bytes", "resident memory of all processes", "integer"),
    "memory.peak_process_rss_bytes": Field("bytes", "the most that was seen of one process", "integer"),
    "memory.cap_bytes": Field("bytes", "sum of all caps", "integer"),
    "memory.available_bytes": Field("bytes", "what the machine could still give", "integer"),
    "memory.enforced_by": Field("word", "who holds workers to their caps: `cgroup` (the kernel) or `sampling`"),
    "memory.kills[].process": Field("name", "of a process that ended for want of memory; the last fifty"),
    "memory.kills[].at": Field(TIME, "when"),
    "memory.kills[].cause": Field(
        "words", "`out of memory` (its cap), `machine out of memory` or `perhaps out of memory`"
    ),
    "memory.kills[].what": Field("text", "how it ended"),
    "memory.kills[].lived_seconds": _often("s", "from its start to its end", "number"),
    "memory.kills[].peak_bytes": _often("bytes", "the most memory that was seen of it", "integer"),
    "memory.kills[].cap_bytes": _often("bytes", "its cap; 0: none", "integer"),
    "memory.kills[].job": _often("job id", "what it had in hand", "integer"),
    "channels[].id": Field(
        "channel id", "Telegram's bare positive id; null while it was not found yet", "integer null"
    ),
    "channels[].title": _often("text", "its name for people"),
    "channels[].cursor": Field("message id", "the newest message that is known", "integer"),
    "channels[].floor": _often("message id", "backfill goes on below this one", "integer"),
    "channels[].behind": Field(
        "messages",
        "that its source has and the journal has not, at most; null while there is no connection to it",
        "integer null",
    ),
    "channels[].backfilled": _often("messages", "that backfill has read", "integer null"),
    "channels[].backfill_left": _often("messages", "that backfill has still to read", "integer null"),
    "channels[].ignored.*": _often("messages", "of that kind, that have no picture to be taken", "integer"),
    "channels[].address": _often("text", "as the configuration names it"),
    "channels[].state": _often("word", "`read`, `not read yet`, `failing`, `closed` or `not configured`"),
    "channels[].is_member": _often("yes or no", "whether the account is a member", "boolean null"),
    "channels[].problem": _often("text", "why it is not read; empty if it is"),
    "channels[].remedy": _often("text", "what an operator can do about it"),
    "channels[].last_post_at": _often(TIME, "when its newest picture was posted", "string null"),
    "channels[].last_published_at": _often(TIME, "when a picture of it was last published", "string null"),
    "channels[].pictures": _often("pictures", "ever taken of it", "integer"),
    "channels[].ids_accounted": _often(
        "message ids", "from its floor to its cursor: each is a picture, another message, or absent", "integer"
    ),
    "channels[].ids_total": _often(
        "message ids", f"{_TELEGRAM}from its floor to its newest message; null while that is not known", "integer null"
    ),
    "channels[].ids_absent": _often("message ids", "of those accounted for, without a message, at least", "integer"),
    "reloads[].at": Field(
        TIME, "when the root last read its configuration again; the last twenty, since it was started"
    ),
    "reloads[].replaced": Field("processes", "of the root's own children that it replaced for that", "integer"),
    "quarantine[].job": Field(
        "job id", "of a picture that was set aside for killing its workers; the newest twenty", "integer"
    ),
    "quarantine[].channel": Field("channel id", "whose picture it is", "integer"),
    "quarantine[].message": Field("message id", "whose picture it is", "integer"),
    "quarantine[].reason": Field("text", "why"),
    "quarantine[].file": Field("path", "of the original, below `state_dir`"),
    **_of_stages(),
    "webhooks[].webhook": Field("text", "its place in the settings, and its URL without secrets"),
    "webhooks[].kind": Field("word", "`events` or `rebuild`"),
    "webhooks[].waiting": Field("messages", "that it has still to get, at most; `rebuild`: 1 or 0", "integer"),
    "webhooks[].delivered": Field("messages", "or rebuilds, that it has accepted, over all restarts", "integer"),
    "webhooks[].failed": Field("attempts", "that came to nothing, over all restarts", "integer"),
    "webhooks[].dead": Field("messages", "that are given up until `bin/run retry --webhooks`", "integer"),
    "webhooks[].circuit_breaker": Field("word", f"{_BREAKER}webhook"),
    "webhooks[].next_probe_at": Field(TIME, "when it is tried again, while its breaker is not closed", "string null"),
    "webhooks[].failing_since": Field(TIME, "since when it has accepted nothing, after a failure", "string null"),
    "webhooks[].error": Field("text", "what it last failed with since; empty if it works"),
    "webhooks[].gone_at": Field(TIME, "when it answered that it is gone (410); null if it has not", "string null"),
    "machines": Field("object", "other machines; null where `machines.role` is `all`", "object null"),
    "machines.role": Field("word", "of this one: `origin` or `node`"),
    "machines.id": Field("id", "of this machine's journal; empty while it is not known yet"),
    "machines.name": Field("name", "of this machine, for others"),
    "machines.last_answer_seconds": Field(
        "s", "since the database last answered about machines; null before it did", "number null"
    ),
    "machines.error": Field("text", "why it does not; empty if it does"),
    "machines.outstanding": _often("pictures", f"{_ORIGIN}handed over, and without a result yet", "integer"),
    "machines.results_waiting": _often("results", f"{_ORIGIN}of nodes, that it has not read yet", "integer"),
    "machines.needed_workers": _often(
        "workers",
        f"{_ORIGIN}of nodes, that would render what its own do not get to within `machines.target_seconds`",
        "integer",
    ),
    "machines.queues[].name": Field("word", "`live` or `backfill`"),
    "machines.queues[].length": Field("pictures", "in it, of all origins, those in hand among them", "integer"),
    "machines.queues[].oldest_seconds": Field("s", "since the oldest was put there; null: it is empty", "number null"),
    "machines.queues[].taken": Field("pictures", "of them, that nodes have in hand", "integer"),
    "machines.nodes[].name": Field("name", "of a node that has been seen"),
    "machines.nodes[].version": Field("version", "of its program"),
    "machines.nodes[].workers": Field("workers", "that it renders with", "integer"),
    "machines.nodes[].in_hand": Field("pictures", "that it has taken and not finished", "integer"),
    "machines.nodes[].rate_per_minute": Field("pictures a minute", "that it finishes", "number"),
    "machines.nodes[].problems[]": Field("text", "what it says is wrong there"),
    "machines.nodes[].last_seen_seconds": Field("s", "since it was last heard of", "number"),
    "machines.in_hand": _often("pictures", f"{_NODE}taken and not finished", "integer"),
    "machines.taken[].origin": Field("id", "of a machine that it works for"),
    "machines.taken[].in_hand": Field("pictures", "of that origin, that it has in hand", "integer"),
    "machines.taken[].published": Field("pictures", "published for it, over all restarts", "integer"),
    "machines.taken[].dead": Field("pictures", "that could not be rendered or published", "integer"),
    "machines.taken[].returned": Field("pictures", "given back untouched, for other nodes", "integer"),
    "machines.taken[].lost": Field("pictures", "whose leases were over, or that the origin took back", "integer"),
    "machines.taken[].last_at": Field(TIME, "when it last took or finished one of them", "string null"),
}
"""Every field of /status by its path. `[]` stands for each item of a list, `*` for each name that is data."""

SOURCES: Mapping[str, str] = {
    "": "journal",
    "ok": "health",
    "problems[]": "health",
    "stats.started_at": "root",
    "stats.connected": "connection",
    "stats.r2_": "uploader",
    "stats.supabase_": "uploader",
    "stats.last_error": "uploader, journal, root",
    "stats.last_heartbeat_at": "connection",
    "stats.source": "connection",
    "stats.feeds": "uploader",
    "stats.site": "uploader",
    "tree[]": "root, pool",
    "tree[].job": "pool",
    "tree[].sandbox": "pool",
    "memory": "root, pool",
    "memory.available_bytes": "kernel",
    "channels[].behind": "connection",
    "channels[].backfill_left": "connection",
    "channels[].address": "connection",
    "channels[].state": "connection",
    "channels[].is_member": "connection",
    "channels[].problem": "connection",
    "channels[].remedy": "connection",
    "channels[].ids_total": "connection",
    "reloads[]": "root",
    "machines": "uploader, connection",
    "machines.role": "settings",
    "machines.queues": "database",
    "machines.nodes": "database",
    "machines.results_waiting": "database",
}
"""Who says it, by the beginning of a path; the longest one counts."""

SOMETIMES = {
    *{"tree[].last_exit", "tree[].sandbox", "tree[].exits", "tree[].exit_causes", "channels[].ignored"},
    *{"machines.queues", "machines.nodes", "machines.taken"},
}
"""The objects and lists that what they are in may lack."""


def source(path: str) -> str:
    """Who says what the field says.

    >>> source("stats.seen"), source("stats.r2_next_probe_at"), source("tree[].job_seconds")
    ('journal', 'uploader', 'pool')
    """
    return SOURCES[max((one for one in SOURCES if path.startswith(one)), key=len)]


def table() -> str:
    """The fields as a table of Markdown."""
    rows = [f"| `{path}` | {field.unit} | {source(path)} | {field.meaning} |" for path, field in FIELDS.items()]
    return "\n".join(["| Field | Unit | From | Meaning |", "|---|---|---|---|", *rows])


def schema() -> dict[str, Any]:
    """The fields as a JSON Schema (draft 2020-12). A later version may add fields."""
    root: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The body of /status and /health of Picturedesk",
        "type": "object",
    }
    for path, field in FIELDS.items():
        *above, name = path.split(".")
        node, walked = root, ""
        for part in above:
            walked = f"{walked}.{part}" if walked else part
            node = _inside(node, part, always=walked.removesuffix("[]") not in SOMETIMES)
        kinds = field.kind.split()
        leaf = {"type": kinds if len(kinds) > 1 else kinds[0], "description": f"{field.meaning} ({field.unit})"}
        if name == "*":
            node["additionalProperties"] = leaf
        elif name.endswith("[]"):
            _put(node, name.removesuffix("[]"), {"type": "array", "items": leaf}, always=field.always)
        else:
            _put(node, name, leaf, always=field.always)
    return root


def _inside(node: dict[str, Any], part: str, *, always: bool) -> dict[str, Any]:
    """The schema of the object that the part of a path leads to, made if it is not there yet."""
    name, is_list = part.removesuffix("[]"), part.endswith("[]")
    if name not in node.get("properties", {}):
        item: dict[str, Any] = {"type": "object"}
        _put(node, name, {"type": "array", "items": item} if is_list else item, always=always)
    inside: dict[str, Any] = node["properties"][name]
    return inside["items"] if is_list else inside


def _put(node: dict[str, Any], name: str, content: dict[str, Any], *, always: bool) -> None:
    node.setdefault("properties", {})[name] = content
    if always:
        node.setdefault("required", []).append(name)
