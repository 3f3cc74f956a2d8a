"""The live connection: from post to row, download and catch-up, each against bare Telethon in the same run.

Telegram is the tests' loopback server in a process of its own; the clients' time on the way is the loopback's, to which
"delay" adds 30 ms before each answer with a part of a file, about what a European server is away from Telegram's.

*Post to row.* The real tree with its defaults, files and SQLite as targets, at rest. From the moment before the server
makes the post to the log record "published", which is written when the row is there. The baseline, "bare": one Telethon
client with a handler of new messages that downloads the photo and has `workers.rendering.imaging` develop it in as many
threads as the tree has image workers, as nice as these; nothing is written, fsynced or recorded.

*Download.* The connection alone, with nobody to render, on a journal that knows the channel; from the first request
for a part to the last "fetched" in the journal, so fsyncs and transactions are inside. Bare: `iter_download`, one file
after the other, 512 KiB a part; the bytes are dropped. "At once" are the files that the connection downloads at the
same time, "parts" the parts of one file.

*Catch-up.* The same connection, from the first request for the history to the moment that the journal's cursor is at
the newest message. Bare: `iter_messages(wait_time=0)`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import multiprocessing
import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, Final

import structlog
from telethon import TelegramClient, events
from telethon.sessions import StringSession

from benchmarks.common import (
    Export,
    Tree,
    heading,
    image_specs,
    make_photographs,
    moment,
    say,
    spread,
    table,
    workplace,
)
from benchmarks.status import quantile
from ipc.files.spool import Spool
from ipc.intake import take
from ipc.journal import Journal, figures, lookup
from ipc.posts import Channel, Page
from supervisor.child_options import connection_options
from supervisor.settings import load
from supervisor.settings.table import TelegramSettings
from tests.servers.telegram import TelegramServer
from tests.workers.desk import Desk
from workers.rendering import imaging
from workers.rendering.imaging.codec import pipeline
from workers.sources.telegram import source
from workers.sources.telegram.downloads import transfer

PART_BYTES: Final = 512 * 1024
DELAY_SECONDS: Final = 0.03
LOOK_SECONDS: Final = 0.003
MOST_SECONDS: Final = 300.0
"""For one run: whatever takes longer has failed."""

Context = multiprocessing.get_context("spawn")


# The server, in a process of its own


class Side:
    """What the benchmark has the server do. Every call is one message to its process, and one back."""

    def __init__(self, server: TelegramServer) -> None:
        self._server = server
        self._channels = {name: server.world.add_channel(name, name) for name in ("photos", "small", "large", "texts")}

    def account(self) -> dict[str, Any]:
        """The settings of a new session."""
        server = self._server
        return {
            "api_id": server.api_id,
            "api_hash": server.api_hash,
            "session": server.session_string(),
            "server": server.address,
        }

    def post_photos(self, paths: list[Path], pause: float) -> dict[int, float]:
        """One photo each `pause` seconds; when each was posted (Unix seconds), by message id."""
        posted, due = {}, time.monotonic()
        for data in [path.read_bytes() for path in paths]:
            time.sleep(max(0.0, due - time.monotonic()))
            due += pause
            before = time.time()
            posted[self._channels["photos"].post_photo(data)] = before
        return posted

    def post_files(self, name: str, count: int, size: int) -> tuple[int, int]:
        """Files of random bytes that call themselves pictures; the channel's id, and its newest message before."""
        channel = self._channels[name]
        top = channel.top_id
        for _ in range(count):
            channel.post_document(random.randbytes(size))
        return channel.id, top

    def post_texts(self, count: int) -> tuple[int, int, int]:
        """The channel's id, and its newest message before and after."""
        channel = self._channels["texts"]
        top = channel.top_id
        for number in range(count):
            channel.post_text(f"Text {number} of a channel that has nothing to say but this")
        return channel.id, top, channel.top_id

    def delay(self, seconds: float) -> None:
        """From now on every part of a file is answered so much later."""
        self._server.faults.clear()
        if seconds:
            self._server.faults.rpc("upload.getFile", delay=seconds)

    def first(self, request: str, since: float) -> float:
        """When that was asked for the first time since then (monotonic seconds, the same in every process)."""
        return next(one.at for one in self._server.log if one.name == request and one.at >= since)


def serve(pipe: Connection) -> None:
    """The server's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with TelegramServer() as server:
        side = Side(server)
        with contextlib.suppress(EOFError):
            while True:
                name, arguments = pipe.recv()
                pipe.send(getattr(side, name)(*arguments))


class Remote:
    """The server as seen from here: has the methods of `Side`."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self._pipe.send((name, arguments))
            return self._pipe.recv()

        return call


