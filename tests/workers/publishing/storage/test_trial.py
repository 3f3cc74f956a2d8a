"""What `check` finds out about a storage, and that it leaves nothing behind."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests import checking
from tests.servers.faults import Answer, FaultProxy, LostAnswer, Pass, Refuse, Request
from tests.servers.objects import PUBLIC, ObjectServer
from workers.publishing.storage import check

Options = dict[str, Any]


@pytest.fixture
def options(object_server: ObjectServer, proxy: FaultProxy, bucket: str, tmp_path: Path) -> Options:
    section = {
        "backend": "r2",
        "public_url": "",
        "prefix": "some/prefix/",
        "endpoint": proxy.url,
        "bucket": bucket,
        "access_key_id": object_server.access_key_id,
        "secret_access_key": object_server.secret_access_key,
        "concurrency": 8,
    }
    return {"state_dir": str(tmp_path), "storage": section}


def faults(options: Options) -> list[str]:
    """What `check` says, but that readers can't open the addresses of a bucket's own interface."""
    return [line for line in checking.faults(check, options) if "storage.public_url is empty" not in line]


def keys(server: ObjectServer, bucket: str) -> list[str]:
    return [one["Key"] for one in server.client().list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_nothing_is_wrong(options: Options, object_server: ObjectServer, bucket: str, proxy: FaultProxy) -> None:
    assert faults(options) == []
    assert {request.method for request in proxy.requests} == {"PUT", "GET", "DELETE"}
    assert all("/some/prefix/" in request.target for request in proxy.requests if request.method != "GET")
    assert keys(object_server, bucket) == []


def test_nothing_is_wrong_with_files(options: Options, tmp_path: Path) -> None:
    assert checking.faults(check, {**options, "storage": {"backend": "files", "public_url": "", "prefix": ""}}) == []
    assert list((tmp_path / "media").iterdir()) == []


def test_addresses_that_readers_cannot_open(options: Options) -> None:
    (line,) = checking.faults(check, options)
    assert line.startswith("warning: storage.public_url is empty: rows name objects as http://127.0.0.1:")


def test_what_a_lost_answer_has_left_is_removed_by_the_next_trial(
    options: Options, object_server: ObjectServer, bucket: str, proxy: FaultProxy
) -> None:
    proxy.set(LostAnswer(when=lambda request: request.method == "PUT"))
    (line,) = faults(options)
    assert line.startswith("storage: cannot write")
    assert len(keys(object_server, bucket)) == 1
    proxy.set(Pass())
    assert faults(options) == []
    assert keys(object_server, bucket) == []


def test_nothing_is_wrong_for_readers(options: Options, object_server: ObjectServer) -> None:
    options["storage"].update(bucket=PUBLIC, public_url=object_server.public_url)
    assert faults(options) == []


def test_readers_may_not_read(options: Options, object_server: ObjectServer, bucket: str) -> None:
    options["storage"].update(public_url=f"{object_server.endpoint}/{bucket}")
    (line,) = faults(options)
    assert line.startswith("warning: readers cannot get http://127.0.0.1:")
    assert "403" in line and "storage.public_url" in line
    assert keys(object_server, bucket) == []


def test_readers_get_something_else(options: Options, object_server: ObjectServer) -> None:
    with FaultProxy(object_server.port) as page:
        page.set(Answer(200, b"<html>Welcome</html>"))
        options["storage"].update(public_url=page.url)
        (line,) = faults(options)
    assert line.startswith("warning: readers get something else")


@pytest.mark.parametrize("public_url", ["http://127.0.0.1:9", "http://a b/", "nonsense"])
def test_readers_find_nobody(options: Options, public_url: str) -> None:
    options["storage"].update(public_url=public_url)
    (line,) = faults(options)
    assert line.startswith(f"warning: readers cannot get {public_url.rstrip('/')}")


@pytest.mark.parametrize(
    ("different", "found"),
    [
        ({"secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"access_key_id": "wrong"}, "InvalidAccessKeyId"),
        ({"bucket": "not-there"}, "NoSuchBucket"),
        ({"endpoint": "http://127.0.0.1:9"}, "nobody answers"),
        ({"endpoint": "nonsense"}, "Check storage.endpoint"),
    ],
)
def test_settings_that_are_wrong(options: Options, different: dict[str, str], found: str) -> None:
    options["storage"].update(different)
    (line,) = faults(options)
    assert line.startswith("storage: ") and found in line


DENIED = Answer(403, b"<Error><Code>AccessDenied</Code></Error>")


def is_list(request: Request) -> bool:
    return "list-type=2" in request.target


@pytest.mark.parametrize(
    ("when", "found"),
    [
        (lambda request: request.method == "PUT", ["storage: cannot write"]),
        (lambda request: request.method == "GET" and not is_list(request), ["storage: cannot read"]),
        (is_list, ["warning: storage: cannot list"]),
        (lambda request: request.method == "DELETE", ["storage: cannot delete, so some/prefix/"]),
        (lambda request: request.method != "PUT", ["storage: cannot read", "warning: storage", "storage: cannot del"]),
    ],
)
def test_a_key_that_may_not_do_everything(options: Options, proxy: FaultProxy, when: Any, found: list[str]) -> None:
    proxy.set(Answer(DENIED.status, DENIED.body, when=when))
    lines = faults(options)
    assert len(lines) == len(found)
    assert all(line.startswith(start) for line, start in zip(lines, found, strict=True))


def test_what_could_not_be_deleted_confuses_no_later_trial(options: Options, proxy: FaultProxy) -> None:
    proxy.set(Answer(DENIED.status, DENIED.body, when=lambda request: request.method == "DELETE"))
    for _ in range(2):
        (line,) = faults(options)
        assert line.startswith("storage: cannot delete")


def test_what_was_written_is_not_what_is_read(options: Options, proxy: FaultProxy) -> None:
    etag = hashlib.md5(b"another", usedforsecurity=False).hexdigest()
    headers = {"ETag": f'"{etag}"'}
    other = Answer(200, b"another", headers=headers, when=lambda r: r.method == "GET" and not is_list(r))
    proxy.set(other)
    (line,) = faults(options)
    assert line.endswith("was written, but read as something else")


def test_nobody_there(options: Options, proxy: FaultProxy) -> None:
    proxy.set(Refuse())
    (line,) = faults(options)
    assert line.startswith("storage: cannot write: ")


@pytest.mark.parametrize("role", ["origin", "node"])
def test_the_bucket_of_originals_on_their_way_is_tried_too(
    role: str, options: Options, object_server: ObjectServer, bucket: str, proxy: FaultProxy
) -> None:
    machines = {"role": role, "wire_bucket": bucket}
    assert faults({**options, "machines": machines}) == [] and not checking_wire(proxy, bucket)
    wire = f"{bucket}-wire"
    (line,) = faults({**options, "machines": {**machines, "wire_bucket": wire}})
    assert line.startswith("machines.wire_bucket: ") and "NoSuchBucket" in line and "make the bucket" in line
    object_server.make_bucket(wire)
    try:
        assert faults({**options, "machines": {**machines, "wire_bucket": wire}}) == []
        assert checking_wire(proxy, wire) == ({"PUT", "GET", "DELETE"} if role == "origin" else {"GET"})
        assert keys(object_server, wire) == []
    finally:
        object_server.remove_bucket(wire)


def checking_wire(proxy: FaultProxy, bucket: str) -> set[str]:
    """The methods of the requests for objects in that bucket which are no trial of the storage itself."""
    return {one.method for one in proxy.requests if one.target.startswith(f"/{bucket}/picturedesk-check-")}
