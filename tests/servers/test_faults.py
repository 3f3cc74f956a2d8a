"""The fault proxy does to a client what it says, and passes all else on unchanged."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

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
    Reset,
    Throttle,
    without_headers,
)
from tests.servers.ports import HOST, free_port, free_ports

BODY = bytes(range(256)) * 4000


class Server(ThreadingHTTPServer):
    """Answers with the digest of what it was sent, and remembers it."""

    daemon_threads = True
    got: list[bytes]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(body)
        answer = hashlib.sha256(body).hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        return None


@pytest.fixture
def server() -> Iterator[Server]:
    with Server((HOST, 0), Handler) as server:
        server.got = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.server_address[1]) as proxy:
        yield proxy


class Client:
    """One connection, which is kept as long as it can be."""

    def __init__(self, proxy: FaultProxy, timeout: float = 10.0) -> None:
        self.connection: http.client.HTTPConnection = http.client.HTTPConnection(HOST, proxy.port, timeout=timeout)
        if proxy.ca_file:
            trust = ssl.create_default_context(cafile=str(proxy.ca_file))
            self.connection = http.client.HTTPSConnection("localhost", proxy.port, timeout=timeout, context=trust)

    def put(self, body: bytes = BODY, tea: str = "no") -> tuple[int, bytes]:
        try:
            self.connection.request("PUT", "/x", body, {"X-Tea": tea})
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except BaseException:
            self.connection.close()
            raise


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[Client]:
    client = Client(proxy)
    yield client
    client.connection.close()


FINE = (200, hashlib.sha256(BODY).hexdigest().encode())


@pytest.mark.parametrize("mode", [Pass(), Latency(0.05), Throttle(20_000_000), Answer(500, times=0), LostAnswer(0)])
def test_what_is_passed_on(server: Server, proxy: FaultProxy, client: Client, mode: Mode) -> None:
    proxy.set(mode)
    assert client.put() == FINE == client.put()
    assert server.got == [BODY, BODY]
    assert [(request.method, request.target) for request in proxy.requests] == [("PUT", "/x")] * 2
    assert proxy.requests[0].headers["content-length"] == str(len(BODY))


def test_a_connection_is_kept(proxy: FaultProxy, client: Client) -> None:
    for _ in range(3):
        client.put()
    assert proxy.connections == 1


def test_open_connections_do_not_carry_the_old_mode_on(proxy: FaultProxy, client: Client) -> None:
    client.put()
    proxy.set(Pass())
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        client.put()
    assert client.put() == FINE
    assert proxy.connections == 2


def test_refuse(proxy: FaultProxy, client: Client) -> None:
    port = proxy.port
    with proxy.during(Refuse()):
        with pytest.raises(ConnectionRefusedError):
            client.put()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((HOST, port))
    assert client.put() == FINE


@pytest.mark.parametrize("mode", [Reset(), Reset(after_bytes=10), CutUpload(after_bytes=1000)])
def test_resets(server: Server, proxy: FaultProxy, client: Client, mode: Mode) -> None:
    with proxy.during(mode), pytest.raises(ConnectionError):
        client.put()
    assert len(server.got) == (mode == Reset(after_bytes=10))
    assert client.put() == FINE


@pytest.mark.parametrize("reads", [True, False])
def test_black_hole(server: Server, proxy: FaultProxy, reads: bool) -> None:
    client = Client(proxy, timeout=0.3)
    with proxy.during(BlackHole(reads)), pytest.raises(TimeoutError):
        client.put(BODY * 20)
    assert server.got == []
    assert len(proxy.requests) == reads


def test_throttle_and_latency_take_their_time(proxy: FaultProxy, client: Client) -> None:
    """They never take less; how much more is the machine's affair."""
    proxy.set(Throttle(100_000))
    with pytest.raises(TimeoutError):
        Client(proxy, timeout=0.2).put(b"x" * 10_000_000)
    proxy.set(Latency(5))
    with pytest.raises(TimeoutError):
        Client(proxy, timeout=0.2).put(b"x")


def test_answers(server: Server, proxy: FaultProxy, client: Client) -> None:
    proxy.set(Answer(503, b"busy", headers={"Retry-After": "7"}, times=2))
    for _ in range(2):
        client.connection.request("PUT", "/x", BODY)
        answer = client.connection.getresponse()
        assert (answer.status, answer.read(), answer.headers["Retry-After"]) == (503, b"busy", "7")
    assert server.got == []
    assert client.put() == FINE == client.put()
    assert len(proxy.requests) == 4


