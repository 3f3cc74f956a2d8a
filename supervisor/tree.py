"""The tree, on one page: every child, in the order of starting. Stopped in the reverse order, so intake ends first.

    root                       supervisor.root
    ├── health                 health.server          /status and /health
    ├── uploader               workers.uploader       objects and rows
    ├── pool                   supervisor.node        the same supervisor, with workers.pool as its router
    │   ├── image-1            workers.image          one picture at a time
    │   └── image-N
    └── connection             workers.connection     the source

A child is told its options and nothing else: what is not named here, it does not know. Targets are names, resolved in
the child's own process, so no library of a child's can crash or fatten the root.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import Any

from supervisor.memory import MIB
from supervisor.settings import Settings
from supervisor.spec import ChildSpec, Intensity

POOL_INTENSITY = Intensity(max_restarts=5, window_seconds=60.0, delay_seconds=5.0)
"""Image workers that die with no picture in hand. Small, because it multiplies with the root's; deaths that a picture
caused do not count."""


def root_intensity(settings: Settings) -> Intensity:
    return Intensity(
        max_restarts=settings.supervisor.max_restarts,
        window_seconds=settings.supervisor.window_seconds,
        delay_seconds=settings.supervisor.restart_delay_seconds,
    )


def children(settings: Settings, listen_fd: int) -> tuple[ChildSpec, ...]:
    """The root's children. `listen_fd` is the listening socket of the health process."""
    drain = settings.supervisor.drain_seconds
    return (
        ChildSpec(
            "health",
            "health.server:main",
            health_options(settings, listen_fd),
            stop_seconds=3.0,
            inherit_fds=(listen_fd,),
        ),
        ChildSpec("uploader", "workers.uploader:main", uploader_options(settings), stop_seconds=max(1.0, drain)),
        ChildSpec("pool", "supervisor.node:main", pool_options(settings), stop_seconds=max(1.0, drain)),
        ChildSpec(
            "connection", "workers.connection:main", connection_options(settings), stop_seconds=10.0, after_others=True
        ),
    )


def image_workers(settings: Settings) -> tuple[ChildSpec, ...]:
    """The pool's children: one a core, unless `pool.workers` says otherwise."""
    count = settings.pool.workers or len(os.sched_getaffinity(0))
    images = settings.images
    options = {
        "limits": {
            "max_bytes": images.max_bytes,
            "max_dimension": images.max_dimension,
            "max_pixels": images.max_pixels,
        },
        "ladder": {"widths": list(images.widths), "webp": images.webp, "avif": images.avif},
        "gc_every": settings.pool.gc_every,
    }
    return tuple(
        ChildSpec(
            f"image-{number}",
            "workers.image:main",
            options,
            nice=10,
            returns_memory=False,
            stop_seconds=max(1.0, settings.supervisor.drain_seconds),
            cap_bytes=settings.pool.memory_cap_mb * MIB,
        )
        for number in range(1, count + 1)
    )


def health_options(settings: Settings, listen_fd: int) -> dict[str, Any]:
    return {
        "state_dir": str(settings.state_dir),
        "listen_fd": listen_fd,
        "token": settings.health.token,
        "root": {"pid": os.getpid(), "started_at": time.time()},
    }


def uploader_options(settings: Settings) -> dict[str, Any]:
    return {
        "state_dir": str(settings.state_dir),
        "storage": {"public_url": settings.storage.public_url, "prefix": settings.storage.prefix},
        "breaker": asdict(settings.breaker),
        "retry": asdict(settings.retry),
    }


def pool_options(settings: Settings) -> dict[str, Any]:
    return {
        "state_dir": str(settings.state_dir),
        "router": "workers.pool:Dispatch",
        "children": [asdict(spec) for spec in image_workers(settings)],
        "intensity": asdict(POOL_INTENSITY),
        "drain_seconds": settings.supervisor.drain_seconds,
        "log": asdict(settings.log),
        "retry": asdict(settings.retry),
        "job_seconds": settings.pool.job_seconds,
        "poison_after": settings.pool.poison_after,
        "cap_bytes": settings.pool.memory_cap_mb * MIB,
        "soft_cap_bytes": settings.pool.memory_soft_mb * MIB,
    }


def connection_options(settings: Settings) -> dict[str, Any]:
    return {
        "state_dir": str(settings.state_dir),
        "export": str(settings.export.path),
        "max_bytes": settings.images.max_bytes,
        "spool_max_bytes": settings.spool.max_mb * MIB,
        "heartbeat_seconds": settings.telegram.heartbeat_seconds,
        "retry": asdict(settings.retry),
    }


CHECKS = {"workers.connection:check": connection_options}
"""What `check` runs besides reading the configuration: each gets its child's options and names what is wrong."""
