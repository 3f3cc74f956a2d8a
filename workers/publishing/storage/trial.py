"""Tries a storage out with a small object of its own: is it all there that the program will need of it?"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import platform
import secrets
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipc.process.checklist import Checklist
from workers.publishing.storage.protocol import ObjectFault, Storage, StorageFault

GET_SECONDS = 10.0


def try_out(storage: Storage, settings: Mapping[str, Any], tried: Checklist, state_dir: str = "") -> None:
    """Write, read, list, give to a reader and delete a small object. Leaves nothing.

    The object has the same name each time, made of the machine's and `state_dir`: should the answer to its removal, or
    to its writing, be lost, the next trial removes it.
    """
    name = f"picturedesk-check-{hashlib.sha256(f'{platform.node()}:{state_dir}'.encode()).hexdigest()[:16]}"
    key = f"{settings.get('prefix', '')}{name}.txt"
    content = secrets.token_hex(8 + secrets.randbelow(8192)).encode()  # one that could not be deleted has another size
    with contextlib.suppress(StorageFault, ObjectFault):  # the requests below fail with the same error
        storage.delete(key)
    with tempfile.TemporaryDirectory(prefix="picturedesk-check-") as folder:
        source = Path(folder, name)
        source.write_bytes(content)
        try:
            storage.put(key, source, "text/plain")
        except (StorageFault, ObjectFault) as fault:
            tried.fail(f"storage: cannot write: {fault}")
            return
    tried.ok(f"storage: wrote {key}, {len(content):,} bytes")
    _try_to_read(storage, key, content, tried)
    _try_to_list(storage, key, tried)
    if settings.get("public_url"):
        _try_to_get(storage.url(key), content, tried)
    elif settings.get("backend") == "r2":
        tried.warn(
            f"storage.public_url is empty: rows name objects as {storage.url(key)}, an address of the S3 API,"
            " which readers can't open. Set it to where the bucket is public"
        )
    try:
        storage.delete(key)
    except (StorageFault, ObjectFault) as fault:
        tried.fail(f"storage: cannot delete, so {key} stays there: {fault}")
    else:
        tried.ok("storage: deleted it")


def try_wire(storage: Storage, bucket: str, role: str, tried: Checklist) -> None:
    """Do with the bucket of originals on their way what a machine of that role does: an origin writes, a node reads."""
    key, content = f"picturedesk-check-{secrets.token_hex(16)}.txt", b"an original on its way"
    try:
        if role == "origin":
            storage.put_document(key, content, "text/plain")
        found = storage.read(key)
        if role == "origin":
            storage.delete(key)
    except (StorageFault, ObjectFault) as fault:
        tried.fail(f"machines.wire_bucket: {fault}")
        return
    if role == "origin" and found != content:
        tried.fail(f"machines.wire_bucket: {key} was written to {bucket}, but something else is read")
    else:
        done = "wrote, read and deleted an object in" if role == "origin" else "can read"
        tried.ok(f"machines.wire_bucket: {done} {bucket}")


def _try_to_read(storage: Storage, key: str, content: bytes, tried: Checklist) -> None:
    try:
        found = storage.read(key)
    except (StorageFault, ObjectFault) as fault:
        tried.fail(f"storage: cannot read: {fault}")
        return
    if found != content:
        tried.fail(f"storage: {key} was written, but read as {'nothing' if found is None else 'something else'}")
    else:
        tried.ok("storage: read the same")


def _try_to_list(storage: Storage, key: str, tried: Checklist) -> None:
    try:
        found = {one.key for one in storage.list(key)}
    except (StorageFault, ObjectFault) as fault:
        tried.warn(f"storage: cannot list: {fault}")
        return
    if key not in found:
        tried.warn(f"storage: {key} was written, but is not listed")
    else:
        tried.ok("storage: listed it")


def _try_to_get(url: str, content: bytes, tried: Checklist) -> None:
    """Get the object as a reader would, without a key, and compare it."""
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "picturedesk-check"})
        with urllib.request.urlopen(request, timeout=GET_SECONDS) as answer:
            found = answer.read(len(content) + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        tried.warn(f"readers cannot get {url}: {error}. Check storage.public_url, and that the bucket is public")
        return
    if found != content:
        tried.warn(f"readers get something else under {url}. Check storage.public_url")
    else:
        tried.ok(f"storage: readers get it under {url}")
