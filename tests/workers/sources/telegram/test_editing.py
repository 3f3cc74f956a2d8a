"""What editors say in a live channel: posts that are hidden, shown again, left, and taken after all."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ipc.journal import figures, lookup
from tests.servers.telegram import Channel, TelegramServer
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import picture

pytestmark = pytest.mark.tree

MakeAlone = Callable[..., Alone]
RULES = [{"action": "leave", "tags": ["draft"], "channel": "@newsdesk"}]


@pytest.fixture
def channel(server: TelegramServer) -> Channel:
    return server.world.add_channel("News", username="newsdesk")


def test_captions_and_rules_hold_for_live_posts_and_edits(make_alone: MakeAlone, channel: Channel) -> None:
    alone = make_alone(
        channel, editor_commands=True, environment={"TELEGRAM__RULES": json.dumps(RULES)}, reconcile_seconds=3600
    )
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("state") == "read")
    hidden = channel.post_photo(picture(), "A fox #hide")
    left = channel.post_photo(picture(), "not yet #draft")
    last = channel.post_photo(picture(), "A crane")

    def by(message_id: int) -> str | None:
        job = lookup.known(alone.desk.journal, channel.id, message_id)
        return "no job" if job is None else job.hidden_by

    alone.wait_for("all of them", lambda: by(last) is None)
    assert [by(one) for one in (hidden, left, last)] == ["caption", "no job", None]
    (row,) = figures.channels(alone.desk.journal)
    assert row["ignored"]["left_by_rule"] == 1
    channel.edit(hidden, "A fox")
    channel.edit(left, "ready now")
    channel.edit(last, "A crane\n#HIDE")
    alone.wait_for("the edits", lambda: [by(one) for one in (hidden, left, last)] == [None, None, "caption"])
    alone.stop()
