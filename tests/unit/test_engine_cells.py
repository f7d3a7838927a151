"""Each test of an alarm with each option, worked out by hand from the semantics' words.

Readings are written `second=value`, with `-` for bad quality and `@x` for instance x; `|second` is a restart.
Expected events are written `second word`, with `@x` behind the word for instance x.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading, parse_value
from tests.unit.engine_play import Waking, happened, play
from tests.unit.engine_script import settings
from tests.unit.engine_steps import Happening, Restart, Step
from tests.unit.reference import Model

GRID = SECOND // 2
END = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Level:
    """A test that looks at the last reading only, a value that fulfils it, one that does not, one of another type."""

    test: dict[str, Any]
    yes: str
    no: str
    other: str
    other_is_bad: bool = True

    def fill(self, readings: str) -> str:
        """Return readings with its own values in the place of Y, N and W."""
        return readings.replace("Y", self.yes).replace("N", self.no).replace("W", self.other)


LEVELS = {
    "above": Level({"above": 10}, "10.5", "10", "text"),
    "below": Level({"below": 10}, "9.5", "10", "true"),
    "outside": Level({"outside": [0, 10]}, "-0.5", "10", "text"),
    "inside": Level({"inside": [0, 10]}, "0", "10.5", "true"),
    "is": Level({"is": True}, "true", "false", "1", other_is_bad=False),
    "is_not": Level({"is_not": 1}, "2", "1.0", "true", other_is_bad=False),
    "matches": Level({"matches": "^err"}, "error", "no-error", "5"),
}
ANY_LEVEL: dict[str, tuple[dict[str, Any], str, str]] = {
    "no delay": ({}, "0=N 1=Y 2=Y 3=N 4=N 5=Y", "1 raised 3 cleared 5 raised"),
    "on_delay": ({"on_delay": "5s"}, "0=Y 2=N 3=Y 6=Y 8=N", "0 pending 2 dropped 3 pending 8 raised 8 cleared"),
    "off_delay": (
        {"off_delay": "5s"}, "0=Y 2=N 3=N 4=Y 10=N 15=Y",
        "0 raised 2 clearing 4 resumed 10 clearing 15 cleared 15 raised",
    ),
    "both delays": (
        {"on_delay": "5s", "off_delay": "3s"}, "0=Y 6=N 8=Y 9=N 20=Y 21=N",
        "0 pending 5 raised 6 clearing 8 resumed 9 clearing 12 cleared 20 pending 21 dropped",
    ),
    "hold": ({"on_bad": "hold"}, "0=- 1=Y 2=- 4=N 6=- 8=Y", "1 raised 4 cleared 8 raised"),
    "hold while pending": ({"on_bad": "hold", "on_delay": "5s"}, "0=Y 1=- 9=-", "0 pending 5 raised"),
    "hold while clearing": ({"on_bad": "hold", "off_delay": "5s"}, "0=Y 1=N 2=-", "0 raised 1 clearing 6 cleared"),
    "raise": ({"on_bad": "raise"}, "0=- 2=N 4=- 5=- 6=Y 8=N", "0 raised 2 cleared 4 raised 8 cleared"),
    "raise with on_delay": (
        {"on_bad": "raise", "on_delay": "5s"}, "0=- 4=N 5=- 6=Y 9=-", "0 pending 4 dropped 5 pending 10 raised",
    ),
    "clear": ({"on_bad": "clear"}, "0=- 1=Y 2=- 3=- 4=Y 6=N 8=-", "1 raised 2 cleared 4 raised 6 cleared"),
    "clear with delays": (
        {"on_bad": "clear", "on_delay": "2s", "off_delay": "5s"}, "0=Y 1=- 2=Y 5=- 6=Y 7=-",
        "0 pending 1 dropped 2 pending 4 raised 5 clearing 6 resumed 7 clearing 12 cleared",
    ),
    "instances": ({"input": "m"}, "0=Y@x 1=N@y 2=Y@y 3=N@x", "0 raised@x 2 raised@y 3 cleared@x"),
    "instances with delays": (
        {"input": "m", "on_delay": "5s"}, "0=Y@x 3=Y@y 4=N@x 9=-@x",
        "0 pending@x 3 pending@y 4 dropped@x 8 raised@y",
    ),
    "a named instance": ({"input": "m[x]"}, "0=Y@y 1=Y@x 2=N@x", "1 raised 2 cleared"),
    "restart": ({}, "0=Y |1 2=Y |3 4=N |5 6=Y", "0 raised 4 cleared 6 raised"),
    "restart without a reading": ({}, "0=Y |1", "0 raised"),
    "restart while pending": ({"on_delay": "5s"}, "0=Y |2 3=-", "0 pending 5 raised"),
    "restart while clearing": ({"off_delay": "5s"}, "0=Y 1=N |2 3=-", "0 raised 1 clearing 6 cleared"),
    "restart after a bad reading that raised": ({"on_bad": "raise"}, "0=N 1=- |2 3=- 4=N", "1 raised 4 cleared"),
    "restart of instances": ({"input": "m"}, "0=Y@x 1=N@y |2 3=N@x", "0 raised@x 3 cleared@x"),
}  # fmt: skip
WRONG_TYPE = "0=N 1=W 2=N"
DEADBANDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("above", {}, "0=10 1=11 2=9 3=8.5 4=8 5=9 6=10 7=10.5", "1 raised 4 cleared 7 raised"),
    ("below", {}, "0=10 1=9 2=11 3=11.5 4=12 5=11 6=10 7=9.5", "1 raised 4 cleared 7 raised"),
    ("outside", {}, "0=10.5 1=9 2=8 3=9 4=-0.5 5=1.5 6=2 7=0", "0 raised 2 cleared 4 raised 6 cleared"),
    ("inside", {}, "0=5 1=12 2=12.5 3=12 4=10 5=-2 6=-2.5 7=-1", "0 raised 2 cleared 4 raised 6 cleared"),
    ("above", {"on_delay": "5s"}, "0=11 1=9 2=11 8=9 9=8", "0 pending 1 dropped 2 pending 7 raised 9 cleared"),
    ("below", {"on_delay": "5s"}, "0=9 1=11 2=9 8=11 9=12", "0 pending 1 dropped 2 pending 7 raised 9 cleared"),
    ("outside", {"on_delay": "5s"}, "0=11 1=9 2=11 8=9 9=8", "0 pending 1 dropped 2 pending 7 raised 9 cleared"),
    ("inside", {"on_delay": "5s"}, "0=5 1=11 2=5 8=11 9=13", "0 pending 1 dropped 2 pending 7 raised 9 cleared"),
    ("above", {"off_delay": "5s"}, "0=11 1=8 2=9 3=11 4=9 5=8", "0 raised 1 clearing 3 resumed 5 clearing 10 cleared"),
    (
        "below",
        {"off_delay": "5s"},
        "0=9 1=12 2=11 3=9 4=11 5=12",
        "0 raised 1 clearing 3 resumed 5 clearing 10 cleared",
    ),
    (
        "outside",
        {"off_delay": "5s"},
        "0=11 1=8 2=9 3=11 4=1 5=2",
        "0 raised 1 clearing 3 resumed 5 clearing 10 cleared",
    ),
    (
        "inside",
        {"off_delay": "5s"},
        "0=5 1=13 2=11 3=5 4=-1 5=-3",
        "0 raised 1 clearing 3 resumed 5 clearing 10 cleared",
    ),
    ("above", {"on_bad": "hold"}, "0=11 1=- 2=9 3=- 4=8", "0 raised 4 cleared"),
    ("below", {"on_bad": "raise"}, "0=- 1=11 2=- 3=12 4=11", "0 raised 3 cleared"),
    ("outside", {"on_bad": "clear"}, "0=11 1=- 2=9 3=11", "0 raised 1 cleared 3 raised"),
    ("inside", {"on_bad": "clear", "off_delay": "5s"}, "0=5 1=- 2=11 3=10", "0 raised 1 clearing 3 resumed"),
    ("above", {"input": "m"}, "0=11@x 1=9@y 2=9@x 3=8@x", "0 raised@x 3 cleared@x"),
    ("above", {}, "0=11 1=9 |2 3=9 4=8", "0 raised 4 cleared"),
    ("below", {}, "0=9 |1 2=11 |3 4=12", "0 raised 4 cleared"),
    ("outside", {"off_delay": "9s"}, "0=11 1=8 |2 3=9", "0 raised 1 clearing 10 cleared"),
    ("inside", {"on_bad": "raise"}, "0=- |1 2=12 3=13", "0 raised 3 cleared"),
]
RISES = {"rises_by": 5, "within": "10s"}
FALLS = {"falls_by": 5, "within": "10s"}
SILENT = {"silent_for": "10s"}
CHANGES = {"changes": True}
TRIPS = {"trips": 2, "within": "10s"}
OTHERS: list[tuple[str, dict[str, Any], str, str]] = [
    ("rises_by", RISES, "0=0 5=4.5 8=5 20=6", "8 raised 20 cleared"),
    ("rises_by: what is as old as within counts", RISES, "0=0 10=5 10.5=5", "10 raised 10.5 cleared"),
    ("rises_by, delays", RISES | {"on_delay": "5s", "off_delay": "5s"}, "0=0 1=5 3=5 7=5 20=5",
        "1 pending 6 raised 20 clearing 25 cleared"),
    ("rises_by, hold", RISES, "0=0 1=5 2=- 3=0", "1 raised 3 cleared"),
    ("rises_by, raise", RISES | {"on_bad": "raise"}, "0=0 1=- 2=1 3=5", "1 raised 2 cleared 3 raised"),
    ("rises_by, clear", RISES | {"on_bad": "clear"}, "0=0 1=5 2=- 3=6", "1 raised 2 cleared 3 raised"),
    ("rises_by, wrong type", RISES | {"on_bad": "raise"}, "0=0 1=text 2=0 3=true 4=0",
        "1 raised 2 cleared 3 raised 4 cleared"),
    ("rises_by, instances", RISES | {"input": "m"}, "0=0@x 1=9@y 2=5@x 3=0@y 4=0@x", "2 raised@x 4 cleared@x"),
    ("rises_by, restart: its window begins empty", RISES, "0=0 |1 2=5 4=10", "4 raised"),
    ("rises_by, restart while it holds", RISES | {"on_delay": "5s"}, "0=0 1=5 |2 20=5",
        "1 pending 6 raised 20 cleared"),
    ("falls_by", FALLS, "0=0 5=-4.5 8=-5 20=-6", "8 raised 20 cleared"),
    ("falls_by: what is as old as within counts", FALLS, "0=0 10=-5 10.5=-5", "10 raised 10.5 cleared"),
    ("falls_by, delays", FALLS | {"on_delay": "5s", "off_delay": "5s"}, "0=0 1=-5 3=-5 7=-5 20=-5",
        "1 pending 6 raised 20 clearing 25 cleared"),
    ("falls_by, hold", FALLS, "0=0 1=-5 2=- 3=0", "1 raised 3 cleared"),
    ("falls_by, raise", FALLS | {"on_bad": "raise"}, "0=0 1=- 2=-1 3=-5", "1 raised 2 cleared 3 raised"),
    ("falls_by, clear", FALLS | {"on_bad": "clear"}, "0=0 1=-5 2=- 3=-6", "1 raised 2 cleared 3 raised"),
    ("falls_by, wrong type", FALLS | {"on_bad": "clear"}, "0=0 1=-5 2=text 3=-5 4=true",
        "1 raised 2 cleared 3 raised 4 cleared"),
    ("falls_by, instances", FALLS | {"input": "m"}, "0=0@x 1=-9@y 2=-5@x 3=0@x", "2 raised@x 3 cleared@x"),
    ("falls_by, restart: its window begins empty", FALLS, "0=0 |1 2=-5 4=-10", "4 raised"),
    ("falls_by, restart while it holds", FALLS | {"off_delay": "5s"}, "0=0 1=-5 |2 20=-5",
        "1 raised 20 clearing 25 cleared"),
    ("silent_for", SILENT, "5=1 20=1", "15 raised 20 cleared 30 raised"),
    ("silent_for: from the start", SILENT, "", "10 raised"),
    ("silent_for: a reading at the last instant is late", SILENT, "0=1 10=1 19.5=1",
        "10 raised 10 cleared 29.5 raised"),
    ("silent_for, delays", SILENT | {"on_delay": "5s", "off_delay": "5s"}, "0=1 12=1 40=1 43=1",
        "10 pending 12 dropped 22 pending 27 raised 40 clearing 45 cleared 53 pending 58 raised"),
    ("silent_for, silence again while clearing", SILENT | {"off_delay": "15s"}, "12=1 13=1",
        "10 raised 12 clearing 23 resumed"),
    ("silent_for, hold", SILENT | {"on_bad": "hold"}, "0=1 5=- 12=1", "10 raised 12 cleared 22 raised"),
    ("silent_for, raise", SILENT | {"on_bad": "raise"}, "0=1 5=- 12=1", "10 raised 12 cleared 22 raised"),
    ("silent_for, clear", SILENT | {"on_bad": "clear"}, "0=1 5=- 12=-", "10 raised"),
    ("silent_for, any type is a reading", SILENT, "0=1 5=text 14=true 20=1", "30 raised"),
    ("silent_for, instances", SILENT | {"input": "m"}, "5=-@x 9=1@y 17=1@x",
        "15 raised@x 17 cleared@x 19 raised@y 27 raised@x"),
    ("silent_for, a named instance never seen", SILENT | {"input": "m[x]"}, "5=1@y 12=1@x",
        "10 raised 12 cleared 22 raised"),
    ("silent_for, restart: from the start", SILENT, "0=1 |5", "15 raised"),
    ("silent_for, restart while silent", SILENT, "|20 35=1", "10 raised 35 cleared 45 raised"),
    ("silent_for, restart of instances", SILENT | {"input": "m"}, "0=1@x |5", "15 raised@x"),
    ("changes", CHANGES, "0=1 1=1 2=2 3=2.0", "2 raised 2 cleared"),
    ("changes of type", CHANGES, "0=1 1=true", "1 raised 1 cleared"),
    ("changes, off_delay", CHANGES | {"off_delay": "5s"}, "0=1 1=2 3=3 20=4",
        "1 raised 1 clearing 3 resumed 3 clearing 8 cleared 20 raised 20 clearing 25 cleared"),
    ("changes, hold", CHANGES, "0=1 1=- 2=1 3=2 4=- 5=3", "3 raised 3 cleared 5 raised 5 cleared"),
    ("changes, raise", CHANGES | {"on_bad": "raise"}, "0=1 1=- 2=1 3=- 4=2", "1 raised 2 cleared 3 raised 4 cleared"),
    ("changes, clear", CHANGES | {"on_bad": "clear"}, "0=1 1=- 2=2", "2 raised 2 cleared"),
    ("changes, instances", CHANGES | {"input": "m"}, "0=1@x 1=2@y 2=3@x", "2 raised@x 2 cleared@x"),
    ("changes, restart: the first reading is none", CHANGES, "0=1 |1 2=2 3=3", "3 raised 3 cleared"),
    ("changes, restart while clearing", CHANGES | {"off_delay": "5s"}, "0=1 1=2 |3 4=2",
        "1 raised 1 clearing 6 cleared"),
    ("trips", TRIPS, "0=false 1=true 2=false 3=true", "3 raised 11 cleared"),
    ("trips: the first reading is no edge", TRIPS, "0=true 1=false 2=true 3=true", ""),
    ("trips: an edge as old as within is gone", TRIPS, "0=false 1=true 2=false 11=true", ""),
    ("trips, delays", TRIPS | {"on_delay": "3s", "off_delay": "3s"}, "0=false 1=true 2=false 3=true",
        "3 pending 6 raised 11 clearing 14 cleared"),
    ("trips, dropped by time", TRIPS | {"on_delay": "9s"}, "0=false 1=true 2=false 3=true", "3 pending 11 dropped"),
    ("trips, hold", TRIPS, "0=false 1=true 2=false 3=- 4=true 5=-", "4 raised 11 cleared"),
    ("trips, raise", TRIPS | {"on_bad": "raise"}, "0=false 1=- 2=false 3=true 4=-", "1 raised 2 cleared 4 raised"),
    ("trips, clear", TRIPS | {"on_bad": "clear"}, "0=false 1=true 2=false 3=true 4=- 6=true",
        "3 raised 4 cleared 6 raised 11 cleared"),
    ("trips, wrong type", TRIPS | {"on_bad": "raise"}, "0=false 1=5 2=true 3=false 4=text 5=true",
        "1 raised 2 cleared 4 raised 12 cleared"),
    ("trips, instances", TRIPS | {"input": "m"}, "0=false@x 1=true@x 2=false@y 3=true@y 4=false@x 5=true@x",
        "5 raised@x 11 cleared@x"),
    ("trips, restart: its window begins empty", TRIPS,
        "0=false 1=true 2=false |2.5 3=true 4=false 5=true 6=false 7=true",
        "7 raised 15 cleared"),
]  # fmt: skip

CELLS = [
    *[
        (f"{name}, {option}", level.test | more, level.fill(readings), expected)
        for name, level in LEVELS.items()
        for option, (more, readings, expected) in ANY_LEVEL.items()
    ],
    *[
        (f"{name}, wrong type", level.test | {"on_bad": "raise"}, level.fill(WRONG_TYPE), "1 raised 2 cleared")
        for name, level in LEVELS.items()
        if level.other_is_bad
    ],
    ("is, wrong type", {"is": True, "on_bad": "raise"}, "0=false 1=1 2=true-ish 3=true", "3 raised"),
    ("is_not, wrong type", {"is_not": 1, "on_bad": "clear"}, "0=1 1=true 2=1.0 3=one", "1 raised 2 cleared 3 raised"),
    *[
        (f"{name}, deadband, {more or readings}", LEVELS[name].test | {"deadband": 2} | more, readings, expected)
        for name, more, readings, expected in DEADBANDS
    ],
    *OTHERS,
]


def steps(script: str) -> list[Step]:
    """Return the steps of a script as written above."""
    return [Restart(when(word[1:])) if word.startswith("|") else reading(word) for word in script.split()]


def reading(word: str) -> Reading:
    """Return the reading that `5=20@x` writes."""
    second, _, value = word.partition("=")
    value, _, instance = value.partition("@")
    return Reading(f"m[{instance}]" if instance else "s", parse_value(value) if value != "-" else None, when(second))


def when(second: str) -> int:
    """Return the instant of a second as written."""
    return round(float(second) * SECOND)


def expectation(written: str) -> list[tuple[int, str, str | None]]:
    """Return the events that `0 pending 5 raised@x` writes."""
    words = written.split()
    pairs = zip(words[::2], words[1::2], strict=True)
    return [(when(second), *word.partition("@")[::2]) for second, word in pairs]


def seen(events: list[Happening]) -> list[tuple[int, str, str]]:
    """Return what happened, comparable with an expectation."""
    return [(each.at, each.word, each.instance or "") for each in events]


@pytest.mark.parametrize(("alarm", "script", "expected"), [row[1:] for row in CELLS], ids=[row[0] for row in CELLS])
@pytest.mark.parametrize("waking", list(Waking), ids=lambda each: each.name.lower())
def test_cell(alarm: dict[str, Any], script: str, expected: str, waking: Waking) -> None:
    """A test with an option does what the semantics say, however the engine is woken."""
    config = settings({"a": alarm}, {"s": SourceSpec(), "m": SourceSpec(instances=True)})
    events = play(config, steps(script), END, waking=waking, poll=GRID)
    assert seen(happened(events)) == expectation(expected)


@pytest.mark.parametrize(
    ("alarm", "script", "expected"),
    [row[1:] for row in CELLS if "|" not in row[2]],
    ids=[row[0] for row in CELLS if "|" not in row[2]],
)
def test_the_reference_model_agrees(alarm: dict[str, Any], script: str, expected: str) -> None:
    """The model that random scripts are compared with is itself held against these cells."""
    config = settings({"a": alarm}, {"s": SourceSpec(), "m": SourceSpec(instances=True)})
    assert seen(Model(config, GRID).play(steps(script), END)) == expectation(expected)
