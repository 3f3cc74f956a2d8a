"""What `check` tries of the machine: whether state_dir can be written, the port had, workers be held and sealed."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path

from ipc.kernel import proc
from ipc.process.checklist import Checklist
from supervisor import child_options
from supervisor.child import sandbox
from supervisor.cli import client
from supervisor.cli.terminal import mebibytes
from supervisor.host import instance_lock
from supervisor.resources import cgroups
from supervisor.resources.memory import MIB
from supervisor.settings import Settings

TRIAL_BYTES = 64 * 1024
SLOW_SECONDS = 1.0
"""A picture costs a few fsyncs: with such a disk, one a second at best."""


def check_state_dir(settings: Settings, tried: Checklist) -> None:
    """Whether files can be written there that stay, and how much room there is."""
    folder, missing = settings.state_dir, ""
    while not folder.exists() and folder != folder.parent:
        folder, missing = folder.parent, f", in which {settings.state_dir} will be made"
    try:
        seconds = 0.0 if missing else _write(folder)
        facts = os.statvfs(folder)
    except OSError as error:
        tried.fail(
            f"state_dir {folder}: cannot be written: {error.strerror}. Make room, or check its owner and the disk"
        )
        return
    if missing and not os.access(folder, os.W_OK | os.X_OK):
        tried.fail(f"state_dir: {folder}{missing}, cannot be written. Check its owner, or set state_dir")
        return
    what = f"{folder}{missing}, can be written" if missing else f"{folder}: written and fsynced in {seconds:.3f} s"
    if seconds > SLOW_SECONDS:
        tried.warn(f"state_dir {what}, which is slow. A disk of this machine's own is faster than a network's")
    else:
        tried.ok(f"state_dir {what}")
    _check_space(settings, folder, facts.f_bavail * facts.f_frsize, tried)


def _write(folder: Path) -> float:
    """Write a file that is gone at once. Returns the seconds that its fsync took."""
    with tempfile.TemporaryFile(dir=folder, prefix=".picturedesk-check-") as file:
        file.write(bytes(TRIAL_BYTES))
        file.flush()
        begun = time.monotonic()
        os.fsync(file.fileno())
        return time.monotonic() - begun


def _check_space(settings: Settings, folder: Path, free: int, tried: Checklist) -> None:
    what = f"space: {mebibytes(free)} free on the disk of {folder}"
    if free < settings.spool.min_free_mb * MIB:
        tried.warn(f"{what}, less than spool.min_free_mb ({settings.spool.min_free_mb}): nothing is fetched. Make room")
    else:
        tried.ok(what)


def check_port(settings: Settings, tried: Checklist) -> None:
    """Whether the server can have its port; beside a running instance, whether that answers there."""
    where = f"{settings.health.host}:{settings.health.port}"
    if card := instance_lock.running(settings.state_dir):
        try:
            client.get_status(settings)
        except client.NoInstance as error:
            tried.warn(f"health: {error}")
        else:
            tried.ok(f"health: the running instance answers at {card.url}")
        return
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.health.host, settings.health.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        tried.fail(
            f"health: cannot listen on {where}: {error.strerror or error}."
            " Set health.port (or PORT) to a free port; 0 takes any"
        )
    else:
        tried.ok(f"health: {where} is free" if settings.health.port else "health: any free port")


def check_memory(settings: Settings, tried: Checklist) -> None:
    """How many workers there are, their caps, and who holds them to these."""
    workers = child_options.image_processors(settings)
    tried.ok(f"image workers: {workers.count} ({workers.why})")
    available, floor = proc.available_bytes(), settings.supervisor.memory_floor_mb * MIB
    what = f"memory: a cap of {settings.pool.memory_cap_mb}M a worker, the machine has {mebibytes(available)} left"
    if available is not None and available < floor:
        tried.warn(f"{what}, less than supervisor.memory_floor_mb: half of the workers rest. Stop what uses it")
    else:
        tried.ok(what)
    own = cgroups.own()
    why_not = "there is no cgroup v2" if own is None else cgroups.unfit(own)
    by = f"by sampling, as started from here: {why_not}" if why_not else "by the kernel (cgroup)"
    tried.ok(f"memory caps: held {by}")


def check_sandbox(settings: Settings, tried: Checklist) -> None:
    """How well image workers are sealed on this machine."""
    if settings.pool.sandbox == "off":
        tried.warn('sandbox: none (pool.sandbox = "off"). Remove that setting, unless you debug a worker')
        return
    best = sandbox.best()
    if not best.seccomp:
        tried.warn(
            f"sandbox: {best}, no seccomp. {sandbox.REMEDY}" if best.landlock else f"sandbox: {best}. {sandbox.REMEDY}"
        )
    else:
        tried.ok(f"sandbox: {best}")
