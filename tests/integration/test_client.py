"""The client against real sockets: every way in which an attempt can end, and what it never does."""

import contextlib
import gzip
import logging
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from edge_agent.iotcall.client import Client
from edge_agent.iotcall.lookup import Address
from edge_agent.iotcall.outcome import Outcome, Result
from edge_agent.iotcall.sandbox import Fault, FaultKind, Sandbox
from edge_agent.iotcall.settings import IotcallSettings
from tests.helpers import free_port, need, wait_until

KEY = "15XXXXXXXXXX28b89"
CODE = "MFhjT0s2ODIDWA=="
OK = b'{"status": "ok", "message": "done"}'

Serve = Callable[[socket.socket], None]


class RawServer:
    """A server that does with each connection what the test says, and keeps what it was sent."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.accepted = 0
        self.requests: list[bytes] = []
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                self.accepted += 1
                self._open.append(sock)
                threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._serve(sock)
            sock.close()

    def read(self, sock: socket.socket) -> bytes:
        """Return one request's head."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = sock.recv(4096)
            if not part:
                raise ConnectionResetError
            data += part
        self.requests.append(data)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
                sock.close()


def answering(data: bytes, then: Serve | None = None) -> RawServer:
    """Return a server that reads a request, sends `data`, does `then`, and closes."""

    def serve(sock: socket.socket) -> None:
        server.read(sock)
        sock.sendall(data)
        if then is not None:
            then(sock)

    server = RawServer(serve)
    return server


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def hang(sock: socket.socket) -> None:
    sock.recv(1)


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def client(url: str, timeout_s: float = 10.0, **others: Any) -> Client:
    getaddrinfo = others.pop("getaddrinfo", None)
    settings = IotcallSettings.model_validate({"base_url": url, "timeout": timeout_s, **others})
    return Client(settings, lambda: CODE, getaddrinfo)


def trigger(url: str, timeout_s: float = 10.0, **others: Any) -> Outcome:
    return client(url, timeout_s, **others).trigger(KEY)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(CODE) as made:
        yield made


def test_the_request_is_exactly_this() -> None:
    """POST, the AuthCode as it is, Content-Length: 0, no Content-Type, no body."""
    with answering(http(OK)) as server:
        assert trigger(f"{server.url}/").result is Result.PLACED
    line, *headers = server.requests[0].decode().split("\r\n")
    assert line == f"POST /pattern/{KEY}/call HTTP/1.1"
    named = {name.lower(): value for name, _, value in (header.partition(": ") for header in headers if header)}
    assert named.pop("user-agent").startswith("edge-agent/")
    assert named == {
        "host": f"127.0.0.1:{server.port}",
        "authorization": CODE,
        "content-length": "0",
        "accept": "application/json",
        "accept-encoding": "identity",
    }
    assert server.requests[0].endswith(b"\r\n\r\n")


def test_base_url_may_have_a_path() -> None:
    with answering(http(OK)) as server:
        trigger(f"{server.url}/api/v2/")
    assert server.requests[0].startswith(f"POST /api/v2/pattern/{KEY}/call ".encode())


FAULTS = [
    (Fault(FaultKind.RESET), Result.AMBIGUOUS, False),
    (Fault(FaultKind.LOST), Result.AMBIGUOUS, True),
    (Fault(FaultKind.TORN), Result.AMBIGUOUS, True),
    (Fault(FaultKind.HANG), Result.AMBIGUOUS, False),
    (Fault(FaultKind.SLOW, 30), Result.AMBIGUOUS, True),
    (Fault(FaultKind.SLOW, 0.01), Result.PLACED, True),
    (Fault(FaultKind.DRIP, 0.05), Result.AMBIGUOUS, True),
    (Fault(FaultKind.REFUSED), Result.REFUSED, False),
    (Fault(FaultKind.EMPTY), Result.NOT_IOTCALL, False),
    (Fault(FaultKind.GARBAGE), Result.NOT_IOTCALL, False),
    (Fault(FaultKind.HUGE), Result.NOT_IOTCALL, False),
    (Fault(FaultKind.BOMB), Result.NOT_IOTCALL, False),
    (Fault(FaultKind.PORTAL), Result.NOT_IOTCALL, False),
    (Fault(FaultKind.REDIRECT), Result.NOT_IOTCALL, False),
    (Fault(FaultKind.HTTP_400), Result.RULE, False),
    (Fault(FaultKind.HTTP_401), Result.AUTH, False),
    (Fault(FaultKind.HTTP_403), Result.AUTH, False),
    (Fault(FaultKind.HTTP_404), Result.RULE, False),
    (Fault(FaultKind.HTTP_407), Result.NOT_IOTCALL, False),
    (Fault(FaultKind.HTTP_408), Result.BUSY, False),
    (Fault(FaultKind.HTTP_425), Result.BUSY, False),
    (Fault(FaultKind.HTTP_429), Result.BUSY, False),
    (Fault(FaultKind.HTTP_500), Result.BUSY, False),
    (Fault(FaultKind.HTTP_502), Result.BUSY, False),
    (Fault(FaultKind.HTTP_503), Result.BUSY, False),
]


