"""On whose behalf a job is published: this machine's, or, on a node, its origin's.

A node stores and writes what it has taken as its origin would: under that one's keys and URLs. And it writes no row
without the queue's receipt: one whose receipt holds no more is another node's by now, or its origin has taken it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ipc.files.object_layout import Layout, address_of, public_url
from ipc.files.rows import RowLayout
from ipc.jobs import Job
from ipc.journal import Journal
from ipc.journal.machines import taken
from ipc.journal.machines.taken import TakenJob
from ipc.machines.handover import Key, Terms
from ipc.machines.result import Published, RowAddress, done_of


@dataclass(frozen=True, slots=True)
class Behalf:
    """How one job's row is written. `taken`: what is known of it if it is an origin's."""

    layout: RowLayout
    taken: TakenJob | None = None

    def receipt(self, job: Job, node: str, columns: int) -> dict[str, Any] | None:
        """What goes with the row: the queue's receipt and the result for its origin. `columns`: the row's version."""
        if self.taken is None:
            return None
        address = RowAddress(address_of(self.layout.url_of, self.layout.prefix), self.layout.prefix, columns)
        original, sha256 = job.original or "none", job.sha256 or ""
        done = Published(Key.read(self.taken.key), node, job.revision, done_of(job), original, address, sha256)
        return {**self.taken.receipt.packed(), "result": done.packed()}


def layouts_of(journal: Journal, jobs: Iterable[Job], own: Layout) -> dict[int, Layout]:
    """The layout of each job, by id: what comes before its objects' keys, and what of its original is published."""
    found = _taken(journal, jobs := list(jobs))
    return {job.id: _layout(found[job.id]) if job.id in found else own for job in jobs}


def behalves_of(journal: Journal, jobs: Iterable[Job], own: RowLayout) -> dict[int, Behalf]:
    """How the row of each job is written, by id. A job of an origin's that is not in hand any more is left out."""
    found = _taken(journal, jobs := list(jobs))
    return {
        job.id: Behalf(_row_layout(found[job.id]), found[job.id]) if job.id in found else Behalf(own)
        for job in jobs
        if job.id in found or not _is_taken(job)
    }


def _taken(journal: Journal, jobs: Iterable[Job]) -> Mapping[int, TakenJob]:
    ids = [job.id for job in jobs if _is_taken(job)]
    return taken.of(journal, ids) if ids else {}


def _is_taken(job: Job) -> bool:
    return job.source == "queue"


def _layout(one: TakenJob) -> Layout:
    terms = Terms(**one.terms)
    return Layout(terms.prefix, terms.originals)  # type: ignore[arg-type]  # one of three, as `taking` has seen


def _row_layout(one: TakenJob) -> RowLayout:
    terms = Terms(**one.terms)
    base = terms.url.rstrip("/")
    return RowLayout(terms.prefix, lambda key: public_url(base, key), terms.editor_commands)
