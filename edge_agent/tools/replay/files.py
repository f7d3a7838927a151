"""Reads files of readings, CSV or JSONL, gzipped or not, as a stream: a year takes no more memory than an hour."""

import contextlib
import csv
import gzip
import io
import itertools
import json
import sys
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import tzinfo
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

from edge_agent.config.words import clean, quote
from edge_agent.core.instants import EARLIEST, iso_micros, parse_instant, unix_instant
from edge_agent.core.reading import Reading, Value, number, parse_value
from edge_agent.tools.replay.entries import CSV_HEADER, WORDS, Command, Entry, Word

STDIN = "-"
_COLUMNS = tuple(CSV_HEADER.split(","))
_JSONL_SUFFIXES = (".jsonl", ".ndjson", ".json")
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 256 * 1024
_MAX_LINE = 1024 * 1024
_MAX_CACHED = 10_000
_MAX_CACHED_TEXT = 32
_BOM = "\ufeff"
_BAD = "bad in the file"
_MISSING = object()
_QUOTING = "a value that holds commas, quotes or line ends stands in double quotes"
_CSV_TROUBLE = {
    "unexpected end of data": "begins a double quote that is never closed",
    "field larger": "has a value without end",
    "',' expected": "has something behind a closing quote",
    "new-line character": "has a carriage return inside a line",
}
"""{how the csv module's words begin: ours}"""

Warn = Callable[[str], None]
Progress = Callable[[int], None]


class ReadingsError(Exception):
    """A file cannot be read; the message names it, and the line if it is about one."""


class _LineError(ValueError):
    """What is wrong in a line, where it is not the one just read."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _ignore(_: object) -> None:
    """Take no notice."""


def read(path: str, zone: tzinfo, warn: Warn = _ignore, progress: Progress = _ignore) -> Iterator[Entry]:
    """Yield a file's entries, never back in time; "-" is the standard input.

    It is JSONL if its name or its first character says so, else CSV, whose header names the columns, in any order.
    Times without an offset are in `zone`. A line that goes back in time is taken at the time of the line before it,
    and `warn` hears of the first. `progress` hears how many bytes of the file were read, again and again.

    Raises:
        ReadingsError: there is no such file, or a line cannot be read.
    """
    name = "standard input" if path == STDIN else clean(path)
    reader = _Reader(name, zone, warn)
    try:
        with _opened(path) as stream:
            yield from reader.entries(_lines(stream, progress), path.lower().removesuffix(".gz"))
    except _LineError as error:
        raise ReadingsError(f"{name}:{error.line}: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReadingsError(f"{name}:{reader.line + 1}: the gzip file is cut or damaged: {clean(str(error))}") from None
    except OSError as error:
        raise ReadingsError(f"{name}: {error.strerror or error}") from None


@contextlib.contextmanager
def _opened(path: str) -> Iterator["_Stream"]:
    with contextlib.ExitStack() as stack:
        if path == STDIN:
            raw: Any = sys.stdin.buffer
            raw = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
        else:
            raw = stack.enter_context(Path(path).open("rb"))
        if raw.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC):
            yield _Stream(raw, stack.enter_context(gzip.GzipFile(fileobj=raw)))
        else:
            yield _Stream(raw, raw)


class _Stream:
    """A file's bytes, and how many of the file itself were read for them."""

    def __init__(self, raw: BinaryIO, unpacked: Any) -> None:
        self._raw = raw
        self._unpacked = unpacked
        self._told = 0

    def chunks(self, progress: Progress) -> Iterator[bytes]:
        """Yield what is there, as soon as it is there."""
        while chunk := self._unpacked.read1(_CHUNK):
            yield chunk
            with contextlib.suppress(OSError):  # a pipe has no position
                at = self._raw.tell()
                progress(at - self._told)
                self._told = at


def _lines(stream: _Stream, progress: Progress) -> Iterator[str]:
    """Yield lines with their ends; only a line feed ends one.

    Raises:
        _LineError: a line is no UTF-8, or too long.
    """
    count, tail = 0, b""
    for chunk in stream.chunks(progress):
        whole, feed, rest = chunk.rpartition(b"\n")
        if not feed:
            tail += chunk
        else:
            text = _decode(tail + whole + feed, count)
            tail = rest
            yield from io.StringIO(text, newline="\n")
            count += text.count("\n")
        if len(tail) > _MAX_LINE:
            raise _LineError(count + 1, f"is longer than {_MAX_LINE // 1024} KB")
    if tail:
        yield _decode(tail, count)


