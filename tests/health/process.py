"""The real health process, as a child of a supervisor that the test plays."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from supervisor.processes.spec import ChildSpec


def health_process(state_dir: Path, listener: socket.socket, token: str = "") -> ChildSpec:
    """It serves on that socket."""
    options = {
        "state_dir": str(state_dir),
        "listen_fd": listener.fileno(),
        "token": token,
        "session_secret": "secret of the test",
        "allowed_hosts": [],
        "backend": "files",
        "public_url": "",
        "prefix": "",
        "show_captions": False,
        "gallery": "",
        "root": {"pid": os.getpid(), "started_at": time.time(), "spawned": time.monotonic()},
        "notify": {"urls": [], "after_seconds": 120, "heartbeat_url": "", "name": ""},
        **{"version": "9.8.7", "spool_max_bytes": 2**20, "min_free_bytes": 2**10},
    }
    return ChildSpec("health", "health.server:main", options, inherit_fds=(listener.fileno(),), stop_seconds=3.0)
