"""A webhook of the settings as a value: its name in the journal, and its label, in which nothing can be a secret."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from ipc.jobs import ChangeKind


@dataclass(frozen=True, slots=True)
class Target:
    """`number` is its place in the settings, from 1."""

    number: int
    kind: Literal["events", "rebuild"]
    url: str = field(repr=False)
    secret: str = field(repr=False)
    events: frozenset[ChangeKind]

    @property
    def name(self) -> str:
        """The webhook's name, which stays the same as long as its URL does."""
        return f"webhook:{hashlib.sha256(self.url.encode()).hexdigest()[:16]}"

    @property
    def label(self) -> str:
        """For log, /status and errors."""
        return label(self.url, self.number)


def label(url: str, number: int) -> str:
    """Scheme, host and port: path and query may be secrets.

    >>> label("https://api.netlify.com/build_hooks/TOKEN", 1), label("http://127.0.0.1:9000?key=SECRET", 2)
    ('webhook 1 (https://api.netlify.com…)', 'webhook 2 (http://127.0.0.1:9000…)')
    """
    parts = urlsplit(url)
    return f"webhook {number} ({parts.scheme}://{parts.netloc.rpartition('@')[2]}…)"


def targets(options: Mapping[str, Any]) -> list[Target]:
    """The targets of the uploader's options."""
    return [
        Target(number, one["kind"], one["url"], one["secret"], frozenset(one["events"]))
        for number, one in enumerate(options.get("webhooks", ()), 1)
    ]
