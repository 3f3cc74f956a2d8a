"""The whole program with a real S3 server and a Supabase-like stack: what it publishes there, what `check` says, and
what happens while one of the two fails.

Most tests share one running instance behind two fault proxies. Each feeds it pictures of its own, breaks a service,
sees what /status says meanwhile, mends the service, and sees that all is there once and nobody was blamed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from ipc.intake import withdraw
from ipc.journal import figures
from tests import lengths
from tests.hosted import FED, Feed, HostedInstance
from tests.instance import Instance, wait_for
from tests.pictures import make_export
from tests.servers.faults import (
    Answer,
    BlackHole,
    CutUpload,
    FaultProxy,
    Latency,
    LostAnswer,
    Mode,
    Pass,
    Refuse,
    Request,
    Reset,
    Throttle,
)
from tests.servers.lasting import LASTING
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer

SCHEMA_1 = Path(__file__).parent / "workers/publishing/catalog/schema_1.sql"
"""deploy/schema.sql as it was before it had a version."""

MakeInstance = Callable[..., Instance]
MakeHosted = Callable[..., HostedInstance]

LARGE_BYTES = 200_000
"""Of an object that a cut upload cuts, while the questions before it get through."""


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("publishing") / "export", 4)


@pytest.fixture
def make_hosted(
    object_server: ObjectServer, row_server: RowServer, export: Path, tmp_path: Path
) -> Iterator[MakeHosted]:
    """Makes instances on empty services, each in a bucket of its own that is there already."""
    made: list[HostedInstance] = []
    row_server.empty()

    def make(**options: Any) -> HostedInstance:
        bucket = f"publishing-{time.time_ns()}"
        object_server.make_bucket(bucket)
        folder = tmp_path / f"hosted-{len(made) + 1}"
        made.append(HostedInstance(folder, export, object_server, row_server, bucket, **options))
        return made[-1]

    yield make
    for instance in made:
        instance.end()
        instance.assert_no_secret()
        object_server.remove_bucket(instance.bucket)


# All is well


def test_what_is_published_is_what_files_and_sqlite_get(
    export: Path, make_instance: MakeInstance, make_hosted: MakeHosted
) -> None:
    hosted = make_hosted()
    plain = make_instance(export, "[images]\nwidths = [100, 200]\n[storage]\nprefix = 'pictures/'")
    for instance in (plain, hosted):
        done = instance.command("import", str(export), "--exit")
        assert done.returncode == 0, done.stderr
        assert "4 pictures: 4 published" in done.stdout
        instance.assert_nothing_left()
    hosted.assert_published([1, 2, 3, 4])
    assert f"Pictures go to the bucket {hosted.bucket} at http://127.0.0.1:" in done.stdout
    assert "rows to the project http://127.0.0.1:" in done.stdout
    assert without_urls(hosted.rows()) == without_urls(plain.rows())
    media = plain.state_dir / "media"
    files = {str(path.relative_to(media)): path.stat().st_size for path in media.rglob("*") if path.is_file()}
    assert hosted.objects() == files
    before = hosted.rows(), hosted.objects()
    for file in hosted.state_dir.glob("journal.db*"):
        file.unlink()
    assert hosted.command("import", str(export), "--exit").returncode == 0
    assert (hosted.rows(), hosted.objects()) == before, "a journal that was lost doubles nothing"


def without_urls(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In one shape: SQLite has JSON as text."""

    def value_of(name: str, value: Any) -> Any:
        if name in ("entities", "forwarded_from", "tags") and isinstance(value, str):
            return json.loads(value)
        if name == "preview" and value is not None:
            found = json.loads(value) if isinstance(value, str) else value
            return {key: part for key, part in found.items() if key != "url"}
        if name in ("is_cover", "has_alpha", "animated") and value is not None:
            return bool(value)
        if name == "renditions":
            return [{key: part for key, part in one.items() if key != "url"} for one in value]
        return value

    return [{name: value_of(name, value) for name, value in row.items()} for row in rows]


