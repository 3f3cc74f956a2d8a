"""The journal as the page uses it: read for what is shown, written to bring dead letters back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from health.page import desk, files
from ipc.journal import Journal, JournalError, lookup, pictures, statistics, transitions
from ipc.journal.lookup import Letter

REVIVED_AT_ONCE = 500
IDS_TOLD = 20
"""Most jobs that came back and are named in the log."""


class PageOptions(NamedTuple):
    """What the settings say that the page needs."""

    state_dir: Path
    backend: str
    public_url: str
    prefix: str
    show_captions: bool
    gallery: str = ""
    """The gallery's URL, or "site/": this process serves it. Empty: there is none."""

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> PageOptions:
        return cls(
            Path(options["state_dir"]),
            options["backend"],
            options["public_url"],
            options["prefix"],
            options["show_captions"],
            options["gallery"],
        )


class DeskReader:
    """Reads what the page shows besides /status. It is opened to be read, and opened anew after each error."""

    def __init__(self, options: PageOptions) -> None:
        self._options = options
        self._journal: Journal | None = None
        self._can_be_shown: dict[tuple[int, int], bool] = {}

    def read(self, status: Mapping[str, Any], *, with_thumbnails: bool) -> dict[str, Any]:
        """The last hour and day, the newest pictures and the dead letters; without any while the journal can't be read,
        which /status says.
        """
        names = desk.names_of(status["channels"])
        try:
            if self._journal is None:
                self._journal = Journal.open_to_read(self._options.state_dir / "journal.db")
            with self._journal.reading():
                published = pictures.newest_published(self._journal, desk.PICTURES)
                reasons = lookup.dead_reasons(self._journal, desk.GROUPS)
                most = desk.letters_of_each(len(reasons))
                dead = [(*one, lookup.newest_dead(self._journal, one[0], most)) for one in reasons]
                now = self._journal.clock()
                minutes = statistics.minutes(self._journal, int(now) - 60 * desk.MINUTES)
                hours = statistics.hours(self._journal)
        except (JournalError, ValueError):  # ValueError: a packed column that is damaged
            self.close()
            return {"pictures": [], "dead": []}
        based = ((job, self._base(prefix)) for job, prefix in published)
        with_caption = self._options.show_captions
        shown = (desk.picture(job, base, names, with_caption=with_caption) for job, base in based if base is not None)
        return {
            "hour": desk.hour(minutes, status["tree"], now, status.get("reloads", ())),
            "strips": desk.strips(hours, now),
            "pictures": [one for one in shown if one],
            "gallery": self._gallery(),
            "dead": [desk.group(*one, names, self._thumbnail if with_thumbnails else _none) for one in dead],
        }

    def original(self, job_id: int) -> files.ServedFile | None:
        """The original of a dead letter, if it can be shown."""
        letter = self._letter(job_id)
        return None if letter is None else files.open_original(self._spool, letter[0], letter[1])

    def close(self) -> None:
        if self._journal:
            self._journal.close()
        self._journal = None

    @property
    def _spool(self) -> Path:
        return self._options.state_dir / "spool"

    def _letter(self, job_id: int) -> tuple[int, int] | None:
        """Id and generation of a dead letter whose picture is harmless, and not kept out by the operator."""
        try:
            journal = Journal.open_to_read(self._options.state_dir / "journal.db")
        except JournalError:
            return None
        try:
            job = lookup.job(journal, job_id)
            is_blocked = bool(job and job.sha256 and transitions.blocked(journal, [job.sha256]))
        finally:
            journal.close()
        is_shown = job is not None and job.state == "dead" and job.dead_cause != "poison" and not is_blocked
        return (job.id, job.generation) if job and is_shown else None

    def _gallery(self) -> str:
        """The gallery's URL. A file of ours must be there; a bucket is not asked."""
        options = self._options
        if options.gallery != "site/":
            return options.gallery
        is_there = (options.state_dir / "media" / options.prefix / "site" / "index.html").is_file()
        return options.gallery if is_there else ""

    def _base(self, recorded: str | None) -> str | None:
        return desk.base_of(self._options.backend, self._options.public_url, self._options.prefix, recorded)

    def _thumbnail(self, letter: Letter) -> str | None:
        """The URL of a dead letter's original. One that has killed its workers is not given to a browser either."""
        if letter.dead_cause == "poison" or letter.dead_state == "seen":
            return None
        key = (letter.id, letter.generation)
        if key not in self._can_be_shown:
            if len(self._can_be_shown) >= 10 * desk.LETTERS:
                self._can_be_shown.clear()
            file = files.open_original(self._spool, *key)
            self._can_be_shown[key] = file is not None
            if file:
                file.close()
        return f"dead/{letter.id}" if self._can_be_shown[key] else None


def _none(letter: Letter) -> None:
    return None


def revive(path: Path, given: Mapping[str, Any]) -> tuple[int, list[int]]:
    """Bring dead letters back: one (`id`), those of one `reason`, or `all`. How many, and the ids of the first of them.

    Raises JournalError, and ValueError if `given` says none of these.
    """
    _require_sound(given)
    journal = Journal.open(path)
    try:
        if "id" in given:
            revived = transitions.revive(journal, [int(given["id"])])
            return len(revived), revived
        return _revive_all(journal, given.get("reason"))
    finally:
        journal.close()


def _require_sound(given: Mapping[str, Any]) -> None:
    """Refuse a request that names no dead letter by a valid value: `true` is not the letter 1, "no" is not yes."""
    if "id" in given:
        is_sound = re.fullmatch("[0-9]+", str(given["id"])) is not None  # the page sends it as a text
    elif "reason" in given:
        is_sound = isinstance(given["reason"], str)
    else:
        is_sound = given.get("all") in (True, "1")
    if not is_sound:
        raise ValueError("name the id of a dead letter, a reason, or all")


def _revive_all(journal: Journal, reason: str | None) -> tuple[int, list[int]]:
    """A few hundred at a time: there may be hundreds of thousands. One that dies meanwhile again stays dead."""
    count, after, told = 0, 0, list[int]()
    while ids := lookup.dead_beyond(journal, after, REVIVED_AT_ONCE, reason):
        revived = transitions.revive(journal, ids)
        count, after = count + len(revived), ids[-1]
        told += revived[: IDS_TOLD - len(told)]
    return count, told
