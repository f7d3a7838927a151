"""A broker's connection: one for all sources that name it, with a persistent session, run by the driver's own thread.

paho does what is done once a connection: CONNECT, SUBSCRIBE, pings, the goodbye. What comes with each message, PUBLISH
and PUBACK, is read and written here. All of it runs inside `serve`, not in a thread of paho's, which an exception would
end without a word.
"""

import contextlib
import functools
import itertools
import logging
import select
import struct
import time
from collections.abc import Mapping
from typing import Any

from paho.mqtt import MQTTException
from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent.sources import _topics
from edge_agent.sources._acknowledge import Acknowledgements
from edge_agent.sources._packets import PUBLISH, QOS_BITS, RETAIN, Inbox, MalformedPacketError, Publish, read_publish
from edge_agent.sources._payload import MAX_PAYLOAD
from edge_agent.sources._reach import LookUp, connect_error, default_client_id, other_version, refusal, tls_context
from edge_agent.sources._route import Router, Subscriber, subscription_identifier
from edge_agent.sources._wire import Wire, Wiring
from edge_agent.sources.base import Driver, DriverContext, Intake, SourceError
from edge_agent.sources.broker import BrokerSettings

_log = logging.getLogger("edge_agent.sources")
_KEEPALIVE_S = 15
_CONNECT_S = 4.0
_OPEN_S = 12.0
"""After this long no further address is begun with."""
_ANSWER_S = 10.0
"""Within this long the broker must answer CONNECT and SUBSCRIBE."""
_AGAIN_S = 30.0
"""A refused subscription is tried again after this long: whoever mends the broker's rights need not restart us."""
_SESSION_S = 30 * 86400
_RECEIVE_MAXIMUM = 1000
_MAX_PACKET = MAX_PAYLOAD + (1 << 17)
_MAX_UNSUBSCRIBED = 100
_DISCONNECT = 0xE0
_TAKEN_OVER = 0x8E
_QOS_2 = 0x04
_UNREADABLE = (struct.error, IndexError, KeyError, ValueError)
"""What paho raises on packets that are none."""
_PUBACK = struct.Struct("!BBH")


