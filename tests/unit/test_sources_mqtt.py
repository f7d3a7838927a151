"""MQTT's pure parts: topic filters and packets, compared with paho's own reading of them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.sources import _topics
from edge_agent.sources._packets import (
    Inbox,
    MalformedPacketError,
    Packet,
    read_publish,
    subscription_identifiers,
    variable_integer,
)
from edge_agent.sources._route import subscription_identifier

levels = st.sampled_from(["a", "b", "", "$x", "c.d"])
topics = st.lists(levels, min_size=1, max_size=4).map("/".join).filter(bool)
filters = (
    st.tuples(st.lists(levels | st.just("+"), min_size=1, max_size=4), st.booleans())
    .map(lambda made: "/".join(made[0] + ["#"] * made[1]))
    .filter(bool)
)


@given(filters, topics)
def test_filters_match_as_paho_says(topic_filter: str, topic: str) -> None:
    assert _topics.filter_error(topic_filter) == ""
    assert (_topics.matcher(topic_filter)(topic) is not None) == topic_matches_sub(topic_filter, topic)


@given(filters, filters, topics)
def test_filters_that_match_one_topic_overlap(one: str, other: str, topic: str) -> None:
    if _topics.matcher(one)(topic) is not None and _topics.matcher(other)(topic) is not None:
        assert _topics.overlap(one, other)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "instance"),
    [
        ("site/+/freezer", "site/f1/freezer", "f1"),
        ("site/+/freezer/+", "site/f1/freezer/2", "f1/2"),
        ("site/#", "site/a/b", "a/b"),
        ("site/#", "site", ""),
        ("+/x/#", "a/x/b/c", "a/b/c"),
        ("a/b", "a/b", ""),
        ("a.b/+", "aXb/1", None),
        ("#", "$SYS/x", None),
        ("+/x", "a\n/x", "a\n"),
    ],
)
def test_instance_is_what_the_wildcards_matched(topic_filter: str, topic: str, instance: str | None) -> None:
    assert _topics.matcher(topic_filter)(topic) == instance


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a#", "a/b+", "#a", "a\0", "$share/g/a", "x" * 65536])
def test_malformed_filters_are_refused_in_words(topic_filter: str) -> None:
    assert _topics.filter_error(topic_filter)


def packed(topic: bytes, payload: bytes, *, mid: int = 0, properties: bytes | None = None) -> bytes:
    body = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", mid) if mid else b"")
    if properties is not None:
        body += length(len(properties)) + properties
    body += payload
    return bytes([0x32 if mid else 0x30]) + length(len(body)) + body


def length(value: int) -> bytes:
    found = bytearray()
    while True:
        value, low = divmod(value, 128)
        found.append(low | 0x80 * bool(value))
        if not value:
            return bytes(found)


def cut(inbox: Inbox, stream: bytes, size: int) -> list[bytes]:
    found = []
    for at in range(0, len(stream), size):
        inbox.feed(stream[at : at + size])
        while (packet := inbox.next()) is not None:
            found.append(packet.whole())
    return found


messages = st.tuples(st.binary(max_size=20), st.binary(max_size=300), st.integers(0, 65535))


@given(st.lists(messages, max_size=6), st.integers(1, 400))
def test_packets_are_the_same_however_the_stream_is_cut(made: list[tuple[bytes, bytes, int]], size: int) -> None:
    packets = [packed(topic, payload, mid=mid) for topic, payload, mid in made]
    assert cut(Inbox(10_000), b"".join(packets), size) == packets


@given(st.integers(1, 2000))
def test_packet_past_the_limit_comes_cut_and_the_next_whole(size: int) -> None:
    large, small = packed(b"t", b"x" * 5000, mid=7), packed(b"t", b"1")
    found = cut(Inbox(1000), small + large + small + large + large + small, size)
    assert found == [small, large[:1000], small, large[:1000], large[:1000], small]


@given(st.binary(max_size=20), st.binary(max_size=50), st.integers(0, 65535), st.lists(st.integers(1, 2**28 - 1)))
def test_publish_is_read_as_it_was_written(topic: bytes, payload: bytes, mid: int, identifiers: list[int]) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = [("k", "v")]
    properties.ContentType = "text"
    properties.MessageExpiryInterval = 5
    if identifiers:
        properties.SubscriptionIdentifier = identifiers
    with_length = properties.pack()  # type: ignore[no-untyped-call]
    _, skipped = variable_integer(with_length, 0, len(with_length)) or (0, 0)
    for version_5 in (False, True):
        data = packed(topic, payload, mid=mid, properties=with_length[skipped:] if version_5 else None)
        (packet,) = packets(data)
        found = read_publish(packet, version_5=version_5)
        assert (found.topic, found.payload, found.mid) == (topic, payload, mid)
        assert subscription_identifiers(found.properties) == (set(identifiers) if version_5 else set())


def packets(data: bytes) -> list[Packet]:
    inbox = Inbox(1 << 20)
    inbox.feed(data)
    found = []
    while (packet := inbox.next()) is not None:
        found.append(packet)
    return found


@given(st.binary(min_size=1, max_size=40), st.booleans(), st.sampled_from([0x30, 0x32, 0x3B]))
def test_garbage_is_malformed_or_a_message_and_nothing_else(body: bytes, version_5: bool, first: int) -> None:  # noqa: FBT001 - drawn
    for packet in packets(bytes([first]) + length(len(body)) + body):
        try:
            found = read_publish(packet, version_5=version_5)
        except MalformedPacketError:
            continue
        assert len(found.topic) + len(found.payload) <= len(body)


@given(st.binary(max_size=30))
def test_garbage_properties_have_at_most_some_identifiers(properties: bytes) -> None:
    assert len(subscription_identifiers(properties)) <= len(properties)


def test_length_of_five_bytes_is_malformed() -> None:
    with pytest.raises(MalformedPacketError):
        packets(b"\x30\xff\xff\xff\xff\x01")


def test_subscription_identifiers_are_in_range_and_stay_the_same() -> None:
    assert subscription_identifier("site/+/freezer") == subscription_identifier("site/+/freezer")
    assert 1 <= subscription_identifier("#") <= 268_435_455
