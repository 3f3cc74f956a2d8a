"""The operator's operations on a running tree: reload, restart, stop, start, import."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from ipc.transport.messages import OperationRequest
from supervisor import child_options, logs, tree
from supervisor.host.imports import Imports
from supervisor.host.sd_notify import SystemdNotifier
from supervisor.processes.router import RootRouter
from supervisor.processes.supervisor import Supervisor
from supervisor.resources.guard import Guard
from supervisor.settings import Settings, SettingsError
from supervisor.start import Start

NEED_A_RESTART = ("state_dir", "health.host", "health.port")
"""What the root itself has opened at its start."""

RELOADS = 20
"""How many of the last reloads /status has."""

DONE = {"restart": "is being replaced", "stop": "is asked to stop", "start": "is started"}

log = structlog.get_logger()


class Operations:
    """Carries out operations. `reread` reads the configuration anew and raises SettingsError; None: there is none.

    `listen_fd`, `started` and `cgroup` are those of `tree.children`.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        router: RootRouter,
        settings: Settings,
        reread: Callable[[], Settings] | None,
        *,
        notifier: SystemdNotifier,
        listen_fd: int,
        started: Start,
        cgroup: Path | None,
        guard: Guard,
    ) -> None:
        self._supervisor = supervisor
        self._router = router
        self._settings = settings
        self._reread = reread
        self._notifier = notifier
        self._listen_fd = listen_fd
        self._started = started
        self._cgroup = cgroup
        self._guard = guard
        self._reloads: deque[tuple[int, int]] = deque(maxlen=RELOADS)
        """Each reload: its Unix second, and the number of processes that it replaced."""
        self.imports = Imports(supervisor, router)

    def take(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked for; the answer says whether it is done, in lines for people."""
        action, name = request.get("action"), request.get("name")
        if action == "import-progress":
            return {**self.imports.progress(request.get("number")), "stopping": self._supervisor.stopping}
        if self._supervisor.stopping:
            return _answer("the tree is being stopped", ok=False)
        if action == "reload":
            return self.reload()
        if action == "import":
            return self.imports.begin(request.get("path"), self._settings)
        if action == "import-stop":
            return self.imports.stop(request.get("number"))
        if not isinstance(action, str) or action not in DONE or not isinstance(name, str):
            return _answer(f"no such operation: {action!r}", ok=False)
        if name in self._supervisor.children.names():
            self._supervisor.roster.operate(action, name)
        elif (above := self._router.above(name)) is not None:
            if not self._supervisor.children.send(above, OperationRequest(action, name)):
                return _answer(f"{above}, which {name} belongs to, is down or takes no messages: try again", ok=False)
            self._router.note_operation(action, name, above)
        else:
            known = ", ".join(self._router.known())
            return _answer(f"there is no child {name!r}; there are {known}", ok=False)
        return _answer(f"{name} {DONE[action]}", ok=True)

    def reload(self) -> dict[str, Any]:
        """Take up the configuration as it is now, or refuse it as a whole; systemd hears when it begins and ends."""
        if not self._notifier.was_ready:
            return self._reload()  # the end of it would be taken for the end of the start
        self._notifier.reloading()
        try:
            return self._reload()
        finally:
            self._notifier.ready()

    def _reload(self) -> dict[str, Any]:
        if self._reread is None:
            return _answer("this tree has no configuration to read again", ok=False)
        try:
            settings = self._reread()
        except SettingsError as error:
            return self._refuse(error.faults)
        fixed = [name for name in NEED_A_RESTART if _of(settings, name) != _of(self._settings, name)]
        if faults := [f"{name} has changed, which takes a restart" for name in fixed] + tree.faults(settings):
            return self._refuse(faults)
        self._settings = settings
        logs.configure(**asdict(settings.log), process="root")
        changes = self._supervisor.roster.reconfigure(
            specs=(
                *tree.children(settings, self._listen_fd, self._started, self._cgroup),
                *self.imports.specs(),
            ),
            intensity=tree.root_intensity(settings),
            drain_seconds=settings.supervisor.drain_seconds,
            log_settings=asdict(settings.log),
        )
        self._guard.configure(tree.memory_limits(settings), child_options.worker_count(settings))
        self._reloads.append((int(time.time()), len(changes.replaced)))
        self._router.report("reloads", last=list(self._reloads))
        log.info("configuration.reloaded", **changes.by_kind())
        told = [f"{kind}: {', '.join(names)}" for kind, names in changes.by_kind().items()]
        return _answer("; ".join(["reloaded", *(told or ["replaced: nobody"])]), ok=True)

    def _refuse(self, faults: Any) -> dict[str, Any]:
        for fault in faults:
            log.error("configuration.rejected", why=fault)
        return {"ok": False, "lines": [*faults, "The old configuration stays in force."]}


def _of(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _answer(line: str, *, ok: bool) -> dict[str, Any]:
    return {"ok": ok, "lines": [line]}
