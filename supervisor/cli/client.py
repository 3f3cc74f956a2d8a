"""Asks a running instance for its /status."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from supervisor import instance
from supervisor.settings import Settings


class Unreachable(Exception):
    """There is no answer, and why."""


def get_status(settings: Settings, timeout_seconds: float = 5.0) -> dict[str, Any]:
    """The /status of the instance on this state_dir. Raises Unreachable."""
    card = instance.running(settings.state_dir)
    if card is None:
        raise Unreachable(f"nothing is running on state_dir {settings.state_dir}. Start it with bin/run")
    if not card.url:
        raise Unreachable(f"the instance (pid {card.pid}) is still starting")
    request = urllib.request.Request(f"{card.url}/status")
    if settings.health.token:
        request.add_header("Authorization", f"Bearer {settings.health.token}")
    # No proxy: the instance is on this machine, whatever the environment says of the rest of the world.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_seconds) as response:
            body: dict[str, Any] = json.load(response)
    except (OSError, ValueError) as error:
        raise Unreachable(f"{card.url}/status (pid {card.pid}) does not answer: {error}") from error
    return body
