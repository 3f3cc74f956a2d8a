"""Where a post is, what it waits for, and what to do: pure functions of what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ipc.jobs import Job
from ipc.journal import life
from ipc.journal.life import LifeStep
from ipc.rules import LEFT
from ipc.text.durations import duration
from ipc.text.timestamps import iso
from supervisor.cli.why.findings import MOST_BEFORE, Finding

START = "Start it with bin/run"
ADD = "Add it to telegram.channels, and run bin/run reload"
IMPORT = "Import an export that has it: bin/run import DIR"
NOTHING = ""

TAKERS = {"seen": "connection", "fetched": "pool", "rendered": "uploader"}
"""The child that takes jobs in a state."""

PROBLEMS = {
    "seen": ("source.", "telegram.", "spool.", "state_dir.", "root."),
    "fetched": ("machine.", "codec.", "spool.", "state_dir.", "root."),
    "rendered": ("state_dir.", "root."),
}
"""The problems of /status, by the beginning of their ids, that keep jobs in a state from going on."""


@dataclass(frozen=True, slots=True)
class Instance:
    """The program on that state_dir: its /status, or why that cannot be had."""

    is_running: bool
    status: Mapping[str, Any] | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that the post waits for. `remedy` may be empty: it passes by itself."""

    what: str
    remedy: str = NOTHING


@dataclass(frozen=True, slots=True)
class Explanation:
    """`state` is the job's, or why there is none: `not configured`, `not read yet`, `below floor`, `no picture`."""

    state: str
    what: str
    remedy: str = NOTHING
    waits_for: list[Wait] = field(default_factory=list)


def answer(finding: Finding, instance: Instance, now: float) -> Explanation:
    """`now` in Unix seconds."""
    job = finding.job
    if job is None:
        return _absent(finding, instance)
    if job.state == "published":
        return _published(finding, job)
    if job.state == "dead":
        return _dead(job)
    hidden, remedy = _hidden(job)
    waits = list(_waits(finding, job, instance, now))
    return Explanation(job.state, f"{_STANDING[job.state, job.stored]}{hidden}", remedy, waits)


def _published(finding: Finding, job: Job) -> Explanation:
    told = [
        Wait(f"{label}, which has still to be told of it{f': {error}' if error else ''}")
        for label, error in finding.webhooks
    ]
    gone = _taken_down(finding, job)
    if job.deleted_at:
        what = f"deleted in Telegram {iso(job.deleted_at)}; its row is a tombstone{gone}"
        return Explanation("published", what, waits_for=told)
    hidden, remedy = _hidden(job)
    return Explanation("published", f"published {iso(job.published_at)}{hidden}{gone}", remedy, told)


def _taken_down(finding: Finding, job: Job) -> str:
    """What is done with the objects of a post that readers must not see any more."""
    if "leaving" in finding.takedowns:
        return "; its objects are being deleted"
    if finding.takedowns:
        return "; its objects are deleted when storage.takedown_after_seconds has passed"
    if job.is_taken_down:
        at = next((one.at for one in reversed(life.read(job.life)) if one.step is LifeStep.TAKEN_DOWN), None)
        since = f" since {iso(at)}" if at else ""
        return f"; taken down{since}: its objects are deleted, but for those that another post has too"
    return ""


def _hidden(job: Job) -> tuple[str, str]:
    """Whether readers don't see it, and why; what would show it."""
    if job.hidden_at is None or job.deleted_at is not None:
        return "", NOTHING
    why, remedy = _HIDDEN[job.hidden_by or "operator"]
    gone = ", and its objects are deleted" if job.is_taken_down else ""
    return f"; hidden from readers since {iso(job.hidden_at)} {why}{gone}", remedy


_HIDDEN = {
    "caption": ("by #hide in its caption or its album's", "An edit that takes it out shows it; so does bin/run unhide"),
    "operator": ("by bin/run hide", "bin/run unhide shows it"),
    "block": ("as its picture is blocked", "bin/run block lists what is; bin/run block --remove SHA256 shows it"),
}
"""Why a post is hidden and what shows it, by `Job.hidden_by`."""


