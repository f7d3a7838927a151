"""The short notation of a point's readings: `-20x10 -14x6 _x3 nan`, one value in each interval."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.core.reading import Value, parse_value

MAX_READINGS = 10_000_000
"""Of one point in one test: 19 years at one a minute. More is a slip of the finger."""
_WORD = re.compile(r"""(?P<quoted>'[^']*'|"[^"]*")(?P<rest>\S*)|(?P<bare>\S+)""")
_REPEATED = re.compile(r"(.+?)x([0-9]+)")
_TIMES = re.compile(r"x([0-9]+)")
_NOTHING = "_"


@dataclass(frozen=True, slots=True)
class Run:
    """One value, `count` times; `value` None is a reading of bad quality."""

    count: int
    value: Value | None = None
    silent: bool = False
    """No reading at all."""


Series = tuple[Run, ...]


def parse_series(text: object) -> Series:
    """Return the readings that a text stands for: numbers, true and false, texts, `_` (none), `nan` (bad quality).

    Raises:
        ValueError: "what is wrong; what would be right".
    """
    if not isinstance(text, str):
        raise ValueError('must be a text in quotes; write it like "-20x10 -14x6 _x3 nan"')  # noqa: TRY004 - pydantic's
    runs = tuple(_run(word) for word in _WORD.finditer(text))
    if not runs:
        raise ValueError('holds no reading; write it like "-20x10 -14x6 _x3 nan"')
    if sum(run.count for run in runs) > MAX_READINGS:
        raise ValueError(f"stands for more than {MAX_READINGS} readings; take a longer interval")
    return runs


def length(series: Series) -> int:
    """Return how many intervals a series takes, those without a reading included."""
    return sum(run.count for run in series)


def readings(series: Series) -> Iterator[tuple[int, Value | None]]:
    """Yield (interval, value) of each reading; None is bad quality."""
    at = 0
    for run in series:
        if not run.silent:
            yield from ((index, run.value) for index in range(at, at + run.count))
        at += run.count


def _run(word: re.Match[str]) -> Run:
    quoted = word["quoted"]
    if quoted is not None:
        return Run(_quoted_count(word), quoted[1:-1])
    bare = word["bare"]
    repeated = _REPEATED.fullmatch(bare)
    value, count = (repeated[1], _count(repeated[2], bare)) if repeated else (bare, 1)
    if value == _NOTHING:
        return Run(count, silent=True)
    return Run(count, _value(value))


def _quoted_count(word: re.Match[str]) -> int:
    if not word["rest"]:
        return 1
    times = _TIMES.fullmatch(word["rest"])
    if times is None:
        raise ValueError(f"cannot read {word.group()}; after the quote comes a blank, or x and how often")
    return _count(times[1], word.group())


def _count(digits: str, word: str) -> int:
    count = int(digits[:20])
    if count == 0:
        raise ValueError(f"{word} stands for no reading; repeat it at least once, or remove it")
    return count


def _value(word: str) -> Value | None:
    value = parse_value(word)
    if isinstance(value, str) and (value[0] in "'\"" or value.lstrip("+-.")[:1].isdigit()):
        # a text would be taken silently for what was meant as a number, and the test would say nothing
        raise ValueError(f"{word} is no number; write numbers like -14.5, and a text in single quotes")
    return value
