"""What `machines.join` holds: all that a node must know of its origin's project and bucket, as one word.

It is JSON by the settings' dotted names, in base64url, so that it passes through shells and forms as it is. It is no
encryption: the bucket's keys are in it. The project's key is not, since a node has one of its own, which may do less.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping

VERSION = 1

NAMES = (
    "catalog.url",
    "storage.endpoint",
    "storage.bucket",
    "storage.access_key_id",
    "storage.secret_access_key",
    "storage.public_url",
    "storage.prefix",
    "machines.wire_bucket",
)
"""The settings that it may hold. Others, of a later version, are passed over."""

BACKENDS = {"storage.backend": "r2", "catalog.backend": "supabase"}
"""Backends that follow from being a node."""


def packed(values: Mapping[str, str]) -> str:
    """The word for these settings; what is empty is left out."""
    given = {name: values[name] for name in NAMES if values.get(name)}
    text = json.dumps({"v": VERSION, **given}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unpacked(word: str) -> dict[str, str]:
    """The settings that the word holds, the backends among them. Raises ValueError, whose text shows nothing of it."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", word):
        raise ValueError("it has characters that no such word has")
    try:
        found = json.loads(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
    except ValueError:  # bad base64, UTF-8 or JSON
        raise ValueError("it is not whole") from None
    if not isinstance(found, dict) or found.get("v") != VERSION:
        raise ValueError("it was made by another version")
    if not all(isinstance(found.get(name, ""), str) for name in NAMES):
        raise ValueError("it is not whole")
    return {**BACKENDS, **{name: found[name] for name in NAMES if name in found}}


def is_join(text: str) -> bool:
    """Check a setting's value: empty, or a join word that can be unpacked. Raises ValueError."""
    return not text or bool(unpacked(text))
