"""A bucket as a storage: what goes over the wire, what is asked for again, and what each fault means."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.instance import HOME, wait_for
from tests.servers.faults import (
    Answer,
    BlackHole,
    CutKeptAlive,
    CutUpload,
    Edited,
    FaultProxy,
    Latency,
    LostAnswer,
    Mode,
    Pass,
    Refuse,
    Request,
    Reset,
    Throttle,
    without_headers,
)
from tests.servers.objects import PUBLIC, ObjectServer
from tests.workers.publishing.storage.conftest import Make
from workers.publishing import threads
from workers.publishing.storage import NewObject, ObjectFault, Put, StorageFault
from workers.publishing.storage.r2 import CACHE_CONTROL, R2Storage
from workers.publishing.threads import Interrupted

KEY = "ab/abcdef/320.webp"
LARGE_BYTES = 8_000_000
"""More than the buffers of two connections hold."""


def put(storage: R2Storage, source: Path, key: str = KEY) -> bool:
    return storage.put(key, source, "image/webp")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(b"x" * LARGE_BYTES)
    return path


@pytest.fixture
def ladder(tmp_path: Path) -> list[NewObject]:
    """Nine objects of a picture, the original last."""
    items = []
    for name in [f"{width}.{kind}" for width in (1, 2, 3, 4) for kind in ("webp", "avif")] + ["original.jpg"]:
        (tmp_path / name).write_bytes(name.encode() * 100)
        items.append(NewObject(f"ab/abcdef/{name}", tmp_path / name, "image/webp"))
    return items


def both_ways(storage: R2Storage, source: Path) -> list[Callable[[], object]]:
    return [lambda: put(storage, source), lambda: storage.put_all([NewObject(KEY, source, "image/webp")])]


def sent(proxy: FaultProxy) -> list[str]:
    """The methods of the requests that came since this was last asked."""
    methods = [request.method for request in proxy.requests]
    proxy.requests.clear()
    return methods


# What goes over the wire


def test_what_readers_get(object_server: ObjectServer, make_r2: Make, source: Path) -> None:
    storage = make_r2(bucket=PUBLIC, public_url=object_server.public_url)
    storage.put("a b/ü.webp", source, "image/webp")
    with urllib.request.urlopen(storage.url("a b/ü.webp"), timeout=10) as answer:
        assert answer.read() == b"a rendition"
        assert answer.headers["Content-Type"] == "image/webp"
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    storage.delete("a b/ü.webp")


def test_what_readers_get_of_a_document(object_server: ObjectServer, make_r2: Make, proxy: FaultProxy) -> None:
    """In one request, whether it was there or not; readers keep it for a minute."""
    storage = make_r2(proxy.url, bucket=PUBLIC, public_url=object_server.public_url)
    for data in (b"{}", b'{"items": []}'):
        storage.put_document("feeds/all.json", data, "application/feed+json")
        with urllib.request.urlopen(storage.url("feeds/all.json"), timeout=10) as answer:
            assert answer.read() == data
            assert answer.headers["Content-Type"] == "application/feed+json"
            assert answer.headers["Cache-Control"] == "public, max-age=60"
    assert sent(proxy) == ["PUT", "PUT"]
    storage.delete("feeds/all.json")


def test_the_address_without_a_public_url_is_the_buckets(object_server: ObjectServer, make_r2: Make) -> None:
    assert make_r2(f"{object_server.endpoint}/", bucket=PUBLIC).url("a/b") == f"{object_server.endpoint}/{PUBLIC}/a/b"


@pytest.mark.parametrize("tls", [False, True])
def test_the_request(
    object_server: ObjectServer, make_r2: Make, source: Path, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    """R2 refuses bodies with a checksum behind them, which only https shows, and never says to go on to an Expect."""
    with FaultProxy(object_server.port, tls=tls) as proxy:
        if tls:
            monkeypatch.setenv("AWS_CA_BUNDLE", str(proxy.ca_file))
        storage = make_r2(proxy.url)
        assert put(storage, source)
        assert storage.read(KEY) == b"a rendition"
        request = proxy.requests[0]
    assert (request.method, request.target.rpartition("test-")[2][13:]) == ("PUT", KEY)
    assert request.headers["content-length"] == str(len(b"a rendition"))
    assert request.headers["content-type"] == "image/webp"
    assert request.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert request.headers["if-none-match"] == "*"
    assert "/auto/s3/aws4_request" in request.headers["authorization"]
    assert not {"expect", "transfer-encoding", "content-encoding"} & set(request.headers)
    assert not [name for name in request.headers if "checksum" in name or "trailer" in name]


def test_a_certificate_of_nobody_we_trust(object_server: ObjectServer, make_r2: Make, source: Path) -> None:
    with FaultProxy(object_server.port, tls=True) as proxy:
        with pytest.raises(StorageFault, match=r"no trusted connection.*certificate") as caught:
            put(make_r2(proxy.url), source)
        assert not caught.value.fatal
        assert sent(proxy) == []


def test_settings_of_this_machine_for_other_programs_are_not_ours(
    make_r2: Make, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[profile other]\nregion = mars\ns3 =\n  addressing_style = virtual\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "not even there")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "another")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "mars")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert put(make_r2(), source)


def test_who_keeps_files_does_not_load_boto3() -> None:
    program = (
        "import sys, workers.uploader, workers.publishing.storage; assert not {'boto3', 'botocore'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=HOME, check=True)


# How often it asks


def expected(items: list[NewObject]) -> list[NewObject]:
    return [replace(item, is_expected=True) for item in items]


@pytest.fixture
def practised(make_r2: Make, proxy: FaultProxy, ladder: list[NewObject]) -> R2Storage:
    """Until one call has come to its end there may be objects of one that did not: this has one behind it."""
    storage = make_r2(proxy.url, concurrency=2)
    storage.put_all([NewObject("another/original.jpg", ladder[0].source, "image/webp")])
    sent(proxy)
    return storage


def test_a_new_picture_costs_no_question(practised: R2Storage, proxy: FaultProxy, ladder: list[NewObject]) -> None:
    assert practised.put_all(ladder) == 9
    assert sent(proxy) == ["PUT"] * 9


def test_a_new_picture_that_was_expected_costs_one_question(
    practised: R2Storage, proxy: FaultProxy, ladder: list[NewObject]
) -> None:
    assert practised.put_all(expected(ladder)) == 9
    assert sent(proxy) == ["HEAD", *["PUT"] * 9]


def test_a_picture_that_is_there_is_not_sent_again(
    practised: R2Storage, proxy: FaultProxy, ladder: list[NewObject]
) -> None:
    practised.put_all(ladder)
    sent(proxy)
    assert practised.put_all(expected(ladder)) == 0
    assert sent(proxy) == ["HEAD"] * 10


def test_of_a_picture_that_nobody_expected_there_only_the_first_object_is_sent(
    practised: R2Storage, make_r2: Make, proxy: FaultProxy, ladder: list[NewObject]
) -> None:
    """As when a journal was lost."""

    def picture(name: str) -> list[NewObject]:
        return [replace(item, key=item.key.replace("abcdef", name)) for item in ladder]

    make_r2().put_all([*ladder, *picture("two")])
    assert practised.put_all(ladder) == 0
    assert sorted(sent(proxy)) == [*["HEAD"] * 9, "PUT"]
    assert practised.put_all([*picture("two"), *picture("three")]) == 9
    assert sorted(sent(proxy)) == ["HEAD"] * 18 + ["PUT"] * 9, "where one was, there may be more: nothing in vain"
    assert practised.put_all(picture("four")) == 9
    assert sorted(sent(proxy)) == ["HEAD"] * 9 + ["PUT"] * 9
    assert practised.put_all(picture("five")) == 9
    assert sent(proxy) == ["PUT"] * 9


@pytest.mark.parametrize(("tries", "stored"), [(1, False), (3, True)])
def test_a_busy_service_is_asked_again_at_once_if_that_is_wanted(
    practised: R2Storage, proxy: FaultProxy, ladder: list[NewObject], tries: int, stored: bool
) -> None:
    proxy.set(Answer(500, xml("InternalError"), times=2, when=lambda request: request.method == "PUT"))
    if stored:
        assert practised.put_all(ladder[:1], tries=tries) == 1
        assert sent(proxy) == ["PUT", "HEAD", "PUT", "HEAD", "PUT"]
    else:
        with pytest.raises(StorageFault, match="500"):
            practised.put_all(ladder[:1], tries=tries)
        assert sent(proxy) == ["PUT"]


@pytest.mark.parametrize("fault", [Answer(503, headers={"Retry-After": "7"}), Answer(403), BlackHole()])
def test_what_will_not_pass_at_once_is_not_tried_at_once(
    make_r2: Make, proxy: FaultProxy, ladder: list[NewObject], fault: Mode
) -> None:
    storage = make_r2(proxy.url, read_seconds=0.5)
    proxy.set(fault)
    with pytest.raises(StorageFault):
        storage.put_all([replace(ladder[0], key="new/original.jpg")], tries=3)
    assert sent(proxy).count("PUT") <= 1


def test_of_several_pictures_only_those_that_are_new_are_sent(
    make_r2: Make, proxy: FaultProxy, ladder: list[NewObject]
) -> None:
    def picture(name: str) -> list[NewObject]:
        return [replace(item, key=item.key.replace("abcdef", name)) for item in ladder]

    storage = make_r2(proxy.url)
    storage.put_all([*picture("one"), *picture("three")])
    sent(proxy)
    four = [*picture("one"), *picture("two"), *picture("three"), *picture("four")]
    assert storage.put_all(expected(four)) == 18
    methods = sent(proxy)
    assert methods[:4] == ["HEAD"] * 4
    assert sorted(methods[4:]) == ["HEAD"] * 18 + ["PUT"] * 18


def test_what_comes_twice_is_sent_once(make_r2: Make, proxy: FaultProxy, ladder: list[NewObject]) -> None:
    assert make_r2(proxy.url).put_all([*ladder, *ladder]) == 9
    assert sent(proxy).count("PUT") == 9


def test_what_an_interrupted_process_has_stored_is_not_sent_again(
    make_r2: Make, proxy: FaultProxy, ladder: list[NewObject]
) -> None:
    for item in ladder[:5]:
        make_r2().put(item.key, item.source, item.content_type)
    assert make_r2(proxy.url).put_all(ladder) == 4
    assert sorted(sent(proxy)) == ["HEAD"] * 9 + ["PUT"] * 4


def test_what_a_failed_call_has_stored_is_not_sent_again(
    make_r2: Make, proxy: FaultProxy, ladder: list[NewObject]
) -> None:
    storage = make_r2(proxy.url, concurrency=2)
    storage.put_all([NewObject("another/original.jpg", ladder[0].source, "image/webp")])
    proxy.set(Answer(500, when=lambda request: request.method == "PUT" and request.target.endswith("4.avif")))
    with pytest.raises(StorageFault, match="500"):
        storage.put_all(ladder)
    stored = len(list(make_r2().list("ab/")))
    assert 6 <= stored < 9
    proxy.set(Pass())
    sent(proxy)
    assert storage.put_all(ladder) == 9 - stored
    assert sorted(sent(proxy)) == ["HEAD"] * 9 + ["PUT"] * (9 - stored)
    assert storage.put_all(expected(ladder)) == 0
    assert sent(proxy) == ["HEAD"] * 10, "and not for ever each of them"


def test_an_object_that_comes_up_meanwhile_is_found(
    make_r2: Make, proxy: FaultProxy, source: Path, tmp_path: Path
) -> None:
    """The one that was first has won; a size that differs is told apart all the same."""
    storage = make_r2(proxy.url)
    assert put(storage, source)
    assert not put(storage, source)
    assert sent(proxy) == ["PUT", "PUT", "HEAD"]
    other = tmp_path / "other"
    other.write_bytes(b"of another encoder")
    assert put(storage, other)
    assert sent(proxy) == ["PUT", "HEAD", "PUT"]


def is_conditional(request: Request) -> bool:
    return "if-none-match" in request.headers


def test_a_service_that_knows_no_conditions(make_r2: Make, proxy: FaultProxy, source: Path, large: Path) -> None:
    storage = make_r2(proxy.url)
    proxy.set(Answer(501, b"<Error><Code>NotImplemented</Code></Error>", when=is_conditional))
    assert put(storage, source)
    assert sent(proxy) == ["PUT", "HEAD", "PUT"]
    assert not put(storage, source)
    assert put(storage, large, "large")
    assert put(storage, large)
    assert sent(proxy) == ["HEAD", "HEAD", "PUT", "HEAD", "PUT"]
    assert storage.put_all([NewObject(KEY, large, "image/webp"), NewObject("new", source, "image/webp")]) == 1


def test_two_conditional_writes_at_once(make_r2: Make, proxy: FaultProxy, source: Path) -> None:
    """Some services answer 409 then, and know only that neither has been decided yet."""
    conflict = Answer(409, b"<Error><Code>ConditionalRequestConflict</Code></Error>", when=is_conditional)
    storage = make_r2(proxy.url)
    proxy.set(conflict)
    assert put(storage, source)
    assert not put(storage, source)


def test_a_service_that_does_not_let_us_look(make_r2: Make, proxy: FaultProxy, ladder: list[NewObject]) -> None:
    """Without the right to list, some answer 403 for what is not there; only a put can tell."""
    proxy.set(Answer(403, when=lambda request: request.method == "HEAD"))
    assert make_r2(proxy.url).put_all(ladder) == 9


# Faults


def xml(code: str, message: str = "") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


PORTAL = b"<html><body><p>Please log in</p></body></html>"
UNCLOSED = b"<!doctype html><html><body><p>Please log in<br></body></html>"

PASSING: dict[str, tuple[Mode, str]] = {
    "refused": (Refuse(), "nobody answers there"),
    "reset": (Reset(), "the connection was cut"),
    "the answer cut": (Reset(after_bytes=20), "the connection was cut"),
    "the upload cut": (CutUpload(after_bytes=200_000), "the connection was cut"),
    "a black hole": (BlackHole(), "no answer in time"),
    "a black hole that takes nothing": (BlackHole(reads=False), "the connection was cut|no answer in time"),
    "a lost answer": (LostAnswer(), "the connection was cut"),
    "500": (Answer(500, xml("InternalError", "We encountered an internal error.")), "500 InternalError: We encount"),
    "502, HTML": (Answer(502, PORTAL), "502"),
    "503": (Answer(503, xml("SlowDown", "Please reduce your request rate.")), "503 SlowDown: Please reduce"),
    "503 without a body": (Answer(503), "503"),
    "429": (Answer(429, xml("TooManyRequests")), "429 TooManyRequests"),
    "400, a slow upload": (Answer(400, xml("RequestTimeout")), "400 RequestTimeout"),
    "an unknown refusal": (Answer(418, xml("Teapot")), "418 Teapot"),
    "200, HTML": (Answer(200, PORTAL), "answered as no S3 service does"),
    "200, HTML that is no XML": (Answer(200, UNCLOSED), "500"),
    "200, empty": (Answer(200), "answered as no S3 service does"),
    "200, a page with an ETag": (Answer(200, PORTAL, {"ETag": '"5f2b-1a3"'}), "answered as no S3 service does"),
    "200, empty with an ETag": (
        Answer(200, headers={"ETag": '"d41d8cd98f00b204e9800998ecf8427e"'}),
        "answered as no S3 service does",
    ),
    "nonsense in a header": (Answer(200, headers={"Content-Length": "nonsense"}), "It is tried again"),
}


@pytest.mark.parametrize("name", PASSING)
def test_faults_that_pass(
    object_server: ObjectServer, make_r2: Make, proxy: FaultProxy, bucket: str, large: Path, name: str
) -> None:
    mode, reason = PASSING[name]
    storage = make_r2(proxy.url, connect_seconds=0.5, read_seconds=0.5 if isinstance(mode, BlackHole) else 10.0)
    several = [NewObject("a", large, "image/webp"), NewObject("b", large, "image/webp")]
    asks: list[tuple[Callable[[], object], str | None]] = [
        (lambda: put(storage, large), reason),
        (lambda: storage.put_all(several), None),  # what answers a HEAD has no text
    ]
    with proxy.during(mode):
        for ask, expected in asks:
            with pytest.raises(StorageFault, match=expected) as caught:
                ask()
            assert f"127.0.0.1:{proxy.port}/{bucket}/" in str(caught.value)
            assert object_server.secret_access_key not in str(caught.value)
            assert not caught.value.fatal
            assert caught.value.retry_after_seconds is None
    patient = make_r2(proxy.url)
    put(patient, large)
    assert len(patient.read(KEY) or b"") == LARGE_BYTES


@pytest.mark.parametrize("mode", [Latency(0.2), Throttle(2_000_000)])
def test_what_is_slow_is_no_fault(make_r2: Make, proxy: FaultProxy, tmp_path: Path, mode: Mode) -> None:
    source = tmp_path / "some"
    source.write_bytes(b"x" * 500_000)
    proxy.set(mode)
    storage = make_r2(proxy.url)
    assert put(storage, source)
    assert not put(storage, source)


def test_a_thin_line_takes_its_time(make_r2: Make, proxy: FaultProxy, tmp_path: Path) -> None:
    """The wait for an answer does not begin while most of the object is still to be sent."""
    source = tmp_path / "some"
    source.write_bytes(b"x" * 2_000_000)
    proxy.set(Throttle(500_000))
    assert put(make_r2(proxy.url, connect_seconds=2.5, read_seconds=2.5), source)


@pytest.mark.parametrize(
    "mode",
    [PASSING[name][0] for name in ("refused", "reset", "500", "200, HTML", "200, empty", "200, a page with an ETag")],
)
@pytest.mark.parametrize("what", ["read", "list", "put_all", "delete"])
def test_nothing_else_takes_a_fault_for_an_answer(
    make_r2: Make, proxy: FaultProxy, ladder: list[NewObject], mode: Mode, what: str
) -> None:
    storage = make_r2(proxy.url)
    storage.put_all(ladder)
    asks: dict[str, Callable[[], object]] = {
        "read": lambda: storage.read(KEY),
        "list": lambda: list(storage.list()),
        "put_all": lambda: storage.put_all(ladder),
        "delete": lambda: storage.delete(KEY),
    }
    with proxy.during(mode), pytest.raises(StorageFault):
        asks[what]()


def test_a_login_page_is_no_object(make_r2: Make, proxy: FaultProxy, source: Path) -> None:
    """Not even one of the right size, with an ETag."""
    storage = make_r2(proxy.url)
    for more in ({}, {"ETag": '"5f2b-1a3"'}, {"ETag": '"d41d8cd98f00b204e9800998ecf8427e"'}):
        with (
            proxy.during(Answer(200, b"a rendition", headers={"Content-Type": "text/html", **more})),
            pytest.raises(StorageFault),
        ):
            storage.put_all([NewObject(KEY, source, "image/webp")])


def test_a_service_whose_etags_are_no_digests_of_the_content(make_r2: Make, proxy: FaultProxy, source: Path) -> None:
    """As with keys of a key service: what it says it has is looked at instead."""
    storage = make_r2(proxy.url)
    other = source.with_name("other")
    other.write_bytes(b"A RENDITION")
    assert put(storage, other)
    etag = hashlib.md5(b"A RENDITION", usedforsecurity=False).hexdigest()
    proxy.set(Answer(200, headers={"ETag": f'"{etag}"'}, when=lambda request: request.method == "PUT"))
    sent(proxy)
    assert put(storage, source)
    assert sent(proxy) == ["PUT", "HEAD"]
    source.write_bytes(b"a rendition of another size")
    with pytest.raises(StorageFault, match="as no S3 service does"):
        put(storage, source)


def test_a_document_where_etags_are_no_digests(make_r2: Make, proxy: FaultProxy) -> None:
    """It is read instead; and what is not there as it was sent was not taken."""
    storage = make_r2(proxy.url)
    storage.put_document("feeds/all.xml", b"<feed/>", "application/atom+xml")
    proxy.set(Answer(200, headers={"ETag": '"5f2b-1a3"'}, when=lambda request: request.method == "PUT"))
    sent(proxy)
    storage.put_document("feeds/all.xml", b"<feed/>", "application/atom+xml")
    assert sent(proxy) == ["PUT", "GET"]
    with pytest.raises(StorageFault, match="as no S3 service does"):
        storage.put_document("feeds/all.xml", b"<feed>1</feed>", "application/atom+xml")


# What an answer may lack


def without_size(answer: bytes) -> bytes:
    """Neither in its headers, nor in the listing."""
    return re.sub(rb"<Size>\d*</Size>", b"", without_headers("content-length", "content-range")(answer))


LENGTHS = {
    "HEAD does not say": (without_headers("content-length"), lambda request: request.method == "HEAD"),
    "only the listing says": (without_headers("content-length", "content-range"), lambda request: True),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_an_object_whose_length_the_service_does_not_say_is_there(
    make_r2: Make, proxy: FaultProxy, ladder: list[NewObject], name: str
) -> None:
    edit, when = LENGTHS[name]
    storage = make_r2(proxy.url)
    assert storage.put_all(ladder) == 9
    with proxy.during(Edited(edit, when=when)):
        puts: list[Put] = []
        assert make_r2(proxy.url).put_all(ladder, stored=puts.append) == 0
        assert not put(storage, ladder[0].source, ladder[0].key)
    assert {put.key: put.bytes for put in puts} == {item.key: item.source.stat().st_size for item in ladder}


def test_an_empty_object_whose_length_is_not_said(make_r2: Make, proxy: FaultProxy, source: Path) -> None:
    """Of which there is no first byte."""
    storage = make_r2(proxy.url)
    empty = source.with_name("empty")
    empty.touch()
    assert put(storage, empty)
    with proxy.during(Edited(without_headers("content-length"), when=lambda request: request.method == "HEAD")):
        assert put(storage, source)
    assert storage.read(KEY) == b"a rendition"


def test_a_length_that_nobody_says_is_the_storages_fault(make_r2: Make, proxy: FaultProxy, source: Path) -> None:
    storage = make_r2(proxy.url)
    assert put(storage, source)
    proxy.set(Edited(without_size))
    with pytest.raises(StorageFault, match=r"does not say how large.*no Content-Length.*listing no size") as caught:
        put(storage, source)
    assert not caught.value.fatal


MISSING = {
    "put": "ETag Content-Length Content-Type Date Server",
    "read": "ETag Content-Length Content-Type Last-Modified Cache-Control Accept-Ranges",
    "delete": "Content-Length Content-Type",
    "probe": "Content-Length Content-Type",
}


@pytest.mark.parametrize("what", MISSING)
def test_no_header_has_to_be_there(make_r2: Make, proxy: FaultProxy, source: Path, what: str) -> None:
    """Each left out alone, and all at once: it works all the same, or is a fault by name."""
    names, undisturbed = MISSING[what].lower().split(), make_r2()
    for left_out in [*([name] for name in names), names]:
        storage = make_r2(proxy.url)
        asks: dict[str, Callable[[], object]] = {
            "put": lambda storage=storage: storage.put_all([NewObject(KEY, source, "image/webp")]),  # type: ignore[misc]
            "read": lambda storage=storage: storage.read(KEY),  # type: ignore[misc]
            "delete": lambda storage=storage: storage.delete(KEY),  # type: ignore[misc]
            "probe": storage.probe,
        }
        put(undisturbed, source)
        with proxy.during(Edited(without_headers(*left_out))), contextlib.suppress(StorageFault):
            asks[what]()


@pytest.mark.parametrize("name", ["Key", "Size", "LastModified", "ETag", "KeyCount", "IsTruncated", "Name"])
def test_a_listing_that_lacks_something(make_r2: Make, proxy: FaultProxy, source: Path, name: str) -> None:
    storage = make_r2(proxy.url)
    put(storage, source)
    pattern = f"<{name}>.*?</{name}>".encode()

    def edit(answer: bytes) -> bytes:
        return re.sub(pattern, b"", without_headers("content-length")(answer))

    with proxy.during(Edited(edit)):
        if name in ("ETag", "KeyCount", "Name"):
            assert [one.key for one in storage.list()] == [KEY]
        else:
            with pytest.raises(StorageFault, match="as no S3 service does"):
                list(storage.list())


def test_a_listing_that_goes_on_without_saying_where(make_r2: Make, proxy: FaultProxy, source: Path) -> None:
    """Or the rest would count as gone."""
    storage = make_r2(proxy.url)
    put(storage, source)

    def edit(answer: bytes) -> bytes:
        return without_headers("content-length")(answer).replace(b">false</IsTr", b">true</IsTr")

    with proxy.during(Edited(edit)), pytest.raises(StorageFault, match="as no S3 service does"):
        list(storage.list())


@pytest.mark.parametrize("resets", [False, True])
def test_a_kept_connection_that_is_cut_as_the_request_goes_out(
    make_r2: Make, proxy: FaultProxy, ladder: list[NewObject], resets: bool
) -> None:
    storage = make_r2(proxy.url, concurrency=2)
    with proxy.during(CutKeptAlive(resets, times=2)):
        assert storage.put_all(ladder, tries=3) == 9
        assert len([request for request in proxy.requests if request.method == "PUT"]) > 9


def test_a_sign_of_life_is_what_the_service_takes_and_gives(make_r2: Make, proxy: FaultProxy, tmp_path: Path) -> None:
    """While a large file goes out, though no answer comes; but not while nothing is taken."""
    large = tmp_path / "large"
    large.write_bytes(b"x" * 1_000_000)
    storage = make_r2(proxy.url, read_seconds=30.0)
    proxy.set(Throttle(400_000))
    began = time.monotonic()
    sending = threading.Thread(target=put, args=(storage, large))
    sending.start()
    signs = {storage.last_sign()}
    while sending.is_alive():
        sending.join(0.05)
        signs.add(storage.last_sign())
    assert len([sign for sign in signs if sign > began]) > 3
    proxy.set(BlackHole(reads=False))
    proxy.most_connections = 0
    asking = threading.Thread(target=suppressed(StorageFault, storage.probe))
    asking.start()
    wait_for("the question to have gone out", lambda: proxy.most_connections)
    last = storage.last_sign()
    asking.join(0.5)
    assert asking.is_alive()
    assert storage.last_sign() - last < 0.4
    proxy.set(Pass())
    asking.join(30)
    storage.probe()
    assert storage.last_sign() > last


def suppressed(kind: type[Exception], call: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        with contextlib.suppress(kind):
            call()

    return run


def test_an_object_is_deleted_only_if_the_service_says_so(make_r2: Make, proxy: FaultProxy, source: Path) -> None:
    storage = make_r2(proxy.url)
    put(storage, source)
    sent(proxy)
    with (
        proxy.during(Answer(200, PORTAL, when=lambda request: request.method == "DELETE")),
        pytest.raises(StorageFault, match="as no S3 service does"),
    ):
        storage.delete(KEY)
    assert sent(proxy) == ["DELETE", "HEAD"]
    storage.delete(KEY)
    proxy.set(Answer(200, when=lambda request: request.method == "DELETE"))
    storage.delete(KEY)  # a service that answers so, and it is gone


def test_an_answer_that_was_lost_is_no_second_upload(make_r2: Make, proxy: FaultProxy, ladder: list[NewObject]) -> None:
    storage = make_r2(proxy.url, concurrency=9)
    proxy.set(LostAnswer(times=1, when=lambda request: request.method == "PUT"))
    with pytest.raises(StorageFault, match="cut"):
        storage.put_all(ladder)
    assert len(list(make_r2().list())) == 9
    sent(proxy)
    assert storage.put_all(ladder) == 0
    assert sent(proxy) == ["HEAD"] * 9


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("7", 7.0), ("0", 0.0), ("86400", 3600.0), ("-3", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("soon", None)],
)
@pytest.mark.parametrize("status", [429, 503])
def test_how_long_it_wants_to_be_left_alone(
    make_r2: Make, proxy: FaultProxy, source: Path, status: int, retry_after: str, seconds: float | None
) -> None:
    proxy.set(Answer(status, xml("SlowDown"), headers={"Retry-After": retry_after}))
    storage = make_r2(proxy.url)
    for ask in both_ways(storage, source):
        with pytest.raises(StorageFault) as caught:
            ask()
        assert caught.value.retry_after_seconds == seconds
    assert len(proxy.requests) == 2, "nothing is tried twice"


FATAL: dict[str, tuple[Mode, str]] = {
    "401": (Answer(401, xml("Unauthorized", "Unauthorized")), "401 Unauthorized.*Remedy: check storage.access_key_id"),
    "401 without a body": (Answer(401), "401.*Remedy: check storage.access_key_id"),
    "403": (Answer(403, xml("AccessDenied", "Access Denied")), "403 AccessDenied.*Remedy: give the key the right"),
    "403, HTML": (Answer(403, PORTAL), "403.*Remedy"),
    "a clock": (Answer(403, xml("RequestTimeTooSkewed")), "Remedy: set this machine's clock"),
    "another region": (Answer(301, xml("PermanentRedirect")), "Remedy: check storage.endpoint"),
    "a key id of a wrong length": (
        Answer(400, xml("InvalidArgument", "Credential access key has length 7, should be 32")),
        "Remedy: .*check storage.access_key_id",
    ),
    "a web server": (Answer(405, PORTAL), "Remedy: check storage.endpoint"),
}


@pytest.mark.parametrize("name", FATAL)
def test_faults_that_need_somebody(make_r2: Make, proxy: FaultProxy, source: Path, name: str) -> None:
    mode, reason = FATAL[name]
    proxy.set(mode)
    storage = make_r2(proxy.url)
    for ask in both_ways(storage, source):
        with pytest.raises(StorageFault, match=reason) as caught:
            ask()
        assert caught.value.fatal


@pytest.mark.parametrize(
    ("different", "reason"),
    [
        ({"access_key_id": "unknown"}, "403 InvalidAccessKeyId.*Remedy: .*storage.access_key_id"),
        ({"secret_access_key": "wrong"}, "403 SignatureDoesNotMatch.*Remedy: check storage.secret_access_key"),
        ({"bucket": "not-there"}, "404 NoSuchBucket.*Remedy: make the bucket"),
        ({"bucket": "Not a bucket's name!"}, "Check storage.bucket"),
    ],
)
def test_settings_that_are_wrong(make_r2: Make, source: Path, different: dict[str, str], reason: str) -> None:
    storage = make_r2(**different)
    asks: list[Callable[[], object]] = [lambda: storage.read(KEY), lambda: list(storage.list())]
    for ask in [*both_ways(storage, source), *asks]:
        with pytest.raises(StorageFault, match=reason) as caught:
            ask()
        assert caught.value.fatal
        assert different.get("secret_access_key", "testsecret") not in str(caught.value)
        assert different.get("access_key_id", "testkey") not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["nonsense", "http://", "http://a b"])
def test_an_endpoint_that_is_none(make_r2: Make, endpoint: str) -> None:
    with pytest.raises(StorageFault, match=r"Check storage\.endpoint") as caught:
        make_r2(endpoint)
    assert caught.value.fatal


def test_a_secret_that_is_repeated_is_not_passed_on(make_r2: Make, proxy: FaultProxy, source: Path) -> None:
    proxy.set(Answer(500, xml("InternalError", "testkey with testsecret at http://user:testsecret@example")))
    with pytest.raises(StorageFault, match="InternalError: … with … at") as caught:
        put(make_r2(proxy.url.replace("//", "//user:testsecret@")), source)
    assert "testsecret" not in str(caught.value) and "testkey" not in str(caught.value)


@pytest.mark.parametrize(
    "mode", [Answer(400, xml("EntityTooLarge", "Too big")), Answer(413, PORTAL), Answer(400, xml("KeyTooLongError"))]
)
def test_faults_of_the_object(make_r2: Make, proxy: FaultProxy, source: Path, mode: Mode) -> None:
    storage = make_r2(proxy.url)
    proxy.set(mode)
    with pytest.raises(ObjectFault, match="To have it taken"):
        put(storage, source)
    with pytest.raises(ObjectFault, match="To have it taken"):
        storage.put_all([NewObject(KEY, source, "image/webp")])


def test_a_source_that_cannot_be_read(make_r2: Make, tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match=r"Is a directory\. Check the disk"):
        put(make_r2(), tmp_path)


def test_a_server_that_comes_back(object_server: ObjectServer, make_r2: Make, ladder: list[NewObject]) -> None:
    storage = make_r2()
    storage.put_all(ladder[:4])
    object_server.stop()
    try:
        with pytest.raises(StorageFault, match="nobody answers"):
            storage.put_all(ladder)
    finally:
        object_server.start()
    assert storage.put_all(ladder) == 5
    assert storage.put_all(ladder) == 0


def test_a_bucket_that_is_made_at_last(object_server: ObjectServer, make_r2: Make, source: Path) -> None:
    storage = make_r2(bucket="made-at-last")
    with pytest.raises(StorageFault, match="NoSuchBucket"):
        put(storage, source)
    object_server.make_bucket("made-at-last")
    try:
        assert put(storage, source)
    finally:
        object_server.remove_bucket("made-at-last")


# Stopping


def test_a_stop_does_not_wait_for_a_service_that_hangs(
    make_r2: Make, proxy: FaultProxy, ladder: list[NewObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = make_r2(proxy.url, read_seconds=600.0, concurrency=2)
    storage.put_all(ladder[:1])
    stop = threading.Event()
    proxy.set(BlackHole())
    monkeypatch.setattr(threads, "STOP_SECONDS", 0.5)
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    with pytest.raises(Interrupted):
        storage.put_all(ladder, stop=stop.is_set)
    timer.join()
    proxy.set(Pass())
    assert storage.put_all(ladder) == 8, "and what comes next works as ever"


def test_a_process_that_stops_does_not_wait_for_a_service_that_hangs(
    proxy: FaultProxy, object_server: ObjectServer, bucket: str, source: Path
) -> None:
    program = f"""
