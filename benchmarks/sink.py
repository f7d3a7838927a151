"""Where both sides POST to: an HTTP server that does as little as possible, in a process of its own.

Prints its port, then a line for each POST: the instant (CLOCK_MONOTONIC, ns) at which its head was there, and the key.
"""

import contextlib
import socket
import threading
import time
from email.utils import formatdate

_BODY = b'{"status": "ok", "message": "ok"}'
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nDate: %s\r\n\r\n"
_END = b"\r\n\r\n"


def _serve(connection: socket.socket) -> None:
    with connection, contextlib.suppress(ConnectionResetError):  # a client that is ended need not say goodbye
        _answer(connection)


def _answer(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waiting = b""
    while chunk := connection.recv(65536):
        waiting += chunk
        while (end := waiting.find(_END)) >= 0:
            at = time.monotonic_ns()
            connection.sendall(_HEAD % (len(_BODY), formatdate(usegmt=True).encode()) + _BODY)
            key = waiting.split(b"/", 3)[2].decode()
            print(at, key, flush=True)
            waiting = waiting[end + len(_END) :]


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
