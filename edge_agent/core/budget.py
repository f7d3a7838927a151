"""Budgets: how often a rule may be triggered within a sliding window. Time is an argument."""

from collections import deque
from collections.abc import Iterable


class Budget:
    """At most `max_calls` triggers of one rule in any half-open window of `per` microseconds; 0: no limit."""

    __slots__ = ("_triggers", "max_calls", "per")

    def __init__(self, max_calls: int, per: int, triggered_at: Iterable[int] = ()) -> None:
        self.max_calls = max_calls
        self.per = per
        self._triggers = deque(sorted(triggered_at))

    def count(self, at: int) -> None:
        """Count a trigger at an instant (the order of instants may be mixed by some microseconds)."""
        if not self.max_calls:
            return
        if self._triggers and self._triggers[-1] > at:
            self._triggers = deque(sorted((*self._triggers, at)))
        else:
            self._triggers.append(at)

    def free_at(self, now: int) -> int:
        """Return the first instant, `now` or later, at which there is room for one more trigger."""
        if not self.max_calls:
            return now
        while self._triggers and self._triggers[0] + self.per <= now:
            self._triggers.popleft()
        if len(self._triggers) < self.max_calls:
            return now
        return self._triggers[-self.max_calls] + self.per

    def triggers(self) -> tuple[int, ...]:
        """Return the instants that still count."""
        return tuple(self._triggers)

    def __str__(self) -> str:
        return f"{self.max_calls} calls"
