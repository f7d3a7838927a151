"""The sandbox on real sockets: keep-alive, faults and their control door, the webhook, and the command."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread
from typing import Any

import pytest

from edge_agent.iotcall.sandbox import Fault, FaultKind, Person, Sandbox, Webhook, WebhookStyle
from tests.helpers import free_port, wait_until

KEY = "15XXXXXXXXXX28b89"
HERE = "127.0.0.1"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox("code") as made:
        yield made


def ask(port: int, method: str, path: str, content: object = None, code: str = "code") -> tuple[int, Any]:
    """Return status and JSON of one request on a connection of its own."""
    with closing(http.client.HTTPConnection(HERE, port, timeout=10)) as connection:
        body = None if content is None else json.dumps(content)
        connection.request(method, path, body, {"Authorization": code})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def call(port: int, key: str = KEY) -> tuple[int, Any]:
    return ask(port, "POST", f"/pattern/{key}/call")


def test_calls_are_recorded(sandbox: Sandbox) -> None:
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    assert call(sandbox.port)[1]["status"] == "ok"
    assert ask(sandbox.port, "POST", f"/pattern/{KEY}/call", code="wrong")[0] == 401
    good, bad = sandbox.calls
    assert before <= good.at <= bad.at
    assert (good.url_key, good.activated, bad.activated) == (KEY, True, False)
    assert (good.headers["authorization"], good.body) == ("code", b"")
    assert len(sandbox.activations) == 1


def test_connection_is_kept_and_answers_are_dated(sandbox: Sandbox) -> None:
    with closing(http.client.HTTPConnection(HERE, sandbox.port, timeout=10)) as connection:
        for _ in range(3):
            connection.request("POST", f"/pattern/{KEY}/call", headers={"Authorization": "code"})
            answer = connection.getresponse()
            assert json.loads(answer.read())["status"] == "ok"
            assert answer.getheader("Content-Type") == "application/json"
            assert answer.getheader("Date", "").endswith("GMT")
            assert connection.sock is not None


def test_down_closes_the_port_and_reopens_it(sandbox: Sandbox) -> None:
    """Also what is connected already is cut off."""
    with closing(http.client.HTTPConnection(HERE, sandbox.port, timeout=10)) as connection:
        connection.request("GET", "/_sandbox/state")
        connection.getresponse().read()
        sandbox.fault = Fault(FaultKind.DOWN)
        assert connection.sock is not None
        assert connection.sock.recv(1) == b""
    port = sandbox.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HERE, port), 1)
    sandbox.fault = None
    assert sandbox.port == port
    assert call(port)[0] == 200


def test_stop_ends_connections_that_hang(sandbox: Sandbox) -> None:
    sandbox.fault = Fault(FaultKind.HANG)
    with closing(socket.create_connection((HERE, sandbox.port), 10)) as sock:
        sock.sendall(f"POST /pattern/{KEY}/call HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: sandbox.calls)
        sandbox.stop()
        assert sock.recv(1) == b""


def test_one_rules_fault_is_its_own(sandbox: Sandbox) -> None:
    sandbox.faults["bad"] = Fault(FaultKind.HTTP_500)
    assert call(sandbox.port, "bad")[0] == 500
    assert call(sandbox.port, "good")[0] == 200
    sandbox.fault = Fault(FaultKind.HTTP_404)
    assert call(sandbox.port, "bad")[0] == 500
    assert call(sandbox.port, "good")[0] == 404


def test_faults_touch_every_endpoint(sandbox: Sandbox) -> None:
    sandbox.fault = Fault(FaultKind.REFUSED)
    status, content = ask(sandbox.port, "GET", "/pattern/callog")
    assert status == 200
    assert content["status"] != "ok"


def test_door_switches_faults(sandbox: Sandbox) -> None:
    assert ask(sandbox.port, "POST", "/_sandbox/fault", {"fault": "429", "delay": 7})[0] == 200
    assert sandbox.fault == Fault(FaultKind.HTTP_429, 7.0)
    assert ask(sandbox.port, "POST", "/_sandbox/fault", {"fault": "500", "rule": "one"})[0] == 200
    state = ask(sandbox.port, "GET", "/_sandbox/state")[1]
    assert (state["fault"], state["faults"]) == ("429=7", {"one": "500"})
    ask(sandbox.port, "POST", "/_sandbox/fault", {"fault": "none"})
    ask(sandbox.port, "POST", "/_sandbox/fault", {"fault": None, "rule": "one"})
    assert not sandbox.faults


def test_door_ends_a_fault_by_itself(sandbox: Sandbox) -> None:
    ask(sandbox.port, "POST", "/_sandbox/fault", {"fault": "500", "seconds": 0.1})
    wait_until(lambda: sandbox.fault is None)
    assert ask(sandbox.port, "POST", "/_sandbox/fault", {"fault": "down", "seconds": 0.3})[0] == 200
    wait_until(lambda: sandbox.fault is not None)
    wait_until(lambda: sandbox.fault is None)
    assert call(sandbox.port)[0] == 200


@pytest.mark.parametrize(
    "content",
    [
        {"fault": "down"},
        {"fault": "down", "seconds": 1, "rule": "x"},
        {"fault": "x"},
        {"fault": "500", "seconds": -1},
        [],
    ],
)
def test_door_refuses_nonsense(sandbox: Sandbox, content: object) -> None:
    status, answer = ask(sandbox.port, "POST", "/_sandbox/fault", content)
    assert status == 400
    assert answer["error"]
    assert not sandbox.faults


def test_door_shows_calls_and_sets_people(sandbox: Sandbox) -> None:
    call(sandbox.port)
    shown = ask(sandbox.port, "GET", "/_sandbox/calls")[1]["calls"]
    assert [(item["url_key"], item["activated"], item["fault"]) for item in shown] == [(KEY, True, None)]
    assert ask(sandbox.port, "POST", "/_sandbox/person", {"tel": "080", "does": "1", "after": 2})[0] == 200
    assert sandbox.people["080"] == Person(after_s=2.0, digit=1)
    assert ask(sandbox.port, "POST", "/_sandbox/person", {"tel": "x", "does": "1"})[0] == 400
    assert ask(sandbox.port, "GET", "/_sandbox/nothing")[0] == 404


def test_silence_where_a_request_is_too_large(sandbox: Sandbox) -> None:
    with closing(http.client.HTTPConnection(HERE, sandbox.port, timeout=10)) as connection:
        connection.request("PUT", f"/pattern/{KEY}/tel", headers={"Content-Length": "99999999"})
        assert connection.getresponse().status == 413


@pytest.mark.parametrize("style", list(WebhookStyle))
def test_webhook_tells_the_activation_id(style: WebhookStyle) -> None:
    got: list[str] = []
    told = Event()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            got.append(f"{self.command} {self.path} {body}")
            self.send_response(200)
            self.end_headers()
            told.set()

        do_GET = do_POST = answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *args: object) -> None: ...

    with HTTPServer((HERE, 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://{HERE}:{server.server_port}/hook?x=1"
        with Sandbox("code", webhook=Webhook(url, style)) as sandbox:
            call(sandbox.port)
            assert told.wait(10)
            assert sandbox.activations[0].id in got[0]
            assert got[0].startswith("GET /hook?x=1&code=" if style is WebhookStyle.GET else "POST /hook?x=1 ")
        server.shutdown()


def test_lines_are_told_with_short_keys() -> None:
    lines: list[str] = []
    with Sandbox("code", on_line=lines.append) as sandbox:
        call(sandbox.port)
        sandbox.fault = Fault(FaultKind.HTTP_500)
        call(sandbox.port)
    assert lines[0].startswith("POST /pattern/15XX…8b89/call -> 200 activation ")
    assert lines[1] == "fault 500"
    assert lines[2] == "POST /pattern/15XX…8b89/call -> (fault 500)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_serves_until_it_is_told_to_end(number: signal.Signals) -> None:
    """It says where it is and what it does, one flushed line each, and ends with exit status 0."""
    process = start("--listen", f"{HERE}:0", "--auth-code", "code", "--fault", "429=3")
    assert process.stdout is not None
    with process:
        line = process.stdout.readline()
        while "sandbox on" not in line:
            line = process.stdout.readline()
        port = int(line.rpartition(":")[2])
        assert call(port)[0] == 429
        assert "POST /pattern/15XX…8b89/call" in process.stdout.readline()
        process.send_signal(number)
        assert process.wait(5) == 0


def test_command_on_a_port_in_use(sandbox: Sandbox) -> None:
    process = start("--listen", f"{HERE}:{sandbox.port}", "--auth-code", "code")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert f"{HERE}:{sandbox.port}" in err


@pytest.mark.parametrize(
    "words",
    [
        ("--listen", "nowhere"),
        ("--listen", f"{HERE}:99999"),
        ("--fault", "bad"),
        ("--person", "080=sleeps"),
        ("--person", "x=1"),
        ("--webhook", "http://192.0.2.1/"),
    ],
)
def test_wrong_usage(words: tuple[str, ...]) -> None:
    process = start("--auth-code", "code", "--listen", f"{HERE}:{free_port()}", *words)
    err = process.communicate(timeout=20)[1]
    assert process.returncode == 2
    assert words[0] in err


def start(*words: str) -> subprocess.Popen[str]:
    program = "from edge_agent.cli.sandbox import command; command()"
    environment = os.environ | {"PYTHONUTF8": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
