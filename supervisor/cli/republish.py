"""`republish`: publishes again what the settings want otherwise than it was published."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass

from ipc.journal import Journal, peers, renewals
from ipc.text import channel_address
from supervisor import child_options
from supervisor.child.runtime import resolve
from supervisor.cli import terminal
from supervisor.cli.exit_codes import ExitCode
from supervisor.host import instance_lock
from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings

MOST_TOLD = 50
"""Most pictures that could not be rendered anew whose reason is printed."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which pictures are rendered anew: of these channels (none: of all), posted since that Unix second."""

    channels: tuple[str, ...]
    since: float


@dataclass(frozen=True, slots=True)
class Republication:
    """What is published again: see the options of the command."""

    originals: bool = False
    urls: bool = False
    rows: bool = False
    renditions: Chosen | None = None


def run(settings: Settings, wanted: Republication) -> int:
    """Replace originals, write rows again, have pictures rendered anew, or all of these; the exit code."""
    if wanted == Republication():
        terminal.complain("republish", "say what: --originals, --urls, --rows, --renditions, or several of them")
        return ExitCode.USAGE
    if not (settings.state_dir / "journal.db").exists():
        raise CommandFailed(f"{settings.state_dir} has no journal: it knows what is published, and how")
    if wanted.originals:
        _replace_originals(settings)
    if wanted.urls:
        _write_rows_again(settings)
    if wanted.rows:
        _fill_rows(settings)
    if wanted.renditions:
        _want_renditions(settings, wanted.renditions)
    return 0


def _replace_originals(settings: Settings) -> None:
    """Replace each original that is published as it came; print a line for each."""
    if settings.storage.originals == "as_is":
        raise CommandFailed(
            'storage.originals = "as_is": originals are wanted as they came. Set it to "stripped" or "none", and have'
            " the program read it (bin/run reload), before they are replaced"
        )
    outcomes: Counter[str] = Counter()
    faults = (resolve("workers.publishing.storage:StorageFault"),)
    try:
        for one in resolve("workers.publishing.republish:replace_originals")(child_options.uploader_options(settings)):
            outcomes[one.became] += 1
            terminal.say(f"{one.became} {one.key}{f': {one.why}' if one.why else ''}")
    except faults as fault:  # type: ignore[misc]  # a class, resolved by name: no worker is imported here
        raise CommandFailed(f"{fault} ({_sum(outcomes)} by then; the same command goes on with the rest)") from fault
    terminal.say(f"Originals that were published as they came: {_sum(outcomes)}.", out=sys.stderr)
    if left := outcomes["missing"] + outcomes["damaged"] + outcomes["failed"]:
        raise CommandFailed(f"{left} could not be replaced: the lines above say why")


def _sum(outcomes: Counter[str]) -> str:
    return f"{outcomes['stripped']} replaced by stripped ones, {outcomes['removed']} removed"


def _write_rows_again(settings: Settings) -> None:
    """Have the uploader write the rows again whose URLs do not begin with storage.public_url."""
    count = sum(resolve("workers.publishing.republish:write_rows_again")(child_options.uploader_options(settings)))
    if not count:
        terminal.say("The URLs of all rows begin as they should.")
    else:
        _tell_rows(settings, count)


def _fill_rows(settings: Settings) -> None:
    """Have the uploader write the rows again that lack columns."""
    republish = "workers.publishing.republish"
    faults = (resolve(f"{republish}:SchemaOutdated"), resolve("workers.publishing.catalog:CatalogFault"))
    try:
        count = sum(resolve(f"{republish}:fill_rows")(child_options.uploader_options(settings)))
    except faults as fault:  # type: ignore[misc]  # classes, resolved by name: no worker is imported here
        raise CommandFailed(str(fault)) from fault
    if not count:
        terminal.say("All rows have all columns.")
    else:
        _tell_rows(settings, count)


def _tell_rows(settings: Settings, count: int) -> None:
    if instance_lock.running(settings.state_dir):
        terminal.say(
            f"{count} rows are written again now, behind what is posted (bin/run reload first, if that is still due)."
        )
    else:
        terminal.say(f"{count} rows are written again when the program runs.")


def _want_renditions(settings: Settings, chosen: Chosen) -> None:
    """Have the uploader render pictures anew whose recipe is not today's."""
    images = settings.images
    recipe = resolve("workers.rendering.imaging:current_recipe")(images.preset, animations=images.animations)
    channels = _ids_of(settings, chosen.channels)
    _tell_failed(settings)
    want = resolve("workers.publishing.republish:want_renditions")
    count = sum(want(child_options.uploader_options(settings), recipe, channels=channels, since=chosen.since))
    if not count:
        terminal.say(f"All pictures are rendered by today's recipe, {recipe}, or are about to be.")
    elif instance_lock.running(settings.state_dir):
        terminal.say(
            f"{count} pictures are rendered anew now, by recipe {recipe}, behind all other work: bin/run status counts"
            " them (bin/run reload first, if that is still due)."
        )
    else:
        terminal.say(f"{count} pictures are rendered anew, by recipe {recipe}, when the program runs.")


def _tell_failed(settings: Settings) -> None:
    """Say which pictures could not be rendered anew when that was tried last."""
    journal = Journal.open_to_read(settings.state_dir / "journal.db")
    for channel, message, reason in renewals.failed(journal, MOST_TOLD):
        terminal.say(f"as it was: channel {channel}, message {message}: {reason}", out=sys.stderr)
    journal.close()


def _ids_of(settings: Settings, channels: tuple[str, ...]) -> list[int] | None:
    """The channels of these addresses; None for all. Raises Failed."""
    if not channels:
        return None
    journal = Journal.open_to_read(settings.state_dir / "journal.db")
    found: list[int] = []
    for text in channels:
        try:
            address = channel_address.parse(text)
        except channel_address.NoAddress as error:
            raise CommandFailed(str(error)) from error
        ids = [int(address.value)] if address.kind == "id" else sorted(peers.channel_ids(journal, address.key))
        if not ids:
            raise CommandFailed(f"no channel is known by {text!r} yet: name it by its id")
        found += ids
    journal.close()
    return found
