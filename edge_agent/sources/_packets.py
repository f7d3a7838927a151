"""Cutting a broker's bytes into MQTT packets, and reading PUBLISH, the one packet that comes for every message.

By hand, because paho takes 20 µs (MQTT 3.1.1) to 36 µs (MQTT 5) for each PUBLISH where this takes 2: on a small board
that is most of what a reading costs. All other packets stay paho's.
"""

from typing import NamedTuple

PUBLISH = 0x30
RETAIN = 0x01
QOS_BITS = 0x06
_CONTINUES = 0x80
_MAX_LENGTH_BYTES = 4


class MalformedPacketError(Exception):
    """What came is no MQTT."""


class Packet(NamedTuple):
    """A whole packet within `data`: its first byte, and where its body lies."""

    first: int
    data: bytes
    start: int
    body: int
    end: int

    def whole(self) -> bytes:
        """Return the packet's bytes."""
        return self.data[self.start : self.end]


class Publish(NamedTuple):
    """A message: `mid` 0 at QoS 0; `properties` packed, without their length (MQTT 5)."""

    topic: bytes
    payload: bytes
    mid: int
    properties: bytes


class Inbox:
    """Bytes in, whole packets out. A packet of more than `limit` bytes comes cut to that: memory is bounded."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = b""
        self._at = 0
        self._parts: list[bytes] = []
        self._lacking = 0
        self._to_drop = 0
        self._cut_here = False

    def feed(self, chunk: bytes) -> None:
        """Add what was received. Call `next` until it gives None before the next `feed`."""
        if self._to_drop:
            dropped = min(self._to_drop, len(chunk))
            self._to_drop -= dropped
            if self._to_drop:
                return
            self._cut_here = True
            chunk = chunk[dropped:]
            self._lacking = 0
        if self._lacking > len(chunk):
            self._parts.append(chunk)
            self._lacking -= len(chunk)
            return
        if self._parts:
            chunk = b"".join([*self._parts, chunk])
            self._parts.clear()
        self._data = chunk
        self._at = 0

    def next(self) -> Packet | None:
        """Return the next whole packet, or None: more bytes are needed.

        Raises:
            MalformedPacketError: its length is none.
        """
        data, at = self._data, self._at
        size = len(data)
        end = size + 1  # one byte more than there is, as long as the length is not all there
        body = at + 2
        if body <= size:
            length = data[at + 1]
            if length < _CONTINUES:
                end = body + length
            elif (found := variable_integer(data, at + 1, size)) is not None:
                length, body = found
                end = body + length
        if self._cut_here:
            self._cut_here = False
            end = at + self._limit
        if end > size:
            self._wait(at, end)
            return None
        self._at = end
        return Packet(data[at], data, at, body, end)

    def _wait(self, at: int, end: int) -> None:
        """Keep the beginning of a packet that goes on to `end`."""
        if end - at > self._limit:
            self._cut(at, end)
            return
        if at < len(self._data):
            self._parts.append(self._data[at:])
        self._lacking = end - len(self._data)
        self._data, self._at = b"", 0

    def _cut(self, at: int, end: int) -> None:
        """Keep the first `limit` bytes of a packet, and drop the rest of it as it comes."""
        size = len(self._data)
        cut = at + self._limit
        if cut > size:
            self._wait(at, cut)
        else:
            self._parts.append(self._data[at:cut])
            self._data, self._at = b"", 0
            self._to_drop = end - size


def variable_integer(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """Return a variable byte integer (MQTT 5, 1.5.5) and where it ends; None if it is not all there.

    Raises:
        MalformedPacketError: it is longer than four bytes.
    """
    value = 0
    for position in range(at, min(end, at + _MAX_LENGTH_BYTES)):
        byte = data[position]
        value |= (byte & 0x7F) << 7 * (position - at)
        if not byte & _CONTINUES:
            return value, position + 1
    if end >= at + _MAX_LENGTH_BYTES:
        raise MalformedPacketError("a length of more than four bytes")
    return None


def read_publish(packet: Packet, *, version_5: bool) -> Publish:
    """Return the message in a PUBLISH packet (MQTT 3.1.1 and 5, section 3.3).

    Raises:
        MalformedPacketError: its parts do not fit into it.
    """
    first, data, _, body, end = packet
    at = body + 2
    if at > end:
        raise MalformedPacketError("a PUBLISH without a topic")
    topic_end = at + (data[body] << 8 | data[body + 1])
    topic = data[at:topic_end]
    at = topic_end
    mid = 0
    properties = b""
    if first & QOS_BITS:
        at += 2
        if at > end:
            raise MalformedPacketError("a PUBLISH without a packet identifier")
        mid = data[at - 2] << 8 | data[at - 1]
    if version_5:
        if at >= end:
            raise MalformedPacketError("a PUBLISH without properties")
        length = data[at]
        at += 1
        if length:
            found = variable_integer(data, at - 1, end)
            if found is None:
                raise MalformedPacketError("a PUBLISH whose properties have no length")
            length, at = found
            properties = data[at : at + length]
            at += length
    if at > end:
        raise MalformedPacketError("a PUBLISH that is longer than its packet")
    return Publish(topic, data[at:end], mid, properties)


_SIZES = {0x01: 1, 0x02: 4, 0x23: 2}
_STRINGS = {0x03: 1, 0x08: 1, 0x09: 1, 0x26: 2}
_SUBSCRIPTION = 0x0B


def subscription_identifiers(properties: bytes) -> set[int]:
    """Return the subscription identifiers among a PUBLISH's properties (MQTT 5, 3.3.2.3); those before a broken one."""
    found: set[int] = set()
    at, end = 0, len(properties)
    while at < end:
        kind = properties[at]
        at += 1
        if kind == _SUBSCRIPTION:
            try:
                identifier = variable_integer(properties, at, end)
            except MalformedPacketError:
                return found
            if identifier is None:
                return found
            found.add(identifier[0])
            at = identifier[1]
        elif kind in _SIZES:
            at += _SIZES[kind]
        elif kind in _STRINGS:
            for _ in range(_STRINGS[kind]):
                at += 2 + int.from_bytes(properties[at : at + 2])
        else:
            return found
    return found
