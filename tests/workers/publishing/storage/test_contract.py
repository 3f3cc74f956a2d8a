"""What every storage promises, held against each of them: files, and a bucket of a real S3 server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from tests.instance import HOME, wait_for
from tests.servers.objects import ObjectServer
from tests.workers.publishing.storage.conftest import Make
from workers.publishing.storage import FileStorage, NewObject, ObjectFault, Put, Storage, make

KEY = "ab/abcdef/320.webp"
ODD_KEYS = ["a b/c d.webp", "ü/日本/ß.webp", "100%/x", "a+b&c=d", "q?x#y.webp", "~(1)'!*;:@$,", "%41", "a/.hidden/b"]


@pytest.fixture(params=["files", "r2"])
def options(request: pytest.FixtureRequest, tmp_path: Path, object_server: ObjectServer, bucket: str) -> dict[str, Any]:
    """The uploader's, for each of the storages."""
    section = {
        "backend": request.param,
        "public_url": "",
        "endpoint": object_server.endpoint,
        "bucket": bucket,
        "access_key_id": object_server.access_key_id,
        "secret_access_key": object_server.secret_access_key,
        "concurrency": 8,
    }
    return {"state_dir": str(tmp_path), "storage": section}


@pytest.fixture
def storage(options: dict[str, Any], request: pytest.FixtureRequest) -> Storage:
    storage = make(options)
    request.addfinalizer(storage.close)
    return storage


def put(storage: Storage, source: Path, key: str = KEY) -> bool:
    return storage.put(key, source, "image/webp")


def sizes(storage: Storage, prefix: str = "") -> dict[str, int]:
    return {one.key: one.bytes for one in storage.list(prefix)}


def files(folder: Path, contents: dict[str, bytes]) -> list[NewObject]:
    """The contents as files in the spool, and as what `put_all` gets."""
    folder.mkdir()
    for number, content in enumerate(contents.values()):
        (folder / str(number)).write_bytes(content)
    return [NewObject(key, folder / str(number), "image/webp") for number, key in enumerate(contents)]


LADDER = {f"ab/abcdef/{name}": name.encode() * 100 for name in ("320.webp", "320.avif", "640.webp", "original.jpg")}


# One object


def test_put(storage: Storage, source: Path) -> None:
    before = time.time()
    assert put(storage, source)
    storage.sync()
    assert storage.read(KEY) == b"a rendition"
    (there,) = storage.list()
    assert (there.key, there.bytes) == (KEY, len(b"a rendition"))
    assert before - 5 < there.modified_at + 1 and there.modified_at < time.time() + 5
    assert source.read_bytes() == b"a rendition"


def test_again_changes_nothing(storage: Storage, source: Path) -> None:
    assert put(storage, source)
    before = list(storage.list())
    assert not put(storage, source)
    assert list(storage.list()) == before


def test_another_size_is_another_object_and_replaces_it(storage: Storage, source: Path) -> None:
    put(storage, source)
    source.unlink()
    source.write_bytes(b"the same, from another encoder")
    assert put(storage, source)
    assert storage.read(KEY) == b"the same, from another encoder"
    assert not put(storage, source)


def test_the_spooled_file_may_go(storage: Storage, source: Path) -> None:
    put(storage, source)
    source.unlink()
    assert storage.read(KEY) == b"a rendition"


@pytest.mark.parametrize("size", [0, 1, 5 * 2**20 + 1, 30_000_000])
def test_objects_of_all_sizes(storage: Storage, source: Path, size: int) -> None:
    content = os.urandom(size)
    source.write_bytes(content)
    assert put(storage, source)
    assert storage.read(KEY) == content
    assert not put(storage, source)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys(storage: Storage, source: Path, key: str) -> None:
    assert put(storage, source, key)
    assert not put(storage, source, key)
    assert storage.read(key) == b"a rendition"
    assert sizes(storage) == {key: len(b"a rendition")}
    assert unquote(urlparse(storage.url(key)).path).endswith(f"/{key}")
    assert not urlparse(storage.url(key)).query and not urlparse(storage.url(key)).fragment
    storage.delete(key)
    assert sizes(storage) == {}