_STANDING = {
    ("seen", False): "recorded; its original is to be fetched",
    ("seen", True): "recorded; its original is to be fetched",
    ("fetched", False): "its original is in the spool; its renditions are to be made",
    ("fetched", True): "its original is in the spool; its renditions are to be made",
    ("rendered", False): "its renditions are in the spool; its objects are to be put into the storage",
    ("rendered", True): "its objects are in the storage; its row is to be written",
}
"""Where a job stands, by its state and whether it is stored."""


# A post that is there


def _dead(job: Job) -> Explanation:
    attempts = f"{job.attempts} {'attempt' if job.attempts == 1 else 'attempts'}"
    remedy = f"bin/run retry {job.id} brings it back, once the reason is gone"
    if job.dead_cause == "blocked":
        remedy = f"bin/run block --remove {job.sha256} lets it in"
    if job.dead_cause == "poison":
        remedy = f"It is set aside, since it killed its workers. bin/run retry {job.id} tries it once more"
    return Explanation("dead", f"a dead letter, from {job.dead_state} after {attempts}: {job.reason}", remedy)


def _waits(finding: Finding, job: Job, instance: Instance, now: float) -> Iterator[Wait]:
    """Everything that it waits for, what is most in its way first."""
    if not instance.is_running:
        yield Wait("the program does not run", START)
    elif instance.status is None:
        yield Wait(f"what the program does is not known: {instance.trouble}")
    else:
        yield from _obstacles(finding, job, instance.status)
    if breaker := finding.breaker:
        since, until = iso(breaker["opened_at"]), iso(breaker["silent_until"])
        service = "catalogue" if job.stored else "storage"
        yield Wait(
            f"the {service}, which has failed since {since} and is asked again {until}: {breaker['error']}",
            breaker["remedy"],
        )
    if job.is_handed_over:
        yield Wait(_machine(job))
    elif job.claimed_by:
        yield Wait(f"{job.claimed_by}, which has it in hand")
    elif job.next_at > now:
        after = f", after {job.attempts} failed" if job.attempts else ""
        why = f": {job.reason}" if job.reason else ""
        yield Wait(f"its next attempt, {iso(job.next_at)} (in {duration(job.next_at - now)}{after}){why}")
    elif job.next_at:
        yield Wait("its turn: the time of its next attempt has come")
    elif finding.before is not None:
        yield Wait(_turn(finding.before, job))


def _machine(job: Job) -> str:
    """What a job waits for that is not in our own pool. Which node has it, only the database knows."""
    at = next((one.at for one in reversed(life.read(job.life)) if one.step is LifeStep.HANDED_OVER), None)
    since = f" since {iso(at)}" if at else ""
    return f"another machine: it is handed over{since} (bin/run nodes shows which there are)"


def _turn(before: int, job: Job) -> str:
    many = f"more than {MOST_BEFORE:,}" if before >= MOST_BEFORE else f"{before:,}"
    alone = ", by itself in the pool" if job.queue == "alone" else ""
    return f"its turn{alone}: {many} before it" if before else f"its turn{alone}: it is the next"


def _obstacles(finding: Finding, job: Job, status: Mapping[str, Any]) -> Iterator[Wait]:
    """What /status shows that keeps it from going on."""
    taker = TAKERS[job.state]
    for problem in status["problems"]:
        of_taker = problem["id"].startswith("child.") and problem.get("subject") == f"child {taker}"
        if of_taker or problem["id"].startswith(PROBLEMS[job.state]):
            yield Wait(problem["what"], problem["remedy"])
    row = next((one for one in status["tree"] if one["name"] == taker), None)
    if row and row["state"] != "running":
        yield Wait(f"{taker}, which is {row['state']}")
    if job.state != "seen":
        return
    source = status["stats"]["source"]
    if source.get("spool_full"):
        yield Wait("room in the spool: the pictures in it go first (backpressure)")
    if until := source.get("flooded_until"):
        yield Wait(f"Telegram, which wants no more requests until {until}")
    channel = _row_of(finding, status)
    if channel.get("problem"):
        yield Wait(f"its channel, which is not read: {channel['problem']}", channel.get("remedy", NOTHING))
    elif channel.get("state") == "not configured" and job.source == "telegram":
        yield Wait("its channel, which is not configured any more", ADD)


