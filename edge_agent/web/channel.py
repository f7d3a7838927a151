"""One connection: waitress's channel with deadlines, small limits, and errors as JSON.

waitress closes a connection only after 120 s without a byte, so that one that drips a byte now and then stays for
ever; it stops accepting at 100 connections; and it closes right after an early error, which resets a client that
is still sending and loses the answer. All three are mended here.
"""

import socket
import time
from dataclasses import dataclass
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import BadRequest, RequestEntityTooLarge

from edge_agent.web.answer import error
from edge_agent.web.guard import LOCAL_ADDRESS

HEAD_BYTES = 16 * 1024
BODY_BYTES = 64 * 1024
RAW_BODY_BYTES = 8 * BODY_BYTES
"""What a chunked body may be with its framing."""
_DRAIN_BYTES = 4 * 1024 * 1024
_ERRORS = {
    400: "this is no HTTP request that can be understood",
    413: f"the body is larger than {BODY_BYTES // 1024} KB",
    431: f"the head is larger than {HEAD_BYTES // 1024} KB",
    501: "this transfer encoding is not supported",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds a connection is waited for."""

    head_s: float = 10.0
    """From the first byte of a request (or from the connection) to the end of its head."""
    body_s: float = 20.0
    """From the end of the head to the end of the body."""
    idle_s: float = 30.0
    """Without a byte between two requests of one connection."""
    answer_s: float = 60.0
    """Until an answer is taken."""
    drain_s: float = 2.0
    """For the rest of a request that was refused while it was still being sent."""


class Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """The parser, with a limit on the body itself, and no exception for any input."""

    path = ""  # waitress names it in its log, also where none could be read

    def received(self, data: bytes) -> int:
        """Take bytes; return how many of them belong to this request."""
        try:
            consumed: int = super().received(data)
        except ValueError:  # a Content-Length of 5,000 digits, a URL like http://[
            self.error = BadRequest("")
            consumed = len(data)
        body = self.body_rcv
        if self.error is None and body is not None and max(self.content_length, len(body)) > BODY_BYTES:
            self.error = RequestEntityTooLarge("")
        if self.error is not None:
            self.completed = True
            self.expect_continue = False  # or waitress would ask for a body that was refused
        return consumed


class Task(WSGITask):  # type: ignore[misc]  # waitress has no types
    """A request; its environ also tells the address that the connection came in by."""

    def get_environment(self) -> dict[str, Any]:
        """Return the WSGI environ."""
        environ: dict[str, Any] = super().get_environment()
        environ[LOCAL_ADDRESS] = self.channel.local_address
        return environ


class Malformed(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """A request that could not be read: answered as JSON, like every other error."""

    def execute(self) -> None:
        """Write the answer."""
        code = self.request.error.code
        self.status, headers, body = error(code, _ERRORS.get(code, "the request could not be served"))
        self.response_headers.extend(headers)
        self.content_length = len(body)
        self.channel.drains = True
        self.set_close_on_finish()
        self.write(body)


class Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """One connection. All but `service` runs in the server's one thread."""

    parser_class = Parser
    task_class = Task
    error_task_class = Malformed

    close_when_flushed: bool

    def __init__(self, server: Any, connection: socket.socket, peer: tuple[Any, ...]) -> None:
        self.local_address: str = connection.getsockname()[0]
        self.drains = False
        """Whether a request is being refused whose rest may still be on its way."""
        self._idle_since = time.monotonic()
        self._head_since: float | None = None
        self._body_since: float | None = None
        self._answer_since: float | None = None
        self._drain_since: float | None = None
        self._drained = 0
        self._served = False
        super().__init__(server, connection, peer, server.adj, map=server.channel_map)

    def overdue(self, patience: Patience) -> bool:
        """Return whether this connection has used up what patience there is."""
        self._answer_since = None if not self.total_outbufs_len else self._answer_since or time.monotonic()
        if self._drain_since is not None:
            since, limit = self._drain_since, patience.drain_s
        elif self._answer_since is not None:
            since, limit = self._answer_since, patience.answer_s
        elif self.requests:
            return False
        elif self._body_since is not None:
            since, limit = self._body_since, patience.body_s
        elif self._head_since is not None:
            since, limit = self._head_since, patience.head_s
        else:
            since, limit = self._idle_since, patience.idle_s if self._served else patience.head_s
        return time.monotonic() - since > limit

    def idle_since(self) -> float | None:
        """Return since when nothing is being done for this connection; None: a request is served or answered."""
        return None if self.requests or self.total_outbufs_len else self._idle_since

    def received(self, data: bytes) -> bool:
        """Take bytes, and note when the head and the body began."""
        if self._head_since is None:
            self._head_since = time.monotonic()  # blank lines between requests begin it too, and end nothing
        taken: bool = super().received(data)
        if self._body_since is None and self.request is not None and self.request.headers_finished:
            self._body_since = time.monotonic()
        return taken

    def service(self) -> None:
        """Serve a request, in a worker's thread. Meanwhile nothing is read, so that the clocks may be set back."""
        self._idle_since, self._head_since, self._body_since = time.monotonic(), None, None
        self._served = True
        super().service()

    def readable(self) -> bool:
        """Return whether bytes are awaited."""
        return not self.will_close if self._drain_since is not None else bool(super().readable())

    def handle_read(self) -> None:
        """Read; what follows a refused request is thrown away."""
        if self._drain_since is None:
            super().handle_read()
            return
        self._drained += len(self.recv(_DRAIN_BYTES // 64))  # closes at the end of the stream
        if self._drained > _DRAIN_BYTES and self.connected:
            self.handle_close()

    def handle_write(self) -> None:
        """Write; after an early error end only our half, since closing would reset the client before it reads."""
        if not (self.drains and self.close_when_flushed) or self.will_close:
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if self.connected and not self.total_outbufs_len:
            self.close_when_flushed = False
            self._drain_since = time.monotonic()
            self.socket.shutdown(socket.SHUT_WR)
