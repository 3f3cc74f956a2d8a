"""Everything that health knows at one moment: /status and its problems are made from this, and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ipc.journal.statistics import NO_POSTS, Histogram, Outcome, Stage

GRACE_SECONDS = 5.0
"""How long a child may be down, or the root silent, before that is a problem and not a replacement under way."""

START_SECONDS = 45.0
"""How long a child's first start may take: its supervisor waits as long for it to be ready."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the journal counts, read in one transaction.

    `ipc.journal.statistics` says what each figure from `stages` on is; `published_by_minute` is of the last hour.
    `renewals`: how many pictures that are rendered anew there are at each step (see `ipc.journal.renewals`);
    `takedowns`: the same of pictures that are taken down (`ipc.journal.outputs.takedowns`). `still_shown`: deleted and
    hidden ones whose rows were refused, up to a limit. `failures`: what keeps the work of `takedown` or the `cdn` from
    being done (`ipc.journal.breakers`).
    `webhooks`: how each stands (see `ipc.journal.outputs.webhooks.figures`).
    """

    states: Mapping[str, int]
    totals: Mapping[str, int]
    channels: tuple[Mapping[str, Any], ...]
    waiting_for_retry: int
    spool_bytes: int
    last_failure: str | None
    quarantined: tuple[Mapping[str, Any], ...] = ()
    stages: Mapping[Stage, Histogram] = field(default_factory=dict)
    post_to_row: Histogram = NO_POSTS
    outcomes: Mapping[tuple[Stage, Outcome], int] = field(default_factory=dict)
    restarts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    oldest_waiting_seconds: float = 0.0
    published_by_minute: tuple[tuple[int, int], ...] = ()
    renewals: Mapping[str, int] = field(default_factory=dict)
    takedowns: Mapping[str, int] = field(default_factory=dict)
    still_shown: int = 0
    failures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    webhooks: tuple[Mapping[str, Any], ...] = ()

    @property
    def queue_size(self) -> int:
        """Pictures that are neither published nor dead."""
        return sum(self.states.get(state, 0) for state in ("seen", "fetched", "rendered"))

    def workable(self, connection: Mapping[str, Any]) -> int:
        """Pictures that could be worked on now.

        Those that the connection can do nothing about wait for something else: their channel is not read, or not any
        more.
        """
        queue, later = self.queue_size, self.waiting_for_retry
        if connection.get("nothing_to_fetch"):
            seen = self.states.get("seen", 0)
            queue, later = queue - seen, max(0, later - seen)
        return max(0, queue - later)


NO_FIGURES = Figures({}, {}, (), 0, 0, None)


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Why messages do not reach a recipient (one of notify.urls), and since when (monotonic seconds).

    `label` names it without its secrets, `waiting` counts the notices that it has still to get.
    """

    label: str
    why: str
    waiting: int
    since: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at Unix second `now`.

    Durations are measured by the monotonic clock, which is never set: `monotonic` is what it shows, `silent_seconds`
    how long the root has said nothing, `unmoved_seconds` how long pictures have waited without one being finished.

    `tree` and `reports` hold the latest message of the root on each child, and of the children on each topic. `ends`
    says how the last incarnations of each child ended, `kills` which of all ends were for want of memory, the newest
    last. `figures` is None, and `journal_error` says why, where the journal cannot be read.

    `undelivered` are the recipients that messages to people do not reach.
    `version` is the program's. The disk of state_dir has `disk_free_bytes` left (None: it can't be asked). Nothing is
    fetched while the spool has `spool_limit_bytes`, or that disk less than `disk_reserve_bytes`.

    `machines` has this machine's role among others, and its name.

    `awake_since` is when this process last went on after a pause (monotonic seconds): messages from before may be late.
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
    undelivered: tuple[Undelivered, ...] = ()
    version: str = ""
    spool_limit_bytes: int = 0
    disk_free_bytes: int | None = None
    disk_reserve_bytes: int = 0
    machines: Mapping[str, Any] = field(default_factory=dict)

    def report(self, topic: str) -> Mapping[str, Any]:
        """The latest report on the topic; empty if there was none."""
        return self.reports.get(topic, {})

    def child(self, name: str) -> Mapping[str, Any]:
        """What the root said last of the child; empty if there is none of that name."""
        return self.tree.get(name, {})

    def unix(self, monotonic: float) -> float:
        """Unix seconds of a moment of the monotonic clock."""
        return self.now - (self.monotonic - monotonic)

    @property
    def root_is_silent(self) -> bool:
        """Whether the root is silent for too long. All is heard through it: nothing is known of the others then."""
        return self.silent_seconds > GRACE_SECONDS

    @property
    def is_connected(self) -> bool:
        """Whether the source is reached, as the running connection itself has said."""
        is_up = self.child("connection").get("state") == "running"
        return is_up and bool(self.report("connection").get("connected"))

    @property
    def channel_reports(self) -> list[Mapping[str, Any]]:
        """The connection's report on each configured channel, without those of an earlier, longer configuration."""
        count = self.report("connection").get("channels")
        topics = [topic for topic in self.reports if topic.startswith("channel ")]
        return [self.reports[one] for one in topics if count is None or int(one.removeprefix("channel ")) < count]

    @property
    def all_channels_reported(self) -> bool:
        """Whether the connection has said by now which channels it reads."""
        source = self.report("connection")
        if source.get("source") == "export":
            return source.get("channel") is not None
        return source.get("channels") == len(self.channel_reports)
