"""What /status says: a pure function of what the processes told, what the journal counts, and the clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ipc.timestamps import iso

PATIENCE_SECONDS = 5.0
"""How long a child may be down, or the root silent, before that is a problem and not a replacement under way."""

START_SECONDS = 45.0
"""How long a child's first start may take: so long its supervisor waits for it to be ready."""

SILENT_SECONDS = 10.0
"""How long a child that runs may give no sign of life before that is a problem. More than two of its heartbeats."""

SAME_SECONDS = 2.0
"""Two times of one event that are nearer than this are one, told by different clocks."""

SUMMARY_LENGTH = 300
"""Of a problem in the summary. A message from process to process has 4 KiB."""

SHORT_REMEDY = (
    "Nothing is lost, and all are at work again when it is over. If it happens often: bin/run memory says who has how"
    " much; lower pool.workers, or give the machine more memory"
)

PATIENCE_REMEDY = "Nothing is lost; it is tried again by itself. If it lasts, check the service and the network"

FAILING_SECONDS = 3.0
"""So long after a service was first asked in vain, nothing having succeeded since, that is a problem. A single picture
that fails while others succeed is none: it is its own fault, most likely.
"""

HIDDEN = {"order", "started_at", "spawned", "since", "remedy", "under", "last_exit", "last_cause"} | {
    "heard",
    "beats",
    "trouble",
    "due",
}
"""What a child's facts hold besides its row."""

STUCK_SECONDS = 180.0
"""Work that waits so long without one picture finishing is stuck. Three times the longest time for one picture."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the journal counts, at one moment."""

    states: Mapping[str, int]
    totals: Mapping[str, int]
    channels: tuple[Mapping[str, Any], ...]
    waiting_for_retry: int
    spool_bytes: int
    last_failure: str | None
    quarantined: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that health knows, at Unix second `now`.

    Durations are measured by the monotonic clock, which nobody sets: `monotonic` is what it shows, `silent_seconds` how
    long the root has said nothing, `unmoved_seconds` how long pictures have waited without one being finished.

    `tree` and `reports` are the latest words of the root (by child) and of the children (by topic), `ends` how the last
    incarnations of each child ended, `kills` those of them that ended for want of memory, the newest last.

    `awake_since` is when this process last went on after it had not run for a while: what it has not heard before, it
    may have slept through.
    """

    now: float
    root: Mapping[str, Any]
    monotonic: float
    silent_seconds: float
    tree: Mapping[str, Mapping[str, Any]]
    reports: Mapping[str, Mapping[str, Any]]
    figures: Figures | None
    journal_error: str = ""
    unmoved_seconds: float = 0.0
    available_bytes: int = 0
    ends: Mapping[str, Iterable[Mapping[str, Any]]] = field(default_factory=dict)
    kills: Iterable[Mapping[str, Any]] = ()
    awake_since: float = -math.inf


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong. `key` tells it from the others, so that it can be said since when it is there."""

    key: str
    what: str
    remedy: str
    since: float | None = None


@dataclass
class Memory:
    """Since when each problem is there (Unix seconds): forgotten as soon as it is gone."""

    since: dict[str, float] = field(default_factory=dict)

    def date(self, problems: list[Problem], now: float) -> list[dict[str, str]]:
        """The problems as /status shows them."""
        self.since = {one.key: self._since(one, now) for one in problems}
        return [{"what": one.what, "since": iso(self.since[one.key]), "remedy": one.remedy} for one in problems]

    def _since(self, problem: Problem, now: float) -> float:
        """What was said before, unless the clock has been set since: the same moment is not told as two."""
        before = self.since.get(problem.key, now if problem.since is None else problem.since)
        return before if problem.since is None or abs(before - problem.since) < SAME_SECONDS else problem.since


def snapshot(known: Known, memory: Memory) -> dict[str, Any]:
    """The body of /status."""
    problems = list(find_problems(known)) or list(_problem_of_standing_still(known))
    return {
        "ok": not problems,
        "problems": memory.date(problems, known.now),
        "stats": _stats(known),
        "tree": _tree(known),
        "memory": _memory(known),
        "channels": _channels(known),
        "quarantine": _quarantine(known),
    }