def test_keys_do_not_get_in_each_others_way(storage: Storage, source: Path) -> None:
    keys = ["a/b", "a/b.webp", "a.b", "ab"]
    assert all(put(storage, source, key) for key in keys)
    assert set(sizes(storage)) == set(keys)


@pytest.mark.parametrize("key", ["a" * 1500, f"{'a' * 300}/" * 5])
def test_a_key_that_is_too_long_is_its_own_fault(storage: Storage, source: Path, key: str) -> None:
    with pytest.raises(ObjectFault, match="too long"):
        put(storage, source, f"{key}.webp")
    assert put(storage, source)


@pytest.mark.parametrize("how", ["no file", "no folder", "a file where the folder should be", "a dangling link"])
def test_a_source_that_is_not_there_is_no_fault_of_the_storage(storage: Storage, tmp_path: Path, how: str) -> None:
    source = tmp_path / "5.1" / "320.webp"
    if how == "no file":
        source.parent.mkdir()
    elif how == "a file where the folder should be":
        source.parent.write_text("")
    elif how == "a dangling link":
        source.parent.mkdir()
        source.symlink_to("nowhere")
    with pytest.raises(FileNotFoundError) as caught:
        put(storage, source)
    assert caught.value.filename == str(source)
    assert sizes(storage) == {}


# Several


def test_put_all(storage: Storage, tmp_path: Path) -> None:
    told: list[tuple[str, bool, str]] = []
    items = files(tmp_path / "spool", LADDER)
    new = storage.put_all(items, stored=lambda put: told.append((put.key, put.is_new, threading.current_thread().name)))
    assert new == len(LADDER)
    assert sorted(told) == sorted((key, True, threading.current_thread().name) for key in LADDER)
    assert {key: storage.read(key) for key in LADDER} == LADDER


def test_put_all_again_changes_nothing(storage: Storage, tmp_path: Path) -> None:
    items = files(tmp_path / "spool", LADDER)
    storage.put_all(items)
    before = set(storage.list())
    told: list[tuple[str, bool]] = []
    assert storage.put_all(items, stored=lambda put: told.append((put.key, put.is_new))) == 0
    assert sorted(told) == sorted((key, False) for key in LADDER)
    assert set(storage.list()) == before


@pytest.mark.parametrize("missing", LADDER)
def test_put_all_stores_what_is_missing(storage: Storage, tmp_path: Path, missing: str) -> None:
    items = files(tmp_path / "spool", LADDER)
    storage.put_all(items)
    storage.delete(missing)
    assert storage.put_all(items) == 1
    assert storage.read(missing) == LADDER[missing]


def test_put_all_of_another_ladder(storage: Storage, tmp_path: Path) -> None:
    """The original is there, but the widths were others then, and one rendition comes from another encoder."""
    storage.put_all(files(tmp_path / "then", {"a/1.webp": b"one", "a/2.webp": b"two", "a/original.jpg": b"all"}))
    now = {"a/1.webp": b"one, but better", "a/3.webp": b"three", "a/original.jpg": b"all"}
    assert storage.put_all(files(tmp_path / "now", now)) == 2
    assert {one.key: storage.read(one.key) for one in storage.list()} == {**now, "a/2.webp": b"two"}


@pytest.mark.parametrize("is_expected", [False, True])
def test_put_all_keeps_what_is_as_good(storage: Storage, tmp_path: Path, is_expected: bool) -> None:
    """Readers may have kept it, and rows name it with its size. Only the original has to be these very bytes."""
    then = {"a/1.webp": b"one", "a/original.jpg": b"half of it"}
    storage.put_all(files(tmp_path / "then", then))
    now = {"a/1.webp": b"one, of another encoder", "a/2.webp": b"two", "a/original.jpg": b"the whole of it"}
    items = [
        replace(item, is_exact="original" in item.key, is_expected=is_expected) for item in files(tmp_path / "now", now)
    ]
    told: list[Put] = []
    for _ in range(2):  # the second time each is looked for
        told.clear()
        storage.put_all(items, stored=told.append)
        assert {one.key: storage.read(one.key) for one in storage.list()} == {**now, "a/1.webp": b"one"}
    assert {put.key: put.bytes for put in told} == {"a/1.webp": 3, "a/2.webp": 3, "a/original.jpg": 15}


