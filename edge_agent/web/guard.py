"""Who may ask what: the Host check, what is local, the token, and the limit on wrong ones."""

import hmac
import math
import os
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from edge_agent.web.address import canonical, host_of, is_loopback

_FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_VIA")
_OWN_NAMES = ("localhost", "127.0.0.1", "::1")
LOCAL_ADDRESS = "edge_agent.local_address"
"""The key in a request's environ of the address that the connection came in by."""

WINDOW_S = 60.0
WRONG_TOKENS = 10
_MAX_ADDRESSES = 1000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is answered without being looked at further."""

    status: int
    message: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Record:
    wrong_at: deque[float] = field(default_factory=lambda: deque(maxlen=WRONG_TOKENS))
    blocked_until: float = -math.inf


class WrongTokens:
    """Counts wrong tokens by address: the 10th within a minute blocks that address's attempts for a minute."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._lock = Lock()

    def count(self, address: str, now: float) -> float:
        """Count a wrong token at `now` (monotonic seconds) and return how long the address is blocked from now on."""
        with self._lock:
            record = self._records.setdefault(address, _Record())
            self._records.move_to_end(address)
            if now >= record.blocked_until:
                record.wrong_at.append(now)
                if len(record.wrong_at) == WRONG_TOKENS and record.wrong_at[0] > now - WINDOW_S:
                    record.blocked_until = now + WINDOW_S
                    record.wrong_at.clear()
            while len(self._records) > _MAX_ADDRESSES:
                self._records.popitem(last=False)
            return max(0.0, record.blocked_until - now)


class Guard:
    """Judges a request by its Host, its origin and its token, before its path is looked at."""

    def __init__(self, hosts: Sequence[str], token: Callable[[], str], clock: Callable[[], float]) -> None:
        self._hosts = frozenset(canonical(host) for host in (*_OWN_NAMES, *hosts))
        self._token = token
        self._clock = clock
        self._wrong = WrongTokens()

    def refusal(self, environ: Mapping[str, Any]) -> Refusal | None:
        """Return why the request of a WSGI environ is refused, or None: go on."""
        if not self._is_our_host(environ):
            return Refusal(403, "this Host is not ours; names to be called by are listed in [web] hosts")
        if environ["REQUEST_METHOD"] != "POST" and is_local(environ):
            return None
        return self._token_refusal(environ.get("HTTP_AUTHORIZATION", ""), environ["REMOTE_ADDR"])

    def _is_our_host(self, environ: Mapping[str, Any]) -> bool:
        host = host_of(environ.get("HTTP_HOST", ""))
        if host is None:
            return False
        machine = os.uname().nodename.lower()
        return host in self._hosts or host in (canonical(environ[LOCAL_ADDRESS]), machine, f"{machine}.local")

    def _token_refusal(self, authorization: str, peer: str) -> Refusal | None:
        scheme, _, given = authorization.partition(" ")
        given = given.strip()
        if scheme.lower() != "bearer" or not given:
            return _unauthorised("needs the token of state_dir/web-token, as Authorization: Bearer TOKEN")
        token = self._token()
        if token and hmac.compare_digest(given.encode(), token.encode()):
            return None  # also while the address is blocked: programs on one machine share 127.0.0.1
        wait_s = self._wrong.count(canonical(peer), self._clock())
        if wait_s:
            return Refusal(429, "too many wrong tokens; wait a minute", (("Retry-After", str(math.ceil(wait_s))),))
        return _unauthorised("wrong token")


def is_local(environ: Mapping[str, Any]) -> bool:
    """Return whether a request comes from this machine, and not by way of a proxy on it."""
    return is_loopback(environ["REMOTE_ADDR"]) and not any(name in environ for name in _FORWARDED)


def _unauthorised(message: str) -> Refusal:
    return Refusal(401, message, (("WWW-Authenticate", 'Bearer realm="edge-agent"'),))