def find_problems(known: Known) -> Iterator[Problem]:
    """What is wrong now, but for work that stands still without a reason."""
    if known.silent_seconds > PATIENCE_SECONDS:
        yield Problem(
            "root",
            f"the root has not been heard of for {known.silent_seconds:.0f} s",
            "If it lasts, restart the program",
        )
    for name, facts in known.tree.items():
        if not _is_explained(known, facts):
            yield from _problem_of_child(name, facts, known)
    yield from _problems_of_silence(known)
    if known.journal_error:
        yield Problem("journal", known.journal_error, "See the log; check the disk that state_dir is on")
    yield from _problem_of_the_disk(known)
    yield from _problems_of_reports(known)


def _problem_of_standing_still(known: Known) -> Iterator[Problem]:
    """Work waits and nothing gets done. For when nothing else is wrong: whatever is, is the reason."""
    connection = known.reports.get("connection", {})
    count = waiting(known.figures, connection) if known.figures else 0
    if count and known.unmoved_seconds > STUCK_SECONDS:
        yield Problem(
            "stuck",
            f"{count} pictures wait, and none has been finished since {iso(known.now - known.unmoved_seconds)}",
            "See the log of pool and uploader; bin/run status shows who is at what",
        )


def summarize(body: Mapping[str, Any]) -> str:
    """The body of /status in one line, for whoever has room for no more."""
    stats, problems = body["stats"], body["problems"]
    line = "connected" if stats["connected"] else "not connected"
    count = stats["queue_size"]
    line += f", {count} {'picture' if count == 1 else 'pictures'} waiting, {stats['dead']} dead"
    if not problems:
        return line
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{line}; {problems[0]['what'][:SUMMARY_LENGTH]}{more}"


def _is_explained(known: Known, facts: Mapping[str, Any]) -> bool:
    """Whether the child is down with its supervisor, which is the one problem then."""
    above = known.tree.get(facts.get("under", ""))
    return above is not None and above["state"] != "running"


def _problem_of_child(name: str, facts: Mapping[str, Any], known: Known) -> Iterator[Problem]:
    state, last, trouble = facts["state"], facts.get("last_exit", ""), facts.get("trouble", "")
    if facts.get("resting") and state in ("stopping", "stopped"):
        return  # while memory is short; that is a problem of its own
    seconds = known.monotonic - facts["since"]
    since = known.now - seconds
    if state == "held" or (trouble and state in ("starting", "running")):
        remedy = facts.get("remedy") or "See the log for what it said last"
        if "due" in facts:
            remedy += f". Else it is tried again at {iso(known.now + facts['due'] - known.monotonic)}"
        is_held = "is held" if state == "held" else "was held, and is tried once more"
        yield Problem(f"child {name}", f"{name} {is_held}: {trouble or last}", remedy, since)
    elif state == "stopped" and seconds > PATIENCE_SECONDS:
        yield Problem(f"child {name}", f"{name} is stopped: {last}", f"bin/run start {name}", since)
    elif state in ("waiting", "starting") and seconds > _patience_with(facts):
        why = f": {trouble}" if trouble else f" after: {last}" if last else ""
        yield Problem(
            f"child {name}",
            f"{name} is not running ({state}){why}",
            facts.get("remedy") or "It is started again by itself; if it keeps dying, its log records say why",
            since,
        )


def _patience_with(facts: Mapping[str, Any]) -> float:
    """How long a child may be down. Its first start takes as long as it takes, while nothing is known to be wrong."""
    is_first = not facts["restarts"] and not facts.get("last_exit") and not facts.get("trouble")
    return START_SECONDS if is_first else PATIENCE_SECONDS


def _problems_of_silence(known: Known) -> Iterator[Problem]:
    """Those that run, as far as anybody knows, and say nothing. All is heard through the root: while that is silent,
    nothing is known of the others.
    """
    if known.silent_seconds > PATIENCE_SECONDS:
        return
    for name, facts in known.tree.items():
        above = known.tree.get(facts.get("under", ""))
        if facts["state"] != "running" or not facts.get("beats") or "heard" not in facts:
            continue
        # What is heard of a supervisor's own children is heard through it: it has said nothing of them since.
        until = known.monotonic if above is None else above.get("heard", known.monotonic)
        if until - max(facts["heard"], known.awake_since) > SILENT_SECONDS:
            seconds = known.monotonic - facts["heard"]
            yield Problem(
                f"silence {name}",
                f"{name} has given no sign of life for {seconds:.0f} s",
                "It is ended and replaced by itself if that lasts."
                f" If somebody has stopped it: kill -CONT {facts['pid']}",
                known.now - seconds,
            )


