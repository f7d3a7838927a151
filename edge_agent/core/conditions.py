"""Conditions: one test over one point's values, with its deadband. Judges values; keeps no state and no time."""

from decimal import Decimal
from typing import Protocol

from edge_agent.core.fields import format_duration
from edge_agent.core.reading import Value
from edge_agent.core.settings import AlarmSettings

_NUMERIC = (float, int)  # compared with `value.__class__`: a bool is an int to isinstance


class Condition(Protocol):
    """A test of one value."""

    def judge(self, value: Value, held: bool) -> bool | None:  # noqa: FBT001 - the memory, not a switch
        """Return whether it holds with this value; None: the value is of a type that it cannot judge.

        `held`: it held until now and its alarm is raised, so that the deadband moves the limit by which it ends.
        """

    def describe(self) -> str:
        """Return the test in words, as in "above -15"."""


def _less(number: float, less: float) -> float:
    """Return number - less as a person would: 0.3 - 0.1 is 0.2."""
    return float(Decimal(repr(number)) - Decimal(repr(less)))


class Above:
    """Holds at value > limit; ends at value <= limit - deadband."""

    __slots__ = ("_end", "_limit")

    def __init__(self, limit: float, deadband: float) -> None:
        self._limit = limit
        self._end = _less(limit, deadband)

    def judge(self, value: Value, held: bool) -> bool | None:  # noqa: D102, FBT001
        if value.__class__ not in _NUMERIC:
            return None
        return value > (self._end if held else self._limit)

    def describe(self) -> str:  # noqa: D102
        return f"above {self._limit:g}"


class Below:
    """Holds at value < limit; ends at value >= limit + deadband."""

    __slots__ = ("_end", "_limit")

    def __init__(self, limit: float, deadband: float) -> None:
        self._limit = limit
        self._end = _less(limit, -deadband)

    def judge(self, value: Value, held: bool) -> bool | None:  # noqa: D102, FBT001
        if value.__class__ not in _NUMERIC:
            return None
        return value < (self._end if held else self._limit)

    def describe(self) -> str:  # noqa: D102
        return f"below {self._limit:g}"


class Outside:
    """Holds at value < low or > high; ends at low + deadband <= value <= high - deadband."""

    __slots__ = ("_held", "_limits")

    def __init__(self, limits: tuple[float, float], deadband: float) -> None:
        self._limits = limits
        self._held = (_less(limits[0], -deadband), _less(limits[1], deadband))

    def judge(self, value: Value, held: bool) -> bool | None:  # noqa: D102, FBT001
        if value.__class__ not in _NUMERIC:
            return None
        low, high = self._held if held else self._limits
        return not low <= value <= high

    def describe(self) -> str:  # noqa: D102
        return f"outside {self._limits[0]:g} to {self._limits[1]:g}"


class Inside:
    """Holds at low <= value <= high; ends at value < low - deadband or > high + deadband."""

    __slots__ = ("_held", "_limits")

    def __init__(self, limits: tuple[float, float], deadband: float) -> None:
        self._limits = limits
        self._held = (_less(limits[0], deadband), _less(limits[1], -deadband))

    def judge(self, value: Value, held: bool) -> bool | None:  # noqa: D102, FBT001
        if value.__class__ not in _NUMERIC:
            return None
        low, high = self._held if held else self._limits
        return low <= value <= high

    def describe(self) -> str:  # noqa: D102
        return f"inside {self._limits[0]:g} to {self._limits[1]:g}"


class Is:
    """Holds while type and value are equal: true is not 1, "1" is not 1, 1 is 1.0."""

    __slots__ = ("_kind", "_wanted")

    def __init__(self, wanted: Value) -> None:
        self._wanted = wanted
        self._kind = _kind(wanted)

    def judge(self, value: Value, held: bool) -> bool | None:  # noqa: ARG002, D102, FBT001
        return value == self._wanted and _kind(value) is self._kind

    def describe(self) -> str:  # noqa: D102
        return f"is {show(self._wanted)}"


class IsNot(Is):
    """Holds while type or value differ."""

    __slots__ = ()

    def judge(self, value: Value, held: bool) -> bool | None:  # noqa: D102, FBT001
        return not super().judge(value, held)

    def describe(self) -> str:  # noqa: D102
        return f"is not {show(self._wanted)}"


class Silent:
    """Holds while there was no good reading for a time. The alarm tells it the time; a good reading ends it."""

    __slots__ = ("silent_for",)

    def __init__(self, silent_for: int) -> None:
        self.silent_for = silent_for

    def judge(self, value: Value, held: bool) -> bool | None:  # noqa: ARG002, D102, FBT001
        return False

    def describe(self) -> str:  # noqa: D102
        return f"silent for {format_duration(self.silent_for)}"


def _kind(value: Value) -> type:
    if isinstance(value, bool):
        return bool
    return str if isinstance(value, str) else float


def show(value: Value) -> str:
    """Return a value for people, on one line, cut where it is long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = repr(value[:80])
        return text if len(value) <= 80 else f"{text}…"  # noqa: PLR2004 - a line's worth
    return f"{value:.10g}"


def build(settings: AlarmSettings) -> Condition:
    """Return the condition that an alarm's one test stands for."""
    if settings.silent_for is not None:
        return Silent(settings.silent_for)
    for wanted, kind in ((settings.is_, Is), (settings.is_not, IsNot)):
        if wanted is not None:
            return kind(wanted)
    for limits, ranged in ((settings.outside, Outside), (settings.inside, Inside)):
        if limits is not None:
            return ranged(limits, settings.deadband)
    for limit, single in ((settings.above, Above), (settings.below, Below)):
        if limit is not None:
            return single(limit, settings.deadband)
    raise AssertionError("settings without a test were validated")
