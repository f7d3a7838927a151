"""Tests that look back: rises and falls, trips, changes, silence. What they remember is not kept over a restart.

What of them changes by the passing of time alone says when, in `due_at`.
"""

from collections import deque
from typing import Protocol, runtime_checkable

from edge_agent.core.conditions import exact_less, kind
from edge_agent.core.fields import format_duration
from edge_agent.core.reading import Value

_NUMERIC = (float, int)
_NEARLY = 1.0 - 1e-9


@runtime_checkable
class Timed(Protocol):
    """A test that begins or ceases to hold without a reading."""

    def due_at(self, holds: bool) -> int | None:  # noqa: FBT001 - the condition's value, not a switch
        """Return the instant from which it is no longer what it was; None: only a reading changes it."""


class Rise:
    """Holds while the value is at least `by` over the lowest good value of the last `within`; judged at readings."""

    __slots__ = ("_by", "_lows", "_within")
    _word = "risen"
    _sign = 1

    def __init__(self, by: float, within: int) -> None:
        self._by = by
        self._within = within
        self._lows: deque[tuple[int, float]] = deque()
        """Of the window those readings that are, or may yet become, its lowest (of falls: highest): rising values."""

    def judge(self, value: Value, at: int, held: bool) -> bool | None:  # noqa: ARG002, D102, FBT001
        if value.__class__ not in _NUMERIC or isinstance(value, str):
            return None
        lows = self._lows
        number = value * self._sign
        while lows and lows[-1][1] >= number:
            lows.pop()
        lows.append((at, number))
        oldest = at - self._within
        while lows[0][0] < oldest:
            lows.popleft()
        risen = number - lows[0][1]
        # 0.3 - 0.1 is 0.2 to people: where it is close, it is told exactly
        return risen >= self._by or (risen > self._by * _NEARLY and exact_less(number, lows[0][1]) >= self._by)

    def describe(self) -> str:  # noqa: D102
        return f"{self._word} by {self._by:g} within {format_duration(self._within)}"


class Fall(Rise):
    """Holds while the value is at least `by` under the highest good value of the last `within`."""

    __slots__ = ()
    _word = "fallen"
    _sign = -1


class Trips:
    """Holds while at least `count` edges from false to true are younger than `within`."""

    __slots__ = ("_count", "_edges", "_last", "_until", "_within")

    def __init__(self, count: int, within: int) -> None:
        self._count = count
        self._within = within
        self._last: Value | None = None
        self._edges: deque[int] = deque(maxlen=count)
        self._until = 0
        """Holds at least so long: taken over from before a restart, whose edges nobody knows."""

    def judge(self, value: Value, at: int, held: bool) -> bool | None:  # noqa: ARG002, D102, FBT001
        if not isinstance(value, bool):
            return None
        if value and self._last is False:
            self._edges.append(at)
        self._last = value
        return at < self._ends_at()

    def _ends_at(self) -> int:
        full = len(self._edges) == self._count
        return max(self._edges[0] + self._within if full else 0, self._until)

    def due_at(self, holds: bool) -> int | None:  # noqa: D102, FBT001
        return self._ends_at() if holds else None

    def resume(self, at: int) -> None:
        """Go on holding after a restart, as long as edges from before it could count."""
        self._until = at + self._within

    def describe(self) -> str:  # noqa: D102
        return f"tripped {self._count} times within {format_duration(self._within)}"


class Changes:
    """Holds for the single instant of a good reading that differs, in type or value, from the good one before."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: Value | None = None

    def judge(self, value: Value, at: int, held: bool) -> bool | None:  # noqa: ARG002, D102, FBT001
        last, self._last = self._last, value
        return last is not None and (value != last or kind(value) is not kind(last))

    def describe(self) -> str:  # noqa: D102
        return "changed"


class Silent:
    """Holds while there was no good reading for a time, counted from `start` where there was none."""

    __slots__ = ("_at", "silent_for")

    def __init__(self, silent_for: int) -> None:
        self.silent_for = silent_for
        self._at: int | None = None

    def start(self, at: int) -> None:
        """Begin to count, unless it does so already."""
        if self._at is None:
            self._at = at + self.silent_for

    def restart(self, at: int) -> None:
        """Count from an instant, whatever it did before."""
        self._at = at + self.silent_for

    def judge(self, value: Value, at: int, held: bool) -> bool | None:  # noqa: ARG002, D102, FBT001
        self._at = at + self.silent_for
        return False

    def due_at(self, holds: bool) -> int | None:  # noqa: D102, FBT001
        return None if holds else self._at

    def counts_from(self) -> int | None:
        """Return the instant from which it counts; None: not yet."""
        return None if self._at is None else self._at - self.silent_for

    def describe(self) -> str:  # noqa: D102
        return f"silent for {format_duration(self.silent_for)}"
