"""The conditions of the reference model: what holds, worked out from the whole history of a point."""

import re
from dataclasses import dataclass, field
from itertools import pairwise

from edge_agent.core.reading import Value
from edge_agent.core.settings import ConditionSettings, OnBad


def kind(value: Value) -> str:
    """Return the type that a value is compared by: 1 is 1.0, and true is not 1."""
    return "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def same(one: Value, other: Value) -> bool:
    """Return whether type and value are the same."""
    return kind(one) == kind(other) and one == other


_WANTS = {"matches": "text", "trips": "boolean"} | dict.fromkeys(
    ("above", "below", "outside", "inside", "rises_by", "falls_by"), "number"
)
"""The type without which a reading is bad for a condition."""


def past(test: str, limit: object, value: Value) -> bool:
    """Return whether a value fulfils a test by itself."""
    match test, limit, value:
        case "above", float() as line, float() | int():
            return value > line
        case "below", float() as line, float() | int():
            return value < line
        case "outside", (float() as low, float() as high), float() | int():
            return value < low or value > high
        case "inside", (float() as low, float() as high), float() | int():
            return low <= value <= high
        case "is", bool() | float() | int() | str(), _:
            return same(value, limit)
        case "is_not", bool() | float() | int() | str(), _:
            return not same(value, limit)
        case "matches", str(), str():
            return re.search(limit, value) is not None
    raise AssertionError(test, limit, value)


def ended(test: str, limit: object, deadband: float, value: Value) -> bool:
    """Return whether a value ends a condition that held, the deadband counted."""
    match test, limit, value:
        case "above", float() as line, float() | int():
            return value <= line - deadband
        case "below", float() as line, float() | int():
            return value >= line + deadband
        case "outside", (float() as low, float() as high), float() | int():
            return low + deadband <= value <= high - deadband
        case "inside", (float() as low, float() as high), float() | int():
            return value < low - deadband or value > high + deadband
    return not past(test, limit, value)


@dataclass(slots=True)
class Log:
    """All readings of one point, as the alarms see them."""

    readings: list[tuple[int, Value | None]] = field(default_factory=list)
    window: list[float] = field(default_factory=list)


class Term:
    """One condition of an alarm instance. `since`: when its silence began to count; None: with its first reading."""

    def __init__(self, settings: ConditionSettings, on_bad: OnBad, log: Log, since: int | None) -> None:
        self.settings = settings
        self.test = settings.test()
        self.on_bad = on_bad
        self.log = log
        self.since = since
        self.strict = False
        self.memory = False
        self.forced: bool | None = None
        self.pulse = False
        for position in range(len(log.readings)):
            self.hear(position, active=False)
        self.pulse = False

    def good(self, upto: int) -> list[tuple[int, Value]]:
        """Return the readings before a position that are good for this condition."""
        wanted = _WANTS.get(self.test)
        return [(t, v) for t, v in self.log.readings[:upto] if v is not None and wanted in (None, kind(v))]

    def hear(self, position: int, *, active: bool) -> None:
        """Take the reading at a position of the log."""
        good = self.good(position + 1)
        usable = len(good) > len(self.good(position))
        if self.test == "silent_for":
            return
        if not usable:
            if self.on_bad is not OnBad.HOLD:
                self.forced = self.strict = self.memory = self.on_bad is OnBad.RAISE
            return
        self.forced = None
        at, value = good[-1]
        limit = self.settings.limit(self.test)
        if self.test in ("rises_by", "falls_by"):
            assert self.settings.within is not None
            lately = [float(v) for t, v in good if at - t <= self.settings.within]
            moved = float(value) - min(lately) if self.test == "rises_by" else max(lately) - float(value)
            self.strict = self.memory = moved >= float(str(limit))
        elif self.test == "changes":
            self.pulse = len(good) > 1 and not same(good[-2][1], value)
        elif self.test != "trips":
            stays = self.memory and active and not ended(self.test, limit, self.settings.deadband, value)
            self.strict = past(self.test, limit, value)
            self.memory = self.strict or stays

    def holds(self, at: int, *, active: bool) -> bool:
        """Return whether it holds at an instant; the deadband counts only while the alarm is active."""
        if self.test == "silent_for":
            first = [t for t, _ in self.log.readings[:1]] if self.since is None else [self.since]
            since = first + [t for t, _ in self.good(len(self.log.readings))]
            return bool(since) and at >= since[-1] + int(str(self.settings.silent_for))
        if self.forced is not None:
            return self.forced
        if self.test == "changes":
            return self.pulse
        if self.test == "trips":
            return len(self._edges(at)) >= int(str(self.settings.trips))
        return self.memory if active else self.strict

    def _edges(self, at: int) -> list[int]:
        assert self.settings.within is not None
        good = self.good(len(self.log.readings))
        edges = [t for (_, before), (t, now) in pairwise(good) if now and not before]
        return [edge for edge in edges if edge <= at < edge + self.settings.within]
