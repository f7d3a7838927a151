"""sd_notify by hand: the datagram arrives, over a path and an abstract socket, and nothing ever raises."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.system.sdnotify import notify, watchdog_interval_s


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Play the service manager: a bound datagram socket whose address stands in NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.settimeout(5)
        if request.param == "path":
            bound.bind(str(tmp_path / "notify"))
            monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        else:
            name = f"edge-agent-test-{os.getpid()}"
            bound.bind("\0" + name)
            monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        yield bound


@pytest.mark.parametrize("message", ["READY=1", "READY=1\nSTATUS=起動しました", "WATCHDOG=1"])
def test_a_message_arrives_whole(manager: socket.socket, message: str) -> None:
    assert notify(message)
    assert manager.recv(4096).decode() == message


@pytest.mark.parametrize(
    "address", [None, "", "relative/path", "vsock:2:1234", "/nonexistent/notify", "@nobody-is-there", "/" + "x" * 300]
)
def test_without_a_manager_it_says_so_and_does_not_raise(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if address is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert notify("READY=1") is False


def test_text_that_cannot_be_encoded_does_not_raise(manager: socket.socket) -> None:
    assert manager.fileno() >= 0
    assert notify("STATUS=\udc80") is False


def test_a_manager_that_does_not_read_holds_nobody_up_for_long(manager: socket.socket) -> None:
    assert manager.fileno() >= 0
    began = time.monotonic()
    while notify("WATCHDOG=1"):
        assert time.monotonic() - began < 20, "the socket's queue never filled"
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("usec", "pid", "wanted"),
    [
        ("60000000", None, 30.0),
        ("60000000", "own", 30.0),
        ("60000000", "1", None),
        ("60000000", "", None),
        ("500000", "own", 0.25),
        (None, None, None),
        ("", None, None),
        ("0", None, None),
        ("-5", None, None),
        ("soon", None, None),
        ("\uff16\uff10", None, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_systemd_asks(
    usec: str | None, pid: str | None, wanted: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert watchdog_interval_s() == wanted
