"""`hide`, `unhide` and `block`: take posts off the site and bring them back, without the channel."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ipc import editing
from ipc.jobs import Job
from ipc.journal import Journal, lookup, peers, pictures
from ipc.rules import PostRule
from ipc.text import post_address
from ipc.text.channel_address import NoAddress
from ipc.text.post_address import PostAddress
from ipc.text.timestamps import iso
from supervisor.cli import terminal
from supervisor.cli.exit_codes import ExitCode
from supervisor.host import instance_lock
from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Do what one of the three commands says; the exit code."""
    if options.command == "block":
        return block(settings, options.sha256, remove=options.remove)
    return (hide if options.command == "hide" else unhide)(settings, options.post, options.message)


def hide(settings: Settings, link: str, message: str | None) -> int:
    """Hide a post, until `unhide`; the exit code."""
    if (post := _address("hide", link, message)) is None:
        return ExitCode.USAGE
    with _journal(settings) as journal:
        jobs = _jobs_of(journal, post, link)
        count = editing.hide_posts(journal, jobs, time.time())
        blocked = [job.id for job in jobs if job.hidden_at is not None and job.hidden_by == "block"]
        digests = pictures.blocked_for(journal, blocked)
    others = len(jobs) - len(blocked)
    if count:
        terminal.say(f"{_pictures(others)} hidden; off the site {_when(settings)}.")
    elif others:
        terminal.say(f"{_pictures(others)}: hidden already. What its caption says does not matter any more.")
    if blocked:
        terminal.say(f"{_pictures(len(blocked))}: hidden already, by bin/run block, and not hidden otherwise as well.")
        terminal.say(*(f"Shown again by bin/run block --remove {digest}" for digest in digests))
    return ExitCode.DONE


def unhide(settings: Settings, link: str, message: str | None) -> int:
    """Show a post that is hidden, whatever hides it but a blocked picture; the exit code."""
    if (post := _address("unhide", link, message)) is None:
        return ExitCode.USAGE
    with _journal(settings) as journal:
        shown, blocked = editing.show_posts(journal, _jobs_of(journal, post, link), time.time())
    if blocked:
        raise CommandFailed(
            f"{_pictures(blocked)} stays hidden: the picture is blocked. bin/run block lists what is;"
            " bin/run block --remove SHA256 lets it in again"
        )
    terminal.say(f"{_pictures(shown)} shown again; on the site {_when(settings)}." if shown else "It is not hidden.")
    return ExitCode.DONE


def block(settings: Settings, sha256: str | None, *, remove: bool) -> int:
    """Keep a picture out for good, let it in again, or list those that are kept out; the exit code."""
    if sha256 is None and not remove:
        with _journal(settings) as journal:
            blocked = pictures.all_blocked(journal)
        terminal.say(*(f"{one} since {iso(at)}" for one, at in blocked) if blocked else ["No picture is blocked."])
        return ExitCode.DONE
    digest = (sha256 or "").strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", digest):
        terminal.complain(
            "block", f"{sha256!r} is no SHA-256: 64 hex digits, as in images.sha256 and in the picture's address"
        )
        return ExitCode.USAGE
    with _journal(settings) as journal:
        if remove:
            _let_in(settings, journal, digest)
        else:
            became = editing.block(journal, digest, time.time())
            terminal.say(
                f"Blocked: {_pictures(became.hidden)} hidden, off the site {_when(settings)};"
                f" {became.stopped} on their way go no further."
            )
    return ExitCode.DONE


def _let_in(settings: Settings, journal: Journal, digest: str) -> None:
    rules = tuple(PostRule.of(rule.options()) for rule in settings.telegram.rules)
    how = editing.Editing(settings.telegram.editor_commands, rules)
    became = editing.unblock(journal, digest, how, time.time())
    if became is None:
        raise CommandFailed(f"{digest} is not blocked. bin/run block lists what is")
    terminal.say(
        f"No longer blocked: {_pictures(became.hidden)} shown again, unless the caption hides it;"
        f" {became.stopped} tried again {_when(settings)}."
    )


def _address(command: str, link: str, message: str | None) -> PostAddress | None:
    """The post that is named; None after a complaint."""
    try:
        return post_address.parse(link) if message is None else post_address.of(link, message)
    except NoAddress as error:
        terminal.complain(command, str(error))
        return None


@contextmanager
def _journal(settings: Settings) -> Iterator[Journal]:
    path = settings.state_dir / "journal.db"
    if not path.exists():
        raise CommandFailed(f"{settings.state_dir} has no journal yet: nothing is known of any post")
    journal = Journal.open(path)
    try:
        yield journal
    finally:
        journal.close()


def _jobs_of(journal: Journal, post: PostAddress, link: str) -> list[Job]:
    """The jobs of a post: of an album all, unless the link names one picture of it (`?single`)."""
    channel = post.channel
    ids = [int(channel.value)] if channel.kind == "id" else sorted(peers.channel_ids(journal, channel.key))
    found = next((job for one in ids if (job := lookup.known(journal, one, post.message_id))), None)
    if found is None:
        raise CommandFailed(f"nothing is known of that post: bin/run why {link} says more")
    if found.deleted_at is not None:
        raise CommandFailed(f"it was deleted in Telegram {iso(found.deleted_at)}, and is off the site")
    return [found] if re.search(r"[?&]single\b", link) else lookup.posted_with(journal, found)


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _when(settings: Settings) -> str:
    return "within seconds" if instance_lock.running(settings.state_dir) else "when the program runs"
