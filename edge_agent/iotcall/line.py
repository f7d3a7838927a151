"""The line to the service: sockets that know their deadline, and HTTP connections that say how far a request got.

`requests` limits the gaps between bytes, not the whole: here every read and write is given what is left of the attempt.
"""

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, ClassVar

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

from edge_agent.iotcall.lookup import Resolver
from edge_agent.iotcall.masking import printable
from edge_agent.iotcall.outcome import Outcome, Result

CONNECT_S = 4.0
"""A TCP connection, its name's look-up included, that is not made within this is offline."""
REUSE_S = 3.0
"""A kept connection that was idle longer is not used again: the service may be closing it at that very moment."""
_ERROR_BODY_S = 2.0
"""How long the text of an answer is waited for whose status line has said it all."""

_NOT_YET_VALID = 9  # X509_V_ERR_CERT_NOT_YET_VALID
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED


class FailedError(Exception):
    """The attempt is over, with this outcome; no OSError, so that no library in between takes it for its own."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.result)
        self.outcome = outcome


class HeldBackError(Exception):
    """`before_send` raised: nothing was sent, and its error goes to the caller as it is."""

    def __init__(self, error: Exception) -> None:
        super().__init__("held back before sending")
        self.error = error


class Attempt:
    """One attempt: until when it may last, and whether its request may have begun to leave."""

    __slots__ = ("_before_send", "begun", "deadline", "peer")

    def __init__(self, peer: str, deadline: float, before_send: Callable[[], None] | None) -> None:
        self.peer = peer
        self.deadline = deadline
        self.begun = False
        self._before_send = before_send

    def left(self) -> float:
        """Return the seconds that are left; TimeoutError when there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def begin(self) -> None:
        """Announce, once, that the request's first byte goes out now. The disk's time for that is not the line's."""
        if self.begun:
            return
        started_at = time.monotonic()
        if self._before_send is not None:
            try:
                self._before_send()
            except Exception as exc:  # whatever it is: the libraries would take a disk's OSError for the network's
                raise HeldBackError(exc) from exc
        self.deadline += time.monotonic() - started_at
        self.begun = True

    def offline(self, exc: Exception) -> Outcome:
        """Return the outcome of an error met before anything was sent."""
        if isinstance(exc, ssl.SSLCertVerificationError) and exc.verify_code in (_NOT_YET_VALID, _EXPIRED):
            words = "is not yet valid" if exc.verify_code == _NOT_YET_VALID else "has expired"
            hint = "is the date of this machine's clock wrong?"
            return Outcome(
                Result.OFFLINE, f"TLS with {self.peer} failed: its certificate {words}; {hint}", clock_suspect=True
            )
        if isinstance(exc, ssl.SSLError):
            return Outcome(Result.OFFLINE, f"TLS with {self.peer} failed: {why(exc)}")
        return Outcome(Result.OFFLINE, f"no connection to {self.peer}: {why(exc)}")

    def ambiguous(self, exc: Exception) -> Outcome:
        """Return the outcome of an error met after the request had begun to leave."""
        return Outcome(Result.AMBIGUOUS, f"sent to {self.peer}, but no complete answer came: {why(exc)}")

    def failed(self, exc: Exception) -> Outcome:
        """Return the outcome of an error, by whether the request had begun to leave."""
        return self.ambiguous(exc) if self.begun else self.offline(exc)


def why(exc: Exception) -> str:
    """Return an error in a few words of its own kind only: what others wrote into it could hold a secret."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return printable(exc.verify_message, 100)
    if isinstance(exc, ssl.SSLError):
        return printable((exc.reason or type(exc).__name__).replace("_", " ").lower(), 100)
    if isinstance(exc, http.client.RemoteDisconnected):
        return "the connection was closed"
    if isinstance(exc, TimeoutError) and exc.errno is None:
        return "time-out" if str(exc) in ("", "timed out") else printable(str(exc), 100)
    if isinstance(exc, OSError) and (exc.strerror or exc.args):
        return printable(exc.strerror or str(exc), 100)
    return "what came is no HTTP" if isinstance(exc, http.client.HTTPException) else type(exc).__name__


class TimedSocket(socket.socket):
    """A TCP socket each of whose operations ends at `deadline` at the latest."""

    deadline: float | None = None

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Receive, with what is left."""
        _arm(self)
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """Send, with what is left."""
        _arm(self)
        super().sendall(*args, **kwargs)


