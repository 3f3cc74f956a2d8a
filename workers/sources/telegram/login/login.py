"""Makes the session: asks for the phone number, the code and the password, or shows a QR code, and keeps what comes.

Promises. A session's file is there whole or not at all, and only its owner may read it. Nothing is written before the
login is done. The api_hash, codes and passwords are shown nowhere. `authorization` asks Telegram.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from ipc.process.holds import EX_CONFIG
from ipc.text.durations import duration
from workers.sources.telegram.login.answers import Again, CodeExpired, LoginFailed, PasswordNeeded
from workers.sources.telegram.login.authorization import Login
from workers.sources.telegram.login.descriptions import describe
from workers.sources.telegram.wire.account import Account

TRIES: Final = 3
"""Wrong answers before it gives up: Telegram answers many of them with a long wait."""

QR_SECONDS: Final = 300.0
"""How long QR codes are shown before it gives up."""


class Terminal(Protocol):
    """Where the person is. To ask raises EOFError when no more answers come."""

    is_interactive: bool

    def ask(self, question: str) -> str: ...

    def ask_hidden(self, question: str) -> str: ...

    def say(self, text: str) -> None: ...

    def draw(self, url: str) -> None:
        """Show a QR code, in place of the last one."""

    def give(self, text: str) -> None:
        """Print what a script reads: nothing else goes to standard output."""

    def refuse(self, text: str) -> None:
        """Say why it was all in vain."""


def main(options: dict[str, Any], terminal: Terminal, *, qr: bool, as_string: bool, force: bool) -> int:
    """Log in and keep the session, in its file or as a string; the command's exit code.

    `qr`: by a QR code instead of phone number and code. `force`: replace a session without asking.
    """
    account = Account.from_options(options)
    try:
        if not as_string:
            _make_way(account, terminal, force=force)
        terminal.say("Connecting to Telegram. Ctrl-C stops; until the end, nothing is saved.")
        with Login(account) as login:
            _converse(login, terminal, qr=qr)
            who = describe(login.user)
            if as_string:
                terminal.give(login.keep_as_string())
            else:
                login.keep_as_file(account.path)
    except LoginFailed as error:
        terminal.refuse(str(error))
        return error.code
    except EOFError:
        terminal.refuse("no more answers came: nothing was saved")
        return 1
    except KeyboardInterrupt:
        terminal.say("\nInterrupted: nothing was saved.")
        raise
    terminal.say("\n".join(_farewell(account, who, as_string=as_string)))
    return 0


def _farewell(account: Account, who: str, *, as_string: bool) -> list[str]:
    if as_string:
        kept = "The line on standard output is a secret: whoever has it has the account."
        after = "Give it to the host as PICTUREDESK__TELEGRAM__SESSION, then start bin/run there."
    else:
        kept = f"The session is in {account.path}: whoever has this file has the account."
        after = "Next: bin/run check says whether the channels can be read, bin/run starts."
    return [
        f"Logged in as {who}.",
        kept,
        "One session must not be used in two places (Telegram ends it): log in once for each place.",
        after,
    ]


def _make_way(account: Account, terminal: Terminal, *, force: bool) -> None:
    """Make sure that a file may and can be written. Raises LoginFailed."""
    if account.is_string:
        raise LoginFailed(
            "telegram.session holds a StringSession, so a file would not be used. To renew it, run bin/run login"
            " --string and put the result in its place; for a file, remove telegram.session from the configuration",
            EX_CONFIG,
        )
    if account.names_nothing:
        raise LoginFailed(account.names_nothing, EX_CONFIG)
    folder = _first_existing(account.path.parent)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise LoginFailed(f"{account.path} cannot be written: {folder} is no folder that one may write to", EX_CONFIG)
    if not os.path.lexists(account.path) or force:
        return
    if not terminal.is_interactive:
        raise LoginFailed(
            f"{account.path} is there already. bin/run check says whether it is good; bin/run login --force replaces it"
        )
    if terminal.ask(f"{account.path} is there already. Replace it? [y/N] ").lower() not in ("y", "yes"):
        raise LoginFailed("the session that is there was kept")


def _first_existing(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.exists())


# The conversation


def _converse(login: Login, terminal: Terminal, *, qr: bool) -> None:
    """Ask until the account is logged in. Raises LoginFailed."""
    try:
        if qr:
            _show_codes(login, terminal)
        else:
            _ask_for_code(login, terminal)
    except PasswordNeeded:
        hint = login.password_hint()
        question = f"Two-step password (hint: {hint}): " if hint else "Two-step password: "
        _attempt(terminal, lambda: login.check_password(terminal.ask_hidden(question)))


def _ask_for_code(login: Login, terminal: Terminal) -> None:
    login.connect()

    def send() -> None:
        terminal.say(login.send_code(phone_number(terminal.ask("Phone number, with the country code: "))))

    def sign_in() -> None:
        code = terminal.ask("Code (Enter alone: have it sent another way): ")
        if not code:
            raise Again(login.resend_code())
        try:
            login.sign_in(code)
        except CodeExpired:
            raise Again(f"This code is too old. {login.send_code()}") from None

    _attempt(terminal, send)
    if login.user is None:
        _attempt(terminal, sign_in)


def _show_codes(login: Login, terminal: Terminal) -> None:
    """Show QR codes, each for as long as it lives, until one is accepted."""
    until = time.monotonic() + QR_SECONDS
    url = login.login_address()
    terminal.say(
        "Scan this with Telegram on your phone: Settings, Devices, Link Desktop Device. It changes every 30 seconds."
    )
    while url is not None:
        terminal.draw(url)
        login.await_acceptance()
        url = login.login_address()
        if url is not None and time.monotonic() > until:
            raise LoginFailed(f"no code was scanned within {duration(QR_SECONDS)}. Run bin/run login --qr again")


def _attempt(terminal: Terminal, step: Callable[[], None]) -> None:
    """Do a step, again where an answer was wrong. Raises LoginFailed after `TRIES` of them."""
    for _ in range(TRIES):
        try:
            return step()
        except Again as again:
            terminal.say(str(again))
    raise LoginFailed(f"{TRIES} wrong answers, and nothing was saved. Run bin/run login again")


def phone_number(text: str) -> str:
    """A phone number as people write it, as Telegram wants it. Raises Again.

    >>> phone_number("+49 (170) 123-45.67"), phone_number("0049 170 1234567")
    ('+491701234567', '+491701234567')
    """
    bare = re.sub(r"^00", "+", re.sub(r"[\s()./-]", "", text))
    if not re.fullmatch(r"\+?[0-9]{5,20}", bare):
        raise Again("This is not a phone number. Write it with the country code, as in +49 170 1234567.")
    return bare if bare.startswith("+") else f"+{bare}"
