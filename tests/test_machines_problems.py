"""What an origin's /status says of its nodes and queues, with one that takes pictures and is not heard of again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.instance import wait_for
from tests.machines import Desk, desk
from tests.pictures import make_export, message, write_result
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from workers.publishing.catalog.supabase.queues import Queues

ABOUT = {"version": "1.2.3", "workers": 4, "in_hand": 0, "published": 0, "problems": []}


def problems(machines: Desk) -> set[str]:
    return {one["id"] for one in (machines.origin.status() or {"problems": []})["problems"]}


def wait_for_problem(machines: Desk, id: str) -> None:
    wait_for(f"the problem {id}", lambda: id in problems(machines))


@pytest.mark.reaches(
    "machines.queue_old", "machines.node_silent", "machines.schema", "machines.not_understood", "machines.other_bucket"
)
def test_an_origin_says_what_is_wrong_with_its_nodes_and_queues(
    object_server: ObjectServer, queue_server: RowServer, tmp_path: Path
) -> None:
    export = make_export(tmp_path / "export", 12)
    posts = (export / "result.json").read_bytes()
    write_result(export, [message(1)])  # nothing comes until its own worker is stopped
    with desk(tmp_path, export, object_server, queue_server, nodes=0, lease=120, reconcile=300) as machines:
        node = Queues(queue_server.url, queue_server.keys.service_role)
        node.take("node-9", ABOUT, 0, 120)
        machines.start()
        assert machines.origin.command("stop", "image-1").returncode == 0
        (export / "result.json").write_bytes(posts)
        machines.origin.strike("connection")
        wait_for("some to be handed over", lambda: len(machines.queued()) >= 2)
        (taken,) = node.take("node-9", ABOUT, 1, 120)

        for queue in ("live", "backfill"):
            queue_server.sql(f"update pgmq.q_pd_{queue}_v1 set enqueued_at = enqueued_at - interval '11 min'")
        wait_for_problem(machines, "machines.queue_old")
        queue_server.sql("update picturedesk.nodes set last_seen = last_seen - interval '4 min'")
        wait_for_problem(machines, "machines.node_silent")  # and what nobody has comes back: the queue is old no more
        wait_for("the rest to come back", lambda: len(machines.queued()) == 1)

        node.take("node-8", {**ABOUT, "bucket": "another"}, 1, 120)
        wait_for_problem(machines, "machines.other_bucket")
        queue_server.sql("delete from picturedesk.nodes where node = 'node-8'")

        queue_server.sql("drop function public.pd_results(text, jsonb, integer)")
        queue_server.reload()
        wait_for_problem(machines, "machines.schema")
        queue_server.apply_machines()
        wait_for("it to be over", lambda: "machines.schema" not in problems(machines))

        newer = json.dumps({"v": 2, "key": taken.message["key"], "node": "node-9"})
        queue_server.sql(f"select pgmq.send('pd_results_{taken.message['origin']}', '{newer}')")
        wait_for_problem(machines, "machines.not_understood")
        wait_for("the picture to be taken back", lambda: not machines.queued())
        assert node.settle("node-9", [(taken.receipt, None)]) == set()
        assert machines.origin.command("start", "image-1").returncode == 0
        machines.wait_until_done()
        machines.origin.strike("uploader")  # its next one has read no such result
        wait_for("it to be over", lambda: "machines.not_understood" not in problems(machines))
        machines.wait_until_done()
        machines.assert_all_is_well(list(range(1, 13)))
        node.close()
        machines.stop()
        machines.assert_nothing_left()
