"""Tests of single values: each with its limits and its deadband. Windows over several values are in `windows`."""

import re
from decimal import Decimal
from typing import Protocol

from edge_agent.core.reading import Value

_NUMERIC = (float, int)  # compared with `value.__class__`: a bool is an int to isinstance


class Test(Protocol):
    """A test of the values of one point, for one alarm instance."""

    def judge(self, value: Value, at: int, held: bool) -> bool | None:  # noqa: FBT001 - the memory, not a switch
        """Return whether it holds with this good value; None: the value is of a type that it cannot judge.

        `held`: it held until now and its alarm is raised, so that the deadband moves the limit by which it ends.
        """

    def describe(self) -> str:
        """Return the test in words, as in "above -15"."""


def exact_less(number: float, less: float) -> float:
    """Return number - less as a person would: 0.3 - 0.1 is 0.2."""
    return float(Decimal(repr(number)) - Decimal(repr(less)))


class Above:
    """Holds at value > limit; ends at value <= limit - deadband."""

    __slots__ = ("_end", "_limit")

    def __init__(self, limit: float, deadband: float) -> None:
        self._limit = limit
        self._end = exact_less(limit, deadband)

    def judge(self, value: Value, at: int, held: bool) -> bool | None:  # noqa: ARG002, D102, FBT001
        if value.__class__ not in _NUMERIC:
            return None
        return value > (self._end if held else self._limit)

    def retreat(self, value: float) -> float:
        """Return how far a value is from holding again."""
        return exact_less(self._limit, value)

    def describe(self) -> str:  # noqa: D102
        return f"above {self._limit:g}"


class Below:
    """Holds at value < limit; ends at value >= limit + deadband."""

    __slots__ = ("_end", "_limit")

    def __init__(self, limit: float, deadband: float) -> None:
        self._limit = limit
        self._end = exact_less(limit, -deadband)

    def judge(self, value: Value, at: int, held: bool) -> bool | None:  # noqa: ARG002, D102, FBT001
        if value.__class__ not in _NUMERIC:
            return None
        return value < (self._end if held else self._limit)

    def retreat(self, value: float) -> float:
        """Return how far a value is from holding again."""
        return exact_less(value, self._limit)

    def describe(self) -> str:  # noqa: D102
        return f"below {self._limit:g}"


class Outside:
    """Holds at value < low or > high; ends at low + deadband <= value <= high - deadband."""

    __slots__ = ("_held", "_limits")

    def __init__(self, limits: tuple[float, float], deadband: float) -> None:
        self._limits = limits
        self._held = (exact_less(limits[0], -deadband), exact_less(limits[1], deadband))

    def judge(self, value: Value, at: int, held: bool) -> bool | None:  # noqa: ARG002, D102, FBT001
        if value.__class__ not in _NUMERIC:
            return None
        low, high = self._held if held else self._limits
        return not low <= value <= high

    def retreat(self, value: float) -> float:
        """Return how far a value is from holding again."""
        return min(exact_less(value, self._limits[0]), exact_less(self._limits[1], value))

    def describe(self) -> str:  # noqa: D102
        return f"outside {self._limits[0]:g} to {self._limits[1]:g}"


class Inside:
    """Holds at low <= value <= high; ends at value < low - deadband or > high + deadband."""

    __slots__ = ("_held", "_limits")

    def __init__(self, limits: tuple[float, float], deadband: float) -> None:
        self._limits = limits
        self._held = (exact_less(limits[0], deadband), exact_less(limits[1], -deadband))

    def judge(self, value: Value, at: int, held: bool) -> bool | None:  # noqa: ARG002, D102, FBT001
        if value.__class__ not in _NUMERIC:
            return None
        low, high = self._held if held else self._limits
        return low <= value <= high

    def retreat(self, value: float) -> float:
        """Return how far a value is from holding again."""
        return max(exact_less(self._limits[0], value), exact_less(value, self._limits[1]))

    def describe(self) -> str:  # noqa: D102
        return f"inside {self._limits[0]:g} to {self._limits[1]:g}"


class Is:
    """Holds while type and value are equal: true is not 1, "1" is not 1, 1 is 1.0."""

    __slots__ = ("_kind", "_wanted")

    def __init__(self, wanted: Value) -> None:
        self._wanted = wanted
        self._kind = kind(wanted)

    def judge(self, value: Value, at: int, held: bool) -> bool | None:  # noqa: ARG002, D102, FBT001
        return value == self._wanted and kind(value) is self._kind

    def describe(self) -> str:  # noqa: D102
        return f"is {show(self._wanted)}"


class IsNot(Is):
    """Holds while type or value differ."""

    __slots__ = ()

    def judge(self, value: Value, at: int, held: bool) -> bool | None:  # noqa: D102, FBT001
        return not super().judge(value, at, held)

    def describe(self) -> str:  # noqa: D102
        return f"is not {show(self._wanted)}"


class Matches:
    """Holds while a regular expression is found anywhere in the text."""

    __slots__ = ("_found", "_pattern")

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._found = re.compile(pattern).search

    def judge(self, value: Value, at: int, held: bool) -> bool | None:  # noqa: ARG002, D102, FBT001
        return self._found(value) is not None if isinstance(value, str) else None

    def describe(self) -> str:  # noqa: D102
        return f"matched by {show(self._pattern)}"


def kind(value: Value) -> type:
    """Return what counts as the type of a value: 1 and 1.0 are both numbers."""
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
