"""A socket of which paho reads only the packets that are left to it, and to which it writes through a buffer.

It is handed to paho as what an SSL context's `wrap_socket` returns, which is the public place to put one's own socket.
"""

import contextlib
import socket
import ssl
from typing import Any, cast

from paho.mqtt.client import Client

_CHUNK = 65536
_MAX_UNSENT = 4 << 20


class Wire:
    """A connected socket. `send` only gathers, `flush` sends; what lies in it are whole packets, never begun ones."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._for_paho = b""
        self._unsent = bytearray()

    def receive(self) -> bytes | None:
        """Return what the socket has, b"" at its end, None if it has nothing yet. Raises OSError when it is lost."""
        try:
            return self._sock.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def holds_more(self) -> bool:
        """Return whether TLS holds bytes that no poll of the socket would tell."""
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    def hand(self, packet: bytes) -> None:
        """Give paho a packet to read."""
        self._for_paho += packet

    def recv(self, size: int) -> bytes:
        """Return bytes of what was handed to paho."""
        data = self._for_paho[:size]
        if not data:
            raise BlockingIOError
        self._for_paho = self._for_paho[size:]
        return data

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Take all of `data`, to be sent at the next flush."""
        if len(self._unsent) > _MAX_UNSENT:
            raise BlockingIOError
        self._unsent += data
        return len(data)

    def flush(self) -> bool:
        """Send what the socket takes; return whether all is sent. Raises OSError when it is lost."""
        while self._unsent:
            try:
                sent = self._sock.send(self._unsent)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            del self._unsent[:sent]
        return True

    def close(self) -> None:
        """Send the rest as far as that goes at once, and close."""
        with contextlib.suppress(OSError, ValueError):
            self.flush()
        self._sock.close()

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - as the socket's own
        """Set blocking mode."""
        self._sock.setblocking(flag)

    def settimeout(self, timeout: float | None) -> None:
        """Set the time-out of what blocks."""
        self._sock.settimeout(timeout)

    def do_handshake(self) -> None:
        """Do nothing: TLS has shaken hands before this was made."""


class Wiring:
    """What paho takes for an SSL context: it makes a Wire of each new connection, over TLS where there is a context."""

    check_hostname = True  # by the real context, against `host`: paho need not check again

    def __init__(self, host: str, tls: ssl.SSLContext | None, timeout_s: float) -> None:
        self._host = host
        self._tls = tls
        self._timeout_s = timeout_s
        self.wire: Wire | None = None

    def attach(self, client: Client) -> None:
        """Make the client use it."""
        client.tls_set_context(cast("Any", self))

    def wrap_socket(self, sock: socket.socket, **_options: object) -> Wire:
        """Return the connection's Wire; the certificate is verified for the configured host."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # an acknowledgement must not wait for another
        if self._tls is not None:
            sock.settimeout(self._timeout_s)
            sock = self._tls.wrap_socket(sock, server_hostname=self._host)
        self.wire = Wire(sock)
        return self.wire
