"""What an MQTT payload says, in each format. Compiled once per source: this runs for every message."""

from collections.abc import Callable, Mapping

from edge_agent.core.reading import parse_number
from edge_agent.sources.decode import (
    MAX_TEXT,
    Bad,
    Decoded,
    Fields,
    bare,
    boolean_words,
    load_json,
    path,
    select,
    shown,
    typed,
)

MAX_PAYLOAD = 1 << 20
"""Bytes of the longest payload that is looked at."""

PayloadDecoder = Callable[[bytes | bytearray], Decoded | Fields]
_TextDecoder = Callable[[str], Decoded | Fields]


def payload_decoder(
    kind: str | None,
    *,
    value: str | None = None,
    fields: Mapping[str, str] | None = None,
    configured: dict[str, bool],
) -> PayloadDecoder:
    """Return the decoder of a format of payloads; None: by what the payload is."""
    decode: _TextDecoder
    if fields is not None:
        decode = _fields(fields, configured)
    elif kind == "json" or value is not None:
        decode = _value("@" if value is None else value, configured)
    elif kind == "number":
        decode = _number
    elif kind == "boolean":
        decode = _boolean(boolean_words(configured))
    elif kind == "text":
        decode = _text
    else:
        decode = _by_what_it_is(configured)

    def payload(data: bytes | bytearray) -> Decoded | Fields:
        if len(data) > MAX_PAYLOAD:
            return Bad(f"a payload of {len(data)} bytes")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return Bad("not UTF-8")
        return decode(text)

    return payload


def _value(expression: str, configured: dict[str, bool]) -> _TextDecoder:
    search = path(expression)

    def decode(text: str) -> Decoded:
        document = load_json(text)
        if type(document) is Bad:
            return document
        found = search(document)
        return found if type(found) is Bad else typed(found, configured)

    return decode


def _fields(fields: Mapping[str, str], configured: dict[str, bool]) -> _TextDecoder:
    paths = [(field, path(expression)) for field, expression in fields.items()]

    def decode(text: str) -> Fields | Bad:
        document = load_json(text)
        return document if type(document) is Bad else select(paths, document, configured)

    return decode


def _number(text: str) -> Decoded:
    value = parse_number(text)
    return Bad(f"no decimal number: {shown(text)}" if text.strip() else "empty") if value is None else value


def _boolean(known: dict[str, bool]) -> _TextDecoder:
    def decode(text: str) -> Decoded:
        value = known.get(text.strip().lower())
        return Bad(f"no word for true or false: {shown(text)}") if value is None else value

    return decode


def _text(text: str) -> Decoded:
    return text if len(text) <= MAX_TEXT else Bad("a text that is too long")


def _by_what_it_is(configured: dict[str, bool]) -> _TextDecoder:
    def decode(text: str) -> Decoded:
        if text.lstrip()[:1] in ("{", "[") and isinstance(load_json(text), dict | list):
            return Bad("a JSON object or array; name what to take of it with value or fields")
        return bare(text, configured)

    return decode
