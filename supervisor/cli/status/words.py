"""What the screen says of /status, in words: pure functions of its body and the time.

A field that is not there (the instance may be of another version) is left out or shown as "-".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ipc.text.durations import duration
from ipc.text.printable import printable
from supervisor.cli.terminal import mebibytes

Body = Mapping[str, Any]

SERVICES = (("storage", "r2"), ("catalogue", "supabase"))
NAME_LENGTH = 200
"""Characters of a name of others that are looked at: no line of a terminal has room for more."""


def verdict(body: Body) -> str:
    """The first line.

    >>> verdict({"ok": True, "problems": []}), verdict({"ok": False, "problems": [1, 2]})
    ('ok', 'NOT OK: 2 problems')
    """
    if body["ok"]:
        return "ok"
    number = len(body["problems"])
    return f"NOT OK: {number} {'problem' if number == 1 else 'problems'}"


def ago(time: Any, now: float) -> str:
    """How long ago a time of /status was; empty for none.

    >>> ago("1970-01-01T00:01:00Z", 63.2), ago(None, 0.0), ago("1970-01-01T00:01:00Z", 0.0)
    ('4 s ago', '', 'now')
    """
    seconds = _seconds(time)
    return "" if seconds is None else "now" if now - seconds < 1 else f"{span(now - seconds)} ago"


def since(time: Any, now: float) -> str:
    """When something began, and how long ago.

    >>> since("1970-01-01T00:01:00Z", 130.0)
    'since 00:01:00 UTC, 2 min'
    """
    seconds = _seconds(time)
    return "" if seconds is None else since_unix(seconds, now)


def since_unix(seconds: float, now: float) -> str:
    """As `since`, from Unix seconds."""
    at = datetime.fromtimestamp(seconds, UTC)
    day = "" if now - seconds < 86400 else f"{at:%Y-%m-%d} "
    return f"since {day}{at:%H:%M:%S} UTC, {span(max(0.0, now - seconds))}"


def _seconds(time: Any) -> float | None:
    try:
        return datetime.fromisoformat(time).timestamp()
    except (TypeError, ValueError):
        return None


def span(seconds: float) -> str:
    """A duration in whole seconds at least."""
    return duration(float(-int(-seconds // 1)))


def doing(row: Mapping[str, Any]) -> str:
    """What a process has in hand, or why it is down.

    >>> doing({"job": 7, "job_seconds": 2.4}), doing({"pid": 3}), doing({"last_exit": {"what": "killed by SIGKILL"}})
    ('job 7, 2 s', '', 'killed by SIGKILL')
    """
    if "job" in row:
        seconds = row.get("job_seconds")
        return f"job {row['job']}" if seconds is None else f"job {row['job']}, {round(seconds)} s"
    if row.get("resting"):
        return "rests: memory is short"
    return "" if "pid" in row else safe(row.get("last_exit", {}).get("what", ""))


def last_end(row: Mapping[str, Any], now: float) -> str:
    """How its last process ended, and when.

    >>> last_end({"exits": [{"at": "1970-01-01T00:01:00Z", "what": "killed by SIGKILL"}]}, 63.0), last_end({}, 0.0)
    ('killed by SIGKILL, 3 s ago', '')
    """
    if not (exits := row.get("exits")):
        return ""
    return ", ".join(filter(None, (safe(exits[-1].get("what", "")), ago(exits[-1].get("at"), now))))


def memory(row: Mapping[str, Any]) -> str:
    """
    >>> memory({"rss_bytes": 2**27, "cap_bytes": 2**30}), memory({"rss_bytes": 2**27}), memory({})
    ('128M of 1024M', '128M', '-')
    """
    used, cap = row.get("rss_bytes"), row.get("cap_bytes")
    return f"{mebibytes(used)} of {mebibytes(cap)}" if used and cap else mebibytes(used)


def sandboxes(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """How well each image worker is sealed, workers that are sealed alike together.

    >>> row = {"name": "image-1", "sandbox": {"seccomp": True, "landlock": 4}}
    >>> sandboxes([row, {**row, "name": "image-2"}, {"name": "image-3", "sandbox": {"seccomp": False, "landlock": 0}}])
    ['image-1, image-2: seccomp, Landlock 4', 'image-3: none']
    >>> sandboxes([row, {"name": "pool"}])
    ['seccomp, Landlock 4']
    """
    by_level: dict[str, list[str]] = {}
    for row in rows:
        if found := row.get("sandbox"):
            layers = ["seccomp"] * bool(found.get("seccomp"))
            layers += [f"Landlock {found['landlock']}"] * bool(found.get("landlock"))
            by_level.setdefault(", ".join(layers) or "none", []).append(safe(row["name"]))
    if len(by_level) == 1:
        return [*by_level]
    return [f"{', '.join(names)}: {level}" for level, names in by_level.items()]


def flow(stats: Mapping[str, Any]) -> list[str]:
    """The pictures on their way, and how fast they are."""
    found = [f"{name} {count(stats.get(name))}" for name in ("seen", "fetched", "rendered")]
    found.append(f"published {count(stats.get('published', stats.get('processed')))}")
    found += [f"{what} {count(stats[name])}" for what, name in _WHERE_ANY if stats.get(name)]
    return found


_WHERE_ANY = (("dead", "dead"), ("retried", "retried"), ("wait for a retry", "waiting_for_retry"))


def pace(stats: Mapping[str, Any]) -> list[str]:
    """How fast pictures get through.

    >>> pace({"published_per_minute": 3.25, "oldest_waiting_seconds": 61, "post_to_row_seconds": {"p50": 4, "p99": 80}})
    ['3.2 a minute in the last hour', 'oldest waits 2 min', 'post to row p50 4 s, p99 2 min']
    """
    found = []
    if (rate := stats.get("published_per_minute")) is not None:
        found.append(f"{rate:.1f} a minute in the last hour")
    waiting = stats.get("oldest_waiting_seconds")
    found.append(f"oldest waits {span(waiting)}" if waiting else "none waits")
    latency = stats.get("post_to_row_seconds") or {}
    if latency.get("p50") is not None:
        found.append(f"post to row p50 {span(latency['p50'])}, p99 {span(latency.get('p99') or 0)}")
    return found


def services(stats: Mapping[str, Any], now: float) -> list[tuple[str, str, bool]]:
    """Each service: its name, how it is, and whether that is well."""
    found = []
    for name, key in SERVICES:
        state = safe(stats.get(f"{key}_circuit_breaker", "closed"))
        if state == "closed":
            found.append((name, "closed", True))
            continue
        words = [state, since(stats.get(f"{key}_circuit_breaker_since"), now), _next_try(stats, key, now)]
        found.append((name, ", ".join(filter(None, words)), False))
    source = stats.get("source") or {}
    is_connected = bool(stats.get("connected"))
    text = "connected" if is_connected else f"not connected {safe(source.get('error') or '')}".strip()
    found.append((safe(source.get("source") or "source"), text, is_connected))
    if source.get("spool_full"):
        found.append(("spool", f"full, {mebibytes(stats.get('spool_bytes'))}: fetching waits for room", False))
    return found


def outputs(body: Body) -> list[tuple[str, str, bool]]:
    """What is made of the rows besides, as far as something waits there or fails: name, how it is, if that is well."""
    stats = body["stats"]
    found = [("webhook", _webhook(one), not _is_stuck(one)) for one in body.get("webhooks", ()) if _is_shown(one)]
    for name, key in (("feeds", "feeds"), ("gallery", "site")):
        report = stats.get(key) or {}
        if report.get("failing_since"):
            found.append((name, f"failing: {safe(report.get('error') or '')}", False))
        elif report.get("waiting"):
            found.append((name, f"{count(report['waiting'])} {'posts' if key == 'feeds' else 'tasks'} wait", True))
    if leaving := _leaving(stats):
        found.append(("takedown", leaving, True))
    return found


def machines(body: Body) -> list[tuple[str, str, bool]]:
    """Other machines, in one line; none where there are none.

    >>> queues = [{"length": 4, "taken": 1}]
    >>> node = {"workers": 2, "last_seen_seconds": 3}
    >>> origin = {"role": "origin", "nodes": [node, node], "queues": queues, "outstanding": 7, "needed_workers": 5}
    >>> machines({"machines": {**origin, "error": ""}})
    [('nodes', '2 with 4 workers, 3 pictures wait, 7 outstanding, needed workers 5', True)]
    >>> machines({"machines": {"role": "node", "name": "beta", "in_hand": 2, "taken": [{}], "error": "HTTP 503"}})
    [('node', 'beta, 2 pictures in hand, has worked for 1 origin: HTTP 503', False)]
    >>> machines({}), machines({"machines": None})
    ([], [])
    """
    given = body.get("machines")
    if not given:
        return []
    error = safe(given.get("error") or "")
    text = _of_node(given) if given.get("role") == "node" else _of_origin(given)
    name = "node" if given.get("role") == "node" else "nodes"
    return [(name, f"{text}: {error}" if error else text, not error)]


def _of_origin(given: Mapping[str, Any]) -> str:
    nodes = given.get("nodes", ())
    workers = sum(one.get("workers", 0) for one in nodes)
    waiting = sum(one.get("length", 0) - one.get("taken", 0) for one in given.get("queues", ()))
    parts = [f"{count(len(nodes))} with {count(workers)} workers", f"{count(waiting)} pictures wait"]
    parts += [f"{count(given.get('outstanding'))} outstanding", f"needed workers {count(given.get('needed_workers'))}"]
    return ", ".join(parts)


def _of_node(given: Mapping[str, Any]) -> str:
    origins = len(given.get("taken", ()))
    works_for = (
        f"has worked for {count(origins)} {'origin' if origins == 1 else 'origins'}" if origins else "no work yet"
    )
    return f"{safe(given.get('name') or '')}, {count(given.get('in_hand'))} pictures in hand, {works_for}"


def _is_shown(webhook: Mapping[str, Any]) -> bool:
    return bool(webhook.get("waiting") or webhook.get("dead") or _is_stuck(webhook))


def _is_stuck(webhook: Mapping[str, Any]) -> bool:
    return bool(webhook.get("failing_since") or webhook.get("gone_at"))


def _webhook(one: Mapping[str, Any]) -> str:
    state = "gone, " if one.get("gone_at") else f"fails: {safe(one['error'])}, " if one.get("failing_since") else ""
    counts = f"{count(one.get('waiting', 0))} wait, {count(one.get('dead', 0))} dead"
    return f"{safe(one.get('webhook', ''))}: {state}{counts}"


def _leaving(stats: Mapping[str, Any]) -> str:
    """
    >>> _leaving({"takedowns": 1, "purges": 0}), _leaving({"takedowns": 2, "purges": 3}), _leaving({})
    ('objects of 1 picture to go', 'objects of 2 pictures to go, 3 addresses to purge', '')
    """
    pictures, addresses = stats.get("takedowns") or 0, stats.get("purges") or 0
    parts = [f"objects of {count(pictures)} {'picture' if pictures == 1 else 'pictures'} to go"] if pictures else []
    parts += [f"{count(addresses)} {'address' if addresses == 1 else 'addresses'} to purge"] if addresses else []
    return ", ".join(parts)


def _next_try(stats: Mapping[str, Any], key: str, now: float) -> str:
    at = _seconds(stats.get(f"{key}_next_probe_at"))
    if at is None:
        return ""
    return f"next probe in {span(at - now)}" if at > now else "next probe now"


def by_need(channels: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The channels, those first that somebody should look at: with a problem, then behind. Else in their order."""
    return sorted(channels, key=lambda one: (not one.get("problem"), -(one.get("behind") or 0)))


