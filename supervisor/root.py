"""The root: takes the lock and the listening socket, then supervises until it is stopped. Imports no client library."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from ipc import private_files
from ipc.files.spool import Spool
from ipc.journal import Journal, JournalError, UnfitJournal
from ipc.text.printable import printable
from supervisor import child_options, logs, tree
from supervisor.commands.runner import Runner
from supervisor.host import instance_lock, signals
from supervisor.host.control_socket import Control
from supervisor.host.instance_lock import Card
from supervisor.host.operations import Operations
from supervisor.host.sd_notify import SystemdNotifier
from supervisor.host.systemd import Notified
from supervisor.processes.errors import CannotStart, CommandFailed
from supervisor.processes.router import RootRouter
from supervisor.processes.spec import ChildSpec
from supervisor.processes.supervisor import Supervisor
from supervisor.resources import cgroups, descriptors
from supervisor.resources.guard import Guard
from supervisor.settings import Settings
from supervisor.settings.table import TelegramSettings
from supervisor.start import Start

JOURNAL_SECONDS = 3600.0
"""What opening the journal may take: one of an older version, with millions of rows, is brought up to date by it."""

PORT_SECONDS = 5.0
"""How long to wait for the port: the health process of a killed tree has it for a moment longer."""


log = structlog.get_logger()


def start(read: Callable[[], Settings], stop_fd: int, export: Path | None = None, parent_fd: int | None = None) -> int:
    """The command `start`: run the tree in this process until it is stopped; the exit code.

    `read` reads the settings, now and at each reload. `export` takes the place of the configured source.
    """
    cwd = Path.cwd()

    def reread() -> Settings:
        settings = read()
        if export is None:
            return settings
        without_commands = replace(settings.supervisor, worker_script="", command=())
        export_alone = replace(settings.export, path=cwd / export)
        given = settings.telegram
        what_posts_say = TelegramSettings(editor_commands=given.editor_commands, rules=given.rules)
        return replace(settings, telegram=what_posts_say, export=export_alone, supervisor=without_commands)

    settings = reread()

    def announce(url: str) -> None:
        gallery = child_options.gallery(settings)
        lines = (
            f"Picturedesk reads {_source(settings)}",
            f"Pictures go to {_storage(settings)}, rows to {_catalog(settings)}",
            *([f"Gallery: {gallery if '://' in gallery else f'{url}/{gallery}'}"] if gallery else []),
            f"Status: {url}/status or bin/run status; stop with Ctrl-C",
        )
        with contextlib.suppress(OSError):  # the reader may be gone
            os.write(1, "".join(f"{printable(line)}\n" for line in lines).encode())

    return run(settings, stop_fd, announce, parent_fd, reread)


def _source(settings: Settings) -> str:
    count = len(settings.telegram.channels)
    if child_options.is_node(settings):
        return (
            f"what the origins of {settings.catalog.url} hand over, as the node {child_options.machine_name(settings)}"
        )
    if settings.telegram.api_id:
        return "one Telegram channel" if count == 1 else f"{count} Telegram channels"
    return f"the Telegram Desktop export in {_short(settings.export.path)} (no Telegram account)"


def _storage(settings: Settings) -> str:
    storage = settings.storage
    if storage.backend == "files":
        return _short(settings.state_dir / "media")
    return f"the bucket {storage.bucket} at {storage.endpoint}"


def _catalog(settings: Settings) -> str:
    if settings.catalog.backend == "sqlite":
        return _short(settings.state_dir / "catalog.db")
    return f"the project {settings.catalog.url}"


def _short(path: Path) -> str:
    """The path as a person in this folder would write it."""
    cwd = Path.cwd()
    return str(path.relative_to(cwd) if path.is_relative_to(cwd) else path)


def run(
    settings: Settings,
    stop_fd: int,
    announce: Callable[[str], None],
    parent_fd: int | None = None,
    reread: Callable[[], Settings] | None = None,
) -> int:
    """Run the tree until it is stopped; the exit code.

    `announce` is called with the address of /status once it answers requests. At the end of `parent_fd`, if there is
    one, the tree is stopped. `reread` gives the settings anew for a reload. Raises CannotStart, CommandFailed and
    `instance_lock.AlreadyRunning`.
    """
    notifier = _prepare(settings)
    lock = _lock(settings)
    listener = _listen(settings)
    url = _url(listener)
    lock.write(Card(pid=os.getpid(), url=url, config=str(settings.config_file or "")))
    supervisor, router, operations = _assemble(settings, stop_fd, listener.fileno(), notifier, reread)
    _stop_with_parent(supervisor, parent_fd)
    supervisor.stops.on_hangup = _on_hangup(supervisor, operations)
    supervisor.may_go_on = partial(_has_its_folder, lock)
    control = _control(settings, supervisor, operations)
    announce(url)
    try:
        code = supervisor.run(Notified(router, supervisor, notifier))
    finally:
        if control is not None:
            control.close()
        listener.close()
        lock.release()
    log.info("supervisor.stopped", exit_code=code)
    return code


def _prepare(settings: Settings) -> SystemdNotifier:
    """Prepare this process, before it takes anything. Raises CannotStart."""
    logs.configure(**asdict(settings.log), process="root")
    if faults := tree.faults(settings):
        raise CannotStart("\n".join(faults))
    notifier = SystemdNotifier(os.environ, os.getpid())
    notifier.starting(JOURNAL_SECONDS)
    descriptors.raise_limit()
    return notifier


def _assemble(
    settings: Settings, stop_fd: int, listen_fd: int, notifier: SystemdNotifier, reread: Callable[[], Settings] | None
) -> tuple[Supervisor, RootRouter, Operations]:
    """The supervisor of the tree's children, its router, and the operations on both. Nothing is started."""
    started = Start.now()
    own_cgroup = cgroups.own()
    cgroup = cgroups.divide(own_cgroup)
    supervisor = _supervisor(settings, tree.children(settings, listen_fd, started, cgroup), stop_fd, cgroup)
    router = RootRouter(supervisor.children)
    router.guard = guard = _guard(settings, supervisor, router, own_cgroup)
    operations = Operations(
        supervisor,
        router,
        settings,
        reread,
        notifier=notifier,
        listen_fd=listen_fd,
        started=started,
        cgroup=cgroup,
        guard=guard,
    )
    return supervisor, router, operations


