"""The tree, on one page: every child, in the order of starting. Stopped in the reverse order, so intake ends first.

    root                       supervisor.root
    ├── health                 health.server          /status, /health, /live, /metrics and the page
    ├── uploader               workers.uploader       objects and rows
    ├── pool                   supervisor.processes.subtree        the same supervisor, with workers.pool as its router
    │   ├── image-1            workers.image          one picture at a time
    │   └── image-N
    ├── connection             workers.connection     the source
    ├── import                 workers.connection     an export that `bin/run import` has brought, until it is taken in
    └── NAME                   any command            the operator's own, as many as there are in the settings

A child gets its options (`supervisor.child_options`) and nothing else. Targets are names, resolved in the child's own
process, so no library of a child's can crash or fatten the root.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from supervisor.child_options import (
    connection_options,
    health_options,
    image_options,
    is_node,
    notify_options,
    uploader_options,
    worker_count,
)
from supervisor.processes.spec import ChildSpec, CommandSpec, Intensity, Restart, Sandbox
from supervisor.resources import cpu_quota
from supervisor.resources.memory import MIB
from supervisor.resources.pressure import MemoryLimits
from supervisor.settings import Settings
from supervisor.settings.commands import CommandSettings
from supervisor.start import Start

POOL_INTENSITY = Intensity(max_restarts=5, window_seconds=60.0, delay_seconds=5.0)
"""Image workers that die with no picture in hand. Small, because it multiplies with the root's; deaths that a picture
caused do not count."""


DEADLINE_MULTIPLIER = 4
"""While the machine keeps a worker off the CPU, the pool waits that many times job_seconds."""

LARGE_CAP = 2
"""How many times the cap a picture has that is rendered alone, since it ran out of memory."""

HANG_MARGIN_SECONDS = 15.0
"""An image worker's main loop stands while it renders, and the pool decides whether that takes too long. What
lasts longer than the pool allows is a hang."""


def faults(settings: Settings) -> list[str]:
    """What keeps a tree from being made of these settings."""
    if settings.telegram.api_id and not settings.telegram.channels and not is_node(settings):
        return ["telegram.channels is empty: name at least one channel, or leave telegram.api_id out"]
    if settings.pool.sandbox == "require":
        from supervisor.child import sandbox  # noqa: PLC0415 - the root needs none of it otherwise

        if not sandbox.best().seccomp:
            return [f'pool.sandbox = "require", and system calls can\'t be filtered here. {sandbox.REMEDY}']
    return []


def root_intensity(settings: Settings) -> Intensity:
    return Intensity(
        max_restarts=settings.supervisor.max_restarts,
        window_seconds=settings.supervisor.window_seconds,
        delay_seconds=settings.supervisor.restart_delay_seconds,
    )


def memory_limits(settings: Settings) -> MemoryLimits:
    return MemoryLimits(settings.supervisor.memory_floor_mb * MIB, settings.supervisor.memory_pressure_percent)


def children(settings: Settings, listen_fd: int, started: Start, cgroup: Path | None = None) -> tuple[ChildSpec, ...]:
    """The root's children. `listen_fd` is the listening socket of the health process, `started` the program's start,
    which outlives them. In `cgroup`, if there is one, workers get cgroups of their own.
    """
    drain = settings.supervisor.drain_seconds
    return (
        ChildSpec(
            "health",
            "health.server:main",
            health_options(settings, listen_fd, started),
            stop_seconds=3.0,
            inherit_fds=(listen_fd,),
        ),
        ChildSpec("uploader", "workers.uploader:main", uploader_options(settings), stop_seconds=max(1.0, drain)),
        ChildSpec(
            "pool",
            "supervisor.processes.subtree:main",
            {**pool_options(settings), "cgroup": str(cgroup or "")},
            stop_seconds=max(1.0, drain),
            takes_options=True,
        ),
        ChildSpec(
            "connection",
            "workers.connection:main",
            {**connection_options(settings), "started_at": started.unix, "since": int(started.unix)},
            stop_seconds=10.0,
            after_others=True,
        ),
        *map(operators_own, settings.supervisor.commands()),
    )


def operators_own(given: CommandSettings) -> ChildSpec:
    """A command as a child. Last, so that it keeps none of ours waiting: in a start it comes after them, and while the
    tree is being stopped they don't wait for its end.
    """
    return ChildSpec(
        given.name,
        command=CommandSpec(given.command, str(given.directory), dict(given.environment), given.stop_signal),
        restart=cast(Restart, given.restart),
        hang_seconds=math.inf,
        stop_seconds=given.stop_seconds,
        cap_bytes=given.memory_cap_mb * MIB,
        after_others=True,
    )


def image_worker(settings: Settings) -> ChildSpec:
    """The spec of each of the pool's children."""
    options = {
        **image_options(settings),
        "spool": str(settings.state_dir / "spool"),
        "largest_cap_bytes": LARGE_CAP * settings.pool.memory_cap_mb * MIB,
        "gc_every": settings.pool.gc_every,
    }
    return ChildSpec(
        "image",
        "workers.image:main",
        options,
        sandbox=cast(Sandbox, settings.pool.sandbox),
        workplace="workers.image:make_workplace",
        goes_first=True,
        nice=10,
        returns_memory=False,
        stop_seconds=max(1.0, settings.supervisor.drain_seconds),
        hang_seconds=max(60.0, settings.pool.job_seconds + HANG_MARGIN_SECONDS),
        stall_seconds=DEADLINE_MULTIPLIER * settings.pool.job_seconds + HANG_MARGIN_SECONDS,
        cap_bytes=settings.pool.memory_cap_mb * MIB,
    )


