"""Points: the last value of each, and what is done to a raw value before an alarm sees it."""

import math
from collections import deque
from dataclasses import dataclass
from statistics import median_high, median_low
from typing import TYPE_CHECKING, Literal

from edge_agent.core.conditions import kind
from edge_agent.core.reading import Value, number

if TYPE_CHECKING:
    from edge_agent.core.terms import Term

_SIGNIFICANT_DIGITS = 12


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """What the engine must know of a source; made from its settings."""

    fields: tuple[str, ...] | None = ()
    """(): one value under the source's name; None: the fields are known only live."""
    instances: bool = False
    max_instances: int = 1000
    reject: tuple[float, ...] = ()
    scale: float = 1.0
    offset: float = 0.0
    min: float | None = None
    max: float | None = None
    smooth: tuple[Literal["median", "mean"], int] | None = None
    """Of the last so many good values."""
    debounce: int = 0
    """Microseconds that a level must hold."""

    @property
    def plain(self) -> bool:
        """Return whether numbers pass untouched."""
        bare = self.scale == 1.0 and self.offset == 0.0 and self.min is None and self.max is None
        return bare and not self.reject and self.smooth is None

    def condition(self, value: Value) -> tuple[Value | None, str]:
        """Return a raw value after reject, scale and offset, min and max; None and the reason where it is bad.

        Booleans and texts pass untouched. The limits themselves are good.
        """
        if isinstance(value, bool | str):
            return value, ""
        if value in self.reject:
            return None, f"{value:g} is in reject"
        if self.scale != 1.0 or self.offset != 0.0:
            # 12 digits: 253 * 0.1 is 25.3 to people, and must not be above 25.3
            scaled = number(float(f"{value * self.scale + self.offset:.{_SIGNIFICANT_DIGITS}g}"))
            if scaled is None:
                return None, f"{value:g} is too large to scale"
            value = scaled
        if self.min is not None and value < self.min:
            return None, f"{value:g} is under min = {self.min:g}"
        if self.max is not None and value > self.max:
            return None, f"{value:g} is over max = {self.max:g}"
        return value, ""


@dataclass(slots=True)
class SourceStats:
    """What came from a source since the agent started."""

    readings: int = 0
    """All of them, the bad ones included."""
    bad: int = 0
    last_at: int | None = None
    refused: int = 0
    """Readings of new instances beyond max_instances."""

    def add(self, other: "SourceStats") -> None:
        """Go on from where another count stood."""
        self.readings += other.readings
        self.bad += other.bad
        self.refused += other.refused
        self.last_at = other.last_at if self.last_at is None else self.last_at


class Point:
    """One named value: its last reading, and the terms of alarms that look at it."""

    __slots__ = ("at", "good", "last_good_at", "level", "level_at", "met", "models", "name", "plain", "raw", "reason",
                 "settled", "spec", "stats", "terms", "timer_at", "value", "window")  # fmt: skip

    def __init__(self, name: str, spec: SourceSpec, stats: SourceStats) -> None:
        self.name = name
        self.spec = spec
        self.stats = stats
        self.plain = spec.plain
        self.terms: list[Term] = []
        self.models: list[Term] = []
        """Terms of no instance: what those of instances that come later begin with."""
        self.met = True
        """It belongs to the configuration by name, or had a reading; else an alarm waits for its first one."""
        self.window: deque[float] | None = deque(maxlen=spec.smooth[1]) if spec.smooth else None
        self.raw: Value | None = None
        self.value: Value | None = None
        """The last good value, None before the first."""
        self.good = False
        self.reason = ""
        self.at: int | None = None
        """The instant of the last reading, good or bad."""
        self.last_good_at: int | None = None
        self.level: Value | None = None
        """The level that is waiting, or has been waiting, out its debounce."""
        self.level_at = 0
        self.settled = True
        self.timer_at: int | None = None

    def copy(self, other: "Point") -> None:
        """Take over the last reading, and a level that is settling, of the same point in another engine."""
        self.raw, self.value, self.good, self.reason = other.raw, other.value, other.good, other.reason
        self.at, self.last_good_at = other.at, other.last_good_at
        self.level, self.level_at, self.settled = other.level, other.level_at, other.settled
        if self.spec == other.spec:
            self.window = other.window

    def smooth(self, value: Value) -> Value:
        """Return the median or mean of the last good numbers, this one included; what is no number passes untouched."""
        if self.spec.smooth is None or self.window is None or isinstance(value, bool | str):
            return value
        self.window.append(value)
        if self.spec.smooth[0] == "median":
            smoothed = (median_low(self.window) / 2) + (median_high(self.window) / 2)
        else:
            smoothed = math.fsum(each / len(self.window) for each in self.window)
        return float(f"{smoothed:.{_SIGNIFICANT_DIGITS}g}")

    def hold_level(self, value: Value, at: int) -> bool:
        """Take a raw level; return whether it counts now (it is the one that has already held long enough)."""
        if self.level is not None and value == self.level and kind(value) is kind(self.level):
            return self.settled
        self.level = value
        self.level_at = at
        self.settled = False
        return False

    def due_at(self) -> int | None:
        """Return when the waiting level will have held for the whole debounce."""
        return None if self.settled else self.level_at + self.spec.debounce
