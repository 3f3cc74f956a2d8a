"""The home of Apprise, which knows how to reach a hundred services. Imported where notify.urls is set, and only there:
it takes 0.64 s and 36 MiB.

No secret gets out. The words of Apprise and of what it is built on are not passed on, neither their log records nor
the texts of their errors, which may hold an address; only an HTTP status or the kind of an error is taken from them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import suppress

import apprise

LOGGERS = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib", "charset_normalizer", "markdown")
"""Loggers whose records may hold an address. In this process nobody else uses these libraries."""

_STATUS = re.compile(r"\berror=([1-5][0-9]{2})\b")


class Unusable(Exception):
    """Apprise can't make anything of the address; the text holds nothing of it."""


def silence() -> None:
    """Keep the log records of Apprise and its libraries from everywhere."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


class AppriseService:
    """One address. Its methods wait for the network; no error gets out but Unusable, from here."""

    def __init__(self, url: str) -> None:
        silence()
        # In this thread: a pool's threads would be waited for at the end of the process.
        asset = apprise.AppriseAsset(async_mode=False, service_timeout=0, app_id="Picturedesk", app_desc="Picturedesk")
        plugin = None
        with suppress(Exception):  # a plugin that fails on its address
            plugin = apprise.Apprise.instantiate(url, asset=asset)
        if plugin is None:
            raise Unusable("Apprise does not understand this address")
        self._apprise = apprise.Apprise(asset=asset)
        self._apprise.add(plugin)

    def send(self, title: str, body: str, *, is_bad: bool) -> str:
        """Send a message; why it was not accepted, or an empty text."""
        kind = apprise.NotifyType.WARNING if is_bad else apprise.NotifyType.SUCCESS
        try:
            result = self._apprise.notify(body, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
            return "" if result else _reason(entry.message for entry in result.logs())
        except Exception as error:
            return f"{type(error).__name__} in Apprise"


def _reason(messages: Iterator[str]) -> str:
    """What may be shown of Apprise's words: none but a number.

    >>> _reason(iter(["Failed to send to https://example.org/SECRET: Unauthorized, error=401."]))
    'HTTP 401'
    """
    for message in messages:
        if found := _STATUS.search(message):
            return f"HTTP {found[1]}"
        if "onnection" in message or "timed out" in message:
            return "it cannot be reached"
    return "it was not accepted"
