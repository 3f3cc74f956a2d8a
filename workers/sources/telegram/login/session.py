"""The session's file: whole or not at all, and its owner's only from the first byte on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from telethon.sessions import MemorySession, SQLiteSession


def write_session(session: MemorySession, path: Path) -> None:
    """Keep the session as Telethon's SQLite file: whole or not at all, its owner's only from the first byte on."""
    path = path.resolve()  # of a link, the file that it leads to
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".session", dir=path.parent)  # 0600
    os.close(fd)
    part = Path(name)
    try:
        stored = SQLiteSession(name)
        try:
            stored.set_dc(session.dc_id, session.server_address, session.port)
            stored.auth_key = session.auth_key
            stored.save()
        finally:
            stored.close()
        _sync(part)
        # The journal of the file that is replaced: SQLite would apply it to this one.
        Path(f"{path}-journal").unlink(missing_ok=True)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
        Path(f"{name}-journal").unlink(missing_ok=True)
    _sync(path.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
