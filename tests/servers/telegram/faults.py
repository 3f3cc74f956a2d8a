"""Faults that last: rules that a test sets and the server follows until they are used up or cleared.

Each method gives a `Fault`, whose `hits` can be asked and which `clear()` ends. `times` is how often it strikes (None:
until cleared), `after` how many matching occasions it lets pass first. What happens once and at once (dropping
connections, revoking the session…) are methods of `TelegramServer`.

A message that no client can read is a matter of the world: `Channel.make_unreadable`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.servers.telegram.channel import Channel
from tests.servers.telegram.tl import RpcError

FileFault = Literal["truncated", "empty", "corrupt", "slow"]
UpdateFault = Literal["lost", "doubled", "swapped", "unreadable"]

CODES = {
    "FLOOD_WAIT_": 420,
    "FLOOD_PREMIUM_WAIT_": 420,
    "FILE_MIGRATE_": 303,
    "USER_MIGRATE_": 303,
    "PHONE_MIGRATE_": 303,
    "NETWORK_MIGRATE_": 303,
    "AUTH_KEY_DUPLICATED": 406,
    "AUTH_KEY_": 401,
    "SESSION_": 401,
    "USER_DEACTIVATED": 401,
    "INTERNAL": 500,
    "RPC_CALL_FAIL": 500,
    "Timeout": -503,
}
"""The code that comes with a message, by the message's beginning; 400 with all others."""


def error_of(message: str, code: int | None = None) -> RpcError:
    """The error of that message, with the code that it comes with unless another is given."""
    known = (number for start, number in CODES.items() if message.startswith(start))
    return RpcError(code if code is not None else next(known, 400), message)


@dataclass(eq=False)
class Fault:
    """One rule. `hits` counts how often it struck."""

    kind: str
    name: str = ""
    channel_id: int | None = None
    times: int | None = None
    after: int = 0
    error: RpcError | None = None
    answer: Any = None
    delay: float = 0.0
    silent: bool = False
    keep: int = 0
    bytes_per_second: float = 0.0
    file_id: int | None = None
    code: int = 0
    hits: int = 0
    _rules: list[Fault] = field(default_factory=list, repr=False)

    def clear(self) -> None:
        """End it."""
        if self in self._rules:
            self._rules.remove(self)

    @property
    def active(self) -> bool:
        return self in self._rules


