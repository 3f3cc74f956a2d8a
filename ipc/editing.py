"""What editors and the operator decide of posts: which are taken, and which readers see.

A caption hides its post with `#hide`, and the whole album with it, if `telegram.editor_commands` is on: an edit that
takes it out shows them again. What the operator hides, and what has a picture that the operator blocks, stays hidden
until the operator says otherwise. A post that the operator shows stays so until its caption is edited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ipc import failpoints
from ipc.jobs import Job
from ipc.journal import Journal, lookup, peers, pictures, transitions
from ipc.posts import Page, Post
from ipc.rules import Facts, PostRule, decide
from ipc.text import captions


@dataclass(frozen=True, slots=True)
class Editing:
    """What the settings say. `commands`: captions have commands for us. `rules` say which posts are taken."""

    commands: bool = False
    rules: tuple[PostRule, ...] = ()

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Editing:
        """From a child's options: `commands`, and `rules`, each a map."""
        return cls(options["commands"], tuple(map(PostRule.of, options["rules"])))


NO_EDITING = Editing()


# Which posts are taken


def left_by_rules(journal: Journal, page: Page, editing: Editing) -> set[int]:
    """The ids of the page's posts that a rule leaves. What has a job stays, whatever the rules say now."""
    if not editing.rules:
        return set()
    channels = _addresses_of(journal, page, editing.rules)
    ask_tags = any(rule.tags for rule in editing.rules)
    left = set()
    for post in page.posts:
        tags = frozenset(_tags_around(journal, page, post, editing) if ask_tags else ())
        facts = Facts(channels, tags, post.photo, post.posted_at)
        if decide(editing.rules, facts) == "leave" and not _has_job(journal, post):
            left.add(post.message_id)
    return left


def _has_job(journal: Journal, post: Post) -> bool:
    known = lookup.known(journal, post.channel_id, post.message_id)
    return known is not None and known.deleted_at is None


def _addresses_of(journal: Journal, page: Page, rules: Iterable[PostRule]) -> frozenset[str]:
    """The addresses in the rules that are this channel's."""
    own = {f"id:{page.channel.id}", f"name:{(page.channel.name or '').lower()}"}
    asked = {rule.channel for rule in rules if rule.channel}
    return frozenset(one for one in asked if one in own or page.channel.id in peers.channel_ids(journal, one))


def _tags_around(journal: Journal, page: Page, post: Post, editing: Editing) -> set[str]:
    """The tags of a post, and of all that it was posted with: an album's caption stands at one of its messages."""
    around = [post] if post.grouped_id is None else [one for one in page.posts if one.grouped_id == post.grouped_id]
    said = [(one.caption, one.entities) for one in around]
    if post.grouped_id is not None:
        said += [(job.caption, job.entities) for job in lookup.album(journal, post.channel_id, post.grouped_id)]
    return {tag for caption, entities in said for tag in captions.shown(caption, entities, editing.commands).tags}


# Which posts readers see


def may_change_visibility(editing: Editing, post: Post, known: Job | None, *, is_edited: bool) -> bool:
    """Whether the post, or the album that it is of, may have to be hidden or shown. `known` is its job as it was."""
    hides = editing.commands and captions.hides(post.caption, post.entities)
    if known is None:
        return hides or (editing.commands and post.grouped_id is not None)
    if is_edited:
        return hides or known.hidden_by is not None or (editing.commands and post.grouped_id is not None)
    return (hides and known.hidden_by is None) or (known.hidden_by == "caption" and not editing.commands)


def apply_visibility(journal: Journal, job: Job, editing: Editing, now: float, *, is_edited: bool) -> None:
    """Hide or show what was posted with this job, as the captions say. In the caller's transaction.

    `is_edited`: one of them was, so what the operator has shown is judged anew.
    """
    together = lookup.posted_with(journal, job)
    hides = editing.commands and any(captions.hides(one.caption, one.entities) for one in together)
    for one in together:
        may_hide = one.hidden_at is None and (is_edited or one.hidden_by != "operator")
        has_replaced_blocked = one.hidden_by == "block" and one.state == "seen"
        if hides and (may_hide or has_replaced_blocked):
            transitions.hide(journal, one, "caption", now)
        elif not hides and (one.hidden_by == "caption" or has_replaced_blocked):
            transitions.unhide(journal, one, None, now)


def hide_posts(journal: Journal, jobs: Iterable[Job], now: float) -> int:
    """Hide these, whatever their captions say. How many readers may have seen until then."""
    failpoints.reach("hidden.before")
    with journal.transaction():
        current = [one for job in jobs if (one := lookup.job(journal, job.id)) and one.deleted_at is None]
        for one in current:
            if one.hidden_by not in ("operator", "block") or one.hidden_at is None:
                transitions.hide(journal, one, "operator", now)
    failpoints.reach("hidden.after")
    return sum(one.hidden_at is None for one in current)


def show_posts(journal: Journal, jobs: Iterable[Job], now: float) -> tuple[int, int]:
    """Show these posts, whatever their captions say.

    Returns the number of posts that were hidden, and of those that stay hidden because their picture is blocked.
    """
    shown, blocked = 0, 0
    failpoints.reach("hidden.before")
    with journal.transaction():
        for job in jobs:
            one = lookup.job(journal, job.id)
            if one is None or one.deleted_at is not None or one.hidden_at is None:
                continue
            if one.hidden_by != "block":
                transitions.unhide(journal, one, "operator", now)
            is_blocked = (lookup.job(journal, job.id) or one).hidden_at is not None
            shown, blocked = shown + (not is_blocked), blocked + is_blocked
    failpoints.reach("hidden.after")
    return shown, blocked


@dataclass(frozen=True, slots=True)
class Blocking:
    """`hidden`: posts that were hidden, or shown again. `stopped`: posts that go no further, or are tried again."""

    hidden: int
    stopped: int


def block(journal: Journal, sha256: str, now: float) -> Blocking:
    """Keep a picture out for good: what has it is hidden or goes no further, and what brings it later too."""
    failpoints.reach("hidden.before")
    with journal.transaction():
        pictures.block(journal, sha256, now)
        became = [transitions.block(journal, job, sha256, now) for job in pictures.jobs_of(journal, sha256)]
    failpoints.reach("hidden.after")
    return Blocking(became.count("hidden"), became.count("stopped"))


def unblock(journal: Journal, sha256: str, editing: Editing, now: float) -> Blocking | None:
    """Let a picture in again: posts that it has hidden are shown as their captions say. None: it was not blocked."""
    failpoints.reach("hidden.before")
    with journal.transaction():
        was_blocked, hidden, dead = pictures.unblock(journal, sha256)
        jobs = [job for one in hidden if (job := lookup.job(journal, one)) and job.hidden_by == "block"]
        for job in jobs:
            transitions.unhide(journal, job, None, now)
        for job in jobs:
            apply_visibility(journal, lookup.job(journal, job.id) or job, editing, now, is_edited=False)
        revived = transitions.revive(journal, dead)
    failpoints.reach("hidden.after")
    return Blocking(len(jobs), len(revived)) if was_blocked else None
