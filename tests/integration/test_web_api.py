"""The HTTP API of a running server, over real sockets."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from edge_agent.web.server import WebServer
from tests.fake_view import FakeView

TOKEN = "the-token"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}


class Served:
    """A server on a free port, and a client."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.view = FakeView()
        self.host = host
        self.server = WebServer(self.view, host=host, port=0, token=lambda: TOKEN)
        self.server.start()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, http.client.HTTPMessage, Any]:
        connection = http.client.HTTPConnection(self.host, self.server.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named.setdefault("Content-Type", "application/json")
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, raw, named)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, response.headers, json.loads(content) if is_json and content else content

    def status(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        return self.ask(method, path, body, **headers)[0]


@pytest.fixture
def served() -> Iterator[Served]:
    running = Served()
    yield running
    running.server.stop()


def test_health(served: Served) -> None:
    assert served.ask("GET", "/healthz")[::2] == (200, {"ok": True})
    served.view.silent = ["engine", "source door"]
    status, _, body = served.ask("GET", "/healthz")
    assert status == 503
    assert body["silent"] == ["engine", "source door"]
    assert "engine, source door" in body["error"]


def test_metrics(served: Served) -> None:
    status, headers, body = served.ask("GET", "/metrics")
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'edge_agent_outbox_calls{state="waiting"} 3.0' in body


def test_status_and_alarms(served: Served) -> None:
    assert served.ask("GET", "/api/v1/status")[2] == served.view.status()
    assert served.ask("GET", "/api/v1/alarms")[2] == served.view.status()["alarms"]


def test_outbox(served: Served) -> None:
    served.view.rows = [{"id": number, "state": "placed" if number == 2 else "waiting"} for number in (1, 2, 3)]

    def ids(query: str) -> list[int]:
        return [row["id"] for row in served.ask("GET", f"/api/v1/outbox{query}")[2]]

    assert ids("") == ids("?state=&limit=") == [1, 2, 3]
    assert ids("?state=waiting") == [1, 3]
    assert ids("?state=waiting&limit=1") == [3]
    for wrong in ("state=gone", "limit=0", "limit=-1", "limit=1.5", "limit=x", "limit=%C2%B2"):
        assert served.ask("GET", f"/api/v1/outbox?{wrong}")[0] == 400, wrong


def test_events(served: Served) -> None:
    first = served.ask("GET", "/api/v1/events")[2]
    assert [event["id"] for event in first["events"]] == list(range(2000, 1900, -1))
    second = served.ask("GET", f"/api/v1/events?before={first['next']}&limit=2")[2]
    assert [event["id"] for event in second["events"]] == [1900, 1899]
    assert served.ask("GET", "/api/v1/events?before=2")[2]["next"] is None
    assert len(served.ask("GET", "/api/v1/events?limit=5000")[2]["events"]) == 1000
    assert served.status("GET", "/api/v1/events?before=last") == 400


@pytest.mark.parametrize("path", ["/api/v1/status", "/api/v1/alarms", "/api/v1/outbox", "/api/v1/events"])
def test_what_did_not_change_is_not_sent_again(served: Served, path: str) -> None:
    """The uptime alone is no change."""
    _, headers, _ = served.ask("GET", path)
    etag = headers["ETag"]
    assert etag.startswith('W/"')
    assert headers["Cache-Control"] == "no-cache"
    served.view.uptime_s += 1
    for known in (etag, etag.removeprefix("W/"), f'"other", {etag}', "*"):
        status, headers, body = served.ask("GET", path, If_None_Match=known)
        assert (status, headers["ETag"], body) == (304, etag, b"")
    assert served.status("GET", path, If_None_Match='W/"other"') == 200


def test_a_change_changes_the_etag(served: Served) -> None:
    before = served.ask("GET", "/api/v1/status")[1]["ETag"]
    served.view.points["freezer[f1]"]["value"] = -14.0
    assert served.status("GET", "/api/v1/status", If_None_Match=before) == 200


@pytest.mark.parametrize("value", [-10, 21.5, True, False, "open", "", None, "\u30c9\u30a2"])
def test_inject(served: Served, value: Any) -> None:
    assert served.ask("POST", "/api/v1/inject", {"point": "door", "value": value}, **RIGHT)[::2] == (
        200,
        {"changed": 1},
    )
    assert served.view.commands == [("door", value)]
    assert type(served.view.commands[0][1]) is type(value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"7",
        b"{}",
        b'{"point": "door"}',
        b'{"value": 1}',
        b'{"point": "door", "value": 1, "more": 1}',
        b'{"point": "door", "value": NaN}',
        b'{"point": "door", "value": Infinity}',
        b'{"point": "door", "value": -Infinity}',
        b'{"point": "door", "value": 1e999}',
        b'{"point": "door", "value": 1' + b"0" * 400 + b"}",
        b'{"point": "door", "value": 1' + b"0" * 5000 + b"}",
        b'{"point": "door", "value": [1]}',
        b'{"point": "door", "value": {}}',
        b'{"point": "door", "value": "\\ud800"}',
        b'{"point": "\\udfff", "value": 1}',
        b'{"point": "", "value": 1}',
        b'{"point": 7, "value": 1}',
        b"[" * 60000,
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_wrong_body_is_refused(served: Served, body: bytes) -> None:
    status, headers, answer = served.ask("POST", "/api/v1/inject", body, **RIGHT)
    assert status == 400
    assert list(answer) == ["error"]
    assert headers["Cache-Control"] == "no-store"
    assert served.view.commands == []


def test_call(served: Served) -> None:
    expected = {"result": "placed", "message": "ok", "id": 7}
    assert served.ask("POST", "/api/v1/call", {"rule": "pump"}, **RIGHT)[::2] == (200, expected)
    assert served.status("POST", "/api/v1/call", {"rule": None}, **RIGHT) == 400


def test_calls_that_hang_leave_workers_for_the_rest(served: Served) -> None:
    """Two calls by hand may be under way; a third is refused, and /healthz still answers."""
    entered, leave = threading.Semaphore(0), threading.Event()

    def hang(rule: str) -> dict[str, Any]:
        entered.release()
        assert rule == "pump"
        leave.wait(20)
        return {}

    served.view.call = hang  # type: ignore[method-assign]
    callers = [threading.Thread(target=served.ask, args=("POST", "/api/v1/call", {"rule": "pump"}), kwargs=RIGHT)]
    callers.append(threading.Thread(target=served.ask, args=("POST", "/api/v1/call", {"rule": "pump"}), kwargs=RIGHT))
    for caller in callers:
        caller.start()
    try:
        assert entered.acquire(timeout=10)
        assert entered.acquire(timeout=10)
        assert served.status("POST", "/api/v1/call", {"rule": "pump"}, **RIGHT) == 409
        assert served.status("GET", "/healthz") == 200
    finally:
        leave.set()
        for caller in callers:
            caller.join(10)
    assert served.status("POST", "/api/v1/call", {"rule": "pump"}, **RIGHT) == 200


def test_retry_and_cancel(served: Served) -> None:
    """The body may be left out; what the view refuses keeps its status and its words."""
    assert served.ask("POST", "/api/v1/outbox/1/retry", **RIGHT)[::2] == (200, {"changed": 1})
    assert served.ask("POST", "/api/v1/outbox/2/cancel", {}, **RIGHT)[::2] == (200, {"changed": 1})
    assert served.ask("POST", "/api/v1/outbox/2/retry", **RIGHT)[::2] == (404, {"error": "there is no call 2"})
    assert served.ask("POST", "/api/v1/outbox/1/cancel", **RIGHT)[::2] == (
        409,
        {"error": "the call was placed already"},
    )
    assert served.status("POST", "/api/v1/outbox/1/retry", {"force": True}, **RIGHT) == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/status/", 404),
        ("POST", "/api/v1/outbox/x/retry", 404),
        ("POST", "/api/v1/outbox/9999999999999999999999/retry", 404),
        ("POST", "/healthz", 405),
        ("PUT", "/api/v1/status", 405),
        ("DELETE", "/api/v1/outbox/1/retry", 405),
        ("GET", "/api/v1/inject", 405),
        ("OPTIONS", "/metrics", 405),
        ("TRACE", "/healthz", 405),
    ],
)
def test_unknown_paths_and_methods(served: Served, method: str, path: str, status: int) -> None:
    found, headers, body = served.ask(method, path, **RIGHT)
    assert (found, list(body)) == (status, ["error"])
    assert headers["Content-Type"] == "application/json"
    assert (status == 405) == ("Allow" in headers)


