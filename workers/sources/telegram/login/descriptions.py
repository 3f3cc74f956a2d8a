"""What the person reads: how the code was sent, and whose account it is."""

from __future__ import annotations

from typing import Any

from telethon.tl import types

from ipc.posts import clean


def how_sent(sent: Any) -> str:
    """How Telegram has sent the code."""
    match sent.type:
        case types.auth.SentCodeTypeApp():
            return "Telegram has sent a code to your Telegram app, into the chat “Telegram”."
        case types.auth.SentCodeTypeSms() | types.auth.SentCodeTypeFirebaseSms():
            return "Telegram has sent a code by SMS."
        case types.auth.SentCodeTypeSmsWord() | types.auth.SentCodeTypeSmsPhrase():
            return "Telegram has sent words by SMS: they are the code."
        case types.auth.SentCodeTypeCall():
            return "Telegram calls you, and says the code."
        case types.auth.SentCodeTypeMissedCall(prefix=prefix, length=length):
            return (
                f"Telegram calls from +{shown(prefix)}… and hangs up: the number's last {length} digits are the code."
            )
        case types.auth.SentCodeTypeFlashCall():
            return "Telegram calls you and hangs up: the calling number is the code."
        case types.auth.SentCodeTypeFragmentSms(url=url):
            return f"Telegram has sent a code to your anonymous number: {shown(url)}"
        case types.auth.SentCodeTypeEmailCode(email_pattern=pattern):
            return f"Telegram has sent a code by e-mail to {shown(pattern)}."
        case _:
            return "Telegram has sent a code."


def describe(user: Any) -> str:
    """Whose account it is, fit to be read over a shoulder: of the phone number the last two digits."""
    name = shown(" ".join(part for part in (user.first_name, user.last_name) if part)) or "(no name)"
    names = [user.username, *(one.username for one in user.usernames or () if one.active)]
    username = next((f"@{one}" for one in names if one), "")
    phone = f"phone …{user.phone[-2:]}" if user.phone else ""
    about = ", ".join(part for part in (username, phone) if part)
    return f"{name} ({about})" if about else name


def shown(text: str) -> str:
    """A foreign text on one line of a terminal, which it can't take over."""
    return "".join(char if char.isprintable() else " " for char in clean(text)).strip()
