"""What each child of the tree is told: its options, made of the settings. What is not named here, it does not know."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from supervisor.resources import cpu_quota
from supervisor.resources.cpu_quota import Processors
from supervisor.resources.memory import MIB
from supervisor.settings import Settings
from supervisor.settings.table import AUTO
from supervisor.start import Start
from supervisor.version import VERSION


def worker_count(settings: Settings) -> int:
    """How many image workers there are: one for each processor that we may use, unless `pool.workers` says so."""
    return image_processors(settings).count


def image_processors(settings: Settings) -> Processors:
    """How many processors the image workers are to keep busy, and what says so."""
    return Processors(settings.pool.workers, "pool.workers") if settings.pool.workers else cpu_quota.usable()


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


def telegram_options(settings: Settings) -> dict[str, Any]:
    return {**asdict(settings.telegram), "state_dir": str(settings.state_dir)}
