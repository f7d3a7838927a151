"""What sends the messages: packets made beforehand and written to a bare socket, so that nobody waits for it.

Reads jobs from stdin, a JSON object each: {"topics", "qos", "values", "retain", "rate"} (messages a second, 0: as fast
as the broker takes them); the topics are taken in turn. Answers each with a JSON list: the instants (CLOCK_MONOTONIC,
ns) of the first and the last message, or of every one where there is a rate.
"""

import itertools
import json
import socket
import sys
import threading
import time
from collections.abc import Iterable

_AT_ONCE = 64


def _length(value: int) -> bytes:
    """Return a variable byte integer (MQTT 3.1.1, 2.2.3)."""
    encoded = bytearray()
    while True:
        value, low = divmod(value, 128)
        encoded.append(low | (128 if value else 0))
        if not value:
            return bytes(encoded)


def _text(text: str) -> bytes:
    return len(text).to_bytes(2) + text.encode()


def publish(topic: str, qos: int, value: float, mid: int, retain: int) -> bytes:
    """Return a PUBLISH packet of MQTT 3.1.1."""
    body = _text(topic) + (mid.to_bytes(2) if qos else b"") + json.dumps({"value": value}).encode()
    return bytes([0x30 | qos << 1 | retain]) + _length(len(body)) + body


def connect(port: int) -> socket.socket:
    """Connect as an MQTT 3.1.1 client without keepalive."""
    broker = socket.create_connection(("127.0.0.1", port))
    broker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = _text("MQTT") + bytes([4, 2, 0, 0]) + _text("publisher")
    broker.sendall(b"\x10" + _length(len(body)) + body)
    assert broker.recv(4) == b"\x20\x02\x00\x00", "the broker refuses the publisher"
    return broker


def _drain(broker: socket.socket) -> None:
    while broker.recv(65536):
        pass


def _flood(broker: socket.socket, packets: list[bytes]) -> list[int]:
    chunks = [b"".join(packets[at : at + _AT_ONCE]) for at in range(0, len(packets), _AT_ONCE)]
    first = time.monotonic_ns()
    for chunk in chunks:
        broker.sendall(chunk)
    return [first, time.monotonic_ns()]


def _paced(broker: socket.socket, packets: Iterable[bytes], rate: float) -> list[int]:
    begin = time.monotonic()
    instants = []
    for number, packet in enumerate(packets):
        time.sleep(max(0.0, begin + number / rate - time.monotonic()))
        instants.append(time.monotonic_ns())
        broker.sendall(packet)
    return instants


def main() -> None:
    broker = connect(int(sys.argv[1]))
    threading.Thread(target=_drain, args=(broker,), daemon=True).start()
    for line in sys.stdin:
        job = json.loads(line)
        packets = [
            publish(topic, job["qos"], value, number % 65535 + 1, job["retain"])
            for number, (topic, value) in enumerate(zip(itertools.cycle(job["topics"]), job["values"], strict=False))
        ]
        print(json.dumps(_paced(broker, packets, job["rate"]) if job["rate"] else _flood(broker, packets)), flush=True)


if __name__ == "__main__":
    main()