def _problem_of_the_disk(known: Known) -> Iterator[Problem]:
    """Those that wait for the disk say so with their process id: what a process has said that is no more is void."""
    said = {name: known.reports.get(f"disk {name}", {}) for name in sorted(known.tree)}
    waiting = {
        name: str(facts["error"])
        for name, facts in said.items()
        if facts and facts["pid"] == known.tree[name].get("pid")
    }
    if waiting:
        yield Problem(
            "disk",
            f"state_dir cannot be written ({next(iter(waiting.values()))}): {', '.join(waiting)} waiting",
            "Nothing is lost, and it goes on by itself. Make room on state_dir's disk, or see what ails it",
        )


def _problems_of_reports(known: Known) -> Iterator[Problem]:
    connection, uploader = known.reports.get("connection", {}), known.reports.get("uploader", {})
    held = known.tree.get("connection", {}).get("state") == "held"
    if connection and not connection.get("connected") and not held and not _is_being_opened(known):
        yield Problem(
            "source",
            f"the source is not connected: {connection.get('error') or 'it is being opened'}",
            "See the log of the connection",
        )
    for facts in _channel_reports(known):
        if facts["problem"]:
            yield Problem(
                f"channel {facts['address']}",
                f"channel {facts['address']} can't be read: {facts['problem']}",
                facts["remedy"],
            )
    if connection.get("fetch_error"):
        yield Problem(
            "fetch",
            connection["fetch_error"],
            connection["fetch_error_remedy"],
            _seconds(connection["fetch_error_since"]),
        )
    if (_seconds(connection.get("flooded_until")) or 0.0) > known.now:
        yield Problem(
            "flood",
            f"Telegram asks to wait until {connection['flooded_until']} with some requests",
            "Nothing is lost; it goes on by itself. If it happens often, read fewer channels with this account",
        )
    machine = known.reports.get("machine", {})
    if machine.get("rationed"):
        yield Problem("machine", _shortage(machine), SHORT_REMEDY, machine["since"])
    for topic in ("connection", "pool"):
        if fault := known.reports.get(topic, {}).get("spool_error"):
            yield Problem(f"spool {topic}", fault, "Nothing is lost; make room on the disk that state_dir is on")
    yield from _problems_of_codecs(known.reports.get("pool", {}))
    for service, error, name in (("r2", "storage_error", "storage"), ("supabase", "catalog_error", "catalogue")):
        state = uploader.get(f"{service}_circuit_breaker", "closed")
        if state != "closed":
            since, next_at = uploader.get(f"{service}_circuit_breaker_since"), uploader.get(f"{service}_next_probe_at")
            waits = f"Nothing is lost; it is asked again by itself at {next_at}"
            todo = uploader.get(error.replace("_error", "_remedy"))
            yield Problem(
                f"breaker {service}",
                f"the {name}'s circuit breaker is {state}: {uploader.get(error)}",
                f"{todo[0].upper()}{todo[1:]}. After a change of the configuration: bin/run reload. {waits}"
                if todo
                else f"{waits}. If it lasts, check the service and the network",
                _seconds(since),
            )
        elif since := uploader.get(f"{service}_silent_since"):
            yield Problem(
                f"breaker {service}",
                f"the {name} has not answered since {since}: {uploader.get(error) or 'it is still waited for'}",
                PATIENCE_REMEDY,
                _seconds(since),
            )
        elif _is_past(uploader.get(f"{service}_failing_since"), known.now):
            yield Problem(
                f"breaker {service}",
                f"the {name} fails: {uploader.get(error) or 'it has not answered'}",
                PATIENCE_REMEDY,
                _seconds(uploader[f"{service}_failing_since"]),
            )


def _is_past(time: str | None, now: float) -> bool:
    """Whether it has failed since that time, and for long enough; also if the clock was set back since."""
    since = _seconds(time)
    return since is not None and abs(now - since) >= FAILING_SECONDS


def _problems_of_codecs(pool: Mapping[str, Any]) -> Iterator[Problem]:
    for codec, reason in pool.get("broken_codecs", {}).items():
        yield Problem(
            f"codec {codec}",
            f"the image workers' {codec} is broken, its pictures wait: {reason}",
            "Nothing is lost, and each waiting picture is tried again every ten minutes. Install the program anew, or"
            " go back to the version before; then bin/run restart pool",
        )
    if why := pool.get("encoder_fallback"):
        yield Problem(
            "encoder",
            f"most AVIF renditions are made by the second-best encoder, and are up to 70 % larger: {why}",
            "Nothing is lost. See the log of the image workers; install the program anew, or ENABLE_AVIF=0 until then",
        )