@contextmanager
def telegram() -> Iterator[Remote]:
    """The server, which ends when its pipe does."""
    here, there = Context.Pipe()
    process = Context.Process(target=serve, args=(there,), daemon=True)
    process.start()
    there.close()
    try:
        yield Remote(here)
    finally:
        here.close()
        process.join()


# The baseline: bare Telethon, in a process of its own as well


@contextmanager
def bare(target: Callable[..., Any], *arguments: Any) -> Iterator[Connection]:
    """Run `target(pipe, …)` in a new process; the other end of the pipe."""
    here, there = Context.Pipe()
    process = Context.Process(target=target, args=(there, *arguments), daemon=True)
    process.start()
    there.close()
    try:
        yield here
    finally:
        here.close()
        process.join()


@contextlib.asynccontextmanager
async def client_of(account: dict[str, Any]) -> Any:
    client = TelegramClient(StringSession(account["session"]), account["api_id"], account["api_hash"])
    await client.connect()
    try:
        yield client
    finally:
        await client.disconnect()


def bare_latency(pipe: Connection, account: dict[str, Any]) -> None:
    """Says that it is ready, then message id and time (Unix seconds) of each picture that it has developed."""
    imaging.warm_up()
    specs = image_specs()
    limits = imaging.Limits(**specs[0].options["limits"])
    ladder = imaging.Ladder(**{**specs[0].options["ladder"], "widths": tuple(specs[0].options["ladder"]["widths"])})

    async def run() -> None:
        loop = asyncio.get_running_loop()
        threads = ThreadPoolExecutor(len(specs), initializer=os.nice, initargs=(specs[0].nice,))
        async with client_of(account) as client:
            channel = await client.get_entity("photos")

            async def develop(event: Any) -> None:
                data = b"".join([bytes(part) async for part in client.iter_download(event.photo)])
                await loop.run_in_executor(threads, pipeline.develop, data, limits, ladder, None)
                pipe.send((event.id, time.time()))

            client.add_event_handler(develop, events.NewMessage(channel))
            pipe.send("ready")
            await loop.run_in_executor(None, _wait_for_end, pipe)
        threads.shutdown()

    asyncio.run(run())


def _wait_for_end(pipe: Connection) -> None:
    with contextlib.suppress(EOFError):
        pipe.recv()


def bare_download(pipe: Connection, account: dict[str, Any], name: str, count: int) -> None:
    """Sends the seconds that the newest `count` files took."""

    async def run() -> None:
        async with client_of(account) as client:
            messages = await client.get_messages(name, limit=count)
            start = time.monotonic()
            for message in messages:
                size = 0
                async for part in client.iter_download(message.document, request_size=PART_BYTES):
                    size += len(part)
                assert size == message.document.size
            pipe.send(time.monotonic() - start)

    asyncio.run(run())


def bare_catch_up(pipe: Connection, account: dict[str, Any], after: int) -> None:
    """Sends how many messages there are after that one, and the seconds that it took to read them."""

    async def run() -> None:
        async with client_of(account) as client:
            channel = await client.get_input_entity("texts")
            start = time.monotonic()
            count = 0
            async for _ in client.iter_messages(channel, wait_time=0, reverse=True, min_id=after):
                count += 1
            pipe.send((count, time.monotonic() - start))

    asyncio.run(run())


# The connection alone


@dataclass(frozen=True, slots=True)
class How:
    """How it is to download: files at once, parts of a file at once."""

    files: int
    parts: int


DEFAULT: Final = How(TelegramSettings().downloads, transfer.PARALLEL_PARTS)