def _supervisor(settings: Settings, specs: Sequence[ChildSpec], stop_fd: int, cgroup: Path | None) -> Supervisor:
    return Supervisor(
        specs=specs,
        intensity=tree.root_intensity(settings),
        drain_seconds=settings.supervisor.drain_seconds,
        log_settings=asdict(settings.log),
        stop_fd=stop_fd,
        in_order=True,
        cgroup=cgroup,
        commands=Runner,
    )


def _guard(settings: Settings, supervisor: Supervisor, router: RootRouter, cgroup: Path | None) -> Guard:
    """The guard over the machine's memory, with the number of image workers."""
    guard = Guard(supervisor.children, router.report, cgroup)
    guard.configure(tree.memory_limits(settings), child_options.worker_count(settings))
    workers = child_options.image_processors(settings)
    log.info("workers.counted", workers=workers.count, why=workers.why)
    return guard


def _has_its_folder(lock: instance_lock.Lock) -> bool:
    """Whether state_dir is still what we have locked. Else whatever is written from now on is lost or, once a second
    instance runs there, goes into its journal.
    """
    if not (loss := lock.loss()):
        return True
    log.error(
        "state_dir.lost",
        why=loss,
        remedy="Put the folder back where it was and start again: its journal says what is published and what is not."
        " Stop the program before a state_dir is moved or removed",
    )
    return False


def _control(settings: Settings, supervisor: Supervisor, operations: Operations) -> Control | None:
    """The control socket. A tree without one can still do its work."""
    try:
        return Control(settings.state_dir, supervisor, operations.take)
    except OSError as error:
        log.error(
            "control_socket.failed",
            path=str(settings.state_dir),
            why=error.strerror,
            remedy="Have state_dir on a file system that has sockets; SIGHUP reloads, SIGTERM stops all the same",
        )
        return None


def _on_hangup(supervisor: Supervisor, operations: Operations) -> Callable[[], None]:
    """What SIGHUP does: stop if the terminal is gone that there was, else reload."""
    had_terminal = signals.has_terminal()

    def on_hangup() -> None:
        if had_terminal and not signals.has_terminal():
            supervisor.begin_stop()
        else:
            try:
                operations.reload()
            except Exception:  # a defect of ours must not end the tree
                log.exception("operation.failed", action="reload")

    return on_hangup


def _stop_with_parent(supervisor: Supervisor, parent_fd: int | None) -> None:
    """Stop at the end of the pipe, if there is one."""
    if parent_fd is None:
        return

    def on_end() -> None:
        supervisor.unwatch(parent_fd)  # it stays readable for ever
        supervisor.begin_stop()

    supervisor.watch(parent_fd, on_end)


def _lock(settings: Settings) -> instance_lock.Lock:
    """The lock on state_dir, which is its owner's alone, and a journal that can be used."""
    state_dir = settings.state_dir
    has_media = settings.storage.backend == "files"
    try:
        private_files.make_state_dir(state_dir, has_media=has_media)
        if links := private_files.links(state_dir):
            raise CannotStart("\n".join(links))
        lock = instance_lock.Lock(state_dir)
        _tighten(state_dir, has_media=has_media)
        Spool(state_dir / "spool")
        Journal.open(state_dir / "journal.db").close()
        lock.keep_an_eye_on(state_dir / "journal.db")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise CommandFailed(
                f"state_dir {state_dir}: {error.strerror}. Make room on its disk, or check it"
            ) from error
        raise CannotStart(
            f"state_dir {state_dir}: {error.strerror}. It must be a folder that this user can write to"
        ) from error
    except UnfitJournal as error:
        raise CannotStart(str(error)) from error
    except JournalError as error:  # busy, a full disk: that may pass
        raise CommandFailed(str(error)) from error
    return lock


def _tighten(state_dir: Path, *, has_media: bool) -> None:
    """Close to others what an earlier version, or somebody else, has left open to them; say so in one record."""
    changed, left = [], []
    for one in private_files.loose(state_dir, has_media=has_media):
        try:
            private_files.tighten(one)
            changed.append(one.change)
        except OSError as error:
            left.append(f"{one.path.name}: {one.mode:04o} ({error.strerror})")
    if changed:
        log.warning("state_dir.closed", path=str(state_dir), changed=changed)
    if left:
        log.warning(
            "state_dir.left_open",
            path=str(state_dir),
            files=left,
            remedy=f"Give them to the user who runs this: chown -R USER {state_dir}",
        )


def _listen(settings: Settings) -> socket.socket:
    """The listening socket. The root keeps it, so that no request is refused while health is replaced."""
    host, port = settings.health.host, settings.health.port
    until = time.monotonic() + PORT_SECONDS
    while True:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            return _bound(family, kind, protocol, address)
        except OSError as error:
            may_pass = error.errno == errno.EADDRINUSE
            if may_pass and time.monotonic() < until:
                time.sleep(0.1)
                continue
            text = (
                f"health.host, health.port: cannot listen on {host}:{port}: {error.strerror or error}."
                " Set health.port (or PORT) to a free port; 0 takes any"
            )
            raise (CommandFailed if may_pass else CannotStart)(text) from error


def _bound(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