@pytest.mark.parametrize(("fault", "result", "activated"), FAULTS, ids=str)
def test_each_fault_of_the_sandbox(sandbox: Sandbox, fault: Fault, result: Result, activated: bool) -> None:  # noqa: FBT001 - a table's column
    """One request each, judged as the contract says, within the attempt's deadline; then all is well again."""
    made = client(sandbox.url, 1.0)
    assert made.trigger(KEY).result is Result.PLACED
    sandbox.fault = fault
    started_at = time.monotonic()
    outcome = made.trigger(KEY)
    assert time.monotonic() - started_at < 1.5
    assert outcome.result is result, outcome
    assert [call.activated for call in sandbox.calls] == [True, activated]
    assert CODE not in outcome.message
    assert KEY not in outcome.message
    if fault.kind is FaultKind.HTTP_429:
        assert outcome.retry_after_s == 5.0
    sandbox.fault = None
    assert made.trigger(KEY).result is Result.PLACED


def test_down_is_offline_and_comes_back(sandbox: Sandbox) -> None:
    made = client(sandbox.url)
    assert made.trigger(KEY).result is Result.PLACED
    sandbox.fault = Fault(FaultKind.DOWN)
    for _ in range(2):
        assert made.trigger(KEY).result is Result.OFFLINE
    assert made.probe() is False
    sandbox.fault = None
    assert made.probe() is True
    assert made.trigger(KEY).result is Result.PLACED
    assert len(sandbox.calls) == 2


def test_reset_before_anything_was_read_is_no_success(sandbox: Sandbox) -> None:
    sandbox.fault = Fault(FaultKind.RESET_EARLY)
    assert trigger(sandbox.url).result in (Result.OFFLINE, Result.AMBIGUOUS)
    assert not sandbox.calls


def test_wrong_code_and_unknown_rule(sandbox: Sandbox) -> None:
    sandbox.service.keys = {"other"}
    assert trigger(sandbox.url).result is Result.RULE
    sandbox.service.auth_code = "another"
    outcome = trigger(sandbox.url)
    assert outcome.result is Result.AUTH
    assert "認証に失敗しました。" in outcome.message