def _shortage(machine: Mapping[str, Any]) -> str:
    """What is the matter with the machine's memory, and what is done about it."""
    available, percent = machine["available_bytes"], machine["pressure_percent"]
    left = "" if available is None else f"{available // 2**20} MiB left"
    waits = "" if percent is None else f"processes wait for it {percent:.0f} % of the time"
    begin = "is short of memory" if machine["state"] == "short" else "was short of memory until just now"
    intake = "pictures are fetched" if machine["intake"] else "nothing is fetched"
    workers = machine["workers"]
    done = f"{workers} image worker{'s' if workers > 1 else ''} at work, {intake}"
    return f"the machine {begin} ({', '.join(filter(None, (left, waits)))}): {done}"


def _is_being_opened(known: Known) -> bool:
    """Whether the connection has begun a moment ago, and nothing is known to be wrong yet."""
    facts = known.tree.get("connection", {})
    patience = PATIENCE_SECONDS if facts.get("restarts") else START_SECONDS
    is_new = known.monotonic - facts.get("spawned", -math.inf) <= patience
    return not known.reports["connection"].get("error") and is_new


def _is_connected(known: Known) -> bool:
    """Whether there is a line to the source, as the running connection itself has said."""
    up = known.tree.get("connection", {}).get("state") == "running"
    return up and bool(known.reports.get("connection", {}).get("connected"))


def _seconds(time: str | None) -> float | None:
    """Unix seconds of a time that a process has reported."""
    return datetime.fromisoformat(time).timestamp() if time else None


def _quarantine(known: Known) -> list[dict[str, Any]]:
    """The pictures that were set aside for killing their workers, the newest first. `file` is below state_dir."""
    rows = known.figures.quarantined if known.figures else ()
    return [{**row, "file": f"spool/{row['file']}/original"} for row in rows]


def waiting(figures: Figures, connection: Mapping[str, Any]) -> int:
    """Pictures that could be worked on now.

    Those that the connection can do nothing about wait for something else: their channel is not read, or not any more.
    """
    queue, later = _queue_size(figures), figures.waiting_for_retry
    if connection.get("nothing_to_fetch"):
        seen = figures.states.get("seen", 0)
        queue, later = queue - seen, max(0, later - seen)
    return max(0, queue - later)


def _queue_size(figures: Figures) -> int:
    return sum(figures.states.get(state, 0) for state in ("seen", "fetched", "rendered"))


def _stats(known: Known) -> dict[str, Any]:
    figures = known.figures or Figures({}, {}, (), 0, 0, None)
    connection, uploader = known.reports.get("connection", {}), known.reports.get("uploader", {})
    return {
        "started_at": iso(known.root["started_at"]),
        "processed": figures.totals.get("processed", 0),
        "failed": figures.totals.get("failed", 0),
        "retried": figures.totals.get("retried", 0),
        "dead": figures.states.get("dead", 0),
        "encoder_fallbacks": figures.totals.get("encoder_fallbacks", 0),
        "connected": _is_connected(known),
        "queue_size": _queue_size(figures),
        "r2_circuit_breaker": uploader.get("r2_circuit_breaker", "closed"),
        "r2_circuit_breaker_since": uploader.get("r2_circuit_breaker_since"),
        "r2_next_probe_at": uploader.get("r2_next_probe_at"),
        "supabase_circuit_breaker": uploader.get("supabase_circuit_breaker", "closed"),
        "supabase_circuit_breaker_since": uploader.get("supabase_circuit_breaker_since"),
        "supabase_next_probe_at": uploader.get("supabase_next_probe_at"),
        "last_error": _last_error(known, figures),
        "last_heartbeat_at": connection.get("last_heartbeat_at"),
        "seen": figures.states.get("seen", 0),
        "fetched": figures.states.get("fetched", 0),
        "rendered": figures.states.get("rendered", 0),
        "waiting_for_retry": figures.waiting_for_retry,
        "spool_bytes": figures.spool_bytes,
        "source": {key: value for key, value in connection.items() if key != "last_heartbeat_at"},
    }


