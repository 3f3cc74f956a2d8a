"""Which posts are taken and which are left, as the operator's rules say (`telegram.rules`). Pure.

The first rule whose every condition a post fulfils decides; a post that fulfils none is taken. Of a picture whose size
its source does not know, no condition on that size is fulfilled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ipc.posts import Kind, Photo

Action = Literal["take", "leave"]

LEFT = "left_by_rule"
"""The kind under which posts that a rule leaves are counted among what is passed over."""


@dataclass(frozen=True, slots=True)
class PostRule:
    """A condition that is None, or empty, is none.

    `channel` is an address as `ipc.text.channel_address.Address.key` gives it, `tags` are in lower case without #, one
    of which is enough. Bounds are inclusive: widths in pixels, sizes in bytes, `since` and `until` in Unix seconds.
    """

    action: Action
    channel: str = ""
    tags: tuple[str, ...] = ()
    kind: Kind | None = None
    min_width: int | None = None
    max_width: int | None = None
    min_bytes: int | None = None
    max_bytes: int | None = None
    since: int | None = None
    until: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> PostRule:
        """The rule that these values make, as a message has them."""
        return cls(**{**values, "tags": tuple(values.get("tags", ()))})


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules are asked about: of one post, its picture, and the tags of all that was posted with it.

    `channels` are all addresses of its channel that are known.
    """

    channels: frozenset[str]
    tags: frozenset[str]
    photo: Photo
    posted_at: int


def decide(rules: Sequence[PostRule], facts: Facts) -> Action:
    """Whether the post is taken."""
    return next((rule.action for rule in rules if all(_conditions(rule, facts))), "take")


def _conditions(rule: PostRule, facts: Facts) -> Iterable[bool]:
    photo = facts.photo
    yield not rule.channel or rule.channel in facts.channels
    yield not rule.tags or not facts.tags.isdisjoint(rule.tags)
    yield rule.kind is None or rule.kind == photo.kind
    yield _within(rule.min_width, photo.width, rule.max_width)
    yield _within(rule.min_bytes, photo.bytes, rule.max_bytes)
    yield _within(rule.since, facts.posted_at, rule.until)


def _within(low: int | None, value: int | None, high: int | None) -> bool:
    if low is None and high is None:
        return True
    return value is not None and (low is None or low <= value) and (high is None or value <= high)