def test_put_all_puts_nothing_less_than_an_object(storage: Storage, tmp_path: Path) -> None:
    storage.put_all(files(tmp_path / "then", {"a/1.webp": b""}))
    items = [replace(item, is_exact=False) for item in files(tmp_path / "now", {"a/1.webp": b"one"})]
    assert storage.put_all(items) == 1
    assert storage.read("a/1.webp") == b"one"


def test_a_probe_leaves_nothing(storage: Storage) -> None:
    storage.probe()
    assert list(storage.list()) == []


def test_put_all_of_a_picture_that_comes_twice(storage: Storage, tmp_path: Path) -> None:
    told: set[str] = set()
    items = [*files(tmp_path / "one", LADDER), *files(tmp_path / "two", LADDER)]
    assert storage.put_all(items, stored=lambda put: told.add(put.key)) == len(LADDER)
    assert told == set(LADDER)
    assert {one.key: storage.read(one.key) for one in storage.list()} == LADDER


def test_put_all_of_nothing(storage: Storage) -> None:
    assert storage.put_all([]) == 0


def test_put_all_with_a_source_missing(storage: Storage, tmp_path: Path) -> None:
    items = files(tmp_path / "spool", LADDER)
    items[1].source.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        storage.put_all(items)
    assert caught.value.filename == str(items[1].source)
    items[1].source.write_bytes(LADDER[items[1].key])
    storage.put_all(items)
    assert {key: storage.read(key) for key in LADDER} == LADDER


def test_an_error_of_whoever_is_told_ends_it(storage: Storage, tmp_path: Path) -> None:
    def refuse(put: Put) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.put_all(files(tmp_path / "spool", LADDER), stored=refuse)


def test_a_stop_lets_a_storage_that_works_finish(storage: Storage, tmp_path: Path) -> None:
    assert storage.put_all(files(tmp_path / "spool", LADDER), stop=lambda: True) == len(LADDER)


def test_put_all_asks_whether_to_stop(storage: Storage, tmp_path: Path) -> None:
    """The question is the caller's sign of life, too."""
    asked = iter(range(10**6))
    storage.put_all(files(tmp_path / "spool", LADDER), stop=lambda: next(asked) < 0)
    assert next(asked) > 0


# At the same time


def test_threads_that_put_the_same(storage: Storage, source: Path) -> None:
    source.write_bytes(os.urandom(200_000))
    with ThreadPoolExecutor(8) as pool:
        for round_number in range(3):
            key = f"{round_number}/{KEY}"
            won = list(pool.map(lambda _, key=key: put(storage, source, key), range(8)))
            assert sum(won) == 1
            assert storage.read(key) == source.read_bytes()


PROCESS = """
import json, sys
from pathlib import Path
from workers.publishing.storage import make

storage = make(json.loads(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
won = [storage.put(f"{number}/x.webp", Path(sys.argv[2]), "image/webp") for number in range(10)]
storage.sync()
print(json.dumps(won), flush=True)
storage.close()
"""


def start(options: dict[str, Any], source: Path, program: str = PROCESS) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(options), str(source)],
        cwd=HOME,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_processes_that_put_the_same(options: dict[str, Any], storage: Storage, source: Path) -> None:
    source.write_bytes(os.urandom(100_000))
    processes = [start(options, source) for _ in range(3)]
    for process in processes:
        go(process)
    ends = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    won = [json.loads(end) for end in ends]
    assert [sum(column) for column in zip(*won, strict=True)] == [1] * 10
    assert all(storage.read(f"{number}/x.webp") == source.read_bytes() for number in range(10))


KILLED = PROCESS.replace("range(10)", "range(10**6)")


def test_killed_in_the_middle(options: dict[str, Any], storage: Storage, source: Path) -> None:
    """Nothing that readers see is half there, and the next process can go on."""
    source.write_bytes(os.urandom(3_000_000))
    process = start(options, source, KILLED)
    go(process)
    wait_for("three objects", lambda: "2/x.webp" in sizes(storage))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    there = sizes(storage)
    assert set(there.values()) == {3_000_000}
    assert not put(storage, source, "0/x.webp")
    put(storage, source, f"{len(there)}/x.webp")
    assert storage.read(f"{len(there)}/x.webp") == source.read_bytes()


