"""Which problems are told, and when: pure functions of what was told, what is wrong now, and the time.

A problem is told once it has lasted `after_seconds` without a pause; what comes and goes within that time is told to
nobody. A problem that was told is over once it has been gone as long: until then, its return is no news.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from health.notify.notices import Notice
from health.problems.first_seen import Dated

GONE_SECONDS = 4.0
"""The least time that a problem must be gone to be over. A health process that has just begun knows of none: it hears
of the others within a second.
"""

HIDDEN_BY_OTHERS = "pictures.standing_still"
"""A kind that is not looked for while there are other problems: its absence says nothing then."""

Key = tuple[str, str]
"""Subject and id of a problem."""


@dataclass(frozen=True, slots=True)
class Episode:
    """What was told of one subject, from its first problem until it has none.

    `ids` are the kinds that were told: each is told once. `gone_at` is when it was first seen without a problem.
    """

    ids: tuple[str, ...]
    what: str
    since: float
    gone_at: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """`seen` is since when each problem of now has been seen without a pause (Unix seconds), `episodes` what was told
    and is not over, by subject.
    """

    seen: Mapping[Key, float] = field(default_factory=lambda: MappingProxyType({}))
    episodes: Mapping[str, Episode] = field(default_factory=lambda: MappingProxyType({}))


def decide(told: Told, problems: Sequence[Dated], now: float, after_seconds: float) -> tuple[Told, list[Notice]]:
    """The new state of what people are told, and the notices to send now."""
    # min: the clock may have been set back since.
    seen = {key: min(told.seen.get(key, now), now) for key in map(_key, problems)}
    lasting = [one for one in problems if now - seen[_key(one)] >= after_seconds]
    episodes, begun = _begin(told.episodes, lasting)
    episodes, over = _end(episodes, problems, now, max(after_seconds, GONE_SECONDS))
    return Told(seen, episodes), [*begun, *over]


def _key(dated: Dated) -> Key:
    return dated.problem.subject, dated.problem.id


def _begin(episodes: Mapping[str, Episode], lasting: Sequence[Dated]) -> tuple[dict[str, Episode], list[Notice]]:
    """The episodes with what was not told yet, and the notices of that."""
    after, notices = dict(episodes), []
    for one in lasting:
        problem, episode = one.problem, after.get(one.problem.subject)
        if episode and problem.id in episode.ids:
            continue
        told = episode.ids if episode else ()
        since = episode.since if episode else one.since
        after[problem.subject] = Episode((*told, problem.id), problem.what, since)
        notices.append(Notice("problem", problem.what, problem.remedy, one.since))
    return after, notices


def _end(
    episodes: Mapping[str, Episode], problems: Sequence[Dated], now: float, gone_seconds: float
) -> tuple[dict[str, Episode], list[Notice]]:
    """The episodes that go on, and the notices of those that are over."""
    present = {one.problem.subject for one in problems}
    after, notices = {}, []
    for subject, episode in episodes.items():
        is_hidden = bool(problems) and HIDDEN_BY_OTHERS in episode.ids
        if subject in present or is_hidden:
            after[subject] = replace(episode, gone_at=None)
            continue
        gone_at = now if episode.gone_at is None else min(episode.gone_at, now)
        if now - gone_at < gone_seconds:
            after[subject] = replace(episode, gone_at=gone_at)
        else:
            notices.append(Notice("over", episode.what, since=episode.since, until=gone_at))
    return after, notices
