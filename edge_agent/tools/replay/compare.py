"""Two settings over the same readings: which raises and calls only one of them has, and their totals side by side."""

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from edge_agent.core.events import Event, EventKind
from edge_agent.tools.replay.entries import Entry
from edge_agent.tools.replay.player import Player
from edge_agent.tools.replay.summary import Summary, side_by_side, span

BASE, OTHER = 0, 1
SIDES = ("base", "other")
_COMPARED = (EventKind.RAISED, EventKind.CALL, EventKind.REPEAT)


@dataclass(frozen=True, slots=True)
class Difference:
    """An event that only one of the two has."""

    side: int
    event: Event


@dataclass(slots=True)
class _Case:
    """The time in which an alarm instance is raised with one setting or with both, without a break."""

    raised: list[bool] = field(default_factory=lambda: [False, False])
    unmatched: dict[tuple[EventKind, str | None], deque[Difference]] = field(default_factory=dict)

    def compare(self, found: Difference) -> None:
        """Set an event against the same kind of event of the other side, whichever comes first."""
        waiting = self.unmatched.setdefault((found.event.kind, found.event.rule), deque())
        if waiting and waiting[0].side != found.side:
            waiting.popleft()
        else:
            waiting.append(found)


class Comparison:
    """Compares two streams of events case by case.

    Two settings see the same trouble at different instants. So an alarm's episodes that overlap are one case, and in
    a case the first raise of the one stands for the first raise of the other, the second for the second; so do calls
    and repeats of a rule. What is left over at the end of the case is what only one of them has.
    """

    def __init__(self) -> None:
        self._cases: dict[tuple[str, str | None], _Case] = {}
        self._over: dict[tuple[str, str | None], int] = {}
        """{a case that may be over: since when}; at the same instant the other side may still begin."""

    def add(self, base: Sequence[Event], other: Sequence[Event]) -> Iterator[Difference]:
        """Take what the same entry led to on both sides; yield the differences of cases that are over."""
        both = (
            [Difference(BASE, event) for event in base],
            [Difference(OTHER, event) for event in other],
        )
        for each in heapq.merge(*both, key=lambda found: found.event.at):
            yield from self._settle(each.event.at)
            self._take(each)

    def finish(self) -> Iterator[Difference]:
        """Yield the differences of all other cases."""
        left = [found for case in self._cases.values() for found in _left(case)]
        self._cases.clear()
        yield from sorted(left, key=lambda found: found.event.at)

    def _take(self, found: Difference) -> None:
        event = found.event
        if event.alarm is None:
            return
        key = event.alarm, event.instance
        if event.kind in _COMPARED:
            case = self._cases.setdefault(key, _Case())
            case.compare(found)
            if event.kind is EventKind.RAISED:
                case.raised[found.side] = True
                self._over.pop(key, None)
        elif event.kind is EventKind.CLEARED and key in self._cases:
            case = self._cases[key]
            case.raised[found.side] = False
            if not any(case.raised):
                self._over[key] = event.at

    def _settle(self, now: int) -> Iterator[Difference]:
        for key in [key for key, at in self._over.items() if at < now]:
            del self._over[key]
            yield from _left(self._cases.pop(key))


class Duel:
    """Plays the same entries to two players at once."""

    def __init__(self, base: Player, other: Player) -> None:
        self._players = base, other
        self._summaries = Summary(base.zone), Summary(base.zone)
        self._comparison = Comparison()
        self._only: Counter[tuple[int, EventKind]] = Counter()

    def run(self, entries: Iterable[Entry], until: int | None = None) -> Iterator[Difference]:
        """Feed all entries, those after `until` excepted, and finish; yield what only one of the two has."""
        for found in self._differences(entries, until):
            self._only[found.side, found.event.kind] += 1
            yield found

    def _differences(self, entries: Iterable[Entry], until: int | None) -> Iterator[Difference]:
        base, other = self._players
        for entry in entries:
            if until is not None and entry.at > until:
                break
            first, second = base.feed(entry), other.feed(entry)
            if first or second:
                yield from self._take(first, second)
        yield from self._take(base.finish(until), other.finish(until))
        yield from self._comparison.finish()

    def _take(self, base: tuple[Event, ...], other: tuple[Event, ...]) -> Iterator[Difference]:
        for summary, events in zip(self._summaries, (base, other), strict=True):
            for event in events:
                summary.add(event)
        return self._comparison.add(base, other)

    def report(self) -> Iterator[str]:
        """Yield both totals, side by side, in lines."""
        begin, end = self._players[BASE].began_at, self._players[BASE].now
        totals = [summary.totals(end) for summary in self._summaries]
        yield span(begin, end, self._players[BASE].zone)
        yield ""
        yield from side_by_side(totals[BASE], totals[OTHER], SIDES)
        yield ""
        for side, name in enumerate(SIDES):
            raises, calls, repeats = (self._only[side, kind] for kind in _COMPARED)
            yield f"  only {name}: raised {raises}, calls {calls}, repeats {repeats}"


def _left(case: _Case) -> list[Difference]:
    left = [found for waiting in case.unmatched.values() for found in waiting]
    return sorted(left, key=lambda found: found.event.at)