def test_garbage_is_collected_beside_a_running_instance(make_hosted: MakeHosted) -> None:
    hosted = make_hosted()
    hosted.secrets["PICTUREDESK__CATALOG__ANSWER_SECONDS"] = "0.5"  # twice that is waited for rows on their way
    hosted.start()
    hosted.wait_until_done()
    stray = f"pictures/ab/{'ab' * 32}/320.webp"
    foreign = "pictures/robots.txt"
    for key in (stray, foreign):
        hosted.client.put_object(Bucket=hosted.bucket, Key=key, Body=b"left")
    assert "Every object" in hosted.answer("gc", "--delete").stdout, "it is younger than a day"
    done = hosted.command("gc", "--delete", "--older-than", "0")
    assert (done.returncode, done.stdout.split()) == (0, [stray]), done.stderr
    hosted.client.delete_object(Bucket=hosted.bucket, Key=foreign)
    del hosted.secrets["PICTUREDESK__CATALOG__ANSWER_SECONDS"]  # which may be found anywhere
    hosted.assert_published([1, 2, 3, 4])
    assert hosted.stop() == 0


@pytest.mark.reaches("catalog.schema_outdated")
def test_an_outdated_schema_is_named_and_its_rows_are_filled_later(
    make_hosted: MakeHosted, changed_schema: RowServer
) -> None:
    """The program of this version goes on with the schema of the one before."""
    changed_schema.drop_schema()
    changed_schema.apply_schema(SCHEMA_1.read_text(encoding="utf-8"))
    hosted = make_hosted()
    hosted.start()
    hosted.wait_until_done()

    def problems() -> list[tuple[str, str]]:
        return [(one["id"], one["remedy"]) for one in (hosted.status() or {"problems": []})["problems"]]

    ((id, remedy),) = wait_for("the problem", problems)
    assert id == "catalog.schema_outdated"
    assert "bin/run schema | psql" in remedy and "bin/run republish --rows" in remedy
    hosted.assert_published([1, 2, 3, 4])
    refuses(hosted, ["the schema was applied by an earlier version of this program (1; today's is 2)"], "catalog")
    assert "the schema was applied by an earlier version" in hosted.answer("republish", "--rows").stderr
    changed_schema.apply_schema()
    before = hosted.rows()
    assert {row["caption_html"] for row in before} == {None}
    pid = hosted.strike("uploader")
    wait_for("another uploader", lambda: hosted.pids().get("uploader", pid) != pid)
    wait_for("the problem to be over", lambda: (hosted.status() or {"ok": False})["ok"])
    assert "4 rows were written without the columns that are new" in hosted.answer("check").stdout
    assert hosted.answer("republish", "--rows").stdout.startswith("4 rows are written again now")
    hosted.wait_until_done()
    hosted.assert_published([1, 2, 3, 4])
    assert None not in {row["caption_html"] for row in hosted.rows()}
    assert (hosted.status() or {})["stats"]["processed"] == 4, "nothing is counted twice"
    assert hosted.answer("republish", "--rows").stdout == "All rows have all columns.\n"
    assert hosted.stop() == 0


# check


def test_check_says_ok(make_hosted: MakeHosted) -> None:
    hosted = make_hosted()
    done = hosted.answer("check")
    assert done.returncode == 0, done.stderr
    assert "ok" in done.stdout and "NOT" not in done.stdout
    assert hosted.objects() == {}
    hosted.assert_no_secret(done.stdout, done.stderr)