def test_head_answers_without_a_body(served: Served) -> None:
    """The connection stays usable: nothing follows the head."""
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=10)
    for path, host, status in (("/healthz", "localhost", 200), ("/healthz", "evil", 403), ("/no", "localhost", 404)):
        connection.request("HEAD", path, headers={"Host": host})
        response = connection.getresponse()
        assert (response.status, response.read()) == (status, b"")
    connection.close()


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
def test_other_media_types_are_refused(served: Served, media_type: str) -> None:
    body = {"point": "door", "value": 1}
    assert served.status("POST", "/api/v1/inject", body, Content_Type=media_type, **RIGHT) == 415
    assert served.status("POST", "/api/v1/inject", body, Content_Type="Application/JSON; charset=utf-8", **RIGHT) == 200


def test_headers_of_every_answer(served: Served) -> None:
    for method, path, host in (
        ("GET", "/healthz", "localhost"),
        ("GET", "/metrics", "localhost"),
        ("GET", "/api/v1/status", "localhost"),
        ("GET", "/no", "localhost"),
        ("POST", "/api/v1/inject", "localhost"),
        ("GET", "/healthz", "evil"),
        ("GET", "/" + "x" * 20000, "localhost"),
    ):
        _, headers, _ = served.ask(method, path, Host=host)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] in ("no-store", "no-cache")
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/api/v1/status", "/nothing"])
def test_a_foreign_host_is_refused_on_every_path(served: Served, path: str) -> None:
    for method in ("GET", "POST"):
        assert served.status(method, path, Host="evil.example", **RIGHT) == 403
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=10) as raw:
        raw.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.0 403 Forbidden\r\n")


