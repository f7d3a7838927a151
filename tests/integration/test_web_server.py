"""The server against clients that are slow, silent, broken or many; and its start and end."""

import contextlib
import http.client
import json
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from waitress.adjustments import Adjustments

from edge_agent.web.channel import BODY_BYTES, HEAD_BYTES, Parser, Patience
from edge_agent.web.server import WebServer
from tests.fake_view import FakeView
from tests.helpers import free_port, wait_until

HEAD = b"POST /api/v1/inject HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\n"
JSON_TYPE = b"Content-Type: application/json\r\n"
SHORT = Patience(head_s=0.4, body_s=0.8, idle_s=1.2, answer_s=1.0, drain_s=0.3)


@contextmanager
def serving(patience: Patience = Patience(), view: FakeView | None = None) -> Iterator[WebServer]:  # noqa: B008 - frozen
    server = WebServer(view or FakeView(), host="127.0.0.1", port=0, token=lambda: "t", patience=patience)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def connect(server: WebServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def health_s(server: WebServer) -> float:
    """Return how long /healthz takes on a connection of its own."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()
    return time.monotonic() - began


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """Read one answer to its end; return (status, body)."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def closes_after(connection: socket.socket, drip: Callable[[], bytes]) -> float:
    """Drip bytes until the server closes; return after how many seconds."""
    began = time.monotonic()
    connection.settimeout(0.02)
    while time.monotonic() - began < 10:
        with contextlib.suppress(TimeoutError):
            try:
                connection.sendall(drip())
                if connection.recv(4096) == b"":
                    break
            except (ConnectionResetError, BrokenPipeError):
                break
    return time.monotonic() - began


def test_defaults_are_those_promised() -> None:
    patience = Patience()
    assert (patience.head_s, patience.body_s, HEAD_BYTES, BODY_BYTES) == (10.0, 20.0, 16384, 65536)


def test_300_connections_that_say_nothing_or_drip_hold_nobody_up() -> None:
    """/healthz answers within a second, while they are there and while more come."""
    with serving() as server, contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(connect(server)) for _ in range(300)]
        for number, connection in enumerate(crowd):
            connection.sendall((b"", b"G", b"GET / HTTP/1.1\r\nX-", HEAD + b"Content-Length: 9\r\n\r\n")[number % 4])
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.01):
                for connection in crowd[2::4] + crowd[3::8]:
                    with contextlib.suppress(OSError):
                        connection.send(b"x")

        dripper = threading.Thread(target=drip)
        dripper.start()
        try:
            assert max(health_s(server) for _ in range(20)) < 1.0
        finally:
            stop.set()
            dripper.join()


def test_more_connections_than_fit_push_out_the_oldest_idle_ones() -> None:
    with serving() as server, contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(connect(server)) for _ in range(560)]
        assert health_s(server) < 1.0
        crowd[0].settimeout(5)
        assert crowd[0].recv(1) == b""
        crowd[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer(crowd[-1])[0] == 200


@pytest.mark.parametrize(
    ("begin", "drop", "low", "high"),
    [
        pytest.param(b"", b"", 0.4, 1.5, id="silent"),
        pytest.param(b"", b"x", 0.4, 1.5, id="head"),
        pytest.param(b"", b"\r\n", 0.4, 1.5, id="blank lines"),
        pytest.param(HEAD + JSON_TYPE + b"Content-Length: 5000\r\n\r\n", b"x", 0.8, 2.0, id="body"),
        pytest.param(
            HEAD + JSON_TYPE + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.8, 2.0, id="chunked body"
        ),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"", 1.2, 2.5, id="idle after an answer"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"x", 0.4, 1.5, id="next head"),
    ],
)
def test_what_does_not_come_to_an_end_is_closed(begin: bytes, drop: bytes, low: float, high: float) -> None:
    """However often a byte comes."""
    with serving(SHORT) as server, connect(server) as connection:
        connection.sendall(begin)
        assert low <= closes_after(connection, lambda: drop) < high


def test_a_client_that_does_not_read_is_closed() -> None:
    view = FakeView()
    view.rows = [{"id": number, "state": "waiting", "last_error": "x" * 1000} for number in range(20_000)]
    with serving(SHORT, view) as server, connect(server) as connection:
        connection.sendall(b"GET /api/v1/outbox HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1) == b"H"
        assert health_s(server) < 1.0
        time.sleep(2)  # it is the not reading that is tested
        with pytest.raises((ConnectionResetError, http.client.IncompleteRead, AssertionError)):
            assert len(b"".join(iter(lambda: connection.recv(1 << 20), b""))) > 20_000_000


def test_a_head_that_is_too_large() -> None:
    with serving() as server:
        for padding, expected in ((HEAD_BYTES - 100, 200), (HEAD_BYTES, 431), (3_000_000, 431)):
            with connect(server) as connection:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * padding + b"\r\n\r\n")
                status, body = answer(connection)
                assert status == expected, padding
                assert list(json.loads(body)) == [("ok" if expected == 200 else "error")]


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000], ids=["length", "chunks of 1", "chunks of 1000", "one chunk"])
def test_a_body_that_is_too_large(size: int) -> None:
    """64 KB are taken; a client that sends more can finish sending, and reads 413."""
    value = BODY_BYTES - len(b'{"point":"p","value":""}')
    with serving() as server:
        for extra, expected in ((0, 200), (1, 413), (500_000, 413)):
            body = b'{"point":"p","value":"' + b"v" * (value + extra) + b'"}'
            framing = b"Transfer-Encoding: chunked" if size else b"Content-Length: %d" % len(body)
            with connect(server) as connection:
                connection.sendall(HEAD + JSON_TYPE + framing + b"\r\n\r\n")
                connection.sendall(chunked(body, size) if size else body)
                assert answer(connection)[0] == expected, extra


