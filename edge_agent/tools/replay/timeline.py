"""`simulate --timeline`: a timing picture in characters, for a terminal, a mail or a document."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo

from edge_agent.config.words import clean
from edge_agent.core.events import EventKind
from edge_agent.core.times import MILLION, local
from edge_agent.tools.replay.lines import full_name
from edge_agent.tools.replay.plot_data import Kind, Lane, Level, Sample, Track

COLUMNS = 60
_BARS = "▁▂▃▄▅▆▇█"
_STATES = {Level.NORMAL: "·", Level.PENDING: "░", Level.CLEARING: "▒", Level.RAISED: "█"}
_MARKS = {EventKind.SUPPRESSED: "s", EventKind.ACKNOWLEDGED: "A", EventKind.REPEAT: "R", EventKind.CALL: "C"}
"""Later ones cover earlier ones in the same column."""
_SHELVED = "-"
_BAD = "?"
_LETTERS = "abcdefghij"
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_DAY_S = 86_400
_RULER_EVERY = 10
_LEGEND = {
    "·": "normal", "░": "pending", "█": "raised", "▒": "clearing",
    "C": "call", "R": "repeat", "s": "held back", "A": "acknowledged", "-": "shelved",
}  # fmt: skip


def timeline(
    span: tuple[int, int], zone: tzinfo, tracks: Mapping[str, Track], lanes: Mapping[tuple[str, str | None], Lane]
) -> Iterator[str]:
    """Yield the lines: a ruler, a row for each point that alarms look at, two for each alarm instance, a legend.

    A column is a stretch of time of a round length: of a point it shows the last value, of an alarm the worst state.
    """
    begin, end = span
    width = _column(begin, end)
    columns = range(begin, end + 1, width)
    rows: list[tuple[str, str, str]] = [("", _ruler(columns, zone, width), "")]
    rows += [(clean(name), *_values(track, columns, width)) for name, track in tracks.items()]
    drawn = []
    for lane in lanes.values():
        states, marks = _states(lane, columns, width, end), _marks(lane, columns, width, end)
        rows += [(full_name(lane.alarm, lane.instance), states, ""), ("", marks, "")]
        drawn += [states, marks]
    label = max(len(name) for name, _, _ in rows)
    yield from (f"{name:<{label}}  {cells}  {note}".rstrip() for name, cells, note in rows if name or cells.strip())
    seen = {character for cells in drawn for character in cells}
    yield f"{'':<{label}}  " + "  ".join(f"{mark} {word}" for mark, word in _LEGEND.items() if mark in seen)


def _column(begin: int, end: int) -> int:
    """Return a round length of time, in microseconds, of which at most COLUMNS cover the whole."""
    least = (end - begin + 1) / COLUMNS / MILLION
    step = next((step for step in _STEPS_S if step >= least), None)
    return round((step if step is not None else -(-least // _DAY_S) * _DAY_S) * MILLION)


def _ruler(columns: Sequence[int], zone: tzinfo, width: int) -> str:
    form = "%H:%M" if width >= 60 * MILLION else "%H:%M:%S"
    if width * len(columns) > 3 * _DAY_S * MILLION:
        form = "%m-%d"
    marks = (columns[number] for number in range(0, len(columns), _RULER_EVERY))
    return "".join(f"{local(mark, zone):{form}}".ljust(_RULER_EVERY) for mark in marks)


def _values(track: Track, columns: Sequence[int], width: int) -> tuple[str, str]:
    """Return a point's row, and what its characters mean."""
    low, high = _range(track.samples)
    cells = []
    for column in columns:
        end = column + width
        last = _last(track.samples, end)
        bad = _last(track.bad, end)
        if bad is not None and (last is None or bad[0] >= last[0]):
            cells.append(_BAD)
        else:
            cells.append(" " if last is None else _cell(track.kind, last[1], low, high))
    return "".join(cells), _note(track, low, high)


def _range(samples: Sequence[Sample]) -> tuple[float, float]:
    values = [value for _, value in samples]
    return (min(values), max(values)) if values else (0.0, 0.0)


def _last(samples: Sequence[Sample], before: int) -> Sample | None:
    return next((sample for sample in reversed(samples) if sample[0] < before), None)


def _cell(kind: Kind, value: float, low: float, high: float) -> str:
    if kind is Kind.SWITCH:
        return _BARS[-1] if value else _BARS[0]
    if kind is Kind.TEXT:
        return _LETTERS[min(int(value), len(_LETTERS) - 1)]
    return _BARS[round((value - low) / (high - low) * (len(_BARS) - 1)) if high > low else 0]


def _note(track: Track, low: float, high: float) -> str:
    if track.kind is Kind.SWITCH:
        return f"{_BARS[0]} false  {_BARS[-1]} true"
    if track.kind is Kind.TEXT:
        return "  ".join(f"{_LETTERS[number]} {clean(word)}" for number, word in enumerate(track.words))
    return f"{low:g} to {high:g}" if track.samples else ""


def _states(lane: Lane, columns: Sequence[int], width: int, end: int) -> str:
    """Return the worst state of each column."""
    levels = [Level.NORMAL] * len(columns)
    for begin, until, level in lane.states.spans(end + 1):
        for number in _touched(columns, width, begin, until):
            levels[number] = max(levels[number], Level(level))
    return "".join(_STATES[level] for level in levels)


def _marks(lane: Lane, columns: Sequence[int], width: int, end: int) -> str:
    cells = [" "] * len(columns)
    for begin, until, shelved in lane.shelf.spans(end + 1):
        for number in _touched(columns, width, begin, until) if shelved else ():
            cells[number] = _SHELVED
    for kind, mark in _MARKS.items():
        for at, _ in lane.marks[kind]:
            cells[(at - columns[0]) // width] = mark
    return "".join(cells)


def _touched(columns: Sequence[int], width: int, begin: int, until: int) -> range:
    """Return the numbers of the columns that a span lies in; one that ends as it begins lies in one."""
    first = (begin - columns[0]) // width
    last = (max(until - 1, begin) - columns[0]) // width
    return range(max(first, 0), min(last, len(columns) - 1) + 1)
