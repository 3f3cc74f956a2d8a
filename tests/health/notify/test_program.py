"""The whole program tells people what is wrong and when it is over, once each, and tells nobody the addresses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from health.notify import state_file
from health.notify.check import TEST
from tests.health.notify.receiver import receiver
from tests.instance import Instance, wait_for
from tests.pictures import make_export

SECRET = "C4n4ry"


@pytest.mark.tree
def test_a_problem_is_told_and_its_end_over_a_replacement_of_health(
    tmp_path: Path, make_instance: Callable[..., Instance]
) -> None:
    export = tmp_path / "export"
    with receiver() as people:
        good = f"json://me:{SECRET}@127.0.0.1:{people.port}/{SECRET}/?+Authorization={SECRET}"
        instance = make_instance(export)
        more = {"urls": [good, f"json://127.0.0.1:1/{SECRET}"], "heartbeat_url": f"http://127.0.0.1:1/{SECRET}"}
        lines = [f"{key} = {json.dumps(value)}" for key, value in more.items()]
        instance.config.write_text(
            "\n".join([instance.config.read_text(), "[notify]", "after_seconds = 1", 'name = "the desk"', *lines])
        )
        instance.start()
        wait_for("the problem", lambda: people.messages)
        assert people.titles[0].startswith("the desk: ") and str(export) in people.messages[0]["message"]
        wait_for("that to be noted down", lambda: not state_file.read(instance.state_dir).waiting[0])
        instance.strike("health")
        make_export(export, 1)
        instance.answer("restart", "connection")
        instance.wait_until_done()
        wait_for("its end", lambda: len(people.messages) > 1)
        assert people.titles[1].startswith("the desk: over: "), people.messages
        status = json.dumps(instance.status())
        checked = instance.command("check", "--notify")
        assert people.titles[2:] == [f"the desk: {TEST}"]
        assert instance.stop() == 0
        assert checked.returncode == 78 and "accepted the test message" in checked.stdout
        assert (
            "number 2 (json://…127.0.0.1:1…): the test message was not accepted: it cannot be reached" in checked.stderr
        )
        assert {"notify.sent", "notify.failed"} <= {record["event"] for record in instance.records()}
        kept = (instance.state_dir / "notify.json").read_text()
        for text in (status, checked.stdout, checked.stderr, instance.log.read_text(), kept):
            assert SECRET not in text
