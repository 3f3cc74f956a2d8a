"""A node of an earlier version: `python -m tests.chaos.old_node start …`, as `supervisor`.

All of it is as it is, but for the version of hand-overs that it understands.
"""

from __future__ import annotations

import runpy
from dataclasses import replace
from typing import Any
from unittest import mock

from ipc import machines
from ipc.machines import VERSION
from ipc.transport.context import Context
from supervisor import tree
from supervisor.processes.spec import ChildSpec
from workers import connection


def main(context: Context) -> None:
    """The connection's process."""
    with mock.patch.object(machines, "VERSION", VERSION - 1):
        connection.main(context)


_children = tree.children


def _old_children(*arguments: Any) -> tuple[ChildSpec, ...]:
    return tuple(
        replace(spec, target="tests.chaos.old_node:main") if spec.name == "connection" else spec
        for spec in _children(*arguments)
    )


if __name__ == "__main__":
    with mock.patch.object(tree, "children", _old_children):
        runpy.run_module("supervisor", run_name="__main__", alter_sys=True)
