"""What a picture is drawn from, gathered while readings stream by: memory stays the same, however long the file."""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import IntEnum

from edge_agent.core.events import EventKind
from edge_agent.core.reading import Value

COLUMNS = 1500
"""Of the widest picture; what falls into one column is drawn as its lowest and its highest value."""
_ROOM = 6
"""So many times the columns are kept before they are thinned: seldom enough to cost little."""
_MAX_WORDS = 8
OTHER = "(another text)"

Sample = tuple[int, float]
"""(Unix microseconds, value)"""


class Kind(IntEnum):
    """How a point is drawn."""

    NUMBER = 0
    SWITCH = 1
    TEXT = 2


class Level(IntEnum):
    """An alarm's state in a band; where several fall into one column the highest is seen."""

    NORMAL = 0
    PENDING = 1
    CLEARING = 2
    RAISED = 3


_LEVELS = {
    EventKind.PENDING: Level.PENDING,
    EventKind.DROPPED: Level.NORMAL,
    EventKind.RAISED: Level.RAISED,
    EventKind.CLEARING: Level.CLEARING,
    EventKind.RESUMED: Level.RAISED,
    EventKind.CLEARED: Level.NORMAL,
}
_SHELF = {EventKind.SHELVED: 1, EventKind.UNSHELVED: 0}
MARKS = (EventKind.CALL, EventKind.REPEAT, EventKind.SUPPRESSED, EventKind.ACKNOWLEDGED)


def _width(begin: int, end: int, columns: int) -> int:
    return max(1, (end - begin) // columns)


def decimate(samples: list[Sample], columns: int = COLUMNS) -> list[Sample]:
    """Return the first, lowest, highest and last sample of each column of time, in order."""
    if len(samples) <= columns:
        return samples
    begin = samples[0][0]
    width = _width(begin, samples[-1][0], columns)
    kept: list[Sample] = []
    first = low = high = last = samples[0]
    column = 0
    for sample in samples:
        if (sample[0] - begin) // width != column:
            kept += sorted({first, low, high, last})
            column = (sample[0] - begin) // width
            first = low = high = sample
        elif sample[1] < low[1]:
            low = sample
        elif sample[1] > high[1]:
            high = sample
        last = sample
    return kept + sorted({first, low, high, last})


class Track:
    """The readings of one point, as its alarms saw them. It is drawn as what its first good reading was."""

    def __init__(self, columns: int = COLUMNS) -> None:
        self.columns = columns
        self.kind = Kind.NUMBER
        self.samples: list[Sample] = []
        self.bad: list[Sample] = []
        """Instants of bad quality."""
        self.words: list[str] = []
        """The texts that came; a sample of a text is its index."""
        self.count = 0
        self.strays = 0
        """Readings of another type: they are not drawn."""
        self.seen_at: int | None = None
        self._add_bare = self._add_first

    def add(self, at: int, value: Value | None) -> None:
        """Take a reading; None is bad quality."""
        self.count += 1
        if value is None:
            self._keep(self.bad, (at, 0.0))
        else:
            self._add_bare(at, value)

    def _add_first(self, at: int, value: Value) -> None:
        self.kind = _kind(value)
        ways = {Kind.NUMBER: self._add_number, Kind.SWITCH: self._add_switch, Kind.TEXT: self._add_text}
        self._add_bare = ways[self.kind]
        self._add_bare(at, value)

    def _add_number(self, at: int, value: Value) -> None:
        if isinstance(value, bool | str):
            self.strays += 1
        else:
            self._keep(self.samples, (at, value))

    def _add_switch(self, at: int, value: Value) -> None:
        if isinstance(value, bool):
            self._change(at, float(value))
        else:
            self.strays += 1

    def _add_text(self, at: int, value: Value) -> None:
        if not isinstance(value, str):
            self.strays += 1
            return
        if value not in self.words and len(self.words) <= _MAX_WORDS:
            self.words.append(value if len(self.words) < _MAX_WORDS else OTHER)
        self._change(at, float(self.words.index(value) if value in self.words else _MAX_WORDS))

    def _change(self, at: int, level: float) -> None:
        if not self.samples or self.samples[-1][1] != level:
            self._keep(self.samples, (at, level))

    def _keep(self, samples: list[Sample], sample: Sample) -> None:
        samples.append(sample)
        if len(samples) > _ROOM * self.columns:
            samples[:] = decimate(samples, self.columns)


def _kind(value: Value) -> Kind:
    if isinstance(value, bool):
        return Kind.SWITCH
    return Kind.TEXT if isinstance(value, str) else Kind.NUMBER


Span = tuple[int, int, int]
"""(begin, end, level)"""


class Steps:
    """A level over time, such as an alarm's state. What is shorter than a column is not lost: the highest is kept."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, int]] = []

    def add(self, at: int, level: int) -> None:
        """Go to a level."""
        self._steps.append((at, level))
        if len(self._steps) > _ROOM * COLUMNS:
            spans = self.spans(at)
            self._steps = [(begin, held) for begin, _, held in merge(spans, _width(spans[0][0], at, COLUMNS))]
            self._steps.append((at, level))

    def spans(self, end: int) -> list[Span]:
        """Return all spans, the last of them up to `end`."""
        ends = [at for at, _ in self._steps[1:]] + [end]
        return [(at, until, level) for (at, level), until in zip(self._steps, ends, strict=False)]


def merge(spans: Iterable[Span], width: int) -> list[Span]:
    """Return spans in which short neighbours are one, at the highest of their levels; long ones stay as they are."""
    merged: list[Span] = []
    for begin, end, level in spans:
        if merged and end - merged[-1][0] <= width:
            first, _, before = merged[-1]
            merged[-1] = (first, end, max(before, level))
        else:
            merged.append((begin, end, level))
    return merged


class Lane:
    """What became of one alarm instance."""

    def __init__(self, alarm: str, instance: str | None) -> None:
        self.alarm = alarm
        self.instance = instance
        self.states = Steps()
        self.shelf = Steps()
        self.marks: dict[EventKind, list[Sample]] = {kind: [] for kind in MARKS}
        self.counts: Counter[EventKind] = Counter()

    def add(self, at: int, kind: EventKind) -> None:
        """Take an event."""
        self.counts[kind] += 1
        if kind in _LEVELS:
            self.states.add(at, _LEVELS[kind])
        elif kind in _SHELF:
            self.shelf.add(at, _SHELF[kind])
        elif kind in self.marks:
            marks = self.marks[kind]
            marks.append((at, 0.0))
            if len(marks) > _ROOM * COLUMNS:
                marks[:] = decimate(marks)

    @property
    def weight(self) -> int:
        """Return how much it is worth showing: 2 if it was raised, 1 if anything happened, else 0."""
        return 2 if self.counts[EventKind.RAISED] else min(1, self.counts.total())


def segments(samples: list[Sample], longest: int) -> Iterator[list[Sample]]:
    """Yield runs of samples between which there is no gap longer than this."""
    run: list[Sample] = []
    for sample in samples:
        if run and sample[0] - run[-1][0] > longest:
            yield run
            run = []
        run.append(sample)
    if run:
        yield run