class TimedTlsSocket(ssl.SSLSocket):
    """The same over TLS."""

    deadline: float | None = None

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Receive, with what is left."""
        _arm(self)
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:
        """Send, with what is left; `sendall` is made of these."""
        _arm(self)
        return super().send(*args, **kwargs)


def _arm(sock: TimedSocket | TimedTlsSocket) -> None:
    if sock.deadline is None:
        return
    left = sock.deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    sock.settimeout(left)


def dial(resolver: Resolver, host: str, port: int, deadline: float) -> TimedSocket:
    """Return a connected socket; OSError where none came about in 4 s, shared by all addresses, or by the deadline."""
    deadline = min(deadline, time.monotonic() + CONNECT_S)
    addresses = resolver.addresses(host, port, max(0.0, deadline - time.monotonic()))
    error: OSError = TimeoutError("timed out")
    for index, (family, kind, proto, _, address) in enumerate(addresses):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        sock = None
        try:
            sock = TimedSocket(family, kind, proto)
            sock.settimeout(left / (len(addresses) - index))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(address)
        except OSError as exc:
            error = exc
            if sock is not None:
                sock.close()
        else:
            return sock
    raise error


class _Head:
    """The lines of an answer's head; unlike http.client it takes an end of stream inside them for what it is."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._first = True

    def readline(self, limit: int) -> bytes:
        """Return the next line; BadStatusLine as soon as it is no HTTP, ConnectionAbortedError where it is torn."""
        first, self._first = self._first, False
        if first and not _could_be_http(self._stream.peek(1)):
            raise http.client.BadStatusLine("no HTTP")
        line: bytes = self._stream.readline(limit)
        if line.endswith(b"\n") or len(line) >= limit or (first and not line):
            return line
        raise ConnectionAbortedError("the answer ended inside its head")

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


def _could_be_http(start: bytes) -> bool:
    return b"HTTP/".startswith(start[:5])


class _Answer(http.client.HTTPResponse):
    def begin(self) -> None:
        """Read the head."""
        stream = self.fp
        self.fp = _Head(stream)  # type: ignore[assignment]  # readline and close are all that is used of it here
        try:
            super().begin()
        finally:
            if self.fp is not None:
                self.fp = stream
        for name in ("Set-Cookie", "Set-Cookie2"):
            del self.headers[name]  # never used, and http.cookiejar stumbles over broken ones


class Line:
    """One thread's line: the attempt that its connections serve at the moment."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self.attempt = Attempt("", 0.0, None)


class GuardedConnection(HTTPConnection):
    """A connection that raises FailedError, whose outcome says whether the request had begun to leave."""

    line: ClassVar[Line]
    response_class = _Answer
    sock: Any  # a TimedSocket or TimedTlsSocket; None while there is none
    _connecting = False
    _answered_at = float("-inf")

    @property
    def is_connected(self) -> bool:
        """Return whether the kept connection may carry another request: alive, silent, and not idle for long."""
        return super().is_connected and time.monotonic() - self._answered_at < REUSE_S

    def connect(self) -> None:
        """Connect, through the proxy's tunnel and TLS where asked for."""
        self._connecting = True
        try:
            super().connect()
        except (OSError, http.client.HTTPException, HTTPError, ValueError) as exc:
            raise FailedError(self._not_connected(exc)) from exc
        finally:
            self._connecting = False

    def _not_connected(self, exc: Exception) -> Outcome:
        if str(exc).startswith("Tunnel connection failed: 407"):
            return Outcome(Result.NOT_IOTCALL, "a proxy wants a password (HTTP 407)")
        return self.line.attempt.offline(exc)

    def _new_conn(self) -> socket.socket:
        attempt = self.line.attempt
        sock = dial(self.line.resolver, self._dns_host, self.port or self.default_port, attempt.deadline)
        sock.deadline = attempt.deadline
        sock.settimeout(attempt.left())  # the TLS handshake takes this over as its limit
        return sock

    def _tunnel(self) -> None:
        super()._tunnel()  # private to http.client; urllib3 overrides it as well
        self.sock.settimeout(self.line.attempt.left())

    def send(self, data: Any) -> None:
        """Send; the first bytes of the request itself (not the proxy's CONNECT) are announced to the attempt."""
        if self.sock is None:
            self.connect()
        if self._connecting:
            super().send(data)
            return
        attempt = self.line.attempt
        if not attempt.begun:
            try:
                attempt.left()
            except TimeoutError as exc:
                raise FailedError(attempt.offline(exc)) from exc
            attempt.begin()
        self.sock.deadline = attempt.deadline
        try:
            super().send(data)
        except (BrokenPipeError, ConnectionResetError):
            raise  # urllib3 then reads what the service said before it hung up
        except OSError as exc:
            raise FailedError(attempt.ambiguous(exc)) from exc

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3's own
        """Read the head. An early end is ambiguous; a head that makes no sense is not IoTCall's."""
        sock = self.sock
        try:
            response = super().getresponse()
        except OSError as exc:  # http.client.RemoteDisconnected too
            raise FailedError(self.line.attempt.ambiguous(exc)) from exc
        except (http.client.HTTPException, HTTPError, ValueError) as exc:
            raise FailedError(Outcome(Result.NOT_IOTCALL, "not IoTCall: what came is no HTTP")) from exc
        self._answered_at = time.monotonic()
        if response.status // 100 != 2:  # noqa: PLR2004 - 2xx
            sock.deadline = min(sock.deadline, time.monotonic() + _ERROR_BODY_S)
        return response


class GuardedTlsConnection(GuardedConnection, HTTPSConnection):
    """The same over TLS."""
