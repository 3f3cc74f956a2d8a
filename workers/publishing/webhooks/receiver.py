"""Requests to a receiver: a message signed after Standard Webhooks, or a bare POST. The home of httpx and of
standardwebhooks for webhooks.

Redirects are not followed, an answer is read only as far as the connection can be used again for it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

import httpx
from standardwebhooks.webhooks import Webhook

from workers.publishing.webhooks.answers import ReceiverFault, fault_of
from workers.publishing.webhooks.message import WebhookMessage

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
"""Shortest time-out that Standard Webhooks allows a sender."""

BODY_BYTES = 64 * 2**10
BODY_SECONDS = 2.0
"""What is read of an answer after its status. The rest is cut off along with the connection."""

_CUT = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


class Receiver:
    """Threads may share it; `connections` are kept at most. `version` is the program's."""

    def __init__(self, url: str, secret: str, version: str, connections: int = 1) -> None:
        self._url, self._secret, self._version = url, secret, version
        self._connections = connections
        self._signer = Webhook(secret) if secret else None
        self._client: httpx.Client | None = None

    def send(self, message: WebhookMessage) -> None:
        """Deliver a message. Raises ReceiverFault, MessageFault and Gone."""
        assert self._signer is not None, "the settings have a secret for each webhook of events"
        now = datetime.fromtimestamp(int(time.time()), UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(message.id, now, message.body.decode()),
        }
        self._post(message.body, headers)

    def ping(self) -> None:
        """A POST without anything in it. Raises as `send` does."""
        self._post(b"", {})

    def open(self) -> None:
        """Make the client: before threads share it."""
        if self._client is None:
            self._client = httpx.Client(
                timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
                limits=httpx.Limits(max_connections=self._connections, max_keepalive_connections=self._connections),
                headers={"user-agent": f"Picturedesk/{self._version}", "accept-encoding": "identity"},
                follow_redirects=False,
            )

    def close(self) -> None:
        """Cut all connections. It can be used again, and opens them anew."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _post(self, body: bytes, headers: dict[str, str]) -> None:
        self.open()
        client = self._client
        assert client is not None
        try:
            try:
                status, retry_after = _ask(client, self._url, body, headers)
            except _CUT:  # a kept connection may be cut just as the next request goes out: that says nothing
                status, retry_after = _ask(client, self._url, body, headers)
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:  # RuntimeError: closed meanwhile
            raise ReceiverFault(self._without_secrets(_told(error))) from None
        if fault := fault_of(status, retry_after, time.time()):
            raise fault

    def _without_secrets(self, text: str) -> str:
        for secret in filter(None, (self._url, httpx.URL(self._url).raw_path.decode().strip("/"), self._secret)):
            text = text.replace(secret, "(hidden)")
        return text


def _ask(client: httpx.Client, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Status and Retry-After of the answer."""
    with client.stream("POST", url, content=body, headers=headers) as response:
        _read_some(response)
        return response.status_code, response.headers.get("retry-after", "")


def _read_some(response: httpx.Response) -> None:
    """The answer's body, if it is short; what its status says stands whatever comes after it."""
    began, count = time.monotonic(), 0
    try:
        for block in response.iter_raw():
            count += len(block)
            if count > BODY_BYTES or time.monotonic() - began > BODY_SECONDS:
                return
    except httpx.HTTPError:
        return


def _told(error: Exception) -> str:
    """
    >>> _told(httpx.ReadTimeout("timed out")), _told(httpx.ConnectError("[Errno 111] Connection refused"))
    ('no answer: ReadTimeout: timed out', 'no answer: ConnectError: [Errno 111] Connection refused')
    """
    return f"no answer: {type(error).__name__}: {error}".removesuffix(": ")
