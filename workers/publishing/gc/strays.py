"""Originals on their way to other machines that nobody waits for: they are deleted once they are old enough.

An origin deletes its own, which are in a folder called by its id. Those of a journal that is lost are in nobody's, and
what was put while the settings named another bucket or prefix is looked for by nobody there. A live origin whose
original is deleted all the same puts it again by itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from ipc.files.object_layout import WIRE, WIRE_NAME
from ipc.journal import Journal
from ipc.journal.machines import claims
from workers.publishing import storage as storages
from workers.publishing.gc.garbage import Garbage

STRAY_SECONDS = 7 * 86400.0
"""The age from which an original on its way is a stray. No picture is rendered for that long."""


def find_strays(
    options: Mapping[str, Any], journal: Journal, answer_seconds: float, *, delete: bool
) -> Iterator[Garbage]:
    """All of them, in the storage's bucket and in `machines.wire_bucket`; deleted if `delete` says so.

    `options` are the uploader's. Each is of a picture whose digest is not known (""). Raises StorageFault.
    """
    settings = options["storage"]
    if settings["backend"] == "files":
        return  # nothing is handed over from there
    folder, before = f"{settings['prefix']}{WIRE}", time.time() - STRAY_SECONDS
    known = claims.tokens(journal)
    for bucket in dict.fromkeys((settings["bucket"], storages.wire_bucket(options))):
        with closing(storages.make(options, answer_seconds, bucket=bucket)) as storage:
            for one in storage.list(folder):
                token = one.key.removeprefix(folder)
                if re.fullmatch(WIRE_NAME, token) and token not in known and one.modified_at < before:
                    if delete:
                        storage.delete(one.key)
                    yield Garbage("", (one,), removed=delete)
