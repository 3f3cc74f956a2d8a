"""Cloudflare's API, as far as its caches are purged by URL. The home of urllib in the uploader.

https://developers.cloudflare.com/cache/how-to/purge-cache/purge-by-single-file/
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from workers.publishing.service.retry_after import pause_seconds

API = "https://api.cloudflare.com/client/v4"

MAX_URLS = 30
"""Most URLs in one request, which every plan has always taken."""

ANSWER_SECONDS = 20.0
ANSWER_BYTES = 64 * 1024
"""Bytes of an answer that are read. A success has some 100."""

TOKEN = (
    "Put a token with the permission Cache Purge of this zone into storage.cloudflare_token, and the zone's id, which"
    " its overview shows, into storage.cloudflare_zone; then bin/run reload"
)
PASSING = "Nothing is lost; it is tried again by itself. If it lasts, check the network and Cloudflare's status"

_REFUSED = (400, 401, 403, 404, 405)


class PurgeFault(Exception):
    """No copy was purged, as far as is known: why, and what to do. `wait_seconds`: what the service asks for, if so."""

    def __init__(self, reason: str, remedy: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.remedy = remedy
        self.wait_seconds = wait_seconds


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token to another address."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Cloudflare:
    """One zone. `api` is the address of the API, another one in tests."""

    def __init__(self, zone: str, token: str, api: str = API) -> None:
        self._url = f"{api}/zones/{zone}/purge_cache"
        self._token = token
        self._opener = urllib.request.build_opener(_NoRedirect)

    def purge(self, urls: Sequence[str]) -> None:
        """Have the copies of at most MAX_URLS addresses forgotten. Raises PurgeFault."""
        request = urllib.request.Request(
            self._url,
            json.dumps({"files": list(urls)}).encode(),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", "User-Agent": "picturedesk"},
            method="POST",
        )
        try:
            with self._opener.open(request, timeout=ANSWER_SECONDS) as response:
                status, headers, body = response.status, response.headers, response.read(ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                status, headers, body = error.code, error.headers, _read(error)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise PurgeFault(f"no answer of the CDN: {self._without_token(_words_of(error))}", PASSING) from error
        if not is_success(status, body):
            reason = self._without_token(f"the CDN answers {status}: {reasons_of(body)}")
            wait = pause_seconds(headers.get("Retry-After", ""), time.time())
            raise PurgeFault(reason, TOKEN if status in _REFUSED else PASSING, wait)

    def _without_token(self, text: str) -> str:
        return text.replace(self._token, "(the token)") if self._token else text


def _read(response: Any) -> bytes:
    try:
        return bytes(response.read(ANSWER_BYTES))
    except (OSError, http.client.HTTPException):
        return b""


def _words_of(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return f"{cause}" or type(error).__name__


def is_success(status: int, body: bytes) -> bool:
    """Whether the answer says that it was done.

    >>> is_success(200, b'{"success": true, "errors": []}'), is_success(200, b"{}"), is_success(200, b"<html>")
    (True, False, False)
    """
    answer = _parsed(body)
    return status == http.client.OK and answer.get("success") is True


def reasons_of(body: bytes) -> str:
    """What the answer says is wrong, in its words.

    >>> reasons_of(b'{"success": false, "errors": [{"code": 10000, "message": "Authentication error"}]}')
    'Authentication error (10000)'
    >>> reasons_of(b"<html>")
    'no word of what is wrong'
    """
    errors = _parsed(body).get("errors")
    told = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    words = "; ".join(f"{one.get('message')} ({one.get('code')})" for one in told[:3])
    return words[:300] or "no word of what is wrong"


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}
