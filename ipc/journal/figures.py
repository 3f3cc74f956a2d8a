"""What /status shows of the journal. Triggers keep the counts: no figure reads the jobs to count them."""

from __future__ import annotations

from typing import Any

import msgpack

from ipc.jobs import STATES
from ipc.journal import Journal
from ipc.retry import FARTHEST_SECONDS


def states(journal: Journal) -> dict[str, int]:
    """The number of jobs in each state."""
    return dict.fromkeys(STATES, 0) | {row["state"]: row["jobs"] for row in journal.run("states")}


def totals(journal: Journal) -> dict[str, int]:
    """`processed`, `failed` and `retried` since the journal was made; `encoder_fallbacks` and
    `renewed` (pictures that were rendered anew), once there was one.
    """
    return {row["name"]: row["value"] for row in journal.run("totals")}


def channels(journal: Journal) -> list[dict[str, Any]]:
    """id, title, range, messages backfilled and counts of messages ignored, of every channel."""
    return [{**dict(row), "ignored": msgpack.unpackb(row["ignored"])} for row in journal.run("channels")]


def channels_in_full(journal: Journal) -> list[dict[str, Any]]:
    """As `channels`, and when the newest picture was posted (by its message's id) and the last one published, both Unix
    seconds or None, and the number of pictures that were ever taken.
    """
    return [{**dict(row), "ignored": msgpack.unpackb(row["ignored"])} for row in journal.run("channel_figures")]


def spool_bytes(journal: Journal) -> int:
    """Bytes of originals and renditions on their way through the spool."""
    return int(journal.run("spool_bytes").fetchone()[0])


def waiting_for_retry(journal: Journal) -> tuple[int, float | None]:
    """How many jobs wait for a later attempt, and the Unix time of the first of them.

    Of more than a thousand that are overdue, the rest count as waiting: they are not read.
    """
    now = journal.clock()
    count, first = journal.run("waiting_for_retry", now=now, farthest=now + FARTHEST_SECONDS).fetchone()
    return count, first


def still_shown(journal: Journal, limit: int) -> int:
    """How many deleted and hidden pictures readers see as before, since their rows were refused; at most that many."""
    return int(journal.run("still_shown", limit=limit).fetchone()[0])


def last_failure(journal: Journal) -> str | None:
    """The newest failure of any job, with its message; None if there was none, or the job is published by now."""
    row = journal.run("last_failure").fetchone()
    return f"channel {row['channel_id']}, message {row['message_id']}: {row['reason']}" if row else None


def quarantined(journal: Journal, limit: int) -> list[dict[str, Any]]:
    """The newest pictures that were set aside for killing their workers: job, channel, message, reason, and the folder
    in the spool that has the original.
    """
    return [
        {
            "job": row["id"],
            "channel": row["channel_id"],
            "message": row["message_id"],
            "reason": row["reason"],
            "file": f"{row['id']}.{row['generation']}",
        }
        for row in journal.run("quarantined", limit=limit)
    ]
