"""What keeps a Supabase project from taking rows: its key, and what of deploy/schema.sql is not there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ipc.checklist import Checklist
from workers.publishing.catalog.protocol import CatalogFault, RowFault
from workers.publishing.catalog.supabase import answers
from workers.publishing.catalog.supabase.project import TIMEOUT, Project, Timeout


def check(url: str, key: str, tried: Checklist, timeout: Timeout = TIMEOUT) -> None:
    """Try the project's tables and functions. Nothing is written."""
    project = Project(url, key, timeout)
    if wrong := answers.wrong_with(key, time.time()):
        tried.fail(f"catalog: {project.where}: {wrong}. {answers.KEY}")
        return
    try:
        for what in _differences(project, tried):
            tried.fail(f"catalog: {project.where}: {what}. {answers.APPLY}")
    except (CatalogFault, RowFault) as fault:
        tried.fail(f"catalog: {fault}")
    finally:
        project.close()


def _differences(project: Project, tried: Checklist) -> Iterator[str]:
    """What of the schema is missing or other than it should be, as it is found. Raises what else goes wrong."""
    is_sound = True
    for table in ("channels", "messages", "images"):
        try:
            project.look_at(table)
        except answers.Missing:
            is_sound = False
            yield f"the table public.{table} is missing"
        else:
            tried.ok(f"catalog: table {table}")
    calls: dict[str, dict[str, Any]] = {
        "picturedesk_faults": {},
        "picturedesk_referenced": {"sha256s": []},
        "picturedesk_named": {"sha256s": []},
        "ingest_messages": {"batch": []},  # an empty batch writes nothing, and needs all that a full one needs
    }
    for function, arguments in calls.items():
        try:
            faults = project.call(function, **arguments)
        except answers.Missing as missing:
            if missing.is_function:
                faults = [f"the function public.{function} is missing"]
            elif is_sound:
                raise
            else:
                continue  # it needs what is missing
        except answers.Ambiguous:
            faults = [f"there is more than one function public.{function}"] if is_sound else []
        if not faults:
            tried.ok(f"catalog: function {function}")
        is_sound = is_sound and not faults
        yield from faults
