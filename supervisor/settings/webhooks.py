"""The tables of [[webhook]]: addresses that are told of pictures, each with its secret.

URLs may hold secrets too, as those of deploy hooks do: neither is ever shown.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.settings.rules import SettingEntry, keys_of, setting
from supervisor.settings.tables import Faults, tables_of, values_of
from supervisor.settings.values import checked, nearest

MOST = 16
"""Most webhooks. Each has a thread and connections of its own."""

EVENTS = ("published", "changed", "deleted")
KEY_BYTES = range(24, 65)
"""Key length that Standard Webhooks requires, in bytes."""

KEY_FORM = "whsec_ and 24 to 64 random bytes in base64; to make one: echo whsec_$(openssl rand -base64 32)"


def _is_key(text: str) -> None:
    encoded = re.fullmatch(r"whsec_([A-Za-z0-9+/]+={0,2})", text)
    try:
        length = len(base64.b64decode(encoded[1], validate=True)) if encoded else 0
    except binascii.Error:
        length = 0
    if length not in KEY_BYTES:
        raise ValueError


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """Addresses that are told of pictures; docs/webhooks.md says what they get"""

    url: str = setting(
        "",
        "the receiver's address, or a static host's deploy hook",
        pattern=r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?([/?][!-~]*)?",
        form="an http or https address without user and password",
        secret=True,
        example="https://example.org/hooks/pictures",
    )
    secret: str = setting(
        "",
        "the key that messages are signed with (Standard Webhooks); none for rebuild",
        read=_is_key,
        form=KEY_FORM,
        secret=True,
        example="whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
    )
    events: tuple[str, ...] = setting(
        EVENTS,
        "what it is told of",
        form=f"a list, each of it {', '.join(map(json.dumps, EVENTS[:-1]))} or {json.dumps(EVENTS[-1])}",
        example=list(EVENTS),
    )
    kind: str = setting(
        "events",
        "events: a signed message for each event; rebuild: one bare POST when pictures have changed, and rest again",
        choices=("events", "rebuild"),
    )

    def public(self) -> dict[str, Any]:
        """The webhook as one JSON-able dict, without URL and secret."""
        return {
            "url": "(set)",
            "secret": "(set)" if self.secret else "",
            "events": list(self.events),
            "kind": self.kind,
        }


KEYS: dict[str, SettingEntry] = keys_of(WebhookSettings)
"""The rule of each key of a table."""


def read(place: str, value: Any, base: Path) -> tuple[WebhookSettings, ...]:
    """The webhooks of a list of tables that stands at `place`. Raises Faults."""
    tables = tables_of(place, value, "webhook", needed="url and secret")
    faults: list[str] = []
    found = [_read_one(f"{place} #{n}", table, base, faults) for n, table in enumerate(tables, 1)]
    for n, one in enumerate(found, 1):
        if one.url and one.url in [other.url for other in found[: n - 1]]:
            faults.append(f"{place} #{n}: another one has the same url: put all events into one table")
    if len(found) > MOST:
        faults.append(f"{place} has {len(found)} tables; allowed: at most {MOST}")
    if faults:
        raise Faults(faults)
    return tuple(found)


def _read_one(place: str, table: Mapping[str, Any], base: Path, faults: list[str]) -> WebhookSettings:
    one = WebhookSettings(**values_of(place, table, KEYS, base, check=_checked, required=("url",), faults=faults))
    if table.get("kind", "events") == "events" and not table.get("secret"):
        faults.append(f"{place}: secret is missing; allowed: {KEY_FORM}")
    if one.kind == "rebuild" and table.get("secret"):
        faults.append(f"{place}: secret is set, but a rebuild is a bare POST, which is not signed: leave it out")
    return one


def _checked(entry: SettingEntry, value: Any, base: Path) -> Any:
    if entry.key == "events":
        return _events(value)
    if entry.key == "secret" and value == "":
        return ""
    return checked(entry, value, base)


def _events(value: Any) -> tuple[str, ...]:
    """The events in their own order, each once."""
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise ValueError
    for one in value:
        if one not in EVENTS:
            meant = nearest(one, EVENTS)
            raise ValueError(f'did you mean "{meant}"?' if meant else "")
    return tuple(one for one in EVENTS if one in value)
