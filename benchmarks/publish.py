"""Objects and rows a second through the uploader, against bare loops of the same clients; and how an outage is made up.

The services are the tests' own, in processes of their own on this machine: SeaweedFS for the objects; PostgreSQL,
PostgREST and a gateway for the rows. Each run has an empty bucket and empty tables. The pictures are rendered already:
they lie in the spool of a journal, with four renditions and the original each.

*Objects.* `workers.uploader` with the catalogue's breaker open, so that it does nothing but store: the query for what
is due, the question whether a picture is there, each object put on the condition that it is not, the journal's
transaction with its fsync, the spool's folders deleted. The baseline, "bare": a boto3 client with the same settings and
as many threads as `storage.concurrency`, each of which takes the next file from a shared list and puts it.

*Rows.* The same uploader with the same pictures stored, so that it does nothing but write: the query, the rows made,
each batch of 50 sent, the journal's transaction with its fsync. The baseline: a supabase-py client that sends the same
rows, made beforehand, in batches of the same size to the same function of the database.

Each is measured with the services on the loopback itself, and with answers that come 20 ms later, as from a data centre
that is near. On the loopback the machine's processors are the limit, and the services, the client and the uploader's
own work share them.

Both in a process of their own, timed from a client that has its connection to the last answer or, of the uploader, to
the last transaction. They take turns, and every second pair is the other way round: whoever comes later finds a disk
that is still busy with what was written before. The ratio is that of a pair.

*After an outage.* The real tree, with a breaker that is open for half a second. Its storage is down while the pictures
come in; timed from the moment that the storage takes objects again to the last "published" in the journal.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.handlers import add_expect_header
from supabase import create_client

from benchmarks.common import heading, make_export, say, spread, table, workplace
from ipc.files.object_layout import Layout, objects_of
from ipc.files.rows import RowLayout, rows_of
from ipc.journal import Journal, figures, queue
from ipc.retry import RetryPolicy
from supervisor import logs
from supervisor.child_options import uploader_options
from supervisor.settings import load
from tests.hosted import FED, Feed, HostedInstance
from tests.instance import wait_for
from tests.servers.faults import FaultProxy, Latency
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from tests.workers.desk import Desk
from tests.workers.publisher import Publisher
from workers.publishing import catalog as catalogs
from workers.publishing import storage as storages
from workers.publishing.catalog import BATCH_ENTRIES
from workers.publishing.service.breaker import Breaker
from workers.publishing.storage.r2 import CACHE_CONTROL
from workers.uploader import Services

OBJECTS = 5
"""Of each picture."""

FAR_SECONDS = 0.02

Options = dict[str, Any]
Work = Callable[[Options, "SimpleQueue[float]"], None]


def waiting(options: Options) -> Iterator[Any]:
    """The jobs of the journal, all of them rendered."""
    with closing(Journal.open(Path(options["state_dir"]) / "journal.db")) as journal:
        yield from queue.due(journal, "rendered", 10**6)


@contextmanager
def uploader(options: Options, *, stores: bool) -> Iterator[tuple[Publisher, Journal]]:
    """One that stores and writes no row, or the reverse; it has its connection. And its journal."""
    with (Path(options["state_dir"]) / "log").open("ab") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
    logs.configure(level="info", format="json", process="uploader")
    desk = Desk(Path(options["state_dir"]))
    journal = Journal.open(desk.state_dir / "journal.db", durable=True)
    storage, catalog = storages.make(options), catalogs.make(options)
    busy, idle = Breaker(5, 60.0), Breaker(1, 1e6)
    idle.fail(time.monotonic(), "not measured now")
    storage.read("not-there") if stores else catalog.referenced(["0" * 64])
    yield (
        Publisher(
            desk.context(),
            journal,
            Services(
                storage=storage,
                catalog=catalog,
                layout=Layout(options["storage"]["prefix"], "as_is"),
                policy=RetryPolicy(5, 60.0),
                storage_breaker=busy if stores else idle,
                catalog_breaker=idle if stores else busy,
            ),
        ),
        journal,
    )
    catalog.close()
    storage.close()
    journal.close()
    desk.close()


def store(options: Options, seconds: SimpleQueue[float]) -> None:
    with uploader(options, stores=True) as (ours, journal):
        _time(ours, journal, seconds, stored=False)


def write(options: Options, seconds: SimpleQueue[float]) -> None:
    with uploader(options, stores=False) as (ours, journal):
        _time(ours, journal, seconds, stored=True)


def _time(ours: Publisher, journal: Journal, seconds: SimpleQueue[float], *, stored: bool) -> None:
    start = time.monotonic()
    while ours.publish_due():
        continue
    took = time.monotonic() - start
    if queue.due(journal, "rendered", 1, stored=stored):
        raise SystemExit("picturedesk: not everything was published")
    seconds.put(took)


def bare_client(settings: Options) -> Any:
    """boto3's own client, with the settings of the program's but none of its code."""
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=settings["endpoint"],
        aws_access_key_id=settings["access_key_id"],
        aws_secret_access_key=settings["secret_access_key"],
        config=Config(
            region_name="auto",
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1},
            max_pool_connections=settings["concurrency"],
            s3={"addressing_style": "path"},
        ),
    )
    client.meta.events.unregister("before-call.s3", add_expect_header)
    return client


def store_bare(options: Options, seconds: SimpleQueue[float]) -> None:
    settings = options["storage"]
    client = bare_client(settings)
    spool = Path(options["state_dir"]) / "spool"
    things = deque(
        (one.key, spool / f"{job.id}.{job.generation}" / one.file, one.content_type)
        for job in waiting(options)
        for one in objects_of(replace(job, original="as_is"), settings["prefix"])
    )

    def put() -> None:
        while True:
            try:
                key, path, content_type = things.popleft()
            except IndexError:
                return
            with path.open("rb") as body:
                client.put_object(
                    Bucket=settings["bucket"],
                    Key=key,
                    Body=body,
                    ContentType=content_type,
                    CacheControl=CACHE_CONTROL,
                )

    client.head_bucket(Bucket=settings["bucket"])
    threads = [threading.Thread(target=put) for _ in range(settings["concurrency"])]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds.put(time.monotonic() - start)


def write_bare(options: Options, seconds: SimpleQueue[float]) -> None:
    settings = options["catalog"]
    client = create_client(settings["url"], settings["key"])
    layout = RowLayout(options["storage"]["prefix"], storages.make(options).url)
    rows = [rows_of(job, layout) for job in waiting(options)]
    entries = [
        {"channel": {"id": FED, "title": "Fed"}, "message": one["messages"], "image": one["images"]} for one in rows
    ]
    client.rpc("picturedesk_referenced", {"sha256s": ["0" * 64]}).execute()
    start = time.monotonic()
    for first in range(0, len(entries), BATCH_ENTRIES):
        client.rpc("ingest_messages", {"batch": entries[first : first + BATCH_ENTRIES]}).execute()
    seconds.put(time.monotonic() - start)


def seconds_of(work: Work, options: Options) -> float:
    """Of this work, in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    seconds: SimpleQueue[float] = spawn.SimpleQueue()
    process = spawn.Process(target=work, args=(options, seconds))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"picturedesk: {work.__name__} failed")
    return seconds.get()


