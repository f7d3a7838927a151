"""Decoding: what each payload is, paths into JSON, words for booleans, and that no input makes it raise."""

import json
import math
from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.reading import Value
from edge_agent.sources._frames import MAX_FRAME, Splitter, frame_decoder
from edge_agent.sources._payload import MAX_PAYLOAD, payload_decoder
from edge_agent.sources.decode import MAX_TEXT, Bad, path, words

OPEN = words(["Open", "AN"], ["zu"])
names = st.sampled_from(["a", "b", "_c", "data", "t1"])
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


def same(one: object, other: object) -> bool:
    return one is other or (type(one) is type(other) and one == other)


@given(documents, st.lists(names, min_size=1, max_size=4))
def test_short_way_of_dotted_paths_is_jmespath(document: Any, keys: list[str]) -> None:
    expression = ".".join(keys)
    assert same(path(expression)(document), jmespath.search(expression, document))


@pytest.mark.parametrize("expression", ["a b", "a.", "", "[", "a[?b", "foo("])
def test_wrong_path_is_refused_in_one_line(expression: str) -> None:
    with pytest.raises(ValueError, match=r"is no JMESPath expression: [^\n]+$"):
        path(expression)


def test_path_that_fails_on_a_document_is_bad() -> None:
    assert isinstance(path("length(a)")({"a": 1}), Bad)
    assert isinstance(path("nope(@)")({"a": 1}), Bad)
    assert path("a[?b > `1`].b | [0]")({"a": [{"b": 1}, {"b": 2}]}) == 2
    assert path('"with-dash".x')({"with-dash": {"x": 5}}) == 5


BAD = None
PAYLOADS: list[tuple[dict[str, Any], bytes, Value | None]] = [
    # by what the payload is
    ({}, b"21.5", 21.5),
    ({}, b" -3 ", -3),
    ({}, b"TRUE", True),
    ({}, b"on", "on"),
    ({}, b"nan", BAD),
    ({}, b"-inf", BAD),
    ({}, b"", BAD),
    ({}, b"  ", BAD),
    ({}, b"1e999", BAD),
    ({}, b"0x1F", "0x1F"),
    ({}, b"21,5", "21,5"),
    ({}, b'{"a": 1}', BAD),
    ({}, b"[1]", BAD),
    ({}, b"[hello", "[hello"),
    ({}, b"\xff", BAD),
    ({"configured": OPEN}, b"OPEN", True),
    ({"configured": OPEN}, b" Zu\n", False),
    ({"configured": OPEN}, b"true", True),
    # number
    ({"kind": "number"}, b"1_000", BAD),
    ({"kind": "number"}, b"true", BAD),
    ({"kind": "number"}, b"+.5", 0.5),
    # boolean
    ({"kind": "boolean"}, b"On", True),
    ({"kind": "boolean"}, b"no", False),
    ({"kind": "boolean"}, b"1", True),
    ({"kind": "boolean"}, b"open", BAD),
    ({"kind": "boolean", "configured": OPEN}, b"open", True),
    ({"kind": "boolean", "configured": OPEN}, b"on", BAD),
    ({"kind": "boolean", "configured": OPEN}, b"false", False),
    ({"kind": "boolean", "configured": words(["open"], [])}, b"no", False),
    ({"kind": "boolean", "configured": words(["0"], [])}, b"0", True),
    # text
    ({"kind": "text"}, b" 21.5 ", " 21.5 "),
    ({"kind": "text"}, b"", ""),
    ({"kind": "text"}, b"\xff", BAD),
    ({"kind": "text"}, b"x" * (MAX_TEXT + 1), BAD),
    # json
    ({"kind": "json"}, b"21.5", 21.5),
    ({"kind": "json"}, b'"21.5"', "21.5"),
    ({"kind": "json"}, b"null", BAD),
    ({"value": "a"}, b'{"a": "21.5"}', "21.5"),
    ({"value": "a"}, b'{"a": true}', True),
    ({"value": "a"}, b'{"a": 1}', 1),
    ({"value": "a"}, b'{"a": null}', BAD),
    ({"value": "a"}, b'{"a": [1]}', BAD),
    ({"value": "a"}, b'{"a": NaN}', BAD),
    ({"value": "a"}, b'{"a": 1' + b"0" * 400 + b"}", BAD),
    ({"value": "a.b"}, b'{"a": [1]}', BAD),
    ({"value": "a"}, b"[" * 50_000, BAD),
    ({"value": "a", "configured": OPEN}, b'{"a": "open"}', True),
    ({"value": "a"}, b" " * (MAX_PAYLOAD + 1), BAD),
]