from dataclasses import replace
from pathlib import Path
from workers.publishing import threads
from workers.publishing.threads import Interrupted
from workers.publishing.storage import NewObject
from workers.publishing.storage.r2 import CACHE_CONTROL, R2Storage
threads.STOP_SECONDS = 0.5
storage = R2Storage(endpoint={proxy.url!r}, bucket={bucket!r}, access_key_id="testkey", secret_access_key="testsecret",
                    read_seconds=600.0)
try:
    storage.put_all([NewObject(str(n), Path({str(source)!r}), "image/webp") for n in range(9)], stop=lambda: True)
except Interrupted as error:
    print(error)
"""
    proxy.set(BlackHole())
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=HOME, capture_output=True, text=True, timeout=120, check=True
    )
    assert ended.stdout == "not everything was done 0.5 s after the stop\n"
    assert ended.stderr == ""


def test_several_are_on_their_way_at_once_but_no_more_than_wanted(
    make_r2: Make, proxy: FaultProxy, ladder: list[NewObject]
) -> None:
    proxy.set(Latency(0.2))
    storage = make_r2(proxy.url, concurrency=3)
    begun = proxy.connections
    storage.put_all(ladder)
    assert proxy.connections - begun == 3, "one connection for each, kept"


def test_time_passes_only_for_those_who_wait(make_r2: Make, proxy: FaultProxy, ladder: list[NewObject]) -> None:
    """The caller is asked for signs of life while nothing is answered."""
    proxy.set(Latency(0.5))
    asked: list[float] = []

    def stop() -> bool:
        asked.append(time.monotonic())
        return False

    make_r2(proxy.url).put_all(ladder[:2], stop=stop)
    assert len(asked) > 3


def test_a_probe_does_not_make_it_forget_what_a_failed_call_has_stored(
    make_r2: Make, proxy: FaultProxy, ladder: list[NewObject]
) -> None:
    storage = make_r2(proxy.url, concurrency=2)
    storage.put_all([NewObject("another/original.jpg", ladder[0].source, "image/webp")])
    proxy.set(Answer(500, when=lambda request: request.method == "PUT" and request.target.endswith("4.avif")))
    with pytest.raises(StorageFault, match="500"):
        storage.put_all(ladder)
    stored = len(list(make_r2().list("ab/")))
    proxy.set(Pass())
    storage.put_all(ladder[:1])
    sent(proxy)
    assert storage.put_all(ladder[1:]) == 9 - stored
    assert sent(proxy).count("PUT") == 9 - stored


def test_one_that_is_cut_is_not_taken_for_a_whole_one_that_is_small_enough(make_r2: Make) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nCache-Control: {CACHE_CONTROL}\r\n\r\n".encode()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def give_half() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(2**16)
                connection.sendall(head + bytes(50))

        giving = threading.Thread(target=give_half)
        giving.start()
        with pytest.raises(StorageFault):
            make_r2(f"http://127.0.0.1:{server.getsockname()[1]}").read(KEY, most_bytes=100)
        giving.join()