def make_options(folder: Path, objects: ObjectServer, rows: RowServer, bucket: str, count: int, size: int) -> Options:
    """The uploader's options, and a journal with so many pictures in that folder."""
    folder.mkdir()
    secrets = {
        "PICTUREDESK__STORAGE__BACKEND": "r2",
        "PICTUREDESK__STORAGE__ENDPOINT": objects.endpoint,
        "PICTUREDESK__STORAGE__BUCKET": bucket,
        "PICTUREDESK__STORAGE__ACCESS_KEY_ID": objects.access_key_id,
        "PICTUREDESK__STORAGE__SECRET_ACCESS_KEY": objects.secret_access_key,
        "PICTUREDESK__CATALOG__BACKEND": "supabase",
        "PICTUREDESK__CATALOG__URL": rows.url,
        # One of the old kind: bare supabase-py cannot use one of the new kind here.
        "PICTUREDESK__CATALOG__KEY": rows.keys.service_role,
        "PICTUREDESK__STATE_DIR": str(folder),
    }
    settings = load(None, secrets, folder, folder)
    with closing(Feed(folder)) as feed:
        feed.pictures(count, bytes_each=size)
    return uploader_options(settings)


@contextmanager
def far(options: Options, objects: ObjectServer, rows: RowServer, delay: float) -> Iterator[None]:
    """The services of the options are that far away, in seconds."""
    with FaultProxy(objects.port) as to_objects, FaultProxy(rows.port) as to_rows:
        if delay:
            for proxy in (to_objects, to_rows):
                proxy.set(Latency(delay))
            options["storage"]["endpoint"], options["catalog"]["url"] = to_objects.url, to_rows.url
        yield


