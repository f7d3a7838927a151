"""How a replay's events are printed: as lines for people, and as JSON for programs."""

import json
from collections.abc import Iterator, Sequence
from datetime import tzinfo

from edge_agent.config.words import clean
from edge_agent.core.events import Event
from edge_agent.core.reading import point_name
from edge_agent.core.times import iso

_NAME_WIDTH = 24
_KIND_WIDTH = 12
_GAP = "  "


def event_json(event: Event, zone: tzinfo, **more: str) -> str:
    """Return an event as one line of JSON, ASCII only."""
    fields = {
        "time": iso(event.at, zone),
        "event": str(event.kind),
        "alarm": event.alarm,
        "instance": event.instance,
        "rule": event.rule,
        "reason": event.reason,
    }
    return json.dumps(fields | more)


def event_line(event: Event, zone: tzinfo) -> str:
    """Return an event as a line for people."""
    name = "" if event.alarm is None else full_name(event.alarm, event.instance)
    rule = [event.rule] if event.rule is not None else []
    cells = (iso(event.at, zone), f"{name:<{_NAME_WIDTH}}", f"{event.kind:<{_KIND_WIDTH}}", *rule, clean(event.reason))
    return _GAP.join(cells).rstrip()


def full_name(alarm: str, instance: str | None) -> str:
    """Return `ALARM` or `ALARM[INSTANCE]`, fit for a terminal."""
    return clean(point_name(alarm, None, instance))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table of plain words; what is no number stands left."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [all(row[index].isdecimal() for row in rows) for index in range(len(header))]
    for line in lines:
        cells = (
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(line, widths, right, strict=True)
        )
        yield (_GAP + _GAP.join(cells)).rstrip()
