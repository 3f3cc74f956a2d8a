"""Problems of many machines: the database does not answer, a node is silent, pictures wait for nodes too long."""

from __future__ import annotations

from collections.abc import Iterator

from health import machines
from health.problems.problem import Problem
from health.snapshot import Snapshot

SILENT_SECONDS = 180.0
"""How long a node may say nothing before that is a problem: its leases are over by then."""

OLD_SECONDS = 600.0
"""How long a picture may wait in a queue before that is a problem."""

UNANSWERED_SECONDS = 15.0
"""How long the database may fail to answer before that is a problem: answers get lost."""

SCHEMA_REMEDY = (
    'Apply it: bin/run schema --machines | psql "$DATABASE_URL", or paste what it prints into the SQL editor; it may be'
    " run again at any time. bin/run check says what is missing"
)


def schema_missing(snapshot: Snapshot) -> Iterator[Problem]:
    """The database lacks queues or functions, or has those of an earlier version."""
    report = snapshot.report(machines.TOPIC)
    if report.get("is_schema_missing"):
        yield Problem(
            "machines.schema",
            "machines",
            f"the database lacks what machines need: {report.get('error')}",
            SCHEMA_REMEDY,
        )
    elif outdated := report.get("outdated"):
        yield Problem("machines.schema", "machines", outdated, SCHEMA_REMEDY)


def unreachable(snapshot: Snapshot) -> Iterator[Problem]:
    """The queues can't be reached. A lack that was named is not told twice."""
    report = snapshot.report(machines.TOPIC)
    error = report.get("error")
    if not error or report.get("is_schema_missing") or machines.role(snapshot) == "all":
        return
    waited = machines.last_answer_seconds(snapshot)
    if waited is None or waited >= UNANSWERED_SECONDS:
        since = None if waited is None else snapshot.now - waited
        remedy = report.get("remedy") or "It is asked again by itself. If it lasts, check the project and the network"
        yield Problem(
            "machines.unreachable",
            "machines",
            f"the queues of other machines can't be reached: {error}",
            f"Nothing is lost. {remedy[:1].upper()}{remedy[1:]}",
            since,
        )


def nodes_silent(snapshot: Snapshot) -> Iterator[Problem]:
    """A node that has pictures in hand is not heard of. One without any was stopped, and that is well."""
    for one in machines.nodes(snapshot):
        if one.get("in_hand") and one["last_seen_seconds"] >= SILENT_SECONDS:
            yield Problem(
                "machines.node_silent",
                f"node {one['name']}",
                f"the node {one['name']} has been silent for {one['last_seen_seconds'] / 60:.0f} min, with"
                f" {one['in_hand']} {'picture' if one['in_hand'] == 1 else 'pictures'} in hand",
                "Nothing is lost: others get its pictures when their leases are over. See whether that machine runs,"
                " and its network",
            )


def queues_old(snapshot: Snapshot) -> Iterator[Problem]:
    """Pictures wait for nodes. Not told while the database does not answer: that is told, and this figure is old."""
    report = snapshot.report(machines.TOPIC)
    if report.get("error"):
        return
    for one in machines.queues(snapshot):
        oldest = one.get("oldest_seconds")
        if oldest is not None and oldest >= OLD_SECONDS:
            yield Problem(
                "machines.queue_old",
                f"queue {one['name']}",
                f"the oldest of {one['length']} pictures in the queue {one['name']} has waited for {oldest / 60:.0f}"
                " min for a node",
                f"Start more nodes, or see why these do not take: {report.get('needed_workers', 0)} more"
                " workers are needed than this machine has. bin/run nodes lists them",
            )


def other_bucket(snapshot: Snapshot) -> Iterator[Problem]:
    """A node is offered pictures that it can't publish; an origin has nodes, and none of them can."""
    report = snapshot.report(machines.TOPIC)
    if not report.get("other_bucket"):
        return
    is_origin = machines.role(snapshot) == "origin"
    what = "no node can publish its pictures" if is_origin else "this node gives pictures back that it can't publish"
    yield Problem(
        "machines.other_bucket",
        "other bucket",
        f"{what}: {report.get('refused')}",
        "Give nodes what their origin has: bin/run nodes --join there prints it, for PICTUREDESK__MACHINES__JOIN"
        " on the node",
    )


def not_understood(snapshot: Snapshot) -> Iterator[Problem]:
    """A node's results, or an origin's pictures, are of a version that this program does not know."""
    report = snapshot.report(machines.TOPIC)
    if misread := report.get("misread"):
        yield Problem(
            "machines.not_understood",
            "results of nodes",
            f"what a node answers can't be read: {misread}",
            "Nothing is lost: this machine renders such pictures itself, and hands none over for ten minutes."
            " Upgrade it to the version of its nodes, which bin/run nodes lists",
        )
    elif report.get("refused") and not report.get("other_bucket"):
        yield Problem(
            "machines.not_understood",
            "pictures of origins",
            f"this node gives pictures back that it can't use: {report['refused']}",
            "Nothing is lost: others get them, their origin at the latest. If the version is the reason, upgrade this"
            " node: nodes come before their origins",
        )
