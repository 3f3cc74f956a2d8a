"""Tells people what is wrong: decides every two seconds, hands messages to the sender, and takes its answers."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from health.notify import state_file, wording
from health.notify.decisions import Told, decide
from health.notify.heartbeat import PERIOD_SECONDS, Heartbeat
from health.notify.labels import label
from health.notify.notices import Notice
from health.notify.outbox import NoticeOutbox
from health.notify.sender import Answer, Notification, Sender
from health.notify.state_file import NotifyState
from health.problems.first_seen import Dated
from health.snapshot import Undelivered

log = structlog.get_logger()

UNDELIVERED = "notify.undelivered"
"""The problem that messages don't arrive. With a single recipient there is nobody to tell it to."""

PAUSE_SECONDS = 60.0
"""A longer time between two looks was not observed: the machine slept, or its clock was set."""


class Notifier:
    """Without notify.urls and notify.heartbeat_url it does nothing, and costs nothing.

    `options` are the settings of [notify], `root` what the options of health say of the root. Raises LookupError and
    TypeError for options that are not.
    """

    def __init__(self, options: Mapping[str, Any], root: Mapping[str, Any], state_dir: Path, monotonic: float) -> None:
        self._after_seconds = float(options["after_seconds"])
        self._name = str(options["name"]) or socket.gethostname()
        urls = tuple(options["urls"])
        state = _recall(state_dir, since=root["started_at"]) if urls else NotifyState()
        self._told = state.told
        self._looked_at: float | None = None
        self._outbox = NoticeOutbox(
            [label(url, position) for position, url in enumerate(urls)], state.waiting, monotonic
        )
        self._kept = state_file.to_text(self.state())
        self._sender = Sender(urls, state_dir) if urls else None
        url = str(options["heartbeat_url"])
        self._heartbeat = Heartbeat(url, root["spawned"] + PERIOD_SECONDS) if url else None

    def look(self, problems: Sequence[Dated], now: float, monotonic: float) -> None:
        """Do what is due. `problems` are those of this moment, `now` is in Unix seconds."""
        if self._heartbeat:
            self._heartbeat.look(ok=not problems, now=monotonic)
        if not self._sender:
            return
        self._take_answers(monotonic)
        if self._looked_at is not None and not 0 <= now - self._looked_at <= PAUSE_SECONDS:
            self._told = Told(episodes=self._told.episodes)
        self._looked_at = now
        self._told, notices = decide(self._told, self._tellable(problems), now, self._after_seconds)
        self._put(notices)
        due = list(self._outbox.due(monotonic))
        self._keep()  # first: what is sent has been noted down, so that it is not forgotten
        for position, whole in due:
            self._sender.send(self._delivery(position, whole))

    def undelivered(self, monotonic: float) -> tuple[Undelivered, ...]:
        """The recipients that messages do not reach."""
        return self._outbox.undelivered(monotonic)

    def _tellable(self, problems: Sequence[Dated]) -> list[Dated]:
        is_alone = len(self._outbox.recipients) == 1
        return [one for one in problems if not (is_alone and one.problem.id == UNDELIVERED)]

    def _put(self, notices: Sequence[Notice]) -> None:
        for url, dropped in self._outbox.add(notices) if notices else ():
            log.warning("notify.dropped", url=url, notices=dropped)

    def _delivery(self, position: int, notices: Sequence[Notice]) -> Notification:
        return Notification(
            position,
            wording.title(notices, self._name),
            wording.body(notices, self._name),
            is_bad=any(one.kind == "problem" for one in notices),
        )

    def _take_answers(self, monotonic: float) -> None:
        assert self._sender
        for answer in self._sender.answers():
            self._take(answer, monotonic)

    def _take(self, answer: Answer, monotonic: float) -> None:
        recipient = self._outbox.recipients[answer.position]
        if answer.is_final:
            recipient.unusable = answer.reason
            log.error("notify.url_rejected", url=recipient.label, why=answer.reason)
        elif answer.reason:
            notices = recipient.under_way
            seconds = self._outbox.refused(answer.position, answer.reason, monotonic)
            log.warning("notify.failed", url=recipient.label, notices=notices, why=answer.reason, seconds=seconds)
        else:
            notices = self._outbox.accepted(answer.position, monotonic)
            log.info("notify.sent", url=recipient.label, notices=notices)

    def state(self) -> NotifyState:
        """What the process after this one is to know."""
        return NotifyState(self._told, [one.waiting for one in self._outbox.recipients])

    def _keep(self) -> None:
        """Have the state written, if it has changed."""
        assert self._sender
        text = state_file.to_text(self.state())
        if text != self._kept:
            self._kept = text
            self._sender.keep(text)


def _recall(state_dir: Path, since: float) -> NotifyState:
    """What the process before has left. What it saw before the tree was started is no unbroken observation."""
    try:
        state = state_file.read(state_dir)
    except (OSError, ValueError) as error:
        log.warning("notify.state_failed", path=state_file.NAME, error=str(error))
        return NotifyState()
    seen = {key: at for key, at in state.told.seen.items() if at >= since}
    return NotifyState(Told(seen, state.told.episodes), state.waiting)