@pytest.mark.parametrize(
    ("data", "then", "result"),
    [
        (b"", None, Result.AMBIGUOUS),
        (b"", reset, Result.AMBIGUOUS),
        (b"", hang, Result.AMBIGUOUS),
        (b"H", None, Result.AMBIGUOUS),
        (b"HTTP/1.1 20", None, Result.AMBIGUOUS),
        (b"HTTP/1.1 200 OK", reset, Result.AMBIGUOUS),
        (b"HTTP/1.1 200 OK\r\n", None, Result.AMBIGUOUS),
        (b"HTTP/1.1 200 OK\r\nContent-Le", None, Result.AMBIGUOUS),
        (b"HTTP/1.1 401 No\r\nContent-Length: 5\r\n", None, Result.AMBIGUOUS),
        (b"HTTP/1.1 100 Continue\r\n\r\n", None, Result.AMBIGUOUS),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + OK, None, Result.AMBIGUOUS),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + OK, reset, Result.AMBIGUOUS),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + OK, hang, Result.AMBIGUOUS),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n", None, Result.AMBIGUOUS),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n23\r\n" + OK + b"\r\n", None, Result.AMBIGUOUS),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n23\r\n" + OK + b"\r\n0\r\n\r\n", None, Result.PLACED),
        (b"HTTP/1.0 200 OK\r\n\r\n" + OK, None, Result.PLACED),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + http(OK), None, Result.PLACED),
        (b"SSH-2.0-OpenSSH_9.2\r\n", hang, Result.NOT_IOTCALL),
        (b"garbage without an end of line", hang, Result.NOT_IOTCALL),
        (b"\x16\x03\x01\x00\x05", None, Result.NOT_IOTCALL),
        (b"HTTP/1.1 OK 200\r\n\r\n", None, Result.NOT_IOTCALL),
        (b"HTTP/2 200 OK\r\n\r\n", None, Result.NOT_IOTCALL),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", None, Result.NOT_IOTCALL),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", None, Result.NOT_IOTCALL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nx", None, Result.NOT_IOTCALL),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 40\r\n\r\n" + OK, None, Result.BUSY),
        (b"HTTP/1.1 404 No\r\nContent-Length: 40\r\n\r\n" + OK, reset, Result.RULE),
        (b"HTTP/1.1 403 No\r\nContent-Length: 40\r\n\r\n", hang, Result.AUTH),
        (http(gzip.compress(OK), "200 OK", "Content-Encoding: gzip"), None, Result.PLACED),
        (http(gzip.compress(OK)[:-9], "200 OK", "Content-Encoding: gzip"), None, Result.NOT_IOTCALL),
    ],
)
def test_endings(data: bytes, then: Serve | None, result: Result) -> None:
    """Before the complete answer it is ambiguous; a complete one that makes no sense is not IoTCall's."""
    with answering(data, then) as server:
        outcome = trigger(server.url, 0.5)
        assert outcome.result is result, outcome
        assert server.accepted == 1


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX-Drip: ", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"]
)
def test_dripping_is_cut_at_the_deadline(head: bytes) -> None:
    """A byte now and then never lengthens an attempt: neither in the status line, nor in a header, nor in the body."""

    def drip(sock: socket.socket) -> None:
        server.read(sock)
        sock.sendall(head)
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 400:
            sock.sendall(bytes([byte]))
            if ended.wait(0.05):
                return

    ended = threading.Event()
    with RawServer(drip) as server:
        started_at = time.monotonic()
        assert trigger(server.url, 1.0).result is Result.AMBIGUOUS
        assert 0.9 < time.monotonic() - started_at < 1.4
        ended.set()


