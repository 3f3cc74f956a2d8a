"""What keeps a Supabase project from being worked on by many machines: what of deploy/machines.sql is not there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ipc.process.checklist import Checklist
from workers.publishing.catalog.protocol import CatalogFault, RowFault
from workers.publishing.catalog.supabase import answers
from workers.publishing.catalog.supabase.queues import Queues


def check(options: Mapping[str, Any], tried: Checklist) -> None:
    """Try the queues, where the options' section `machines` has a role that needs them. Nothing is written.

    What is wrong with the rest of the project is not looked for, nor said.
    """
    role = options.get("machines", {}).get("role", "all")
    settings = options["catalog"]
    if role == "all" or answers.wrong_with(settings["key"], time.time()):
        return
    queues = Queues.by(settings)
    if role == "origin" and answers.is_of_node(settings["key"]):
        tried.fail(f"machines: {queues.where}: catalog.key is a node's own, which an origin can do nothing with")
        return
    try:
        for what in _differences(queues, tried):
            tried.fail(f"machines: {queues.where}: {what}. {answers.MACHINES}")
    except (CatalogFault, RowFault) as fault:
        tried.fail(f"machines: {fault}")
    finally:
        queues.close()


def _differences(queues: Queues, tried: Checklist) -> Iterator[str]:
    try:
        faults = queues.faults()
    except answers.Missing as missing:
        if not missing.is_function:
            raise
        yield "the function public.pd_faults is missing"
        return
    yield from faults
    if faults:
        return
    tried.ok("machines: functions and role")
    machines = queues.machines()
    if machines.outdated:
        yield machines.outdated
    lengths = {queue.name: queue.length for queue in machines.queues}
    tried.ok(f"machines: queues: {lengths['live']} live, {lengths['backfill']} backfill")