def channel_name(one: Mapping[str, Any]) -> str:
    """The channel's title and address; the address alone while it was not found yet."""
    address, title = safe(one.get("address") or one.get("id") or ""), safe(one.get("title") or "")
    return f"{title} ({address})" if title and address else title or address


def lag(one: Mapping[str, Any]) -> str:
    """
    >>> lag({"behind": 0}), lag({"behind": 1234}), lag({"behind": None}), lag({"behind": 3, "state": "not configured"})
    ('0', '1,234', '?', 'not configured')
    """
    if one.get("state") == "not configured":
        return "not configured"
    return "?" if one.get("behind") is None else count(one["behind"])


def complete(one: Mapping[str, Any]) -> str:
    """
    >>> complete({"ids_accounted": 12481, "ids_total": 12481}), complete({"ids_accounted": 7, "ids_total": None})
    ('12,481 of 12,481', '7')
    """
    if "ids_accounted" not in one:
        return "-"
    total = one.get("ids_total")
    return count(one["ids_accounted"]) + ("" if total is None else f" of {count(total)}")


def backfill(one: Mapping[str, Any]) -> str:
    """
    >>> backfill({"backfilled": 50, "backfill_left": 150}), backfill({})
    ('backfill 25 %', '')
    """
    left, done = one.get("backfill_left"), one.get("backfilled") or 0
    return f"backfill {100 * done // (done + left)} %" if left else ""


def count(value: Any) -> str:
    """A number for people; "-" for none."""
    return f"{value:,}" if isinstance(value, int) else "-"


def safe(text: Any, length: int = NAME_LENGTH) -> str:
    """Text of others, cut and made safe to show.

    >>> safe("a\\x1b[2J")
    'a\\\\x1b[2J'
    """
    return printable(str(text)[:length])
