"""What the journal and the configuration know of one post."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipc.jobs import Job
from ipc.journal import Journal, breakers, figures, lookup, peers, queue
from ipc.journal.outputs import takedowns, webhooks
from ipc.text import channel_address
from ipc.text.post_address import PostAddress
from supervisor.settings import Settings

MOST_BEFORE = 10_000
"""Most jobs before this one that are counted. Beyond that there are "more"."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`channel` is what the journal knows of the channel, `job` of the post; None: nothing.

    `is_configured`: the channel is among those that are read. `is_live`: channels of Telegram are, not an export.
    `before` is the number of jobs in the queue before this one, MOST_BEFORE at most; None: it is not its turn that it
    waits for. `breaker` is that of the service that it needs next, unless it is closed (see `ipc.journal.breakers`).
    `takedowns` are the steps of its pictures whose objects are to go. `webhooks` have still to be told of it: the label
    of each, and what it last failed with.
    """

    address: PostAddress
    channel_id: int | None
    channel: Mapping[str, Any] | None
    is_live: bool
    is_configured: bool
    job: Job | None
    before: int | None = None
    breaker: Mapping[str, Any] | None = None
    takedowns: frozenset[takedowns.TakedownStep] = frozenset()
    webhooks: Sequence[tuple[str, str]] = ()


def find(journal: Journal, settings: Settings, address: PostAddress) -> Finding:
    """Find everything about a post, at one moment."""
    with journal.reading():
        ids = _ids_of(journal, address)
        jobs = [job for one in ids if (job := lookup.known(journal, one, address.message_id))]
        job = jobs[0] if jobs else None
        channel_id = job.channel_id if job else next(iter(ids), None)
        channels = {row["id"]: row for row in figures.channels(journal)}
        service = None
        if job and job.state == "rendered":
            service = "catalog" if job.stored else "storage"
        return Finding(
            address=address,
            channel_id=channel_id,
            channel=None if channel_id is None else channels.get(channel_id),
            is_live=bool(settings.telegram.api_id),
            is_configured=_is_configured(journal, settings, address, channel_id),
            job=job,
            before=queue.jobs_before(journal, job, MOST_BEFORE) if job else None,
            breaker=breakers.get(journal, service) if service else None,
            takedowns=frozenset(one.step for one in takedowns.of(journal, job.id)) if job else frozenset(),
            webhooks=webhooks.still_to_tell(journal, job.channel_id, job.message_id) if job else (),
        )


def _ids_of(journal: Journal, address: PostAddress) -> list[int]:
    """The channels that the address may mean: a name may have gone from one to another."""
    if address.channel.kind == "id":
        return [int(address.channel.value)]
    return sorted(peers.channel_ids(journal, address.channel.key))


def _is_configured(journal: Journal, settings: Settings, address: PostAddress, channel_id: int | None) -> bool:
    configured = [channel_address.parse(text) for text in settings.telegram.channels]
    if address.channel in configured:
        return True
    return channel_id is not None and any(
        one.value == str(channel_id) if one.kind == "id" else channel_id in peers.channel_ids(journal, one.key)
        for one in configured
    )