class Faults:
    """The rules in force. Where several fit, the oldest strikes."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rules: list[Fault] = []
        self._broken_files: dict[int, Fault] = {}

    def rpc(
        self,
        name: str,
        *,
        error: str | None = None,
        answer: Any = None,
        code: int | None = None,
        delay: float = 0.0,
        silent: bool = False,
        times: int | None = None,
        after: int = 0,
        channel: Channel | int | None = None,
    ) -> Fault:
        """Answer requests of that name ("upload.getFile"; "*" for all) with an error, `delay` seconds late, or never;
        or with `answer`, whether or not Telegram would ever say that.

        The code follows from the message where it isn't given. With a delay and no error, the answer is what was true
        when the request came. FILE_MIGRATE_4 with upload.getFile moves the file there, where it is then found.
        """
        failure = error_of(error, code) if error else None
        return self._add(
            Fault("rpc", name, _id(channel), times, error=failure, answer=answer, delay=delay, silent=silent),
            after=after,
        )

    def file(
        self,
        how: FileFault,
        *,
        times: int | None = None,
        after: int = 0,
        keep: int = 1000,
        bytes_per_second: float = 100_000.0,
        file_id: int | None = None,
    ) -> Fault:
        """Spoil files: only the first `keep` bytes, none at all, wrong bytes, or at a rate in bytes a second.

        `times` counts files: one that has been begun under the fault stays as it is until it is begun anew.
        """
        fault = Fault(f"file {how}", times=times, keep=keep, bytes_per_second=bytes_per_second, file_id=file_id)
        return self._add(fault, after=after)

    def updates(
        self, how: UpdateFault, *, times: int | None = None, after: int = 0, channel: Channel | int | None = None
    ) -> Fault:
        """Lose updates, send them twice, send one after its successor, or put an unknown constructor in their place."""
        return self._add(Fault(f"updates {how}", channel_id=_id(channel), times=times), after=after)

    def difference_too_long(
        self, *, times: int | None = None, after: int = 0, channel: Channel | int | None = None
    ) -> Fault:
        """Answer getChannelDifference with channelDifferenceTooLong."""
        return self._add(Fault("too long", channel_id=_id(channel), times=times), after=after)

    def empty_history(self, *, times: int | None = None, after: int = 0, channel: Channel | int | None = None) -> Fault:
        """Answer getHistory as if nothing had ever been posted."""
        return self._add(Fault("empty", channel_id=_id(channel), times=times), after=after)

    def omit_absent(self, *, times: int | None = None, after: int = 0, channel: Channel | int | None = None) -> Fault:
        """Leave messages that are not there out of getMessages' answers, instead of saying so."""
        return self._add(Fault("omit", channel_id=_id(channel), times=times), after=after)

    def transport(self, code: int, *, times: int | None = None, after: int = 0) -> Fault:
        """Answer any packet with a transport error (404: the key is unknown, 429: too many connections), and close."""
        return self._add(Fault("transport", times=times, code=code), after=after)

    def black_hole(self) -> Fault:
        """Keep every connection open, take new ones, and answer nothing."""
        return self._add(Fault("black hole"))

    def clear(self) -> None:
        """End all rules."""
        with self._lock:
            self._rules.clear()
            self._broken_files.clear()

    def in_force(self, kind: str) -> list[Fault]:
        """The rules of a kind that are not used up."""
        with self._lock:
            return [rule for rule in self._rules if rule.kind == kind]

    # For the server

    def take_rpc(self, name: str, channels: set[int]) -> Fault | None:
        """The rule that strikes this request."""
        return self._take("rpc", lambda rule: rule.name in ("*", name) and _concerns(rule, channels))

    def take_file(self, file_id: int, offset: int) -> Fault | None:
        """The rule that this file is under; whether there is one is decided when it is read from its start."""
        with self._lock:
            if offset == 0:
                self._broken_files.pop(file_id, None)
                if fault := self._take("file", lambda rule: rule.file_id in (None, file_id)):
                    self._broken_files[file_id] = fault
            return self._broken_files.get(file_id)

    def file_fault(self, file_id: int) -> Fault | None:
        """The rule that this file is under now."""
        return self._broken_files.get(file_id)

    def take_update(self, channel_id: int) -> str | None:
        """What is to be done to this update."""
        fault = self._take("updates", lambda rule: _concerns(rule, {channel_id}))
        return fault.kind.removeprefix("updates ") if fault else None

    def take_too_long(self, channel_id: int) -> bool:
        return self._take("too long", lambda rule: _concerns(rule, {channel_id})) is not None

    def take_empty(self, channel_id: int) -> bool:
        return self._take("empty", lambda rule: _concerns(rule, {channel_id})) is not None

    def take_omit(self, channel_id: int) -> bool:
        return self._take("omit", lambda rule: _concerns(rule, {channel_id})) is not None

    def take_transport(self) -> int | None:
        fault = self._take("transport", lambda _: True)
        return fault.code if fault else None

    def take_black_hole(self) -> bool:
        return self._take("black hole", lambda _: True) is not None

    @property
    def is_black_hole(self) -> bool:
        with self._lock:
            return any(rule.kind == "black hole" for rule in self._rules)

    def _add(self, fault: Fault, *, after: int = 0) -> Fault:
        with self._lock:
            fault.after, fault._rules = after, self._rules
            self._rules.append(fault)
        return fault

    def _take(self, kind: str, fits: Any) -> Fault | None:
        with self._lock:
            for rule in self._rules:
                if rule.kind.startswith(kind) and fits(rule):
                    if rule.after > 0:
                        rule.after -= 1
                        continue
                    rule.hits += 1
                    if rule.times is not None and rule.hits >= rule.times:
                        self._rules.remove(rule)
                    return rule
        return None


def _id(channel: Channel | int | None) -> int | None:
    return channel.id if isinstance(channel, Channel) else channel


def _concerns(rule: Fault, channels: set[int]) -> bool:
    return rule.channel_id is None or rule.channel_id in channels