def test_endless_body_is_capped() -> None:
    def pour(sock: socket.socket) -> None:
        server.read(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(b"x" * 65536)

    with RawServer(pour) as server:
        started_at = time.monotonic()
        assert trigger(server.url).result is Result.NOT_IOTCALL
        assert time.monotonic() - started_at < 2.0


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
def test_redirects_are_not_followed(status: str) -> None:
    """The place that it leads to hears nothing, least of all the AuthCode; a huge body behind it is not read either."""
    with answering(http(OK)) as elsewhere:
        head = f"HTTP/1.1 {status}\r\nLocation: http://localhost:{elsewhere.port}/login\r\n\r\n".encode()
        with answering(head + b"x" * 300_000) as server:
            outcome = trigger(server.url)
        assert outcome.result is Result.NOT_IOTCALL
        assert "localhost" in outcome.message
        assert elsewhere.accepted == 0


def test_redirect_with_a_broken_location() -> None:
    for location in ("http://[::1", "\xff\xfe", "//", "http://a:b/"):
        with answering(
            f"HTTP/1.1 302 F\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
        ) as server:
            assert trigger(server.url).result is Result.NOT_IOTCALL


def test_environment_has_no_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sandbox: Sandbox) -> None:
    """Neither .netrc nor proxy variables touch the request."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    with RawServer(reset) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert trigger(sandbox.url).result is Result.PLACED
        assert proxy.accepted == 0
    assert sandbox.calls[0].headers["authorization"] == CODE


@pytest.mark.filterwarnings("error")
def test_cookies_are_not_kept() -> None:
    def serve(sock: socket.socket) -> None:
        while True:
            server.read(sock)
            sock.sendall(http(OK, "200 OK", "Set-Cookie: portal=1; Path=/", "Set-Cookie: a=b; version"))

    with RawServer(serve) as server:
        made = client(server.url)
        made.trigger(KEY)
        made.trigger(KEY)
        assert len(server.requests) == 2
        assert b"ookie" not in server.requests[1]


def test_before_send_is_called_once_and_before_the_first_byte() -> None:
    seen: list[int] = []
    with answering(http(OK)) as server:
        made = client(server.url)
        assert made.trigger(KEY, lambda: seen.append(len(server.requests))).result is Result.PLACED
        assert seen == [0]
        assert server.accepted == 1


def test_before_send_is_not_called_where_nothing_connects() -> None:
    def fail() -> None:
        pytest.fail("called")

    assert client(f"http://127.0.0.1:{free_port()}").trigger(KEY, fail).result is Result.OFFLINE


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left"), ConnectionResetError(), TimeoutError(), ValueError("x")]
)
def test_before_send_that_raises_stops_the_request(sandbox: Sandbox, error: Exception) -> None:
    """Its own error comes out, whatever it is, and nothing is sent; the next attempt is not the worse for it."""

    def fail() -> None:
        raise error

    made = client(sandbox.url)
    made.trigger(KEY)
    with pytest.raises(type(error)) as caught:
        made.trigger(KEY, fail)
    assert caught.value is error
    assert len(sandbox.calls) == 1
    assert made.trigger(KEY).result is Result.PLACED
    assert len(sandbox.calls) == 2


def test_auth_code_is_asked_each_time(sandbox: Sandbox) -> None:
    codes = iter(["first", "second"])
    made = Client(IotcallSettings(base_url=sandbox.url), lambda: next(codes))
    sandbox.service.auth_code = "second"
    assert made.trigger(KEY).result is Result.AUTH
    assert made.trigger(KEY).result is Result.PLACED


@pytest.mark.parametrize("code", ["", "a b", "a\nb", "a\r\nX-Evil: 1", "a\tb"])
def test_auth_code_that_no_header_carries(sandbox: Sandbox, code: str) -> None:
    outcome = Client(IotcallSettings(base_url=sandbox.url), lambda: code).trigger(KEY)
    assert outcome.result is Result.AUTH
    assert not code or code not in outcome.message
    assert not sandbox.calls


def test_connection_is_kept() -> None:
    def serve(sock: socket.socket) -> None:
        while True:
            server.read(sock)
            sock.sendall(http(OK))

    with RawServer(serve) as server:
        made = client(server.url)
        assert [made.trigger(KEY).result for _ in range(3)] == [Result.PLACED] * 3
        assert server.accepted == 1


def test_kept_connection_that_was_closed_is_not_used() -> None:
    """A server that closes after its answer, or while idle, makes no attempt ambiguous."""
    closed = threading.Semaphore(0)

    def serve(sock: socket.socket) -> None:
        server.read(sock)
        sock.sendall(http(OK, "200 OK", "Connection: keep-alive"))
        sock.close()
        closed.release()

    with RawServer(serve) as server:
        made = client(server.url)
        for _ in range(5):
            assert made.trigger(KEY).result is Result.PLACED
            assert closed.acquire(timeout=5)
        assert server.accepted == 5


def test_kept_connection_is_not_used_after_idling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs up on the next request of an idle connection is never asked on it."""
    monkeypatch.setattr("edge_agent.iotcall.line.REUSE_S", 0.0)

    def serve(sock: socket.socket) -> None:
        server.read(sock)
        sock.sendall(http(OK))
        sock.recv(1)

    with RawServer(serve) as server:
        made = client(server.url)
        for _ in range(3):
            assert made.trigger(KEY).result is Result.PLACED


