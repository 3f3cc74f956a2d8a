"""Where objects go: files under a folder (`files`), or a bucket of Cloudflare R2 or of a service like it (`r2`).

`protocol` says what both promise, `make` makes the one that the settings name, `check` tries it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipc.process.checklist import Checklist
from ipc.process.loading import loading
from workers.publishing.storage.files import FileStorage
from workers.publishing.storage.protocol import NewObject, ObjectFault, Put, Storage, StorageFault, Stored

__all__ = [
    "FileStorage",
    "NewObject",
    "ObjectFault",
    "Put",
    "Storage",
    "StorageFault",
    "Stored",
    "check",
    "make",
    "wire_bucket",
]


def make(options: Mapping[str, Any], answer_seconds: float | None = None, *, bucket: str = "") -> Storage:
    """The storage of the uploader's options: `state_dir`, and `storage`, the settings' section of that name.

    It waits `answer_seconds` for an answer, or as long as the settings say. `bucket`: another one than theirs, by the
    same keys. Makes no connection yet.
    Raises StorageFault if the settings can't be of any storage.
    """
    settings = options["storage"]
    if settings.get("backend", "files") == "files":
        return FileStorage(Path(options["state_dir"]) / "media", settings["public_url"])
    # boto3 takes 270 ms and 49 MiB to import: an instance that keeps files doesn't pay for it.
    with loading():
        from workers.publishing.storage.r2 import READ_SECONDS, R2Storage  # noqa: PLC0415

    return R2Storage(
        endpoint=settings["endpoint"],
        bucket=bucket or settings["bucket"],
        access_key_id=settings["access_key_id"],
        secret_access_key=settings["secret_access_key"],
        public_url=settings["public_url"],
        concurrency=settings["concurrency"],
        read_seconds=answer_seconds or settings.get("answer_seconds", READ_SECONDS),
    )


def wire_bucket(options: Mapping[str, Any]) -> str:
    """Where originals lie on their way to other machines: a bucket of their own, or that of all objects."""
    bucket: str = options.get("machines", {}).get("wire_bucket") or options["storage"].get("bucket", "")
    return bucket


def check(options: Mapping[str, Any], tried: Checklist) -> None:
    """Try the storage: a small object is written, read, listed and deleted. And where originals lie on their way."""
    from workers.publishing.storage import trial  # noqa: PLC0415 - its HTTP client is of no use to the uploader

    try:
        storage = make(options)
    except StorageFault as fault:
        tried.fail(f"storage: {fault}")
        return
    try:
        trial.try_out(storage, options["storage"], tried, options["state_dir"])
    finally:
        storage.close()
    bucket = wire_bucket(options)
    if bucket == options["storage"].get("bucket", ""):
        return
    wire = make(options, bucket=bucket)
    try:
        trial.try_wire(wire, bucket, options["machines"]["role"], tried)
    finally:
        wire.close()
