"""A notice: what a message says of one problem. Messages are made of these, and they wait until they are delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["problem", "over", "test"]


@dataclass(frozen=True, slots=True)
class Notice:
    """`since` and `until` are Unix seconds; `until` is known once it is over."""

    kind: Kind
    what: str
    remedy: str = ""
    since: float = 0.0
    until: float | None = None
