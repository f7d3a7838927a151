"""Looking names up: bounded in time and in number, shared while young, never needed for literals."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from edge_agent.iotcall.lookup import MAX_HELPERS, Address, Resolver
from tests.helpers import wait_until

ANSWER: Address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 443))


class Names:
    """A name server that hangs until it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, _port: int, _family: int, _kind: int) -> Sequence[Address]:
        self.asked.append(host)
        if host != "fast":
            self.go_on.wait(30)
        return [ANSWER]


@pytest.fixture
def names() -> Iterator[Names]:
    made = Names()
    yield made
    made.go_on.set()


def test_answer_comes_through(names: Names) -> None:
    assert Resolver(names).addresses("fast", 443, 2.0) == [ANSWER]


def test_hanging_name_server_is_given_up(names: Names) -> None:
    started_at = time.monotonic()
    with pytest.raises(TimeoutError):
        Resolver(names).addresses("slow", 443, 0.1)
    assert time.monotonic() - started_at < 1.0


def test_young_look_up_is_shared(names: Names) -> None:
    """Twenty attempts during an outage are one helper thread, and one answer serves them all."""
    resolver = Resolver(names)
    found: list[list[Address]] = []
    threads = [threading.Thread(target=lambda: found.append(resolver.addresses("slow", 443, 10))) for _ in range(20)]
    for thread in threads:
        thread.start()
    wait_until(lambda: names.asked)
    names.go_on.set()
    for thread in threads:
        thread.join(10)
    assert found == [[ANSWER]] * 20
    assert names.asked == ["slow"]


def test_helpers_are_few(names: Names) -> None:
    resolver = Resolver(names)
    before = threading.active_count()
    for number in range(3 * MAX_HELPERS):
        with pytest.raises(TimeoutError):
            resolver.addresses(f"host{number}", 443, 0.0)
    assert threading.active_count() - before <= MAX_HELPERS
    names.go_on.set()
    wait_until(lambda: threading.active_count() <= before)
    assert resolver.addresses("later", 443, 5.0) == [ANSWER]


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_no_such_name(error: Exception) -> None:
    def fail(*_: object) -> Sequence[Address]:
        raise error

    with pytest.raises(OSError, match=r"not known|no such name"):
        Resolver(fail).addresses("nowhere", 443, 2.0)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("localhost", "127.0.0.1"),
        ("LocalHost.", "127.0.0.1"),
    ],
)
def test_literals_ask_nobody(names: Names, host: str, address: str) -> None:
    found = Resolver(names).addresses(host, 8080, 0.0)
    assert found[0][4][:2] == (address, 8080)
    assert not names.asked
