"""What origin and nodes say to each other: the hand-over of a picture, and its result.

Both lie in queues of the user's own database as JSON. Pure values: who sends them is in `workers.publishing.machines`
(the origin) and `workers.sources.queue` (a node); the queues themselves are in `deploy/machines.sql`.

Versions. Machines are upgraded one after another, nodes before their origins, so each has to get on with messages of
its neighbours:

- What a reader does not know in a message of a version that it understands is passed over, and what was added to a
  version has a default: so a message may get another field without another version.
- A message whose version is higher is left alone. A node gives it back, for newer ones, and says so; an origin has its
  own workers do the picture, hands nothing over for a while, and says which version it lacks.
- A node answers in the version that it was asked in, so that an origin that is older than its nodes can read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ipc.posts import clean

VERSION = 1
"""Version of the messages; the queues' names carry it."""

OLDEST = 1
"""The oldest version that is understood: that before VERSION, once there are two."""


LARGEST = 2**63 - 1
"""Largest number that the journal and the database keep."""

MISTAKES = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError)
"""What reading a message raises that is none of ours."""


class BadMessage(Exception):
    """A message that is none of ours, or of a version that this program does not know: what is wrong with it."""


class NewerMessage(BadMessage):
    """One of a version that only a newer program understands."""


def check_version(packed: Mapping[str, Any], what: str) -> None:
    """Raises BadMessage, and NewerMessage, where this program can't read a message of that version."""
    version = packed.get("v")
    if isinstance(version, bool) or not isinstance(version, int) or version < OLDEST:
        raise BadMessage(f"{what} of version {version!r}, this program understands {VERSION}")
    if version > VERSION:
        raise NewerMessage(f"{what} of version {version}, this program understands {VERSION}: it has to be upgraded")


def known(of: type[Any], packed: Mapping[str, Any]) -> dict[str, Any]:
    """The values that this version has fields for."""
    names = {field.name for field in fields(of)}
    return {name: value for name, value in packed.items() if name in names}


def storable(value: Any) -> Any:
    r"""The value of JSON as PostgreSQL takes it: a text that it refuses would keep back all that is sent with it.

    >>> storable({"a": ["x\x00y", 1]})
    {'a': ['x\ufffdy', 1]}
    """
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {name: storable(one) for name, one in value.items()}
    return [storable(one) for one in value] if isinstance(value, list | tuple) else value