def test_expect_continue() -> None:
    """A body that is too large is refused before it is sent; another is asked for."""
    with serving() as server:
        for length, expected in ((30, b"HTTP/1.1 100 "), (70_000, b"HTTP/1.1 413 ")):
            with connect(server) as connection:
                connection.sendall(HEAD + JSON_TYPE + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % length)
                assert connection.recv(1000).startswith(expected)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\n\r\n\r\n", 400),
        (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 403),
        (b"GET /%ff%fe%0d%0aX HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ],
)
def test_garbage_gets_an_error_in_json(raw: bytes, expected: int, caplog: pytest.LogCaptureFixture) -> None:
    with serving() as server:
        with connect(server) as connection:
            connection.sendall(raw)
            status, body = answer(connection)
            assert (status, list(json.loads(body))) == (expected, ["error"])
        assert health_s(server) < 1.0
    assert caplog.records == []


def test_a_request_that_cannot_be_read_still_has_a_path() -> None:
    """waitress names it in its log when such a client has hung up, and failed itself where there was none."""
    parser = Parser(Adjustments())
    parser.received(b"nonsense\r\n\r\n")
    assert (parser.error.code, parser.path) == (400, "")


def test_clients_that_hang_up_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """Neither before nor while they are answered, nor by a reset."""
    with serving() as server:
        for number in range(300):
            with connect(server) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", number % 2, 0))
                connection.sendall(
                    (b"nonsense\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")[number % 3 % 2]
                )
                connection.shutdown(socket.SHUT_WR)
        assert health_s(server) < 1.0
    assert caplog.records == []


def test_requests_sent_in_one_go_are_answered_in_order() -> None:
    with serving() as server, connect(server) as connection:
        connection.sendall(
            b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in (b"/healthz", b"/no"))
        )
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        raw = b"".join(iter(lambda: connection.recv(65536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", raw) == [b"200", b"404", b"200"]


def test_a_port_in_use_is_an_oserror_and_can_be_tried_again() -> None:
    with serving() as first:
        second = WebServer(FakeView(), host="127.0.0.1", port=first.port, token=lambda: "t")
        with pytest.raises(OSError, match="in use"):
            second.start()
        second.stop()
        first.stop()
        second.start()
        assert health_s(second) < 1.0
        second.stop()


def test_the_end_is_quick_and_complete(caplog: pytest.LogCaptureFixture) -> None:
    """Also while a request hangs; the port is free, the threads are gone, and stopping twice does no harm."""
    view, entered, leave = FakeView(), threading.Event(), threading.Event()

    def hang() -> list[str]:
        entered.set()
        leave.wait(20)
        return []

    with serving(view=view) as server, connect(server) as idle, connect(server) as busy:
        threads = threading.active_count()
        view.unhealthy = hang  # type: ignore[method-assign]
        busy.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert entered.wait(10)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 1.0
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(server)
        leave.set()
        wait_until(lambda: threading.active_count() <= threads - 5)
        server.stop()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_localhost_and_all_addresses_can_be_listened_on() -> None:
    for host, reach in (("localhost", "127.0.0.1"), ("", "127.0.0.1"), ("0.0.0.0", "127.0.0.2")):
        port = free_port()
        server = WebServer(FakeView(), host=host, port=port, token=lambda: "t")
        server.start()
        with socket.create_connection((reach, port), timeout=10) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answer(connection)[0] == 200
        server.stop()


def test_ipv6_peers_on_this_machine_are_local() -> None:
    """Also an IPv4 peer, that [::] shows in IPv6 clothes."""
    server = WebServer(FakeView(), host="::", port=0, token=lambda: "t")
    try:
        server.start()
    except OSError as error:
        pytest.skip(f"needs IPv6, which this machine does not have ({error})")
    try:
        for reach, host in (("::1", b"[::1]"), ("127.0.0.1", b"127.0.0.1"), ("127.0.0.5", b"127.0.0.5:8790")):
            with socket.create_connection((reach, server.port), timeout=10) as connection:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n" % host)
                assert answer(connection)[0] == 200
    finally:
        server.stop()


def test_metrics_are_imported_by_the_first_scrape_only() -> None:
    """Start-up and memory count on a small board."""
    code = "import sys, edge_agent.web.server; print([m for m in sys.modules if m.startswith('prometheus')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
