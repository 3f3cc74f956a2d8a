"""`reload`, `restart NAME`, `stop NAME`, `start NAME`: operations on the running instance, over its control socket."""

from __future__ import annotations

from ipc.transport import control_client
from supervisor.cli import terminal
from supervisor.host import instance_lock
from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings


def run(settings: Settings, action: str, name: str | None) -> int:
    """Ask for the operation and print its outcome; the exit code."""
    card = instance_lock.running(settings.state_dir)
    if card is None:
        raise CommandFailed(f"nothing is running on state_dir {settings.state_dir}. Start it with bin/run")
    try:
        answer = control_client.ask(settings.state_dir, {"action": action, "name": name})
        lines, is_done = [str(line) for line in answer["lines"]], bool(answer["ok"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CommandFailed(
            f"the instance (pid {card.pid}) does not answer: {error}. Try again, or see its log"
        ) from error
    if not is_done:
        raise CommandFailed("\n".join(lines))
    terminal.say(*lines)
    return 0
