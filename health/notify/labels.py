"""The name of an address of notify.urls for log, /status and errors: nothing of it can be a secret."""

from __future__ import annotations

import re

PLAIN_HOSTS = frozenset({"json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos", "gotify", "gotifys"})
"""The schemes after which a host stands for certain. Elsewhere that place may have a token, a key or a topic."""

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://(?:[^/?#@]*@)?([A-Za-z0-9.-]+(?::\d+)?)?(?=[/?#]|$)[^@]*")
"""Scheme and host. One more @ anywhere, and it is not certain what is a password."""


def label(url: str, position: int) -> str:
    """`position` counts from 0, people from 1.

    >>> label("tgram://123456:TOKEN/789", 0), label("mailtos://me:secret@example.org/?cc=you", 1)
    ('notify.urls, number 1 (tgram://…)', 'notify.urls, number 2 (mailtos://…example.org…)')
    """
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,30}(?=://)", url)
    whole = _ADDRESS.fullmatch(url)
    host = whole[2] if whole and whole[1].lower() in PLAIN_HOSTS and whole[2] else ""
    shown = f"{scheme[0] if scheme else ''}://…{f'{host}…' if host else ''}"
    return f"notify.urls, number {position + 1} ({shown})"