def test_answers_to_some(server: Server, proxy: FaultProxy, client: Client) -> None:
    proxy.set(Answer(418, times=1, when=lambda request: request.headers.get("x-tea") == "yes"))
    assert [client.put(tea=word)[0] for word in ("no", "yes", "no", "yes")] == [200, 418, 200, 200]
    assert len(server.got) == 3


def test_an_answer_to_an_upload_that_waits_to_be_let_in(proxy: FaultProxy) -> None:
    proxy.set(Answer(200, b"fine"))
    with socket.create_connection((HOST, proxy.port), timeout=10) as client:
        client.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_lost_answer(server: Server, proxy: FaultProxy, client: Client) -> None:
    proxy.set(LostAnswer(times=1))
    with pytest.raises(ConnectionError):
        client.put()
    assert server.got == [BODY]
    assert client.put() == FINE


def test_an_answer_that_is_changed_on_its_way(proxy: FaultProxy, client: Client) -> None:
    proxy.set(Edited(lambda answer: answer.replace(b" 200 ", b" 202 "), times=1))
    assert client.put() == (202, FINE[1])
    client.connection.close()
    proxy.set(Edited(without_headers("content-length")))
    client.connection.request("PUT", "/x", BODY)
    with client.connection.getresponse() as answer:
        assert (answer.status, answer.read()) == FINE
        assert answer.getheader("Content-Length") is None


@pytest.mark.parametrize("resets", [False, True])
def test_a_kept_connection_that_is_cut_as_the_next_request_goes_out(
    server: Server, proxy: FaultProxy, client: Client, resets: bool
) -> None:
    proxy.set(CutKeptAlive(resets))
    for _ in range(2):
        assert client.put() == FINE
        with pytest.raises(ConnectionError):
            client.put()
        client.connection.close()
    assert server.got == [BODY] * 2
    assert len(proxy.requests) == 4


@pytest.mark.parametrize("mode", [Pass(), Answer(500, times=0)])
def test_requests_in_chunks(proxy: FaultProxy, server: Server, mode: Mode) -> None:
    proxy.set(mode)
    with socket.create_connection((HOST, proxy.port), timeout=10) as client:
        client.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")
        client.sendall(b"llo\r\n0\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert [request.target for request in proxy.requests][:1] == ["/x"]
    assert server.got == ([b""] if isinstance(mode, Pass) else [b"hello"])


def test_what_is_no_http_is_passed_on(proxy: FaultProxy) -> None:
    with socket.create_connection((HOST, proxy.port), timeout=10) as client:
        client.sendall(b"\x00\x01\x02 nonsense\r\n\r\n")
        assert b"400" in client.recv(1000)
    assert proxy.requests == []


@pytest.mark.parametrize("mode", [Pass(), Latency(0.01), LostAnswer(0)])
def test_tls(server: Server, mode: Mode) -> None:
    with FaultProxy(server.server_address[1], tls=True) as proxy:
        proxy.set(mode)
        client = Client(proxy)
        assert client.put() == FINE
        client.connection.close()
        assert proxy.url == f"https://localhost:{proxy.port}"
        stranger = http.client.HTTPSConnection("localhost", proxy.port, context=ssl.create_default_context())
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger.request("GET", "/")
        with proxy.during(Reset()), pytest.raises(OSError):
            client.put()
        folder = proxy.ca_file
    assert isinstance(folder, Path) and not folder.exists()


def test_a_server_that_is_not_there() -> None:
    with FaultProxy(free_port()) as proxy, pytest.raises(ConnectionError):
        Client(proxy).put()


def test_nothing_is_left_of_it(server: Server) -> None:
    before = threading.active_count()
    with FaultProxy(server.server_address[1]) as proxy:
        client = Client(proxy)
        client.put()
        proxy.set(BlackHole())
    client.connection.close()
    assert threading.active_count() <= before + 1  # the server's own, for the connection
    with pytest.raises(ConnectionRefusedError):
        Client(proxy).put()


def test_ports() -> None:
    ports = free_ports(20, companion=10_000)
    assert len(set(ports)) == 20
    taken = free_port()
    with socket.create_server((HOST, taken)):
        for _ in range(3):
            assert taken not in free_ports(100)
