"""Plays a test through the engine in virtual time, and compares what came with what was expected."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from edge_agent.config.settings import Config
from edge_agent.core.events import Event, EventKind
from edge_agent.core.reading import Reading, Value
from edge_agent.tools.alarm_tests.cases import AlarmTest, Expected
from edge_agent.tools.alarm_tests.series import readings
from edge_agent.tools.replay.player import Player

STRICT = (EventKind.RAISED, EventKind.CALL, EventKind.REPEAT)
"""Nobody wants to be phoned without having expected it."""
Item = TypeVar("Item")
_BAD = "nan in the test"


class Fault(StrEnum):
    """Why a line of the comparison is wrong."""

    NONE = ""
    MISSING = "missing"
    UNEXPECTED = "unexpected"


@dataclass(frozen=True, slots=True)
class Line:
    """What was expected and what came at one instant, side by side."""

    at: int
    """Microseconds since the test's start."""
    expected: Expected | None
    came: Event | None
    fault: Fault = Fault.NONE
    instead_at: int | None = None
    """Of a missing event: when the nearest of its kind came."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a test."""

    test: AlarmTest
    lines: tuple[Line, ...]
    """All events, and what is missing, in the order of time."""

    @property
    def passed(self) -> bool:
        """Return whether all came as expected."""
        return all(line.fault is Fault.NONE for line in self.lines)

    def count(self, fault: Fault) -> int:
        """Return how many lines are wrong in this way."""
        return sum(line.fault is fault for line in self.lines)


def run_test(test: AlarmTest, config: Config) -> Result:
    """Play a test through the alarms of a configuration, all of them normal at its start."""
    player = Player(config)
    player.begin(test.start)
    events = [*player.play(_readings(test)), *player.finish(test.end())]
    return Result(test, compare(test, events))


def _readings(test: AlarmTest) -> Iterator[Reading]:
    """Yield the readings of all points in the order of time; at one instant in the order of the file."""

    def of(order: int, point: str) -> Iterator[tuple[int, int, str, Value | None]]:
        for index, value in readings(test.series[point]):
            yield index, order, point, value

    for index, _, point, value in heapq.merge(*(of(order, point) for order, point in enumerate(test.series))):
        yield Reading(point, value, test.start + index * test.interval, "" if value is not None else _BAD)


def compare(test: AlarmTest, events: Sequence[Event]) -> tuple[Line, ...]:
    """Set what was expected beside what came."""
    pairs = _pair(test.expected, events, test.start)
    by_event = {came: test.expected[index] for index, came in pairs.items()}
    by_instant = _by_instant((each.at, each) for each in test.expected)
    lines = []
    for index, event in enumerate(events):
        expected = by_event.get(index)
        if expected is None:  # one without rule or instance stands for all of them
            alike = by_instant.get(event.at - test.start, ())
            expected = next((each for each in alike if each.covers(event, test.start)), None)
        wrong = expected is None and event.kind in STRICT and not test.others
        lines.append(Line(event.at - test.start, expected, event, Fault.UNEXPECTED if wrong else Fault.NONE))
    for index, expected in enumerate(test.expected):
        if index not in pairs:
            lines.append(_missing(expected, events, test.start))
    return tuple(sorted(lines, key=lambda line: line.at))


def _by_instant(items: Iterable[tuple[int, Item]]) -> dict[int, list[Item]]:
    found: dict[int, list[Item]] = {}
    for at, item in items:
        found.setdefault(at, []).append(item)
    return found


def _missing(expected: Expected, events: Iterable[Event], start: int) -> Line:
    alike = [event.at - start for event in events if expected.covers_but_for_time(event)]
    nearest = min(alike, key=lambda at: abs(at - expected.at), default=None)
    return Line(expected.at, expected, None, Fault.MISSING, nearest if nearest != expected.at else None)


def _pair(expected: Sequence[Expected], events: Sequence[Event], start: int) -> dict[int, int]:
    """Return {index of what was expected: index of an event of its own}, as many as there can be.

    Two that are alike need two events; one that leaves out the rule must not take the event of one that names it.
    So it is a matching in a graph, by augmenting paths; the graph is a handful of edges.
    """
    by_instant = _by_instant((event.at - start, index) for index, event in enumerate(events))
    fits = [[index for index in by_instant.get(each.at, ()) if each.covers(events[index], start)] for each in expected]
    owner: dict[int, int] = {}

    def claim(index: int, asked: set[int]) -> bool:
        for event in fits[index]:
            if event not in asked:
                asked.add(event)
                if event not in owner or claim(owner[event], asked):
                    owner[event] = index
                    return True
        return False

    for index in range(len(expected)):
        claim(index, set())
    return {index: event for event, index in owner.items()}
