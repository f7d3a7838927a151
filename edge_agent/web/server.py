"""The web server: waitress on a socket of ours, in daemon threads that are few and never lost."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from edge_agent.web.app import Application
from edge_agent.web.channel import HEAD_BYTES, RAW_BODY_BYTES, Channel, Patience
from edge_agent.web.guard import Guard
from edge_agent.web.view import View

_LOG = logging.getLogger(__name__)
_THREADS = 4
_MAX_CONNECTIONS = 512  # half of the 1,024 descriptors that systemd and most shells allow a process
_ACCEPTS_AT_ONCE = 64
_PAUSE_S = 0.2
_LOOK_S = 0.5
_IDLE_S = 60.0
_STOP_S = 0.4


class WebServer:
    """The agent's HTTP API on one address."""

    def __init__(
        self,
        view: View,
        *,
        host: str,
        port: int,
        hosts: Sequence[str] = (),
        token: Callable[[], str],
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        self._application = Application(view, Guard(hosts, token, time.monotonic))
        self._address = (host, port)
        self._patience = patience
        self._dispatcher: Any = None
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None
        self.port = port
        """The port that it listens on; of port 0 the real one, once started."""

    def start(self) -> None:
        """Listen and serve. Raises OSError when the address is taken or is not ours; it may be tried again."""
        bound = _bind(*self._address)
        self.port = bound.getsockname()[1]
        logging.getLogger("waitress").setLevel(logging.WARNING)  # below it names paths as clients sent them
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a busy moment is no news
        self._dispatcher = ThreadedTaskDispatcher()
        self._dispatcher.set_thread_count(_THREADS)
        self._listener = _Listener(self._application, bound, self._dispatcher, self._patience)
        self._thread = threading.Thread(target=self._listener.serve, name="web", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close all connections and the port within a second; a request still being served is left behind."""
        if self._listener is None or self._thread is None:
            return
        self._dispatcher.shutdown(timeout=_STOP_S)
        self._listener.end()
        self._thread.join(_STOP_S)
        self._listener = self._thread = None


class _Listener(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    """The listening socket and the one thread that all connections share."""

    def __init__(self, application: Application, bound: socket.socket, dispatcher: Any, patience: Patience) -> None:
        self.channel_map: dict[int, Any] = {}
        self._patience = patience
        self._paused_until: float | None = None
        self._ending = threading.Event()
        self._waking = threading.Lock()
        self._ended = False
        adjustments = Adjustments(
            sockets=[bound],
            ident="edge-agent",
            max_request_header_size=HEAD_BYTES + 1,
            max_request_body_size=RAW_BODY_BYTES,
            clear_untrusted_proxy_headers=False,  # they tell that a request came by way of a proxy
            log_socket_errors=False,
            outbuf_high_watermark=1 << 30,  # a client that does not read must not hold up a worker
        )
        info = (bound.family, bound.type, bound.proto, bound.getsockname())
        super().__init__(
            application,
            self.channel_map,
            _sock=bound,
            dispatcher=dispatcher,
            adj=adjustments,
            sockinfo=info,
            bind_socket=False,
        )

    def serve(self) -> None:
        """Serve until `end`; what goes wrong is logged and survived."""
        while not self._ending.is_set():
            try:
                self._turn()
            except Exception:  # noqa: BLE001 - the top of the thread
                _LOG.exception("web server's thread failed, going on")
                self._ending.wait(1)
        with self._waking:
            self._ended = True
            for channel in list(self.active_channels.values()):
                channel.handle_close()
            wasyncore.close_all(self.channel_map, ignore_all=True)

    def end(self) -> None:
        """Make `serve` return soon. Safe from any thread."""
        self._ending.set()
        self.pull_trigger()

    def _turn(self) -> None:
        """Serve what is ready within half a second, then close what is overdue."""
        look_at = time.monotonic() + _LOOK_S
        while not self._ending.is_set():
            busy = self.active_channels or self._paused_until is not None
            timeout_s = look_at - time.monotonic() if busy else _IDLE_S
            if timeout_s <= 0:
                break
            wasyncore.poll2(timeout_s + 0.001, self.channel_map)
        for channel in list(self.active_channels.values()):
            if channel.overdue(self._patience):
                channel.handle_close()

    def pull_trigger(self) -> None:
        """Wake the thread; a worker that comes late must not write to a descriptor that is another's by now."""
        with self._waking:
            if not self._ended:
                super().pull_trigger()

    def readable(self) -> bool:
        """Return whether connections are accepted now; waitress's own maintenance is replaced by `_turn`."""
        if self._paused_until is not None and time.monotonic() >= self._paused_until:
            self._paused_until = None
        return bool(self.accepting) and self._paused_until is None

    def handle_accept(self) -> None:
        """Accept what waits; where there are too many, the one that has been idle longest makes room."""
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                accepted = self.accept()
                if accepted is None:
                    return
                connection, peer = accepted
                self.set_socket_options(connection)
                Channel(self, connection, peer)
            except OSError:  # out of descriptors, or gone already
                self._make_room()
                self._paused_until = time.monotonic() + _PAUSE_S
                return
            if len(self.active_channels) > _MAX_CONNECTIONS:
                self._make_room()

    def handle_error(self) -> None:
        """Log; waitress would close the listening socket."""
        _LOG.exception("web server could not accept a connection")

    def _make_room(self) -> None:
        idle = [(since, channel) for channel in self.active_channels.values() if (since := channel.idle_since())]
        if idle:
            min(idle, key=lambda pair: pair[0])[1].handle_close()


def _bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the first address of `host` that can be; IPv4 first, "" and :: are all addresses."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    failure: OSError | None = None
    for family, kind, protocol, _, address in sorted(found, key=lambda entry: entry[0] != socket.AF_INET):
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            bound.bind(address)
        except OSError as error:
            bound.close()
            failure = failure or error
            continue
        return bound
    raise failure or OSError(f"{host} has no address")
