"""`login`: makes the session that the account's channels are read with.

`workers.sources.telegram.login.login` leads the conversation; this is its terminal, or a pipe with one answer a line.
"""

from __future__ import annotations

import contextlib
import getpass
import io
import shutil
import sys
from typing import TextIO

import segno

from ipc import private_files
from ipc.text.printable import printable
from supervisor import child_options
from supervisor.child.runtime import resolve
from supervisor.cli import terminal
from supervisor.cli.exit_codes import ExitCode
from supervisor.host import instance_lock
from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings

NO_ACCOUNT = """\
telegram.api_id and telegram.api_hash are not set: they name the application that logs in.
Sign in at https://my.telegram.org/apps with the account's phone number, create an application (any name will do), and
copy both into the section [telegram] of the configuration, or into PICTUREDESK__TELEGRAM__API_ID and …__API_HASH."""

BLOCKS = "▀▄█"
WHITE_ON_BLACK = "\x1b[38;5;231;48;5;16m"
"""Fixed colours: many scanners read no code whose black and white are swapped."""


def run(settings: Settings, *, qr: bool, as_string: bool, force: bool) -> int:
    """Log in; the exit code."""
    talk = LoginTerminal(sys.stderr if as_string else sys.stdout)
    if not (settings.telegram.api_id and settings.telegram.api_hash):
        for line in NO_ACCOUNT.splitlines():
            talk.refuse(line)
        return ExitCode.CONFIGURATION
    card = instance_lock.running(settings.state_dir)
    if card is not None:
        raise CommandFailed(
            f"an instance is running on state_dir {settings.state_dir} (pid {card.pid}), and one session must not be"
            f" used in two places. Stop it first (kill {card.pid})"
        )
    with contextlib.suppress(OSError):  # the error is reported when the session is written
        private_files.make_state_dir(settings.state_dir, has_media=settings.storage.backend == "files")
    main = resolve("workers.sources.telegram.login.login:main")
    code: int = main(child_options.telegram_options(settings), talk, qr=qr, as_string=as_string, force=force)
    return code


class LoginTerminal:
    """Asks and answers: prints to `out`, reads standard input."""

    def __init__(self, out: TextIO) -> None:
        self.is_interactive = sys.stdin is not None and sys.stdin.isatty()
        self._out = out
        self._drawn_lines = 0

    def ask(self, question: str) -> str:
        """The answer, without the blanks around it. Raises EOFError at the end of the input."""
        return self._line(question).strip()

    def ask_hidden(self, question: str) -> str:
        """The answer as it is; not shown while it is typed. Raises EOFError at the end of the input."""
        if not self.is_interactive:
            return self._line(question)
        return getpass.getpass(printable(question), stream=self._out)

    def _line(self, question: str) -> str:
        terminal.write(printable(question), self._out)
        line = sys.stdin.readline() if sys.stdin is not None else ""
        if not (self.is_interactive and line):
            terminal.write("\n", self._out)  # no Enter was pressed, so end the line here
        if not line:
            raise EOFError
        return line.removesuffix("\n").removesuffix("\r")

    def say(self, text: str) -> None:
        """Print lines for the person."""
        terminal.say(*text.split("\n"), out=self._out)
        self._drawn_lines = 0

    def draw(self, url: str) -> None:
        """Print a QR code; on a terminal over the last one, unless something was printed since."""
        is_terminal = self._out.isatty()
        picture = draw(url, blocks=_can_write(self._out, BLOCKS), colours=is_terminal)
        if is_terminal and 0 < self._drawn_lines < shutil.get_terminal_size().lines:
            terminal.write(f"\x1b[{self._drawn_lines}A", self._out)
        terminal.write(f"{picture}\n", self._out)
        self._drawn_lines = len(picture.splitlines())

    def give(self, text: str) -> None:
        """Print a line for a script."""
        terminal.say(text)

    def refuse(self, text: str) -> None:
        """Print why the login failed."""
        terminal.complain("login", *text.split("\n"))


def draw(url: str, *, blocks: bool = True, colours: bool = False) -> str:
    """A QR code for a terminal: of half blocks, or of coloured blanks twice as large where those can't be written."""
    code, out = segno.make_qr(url), io.StringIO()
    code.terminal(out, compact=blocks)
    lines = out.getvalue().splitlines()
    if blocks and colours:
        lines = [f"{WHITE_ON_BLACK}{line}\x1b[0m" for line in lines]
    return "\n".join(lines)


def _can_write(out: TextIO, text: str) -> bool:
    try:
        text.encode(out.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