def _last_error(known: Known, figures: Figures) -> str | None:
    """The newest thing that went wrong and still matters: a failing job, a service, a child's end."""
    uploader = known.reports.get("uploader", {})
    services = [uploader.get(key) for key in ("storage_error", "catalog_error") if uploader.get(key)]
    ends = [
        (facts["since"], f"{name}: {facts['last_exit']}")
        for name, facts in known.tree.items()
        if facts.get("last_cause") not in (None, "asked") and facts["state"] != "finished"
    ]
    newest = [text for _, text in sorted(ends, reverse=True)]
    return next(iter([*services, *filter(None, [figures.last_failure]), *newest]), None)


def _tree(known: Known) -> list[dict[str, Any]]:
    """One row a process, the root first, then in the order of the tree."""
    in_order = sorted(known.tree.items(), key=lambda item: item[1]["order"])
    root = {**known.root, "heard": known.monotonic - known.silent_seconds}
    rows = [("root", root), *in_order]
    return [_row(name, facts, known.monotonic, known.ends.get(name, ())) for name, facts in rows]


def _row(name: str, facts: Mapping[str, Any], monotonic: float, ends: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    row = {"name": name, **{key: value for key, value in facts.items() if key not in HIDDEN}}
    if "spawned" in facts:
        row["uptime_seconds"] = round(max(0.0, monotonic - facts["spawned"]), 1)
    if "heard" in facts:
        row["last_seen_seconds"] = round(max(0.0, monotonic - facts["heard"]), 1)
    if facts.get("last_exit"):
        row["last_exit"] = {"cause": facts["last_cause"], "what": facts["last_exit"]}
    if exits := [{**end, "at": iso(end["at"])} for end in ends]:
        row["exits"] = exits
    return row


def _memory(known: Known) -> dict[str, Any]:
    """The tree's memory in bytes: RSS of all processes, the caps of the image workers, what the machine has left."""
    rows = [known.root, *known.tree.values()]
    return {
        "rss_bytes": sum(row.get("rss_bytes", 0) for row in rows),
        "peak_process_rss_bytes": max((row.get("peak_rss_bytes", 0) for row in rows), default=0),
        "cap_bytes": sum(row.get("cap_bytes", 0) for row in rows),
        "available_bytes": known.available_bytes,
        "enforced_by": _enforced_by(known),
        "kills": [{**kill, "at": iso(kill["at"])} for kill in known.kills],
    }


def _enforced_by(known: Known) -> str:
    """Who holds the workers to their caps: the kernel ("cgroup"), or we ("sampling")."""
    ways = {row["enforced_by"] for row in known.tree.values() if "enforced_by" in row}
    return "cgroup" if ways == {"cgroup"} else "sampling"


def _channels(known: Known) -> list[dict[str, Any]]:
    """Every channel that is known or configured; `behind` counts the messages that its source has and we have not, at
    most; None if nobody knows, as while there is no line to the source.

    From the journal what has been taken, from the connection how that stands against the source. A channel that could
    not be found yet has no id. One that was imported, or is not in the configuration any more, is "not configured".
    """
    rows = {row["id"]: {**row, "behind": None} for row in (known.figures.channels if known.figures else ())}
    source, is_connected = known.reports.get("connection", {}), _is_connected(known)
    if source.get("channel") in rows:
        rows[source["channel"]]["behind"] = source["behind"] if is_connected else None
    unknown = []
    for facts in _channel_reports(known):
        if facts["id"] in rows:
            told = {key: value for key, value in facts.items() if value is not None}
            rows[facts["id"]] |= {**told, "behind": facts["behind"] if is_connected else None}
        else:
            unknown.append({"cursor": 0, **facts, "behind": None})
    if _tells_of_all(known):
        configured = {source.get("channel"), *(facts["id"] for facts in _channel_reports(known))}
        others = [rows.pop(one) for one in list(rows) if one not in configured]
        unknown += [{**row, "state": "not configured"} for row in others]
    return [*rows.values(), *unknown]


def _tells_of_all(known: Known) -> bool:
    """Whether the connection has said by now which channels it reads."""
    source = known.reports.get("connection", {})
    if source.get("source") == "export":
        return source.get("channel") is not None
    return source.get("channels") == len(_channel_reports(known))


def _channel_reports(known: Known) -> list[Mapping[str, Any]]:
    """What the connection says of each configured channel, and not what one said of more of them."""
    count = known.reports.get("connection", {}).get("channels")
    topics = [topic for topic in known.reports if topic.startswith("channel ")]
    return [known.reports[one] for one in topics if count is None or int(one.removeprefix("channel ")) < count]