class MqttDriver:
    """One broker's connection and the sources that it serves."""

    def __init__(
        self, broker: str, settings: BrokerSettings, sources: Mapping[str, Any], context: DriverContext
    ) -> None:
        self.name = f"mqtt.{broker}"
        self.sources: tuple[str, ...] = tuple(sources)
        self._settings = settings
        self._version_5 = settings.version == "5"
        self._password = context.passwords.get(broker)
        self._client_id = settings.client_id or default_client_id(context)
        self._subscribers = {name: Subscriber(name, source) for name, source in sources.items()}
        self._filters: dict[str, list[Subscriber]] = {}
        for subscriber in self._subscribers.values():
            self._filters.setdefault(subscriber.settings.topic, []).append(subscriber)
        self._identify = self._version_5 and _any_overlap(list(self._filters))
        self._router = Router(self._subscribers, by_identifier=self._identify)
        self._client: Client | None = None
        self._wire: Wire | None = None
        self._acks: Acknowledgements | None = None
        self._inbox = Inbox(_MAX_PACKET)
        self._poll = select.poll()
        self._intake: Intake | None = None
        self._error: SourceError | None = None
        self._connected = False
        self._asked: dict[int, str] = {}
        self._refused: set[str] = set()
        self._wire_fd = -1
        self._granted_by = 0.0
        self._again_at = 0.0
        self._misc_at = 0.0
        self._unsubscribed: set[bytes] = set()
        self._look_up = LookUp()

    def open(self, intake: Intake) -> None:
        """Connect; the sources are online only when their subscriptions were granted, in `serve`."""
        self._intake = intake
        settings = self._settings
        addresses = self._look_up.addresses(settings.host, settings.tcp_port)
        wiring = Wiring(settings.host, tls_context(settings), _CONNECT_S)
        self._error = None
        self._connected = False
        self._asked.clear()
        self._refused.clear()
        self._unsubscribed.clear()
        self._inbox = Inbox(_MAX_PACKET)
        self._acks = acks = Acknowledgements()
        self._client = client = self._new_client()
        wiring.attach(client)
        self._wire = wire = self._connect(client, addresses, wiring)
        self._poll = select.poll()
        self._poll.register(wire.fileno(), select.POLLIN)
        self._poll.register(acks.fileno(), select.POLLIN)
        self._wire_fd = wire.fileno()
        self._granted_by = time.monotonic() + _ANSWER_S
        self._misc_at = 0.0
        wire.flush()

    def serve(self, timeout_s: float) -> None:
        """Wait for messages or acknowledgements; pass on all that has come; send what is to be sent."""
        client, wire, acks = self._client, self._wire, self._acks
        if client is None or wire is None or acks is None:
            raise SourceError("not connected")
        readable = wire.holds_more()
        if not readable and acks.wait_begins():
            events = self._poll.poll(timeout_s * 1000)
            readable = any(fd == self._wire_fd for fd, _ in events)
        acks.wait_ended()
        if readable:
            self._receive(client, wire, acks)
        self._acknowledge(wire, acks)
        self._housekeep(client)
        if client.socket() is None or self._error is not None:
            raise self._error or self._closed()
        if client.want_write():
            client.loop_write()
        try:
            wire.flush()
        except OSError as error:
            raise self._lost(error) from error

    def _receive(self, client: Client, wire: Wire, acks: Acknowledgements) -> None:
        """Take what has come: messages are ours, every other packet is paho's."""
        try:
            chunk = wire.receive()
        except OSError as error:
            raise self._lost(error) from error
        if chunk == b"":
            raise self._closed()
        if chunk is None:
            return
        inbox = self._inbox
        inbox.feed(chunk)
        try:
            while (packet := inbox.next()) is not None:
                first = packet.first
                if first & 0xF0 == PUBLISH and first & QOS_BITS != _QOS_2:
                    self._on_publish(acks, client, read_publish(packet, version_5=self._version_5), first)
                elif first == _DISCONNECT and packet.end > packet.body:
                    self._ended(packet.data[packet.body])
                    return
                else:
                    if packet.end - packet.start >= _MAX_PACKET:
                        raise MalformedPacketError("a packet of over a megabyte that is no message")  # noqa: TRY301 - as the parser's
                    wire.hand(packet.whole())
                    client.loop_read()
                    if client.socket() is None or self._error is not None:
                        return
        except (MalformedPacketError, MQTTException, *_UNREADABLE) as error:
            raise SourceError(f"the broker sent what is no MQTT: {error}", "is that an MQTT broker's port?") from error

    def close(self) -> None:
        """Send the acknowledgements that are due, say goodbye, and close. The session stays at the broker."""
        client, wire, acks = self._client, self._wire, self._acks
        self._client = self._wire = self._acks = None
        if client is not None and wire is not None and acks is not None and client.socket() is not None:
            with contextlib.suppress(OSError, ValueError):
                self._acknowledge(wire, acks)
                client.disconnect()
        if wire is not None:
            wire.close()
        if acks is not None:
            acks.close()

    def returned(self) -> bool:
        """Return False: nothing announces that a broker came back."""
        return False

    def _new_client(self) -> Client:
        settings = self._settings
        version_5 = self._version_5
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if version_5 else False,
            protocol=MQTTv5 if version_5 else MQTTv311,
            manual_ack=True,
            reconnect_on_failure=False,  # else paho tries MQTT 3.1 by itself when 3.1.1 is refused
        )
        client.connect_timeout = _CONNECT_S
        if settings.username is not None:
            client.username_pw_set(settings.username, self._password)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _connect(self, client: Client, addresses: list[str], wiring: Wiring) -> Wire:
        """Connect to the first address that answers; the CONNECT packet then waits in the wire."""
        options: dict[str, Any] = {}
        if self._version_5:
            options["clean_start"] = False
            options["properties"] = _properties(
                PacketTypes.CONNECT,
                SessionExpiryInterval=_SESSION_S,
                ReceiveMaximum=_RECEIVE_MAXIMUM,
            )
        failure = OSError("no address")
        give_up_at = time.monotonic() + _OPEN_S
        for address in addresses:
            if time.monotonic() > give_up_at:
                break  # the thread must show that it does not hang
            try:
                client.connect(address, self._settings.tcp_port, _KEEPALIVE_S, **options)
            except OSError as error:
                failure = error
                continue
            if wiring.wire is not None:
                return wiring.wire
        raise connect_error(self._settings, failure) from failure

    def _on_connect(self, client: Client, _userdata: object, _flags: object, reason: ReasonCode, *_: object) -> None:
        if reason.is_failure:
            self._error = refusal(str(reason), self._settings, self._client_id)
            return
        self._connected = True
        for topic_filter in self._filters:
            self._subscribe(client, topic_filter)

    def _subscribe(self, client: Client, topic_filter: str) -> None:
        qos = max(subscriber.settings.qos for subscriber in self._filters[topic_filter])
        if self._version_5:
            properties = None
            if self._identify:
                identifier = subscription_identifier(topic_filter)
                properties = _properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=identifier)
            _, mid = client.subscribe(topic_filter, options=SubscribeOptions(qos=qos), properties=properties)
        else:
            _, mid = client.subscribe(topic_filter, qos)
        if mid is not None:
            self._asked[mid] = topic_filter

    def _on_subscribe(
        self, _client: Client, _userdata: object, mid: int, reasons: list[ReasonCode], *_: object
    ) -> None:
        topic_filter = self._asked.pop(mid, None)
        if topic_filter is None or self._intake is None:
            return
        refused = next((str(reason) for reason in reasons if reason.is_failure), None)
        for subscriber in self._filters[topic_filter]:
            if refused is None:
                self._intake.online(subscriber.name)
            else:
                self._intake.offline(
                    subscriber.name,
                    f"the broker refuses the subscription to {topic_filter}: {refused}",
                    "let the broker's access rules allow it for this user",
                )
        if refused is None:
            self._refused.discard(topic_filter)
        else:
            self._refused.add(topic_filter)
            self._again_at = time.monotonic() + _AGAIN_S

    def _ended(self, code: int) -> None:
        """Take the reason of the broker's DISCONNECT (MQTT 5); paho 2.1 does not read it where nothing follows it."""
        if code == _TAKEN_OVER:
            self._error = SourceError(
                f"the session was taken over: another client connected with the client_id {self._client_id}",
                "give each agent a client_id of its own in its [mqtt] table",
            )
            return
        try:
            reason = str(ReasonCode(PacketTypes.DISCONNECT, identifier=code))
        except KeyError:
            reason = f"reason {code:#04x}"
        self._error = SourceError(f"the broker ended the connection: {reason}", "see the broker's log")

    def _on_publish(self, acks: Acknowledgements | None, client: Client, message: Publish, first: int) -> None:
        acknowledge = functools.partial(acks.add, message.mid) if message.mid and acks is not None else None
        intake = self._intake
        if intake is None:
            return
        try:
            if not self._router.pass_on(message, intake, acknowledge, retained=bool(first & RETAIN)):
                self._leave(client, message.topic)
        except Exception:  # noqa: BLE001 - the top of all decoding: a message must neither end the loop nor come for ever
            _log.exception("broker=%s a message could not be decoded", self.name)
            intake.count_refused(self.sources[0], "a message that could not be decoded")
            if acknowledge is not None:
                acknowledge()

    def _on_message(self, client: Client, _userdata: object, message: MQTTMessage) -> None:
        """Take a message of QoS 2, queued for a subscription of an earlier configuration; paho has received it."""
        with contextlib.suppress(UnicodeDecodeError):
            publish = Publish(message.topic.encode(), bytes(message.payload), 0, b"")
            self._on_publish(None, client, publish, RETAIN if message.retain else 0)
        client.ack(message.mid, message.qos)

    def _leave(self, client: Client, topic: bytes) -> None:
        """End a subscription that the session has from an earlier configuration, where it has no wildcards."""
        if topic not in self._unsubscribed and len(self._unsubscribed) < _MAX_UNSUBSCRIBED:
            self._unsubscribed.add(topic)
            with contextlib.suppress(ValueError):  # no UTF-8, or a topic that no filter can name
                client.unsubscribe(topic.decode())

    def _acknowledge(self, wire: Wire, acks: Acknowledgements) -> None:
        """Write PUBACKs. Whole packets may be put between paho's, which are whole in the wire too."""
        for mid in acks.take():
            wire.send(_PUBACK.pack(0x40, 2, mid))

    def _housekeep(self, client: Client) -> None:
        """Each second: the keepalive, and what the broker should have answered by now."""
        now = time.monotonic()
        if now < self._misc_at:
            return
        self._misc_at = now + 1.0
        client.loop_misc()
        if (self._asked or not self._connected) and now > self._granted_by and self._error is None:
            self._error = SourceError("the broker does not answer", "is that an MQTT broker's port?")
        if self._refused and now > self._again_at:
            self._again_at = now + _AGAIN_S
            self._granted_by = now + _ANSWER_S
            for topic_filter in self._refused:
                self._subscribe(client, topic_filter)

    def _lost(self, error: OSError) -> SourceError:
        return self._error or SourceError(f"the connection to the broker was lost: {error.strerror or error}")

    def _closed(self) -> SourceError:
        if not self._connected:
            return SourceError(
                "the broker closed the connection before it was set up",
                f'is that its port (with tls its TLS port)? Or set version = "{other_version(self._settings)}"',
            )
        return SourceError(
            "the connection to the broker was lost",
            f"if that happens again and again: does another client use the client_id {self._client_id}?",
        )


def _properties(packet: int, **values: int) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call] # paho's
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


def _any_overlap(filters: list[str]) -> bool:
    return any(_topics.overlap(one, other) for one, other in itertools.combinations(filters, 2))


def mqtt_drivers(sources: Mapping[str, Any], context: DriverContext) -> list[Driver]:
    """Return one driver for each broker that sources name; a source that names none uses the only one."""
    members: dict[str, dict[str, Any]] = {}
    for name, settings in sources.items():
        broker = settings.broker or next(iter(context.brokers))
        members.setdefault(broker, {})[name] = settings
    return [MqttDriver(broker, context.brokers[broker], group, context) for broker, group in members.items()]
