"""What can go wrong with Telegram, by what there is to do about it. What only a person can mend is a `Hold`."""

from __future__ import annotations

from typing import Final

from ipc.text.durations import duration

UNREACHABLE: Final = "Check the network, and telegram.proxy where Telegram is blocked"
"""What a person can do about a ConnectionLost."""

OUTDATED: Final = "Nothing is lost. Update Picturedesk, which then knows what is newer now"
"""What a person can do about an Unreadable."""


class ConnectionLost(Exception):
    """The connection is gone, or nothing comes through it: connect again."""


class SessionRefused(ConnectionLost):
    """The server does not take the session. It says so for a moment when it is in trouble, or for good."""


class KeyUnknown(SessionRefused):
    """The server does not know the session's key."""


class AccountMoved(SessionRefused):
    """The server says that the account lives in another data centre."""


class Unreachable(Exception):
    """One data centre gives no files; the connection and the others are not concerned. Ask again after `seconds`."""

    def __init__(self, dc_id: int, why: str, seconds: float) -> None:
        super().__init__(f"Telegram's data centre {dc_id} gives no files: {why}")
        self.dc_id = dc_id
        self.why = why
        self.seconds = seconds


class Unanswered(Exception):
    """One request got no answer in its time. Whether the connection is lost is for the monitor to find out."""


class Flooded(Exception):
    """Telegram wants no more such requests for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Telegram asks to wait for {duration(seconds)}")
        self.seconds = seconds


class ServerTrouble(Exception):
    """Telegram answered with an error of its own, or an unforeseen one: try again later."""


class ChannelFault(Exception):
    """One channel can't be read, the others can: `what` is wrong, and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}. {remedy}")
        self.what = what
        self.remedy = remedy


class UnknownChannel(ChannelFault):
    """Telegram does not know the channel by this access hash: it has to be resolved anew."""


class StaleReference(Exception):
    """The file's reference has expired: the message has to be read again."""


class Damaged(Exception):
    """What came is not the file that Telegram declared."""


class Unreadable(Exception):
    """The answer holds something that is newer than this program's copy of Telegram's schema."""
