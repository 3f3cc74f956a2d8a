"""Which commands belong to an origin, or to a machine that does everything, and are refused on a node."""

from __future__ import annotations

from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings

REASONS = {
    "import": "it has no source of its own: import at the origin, which hands over what it gets",
    "hide": "what is hidden is known at the origin",
    "unhide": "what is hidden is known at the origin",
    "block": "what is blocked is known at the origin",
    "gc": "it knows only what it has in hand, and would take all else for garbage",
    "republish": "rows and renditions are those of the origin",
    "login": "it needs no Telegram account",
    "retry": "a dead letter is the origin's, which hands it over again",
}
"""What each command is refused for on a node; the others work there."""


def refuse_on_a_node(settings: Settings, command: str) -> None:
    """Raises CommandFailed where this machine is a node and the command is none for it."""
    if settings.machines.role == "node" and (why := REASONS.get(command)):
        raise CommandFailed(f'this machine is a node (machines.role = "node"), and {why}. Run it at the origin')