def connection_alone(state_dir: Path, config: Path, parts: int) -> None:
    """The connection in a process of its own, until SIGTERM. Nobody restarts it, nobody renders."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    transfer.PARALLEL_PARTS = parts  # type: ignore[misc]
    desk = Desk(state_dir)

    def end(number: int, frame: FrameType | None) -> None:
        desk.ask_to_stop()

    def drain() -> None:
        while True:
            desk.said()
            time.sleep(0.05)

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=drain, daemon=True).start()
    options = connection_options(load(config, {}, state_dir, state_dir))
    context = desk.context(**options, started_at=time.time())
    asyncio.run(source.run(context, Journal.open(context.journal_path), Spool(context.spool_path)))


@contextmanager
def connection(folder: Path, account: dict[str, Any], name: str, known: tuple[int, int], how: How) -> Iterator[Journal]:
    """The connection on one channel of which everything up to a message is known; its journal."""
    channel_id, cursor = known
    state_dir = folder / "state"
    state_dir.mkdir(parents=True)
    journal = Journal.open(state_dir / "journal.db")
    take(journal, Page(Channel(channel_id, name), (), 1, cursor, {}, is_present=True), time.time())
    settings = {**account, "channels": [f"@{name}"], "downloads": how.files}
    config = folder / "config.toml"
    config.write_text(f'state_dir = "state"\n{section(settings)}')
    process = Context.Process(target=connection_alone, args=(state_dir, config, how.parts))
    process.start()
    try:
        yield journal
    finally:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGTERM)
        process.join()
        journal.close()


def section(settings: dict[str, Any]) -> str:
    """[telegram] of a configuration; Python writes these values as TOML does."""
    return "\n".join(["[telegram]", *(f"{name} = {value!r}" for name, value in settings.items()), ""])


def wait_until(what: str, look: Callable[[], bool]) -> float:
    """When `look` was true for the first time (monotonic seconds)."""
    until = time.monotonic() + MOST_SECONDS
    while not look():
        if time.monotonic() > until:
            raise SystemExit(f"picturedesk: {what} took longer than {MOST_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)
    return time.monotonic()


# Post to row


def measure_latency(folder: Path, server: Remote, steady: int, burst: int) -> None:
    paths = make_photographs(folder / "photographs", steady + burst)
    say("post to row: bare")
    with bare(bare_latency, server.account()) as pipe:
        assert pipe.recv() == "ready"
        bare_steady = _latencies(server.post_photos(paths[:steady], 1.0), lambda: dict([pipe.recv()]))
        bare_burst = _latencies(server.post_photos(paths[steady:], 0.0), lambda: dict([pipe.recv()]))
        pipe.send("end")
    say("post to row: tree")
    tree = Tree(folder / "tree", Export(folder / "no-export", ()))
    tree.config.write_text(tree.config.read_text() + section({**server.account(), "channels": ["@photos"]}))
    tree.launch()
    try:
        tree.wait_until_ready()
        tree.wait_for_events("channel.begun", bool)

        def published() -> dict[int, float]:
            time.sleep(0.2)
            return {record["message"]: moment(record) for record in tree.events("job.published")}

        tree_steady = _latencies(server.post_photos(paths[:steady], 1.0), published)
        tree_burst = _latencies(server.post_photos(paths[steady:], 0.0), published)
    finally:
        tree.shut()
    rows = [
        _latency_row("bare", "one a second", bare_steady),
        _latency_row("tree", "one a second", tree_steady),
        _latency_row("bare", f"{burst} at once", bare_burst),
        _latency_row("tree", f"{burst} at once", tree_burst),
    ]
    table(("post to row, s", "posts", "n", "p50", "p90", "p99", "max"), rows)
    print(f"The burst's last picture, tree / bare: {max(bare_burst) / max(tree_burst):.2f} times the speed.\n")


def _latencies(posted: dict[int, float], look: Callable[[], dict[int, float]]) -> list[float]:
    """Seconds from each post to its end, which `look` tells of by and by."""
    ends: dict[int, float] = {}
    until = time.monotonic() + MOST_SECONDS
    while not posted.keys() <= ends.keys():
        if time.monotonic() > until:
            raise SystemExit(f"picturedesk: {len(posted.keys() - ends.keys())} posts got no row")
        ends.update(look())
    return [ends[one] - posted[one] for one in posted]


def _latency_row(who: str, what: str, values: list[float]) -> tuple[str, ...]:
    return (who, what, str(len(values)), *(f"{quantile(values, part):.2f}" for part in (0.5, 0.9, 0.99, 1.0)))


# Download


def measure_downloads(folder: Path, server: Remote, repeats: int) -> None:
    files = {"small": (200, 300_000), "large": (6, 20_000_000)}
    known = {name: server.post_files(name, *about) for name, about in files.items()}
    numbers = iter(range(10**6))

    def ours(name: str, how: How) -> float:
        """Megabytes a second of the connection."""
        count, size = files[name]
        since = time.monotonic()
        with connection(folder / f"download-{next(numbers)}", server.account(), name, known[name], how) as journal:
            end = wait_until("the download", lambda: figures.states(journal)["fetched"] == count)
            begun: float = server.first("upload.getFile", since)
            return count * size / 1e6 / (end - begun)

    def theirs(name: str) -> float:
        """Megabytes a second of bare Telethon."""
        count, size = files[name]
        with bare(bare_download, server.account(), name, count) as pipe:
            return float(count * size / 1e6 / pipe.recv())

    rows = []
    for name, (count, size) in files.items():
        for delay in (0.0, DELAY_SECONDS):
            server.delay(delay)
            pairs = [(theirs(name), ours(name, DEFAULT)) for _ in range(repeats)]
            what = f"{count} of {size / 1e6:.1f} MB, {1000 * delay:.0f} ms"
            say(f"download: {what}: {statistics.median(mine / other for other, mine in pairs):.2f}")
            rows.append((what, *map(_in_short, zip(*((b, o, o / b) for b, o in pairs), strict=True))))
    titles = ("files, delay", "bare, MB/s", "connection, MB/s", "connection / bare")
    table(titles, rows)

    _measure_parts(server, partial(ours, "large"), repeats)


def _measure_parts(server: Remote, rate: Callable[[How], float], repeats: int) -> None:
    """What asking for several parts of a file at once gains; `rate` is that of one way, in megabytes a second."""
    rows = []
    for at_once, all_parts in ((1, (1, 2, 4, 8)), (4, (1, 2, 4, 8))):
        for delay in (0.0, DELAY_SECONDS):
            server.delay(delay)
            rates = {parts: [rate(How(at_once, parts)) for _ in range(repeats)] for parts in all_parts}
            whole = statistics.median(rates[1])
            rows += [
                (
                    f"{at_once}, {1000 * delay:.0f} ms",
                    str(parts),
                    _in_short(found),
                    f"{statistics.median(found) / whole:.2f}",
                )
                for parts, found in rates.items()
            ]
            say(f"download: {at_once} large files at once, delay {delay} s: done")
    table(("20 MB files at once, delay", "parts", "MB/s", "against 1 part (medians)"), rows)
    server.delay(0.0)


def _in_short(values: Any) -> str:
    middle, least, most = spread(list(values))
    return f"{middle} ({least}–{most})"


# Catch-up


def measure_catch_up(folder: Path, server: Remote, count: int, repeats: int) -> None:
    channel_id, before, top = server.post_texts(count)
    pairs = []
    for number in range(repeats):
        with bare(bare_catch_up, server.account(), before) as pipe:
            found, seconds = pipe.recv()
            assert found == count
        since = time.monotonic()
        account = server.account()
        with connection(folder / f"catch-up-{number}", account, "texts", (channel_id, before), DEFAULT) as journal:

            def is_done(journal: Journal = journal) -> bool:
                known = lookup.channel_range(journal, channel_id)
                return known is not None and known[1] == top

            end = wait_until("catch-up", is_done)
            ours = end - server.first("messages.getHistory", since)
        pairs.append((count / seconds, count / ours))
        say(f"catch-up: pair {number + 1} of {repeats}: {seconds / ours:.2f}")
    columns = zip(*((bare_rate, rate, rate / bare_rate) for bare_rate, rate in pairs), strict=True)
    row = (f"{count:,} texts", *(f"{m} ({low}–{high})" for m, low, high in (_spread(values) for values in columns)))
    table(("messages/s", "bare", "connection", "connection / bare"), [row])


def _spread(values: tuple[float, ...]) -> tuple[str, str, str]:
    return spread(values, 2 if max(values) < 100 else 0)


MEASURED: Final = ("latency", "downloads", "catch-up")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run telegram", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=MEASURED, action="append")
    parser.add_argument("--steady", type=int, default=60, help="photos, one a second")
    parser.add_argument("--burst", type=int, default=200, help="photos at once")
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    wanted = options.only or MEASURED
    with workplace(1200) as folder, telegram() as server:
        about = {
            "latency": f"{options.steady} photos of 1280 pixels one a second, then {options.burst} at once",
            "downloads": f"downloads {options.repeats} times each, bare and ours in turns",
            "catch-up": f"catch-up with {options.texts:,} texts {options.repeats} times, bare and ours in turns",
        }
        command = " ".join(["benchmarks/run telegram", *(f"--only {one}" for one in options.only or ())])
        heading("telegram", f"`{command}`: {'; '.join(about[one] for one in wanted)}. Median (min–max).")
        if "latency" in wanted:
            measure_latency(folder, server, options.steady, options.burst)
        if "downloads" in wanted:
            measure_downloads(folder, server, options.repeats)
        if "catch-up" in wanted:
            measure_catch_up(folder, server, options.texts, options.repeats)


if __name__ == "__main__":
    main()
