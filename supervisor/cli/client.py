"""Asks a running instance for its /status."""

from __future__ import annotations

import http
import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from supervisor.host import instance_lock
from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings

FIELDS = {"ok", "problems", "stats", "tree", "memory", "channels"}
MAX_BYTES = 64 * 2**20
NOT_OURS = "is answered by another program"


class NoInstance(CommandFailed):
    """No instance answers; the text says why, and the remedy."""


def get_status(settings: Settings, timeout_seconds: float = 5.0) -> dict[str, Any]:
    """The /status of the instance on this state_dir. Raises NoInstance."""
    card = instance_lock.running(settings.state_dir)
    if card is None:
        raise NoInstance(f"nothing is running on state_dir {settings.state_dir}. Start it with bin/run")
    if not card.url:
        raise NoInstance(f"the instance (pid {card.pid}) is still starting")
    request = urllib.request.Request(f"{card.url}/status")
    if settings.health.token:
        request.add_header("Authorization", f"Bearer {settings.health.token}")
    # No proxy: the instance is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    where = f"{card.url}/status (pid {card.pid})"
    try:
        with opener.open(request, timeout=timeout_seconds) as response:
            body = json.loads(response.read(MAX_BYTES))
    except urllib.error.HTTPError as error:
        error.close()
        raise NoInstance(f"{where} {_refusal(error.code, settings.health.token)}") from error
    except ValueError as error:
        raise NoInstance(f"{where} {NOT_OURS}: it has not answered with JSON") from error
    except (OSError, http.client.HTTPException) as error:
        raise NoInstance(f"{where} does not answer: {error}") from error
    if not isinstance(body, dict) or not body.keys() >= FIELDS:
        raise NoInstance(f"{where} {NOT_OURS}: its answer is no status")
    return body


def _refusal(code: int, token: str) -> str:
    """What an answer with that code means, and the remedy."""
    if code == http.HTTPStatus.UNAUTHORIZED:
        what = "refused the token" if token else "wants a token"
        remedy = "set health.token (PICTUREDESK__HEALTH__TOKEN) as the running instance has it"
        return f"{what} (401): {remedy}, or run bin/run reload if it has changed"
    return f"answered {code}: perhaps it {NOT_OURS}, or by another version"
