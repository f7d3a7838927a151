"""Addresses, Host names, what is local, and wrong tokens."""

import os
from typing import Any

import pytest

from edge_agent.web.address import host_of, is_loopback, split_listen
from edge_agent.web.guard import LOCAL_ADDRESS, Guard, is_local

MACHINE = os.uname().nodename


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:8790", ("127.0.0.1", 8790)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::]:8790", ("::", 8790)),
        ("[::1]:65535", ("::1", 65535)),
        ("localhost:0", ("localhost", 0)),
        (":8790", ("", 8790)),
        ("8790", None),
        ("::1:8790", None),
        ("127.0.0.1:", None),
        ("127.0.0.1:65536", None),
        ("127.0.0.1:-1", None),
        ("127.0.0.1:²", None),
    ],
)
def test_split_listen(listen: str, expected: tuple[str, int] | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="write it like"):
            split_listen(listen)
    else:
        assert split_listen(listen) == expected


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("LocalHost", "localhost"),
        ("localhost:8790", "localhost"),
        ("localhost:", "localhost"),
        ("[::1]:8790", "::1"),
        ("[0:0::1]", "::1"),
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("localhost:8790:1", None),
        ("localhost:port", None),
        ("localhost, evil", None),
        ("[::1", None),
        ("", None),
    ],
)
def test_host_of(header: str, host: str | None) -> None:
    assert host_of(header) == host


@pytest.mark.parametrize(
    ("peer", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_is_loopback(peer: str, *, loopback: bool) -> None:
    assert is_loopback(peer) is loopback


def environ(method: str = "GET", peer: str = "127.0.0.1", **more: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": method,
        "REMOTE_ADDR": peer,
        "HTTP_HOST": "localhost:8790",
        LOCAL_ADDRESS: "192.0.2.7",
        **more,
    }


@pytest.mark.parametrize("header", ["HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_VIA"])
def test_what_came_by_a_proxy_is_not_local(header: str) -> None:
    assert is_local(environ())
    assert not is_local(environ(**{header: ""}))


class Fixture:
    """A guard with a clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.token = "right"
        self.guard = Guard(["Pump.Example", "[2001:db8::1]"], lambda: self.token, lambda: self.now)

    def status(self, request: dict[str, Any]) -> int:
        refusal = self.guard.refusal(request)
        return 200 if refusal is None else refusal.status

    def post(self, token: str | None, peer: str = "192.0.2.9") -> int:
        more = {} if token is None else {"HTTP_AUTHORIZATION": f"Bearer {token}"}
        return self.status(environ("POST", peer, **more))


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("127.0.0.1:8790", True),
        ("[::1]", True),
        ("192.0.2.7:8790", True),
        (MACHINE.upper(), True),
        (f"{MACHINE}.local:8790", True),
        ("pump.example", True),
        ("[2001:DB8:0::1]:80", True),
        ("pump.example.org", False),
        ("localhost.evil.org", False),
        ("evil.org", False),
        ("127.0.0.2", False),
        ("192.0.2.70", False),
        ("", False),
    ],
)
def test_a_host_that_is_not_ours_is_refused(host: str, *, ours: bool) -> None:
    assert Fixture().status(environ(HTTP_HOST=host)) == (200 if ours else 403)


def test_no_host_is_refused() -> None:
    request = environ()
    del request["HTTP_HOST"]
    assert Fixture().status(request) == 403


@pytest.mark.parametrize(
    ("request_environ", "status"),
    [
        (environ(), 200),
        (environ("POST"), 401),
        (environ("POST", HTTP_AUTHORIZATION="Bearer right"), 200),
        (environ("POST", HTTP_AUTHORIZATION="bearer  right "), 200),
        (environ("POST", HTTP_AUTHORIZATION="Basic right"), 401),
        (environ("POST", HTTP_AUTHORIZATION="Bearer "), 401),
        (environ("POST", HTTP_AUTHORIZATION="Bearer rightly"), 401),
        (environ("POST", HTTP_AUTHORIZATION="Bearer \xe9"), 401),
        (environ(HTTP_AUTHORIZATION="Bearer wrong"), 200),
        (environ(peer="192.0.2.9"), 401),
        (environ(HTTP_X_FORWARDED_FOR="127.0.0.1"), 401),
        (environ(peer="192.0.2.9", HTTP_AUTHORIZATION="Bearer right"), 200),
    ],
)
def test_who_needs_the_token(request_environ: dict[str, Any], status: int) -> None:
    assert Fixture().status(request_environ) == status


def test_an_empty_token_opens_nothing() -> None:
    fixture = Fixture()
    fixture.token = ""
    assert fixture.post("") == fixture.post("x") == 401


def test_from_the_tenth_wrong_token_in_a_minute_the_address_waits_for_a_minute() -> None:
    """Other addresses, and who has the right token, notice nothing."""
    fixture = Fixture()
    assert [fixture.post("wrong") for _ in range(9)] == [401] * 9
    fixture.now += 59.9
    refusal = fixture.guard.refusal(environ("POST", "192.0.2.9", HTTP_AUTHORIZATION="Bearer wrong"))
    assert refusal is not None
    assert (refusal.status, dict(refusal.headers)) == (429, {"Retry-After": "60"})
    assert fixture.post("wrong", "192.0.2.10") == 401
    assert fixture.post("right") == fixture.post("right", "192.0.2.10") == 200
    fixture.now += 59.5
    assert fixture.post("wrong") == 429
    fixture.now += 0.5
    assert [fixture.post("wrong") for _ in range(10)] == [401] * 9 + [429]


def test_wrong_tokens_that_are_a_minute_old_do_not_count() -> None:
    fixture = Fixture()
    for _ in range(40):
        assert fixture.post("wrong") == 401
        fixture.now += 7


def test_a_missing_token_is_not_a_wrong_one() -> None:
    fixture = Fixture()
    assert {fixture.post(None) for _ in range(30)} == {401}


def test_addresses_are_forgotten_before_they_fill_the_memory() -> None:
    fixture = Fixture()
    for number in range(5000):
        fixture.post("wrong", f"10.0.{number // 250}.{number % 250}")
    assert len(fixture.guard._wrong._records) <= 1000  # noqa: SLF001 - what is bounded is inside
