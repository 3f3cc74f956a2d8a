"""What `bin/run check` says of the webhooks. Nothing is sent: a receiver might take a trial for a picture."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ipc.process.checklist import Checklist
from workers.publishing.catalog import travels_in_the_clear
from workers.publishing.webhooks.target import Target, targets


def check(options: Mapping[str, Any], tried: Checklist) -> None:
    """Whether each has a host. `options` are the uploader's; the settings have judged URL and secret."""
    for target in targets(options):
        _check_one(target, tried)


def _check_one(target: Target, tried: Checklist) -> None:
    parts = urlsplit(target.url)
    try:
        socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "that is no host name"
        tried.warn(f"{target.label}: its host is not found: {reason}. What it is to be told waits until it is")
        return
    if travels_in_the_clear(target.url):
        tried.warn(f"{target.label}: no https address: what it is told, and its URL, travel in the clear")
        return
    tried.ok(f"{target.label}: its host is found; nothing was sent")