@pytest.fixture
def changed_schema(row_server: RowServer) -> Iterator[RowServer]:
    """The stack, whose schema the test may spoil."""
    yield row_server
    row_server.renew_schema()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        pytest.param("bucket", ["NoSuchBucket", "storage.bucket"], id="the bucket is missing"),
        pytest.param("key id", ["InvalidAccessKeyId", "storage.access_key_id"], id="unknown key"),
        pytest.param("secret", ["SignatureDoesNotMatch", "storage.secret_access_key"], id="wrong secret"),
        pytest.param("endpoint", ["nobody answers", "storage.endpoint"], id="nobody there"),
    ],
)
def test_check_says_what_is_wrong_with_the_storage(
    wrong: str, words: list[str], make_hosted: MakeHosted, object_server: ObjectServer
) -> None:
    hosted = make_hosted(endpoint="http://127.0.0.1:1" if wrong == "endpoint" else "")
    if wrong == "bucket":
        object_server.remove_bucket(hosted.bucket)
    if wrong == "key id":
        hosted.secrets["PICTUREDESK__STORAGE__ACCESS_KEY_ID"] = "another-key-of-the-test"
    if wrong == "secret":
        hosted.secrets["PICTUREDESK__STORAGE__SECRET_ACCESS_KEY"] = "another-secret-of-the-test"
    refuses(hosted, words, "storage")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        pytest.param("schema", ["public.messages is missing", "bin/run schema"], id="the schema is missing"),
        pytest.param("function", ["ingest_messages is missing", "bin/run schema"], id="a function is missing"),
        pytest.param("security", ["row level security of public.images is off"], id="row level security is off"),
    ],
)
def test_check_says_what_is_wrong_with_the_schema(
    wrong: str, words: list[str], make_hosted: MakeHosted, changed_schema: RowServer
) -> None:
    hosted = make_hosted()
    if wrong == "schema":
        changed_schema.drop_schema()
    if wrong == "function":
        changed_schema.sql("drop function public.ingest_messages")
        changed_schema.reload()
    if wrong == "security":
        changed_schema.sql("alter table public.images disable row level security")
    refuses(hosted, words, "catalog")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        pytest.param("anon", ["role anon", "service_role key"], id="the anon key"),
        pytest.param("publishable", ["publishable key", "sb_secret_"], id="the publishable key"),
        pytest.param("other", ["the key is refused", "catalog.key"], id="another project's key"),
        pytest.param("url", ["no answer", "catalog.url"], id="nobody there"),
    ],
)
def test_check_says_what_is_wrong_with_the_catalogue(
    wrong: str, words: list[str], make_hosted: MakeHosted, row_server: RowServer
) -> None:
    hosted = make_hosted(url="http://127.0.0.1:1" if wrong == "url" else "")
    keys = {
        "anon": row_server.keys.anon,
        "publishable": row_server.keys.new_publishable,
        "other": "sb_secret_another-of-the-test",
    }
    if wrong in keys:
        hosted.secrets["PICTUREDESK__CATALOG__KEY"] = keys[wrong]
    refuses(hosted, words, "catalog")


def refuses(hosted: HostedInstance, words: list[str], service: str) -> None:
    """`check` says so, of this service and of nothing else."""
    done = hosted.answer("check")
    assert done.returncode == 78, done.stdout
    lines = [line for line in done.stderr.splitlines() if line and "check: warning: " not in line]
    assert lines and all(line.startswith(f"picturedesk: check: {service}: ") for line in lines)
    for word in words:
        assert word in done.stderr
    assert "NOT ok" in done.stdout
    hosted.assert_no_secret(done.stdout, done.stderr)


# One of the two fails


@dataclass
class Scene:
    """The instance that the tests of faults share, with a proxy before each service, and a feed of pictures."""

    instance: HostedInstance
    feed: Feed
    storage: FaultProxy
    catalog: FaultProxy
    objects: ObjectServer
    rows: RowServer

    def status(self) -> dict[str, Any]:
        body = wait_for("/status", self.instance.status)
        self.instance.assert_no_secret(json.dumps(body))
        return body

    def is_open(self, service: str) -> bool:
        """Whether /status says that this service's breaker is not closed."""
        return bool(self.status()["stats"][f"{service}_circuit_breaker"] != "closed")

    def written(self, numbers: list[int]) -> list[int]:
        """Those of the messages that have rows, with their image; one that has two is there twice."""
        return sorted(
            row["message_id"]
            for row in self.rows.sql(
                "select message_id from public.messages join public.images using (channel_id, message_id)"
                " where channel_id = %(channel)s and message_id = any (%(numbers)s)",
                {"channel": FED, "numbers": numbers},
            )
        )

    def assert_all_there(self, numbers: list[int]) -> None:
        wait_for("all to be published", lambda: self.feed.states(numbers) == {("published", True)})
        assert self.written(numbers) == numbers
        assert self.feed.keys(numbers) <= set(self.instance.objects())
        wait_for("all to be well again", lambda: self.status()["ok"])
        stats = self.status()["stats"]
        for service in ("r2", "supabase"):
            assert stats[f"{service}_circuit_breaker"] == "closed"
            assert stats[f"{service}_circuit_breaker_since"] is stats[f"{service}_next_probe_at"] is None
        left = {int(path.name.split(".")[0]) for path in self.instance.job_folders()}
        assert left.isdisjoint(self.feed.of(number).id for number in numbers)


