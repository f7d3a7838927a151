"""The sandbox's sockets: reading requests, sending answers whole, late, in drops, torn, or not at all."""

import contextlib
import gzip
import json
import socket
import struct
import threading
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from edge_agent.iotcall.masking import printable, shorten
from edge_agent.iotcall.sandbox import door
from edge_agent.iotcall.sandbox.faults import Fault, FaultKind
from edge_agent.iotcall.sandbox.service import Answer, Request, Service

_BODY_LIMIT = 1 << 20
_HUGE = 1 << 20
_LINGER_0 = struct.pack("ii", 1, 0)
_JSON = {"Content-Type": "application/json"}
_HTML = {"Content-Type": "text/html; charset=utf-8"}
_PORTAL = b"<!DOCTYPE html><title>Guest Wi-Fi</title><form action=/login>Please accept the terms of use</form>\n"


class Owner(door.Switches, Protocol):
    """What the handlers need of the sandbox."""

    service: Service
    ssl_context: Any
    keep_alive_s: float

    def fault_for(self, url_key: str | None) -> Fault | None: ...  # noqa: D102
    def record(self, request: Request, fault: Fault | None, *, activated: bool) -> None: ...  # noqa: D102
    def say(self, line: str) -> None: ...  # noqa: D102


class Listener(ThreadingHTTPServer):
    """A listening socket with its connections; taken down, it closes them all."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: Owner, host: str, port: int) -> None:
        self.owner = owner
        self.closing = threading.Event()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without looking the host's name up, which can take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_port = self.socket.getsockname()[1]

    def run(self) -> None:
        """Serve from a thread of its own."""
        threading.Thread(target=self.serve_forever, args=(0.05,), name="sandbox", daemon=True).start()

    def close(self) -> None:
        """Refuse new connections and end those there are."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        with self._open_lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are what a sandbox is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def setup(self) -> None:
        """Begin TLS where asked for, in this connection's own thread."""
        owner = self.server.owner
        if owner.ssl_context is not None:
            self.request = owner.ssl_context.wrap_socket(self.request, server_side=True)
        super().setup()
        self.connection.settimeout(owner.keep_alive_s)

    def handle(self) -> None:
        """Serve the connection's requests."""
        fault = self.server.owner.fault_for(None)
        if fault is not None and fault.kind is FaultKind.RESET_EARLY:
            self._reset()
            return
        with contextlib.suppress(OSError):
            super().handle()

    def log_message(self, *args: object) -> None:
        """Write nothing: `say` does."""

    def _serve(self) -> None:
        request = self._read()
        if request is None:
            return
        if request.target.startswith(door.PREFIX):
            self._serve_door(request)
            return
        owner = self.server.owner
        fault = owner.fault_for(request.url_key)
        answer = owner.service.handle(request) if fault is None or fault.kind.activates else None
        if request.is_call:
            activated = answer is not None and answer.content.get("status") == "ok"
            owner.record(request, fault, activated=activated)
        self._say(request, answer, fault)
        if fault is None:
            self._send(_whole(answer))
        elif answer is None:
            self._fail(fault)
        else:
            self._spoil(fault, _whole(answer))

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

    def _read(self) -> Request | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _BODY_LIMIT or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self._send(_whole(Answer(413, {"status": "error", "message": "the body is too large, or has no length"})))
            return None
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, self.path, headers, self.rfile.read(int(length)))

    def _serve_door(self, request: Request) -> None:
        if not _is_here(self.client_address[0]):
            self._send(_whole(Answer(403, {"error": "this door opens from this machine only"})))
            return
        opened = door.open_door(self.server.owner, request)
        self._send(_whole(opened.answer))
        if opened.then is not None:
            threading.Thread(target=opened.then, name="sandbox-door", daemon=True).start()

    def _say(self, request: Request, answer: Answer | None, fault: Fault | None) -> None:
        path = request.target.partition("?")[0]
        if request.url_key:
            path = path.replace(request.url_key, shorten(request.url_key), 1)
        did = "" if answer is None else f" {answer.status} {answer.note}"
        met = "" if fault is None else f" (fault {fault})"
        self.server.owner.say(printable(f"{request.method} {path} ->{did}{met}"))

    def _send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def _spoil(self, fault: Fault, data: bytes) -> None:
        """Send the answer of a request that was carried out in a way that is hard to receive."""
        wait_s = fault.wait_s or 0.0
        if fault.kind is FaultKind.SLOW:
            self.server.closing.wait(wait_s)
            self._send(data)
        elif fault.kind is FaultKind.DRIP:
            for byte in data:
                self._send(bytes([byte]))
                if self.server.closing.wait(wait_s):
                    return
        elif fault.kind is FaultKind.TORN:
            self._send(data[:-10])
            self.close_connection = True
        else:
            self._reset()

    def _fail(self, fault: Fault) -> None:
        """Do what the fault says instead of carrying the request out."""
        kind = fault.kind
        if kind is FaultKind.HANG:
            self.connection.settimeout(None)
            while self.connection.recv(1024):
                pass
            self.close_connection = True
        elif kind in (FaultKind.RESET, FaultKind.RESET_EARLY):
            self._reset()
        elif kind is FaultKind.GARBAGE:
            self._send(b"\x00\xff\x7fnot HTTP at all\r\n\r\n")
            self.close_connection = True
        else:
            self._send(_wrong(fault))

    def _reset(self) -> None:
        """Close so that the other end gets a reset; a file still open on the socket would put the close off."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        self.wfile.close()
        self.rfile.close()
        self.connection.close()


def _is_here(address: str) -> bool:
    return address.startswith("127.") or address in ("::1", "::ffff:127.0.0.1")


def _whole(answer: Answer | None) -> bytes:
    if answer is None:
        return b""
    return _message(answer.status, _JSON, json.dumps(answer.content, ensure_ascii=False).encode())


def _wrong(fault: Fault) -> bytes:
    """Return the bytes of a fault that is a whole answer."""
    status = fault.kind.status
    if fault.kind is FaultKind.PORTAL:
        return _message(200, _HTML, _PORTAL)
    if fault.kind is FaultKind.EMPTY:
        return _message(200, _JSON, b"")
    if fault.kind is FaultKind.HUGE:
        return _message(200, _JSON, b'{"status": "ok", "message": "' + b"x" * _HUGE + b'"}')
    if fault.kind is FaultKind.BOMB:
        plain = b'{"status": "ok", "message": "' + b"x" * (64 * _HUGE) + b'"}'
        return _message(200, _JSON | {"Content-Encoding": "gzip"}, gzip.compress(plain, 1))
    if fault.kind is FaultKind.REDIRECT:
        return _message(302, _HTML | {"Location": "http://portal.invalid/login"}, _PORTAL)
    if status is None:
        return _whole(Answer(200, {"status": "error", "message": "発信できませんでした。"}))
    headers = dict(_JSON)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        headers["Proxy-Authenticate"] = 'Basic realm="proxy"'
    if fault.wait_s is not None:
        headers["Retry-After"] = f"{fault.wait_s:.0f}"
    content = {"status": "error", "message": HTTPStatus(status).phrase}
    return _message(status, headers, json.dumps(content).encode())


def _message(status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Server: iotcall-sandbox"]
    head.append(f"Date: {formatdate(usegmt=True)}")
    head += [f"{name}: {value}" for name, value in headers.items()]
    head += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode("latin-1") + body
