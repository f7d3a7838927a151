"""Records what a running agent reads: asks for it again and again, and writes each entry as one whole line."""

import contextlib
import errno
import os
import time
from collections.abc import Callable, Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Any, Literal, Self

from edge_agent.config.words import clean
from edge_agent.core.instants import iso_micros, parse_instant
from edge_agent.core.own import OWN_SOURCE
from edge_agent.core.reading import Reading, Value, point_name
from edge_agent.core.times import MILLION
from edge_agent.recorder import PAGE
from edge_agent.tools.replay.entries import CSV_HEADER, Command, Entry, format_csv, format_jsonl, survives_csv

Format = Literal["csv", "jsonl"]
_JSONL_SUFFIXES = (".jsonl", ".ndjson", ".json")
_CLOSING = point_name(OWN_SOURCE, "clock_synced")
"""Repeated at the end, so that a replay goes on to there."""


class UnavailableError(Exception):
    """The agent does not answer just now; the message says why."""


def format_of(path: str) -> Format:
    """Return the format that a file's name stands for."""
    return "jsonl" if path.lower().endswith(_JSONL_SUFFIXES) else "csv"


class LineFile:
    """A new file that is written line by line: at any moment it holds whole lines. Also a context that closes it."""

    def __init__(self, path: Path) -> None:
        """Make the file, or empty it. Raises OSError."""
        self._raw = path.open("wb", buffering=0)
        self._size = 0

    def write(self, line: str) -> None:
        """Write a line. Raises OSError; what was written of it is taken back then."""
        data = line.encode() + b"\n"
        failure: OSError | None = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            if self._raw.write(data) == len(data):
                failure = None
        except OSError as error:
            failure = error
        if failure is not None:
            with contextlib.suppress(OSError):
                self._raw.truncate(self._size)
            raise failure
        self._size += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()


class Recording:
    """One recording. `ask(cursor)` returns an answer of /api/v1/readings, or raises UnavailableError.

    `write` takes lines, without their ends; it may raise OSError. What the user should know beside goes to `tell`.
    """

    def __init__(
        self,
        ask: Callable[[str | None], Mapping[str, Any]],
        write: Callable[[str], None],
        form: Format,
        zone: tzinfo,
        tell: Callable[[str], None],
        duration: int | None = None,
    ) -> None:
        self._ask = ask
        self._write_line = write
        self._form = form
        self._zone = zone
        self._tell = tell
        self._duration = duration
        self._cursor: str | None = None
        self._missing = False
        self._warned = False
        self._synced: Value | None = None
        self._give_up_at = float("inf")
        self._end: int | None = None
        self._written_at = 0
        self.began_at = 0
        self.complete_at = 0
        """Nothing is missing up to this instant. Unix microseconds."""
        self.readings = 0
        self.commands = 0
        self.lost = 0

    def begin(self) -> None:
        """Write the last value of each point. Raises UnavailableError, OSError."""
        answer = self._ask(None)
        self.began_at = self._instant(answer["at"])
        if self._duration is not None:
            self._end = self.began_at + self._duration
            self._give_up_at = time.monotonic() + self._duration / MILLION
        if self._form == "csv":
            self._write_line(CSV_HEADER)
        self._take(answer)

    def poll(self) -> bool:
        """Write what has come; return whether the recording goes on. Raises OSError."""
        try:
            while True:
                answer = self._ask(self._cursor)
                self._note_return(answer)
                self._take(answer)
                if len(answer["entries"]) < PAGE:
                    break
        except UnavailableError as error:
            if not self._missing:
                self._missing = True
                self._tell(f"{error}; waiting for it")
            return time.monotonic() < self._give_up_at
        return self._end is None or self.complete_at < self._end

    def finish(self) -> None:
        """Write what has come up to now, and a last line that says how far the recording goes. Raises OSError."""
        if self._end is None or self.complete_at < self._end:
            self.poll()
        end = self.complete_at if self._end is None else min(self.complete_at, self._end)
        if self._synced is not None and end > self._written_at:
            self._write(Reading(_CLOSING, self._synced, end))

    def _note_return(self, answer: Mapping[str, Any]) -> None:
        before, now = str(self._cursor).partition("-")[0], str(answer["next"]).partition("-")[0]
        if before != now:
            at = iso_micros(self._instant(answer["at"]), self._zone)
            what = "the agent was restarted, or not asked for long"
            self._tell(f"{what}: the recording goes on at {at}, with a gap before")
        elif self._missing:
            self._tell("the agent answers again")
        self._missing = False

    def _take(self, answer: Mapping[str, Any]) -> None:
        lost = int(answer["lost"])
        if lost:
            self.lost += lost
            self._tell(f"{lost} readings were lost: they came faster than they could be fetched")
        for entry in map(self._entry, answer["entries"]):
            if self._end is None or entry.at <= self._end:
                self._write(entry)
        self._cursor = answer["next"]
        self.complete_at = self._instant(answer["at"])

    def _write(self, entry: Entry) -> None:
        if isinstance(entry, Reading):
            self.readings += 1
            if entry.point == _CLOSING and entry.value is not None:
                self._synced = entry.value
            if self._form == "csv" and not self._warned and not survives_csv(entry.value):
                self._warned = True
                what = f"{clean(entry.point)} is a text that CSV cannot tell from something else"
                self._tell(f"{what}; record with --format jsonl")
        else:
            self.commands += 1
        form = format_csv if self._form == "csv" else format_jsonl
        self._write_line(form(entry, self._zone))
        self._written_at = max(self._written_at, entry.at)

    def _entry(self, found: Mapping[str, Any]) -> Entry:
        at = self._instant(found["time"])
        if "command" not in found:
            return Reading(found["point"], found["value"], at)
        until = found.get("until")
        return Command(
            found["command"],
            found["alarm"],
            found.get("instance"),
            at,
            None if until is None else self._instant(until),
        )

    def _instant(self, text: str) -> int:
        return parse_instant(text, self._zone)
