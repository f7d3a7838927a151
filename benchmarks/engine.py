"""The engine alone: a reading touches only the alarms on its point, so its cost stays flat; memory grows in line."""

import gc
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.common import Size
from benchmarks.figures import Row, median
from edge_agent.core.engine import Engine, EngineSettings
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading
from edge_agent.core.settings import AlarmSettings

_SHAPES = (1, 100, 10_000)
_INSTANCES = 1_000
_FLIPS_EVERY = 1_000


@dataclass(slots=True)
class _Bare:
    """The least that anybody must keep of a point: the floor also of what a cache too small costs."""

    limit: float = 100.0
    value: float = 0.0
    at: int = 0


def run(size: Size) -> list[Row]:
    """Return microseconds for a reading beside a bare look-up among as many points, and beside one alarm; memory."""
    engines = {f"{count:,} alarms": (_many(count), [f"s{number}" for number in range(count)]) for count in _SHAPES}
    engines["1 alarm on 1,000 instances"] = (_instances(), [f"m[{number}]" for number in range(_INSTANCES)])
    for engine, points in engines.values():  # the first reading of an instance makes its alarm: once
        for point in points:
            engine.feed(Reading(point, 20, engine.now))
    costs: dict[str, list[float]] = {name: [] for name in engines}
    floors: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(size.rounds):
        for name, (engine, points) in engines.items():
            script = _script(engine.now, points, size.messages)
            floors[name].append(_timed(_floor({point: _Bare() for point in points}), script))
            costs[name].append(_timed(engine.feed, script))
            engine.take()
    rows = [Row(f"reading, {name}", median(floors[name]), median(costs[name]), " µs") for name in engines]
    alone = rows[0].agent
    rows += [Row(f"{row.what}, beside 1", alone, row.agent, " µs", at_most=2.0) for row in rows[1:]]
    return [*rows, Row("memory for an alarm, of 10,000", _bytes(1_000), _bytes(10_000), " bytes", at_most=1.1)]


def _alarm(point: str) -> AlarmSettings:
    return AlarmSettings.model_validate(
        {"input": point, "above": 100, "deadband": 2, "on_delay": "5m", "off_delay": "1m", "call": "r", "repeat": "1h"}
    )


def _many(count: int) -> Engine:
    sources = {f"s{number}": SourceSpec() for number in range(count)}
    return Engine(EngineSettings(sources, {f"a{number}": _alarm(f"s{number}") for number in range(count)}), 0)


def _instances() -> Engine:
    return Engine(EngineSettings({"m": SourceSpec(instances=True)}, {"a": _alarm("m")}), 0)


def _script(at: int, points: list[str], readings: int) -> list[Reading]:
    """Return readings; one in a thousand makes its alarm pending, the next of its point ends that."""
    return [
        Reading(points[number % len(points)], 101 if number % _FLIPS_EVERY == 0 else 20 + number % 70, at + number)
        for number in range(readings)
    ]


def _floor(points: dict[str, _Bare]) -> Callable[[Reading], object]:
    def feed(reading: Reading) -> bool:
        point = points[reading.point]
        point.at = reading.at
        point.value = reading.value  # type: ignore[assignment]
        return point.value > point.limit

    return feed


def _timed(feed: Callable[[Reading], object], script: list[Reading]) -> float:
    """Return microseconds for a reading."""
    gc.collect()
    begin = time.perf_counter()
    for reading in script:
        feed(reading)
    return (time.perf_counter() - begin) / len(script) * 1e6


def _bytes(count: int) -> float:
    """Return the memory that each alarm takes, with its point, after a reading."""
    settings = EngineSettings(
        {f"s{number}": SourceSpec() for number in range(count)},
        {f"a{number}": _alarm(f"s{number}") for number in range(count)},
    )
    gc.collect()
    tracemalloc.start()
    engine = Engine(settings, 0)
    for number in range(count):
        engine.feed(Reading(f"s{number}", 20.5, number))
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / count
