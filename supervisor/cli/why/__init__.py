"""`why`: one post's life step by step, where it is now, what it waits for, and what to do."""

from __future__ import annotations

import time

from ipc.journal import Journal
from ipc.text import post_address
from ipc.text.channel_address import NoAddress
from ipc.text.post_address import PostAddress
from supervisor.cli import client, terminal
from supervisor.cli.exit_codes import ExitCode
from supervisor.cli.why import findings, report
from supervisor.cli.why.answers import Instance, answer
from supervisor.host import instance_lock
from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings


def run(settings: Settings, post: str, message: str | None, *, as_json: bool) -> int:
    """Print what is known of the post; the exit code. Works with and without a running instance."""
    try:
        address = post_address.parse(post) if message is None else post_address.of(post, message)
    except NoAddress as error:
        terminal.complain("why", str(error))
        return ExitCode.USAGE
    path = settings.state_dir / "journal.db"
    if not path.exists():
        raise CommandFailed(
            f"{settings.state_dir} has no journal yet: nothing is known of any post. Start it with bin/run"
        )
    _print(settings, Journal.open_to_read(path), address, as_json=as_json)
    return ExitCode.DONE


def _print(settings: Settings, journal: Journal, address: PostAddress, *, as_json: bool) -> None:
    now = time.time()
    instance = _ask_instance(settings)  # first, since the journal may only be ahead of what it says
    finding = findings.find(journal, settings, address)
    journal.close()
    answered = answer(finding, instance, now)
    if as_json:
        terminal.say_json(report.document(finding, answered))
    else:
        terminal.say(*report.lines(finding, answered))


def _ask_instance(settings: Settings) -> Instance:
    if instance_lock.running(settings.state_dir) is None:
        return Instance(is_running=False)
    try:
        return Instance(is_running=True, status=client.get_status(settings))
    except client.NoInstance as error:
        return Instance(is_running=True, trouble=str(error))