def test_the_address_that_the_connection_came_in_by_is_our_host() -> None:
    """On 0.0.0.0 that is another one for each connection, as 127.0.0.3 is here."""
    served = Served("0.0.0.0")
    try:
        served.host = "127.0.0.3"
        assert served.status("GET", "/healthz") == 200
        assert served.status("GET", "/healthz", Host="127.0.0.4") == 403
    finally:
        served.server.stop()


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
def test_by_way_of_a_proxy_everything_needs_the_token(served: Served, header: str) -> None:
    for path in ("/healthz", "/metrics", "/api/v1/status", "/nothing"):
        status, headers, body = served.ask("GET", path, **{header: "127.0.0.1"})
        assert (status, list(body)) == (401, ["error"])
        assert headers["WWW-Authenticate"].startswith("Bearer")
    assert served.status("GET", "/healthz", **{header: "127.0.0.1"}, **RIGHT) == 200


def test_every_post_needs_the_token(served: Served) -> None:
    for path in ("/api/v1/inject", "/api/v1/call", "/api/v1/outbox/1/retry", "/nothing"):
        assert served.status("POST", path) == 401
        assert served.status("POST", path, Authorization="Bearer wrong") == 401
    assert served.view.commands == []


def test_the_tenth_wrong_token_blocks_its_address_only(served: Served) -> None:
    statuses = [served.status("POST", "/api/v1/call", Authorization="Bearer wrong") for _ in range(11)]
    assert statuses == [401] * 9 + [429] * 2
    assert 0 < int(served.ask("POST", "/api/v1/call", Authorization="Bearer wrong")[1]["Retry-After"]) <= 60
    assert served.status("POST", "/api/v1/outbox/1/retry", **RIGHT) == 200


def test_an_exception_is_not_shown_and_is_logged_once(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        status, _, body = served.ask("POST", "/api/v1/call", {"rule": "broken"}, **RIGHT)
        assert (status, list(body)) == (500, ["error"])
        assert "ZeroDivision" not in body["error"]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "web request failed route=/api/v1/call"
    ]
    assert served.status("GET", "/healthz") == 200


def test_reload_says_what_changed_or_every_problem(served: Served) -> None:
    assert served.status("POST", "/api/v1/reload", {}) == 401
    assert served.ask("POST", "/api/v1/reload", **RIGHT)[2] == {"changed": 1, "what": ["sources.door added"]}
    served.view.problems = ["a.toml:1: x: is wrong", "a.toml:2: y: is wrong"]
    status, _, body = served.ask("POST", "/api/v1/reload", {}, **RIGHT)
    assert (status, body) == (400, {"error": "a.toml:1: x: is wrong\na.toml:2: y: is wrong"})
    assert served.status("POST", "/api/v1/reload", {"now": True}, **RIGHT) == 400


def test_readings_since_a_cursor(served: Served) -> None:
    first = served.ask("GET", "/api/v1/readings")[2]
    assert first.keys() == {"entries", "next", "lost", "at"}
    assert served.ask("GET", f"/api/v1/readings?after={first['next']}")[2]["next"] == first["next"]