def measure(
    folder: Path, objects: ObjectServer, rows: RowServer, count: int, size: int, delay: float, *, bare_first: bool
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Objects a second and rows a second, each bare and of the uploader."""
    folder.mkdir()
    bare, ours = (make_options(folder / who, objects, rows, "set-later", count, size) for who in ("bare", "ours"))

    def stored(work: Work, options: Options) -> float:
        with far(options, objects, rows, delay), objects.bucket() as bucket:
            options["storage"]["bucket"] = bucket
            return OBJECTS * count / seconds_of(work, options)

    def written(work: Work, options: Options) -> float:
        rows.empty()
        with far(options, objects, rows, delay):
            return count / seconds_of(work, options)

    if bare_first:
        of_objects = stored(store_bare, bare), stored(store, ours)
        return of_objects, (written(write_bare, bare), written(write, ours))
    stores, writes = stored(store, ours), written(write, ours)
    return (stored(store_bare, bare), stores), (written(write_bare, bare), writes)


def report(what: str, pairs: list[tuple[float, float]]) -> None:
    table(
        ("pair", f"bare, {what}/s", f"uploader, {what}/s", "uploader / bare"),
        [
            (str(number), f"{bare:,.0f}", f"{ours:,.0f}", f"{ours / bare:.3f}")
            for number, (bare, ours) in enumerate(pairs, 1)
        ],
    )
    ratios = [ours / bare for bare, ours in pairs]
    median, least, most = spread(ratios, 3)
    print(f"Ratio of {what}: median **{median}**, min {least}, max {most}; the goal is 0.9.\n", flush=True)


def make_up(folder: Path, objects: ObjectServer, rows: RowServer, count: int, size: int) -> tuple[float, float]:
    """Seconds from the outage's end to the first picture and to the last of so many."""
    rows.empty()
    bucket = "outage"
    objects.make_bucket(bucket)
    folder.mkdir()
    instance = HostedInstance(folder / "instance", make_export(folder / "export", 0).folder, objects, rows, bucket)
    instance.start(PICTUREDESK__LOG__LEVEL="info")
    try:
        instance.wait_until_running()
        objects.stop()
        with closing(Feed(instance.state_dir)) as feed:
            feed.pictures(count, bytes_each=size)
            wait_for("the breaker to open", lambda: (instance.status() or {"ok": True})["ok"] is False)
            objects.start()
            start = time.monotonic()

            def published(least: int) -> bool:
                return figures.states(feed.journal)["published"] >= least

            wait_for("the first picture", lambda: published(1), 120)
            first = time.monotonic() - start
            wait_for("all pictures", lambda: published(count), 600)
            took = time.monotonic() - start
        if feed_totals := rows.sql("select count(*) as rows from public.images")[0]["rows"] - count:
            raise SystemExit(f"picturedesk: {feed_totals} rows too many or too few")
        instance.stop()
    finally:
        instance.end()
    return first, took


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run publish", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=600, help="in each run (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--bytes", type=int, default=40_000, help="of each object (default: %(default)s)")
    parser.add_argument("--waiting", type=int, default=2000, help="after the outage; 0: no outage")
    options = parser.parse_args()
    with workplace(900) as folder, ObjectServer(folder / "objects") as objects, RowServer() as rows:
        rows.apply_schema()
        heading(
            "publish",
            f"{options.pictures} pictures of {OBJECTS} objects of {options.bytes:,} bytes a run, 8 objects at once,"
            f" batches of {BATCH_ENTRIES} rows, {options.pairs} pairs.",
        )
        for delay in (FAR_SECONDS, 0.0):
            stored, written = [], []
            where = f"{1000 * delay:.0f} ms away" if delay else "on the loopback"
            for number in range(1, options.pairs + 1):
                at = folder / f"run-{number}-{delay}"
                of_objects, of_rows = measure(
                    at, objects, rows, options.pictures, options.bytes, delay, bare_first=number % 2 == 1
                )
                stored.append(of_objects)
                written.append(of_rows)
                say(
                    f"{where}, pair {number} of {options.pairs}: objects {of_objects[1] / of_objects[0]:.2f},"
                    f" rows {of_rows[1] / of_rows[0]:.2f} of bare"
                )
            report(f"objects {where}", stored)
            report(f"rows {where}", written)
        if options.waiting:
            first, took = make_up(folder / "outage", objects, rows, options.waiting, options.bytes // 4)
            print(
                f"{options.waiting:,} pictures of {OBJECTS} objects of {options.bytes // 4:,} bytes waited for the"
                f" storage: the first was published {first:.1f} s after the outage's end, the last after {took:.1f} s"
                f" ({OBJECTS * options.waiting / took:,.0f} objects/s; bare objects/s above, median:"
                f" {statistics.median(bare for bare, _ in stored):,.0f}).\n",
                flush=True,
            )


if __name__ == "__main__":
    main()