def _row_of(finding: Finding, status: Mapping[str, Any]) -> Mapping[str, Any]:
    """The channel as /status has it; empty if it is not there."""
    for row in status["channels"]:
        if row["id"] == finding.channel_id and row["id"] is not None:
            return dict(row)
        if row["id"] is None and row.get("address") == str(finding.address.channel):
            return dict(row)
    return {}


# A post that is not there


def _absent(finding: Finding, instance: Instance) -> Explanation:
    message, channel = finding.address.message_id, finding.channel
    if channel is None:
        return _unknown_channel(finding, instance)
    if finding.is_live and not finding.is_configured:
        fate = _in_range(channel, message)
        return fate or Explanation(
            "not configured",
            f"its channel is not configured: only what was posted from {channel['floor']} to {channel['cursor']} was"
            " looked at",
            ADD,
        )
    if message > channel["cursor"]:
        return _beyond(finding, channel, instance)
    if message < channel["floor"]:
        return Explanation(
            "below floor",
            f"it was posted before what has been read of its channel, which begins with message {channel['floor']}",
            "telegram.backfill_on_start = true (BACKFILL_ON_START=1) has older posts read; telegram.backfill_limit says"
            " how many"
            if finding.is_live
            else IMPORT,
        )
    return _in_range(channel, message) or Explanation("no picture", NOTHING)


def _in_range(channel: Mapping[str, Any], message: int) -> Explanation | None:
    """What it means that a message which was looked at has no job; None: it was not looked at."""
    if not channel["floor"] <= message <= channel["cursor"]:
        return None
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(channel["ignored"].items()))
    passed = f" (passed over in this channel so far: {kinds})" if kinds else ""
    return Explanation(
        "no picture",
        f"it was looked at, and has no photo: a message of another kind{passed}, or it was deleted before, or there"
        f" never was one of that id{_BY_RULE if channel['ignored'].get(LEFT) else ''}",
    )


_BY_RULE = "; or one of telegram.rules leaves it"


def _unknown_channel(finding: Finding, instance: Instance) -> Explanation:
    if not finding.is_configured:
        known = "" if finding.address.channel.kind == "id" else ", or is known by its id only (https://t.me/c/ID/123)"
        remedy = ADD if finding.is_live else IMPORT
        return Explanation("not configured", f"its channel was never read{known}", remedy)
    row = _row_of(finding, instance.status) if instance.status else {}
    if row.get("problem"):
        return Explanation("not read yet", f"its channel is not read: {row['problem']}", row.get("remedy", NOTHING))
    return Explanation("not read yet", "its channel has not been read yet", NOTHING if instance.is_running else START)


def _beyond(finding: Finding, channel: Mapping[str, Any], instance: Instance) -> Explanation:
    what = f"it is beyond the newest message that was read, {channel['cursor']}"
    if not finding.is_live:
        return Explanation("not read yet", what, IMPORT)
    if not instance.is_running:
        return Explanation("not read yet", f"{what}; the program does not run", START)
    if instance.status is None:
        return Explanation("not read yet", f"{what}; what the program does is not known: {instance.trouble}")
    row = _row_of(finding, instance.status)
    if row.get("problem"):
        return Explanation(
            "not read yet", f"{what}, and its channel is not read: {row['problem']}", row.get("remedy", "")
        )
    problem = next((one for one in instance.status["problems"] if one["id"].startswith(PROBLEMS["seen"])), None)
    if problem:
        return Explanation("not read yet", f"{what}: {problem['what']}", problem["remedy"])
    behind = row.get("behind")
    if behind == 0:
        return Explanation("not read yet", f"{what}, and the source has no newer one: it is not posted yet")
    rest = "" if behind is None else f"; {behind:,} newer ones are about to be read"
    return Explanation("not read yet", f"{what}{rest}")
