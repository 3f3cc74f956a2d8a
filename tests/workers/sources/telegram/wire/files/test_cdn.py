"""Files that Telegram has moved to its content delivery network, which may give anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from telethon.crypto import rsa
from telethon.tl import types

from ipc.jobs import Job
from ipc.journal import lookup, transitions
from tests.servers.telegram import CDN_DC, OTHER_DC, Channel, TelegramServer
from tests.servers.telegram.exchange import server_key
from tests.servers.telegram.rpc import METHODS
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import large_picture, picture
from workers.sources.telegram.downloads import downloads, fetcher
from workers.sources.telegram.downloads import failures as download_failures
from workers.sources.telegram.wire.files import cdn_data_centre, data_centres
from workers.sources.telegram.wire.files.cdn import CdnBlock, CdnFile, Tampered

KEY, IV = bytes(range(32)), bytes(range(16))
KIB = 1024

# One file


def encrypted(data: bytes) -> bytes:
    """All of it in one go, the counter beginning at nought."""
    return Cipher(algorithms.AES(KEY), modes.CTR(IV[:12] + bytes(4))).encryptor().update(data)


def described(data: bytes, size: int = 128 * KIB) -> CdnFile:
    starts = range(0, len(data), size)
    blocks = [CdnBlock(at, len(data[at : at + size]), sha256(data[at : at + size]).digest()) for at in starts]
    return CdnFile(CDN_DC, b"token", KEY, IV, blocks)


@pytest.mark.parametrize(("start", "size"), [(0, 128 * KIB), (0, 512 * KIB), (256 * KIB, 128 * KIB), (384 * KIB, 1000)])
def test_any_part_of_whole_blocks_can_be_read(start: int, size: int) -> None:
    data = os.urandom(384 * KIB + 1000)
    end = start + size
    assert described(data).opened(encrypted(data)[start:end], start) == data[start:end]


@pytest.mark.parametrize("at", [0, 128 * KIB - 1, 300 * KIB])
def test_one_wrong_byte_spoils_it(at: int) -> None:
    data = os.urandom(400 * KIB)
    given = bytearray(encrypted(data))
    given[at] ^= 1
    with pytest.raises(Tampered, match=r"are not the file's"):
        described(data).opened(bytes(given), 0)


def test_what_nothing_proves_is_not_taken() -> None:
    data = os.urandom(200 * KIB)
    copy = described(data)
    with pytest.raises(Tampered, match="nothing proves its bytes at 204800"):
        copy.opened(encrypted(data + b"more"), 0)
    with pytest.raises(Tampered, match="are not the file's"):
        copy.opened(encrypted(data)[:-1], 0)
    with pytest.raises(Tampered, match="nothing proves its bytes at 65536"):
        copy.opened(encrypted(data)[64 * KIB :], 64 * KIB)
    with pytest.raises(ValueError, match="a key of 3 bytes"):
        CdnFile(CDN_DC, b"token", b"key", IV, [])


def test_which_digests_are_missing() -> None:
    copy = described(bytes(300 * KIB))
    assert copy.unproven(0, 300 * KIB) is None and copy.unproven(100, 100) is None
    assert copy.unproven(200 * KIB, 301 * KIB) == 300 * KIB
    copy.learn([CdnBlock(300 * KIB, 5, b""), CdnBlock(400 * KIB, 5, b""), CdnBlock(300 * KIB + 5, 0, b"")])
    assert copy.unproven(0, 401 * KIB) == 300 * KIB + 5


@pytest.mark.parametrize(
    ("block", "asked", "span"),
    [
        (128, (0, 64), (0, 128)),
        (128, (192, 64), (128, 128)),
        (128, (512, 512), (512, 512)),
        (256, (128, 128), (0, 256)),
        (384, (128, 128), (0, 1024)),
        (1024, (64, 64), (0, 1024)),
    ],
)
def test_what_is_asked_for_has_whole_blocks(block: int, asked: tuple[int, int], span: tuple[int, int]) -> None:
    copy = described(bytes(1024 * KIB), block * KIB)
    assert copy.span(asked[0] * KIB, asked[1] * KIB) == (span[0] * KIB, span[1] * KIB)


# The connection


@pytest.fixture
def channel(server: TelegramServer) -> Channel:
    return server.world.add_channel("News", username="newsdesk")


@pytest.fixture
def alone(
    make_alone: Callable[..., Alone], server: TelegramServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> Alone:
    """A connection that has seen the channel; what takes half a minute takes half a second."""
    for module in (data_centres, download_failures):
        monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.2)
        monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(downloads, "CHECK_SECONDS", 0.1)
    alone = make_alone(channel, public_key=server.public_key)
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("state") == "read")
    return alone


def job_of(alone: Alone, channel: Channel, message_id: int) -> Job | None:
    return lookup.known(alone.desk.journal, channel.id, message_id)


def wait_for_file(alone: Alone, channel: Channel, message_id: int, data: bytes) -> None:
    """Wait until it is fetched, byte for byte, and nothing was held against it."""

    def is_fetched() -> Job | None:
        job = job_of(alone, channel, message_id)
        return job if job is not None and job.state == "fetched" else None

    job: Job = alone.wait_for("the file", is_fetched)
    assert (job.sha256, job.attempts) == (sha256(data).hexdigest(), 0)


def wait_for_reason(alone: Alone, channel: Channel, message_id: int, reason: str) -> None:
    def is_put_off() -> bool:
        job = job_of(alone, channel, message_id)
        return job is not None and reason in (job.reason or "") and job.next_at > 0

    alone.wait_for("it to be put off", is_put_off)
    job = job_of(alone, channel, message_id)
    assert job is not None and (job.state, job.attempts) == ("seen", 0)


@pytest.mark.tree
@pytest.mark.parametrize(("is_there", "dc"), [(True, None), (False, OTHER_DC)])
def test_a_file_comes_from_the_cdn(
    alone: Alone, server: TelegramServer, channel: Channel, is_there: bool, dc: int | None
) -> None:
    trusted = set(rsa._server_keys)
    large, small = large_picture((1400, 1100)), picture()
    for data in (large, small):
        file = server.world.cdn_file(data, is_there=is_there, dc=dc)
        wait_for_file(alone, channel, channel.post_photo(file, "in great demand"), data)
    assert set(rsa._server_keys) == trusted, "the CDN's key is good for the CDN alone"
    asked = [one.name for one in server.log if one.dc_id == CDN_DC]
    assert set(asked) <= {"upload.getCdnFile", "ping"}
    assert server.requests["upload.reuploadCdnFile"] >= (0 if is_there else 2)
    assert server.requests["upload.getCdnFileHashes"] >= 1
    assert server.unexpected == []


@pytest.mark.tree
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("upload.getCdnFile", "FILE_TOKEN_INVALID"),
        ("upload.reuploadCdnFile", "FILE_TOKEN_INVALID"),
        ("upload.reuploadCdnFile", "REQUEST_TOKEN_INVALID"),
        ("upload.getCdnFileHashes", "FILE_TOKEN_INVALID"),
    ],
)
def test_a_token_that_does_not_hold_is_asked_for_anew(
    alone: Alone, server: TelegramServer, channel: Channel, name: str, error: str
) -> None:
    fault = server.faults.rpc(name, error=error, times=1)
    data = picture()
    message_id = channel.post_photo(server.world.cdn_file(data, is_there=False, digests=0), error)
    wait_for_file(alone, channel, message_id, data)
    assert fault.hits == 1 and server.requests["upload.getFile"] == 2


@pytest.mark.tree
@pytest.mark.parametrize("how", ["corrupt", "empty"])
def test_a_file_that_the_cdn_has_tampered_with_waits_alone(
    alone: Alone, server: TelegramServer, channel: Channel, how: Any
) -> None:
    connections = server.connections_total
    data, other, direct = picture(), picture(), picture()
    file = server.world.cdn_file(data)
    fault = server.faults.file(how, file_id=file.id)
    bad = channel.post_photo(file, "not what it was")
    wait_for_reason(alone, channel, bad, "Telegram's CDN (data centre 203) does not give the file")
    wait_for_file(alone, channel, channel.post_photo(server.world.cdn_file(other), "another one"), other)
    wait_for_file(alone, channel, channel.post_photo(direct, "from Telegram itself"), direct)
    fault.clear()
    wait_for_file(alone, channel, bad, data)
    assert server.connections_total == connections + 1, "the connection is the same"


@pytest.mark.tree
def test_a_cdn_that_cannot_be_reached_keeps_only_its_own_files(
    alone: Alone, server: TelegramServer, channel: Channel
) -> None:
    connections = server.connections_total
    server.close_data_centre(CDN_DC)
    data, direct = picture(), picture()
    there = channel.post_photo(server.world.cdn_file(data), "out of reach")
    alone.wait_for("/status to say so", lambda: "data centre 203 (1 picture)" in alone.report().get("fetch_error", ""))
    wait_for_file(alone, channel, channel.post_photo(direct, "from Telegram itself"), direct)
    assert alone.report()["connected"] and server.connections_total == connections
    job = job_of(alone, channel, there)
    assert job is not None and transitions.postpone(alone.desk.journal, job, 3600, "its time is far off")
    server.accept_connections()
    after = picture()
    wait_for_file(alone, channel, channel.post_photo(server.world.cdn_file(after), "within reach"), after)
    wait_for_file(alone, channel, there, data)
    alone.wait_for("/status to be well", lambda: alone.report()["fetch_error"] == "")


@pytest.mark.tree
@pytest.mark.parametrize("error", ["FLOOD_WAIT_1000", "AUTH_KEY_UNREGISTERED", "FILE_MIGRATE_4"])
def test_the_cdn_has_no_say_in_anything_else(
    alone: Alone, server: TelegramServer, channel: Channel, error: str
) -> None:
    server.faults.rpc("upload.getCdnFile", error=error)
    there = channel.post_photo(server.world.cdn_file(picture()), error)
    alone.wait_for("/status to say so", lambda: "data centre 203" in alone.report().get("fetch_error", ""))
    direct = picture()
    wait_for_file(alone, channel, channel.post_photo(direct, "from Telegram itself"), direct)
    assert alone.report()["connected"] and not alone.report()["flooded_until"]
    job = job_of(alone, channel, there)
    assert job is not None and (job.state, job.attempts) == ("seen", 0)


def test_two_of_its_data_centres_that_are_connected_to_at_once_keep_their_own_keys() -> None:
    before = set(rsa._server_keys)
    one, other = (cdn_data_centre._trusted([server_key(name).public]) for name in ("one", "another"))
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(one)
        second.enter_context(other)
        assert len(set(rsa._server_keys) - before) == 2
        first.close()
        assert len(set(rsa._server_keys) - before) == 1
    assert set(rsa._server_keys) == before


# What nobody has foreseen


@pytest.mark.tree
def test_an_answer_of_another_kind_is_one_files_matter(
    alone: Alone, server: TelegramServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = server.connections_total
    with monkeypatch.context() as patch:
        patch.setitem(METHODS, "upload.getFile", lambda call, request: types.NearestDc("XX", 2, 2))
        odd = channel.post_photo(picture(), "odd")
        wait_for_reason(alone, channel, odd, "Telegram answers NearestDc where a part of a file should be")
    direct = picture()
    wait_for_file(alone, channel, channel.post_photo(direct, "as ever"), direct)
    assert server.connections_total == connections


@pytest.mark.tree
def test_a_defect_is_one_files_matter(
    alone: Alone,
    server: TelegramServer,
    channel: Channel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    connections = server.connections_total
    real = fetcher.Fetcher._bring

    async def bring(self: Any, connection: Any, download: Any, file: Any) -> bool:
        if download.job.id == bad:
            raise AttributeError("'FileCdnRedirect' object has no attribute 'bytes'")
        return await real(self, connection, download, file)

    bad = 1  # the first job that there is
    monkeypatch.setattr(fetcher.Fetcher, "_bring", bring)
    data, other = picture(), picture()
    message_id = channel.post_photo(data, "meets a defect")
    wait_for_reason(alone, channel, message_id, "AttributeError: 'FileCdnRedirect' object has no attribute 'bytes'")
    wait_for_file(alone, channel, channel.post_photo(other, "does not"), other)
    assert "bring" in capsys.readouterr().out, "where it happened is in the log"
    bad = 0
    wait_for_file(alone, channel, message_id, data)
    assert server.connections_total == connections