def _decode(data: bytes, lines_before: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = lines_before + data.count(b"\n", 0, error.start) + 1
        raise _LineError(line, "is no UTF-8 text") from None


class _Reader:
    """Makes entries of a file's lines."""

    def __init__(self, name: str, zone: tzinfo, warn: Warn) -> None:
        self._name = name
        self._zone = zone
        self._warn = warn
        self._at = EARLIEST
        self._warned = False
        self.line = 0
        """The line before the one that is being read."""

    def entries(self, lines: Iterator[str], name: str) -> Generator[Entry, None, None]:
        first = next(lines, "").removeprefix(_BOM)
        while first and not first.strip():
            self.line += 1
            first = next(lines, "")
        if not first:
            raise _LineError(1, f"there is nothing in it, not even the header {CSV_HEADER}")
        lines = itertools.chain((first,), lines)
        is_json = first.lstrip().startswith("{") or name.endswith(_JSONL_SUFFIXES)
        try:
            yield from self._jsonl(lines) if is_json else self._csv(lines)
        except _LineError:
            raise
        except csv.Error as error:
            raise _LineError(self.line + 1, f"{_csv_trouble(str(error))}; {_QUOTING}") from None
        except ValueError as error:
            raise _LineError(self.line + 1, str(error)) from None

    def _held(self) -> int:
        """Return the instant of a line that goes back in time: that of the line before."""
        if not self._warned:
            self._warned = True
            what = "goes back in time; such lines are taken at the time of the line before"
            self._warn(f"{self._name}:{self.line + 1}: {what}, here {iso_micros(self._at, self._zone)}")
        return self._at

    # CSV ----------------------------------------------------------------------------------------------------------

    def _csv(self, lines: Iterable[str]) -> Iterator[Entry]:
        above = self.line
        rows = csv.reader(lines, strict=True)
        pick, width = _columns(next(rows))
        self.line = above + rows.line_num
        known: dict[str, Any] = {}
        zone, at = self._zone, self._at
        for row in rows:
            if len(row) != width:
                if row:
                    raise ValueError(f"has {len(row)} columns where the header has {width}; {_QUOTING}")
            else:
                time, point, text = pick(row)
                instant = parse_instant(time, zone, at)
                if instant < at:
                    instant = self._held()
                self._at = at = instant
                value = known.get(text, _MISSING)
                if value is _MISSING:
                    value = parse_value(text)
                    if len(text) <= _MAX_CACHED_TEXT and len(known) < _MAX_CACHED:
                        known[text] = value
                if point[:1] == "!":
                    yield self._csv_command(point, text, at)
                elif point:
                    yield Reading(point, value, at, "" if value is not None else _BAD)
                else:
                    raise ValueError("names no point")
            self.line = above + rows.line_num

    def _csv_command(self, point: str, text: str, at: int) -> Command:
        end = text.rfind("]") + 1 or len(text.partition(" ")[0])
        target, until = text[:end], text[end:].strip()
        alarm, bracket, rest = target.partition("[")
        if bracket and not rest.endswith("]"):
            raise ValueError(f"{clean(quote(target))} is no alarm; write ALARM or ALARM[INSTANCE]")
        return self._command(point[1:], alarm, rest[:-1] if bracket else None, at, until or None)

    # JSONL --------------------------------------------------------------------------------------------------------

    def _jsonl(self, lines: Iterable[str]) -> Iterator[Entry]:
        for line in lines:
            if not line.isspace():
                yield self._json_entry(_json_object(line))
            self.line += 1

    def _json_entry(self, fields: dict[str, Any]) -> Entry:
        time = fields.get("time", _MISSING)
        if time is _MISSING:
            raise ValueError("has no time")
        at = self._instant(time, self._at)
        if at < self._at:
            at = self._held()
        self._at = at
        if "command" in fields:
            word, alarm, instance = fields["command"], fields.get("alarm"), fields.get("instance")
            return self._command(word, alarm, instance, at, fields.get("until"))
        point = fields.get("point")
        if not isinstance(point, str) or not point:
            raise ValueError("names no point")
        if "value" not in fields:
            raise ValueError('has no value; a bad reading has "value": null')
        value = _json_value(fields["value"])
        return Reading(point, value, at, "" if value is not None else _BAD)

    # Both ---------------------------------------------------------------------------------------------------------

    def _instant(self, time: object, after: int = EARLIEST) -> int:
        return parse_instant(time, self._zone, after) if isinstance(time, str) else unix_instant(time)

    def _command(self, word: object, alarm: object, instance: object, at: int, until: object) -> Command:
        known = _word(word)
        if not isinstance(alarm, str) or not alarm:
            raise ValueError(f"{known} names no alarm")
        if instance is not None and not isinstance(instance, str):
            raise ValueError("the instance is no text")
        if known != "shelve":
            return Command(known, alarm, instance, at)
        if until is None:
            raise ValueError("shelve has no time until which it holds")
        return Command(known, alarm, instance, at, self._instant(until))


def _csv_trouble(said: str) -> str:
    return next((words for start, words in _CSV_TROUBLE.items() if said.startswith(start)), said)


def _columns(header: list[str]) -> tuple[Callable[[list[str]], tuple[str, str, str]], int]:
    """Return what picks time, point and value from a row, and how many columns there are."""
    names = [name.strip().lower() for name in header]
    missing = [name for name in _COLUMNS if names.count(name) != 1]
    if missing:
        what = f"the header {clean(quote(','.join(header)))} does not name {' and '.join(missing)} once"
        raise ValueError(f"{what}; it must be {CSV_HEADER}")
    return itemgetter(*map(names.index, _COLUMNS)), len(names)


def _json_object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg} at column {error.colno}") from None
    except ValueError:
        raise ValueError("holds a number that is too long") from None
    if not isinstance(found, dict):
        raise ValueError("is no JSON object")  # noqa: TRY004 - it is the file that is wrong
    return found


def _json_value(value: object) -> Value | None:
    return value if isinstance(value, bool | str) else number(value)


def _word(word: object) -> Word:
    for known in WORDS:
        if word == known:
            return known
    what = clean(quote(word)) if isinstance(word, str) else "that is no text"
    raise ValueError(f"there is no command {what}; known: {', '.join(WORDS)}")
