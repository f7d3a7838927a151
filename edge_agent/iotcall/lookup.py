"""Looking names up with a time limit: DNS has none of its own, so helper threads wait for it, few and never joined."""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Address = tuple[int, int, int, str, tuple[Any, ...]]
"""An entry of `socket.getaddrinfo`: family, type, protocol, canonical name, socket address."""
GetAddrInfo = Callable[[str, int, int, int], Sequence[Address]]
"""The first four arguments of `socket.getaddrinfo`: host, port, family, type."""

MAX_HELPERS = 8
_FRESH_S = 4.0
"""A look-up younger than this is shared; past it a new one starts beside it: the network may have come back since."""


@dataclass(slots=True, eq=False)
class _LookUp:
    name: tuple[str, int]
    started_at: float
    done: threading.Event = field(default_factory=threading.Event)
    addresses: list[Address] = field(default_factory=list)
    error: Exception | None = None


class Resolver:
    """Turns a host's name into addresses within a time limit. Safe from any thread; looking up has no side effects."""

    def __init__(self, getaddrinfo: GetAddrInfo = socket.getaddrinfo) -> None:
        self._getaddrinfo = getaddrinfo
        self._lock = threading.Lock()
        self._running: list[_LookUp] = []

    def addresses(self, host: str, port: int, timeout_s: float) -> list[Address]:
        """Return the host's addresses; OSError where it has none, TimeoutError where nobody said so in time."""
        known = _without_asking(host, port)
        if known:
            return known
        look_up = self._join_or_start(host, port)
        if not look_up.done.wait(timeout_s):
            raise TimeoutError("the name server does not answer")
        if look_up.error is not None:
            raise socket.gaierror(socket.EAI_NONAME, _why(look_up.error)) from look_up.error
        return look_up.addresses

    def _join_or_start(self, host: str, port: int) -> _LookUp:
        now = time.monotonic()
        with self._lock:
            same = [look_up for look_up in self._running if look_up.name == (host, port)]
            full = len(self._running) >= MAX_HELPERS
            if same and (full or now - same[-1].started_at < _FRESH_S):
                return same[-1]
            if full:
                raise TimeoutError("the name server does not answer")
            look_up = _LookUp((host, port), now)
            self._running.append(look_up)
        threading.Thread(target=self._run, args=(look_up,), name="look-up", daemon=True).start()
        return look_up

    def _run(self, look_up: _LookUp) -> None:
        host, port = look_up.name
        try:
            look_up.addresses = list(self._getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except Exception as exc:  # noqa: BLE001 - the top of a thread: whatever it was, those who wait are told
            look_up.error = exc
        finally:
            with self._lock:
                self._running.remove(look_up)
            look_up.done.set()


def _without_asking(host: str, port: int) -> list[Address]:
    """Return the addresses of an IP literal or localhost, which need no name server; else nothing."""
    if host.lower().rstrip(".") == "localhost":
        literals = ["127.0.0.1", "::1"]
    else:
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return []
        literals = [host.strip("[]")]
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    found = [socket.getaddrinfo(literal, port, 0, socket.SOCK_STREAM, 0, flags)[0] for literal in literals]
    return list(found)


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or "no such name"
