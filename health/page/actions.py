"""What the page can do: bring dead letters back, and ask the root for an operation, as the commands of bin/run do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from health.answers import Answer, Headers, Receive, Scope, header, json_answer
from health.page.journal import PageOptions, revive
from ipc.journal import JournalError
from ipc.transport import control_client

MOST_BYTES = 16 * 1024
"""Largest request body, in bytes."""

BODY_SECONDS = 5.0
"""Longest time that a client may take to send the body, in seconds."""

OPERATIONS = ("restart", "stop", "start", "reload")
MARK = b"x-picturedesk"
"""The header that only a script of the same origin can send, without the server being asked first."""

log = structlog.get_logger()


def refuse_foreign(headers: Headers) -> Answer | None:
    """The refusal of a request that another site may have made the browser send."""
    site, source = header(headers, b"sec-fetch-site"), header(headers, b"origin")
    host = header(headers, b"host") or ""
    is_ours = source is None or source.partition("://")[2].lower() == host.lower()
    if site not in (None, "same-origin") or not is_ours:
        return json_answer({"error": f"this comes from another site ({source or site}), not from the page"}, 403)
    if header(headers, MARK) is None:
        return json_answer({"error": "this needs the header X-Picturedesk: 1"}, 403)
    return None


async def read_body(receive: Receive) -> dict[str, Any] | Answer:
    """The JSON object that the request has, or the refusal of a request that has none."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            text = await _whole(receive)
    except TimeoutError:
        return json_answer({"error": f"the request was not sent within {BODY_SECONDS:.0f} s"}, 408)
    if text is None:
        return json_answer({"error": f"the request has more than {MOST_BYTES} bytes"}, 413)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    return content if isinstance(content, dict) else json_answer({"error": "the request must be a JSON object"}, 400)


async def _whole(receive: Receive) -> bytes | None:
    """The whole body. None if it is larger than MOST_BYTES."""
    text = bytearray()
    is_whole = False
    while not is_whole and len(text) <= MOST_BYTES:
        message = await receive()
        text += message.get("body", b"")
        is_whole = not message.get("more_body")
    return bytes(text) if len(text) <= MOST_BYTES else None


class Actions:
    """Carries out one action at a time, and logs each."""

    def __init__(self, options: PageOptions) -> None:
        self._options = options
        self._busy = asyncio.Lock()
        self._known: Mapping[str, Callable[[dict[str, Any]], Awaitable[Answer]]] = {
            "retry": self._retry,
            **{name: self._operation(name) for name in OPERATIONS},
        }

    def knows(self, name: str) -> bool:
        return name in self._known

    async def take(self, name: str, given: dict[str, Any], scope: Scope) -> Answer:
        """Carry out the action of that name; the answer says in `said` what came of it."""
        if self._busy.locked():
            return json_answer({"said": "another action is under way: try again"}, 409)
        async with self._busy:
            answer = await self._known[name](given)
        said = json.loads(answer.body)
        log.info(
            "page.action_taken",
            action=name,
            child=str(given.get("name") or "")[:100],
            client=client_of(scope),
            job_ids=said.get("job_ids", []),
            what=said["said"],
        )
        return answer

    async def _retry(self, given: dict[str, Any]) -> Answer:
        try:
            count, ids = await asyncio.to_thread(revive, self._options.state_dir / "journal.db", given)
        except JournalError as error:
            return _said(str(error), 503)
        except (ValueError, TypeError, OverflowError) as error:
            return _said(f"not understood: {error}", 400)
        if not count:
            return _said("nothing was brought back: not dead any more, or blocked", 409)
        return json_answer({"said": f"{count} brought back; tried again now", "job_ids": ids}, 200)

    def _operation(self, name: str) -> Callable[[dict[str, Any]], Awaitable[Answer]]:
        async def ask(given: dict[str, Any]) -> Answer:
            request = {"action": name, "name": given.get("name")}
            try:
                answer = await asyncio.to_thread(control_client.ask, self._options.state_dir, request)
                lines, is_done = "; ".join(map(str, answer["lines"])), bool(answer["ok"])
            except (OSError, ValueError, LookupError, TypeError) as error:
                return _said(f"the root does not answer: {error}. Try again, or see the log", 503)
            return _said(lines, 200 if is_done else 409)

        return ask


def client_of(scope: Scope) -> str:
    """The address that the request comes from."""
    return str(scope["client"][0]) if scope.get("client") else ""


def _said(text: str, status: int) -> Answer:
    return json_answer({"said": text}, status)
