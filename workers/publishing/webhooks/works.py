"""The webhooks of the settings as work of the uploader: the journal knows them, and each is made in its thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from ipc.journal import Journal
from ipc.journal.outputs import webhooks
from ipc.retry import RetryPolicy
from workers.publishing import catalog as catalogs
from workers.publishing.service.breaker import Breaker
from workers.publishing.webhooks.events import AT_ONCE, Events
from workers.publishing.webhooks.rebuild import Rebuild
from workers.publishing.webhooks.standing import Standing
from workers.publishing.webhooks.target import Target, targets

log = structlog.get_logger()


def register(journal: Journal, options: Mapping[str, Any]) -> list[Target]:
    """Enter the webhooks of the settings into the journal, and drop all others. A new one follows from now on."""
    wanted = targets(options)
    for label in webhooks.forget_others(journal, {(one.name, one.kind) for one in wanted}):
        log.info("webhook.removed", webhook=label)
    for one in wanted:
        webhooks.follow(journal, one.name, one.kind, one.label)
    return wanted


def make(target: Target, options: Mapping[str, Any], path: Path, stopping: Callable[[], bool]) -> Events | Rebuild:
    """Make a webhook's work. Called in the thread that uses it: connections are not shared by threads."""
    # httpx takes memory and time to import: an instance without webhooks doesn't pay for it.
    from workers.publishing.webhooks.receiver import Receiver  # noqa: PLC0415

    journal = Journal.open(path)
    standing = Standing(target, journal, Breaker(**options["breaker"]))
    policy = RetryPolicy(**options["retry"])
    receiver = Receiver(target.url, target.secret, options["version"], AT_ONCE if target.kind == "events" else 1)
    if target.kind == "rebuild":
        return Rebuild(target, journal, receiver, standing, policy)
    return Events(target, journal, catalogs.make(options), receiver, standing, policy, stopping)
