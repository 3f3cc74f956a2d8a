"""The version of deploy/schema.sql that was applied to a project, and what an earlier one means."""

from __future__ import annotations

from typing import Final

from workers.publishing.catalog.protocol import CatalogFault
from workers.publishing.catalog.supabase import answers
from workers.publishing.catalog.supabase.project import Project

VERSION: Final = 2
"""First version of the schema with all of today's columns, as its picturedesk_version() says."""

RECEIPTS: Final = 3
"""First version of the schema whose ingest_messages() takes receipts. Only many machines need it."""


def version_of(project: Project) -> int:
    """The version of the applied schema; 1 if maybe none was applied. Raises CatalogFault."""
    try:
        version = project.call("picturedesk_version")
    except answers.Missing as missing:
        if not missing.is_function:
            raise
        return 1
    if len(version) != 1 or not isinstance(version[0], int):
        raise answers.of_nonsense(version, where=project.where)
    return version[0]


def older(version: int) -> str:
    """What is wrong with a schema of that version."""
    return (
        f"the schema was applied by an earlier version of this program ({version}; today's is {VERSION}): rows are"
        " written without what is new"
    )


def demand_receipts(project: Project) -> None:
    """Raises CatalogFault if the schema knows no receipts: it would write rows, and leave pictures in their queue."""
    if (version := version_of(project)) < RECEIPTS:
        raise CatalogFault(
            f"{project.where}: the schema was applied by an earlier version of this program ({version}): it knows no"
            f" receipts. {answers.APPLY}",
            fatal=True,
            remedy=answers.APPLY,
        )
