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

A child gets its options and nothing else: what is not named here, it does not know. Targets are names, resolved in
the child's own process, so no library of a child's can crash or fatten the root.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from supervisor.processes.spec import ChildSpec, CommandSpec, Intensity, Restart, Sandbox, numbered
from supervisor.resources import cpu_quota
from supervisor.resources.cpu_quota import Processors
from supervisor.resources.memory import MIB
from supervisor.resources.pressure import MemoryLimits
from supervisor.settings import Settings
from supervisor.settings.commands import CommandSettings
from supervisor.settings.table import AUTO
from supervisor.version import VERSION

POOL_INTENSITY = Intensity(max_restarts=5, window_seconds=60.0, delay_seconds=5.0)
"""Image workers that die with no picture in hand. Small, because it multiplies with the root's; deaths that a picture
caused do not count."""


PATIENCE = 4
"""Deadline multiplier while the machine keeps a worker off the CPU: the pool waits that many times job_seconds."""

LARGE_CAP = 2
"""How many times the cap a picture has that is rendered alone, since it ran out of memory."""

HANG_MARGIN_SECONDS = 15.0
"""An image worker's main loop stands while it renders, and the pool decides whether that takes too long. What
lasts longer than the pool allows is a hang."""


@dataclass(frozen=True, slots=True)
class Start:
    """When the program was started, by both clocks: the one that people read can be set, durations need the other.

    `secret` tells this start from all others: sessions of the page end with it.
    """

    unix: float
    monotonic: float
    secret: str = field(repr=False)

    @classmethod
    def now(cls) -> Start:
        return cls(time.time(), time.monotonic(), os.urandom(32).hex())


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


def image_workers(settings: Settings) -> tuple[ChildSpec, ...]:
    """The pool's children: one for each processor that we may use, unless `pool.workers` says otherwise."""
    return numbered(image_worker(settings), worker_count(settings))


def worker_count(settings: Settings) -> int:
    """How many image workers there are."""
    return image_processors(settings).count


def image_processors(settings: Settings) -> Processors:
    """How many processors the image workers are to keep busy, and what says so."""
    return Processors(settings.pool.workers, "pool.workers") if settings.pool.workers else cpu_quota.usable()


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
        stall_seconds=PATIENCE * settings.pool.job_seconds + HANG_MARGIN_SECONDS,
        cap_bytes=settings.pool.memory_cap_mb * MIB,
    )


def image_options(settings: Settings) -> dict[str, Any]:
    """What is made of a picture: an image worker's own options, and what an origin asks of nodes."""
    images = settings.images
    return {
        "limits": {
            "max_bytes": images.max_bytes,
            "max_dimension": images.max_dimension,
            "max_pixels": images.max_pixels,
        },
        "ladder": {
            "widths": list(images.widths),
            "webp": images.webp,
            "avif": images.avif,
            "preset": images.preset,
            "jpeg_width": images.jpeg_width,
            "preview": images.preview,
            "animations": images.animations,
        },
        "strip": settings.storage.originals == "stripped",
    }


def is_node(settings: Settings) -> bool:
    """Whether this machine renders for others, and has no source of its own."""
    return settings.machines.role == "node"


def machines_options(settings: Settings) -> dict[str, Any]:
    """What a process knows of other machines; with the role "all" nothing but that. `workers` are image workers."""
    machines = settings.machines
    if machines.role == "all":
        return {"role": "all"}
    workers = worker_count(settings)
    above: int | str = machines.hand_over_above
    return {
        "role": machines.role,
        "hand_over_above": 2 * workers if above == AUTO else above,
        "wire_bucket": machines.wire_bucket or settings.storage.bucket,
        "name": machine_name(settings),
        "lease_seconds": machines.lease_seconds,
        "reconcile_seconds": machines.reconcile_seconds,
        "target_seconds": machines.target_seconds,
        "workers": workers,
    }


def machine_name(settings: Settings) -> str:
    """What others call this machine."""
    return settings.machines.name or socket.gethostname()


