"""What a test is once its file was read: readings over time, and the events that are expected of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_agent.core.events import Event, EventKind
from edge_agent.tools.alarm_tests.series import Series, length


@dataclass(frozen=True, slots=True)
class Expected:
    """An event that must come. What is None is not compared."""

    at: int
    """Microseconds since the test's start."""
    alarm: str
    event: EventKind
    instance: str | None = None
    rule: str | None = None
    line: int = 0

    def covers(self, event: Event, start: int) -> bool:
        """Return whether an event is what this stands for."""
        return event.at - start == self.at and self.covers_but_for_time(event)

    def covers_but_for_time(self, event: Event) -> bool:
        """Return whether it would be, at another instant."""
        return (
            (event.alarm, event.kind) == (self.alarm, self.event)
            and self.instance in (None, event.instance)
            and self.rule in (None, event.rule)
        )


@dataclass(frozen=True, slots=True)
class AlarmTest:
    """One `[[test]]`. Instants and durations are microseconds, `start` is Unix time."""

    file: str
    line: int
    name: str
    start: int
    interval: int
    series: Mapping[str, Series] = field(default_factory=dict)
    """{point: its readings}; those of one instant come in this order."""
    expected: tuple[Expected, ...] = ()
    others: bool = False
    """Calls, repeats and raised alarms that nobody expects are no failure."""

    def end(self) -> int:
        """Return when it is over: at the end of the longest series or at the last expected event, what comes later."""
        last = max((length(series) - 1 for series in self.series.values()), default=0)
        return self.start + max([last * self.interval, *(expected.at for expected in self.expected)])
