"""What keeps a Supabase project from taking rows: its key, and what of deploy/schema.sql is not there."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import Any, TypeVar

from ipc.process.checklist import Checklist
from workers.publishing.catalog.protocol import CatalogFault, RowFault
from workers.publishing.catalog.supabase import answers
from workers.publishing.catalog.supabase.project import TIMEOUT, Project, Timeout
from workers.publishing.catalog.supabase.schema_version import VERSION, older, version_of

T = TypeVar("T")

OF_VERSION_1 = dict.fromkeys(("channels", "messages", "images"), "table")
SINCE_VERSION_2 = {"message_tags": "table", "pictures": "view", "pictures_by_tag": "view"}
"""What is looked at, and what it is."""


NOT_FOR_NODES = {"pictures", "pictures_by_tag", "picturedesk_referenced", "picturedesk_named"}
"""What a node's own key has no right to, since it writes rows and nothing else."""


def check(url: str, key: str, tried: Checklist, timeout: Timeout = TIMEOUT) -> None:
    """Try the project's tables and functions. Nothing is written."""
    project = Project(url, key, timeout)
    if wrong := answers.wrong_with(key, time.time()):
        tried.fail(f"catalog: {project.where}: {wrong}. {answers.KEY}")
        return
    try:
        for what in _differences(project, tried, NOT_FOR_NODES if answers.is_of_node(key) else set()):
            tried.fail(f"catalog: {project.where}: {what}. {answers.APPLY}")
    except (CatalogFault, RowFault) as fault:
        tried.fail(f"catalog: {fault}")
    finally:
        project.close()


def _differences(project: Project, tried: Checklist, exclude: Collection[str]) -> Iterator[str]:
    """What of the schema is missing or other than it should be, as it is found, but for what is not looked at.

    Raises what else goes wrong.
    """
    is_sound = True
    is_current = (version := version_of(project)) >= VERSION
    for name, kind in _without(exclude, OF_VERSION_1 | SINCE_VERSION_2 if is_current else OF_VERSION_1).items():
        try:
            project.look_at(name)
        except answers.Missing:
            is_sound = False
            yield f"the {kind} public.{name} is missing"
        else:
            tried.ok(f"catalog: {kind} {name}")
    if is_sound and not is_current:
        yield f"{older(version)}. Afterwards: bin/run republish --rows"
    calls: dict[str, dict[str, Any]] = {
        "picturedesk_faults": {},
        "picturedesk_referenced": {"sha256s": []},
        "picturedesk_named": {"sha256s": []},
        "ingest_messages": {"batch": []},  # an empty batch writes nothing, and needs all that a full one needs
    }
    for function, arguments in _without(exclude, calls).items():
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


def _without(exclude: Collection[str], named: dict[str, T]) -> dict[str, T]:
    return {name: value for name, value in named.items() if name not in exclude}
