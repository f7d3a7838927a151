"""What a recording is made of: what the engine takes, in its order and with its instants, kept for who asks for it."""

from collections import deque
from dataclasses import dataclass
from datetime import tzinfo
from itertools import islice
from typing import Any, Literal, NamedTuple

from edge_agent.core.engine import Engine
from edge_agent.core.fields import SECOND
from edge_agent.core.instants import iso_micros
from edge_agent.core.points import Point
from edge_agent.core.reading import Value

CAPACITY = 50_000
"""So many entries wait for who reads them; older ones are lost, and counted."""
PAGE = 10_000
_FORGET_AFTER = 30 * SECOND


class Taken(NamedTuple):
    """A reading as it was decoded (None: bad), at the instant of the engine that took it."""

    at: int
    point: str
    value: Value | None


class Done(NamedTuple):
    """What a person did to an alarm, at the instant at which the engine did it."""

    at: int
    word: Literal["ack", "shelve", "unshelve"]
    alarm: str
    instance: str | None
    """None: all of them."""
    until: int | None = None
    """Of shelve."""


@dataclass(frozen=True, slots=True)
class Page:
    """What was taken since a cursor. Instants are the engine's; plus `skew` they are Unix time."""

    entries: list[Taken | Done]
    cursor: str
    lost: int
    """So many entries before these were thrown away: nobody asked in time."""
    at: int
    """Nothing is missing up to this instant."""
    skew: int
    """The same for all pages of a recording, so that differences are exact, whatever the wall clock does."""


class Recorder:
    """A bounded ring of entries, which runs only while somebody reads it. The engine's thread alone uses it."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._ring: deque[Taken | Done] = deque(maxlen=capacity)
        self._count = 0
        """Entries since the recording began."""
        self._run: str | None = None
        self._skew = 0
        self._read_at = 0

    @property
    def running(self) -> bool:
        """Return whether entries are kept."""
        return self._run is not None

    def take(self, entry: Taken | Done) -> None:
        """Keep what the engine has just taken."""
        self._ring.append(entry)
        self._count += 1

    def rest(self, now: int) -> None:
        """Cease to keep entries where nobody has asked for a while."""
        if now - self._read_at > _FORGET_AFTER:
            self._run = None
            self._ring.clear()

    def read(self, after: str | None, engine: Engine, now: int) -> Page:
        """Return what was taken since a cursor; without one, or with that of an earlier recording, a beginning.

        A beginning is the last raw values of all points, as if they came just now: a replay starts from the same state.
        """
        if self._run is None:
            self._run, self._skew, self._count = f"{now:x}", engine.desk.skew, 0
        self._read_at = now
        run, _, number = (after or "").partition("-")
        seen = int(number) if run == self._run and number.isdecimal() else None
        if seen is None or seen > self._count:
            return self._page(_beginning(engine), self._count, engine)
        first = self._count - len(self._ring)
        start = max(seen, first)
        entries = list(islice(self._ring, start - first, start - first + PAGE))
        return self._page(entries, start + len(entries), engine, lost=start - seen)

    def _page(self, entries: list[Taken | Done], number: int, engine: Engine, *, lost: int = 0) -> Page:
        at = engine.now if number == self._count else entries[-1].at
        return Page(entries, f"{self._run}-{number}", lost, at, self._skew)


def as_json(entry: Taken | Done, skew: int, zone: tzinfo) -> dict[str, Any]:
    """Return an entry as a line of a JSONL file of readings says it."""
    time = iso_micros(entry.at + skew, zone)
    if isinstance(entry, Taken):
        return {"time": time, "point": entry.point, "value": entry.value}
    done: dict[str, Any] = {"time": time, "command": entry.word, "alarm": entry.alarm}
    if entry.instance is not None:
        done["instance"] = entry.instance
    if entry.until is not None:
        done["until"] = iso_micros(entry.until + skew, zone)
    return done


def _beginning(engine: Engine) -> list[Taken | Done]:
    points = [point for point in engine.points.values() if point.at is not None or point.level is not None]
    points.sort(key=lambda point: point.at or 0)
    taken = [entry for point in points for entry in _readings(point, engine.now)]
    return sorted(taken, key=lambda entry: entry.at)


def _readings(point: Point, now: int) -> list[Taken | Done]:
    """Return the readings that make a new point what this one is, as far as that can be told.

    A level that is to hold for a while is there as long before: a change right after the beginning is one.
    """
    debounce = point.spec.debounce
    found: list[tuple[int, Value | None]] = []
    if debounce and point.level is not None:
        if point.settled:
            found = [(now - debounce, point.level)]
        else:
            before = [] if point.raw is None else [(point.level_at - debounce, point.raw)]
            found = [*before, (point.level_at, point.level)]
    elif point.raw is not None:
        found = [(now, point.raw)]
    elif point.plain and point.value is not None:
        found = [(now, point.value)]  # nothing is done to raw values here
    if not point.good and point.at is not None and point.raw is None:
        found.append((now, None))
    return [Taken(at, point.name, value) for at, value in found]