# Documents, which change under their key

FEED = "news/feeds/all.json"
JSON = "application/feed+json"


def test_a_document_replaces_the_one_before(storage: Storage) -> None:
    for data in (b"one", b"two", b"another length", b""):
        storage.put_document(FEED, data, JSON)
        assert storage.read(FEED) == data
    assert sizes(storage) == {FEED: 0}
    storage.delete(FEED)
    assert storage.read(FEED) is None


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_of_documents(storage: Storage, key: str) -> None:
    storage.put_document(key, b"a page", "text/html")
    assert storage.read(key) == b"a page" and sizes(storage) == {key: 6}


def test_readers_see_a_whole_document(storage: Storage) -> None:
    """Whichever one, while two threads write it all the time."""
    versions = [bytes([65 + number]) * 30_000 for number in range(8)]
    storage.put_document(FEED, versions[0], JSON)
    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(storage.put_document, FEED, version, JSON) for version in versions]
        while not all(writer.done() for writer in writers):
            assert storage.read(FEED) in versions
        for writer in writers:
            writer.result()
    assert storage.read(FEED) in versions and set(sizes(storage)) == {FEED}


# Reading, listing, deleting


def test_no_more_is_read_than_is_asked_for(storage: Storage) -> None:
    storage.put_document(FEED, b"a page", JSON)
    assert storage.read(FEED, most_bytes=6) == b"a page" == storage.read(FEED)
    with pytest.raises(ObjectFault, match="larger than 5 bytes"):
        storage.read(FEED, most_bytes=5)
    assert storage.read("no/such/object", most_bytes=5) is None


def test_what_is_not_there(storage: Storage) -> None:
    assert storage.read("no/such/object") is None
    storage.delete("no/such/object")
    assert list(storage.list()) == [] == list(storage.list("no/such/"))


def test_delete(storage: Storage, source: Path) -> None:
    for key in ("a/b/1", "a/b/2", "c"):
        put(storage, source, key)
    storage.delete("a/b/1")
    storage.delete("a/b/1")
    assert set(sizes(storage)) == {"a/b/2", "c"}
    storage.delete("a/b/2")
    storage.delete("c")
    assert sizes(storage) == {}
    assert put(storage, source, "a/b/1")


def test_list(storage: Storage, source: Path) -> None:
    keys = {"a/1", "a/12", "a/2", "ab/1", "b", "a/b/c/d"}
    for key in keys:
        put(storage, source, key)
    for prefix in ("", "a", "a/", "a/1", "a/b/", "a/b/c/d", "x", "a/x/"):
        assert set(sizes(storage, prefix)) == {key for key in keys if key.startswith(prefix)}


def test_a_folder_is_listed_in_one_piece(storage: Storage, source: Path) -> None:
    for name in ("320.webp", "original.jpg", "640.avif"):
        for folder in ("p/aa/aa1", "p/ab/ab1", "p/aa/aa2"):
            put(storage, source, f"{folder}/{name}")
    folders = [one.key.rpartition("/")[0] for one in storage.list("p/")]
    assert len(folders) == 9
    assert len([folder for folder, _ in groupby(folders)]) == 3


# Where readers find it


@pytest.mark.parametrize("public_url", ["https://img.example/p", "https://img.example/p/"])
@pytest.mark.parametrize(
    ("key", "quoted"), [(KEY, KEY), ("a b/ü#?.webp", "a%20b/%C3%BC%23%3F.webp"), ("100%/x", "100%25/x")]
)
@pytest.mark.parametrize("kind", ["files", "r2"])
def test_the_address_under_a_public_url(
    tmp_path: Path, make_r2: Make, kind: str, public_url: str, key: str, quoted: str
) -> None:
    makers: dict[str, Callable[[], Storage]] = {
        "files": lambda: FileStorage(tmp_path / "media", public_url),
        "r2": lambda: make_r2(public_url=public_url),
    }
    assert makers[kind]().url(key) == f"https://img.example/p/{quoted}"