@pytest.mark.parametrize(("options", "payload", "expected"), PAYLOADS, ids=lambda item: str(item)[:40])
def test_payload_is(options: dict[str, Any], payload: bytes, expected: Value | None) -> None:
    found = payload_decoder(options.get("kind"), value=options.get("value"), configured=options.get("configured", {}))(
        payload
    )
    if expected is BAD:
        assert isinstance(found, Bad)
        assert found.reason
        assert len(found.reason) < 200
    else:
        assert same(found, expected)


def test_several_fields() -> None:
    decode = payload_decoder(None, fields={"t": "t", "door": "d.open"}, configured=OPEN)
    assert decode(b'{"t": 1.5, "d": {"open": "zu"}}') == [("t", 1.5), ("door", False)]
    assert decode(b'{"t": 1.5, "d": null}') == [("t", 1.5)]
    assert isinstance(decode(b"{}"), Bad)
    assert isinstance(decode(b"5"), Bad)
    found = decode(b'{"t": {}}')
    assert isinstance(found, list)
    assert isinstance(found[0][1], Bad)


formats = st.sampled_from([None, "json", "number", "text", "boolean"])


@given(formats, st.binary(max_size=40) | documents.map(lambda document: json.dumps(document).encode()))
def test_no_payload_makes_it_raise_and_no_number_is_nan(kind: str | None, payload: bytes) -> None:
    for value, fields in ((None, None), ("a", None), (None, {"x": "a.b"})):
        found = payload_decoder(kind, value=value, fields=fields, configured=OPEN)(payload)
        assert not (isinstance(found, float) and not math.isfinite(found))


@given(st.sampled_from(["number", "regex", "csv", "json", "keyvalue"]), st.binary(max_size=60))
def test_no_frame_makes_it_raise(kind: str, frame: bytes) -> None:
    decode = frame_decoder(kind, pattern="(?P<a>.)", columns=("a", "b"), configured={})
    found = decode(frame)
    assert not (isinstance(found, float) and not math.isfinite(found))


@given(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"ab", b"aa"]),
    st.lists(st.binary(max_size=9).map(lambda data: data.replace(b"a", b"\r"))),
    st.data(),
)
def test_frames_are_the_same_however_the_stream_is_cut(
    delimiter: bytes, parts: list[bytes], data: st.DataObject
) -> None:
    stream = delimiter.join(parts) + delimiter
    whole = list(Splitter(delimiter).feed(stream))
    assert len(whole) == stream.count(delimiter)
    splitter = Splitter(delimiter)
    pieces = []
    while stream:
        size = data.draw(st.integers(1, 7))
        pieces += list(splitter.feed(stream[:size]))
        stream = stream[size:]
    assert pieces == whole


def test_frame_without_end_is_bad_once_and_dropped_up_to_the_delimiter() -> None:
    splitter = Splitter(b"\r\n")
    said: list[bytes | Bad] = []
    for _ in range(100):
        said += splitter.feed(b"x" * 5000)
    said += splitter.feed(b"y\r")
    said += splitter.feed(b"\n21.5\r\n")
    assert isinstance(said[0], Bad)
    assert said[1:] == [b"21.5"]
    assert [type(frame) for frame in splitter.feed(b"z" * (MAX_FRAME + 1) + b"\r\n1\r\n")] == [Bad, bytes]
    assert list(splitter.feed(b"half")) == []
    splitter.reset()
    assert list(splitter.feed(b"1\r\n")) == [b"1"]
