"""What a child's predecessor has left: words that still hold, and what its own children had been through."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ipc.transport.exits import Cause


@dataclass(slots=True)
class Inherited:
    """What a child's predecessor has said and the child has not yet said again: its children's names, report topics.

    `until` is when that is forgotten (monotonic seconds): some time after the child is ready.
    """

    names: set[str]
    topics: set[str]
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class Past:
    """How often a child's child had been restarted when its supervisor died, and why: its successor starts at zero."""

    restarts: int
    causes: Counter[str]

    @classmethod
    def of(cls, facts: dict[str, Any], cause: Cause) -> Past:
        """The past after an end of that cause, which the child's child shares with its supervisor if it was up."""
        causes = Counter(facts.get("exit_causes", {}))
        went_with_it = "pid" in facts
        causes.update([cause.value] if went_with_it else [])
        return cls(facts.get("restarts", 0) + went_with_it, causes)

    def added_to(self, facts: dict[str, Any]) -> dict[str, Any]:
        """These facts, counted from the program's start."""
        causes = self.causes + Counter(facts.get("exit_causes", {}))
        return {
            **facts,
            "restarts": facts.get("restarts", 0) + self.restarts,
            **({"exit_causes": dict(causes)} if causes else {}),
        }
