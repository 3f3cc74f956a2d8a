"""What `bin/run check` tries of [notify]: whether each address can be used and, if asked to, whether it takes a
message.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from health.notify import wording
from health.notify.heartbeat import ping
from health.notify.labels import label
from health.notify.notices import Notice
from health.notify.sender import make_service
from ipc.process.checklist import Checklist

TEST = "this is a test message of Picturedesk: here it tells when something needs you, and when it is over"


def check(options: Mapping[str, Any], tried: Checklist) -> None:
    """Whether each address can be used. Nothing is sent."""
    if not options["notify"]["urls"]:
        tried.ok("notify.urls is empty: nobody is told of problems")
    for position, url in enumerate(options["notify"]["urls"]):
        _, why = make_service(url)
        if why:
            tried.fail(f"{label(url, position)}: {why}. See docs/operation.md#messages")
        else:
            tried.ok(f"{label(url, position)}: can be used (bin/run check --notify sends a test message)")


def send_test(options: Mapping[str, Any], tried: Checklist) -> None:
    """Send a test message to each address and ping heartbeat_url."""
    given = options["notify"]
    name = str(given["name"]) or socket.gethostname()
    notices = [Notice("test", TEST)]
    if not given["urls"] and not given["heartbeat_url"]:
        tried.fail("notify.urls is empty: there is nobody to tell")
    for position, url in enumerate(given["urls"]):
        service, why = make_service(url)
        why = why or service.send(wording.title(notices, name), wording.body(notices, name), is_bad=False)
        if why:
            tried.fail(f"{label(url, position)}: the test message was not accepted: {why}")
        else:
            tried.ok(f"{label(url, position)}: accepted the test message")
    if address := given["heartbeat_url"]:
        if why := ping(address):
            tried.fail(f"notify.heartbeat_url: {why}")
        else:
            tried.ok("notify.heartbeat_url: answered")
