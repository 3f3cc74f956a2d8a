"""`python -m tests.servers.telegram`: the server from a shell.

Makes a channel, posts the pictures of a folder one after another, and prints the settings that a client needs, as
assignments for its environment. Then it takes commands, one a line:

    post FILE       edit ID TEXT       delete ID       drop       quit

It runs until `quit`, SIGINT or SIGTERM; the end of its input is not its end. Each command is answered by one line. No
key is ever printed: the session is in a file that only its owner can read.
"""

from __future__ import annotations

import argparse
import os
import selectors
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers.telegram.channel import Channel
from tests.servers.telegram.server import TelegramServer

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".gif"}
MIMES = {".png": "image/png", ".webp": "image/webp", ".gif": "image/gif"}
USERNAME = "picturedesk_test"


class Shell:
    """One server with its channel, and the commands."""

    def __init__(self, server: TelegramServer, channel: Channel, pictures: list[Path]) -> None:
        self._server = server
        self._channel = channel
        self._waiting: Iterator[Path] = iter(pictures)

    def post_next(self) -> bool:
        """Post the folder's next picture; False after the last."""
        picture = next(self._waiting, None)
        if picture is not None:
            say(self.post(picture))
        return picture is not None

    def obey(self, line: str) -> bool:
        """One command; False for `quit`."""
        try:
            match shlex.split(line):
                case []:
                    pass
                case ["quit"]:
                    return False
                case ["post", file]:
                    say(self.post(Path(file)))
                case ["edit", number, *words]:
                    self._channel.edit(int(number), caption=" ".join(words))
                    say(f"edited {number}")
                case ["delete", number]:
                    self._channel.delete(int(number))
                    say(f"deleted {number}")
                case ["drop"]:
                    self._server.drop_connections()
                    say("dropped")
                case _:
                    say(f"not a command: {line}")
        except (OSError, ValueError, KeyError) as error:
            say(f"failed: {line}: {error!r}")
        return True

    def post(self, file: Path) -> str:
        """JPEG goes as a photo, any other picture as a file, which keeps it as it is."""
        data = file.read_bytes()
        mime = MIMES.get(file.suffix.lower())
        if mime:
            number = self._channel.post_document(data, mime, file.name, caption=file.stem)
        else:
            number = self._channel.post_photo(data, caption=file.stem)
        return f"posted {number} {file.name}"


def run(shell: Shell, every: float, stopped: int) -> None:
    """Post in time and obey, until told to stop: by a command, or by a byte that a signal has written to `stopped`."""
    # Not epoll, which refuses files and /dev/null.
    with selectors.SelectSelector() as selector:
        selector.register(stopped, selectors.EVENT_READ)
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        typed = b""
        due: float | None = time.monotonic()
        while True:
            if due is not None and time.monotonic() >= due:
                due = time.monotonic() + every if shell.post_next() else None
            ready = selector.select(None if due is None else max(0.0, due - time.monotonic()))
            for key, _ in ready:
                if key.fd == stopped:
                    return
                data = os.read(key.fd, 4096)
                if not data:
                    selector.unregister(key.fd)
                *lines, typed = (typed + data).split(b"\n")
                if not all(shell.obey(line.decode(errors="replace")) for line in lines):
                    return


def say(line: str) -> None:
    print(line, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.servers.telegram", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--post", metavar="DIR", type=Path, required=True, help="the folder of pictures to post")
    parser.add_argument("--every", metavar="SECONDS", type=float, default=1.0, help="between two pictures (default: 1)")
    parser.add_argument("--title", default="Picturedesk test", help="the channel's title")
    parser.add_argument("--port", type=int, default=0, help="of the home data centre (default: any free one)")
    parser.add_argument("--session", metavar="FILE", type=Path, help="where to write the session (must not be there)")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    pictures = sorted(file for file in given.post.iterdir() if file.suffix.lower() in PICTURES)
    stopped, wake = os.pipe()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.write(wake, b"!"))
    with TelegramServer(port=given.port) as server, tempfile.TemporaryDirectory() as folder:
        channel = server.world.add_channel(given.title, USERNAME)
        session = server.session_file(given.session or Path(folder) / "test.session")
        settings = {
            "API_ID": server.api_id,
            "API_HASH": server.api_hash,
            "SERVER": server.address,
            "SESSION": session.resolve(),
            "CHANNELS": f'["{channel.name}"]',
        }
        for name, value in settings.items():
            say(f"PICTUREDESK__TELEGRAM__{name}={shlex.quote(str(value))}")
        run(Shell(server, channel, pictures), given.every, stopped)
    return 0


if __name__ == "__main__":
    sys.exit(main())