def pool_options(settings: Settings) -> dict[str, Any]:
    """The workers are given as one spec and a number: that fits into a message, however many there are."""
    return {
        "state_dir": str(settings.state_dir),
        "router": "workers.pool:Pool",
        "children": [asdict(image_worker(settings))],
        "copies": worker_count(settings),
        "intensity": asdict(POOL_INTENSITY),
        "drain_seconds": settings.supervisor.drain_seconds,
        "log": asdict(settings.log),
        "retry": asdict(settings.retry),
        "job_seconds": settings.pool.job_seconds,
        "deadline_multiplier": DEADLINE_MULTIPLIER,
        "poison_after": settings.pool.poison_after,
        "cap_bytes": settings.pool.memory_cap_mb * MIB,
        "large_cap": LARGE_CAP,
        "soft_cap_bytes": settings.pool.memory_soft_mb * MIB,
        "processors": cpu_quota.usable().count,
    }


IMPORT = "import"


def importer(settings: Settings, path: Path, number: int, since: int) -> ChildSpec:
    """The child that takes in one more export beside the source, and ends when all of it is published or dead.

    `number` tells this import from the others, `since` is the Unix second that it begins at.
    """
    options = {**connection_options(settings), "telegram": None, "export": str(path)}
    return ChildSpec(
        IMPORT,
        "workers.connection:take_export",
        {**options, "topic": IMPORT, "number": number, "since": since},
        restart="transient",
        stop_seconds=10.0,
        after_others=True,
        costs_only_itself=True,
        leaves_when_finished=True,
    )


Check = Callable[[Settings], dict[str, Any]]

CHECKS: dict[str, Check] = {
    "workers.connection:check": connection_options,
    "workers.publishing.storage:check": uploader_options,
    "workers.publishing.catalog:check": uploader_options,
    "workers.publishing.republish:check": uploader_options,
    "workers.publishing.takedown.check:check": uploader_options,
    "workers.publishing.webhooks.check:check": uploader_options,
    "workers.publishing.documents.feeds:check": uploader_options,
    "workers.publishing.documents.site:check": uploader_options,
    "health.notify.check:check": notify_options,
}
"""What `check` runs besides reading the configuration: each gets its child's options and names what is wrong."""

OF_A_NODE = ("workers.publishing.storage:check", "workers.publishing.catalog:check", "health.notify.check:check")
"""Checks for a node, which has no source, and makes pictures and rows only."""


def checks(settings: Settings) -> dict[str, Check]:
    """The `CHECKS` that this machine's role needs. The catalogue's tries the queues of many machines, too."""
    return {target: CHECKS[target] for target in OF_A_NODE} if is_node(settings) else CHECKS
