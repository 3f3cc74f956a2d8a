"""All detectors, in the order of /status."""

from __future__ import annotations

from health.problems import (
    delivery,
    disk,
    documents,
    machines,
    memory,
    pictures,
    services,
    takedown,
    telegram,
    tree,
    webhooks,
)
from health.problems.problem import Detector, Problem
from health.snapshot import Snapshot

DETECTORS: tuple[Detector, ...] = (
    tree.root_silent,
    tree.children_down,
    tree.children_silent,
    disk.journal_unreadable,
    disk.state_dir_not_writable,
    telegram.source_not_connected,
    telegram.channels_unreadable,
    telegram.fetching_fails,
    telegram.flooded,
    memory.machine_short_of_memory,
    disk.spool_not_writable,
    pictures.sandbox_broken,
    pictures.sandbox_incomplete,
    pictures.codecs_broken,
    pictures.encoder_falls_back,
    services.services_down,
    machines.schema_missing,
    machines.unreachable,
)

WITHOUT_A_REASON: tuple[Detector, ...] = (pictures.standing_still,)
"""Asked only while the others find nothing: anything that they find is the reason."""

NO_REASON: tuple[Detector, ...] = (
    services.schema_outdated,
    takedown.rows_stay,
    takedown.objects_stay,
    takedown.copies_stay,
    webhooks.webhooks_failing,
    webhooks.webhooks_gone,
    documents.feeds_failing,
    documents.site_failing,
    machines.nodes_silent,
    machines.queues_old,
    machines.other_bucket,
    machines.not_understood,
    delivery.messages_undelivered,
)
"""What they find is the reason for nothing else."""


def find_problems(snapshot: Snapshot) -> list[Problem]:
    """What is wrong now, in the order of /status."""
    return (_ask(DETECTORS, snapshot) or _ask(WITHOUT_A_REASON, snapshot)) + _ask(NO_REASON, snapshot)


def _ask(detectors: tuple[Detector, ...], snapshot: Snapshot) -> list[Problem]:
    return [problem for detect in detectors for problem in detect(snapshot)]