def test_dead_name_server_is_offline_within_4_s_and_sends_nothing_later(sandbox: Sandbox) -> None:
    """The look-up that comes back too late leads to no connection."""
    go_on = threading.Event()
    ended = threading.Event()

    def hanging(*_: object) -> Sequence[Address]:
        go_on.wait(30)
        ended.set()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", sandbox.port))]

    made = client(f"https://iotcall.test:{sandbox.port}", 10.0, getaddrinfo=hanging)
    started_at = time.monotonic()
    outcome = made.trigger(KEY, lambda: pytest.fail("called"))
    assert outcome.result is Result.OFFLINE
    assert "name server" in outcome.message
    assert 3.5 < time.monotonic() - started_at < 5.0
    before = threading.active_count()
    go_on.set()
    assert ended.wait(5)
    wait_until(lambda: threading.active_count() < before)
    assert not sandbox.calls


def test_unknown_name_is_offline() -> None:
    def unknown(*_: object) -> Sequence[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    outcome = trigger("https://iotcall.test", getaddrinfo=unknown)
    assert outcome.result is Result.OFFLINE
    assert "not known" in outcome.message


def test_dead_addresses_share_the_connection_budget(sandbox: Sandbox) -> None:
    """A first address that never answers leaves time for the next."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)  # its queue is filled: further SYNs go unanswered
    waiting = [socket.socket() for _ in range(3)]
    for sock in waiting:
        sock.setblocking(False)
        sock.connect_ex(full.getsockname())
    addresses: list[Address] = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", full.getsockname()),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", sandbox.port)),
    ]
    made = client("https://iotcall.test", 10.0, getaddrinfo=lambda *_: addresses)
    started_at = time.monotonic()
    assert made.probe() is True
    assert 1.5 < time.monotonic() - started_at < 3.5
    lone = client("https://iotcall.test", 10.0, getaddrinfo=lambda *_: addresses[:1])
    started_at = time.monotonic()
    assert lone.trigger(KEY).result is Result.OFFLINE
    assert 3.5 < time.monotonic() - started_at < 4.5
    for sock in (*waiting, full):
        sock.close()


def test_probe_sends_nothing() -> None:
    got: list[bytes] = []
    with RawServer(lambda sock: got.append(sock.recv(10))) as server:
        assert client(server.url).probe() is True
        wait_until(lambda: got)
    assert got == [b""]


def test_nothing_of_the_request_is_logged(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """urllib3 logs URLs; a URL holds the whole URL key."""
    caplog.set_level(logging.DEBUG)
    trigger(sandbox.url)
    with answering(b"HTTP/1.1 200 OK\r\n: broken\r\nno colon\r\n\r\n") as server:
        trigger(server.url)
    assert KEY not in caplog.text
    assert CODE not in caplog.text


def test_threads_have_their_own_connections(sandbox: Sandbox) -> None:
    made = client(sandbox.url)
    results: list[Result] = []
    threads = [threading.Thread(target=lambda: results.append(made.trigger(KEY).result)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == [Result.PLACED] * 16
    assert len(sandbox.calls) == 16


# TLS


class Authority:
    """A certificate authority of our own, by openssl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self._openssl = need("openssl")
        (folder / "ca.cnf").write_text(_CA_CONFIGURATION.format(folder=folder))
        (folder / "index.txt").touch()
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "30")

    def context(self, name: str, start: str, end: str) -> ssl.SSLContext:
        """Return a server's context with a certificate for localhost and 127.0.0.1, valid from start to end."""
        self._run("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self._run("ca", "-batch", "-in", f"{name}.csr", "-out", f"{name}.pem", "-startdate", start, "-enddate", end)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context

    def _run(self, *words: str) -> None:
        subject = ("-subj", "/CN=localhost") if words[0] == "req" else ()
        command = [self._openssl, *words, *subject, "-config", "ca.cnf"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, timeout=60)


_CA_CONFIGURATION = """
[req]
distinguished_name = dn
x509_extensions = ca_extensions
[dn]
[ca_extensions]
basicConstraints = critical, CA:true
keyUsage = keyCertSign
[ca]
default_ca = ours
[ours]
new_certs_dir = {folder}
database = {folder}/index.txt
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
rand_serial = yes
unique_subject = no
default_md = sha256
policy = policy
x509_extensions = extensions
[policy]
commonName = supplied
[extensions]
subjectAltName = DNS:localhost, DNS:iotcall.test, IP:127.0.0.1
"""

GOOD = ("20200101000000Z", "20991231000000Z")
EXPIRED = ("20200101000000Z", "20210101000000Z")
FUTURE = ("20980101000000Z", "20991231000000Z")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def good(authority: Authority) -> ssl.SSLContext:
    return authority.context("good", *GOOD)


def test_tls_with_our_own_authority(authority: Authority, good: ssl.SSLContext) -> None:
    with Sandbox(CODE, ssl_context=good) as sandbox:
        made = client(sandbox.url, ca_file=str(authority.certificate))
        assert [made.trigger(KEY).result for _ in range(3)] == [Result.PLACED] * 3
        named = client(f"https://localhost:{sandbox.port}", ca_file=str(authority.certificate))
        assert named.trigger(KEY).result is Result.PLACED


def test_tls_faults_are_told_as_without_tls(authority: Authority, good: ssl.SSLContext) -> None:
    with Sandbox(CODE, ssl_context=good) as sandbox:
        made = client(sandbox.url, 1.0, ca_file=str(authority.certificate))
        for fault, result in (
            ("lost", "ambiguous"),
            ("drip=0.05", "ambiguous"),
            ("torn", "ambiguous"),
            ("302", "not_iotcall"),
        ):
            sandbox.fault = Fault.parse(fault)
            started_at = time.monotonic()
            assert made.trigger(KEY).result == result
            assert time.monotonic() - started_at < 1.5


@pytest.mark.parametrize("dates", [EXPIRED, FUTURE])
def test_certificate_of_another_time_points_at_the_clock(authority: Authority, dates: tuple[str, str]) -> None:
    with Sandbox(CODE, ssl_context=authority.context("dated", *dates)) as sandbox:
        outcome = client(sandbox.url, ca_file=str(authority.certificate)).trigger(KEY, lambda: pytest.fail("called"))
    assert outcome.result is Result.OFFLINE
    assert outcome.clock_suspect
    assert "clock" in outcome.message


def test_foreign_authority_is_refused(good: ssl.SSLContext) -> None:
    with Sandbox(CODE, ssl_context=good) as sandbox:
        outcome = client(sandbox.url).trigger(KEY, lambda: pytest.fail("called"))
        assert outcome.result is Result.OFFLINE
        assert not outcome.clock_suspect
        assert "TLS" in outcome.message
        assert not sandbox.calls


def test_certificate_for_another_name_is_refused(authority: Authority, good: ssl.SSLContext) -> None:
    def resolve(*_: object) -> Sequence[Address]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", served.port))]

    with Sandbox(CODE, ssl_context=good) as served:
        ca_file = str(authority.certificate)
        outcome = trigger(f"https://other.test:{served.port}", ca_file=ca_file, getaddrinfo=resolve)
        assert outcome.result is Result.OFFLINE
        outcome = trigger(f"https://iotcall.test:{served.port}", ca_file=ca_file, getaddrinfo=resolve)
        assert outcome.result is Result.PLACED


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(authority: Authority) -> None:
    context = authority.context("old", *GOOD)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with Sandbox(CODE, ssl_context=context) as sandbox:
        assert trigger(sandbox.url, ca_file=str(authority.certificate)).result is Result.OFFLINE


@pytest.mark.parametrize("then", [hang, None, reset])
def test_no_tls_at_the_other_end(then: Serve | None) -> None:
    """A handshake that stalls is cut at the deadline; before the request nothing is ambiguous."""

    def serve(sock: socket.socket) -> None:
        sock.recv(4096)
        if then is hang:
            ended.wait(5)
        elif then is not None:
            then(sock)

    ended = threading.Event()
    with RawServer(serve) as server:
        started_at = time.monotonic()
        outcome = client(f"https://127.0.0.1:{server.port}", 1.0).trigger(KEY, lambda: pytest.fail("called"))
        assert outcome.result is Result.OFFLINE
        assert time.monotonic() - started_at < 1.5
        ended.set()


def test_handshake_that_drips_is_cut() -> None:
    def serve(sock: socket.socket) -> None:
        for byte in b"\x16\x03\x03\x40\x00" + b"\x02" * 400:
            sock.sendall(bytes([byte]))
            if ended.wait(0.05):
                return

    ended = threading.Event()
    with RawServer(serve) as server:
        started_at = time.monotonic()
        assert trigger(f"https://127.0.0.1:{server.port}", 1.0).result is Result.OFFLINE
        assert time.monotonic() - started_at < 1.5
        ended.set()


def test_missing_ca_file_is_no_crash(tmp_path: Path) -> None:
    outcome = trigger("https://127.0.0.1:1", ca_file=str(tmp_path / "none.pem"))
    assert outcome.result is Result.OFFLINE


# Proxies


def tunnel(sock: socket.socket, port: int) -> None:
    """Copy both ways between a proxy's client and a port."""
    with socket.create_connection(("127.0.0.1", port)) as onward:
        thread = threading.Thread(target=copy, args=(onward, sock), daemon=True)
        thread.start()
        copy(sock, onward)


def copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(4096):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_https_goes_through_the_proxys_tunnel(authority: Authority, good: ssl.SSLContext) -> None:
    """CONNECT says where to; the AuthCode passes only inside TLS. The service's name is the proxy's business."""

    def serve(sock: socket.socket) -> None:
        proxy.read(sock)
        sock.sendall(b"HTTP/1.1 200 Connection established\r\nX-Proxy: 1\r\n\r\n")
        tunnel(sock, served.port)

    def no_name(*_: object) -> Sequence[Address]:
        pytest.fail("looked a name up")

    with Sandbox(CODE, ssl_context=good) as served, RawServer(serve) as proxy:
        ca_file = str(authority.certificate)
        made = client("https://iotcall.test", 5.0, ca_file=ca_file, proxy=proxy.url, getaddrinfo=no_name)
        sent: list[int] = []
        assert made.probe() is True
        for _ in range(2):
            assert made.trigger(KEY, lambda: sent.append(1)).result is Result.PLACED
        assert len(sent) == 2
        assert len(proxy.requests) == 1
        assert proxy.requests[0].startswith(b"CONNECT iotcall.test:443 ")
        assert CODE.encode() not in proxy.requests[0]


@pytest.mark.parametrize(
    ("answer", "then", "result"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", None, Result.NOT_IOTCALL),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", None, Result.OFFLINE),
        (b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n", None, Result.OFFLINE),
        (b"HTTP/1.1 200", None, Result.OFFLINE),
        (b"garbage", None, Result.OFFLINE),
        (b"", None, Result.OFFLINE),
        (b"", reset, Result.OFFLINE),
        (b"", hang, Result.OFFLINE),
        (b"HTTP/1.1 200 OK\r\nX: ", hang, Result.OFFLINE),
        (b"HTTP/1.1 200 OK\r\n\r\n", hang, Result.OFFLINE),
    ],
)
def test_proxy_that_makes_no_tunnel(answer: bytes, then: Serve | None, result: Result) -> None:
    def serve(sock: socket.socket) -> None:
        proxy.read(sock)
        sock.sendall(answer)
        if then is hang:
            ended.wait(5)
        elif then is not None:
            then(sock)

    ended = threading.Event()
    with RawServer(serve) as proxy:
        started_at = time.monotonic()
        made = client("https://iotcall.test", 1.0, proxy=proxy.url)
        outcome = made.trigger(KEY, lambda: pytest.fail("called"))
        assert outcome.result is result, outcome
        assert time.monotonic() - started_at < 1.5
        ended.set()


def test_proxy_that_is_down() -> None:
    made = client("https://iotcall.test", 1.0, proxy=f"http://127.0.0.1:{free_port()}")
    assert made.probe() is False
    assert made.trigger(KEY).result is Result.OFFLINE


def test_plain_http_goes_through_the_proxy_too(sandbox: Sandbox) -> None:
    """Plain http is for loopback only: a proxy that is asked for is used there as well."""

    def serve(sock: socket.socket) -> None:
        proxy.read(sock)
        sock.sendall(http(b"", "407 Proxy Authentication Required"))

    with RawServer(serve) as proxy:
        assert trigger(sandbox.url, proxy=proxy.url).result is Result.NOT_IOTCALL
        assert proxy.requests[0].startswith(f"POST {sandbox.url}/pattern/".encode())
