"""An origin and its nodes as a user has them: whole trees on one real database, with its queues, and one bucket."""

from __future__ import annotations

from pathlib import Path

from tests.machines import desk
from tests.pictures import make_export
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer


def test_two_nodes_share_an_origins_work(object_server: ObjectServer, queue_server: RowServer, tmp_path: Path) -> None:
    export = make_export(tmp_path / "export", 30, size=(1600, 1200))
    with desk(tmp_path, export, object_server, queue_server, nodes=2) as machines:
        machines.start()
        machines.wait_until_done()
        machines.assert_all_is_well(list(range(1, 31)))
        shares = machines.published_by()
        print(shares)
        machines.stop()
        machines.assert_nothing_left()
