"""What a file of readings holds, line by line: a reading, or what a person did; and how such lines are written."""

import csv
import io
import json
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Literal, get_args

from edge_agent.core.instants import iso_micros
from edge_agent.core.reading import Reading, Value, parse_value, point_name

CSV_HEADER = "time,point,value"
Word = Literal["ack", "shelve", "unshelve"]
WORDS: tuple[Word, ...] = get_args(Word)


@dataclass(frozen=True, slots=True)
class Command:
    """What a person did to an alarm. Instants are Unix microseconds."""

    word: Word
    alarm: str
    instance: str | None
    """None: all of them."""
    at: int
    until: int | None = None
    """Of shelve only, and there always."""


Entry = Reading | Command
"""One line. A reading's `at` is Unix microseconds; value None is bad."""


def format_csv(entry: Entry, zone: tzinfo) -> str:
    """Return an entry as a line of CSV, without its end; a text that holds line ends is quoted.

    CSV has no types: see `survives_csv`. Half a surrogate pair, which UTF-8 cannot hold, becomes "?".
    """
    if isinstance(entry, Reading):
        point, value = entry.point, _csv_value(entry.value)
    else:
        point, value = f"!{entry.word}", point_name(entry.alarm, None, entry.instance)
        if entry.until is not None:
            value += f" {iso_micros(entry.until, zone)}"
    line = io.StringIO(newline="")
    csv.writer(line).writerow((iso_micros(entry.at, zone), point, value))
    return line.getvalue().removesuffix("\r\n").encode("utf-8", "replace").decode("utf-8")


def format_jsonl(entry: Entry, zone: tzinfo) -> str:
    """Return an entry as a line of JSONL, without its end. Nothing is lost."""
    fields: dict[str, Any] = {"time": iso_micros(entry.at, zone)}
    if isinstance(entry, Reading):
        fields |= {"point": entry.point, "value": entry.value}
    else:
        fields |= {"command": entry.word, "alarm": entry.alarm}
        if entry.instance is not None:
            fields["instance"] = entry.instance
        if entry.until is not None:
            fields["until"] = iso_micros(entry.until, zone)
    return json.dumps(fields)


def survives_csv(value: Value | None) -> bool:
    """Return whether CSV gives a value back: texts such as "", "21.5" or "true" come back as something else."""
    if not isinstance(value, str):
        return True
    return parse_value(value) == value and value.encode("utf-8", "replace").decode("utf-8") == value


def _csv_value(value: Value | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)
