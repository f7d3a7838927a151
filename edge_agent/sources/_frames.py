"""Frames of serial ports: cutting a stream of bytes at its delimiter, and what one frame says in each format."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from edge_agent.core.fields import NAME_PATTERN
from edge_agent.core.reading import parse_number
from edge_agent.sources.decode import Bad, Decoded, Fields, bare, load_json, path, select, shown, typed

MAX_FRAME = 65536
_MAX_NAME = 64
_KEY_VALUE = re.compile(r"([^\s=:,;]{1,64})[ \t]*[=:][ \t]*([^\s,;]*)")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufffd]")
"""What is in no text that a device means: control characters, and bytes that are no UTF-8."""
_name = re.compile(NAME_PATTERN).fullmatch

FrameDecoder = Callable[[bytes], Decoded | Fields | None]
"""One value, several fields, Bad for the whole frame, or None for an empty one."""


class Splitter:
    """Cuts a stream into frames. What grows past 64 KB without end is Bad once, and dropped up to the delimiter."""

    def __init__(self, delimiter: bytes) -> None:
        self._delimiter = delimiter
        self._strip_return = delimiter == b"\n"
        self._buffer = bytearray()
        self._searched = 0
        self._dropping = False

    def reset(self) -> None:
        """Forget what was begun."""
        self._buffer.clear()
        self._searched = 0
        self._dropping = False

    def feed(self, chunk: bytes) -> Iterator[bytes | Bad]:
        """Yield the frames that are complete now."""
        self._buffer += chunk
        start = 0
        while (end := self._buffer.find(self._delimiter, max(start, self._searched))) >= 0:
            frame = bytes(self._buffer[start:end])
            start = self._searched = end + len(self._delimiter)
            if self._dropping:
                self._dropping = False
            elif len(frame) > MAX_FRAME:
                yield _TOO_LONG
            else:
                yield frame[:-1] if self._strip_return and frame.endswith(b"\r") else frame
        del self._buffer[:start]
        self._searched = max(0, len(self._buffer) - len(self._delimiter) + 1)
        if self._dropping or len(self._buffer) > MAX_FRAME:
            if not self._dropping:
                self._dropping = True
                yield _TOO_LONG
            del self._buffer[: self._searched]
            self._searched = 0


_TOO_LONG = Bad("more than 64 KB without the delimiter (a wrong baud rate?)")


def frame_decoder(
    kind: str,
    *,
    pattern: str | None = None,
    columns: Sequence[str] | None = None,
    fields: Mapping[str, str] | None = None,
    configured: dict[str, bool],
) -> FrameDecoder:
    """Return the decoder of a format of serial frames."""
    decode: Callable[[str], Decoded | Fields]
    if kind == "regex":
        decode = _regex(pattern or "", configured)
    elif kind == "csv":
        decode = _csv(columns or (), configured)
    elif kind == "json":
        decode = _json(fields, configured)
    elif kind == "keyvalue":
        decode = _key_value(fields, configured)
    else:
        decode = _number

    def frame(data: bytes) -> Decoded | Fields | None:
        text = data.decode("utf-8", "replace").strip()
        return decode(text) if text else None

    return frame


def _number(text: str) -> Decoded:
    value = parse_number(text)
    return Bad(f"no decimal number: {shown(text)}") if value is None else value


def _part(text: str, configured: dict[str, bool]) -> Decoded:
    if _CONTROL.search(text):
        return Bad(f"no text: {shown(text)}")
    return bare(text.strip(), configured)


def _regex(pattern: str, configured: dict[str, bool]) -> Callable[[str], Fields | Bad]:
    search = re.compile(pattern).search

    def decode(text: str) -> Fields | Bad:
        found = search(text)
        groups = {} if found is None else found.groupdict()
        values = [(field, _part(part, configured)) for field, part in groups.items() if part is not None]
        return values or Bad(f"does not match the pattern: {shown(text)}")

    return decode


def _csv(columns: Sequence[str], configured: dict[str, bool]) -> Callable[[str], Fields | Bad]:
    def decode(text: str) -> Fields | Bad:
        try:
            cells = next(csv.reader([text], skipinitialspace=True), [])
        except csv.Error:
            return Bad(f"no CSV: {shown(text)}")
        if len(cells) < len(columns):
            return Bad(f"{len(cells)} of {len(columns)} columns: {shown(text)}")
        return [(field, _part(cell, configured)) for field, cell in zip(columns, cells, strict=False) if field]

    return decode


def _learned(field: object) -> bool:
    """Return whether a key can be a field; `online` is the source's own point."""
    return isinstance(field, str) and len(field) <= _MAX_NAME and field != "online" and _name(field) is not None


def _json(fields: Mapping[str, str] | None, configured: dict[str, bool]) -> Callable[[str], Fields | Bad]:
    paths = None if fields is None else [(field, path(expression)) for field, expression in fields.items()]

    def decode(text: str) -> Fields | Bad:
        document: Any = load_json(text)
        if isinstance(document, Bad):
            return document
        if paths is not None:
            return select(paths, document, configured)
        if not isinstance(document, dict):
            return Bad("no JSON object")
        values = [
            (field, typed(value, configured))
            for field, value in document.items()
            if _learned(field) and not isinstance(value, dict | list | None)
        ]
        return values or Bad("no usable key in the JSON object")

    return decode


def _key_value(fields: Mapping[str, str] | None, configured: dict[str, bool]) -> Callable[[str], Fields | Bad]:
    def decode(text: str) -> Fields | Bad:
        pairs = dict(_KEY_VALUE.findall(text))
        if fields is None:
            values = [(key, _part(part, configured)) for key, part in pairs.items() if _learned(key)]
        else:
            values = [(field, _part(pairs[key], configured)) for field, key in fields.items() if key in pairs]
        return values or Bad(f"no key with a value: {shown(text)}")

    return decode