def health_options(settings: Settings, listen_fd: int, started: Start) -> dict[str, Any]:
    return {
        "state_dir": str(settings.state_dir),
        "listen_fd": listen_fd,
        "token": settings.health.token,
        "session_secret": started.secret,
        "allowed_hosts": [settings.health.host, *settings.health.allowed_hosts],
        "backend": settings.storage.backend,
        "public_url": settings.storage.public_url,
        "prefix": settings.storage.prefix,
        "show_captions": settings.health.show_captions,
        "gallery": gallery(settings),
        "root": {"pid": os.getpid(), "started_at": started.unix, "spawned": started.monotonic},
        **notify_options(settings),
        "version": VERSION,
        "machines": _role_and_name(settings),
        **spool_options(settings),
    }


def _role_and_name(settings: Settings) -> dict[str, str]:
    role = settings.machines.role
    return {"role": role} if role == "all" else {"role": role, "name": machine_name(settings)}


def spool_options(settings: Settings) -> dict[str, int]:
    return {
        "spool_max_bytes": settings.spool.max_mb * MIB,
        "min_free_bytes": settings.spool.min_free_mb * MIB,
    }


def notify_options(settings: Settings) -> dict[str, Any]:
    return {"notify": {**asdict(settings.notify), "urls": list(settings.notify.urls)}}


def uploader_options(settings: Settings) -> dict[str, Any]:
    return {
        "state_dir": str(settings.state_dir),
        "storage": asdict(settings.storage),
        "catalog": asdict(settings.catalog),
        "breaker": asdict(settings.breaker),
        "retry": asdict(settings.retry),
        "webhooks": [asdict(one) for one in settings.webhook] if not is_node(settings) else [],
        "editor_commands": settings.telegram.editor_commands,
        "version": VERSION,
        "feeds": {
            **asdict(settings.feeds),
            "enabled": is_on(settings.feeds.enabled, settings),
            "is_asked_for": settings.feeds.enabled == "true",
        },
        "site": {"enabled": is_on(settings.site.enabled, settings), "title": settings.site.title},
        "machines": machines_options(settings),
        **({"images": image_options(settings)} if settings.machines.role == "origin" else {}),
    }


def is_on(enabled: str, settings: Settings) -> bool:
    """Whether documents beside the pictures are made. With a bucket only if asked for: there they are public at once,
    under addresses that anyone can guess. A node makes none: its origin does.
    """
    if is_node(settings):
        return False
    return enabled == "true" or (enabled == "auto" and settings.storage.backend == "files")


def gallery(settings: Settings) -> str:
    """Where the gallery is: its URL, or "site/" of the health server; empty if there is none, or its URL is unknown."""
    storage = settings.storage
    if not is_on(settings.site.enabled, settings):
        return ""
    if storage.backend == "files":
        return "site/"
    base = storage.public_url.rstrip("/")
    return f"{base}/{quote(storage.prefix)}site/index.html" if base else ""


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
        "patience": PATIENCE,
        "poison_after": settings.pool.poison_after,
        "cap_bytes": settings.pool.memory_cap_mb * MIB,
        "large_cap": LARGE_CAP,
        "soft_cap_bytes": settings.pool.memory_soft_mb * MIB,
        "processors": cpu_quota.usable().count,
    }


def connection_options(settings: Settings) -> dict[str, Any]:
    """A node's source is the queue: it gets what reaches that, and nothing of an account."""
    services = {"storage": asdict(settings.storage), "catalog": asdict(settings.catalog)} if is_node(settings) else {}
    return {
        "state_dir": str(settings.state_dir),
        "telegram": telegram_options(settings) if has_account(settings) else None,
        "machines": machines_options(settings),
        "version": VERSION,
        **services,
        "export": str(settings.export.path),
        "video_posters": settings.telegram.video_posters,
        "max_bytes": settings.images.max_bytes,
        "backpressure": spool_options(settings),
        "heartbeat_seconds": settings.telegram.heartbeat_seconds,
        "retry": asdict(settings.retry),
        "editing": editing_options(settings),
    }


def has_account(settings: Settings) -> bool:
    """Whether the source is Telegram."""
    return bool(settings.telegram.api_id) and not is_node(settings)


def editing_options(settings: Settings) -> dict[str, Any]:
    """The options that `ipc.editing.Editing.from_options` reads."""
    telegram = settings.telegram
    return {"commands": telegram.editor_commands, "rules": [rule.options() for rule in telegram.rules]}


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


def telegram_options(settings: Settings) -> dict[str, Any]:
    return {**asdict(settings.telegram), "state_dir": str(settings.state_dir)}


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
