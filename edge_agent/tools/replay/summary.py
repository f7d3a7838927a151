"""What came of a replay, in numbers: raises, time in alarm and calls, by alarm, by rule and by hour; what chattered."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from edge_agent.core.events import Event, EventKind
from edge_agent.core.fields import SECOND, format_duration
from edge_agent.core.times import iso, local
from edge_agent.tools.replay.lines import full_name, table

_CALLS = (EventKind.CALL, EventKind.REPEAT, EventKind.SUPPRESSED)
_WORST = 5
_BAR = 40
_HOURS = 24
_NO_CALL = "No calls."


@dataclass(slots=True)
class _Instance:
    """What an alarm instance did."""

    alarm: str
    instance: str | None
    raises: int = 0
    raised_at: int | None = None
    in_alarm: int = 0
    bursts: int = 0
    """How often it began to chatter."""
    burst: int = 0
    """Raises since it began to chatter, 0: it does not."""
    worst: int = 0
    advice: str = ""
    """Of the worst: what was seen, and what would have calmed it."""

    def add(self, event: Event) -> None:
        match event.kind:
            case EventKind.RAISED:
                self.raises += 1
                self.raised_at = event.at
                self.burst += self.burst > 0
            case EventKind.CLEARED if self.raised_at is not None:
                self.in_alarm += event.at - self.raised_at
                self.raised_at = None
            case EventKind.CHATTERING:
                self.bursts += 1
                self.burst = 1
            case EventKind.SETTLED:
                if self.burst > self.worst:
                    self.worst, self.advice = self.burst, event.reason
                self.burst = 0

    def in_alarm_until(self, end: int) -> int:
        """Return how long it was in alarm; one that still is counts up to the end."""
        return self.in_alarm + (0 if self.raised_at is None else max(0, end - self.raised_at))


@dataclass(frozen=True, slots=True)
class Totals:
    """What one alarm did, all its instances together."""

    raises: int
    in_alarm: int
    """Microseconds, those of each instance added up."""
    calls: int
    repeats: int
    held: int
    """Calls that were held back."""


@dataclass(slots=True)
class Summary:
    """Counts the events of a replay."""

    zone: tzinfo
    _instances: dict[tuple[str, str | None], _Instance] = field(default_factory=dict)
    _alarms: Counter[tuple[str, EventKind]] = field(default_factory=Counter)
    _rules: Counter[tuple[str, EventKind]] = field(default_factory=Counter)
    _held: Counter[str] = field(default_factory=Counter)
    _hours: Counter[int] = field(default_factory=Counter)

    def add(self, event: Event) -> None:
        """Count an event."""
        if event.alarm is None:
            return
        key = event.alarm, event.instance
        if key not in self._instances:
            self._instances[key] = _Instance(*key)
        if event.kind not in _CALLS:
            self._instances[key].add(event)
            return
        self._alarms[event.alarm, event.kind] += 1
        if event.rule is not None:
            self._rules[event.rule, event.kind] += 1
        if event.kind is EventKind.SUPPRESSED:
            self._held[event.reason.partition(" ")[0].rstrip(":,;")] += 1
        else:
            self._hours[local(event.at, self.zone).hour] += 1

    def totals(self, end: int) -> dict[str, Totals]:
        """Return what each alarm did that did anything, by name."""
        found: dict[str, list[_Instance]] = {}
        for each in self._instances.values():
            found.setdefault(each.alarm, []).append(each)
        return {
            name: Totals(
                sum(each.raises for each in instances),
                sum(each.in_alarm_until(end) for each in instances),
                *(self._alarms[name, kind] for kind in _CALLS),
            )
            for name, instances in sorted(found.items())
        }

    def report(self, begin: int, end: int) -> Iterator[str]:
        """Yield the summary in lines."""
        yield span(begin, end, self.zone)
        totals = self.totals(end)
        if not totals:
            yield "Nothing happened to any alarm."
            return
        yield ""
        yield from table(
            ("alarm", "raised", "in alarm", "calls", "repeats", "held back"),
            [
                (name, f"{each.raises}", length(each.in_alarm), f"{each.calls}", f"{each.repeats}", f"{each.held}")
                for name, each in totals.items()
            ],
        )
        yield ""
        yield from self._calls()
        yield from self._chatter()

    def _calls(self) -> Iterator[str]:
        rules = sorted({rule for rule, _ in self._rules})
        rows = [(rule, *(str(self._rules[rule, kind]) for kind in _CALLS)) for rule in rules]
        yield from table(("rule", "calls", "repeats", "held back"), rows) if rows else (_NO_CALL,)
        if self._held:
            yield "  held back by " + ", ".join(f"{word} ({count})" for word, count in self._held.most_common())
        if self._hours:
            yield ""
            yield "Calls and repeats by hour of the day"
            yield from _bars(self._hours)

    def _chatter(self) -> Iterator[str]:
        worst = sorted((each for each in self._instances.values() if each.bursts), key=lambda each: -each.raises)
        if not worst:
            return
        yield ""
        yield "Chattering (raised three times or more within a minute), the worst first"
        for each in worst[:_WORST]:
            times = "once" if each.bursts == 1 else f"{each.bursts} times"
            advice = f"; at its worst {each.advice}" if each.advice else ""
            yield f"  {full_name(each.alarm, each.instance)}: {times}, {each.raises} raises in all{advice}"
        if len(worst) > _WORST:
            yield f"  and {len(worst) - _WORST} more"


def span(begin: int, end: int, zone: tzinfo) -> str:
    """Return from when to when."""
    return f"From {iso(begin, zone)} to {iso(end, zone)}, {length(end - begin)}"


def length(micros: int) -> str:
    """Return a duration as people read it in a table: to the second where it is longer than a minute."""
    return format_duration(micros if micros < 60 * SECOND else round(micros / SECOND) * SECOND) if micros else "0s"


def side_by_side(first: Mapping[str, Totals], second: Mapping[str, Totals], names: Sequence[str]) -> Iterator[str]:
    """Yield a table of two replays' totals; `names` are those of the two."""
    none = Totals(0, 0, 0, 0, 0)
    rows = []
    for alarm in sorted({*first, *second}):
        for index, totals in enumerate((first, second)):
            each = totals.get(alarm, none)
            cells = (f"{each.raises}", length(each.in_alarm), f"{each.calls}", f"{each.repeats}", f"{each.held}")
            rows.append((alarm if index == 0 else "", names[index], *cells))
    if not rows:
        yield "Nothing happened to any alarm."
        return
    yield from table(("alarm", "setting", "raised", "in alarm", "calls", "repeats", "held back"), rows)


def _bars(hours: Mapping[int, int]) -> Iterator[str]:
    most = max(hours.values())
    width = len(str(most))
    for hour in range(_HOURS):
        if hours.get(hour):
            yield f"  {hour:02}:00  {hours[hour]:>{width}}  {'#' * max(1, hours[hour] * _BAR // most)}"