@pytest.fixture(scope="module")
def shared(
    object_server: ObjectServer, row_server: RowServer, export: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    row_server.empty()
    with run_scene(object_server, row_server, export, tmp_path_factory.mktemp("shared")) as scene:
        yield scene


@pytest.fixture(scope="module")
def shared_impatient(
    object_server: ObjectServer, row_server: RowServer, export: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """One that waits for a second where others wait for ten or thirty."""
    sections = ("STORAGE", "CATALOG")
    settings = {f"PICTUREDESK__{section}__ANSWER_SECONDS": "1" for section in sections}
    with run_scene(object_server, row_server, export, tmp_path_factory.mktemp("impatient"), **settings) as scene:
        scene.feed.begin_at(100_000)  # its rows are in the same tables
        yield scene


@contextmanager
def run_scene(
    object_server: ObjectServer, row_server: RowServer, export: Path, folder: Path, **environment: str
) -> Iterator[Scene]:
    with (
        object_server.bucket() as bucket,
        FaultProxy(object_server.port) as storage,
        FaultProxy(row_server.port) as catalog,
    ):
        instance = HostedInstance(
            folder / "instance", export, object_server, row_server, bucket, endpoint=storage.url, url=catalog.url
        )
        instance.start(**environment)
        assert instance.root is not None
        LASTING.add(instance.root.pid)
        try:
            instance.wait_until_running()
            instance.wait_until_done()
            feed = Feed(instance.state_dir)
            yield Scene(instance, feed, storage, catalog, object_server, row_server)
            feed.close()
            assert instance.stop() == 0
            instance.assert_nothing_left()
            instance.assert_no_secret()
        finally:
            instance.end()
            LASTING.discard(instance.root.pid)


@pytest.fixture
def scene(shared: Scene) -> Iterator[Scene]:
    with well_before_and_after(shared):
        yield shared


@pytest.fixture
def impatient(shared_impatient: Scene) -> Iterator[Scene]:
    with well_before_and_after(shared_impatient):
        yield shared_impatient


@contextmanager
def well_before_and_after(shared: Scene) -> Iterator[None]:
    """A scene with both services well; afterwards nobody has been blamed and no process has been replaced."""
    shared.storage.set(Pass())
    shared.catalog.set(Pass())
    shared.storage.requests.clear()
    shared.catalog.requests.clear()
    wait_for("the instance to be well", lambda: shared.status()["ok"])
    totals = figures.totals(shared.feed.journal)
    pids = shared.instance.wait_until_running()
    yield
    after = figures.totals(shared.feed.journal)
    assert (after["retried"], after["failed"]) == (totals["retried"], totals["failed"]), "somebody was blamed"
    assert shared.instance.wait_until_running() == pids


@contextmanager
def out(scene: Scene, service: str, reason: str, remedy: str = "") -> Iterator[None]:
    """Meanwhile one service is out: see that /status says so and why, and that the other one goes on."""
    name, other = {"r2": ("storage", "supabase"), "supabase": ("catalogue", "r2")}[service]
    began = time.time()
    yield
    wait_for(f"{service}'s breaker to open", lambda: scene.is_open(service))
    body = wait_for("its word", lambda: (now := scene.status())["stats"][f"{service}_next_probe_at"] and now)
    stats = body["stats"]
    assert stats[f"{service}_circuit_breaker"] in ("open", "half-open")
    since = datetime.fromisoformat(stats[f"{service}_circuit_breaker_since"]).timestamp()
    assert int(began) <= since <= time.time()
    assert datetime.fromisoformat(stats[f"{service}_next_probe_at"]).timestamp() >= since
    assert stats[f"{other}_circuit_breaker"] == "closed"
    (problem,) = [one for one in body["problems"] if "circuit breaker" in one["what"]]  # others are of a busy machine
    assert problem["what"].startswith(f"the {name}'s circuit breaker is ")
    assert re.search(reason, problem["what"]), problem["what"]
    assert "Nothing is lost; it is asked again by itself at 2" in problem["remedy"]
    assert re.search(remedy, problem["remedy"]), problem["remedy"]
    assert problem["since"] == stats[f"{service}_circuit_breaker_since"]
    assert re.search(reason, stats["last_error"])
    assert scene.instance.get("/health")[0] == 503


def s3_error(code: str, message: str = "A word to whom it concerns") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def is_write(request: Request) -> bool:
    return request.method in ("PUT", "POST")


PAGE = b"<html><title>Please log in</title></html>"

STORAGE_FAULTS = [
    pytest.param(Refuse(), "nobody answers there", id="refused"),
    pytest.param(Reset(after_bytes=20), "It is tried again", id="reset in the middle of an answer"),
    pytest.param(CutUpload(after_bytes=LARGE_BYTES // 2), "It is tried again", id="cut upload"),
    pytest.param(LostAnswer(), "before there was an answer", id="lost answer"),
    pytest.param(Answer(503, s3_error("SlowDown"), {"Retry-After": "1"}), "503", id="503"),
    pytest.param(Answer(403, s3_error("AccessDenied")), "403 AccessDenied.*right to read and write", id="403"),
    pytest.param(Answer(200, PAGE, {"Content-Type": "text/html"}), "as no S3 service does", id="a page instead"),
]

CATALOG_FAULTS = [
    pytest.param(Refuse(), "no answer: .*catalog.url", id="refused"),
    pytest.param(CutUpload(after_bytes=900), "no answer: ", id="cut upload"),
    pytest.param(LostAnswer(), "no answer: ", id="lost answer"),
    pytest.param(Answer(503, b"upstream", {"Retry-After": "1"}), "503", id="503"),
    pytest.param(Answer(401, b'{"message":"Invalid API key"}'), "the key is refused.*catalog.key", id="401"),
    pytest.param(Answer(200, PAGE, {"Content-Type": "text/html"}), "is not the catalogue's", id="a page instead"),
    pytest.param(Answer(540, b"paused"), "paused.*dashboard", id="the project is paused"),
]


STORAGE_FAULTS_IN_THE_LONG_RUN = [
    pytest.param(Reset(), "It is tried again", id="reset"),
    pytest.param(Answer(429, s3_error("TooManyRequests"), {"Retry-After": "1"}), "429", id="429"),
    pytest.param(Answer(500, s3_error("InternalError")), "500", id="500"),
    pytest.param(Answer(401, s3_error("Unauthorized")), "401 Unauthorized.*storage.access_key_id", id="401"),
    pytest.param(Answer(200, PAGE, {"ETag": '"5f2b-1a3"'}), "as no S3 service does", id="a page with an ETag instead"),
]
"""Each is like one above for the whole program; what each answer means: tests/workers/publishing/storage."""

CATALOG_FAULTS_IN_THE_LONG_RUN = [
    pytest.param(Reset(), "no answer: ", id="reset"),
    pytest.param(Reset(after_bytes=20), "no answer: ", id="reset in the middle of an answer"),
    pytest.param(Answer(429, b"slow down", {"Retry-After": "1"}), "too many requests", id="429"),
    pytest.param(Answer(500, b"oh"), "500", id="500"),
    pytest.param(Answer(403, b"no"), "the key is refused.*catalog.key", id="403"),
]
"""Likewise: tests/workers/publishing/catalog."""

if lengths.is_long:
    STORAGE_FAULTS += STORAGE_FAULTS_IN_THE_LONG_RUN
    CATALOG_FAULTS += CATALOG_FAULTS_IN_THE_LONG_RUN


@pytest.mark.parametrize(("mode", "reason"), STORAGE_FAULTS)
def test_the_storage_fails(mode: Mode, reason: str, scene: Scene) -> None:
    the_storage_fails(mode, reason, scene)


def test_the_storage_answers_nothing(impatient: Scene) -> None:
    """Nor takes anything: each question waits for its time-out. What is meanwhile due for the catalogue goes on."""
    the_storage_fails(BlackHole(), "no answer in time|the connection was cut", impatient)


def the_storage_fails(mode: Mode, reason: str, scene: Scene) -> None:
    size = LARGE_BYTES if isinstance(mode, CutUpload) else 2000
    with out(scene, "r2", reason, remedy_of(mode, "storage.access_key_id|right to read and write")):
        scene.storage.set(mode)
        numbers = scene.feed.pictures(3, bytes_each=size)
    assert scene.written(numbers) == []
    rows_only = scene.feed.pictures(2, stored=True)
    wait_for("the rows of what is stored already", lambda: scene.written(rows_only) == rows_only)
    assert scene.feed.states(numbers) == {("rendered", False)}
    assert {scene.feed.of(number).attempts for number in numbers} == {0}
    scene.storage.set(Pass())
    scene.assert_all_there(numbers)


def alone_with_its_mounts() -> list[str]:
    """What runs a command with mounts of its own: root may, others need a user namespace for it."""
    if os.geteuid() == 0:
        return ["unshare", "--mount"]
    words = ["unshare", "--mount", "--map-root-user"]
    tried = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.fail(
            f"this machine lets nobody but root have mounts of his own ({tried.stderr.strip()}): run this test as root,"
            " or allow it: sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0"
        )
    return words


def test_the_spools_disk_is_full(
    make_hosted: MakeHosted, object_server: ObjectServer, row_server: RowServer, tmp_path: Path
) -> None:
    """A disk of 2 MiB, twice as much of pictures, and a storage that is out: all waits, and all gets there."""
    drawn = make_export(tmp_path / "drawn", 14)
    padded = {
        number: path.read_bytes() + bytes([number]) * 300_000
        for number, path in enumerate(sorted((drawn / "photos").iterdir()), 1)
    }
    export = make_export(tmp_path / "large", 14, bad=padded)
    with FaultProxy(object_server.port) as storage:
        storage.set(Refuse())
        instance = make_hosted(endpoint=storage.url, more="[spool]\nmin_free_mb = 0")
        spool = instance.state_dir / "spool"
        spool.mkdir(parents=True)
        mount = 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"'
        instance.through = [*alone_with_its_mounts(), "sh", "-c", mount, str(spool)]
        instance.start(PICTUREDESK__EXPORT__PATH=str(export))
        wait_for("the disk to be full", lambda: "No space left" in json.dumps(instance.status()))
        wait_for("the breaker to open", lambda: '"r2_circuit_breaker": "open"' in json.dumps(instance.status()))
        assert instance.rows() == [] and instance.objects() == {}
        pids = instance.pids()
        storage.set(Pass())
        instance.wait_until_done()
        assert instance.pids() == pids, "nobody has died of it"
        stats = (instance.status() or {})["stats"]
        assert (stats["dead"], stats["retried"]) == (0, 0)
        assert instance.stop() == 0
        instance.assert_published(list(range(1, 15)))


@pytest.mark.parametrize(("mode", "reason"), CATALOG_FAULTS)
def test_the_catalogue_fails(mode: Mode, reason: str, scene: Scene) -> None:
    the_catalogue_fails(mode, reason, scene)


def test_the_catalogue_answers_nothing(impatient: Scene) -> None:
    the_catalogue_fails(BlackHole(), "no answer: ReadTimeout", impatient)


def remedy_of(mode: Mode, remedy: str) -> str:
    """What /status says is to be done: where only somebody can help, that; else that it goes on by itself."""
    if isinstance(mode, Answer) and mode.status in (401, 403):
        return f"({remedy}).*bin/run reload"
    if isinstance(mode, Answer) and mode.status == 540:
        return "Restore the project.*bin/run reload"
    return "^Nothing is lost"


def the_catalogue_fails(mode: Mode, reason: str, scene: Scene) -> None:
    with out(scene, "supabase", reason, remedy_of(mode, "catalog.key")):
        scene.catalog.set(mode)
        numbers = scene.feed.pictures(3)
    more = scene.feed.pictures(2)
    wait_for("the objects", lambda: scene.feed.states(numbers + more) == {("rendered", True)})
    assert scene.feed.keys(numbers + more) <= set(scene.instance.objects())
    if not isinstance(mode, LostAnswer | Reset):  # the others do not reach it
        assert scene.written(numbers + more) == []
    assert {scene.feed.of(number).attempts for number in numbers} == {0}
    scene.catalog.set(Pass())
    scene.assert_all_there(numbers + more)


@pytest.mark.parametrize(
    ("service", "mode"),
    [("storage", Throttle(20_000)), ("catalog", Latency(0.4))]
    + ([("storage", Latency(0.4)), ("catalog", Throttle(20_000))] if lengths.is_long else []),
)
def test_a_slow_service_is_waited_for(service: str, mode: Mode, scene: Scene) -> None:
    proxy: FaultProxy = getattr(scene, service)
    with proxy.during(mode):
        numbers = scene.feed.pictures(3, bytes_each=20_000)
        wait_for("all to be published", lambda: scene.feed.states(numbers) == {("published", True)})
        assert scene.status()["ok"]
    scene.assert_all_there(numbers)


@pytest.mark.parametrize("service", ["storage", "catalog"])
def test_one_answer_is_lost(service: str, scene: Scene) -> None:
    """The service has done it: the repetition finds it there, no breaker opens."""
    proxy: FaultProxy = getattr(scene, service)
    proxy.set(LostAnswer(times=1, when=is_write))
    numbers = scene.feed.pictures(3)
    scene.assert_all_there(numbers)


def test_postgres_is_restarted_in_the_middle(scene: Scene) -> None:
    try:
        with out(scene, "supabase", "database is not to be had|no answer|502"):
            scene.rows.stop_postgres()
            numbers = scene.feed.pictures(3)
    finally:
        scene.rows.start_postgres()
        scene.rows.wait_until_ready()
    scene.assert_all_there(numbers)


def test_the_schema_is_missing_and_is_applied_later(scene: Scene) -> None:
    try:
        with out(scene, "supabase", "ingest_messages.*bin/run schema"):
            scene.rows.drop_schema()
            numbers = scene.feed.pictures(3)
    finally:
        scene.rows.renew_schema()
    scene.assert_all_there(numbers)


def test_the_bucket_is_missing_and_is_made_later(scene: Scene) -> None:
    bucket = scene.instance.bucket
    try:
        with out(scene, "r2", "NoSuchBucket.*make the bucket"):
            scene.objects.remove_bucket(bucket)
            numbers = scene.feed.pictures(3)
    finally:
        scene.objects.make_bucket(bucket)
    scene.assert_all_there(numbers)


@pytest.mark.reaches("service.breaker_open")
def test_both_are_out_and_come_back_one_after_the_other(scene: Scene) -> None:
    scene.storage.set(Refuse())
    scene.catalog.set(Refuse())
    numbers, rows_only = scene.feed.pictures(3), scene.feed.pictures(2, stored=True)
    wait_for("both breakers to open", lambda: scene.is_open("r2") and scene.is_open("supabase"))
    assert sum("circuit breaker" in one["what"] for one in scene.status()["problems"]) == 2
    scene.storage.set(Pass())
    wait_for("the objects", lambda: scene.feed.states(numbers) == {("rendered", True)})
    wait_for("the storage to be well", lambda: not scene.is_open("r2"))
    assert scene.is_open("supabase")
    scene.catalog.set(Pass())
    scene.assert_all_there(numbers)
    wait_for("the rows of what was stored", lambda: scene.written(rows_only) == rows_only)


@pytest.mark.reaches("service.silent")
def test_both_answer_nothing_and_it_is_stopped(make_hosted: MakeHosted, scene: Scene) -> None:
    """/status says so long before any time-out, and nobody waits for them."""
    scene.storage.set(BlackHole())
    scene.catalog.set(BlackHole())
    hosted = make_hosted(endpoint=scene.storage.url, url=scene.catalog.url)
    hosted.start(PICTUREDESK__CATALOG__ANSWER_SECONDS="3600", PICTUREDESK__STORAGE__ANSWER_SECONDS="3600")
    wait_for("pictures", lambda: (hosted.status() or {"stats": {"rendered": 0}})["stats"]["rendered"] == 4)
    feed = Feed(hosted.state_dir)
    feed.pictures(2, stored=True)
    feed.close()

    def words() -> list[str]:
        return [one["what"] for one in (hosted.status() or {"problems": []})["problems"]]

    wait_for("their silence to be told", lambda: sum("has not answered since" in what for what in words()) == 2)
    pids = hosted.pids()
    assert hosted.stop() == 0
    assert pids and not [record for record in hosted.records() if record.get("what") == "killed by SIGKILL"]
    hosted.wait_until_gone()


def test_the_breaker_closes_though_nobody_is_left_who_could_ask(scene: Scene) -> None:
    """What failed was deleted while its storage was out."""
    with out(scene, "r2", "503"):
        scene.storage.set(Answer(503, s3_error("ServiceUnavailable")))
        (number,) = scene.feed.pictures(1)
    withdraw(scene.feed.journal, FED, [number], time.time())
    wait_for("its tombstone", lambda: scene.feed.of(number).state == "published")
    scene.feed.spool.remove(scene.feed.of(number).id, 1)  # or a sweep would, in ten minutes
    with scene.feed.journal.transaction():  # a tombstone is no picture: so that the shared instance's sums are right
        scene.feed.journal.run("add_total", name="processed", by=1)
    scene.storage.set(Pass())
    wait_for("the storage to be well", lambda: scene.status()["ok"])


def test_an_outage_outlives_the_uploader(make_hosted: MakeHosted, scene: Scene) -> None:
    hosted = make_hosted(endpoint=scene.storage.url)
    scene.storage.set(Answer(503, s3_error("SlowDown"), {"Retry-After": "300"}))
    hosted.start()

    def stats() -> dict[str, Any]:
        found: dict[str, Any] = (hosted.status() or {"stats": {"r2_circuit_breaker": None}})["stats"]
        return found

    wait_for("the breaker to open", lambda: stats()["r2_circuit_breaker"] == "open")
    since, next_at = stats()["r2_circuit_breaker_since"], stats()["r2_next_probe_at"]
    asked = len(scene.storage.requests)
    pid = hosted.strike("uploader")
    wait_for("another uploader", lambda: hosted.pids().get("uploader", pid) != pid)
    wait_for("its word", lambda: stats()["r2_circuit_breaker"] == "open")
    assert stats()["r2_circuit_breaker_since"] == since
    assert abs(datetime.fromisoformat(stats()["r2_next_probe_at"]) - datetime.fromisoformat(next_at)).seconds <= 1
    assert len(scene.storage.requests) == asked
    assert not (hosted.status() or {})["ok"]
    assert hosted.stop() == 0


def test_an_edit_and_a_deletion_reach_the_row(scene: Scene) -> None:
    kept, gone = scene.feed.pictures(2)
    scene.assert_all_there([kept, gone])
    scene.feed.edit(kept, "edited")
    withdraw(scene.feed.journal, FED, [gone], time.time())

    def rows() -> dict[int, tuple[str, bool]]:
        found = scene.rows.sql(
            "select message_id, caption, deleted_at from public.messages"
            " where channel_id = %(channel)s and message_id = any (%(numbers)s)",
            {"channel": FED, "numbers": [kept, gone]},
        )
        return {row["message_id"]: (row["caption"], row["deleted_at"] is not None) for row in found}

    wait_for("the rows", lambda: rows() == {kept: ("edited", False), gone: (f"fed {gone}", True)})
    assert scene.written([kept, gone]) == [kept]
    wait_for("it to be recorded", lambda: scene.feed.states([kept, gone]) == {("published", True)})


# The backlog of an outage


def test_a_backlog_is_worked_off_without_a_stampede(scene: Scene) -> None:
    """One request at a time asks a storage that is out; and then never more than the limit at once."""
    scene.storage.set(Answer(503, s3_error("ServiceUnavailable")))
    numbers = scene.feed.pictures(150)
    wait_for("the breaker to open", lambda: scene.is_open("r2"))
    before = len(scene.storage.requests)
    wait_for("some probes", lambda: len(scene.storage.requests) >= before + 4)
    assert {len(probe) for probe in probes(scene.storage.requests[before:])} == {1}
    assert {job.attempts for job in map(scene.feed.of, numbers)} == {0}
    scene.storage.set(Pass())
    scene.storage.most_connections = 0
    scene.assert_all_there(numbers)
    assert 1 <= scene.storage.most_connections <= 8


def probes(requests: list[Request]) -> Iterator[list[Request]]:
    """The requests in a row that are about one picture."""
    for _, group in groupby(list(requests), key=lambda request: request.target.split("/")[4]):
        yield list(group)


def test_a_catalogue_that_is_out_is_asked_for_one_row_at_a_time(scene: Scene) -> None:
    scene.catalog.set(Answer(503, b"upstream"))
    numbers = scene.feed.pictures(60, stored=True)
    wait_for("the breaker to open", lambda: scene.is_open("supabase"))
    wait_for("some probes", lambda: len(scene.catalog.requests) >= 6)
    sizes = [int(request.headers["content-length"]) for request in list(scene.catalog.requests)]
    assert sizes[0] > 20 * max(sizes[2:]), "at first a batch, then a row a probe"
    scene.catalog.set(Pass())
    scene.catalog.most_connections = 0
    wait_for("the rows", lambda: scene.written(numbers) == numbers)
    wait_for("all to be recorded", lambda: scene.feed.states(numbers) == {("published", True)})
    assert scene.catalog.most_connections == 1
