"""Sentences of the semantics about states and calls, each as a script with the events worked out by hand.

Steps are written `second:POINT=value`, `second:ack ALARM`, `second:shelve ALARM until`, `second:unshelve ALARM`,
`second:trigger RULE`; events `second word`, with `:rule` behind a call and `:rule:why` behind one held back.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from edge_agent.core.engine import EngineSettings
from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading, parse_value
from tests.unit.engine_play import Waking, happened, play
from tests.unit.engine_script import settings
from tests.unit.engine_steps import Ack, Happening, Shelve, Step, Trigger, Unshelve
from tests.unit.reference import Model

END = 300 * SECOND
SOURCES = {
    "s": SourceSpec(), "t": SourceSpec(), "m": SourceSpec(instances=True), "f": SourceSpec(("x", "y")),
}  # fmt: skip
BUDGETS = {"tight": (1, 60 * SECOND)}
HIGH: dict[str, Any] = {"above": 10, "call": "r"}
OTHER: dict[str, Any] = {"input": "t", "above": 10}
Row = tuple[str, dict[str, dict[str, Any]], str, dict[str, str]]

ROWS: list[Row] = [
    ("B3: an alarm raised by the same reading inhibits, wherever it stands",
        {"a": HIGH | {"inhibited_by": ["b"]}, "b": {"above": 10}}, "0:s=20",
        {"a": "0 raised 0 suppressed:r:inhibited", "b": "0 raised"}),
    ("B3: a frame that cannot be used is one reading",
        {"a": {"input": "f.x", "is": 1, "on_bad": "raise", "call": "r", "inhibited_by": ["b"]},
         "b": {"input": "f.y", "is": 1, "on_bad": "raise"}}, "0:f=-",
        {"a": "0 raised 0 suppressed:r:inhibited", "b": "0 raised"}),
    ("B3: an inhibition that ends lets the call go at that instant; B6: clearing still inhibits",
        {"a": HIGH | {"inhibited_by": ["b"]}, "b": OTHER | {"off_delay": "10s"}}, "0:t=20 5:s=20 7:t=0",
        {"a": "5 raised 5 suppressed:r:inhibited 17 call:r", "b": "0 raised 7 clearing 17 cleared"}),
    ("B7: latched until acknowledged, repeats go on, cleared at once where the condition was gone for off_delay",
        {"a": HIGH | {"latching": True, "off_delay": "5s", "repeat": "10s"}}, "0:s=20 3:s=0 25:ack a",
        {"a": "0 raised 0 call:r 10 repeat:r 20 repeat:r 25 acknowledged 25 cleared"}),
    ("B7: else clearing counts from when it ended",
        {"a": HIGH | {"latching": True, "off_delay": "5s"}}, "0:s=20 3:s=0 6:ack a",
        {"a": "0 raised 0 call:r 6 acknowledged 6 clearing 8 cleared"}),
    ("B7: acknowledged before it ends, the ordinary rules hold",
        {"a": HIGH | {"latching": True, "off_delay": "5s"}}, "0:s=20 2:ack a 3:s=0",
        {"a": "0 raised 0 call:r 2 acknowledged 3 clearing 8 cleared"}),
    ("B9: a point without instances serves every instance, which exists from its first reading",
        {"a": {"all": [{"input": "m", "above": 10}, {"input": "t", "above": 10}]}},
        "0:t=20 1:m[x]=20 2:m[y]=0 3:m[y]=11",
        {"a[x]": "1 raised", "a[y]": "3 raised"}),
    ("B9: a named instance is a point without instances",
        {"a": {"any": [{"input": "m", "above": 10}, {"input": "m[x]", "above": 30}]}}, "1:m[x]=40 2:m[y]=0",
        {"a[x]": "1 raised", "a[y]": "2 raised"}),
    ("B9: a point named in one alarm still is an instance of another",
        {"a": {"input": "m", "above": 10}, "b": {"input": "m[x]", "above": 10}}, "1:m[x]=20",
        {"a[x]": "1 raised", "b": "1 raised"}),
    ("A10: changes raises, calls and begins to clear at the same instant",
        {"a": {"changes": True, "call": "r"}}, "0:s=1 5:s=2", {"a": "5 raised 5 call:r 5 cleared"}),
    ("A8: trips ends by the passing of time, also where a bad reading had raised it",
        {"a": {"trips": 1, "within": "4s", "on_bad": "raise"}}, "0:s=- 1:s=false 2:s=- 3:s=true",
        {"a": "0 raised 1 cleared 2 raised 7 cleared"}),
    ("C2: held back by a shelf, made once when it ends",
        {"a": HIGH}, "0:shelve a 15 5:s=20",
        {"a": "0 shelved 5 raised 5 suppressed:r:shelved 15 unshelved 15 call:r"}),
    ("C2: lapsed where the alarm is over before",
        {"a": HIGH}, "0:shelve a 15 5:s=20 10:s=0",
        {"a": "0 shelved 5 raised 5 suppressed:r:shelved 10 cleared 15 unshelved"}),
    ("C9: an acknowledgement lets an owed call lapse, and is of one episode",
        {"a": HIGH}, "0:shelve a 15 5:s=20 10:ack a 20:s=0 30:s=20",
        {"a": "0 shelved 5 raised 5 suppressed:r:shelved 10 acknowledged 15 unshelved 20 cleared 30 raised 30 call:r"}),
    ("C2: while it owes one, no repeat falls due; C5: the next counts from the call made",
        {"a": HIGH | {"repeat": "10s", "max_repeats": 2}}, "0:s=20 5:shelve a 33",
        {"a": "0 raised 0 call:r 5 shelved 10 suppressed:r:shelved 33 unshelved 33 repeat:r 43 repeat:r"}),
    ("C3: an alarm that has called does not call again because a shelf ends",
        {"a": HIGH}, "0:s=20 5:shelve a 15 20:unshelve a", {"a": "0 raised 0 call:r 5 shelved 15 unshelved"}),
    ("C3: unshelved by hand, what is owed is made then",
        {"a": HIGH}, "0:shelve a 90 5:s=20 20:unshelve a",
        {"a": "0 shelved 5 raised 5 suppressed:r:shelved 20 unshelved 20 call:r"}),
    ("C4: the cooldown holds back the first call of a new episode, and lapses with it",
        {"a": HIGH | {"cooldown": "30s"}}, "0:s=20 5:s=0 10:s=20 15:s=0 29:s=20",
        {"a": "0 raised 0 call:r 5 cleared 10 raised 10 suppressed:r:cooldown 15 cleared"
              " 29 raised 29 chattering 29 suppressed:r:cooldown 89 settled 89 call:r"}),
    ("C5: repeats until acknowledged",
        {"a": HIGH | {"repeat": "10s"}}, "0:s=20 25:ack a 40:s=0",
        {"a": "0 raised 0 call:r 10 repeat:r 20 repeat:r 25 acknowledged 40 cleared"}),
    ("C8: from the third raise within 60 s until 60 s after the last; a raise after exactly 60 s is another minute's",
        {"a": HIGH}, "0:s=20 1:s=0 30:s=20 31:s=0 60:s=20 61:s=0 89:s=20 95:s=0 100:s=20",
        {"a": "0 raised 0 call:r 1 cleared 30 raised 30 call:r 31 cleared 60 raised 60 call:r 61 cleared"
              " 89 raised 89 chattering 89 suppressed:r:chattering 95 cleared 100 raised 100 suppressed:r:chattering"
              " 160 settled 160 call:r"}),
    ("C9: of several instances each is acknowledged by itself, or all at once",
        {"a": {"input": "m", "above": 10, "call": "r", "repeat": "50s", "max_repeats": 2}},
        "0:m[x]=20 0:m[y]=20 10:ack a[x] 60:ack a",
        {"a[x]": "0 raised 0 call:r 10 acknowledged", "a[y]": "0 raised 0 call:r 50 repeat:r 60 acknowledged"}),
    ("C10: rules with room are triggered, the others are owed; a window is half-open",
        {"a": HIGH | {"call": ["r", "tight"]}}, "0:trigger tight 5:s=20",
        {"a": "5 raised 5 call:r 5 suppressed:tight:budget 60 call:tight"}),
    ("C10: the more urgent gets what room there is, wherever it stands",
        {"a": HIGH | {"call": "tight", "priority": "low"}, "b": HIGH | {"call": "tight", "priority": "high"}}, "0:s=20",
        {"a": "0 raised 0 suppressed:tight:budget 60 call:tight", "b": "0 raised 0 call:tight"}),
    ("C1: the reason is the first that applies: shelved, inhibited, cooldown, budget",
        {"a": HIGH | {"call": "tight", "cooldown": "90s", "inhibited_by": ["b"]}, "b": OTHER},
        "0:s=20 5:s=0 10:t=20 10:shelve a 20 11:s=20",
        {"a": "0 raised 0 call:tight 5 cleared 10 shelved 11 raised 11 suppressed:tight:shelved 20 unshelved",
         "b": "10 raised"}),
    ("B8: not enabled, it is not evaluated and does not inhibit",
        {"a": HIGH | {"inhibited_by": ["b"]}, "b": {"above": 10, "enabled": False}}, "0:s=20",
        {"a": "0 raised 0 call:r"}),
]  # fmt: skip


def when(second: str) -> int:
    """Return the instant of a second as written."""
    return round(float(second) * SECOND)


def name(word: str) -> tuple[str, str | None]:
    """Return (alarm, instance) of `a[x]`."""
    alarm, bracket, rest = word.partition("[")
    return alarm, rest.removesuffix("]") if bracket else None


def steps(script: str) -> list[Step]:
    """Return the steps of a script as written above."""
    made: list[Step] = []
    words = iter(script.split())
    for word in words:
        second, _, what = word.partition(":")
        at = when(second)
        point, equals, value = what.partition("=")
        if equals:
            made.append(Reading(point, None if value == "-" else parse_value(value), at))
        elif what == "trigger":
            made.append(Trigger(next(words), at))
        else:
            made.append(command(what, *name(next(words)), at, words))
    return made


def command(what: str, alarm: str, instance: str | None, at: int, words: Iterator[str]) -> Step:
    """Return what a person does."""
    match what:
        case "ack":
            return Ack(alarm, instance, at)
        case "unshelve":
            return Unshelve(alarm, instance, at)
        case "shelve":
            return Shelve(alarm, instance, when(next(words)), at)
    raise AssertionError(what)


def expectation(written: dict[str, str]) -> dict[tuple[str, str | None], list[Happening]]:
    """Return the events that are expected of each alarm instance."""
    expected: dict[tuple[str, str | None], list[Happening]] = {}
    for who, text in written.items():
        words = text.split()
        expected[name(who)] = [
            Happening(when(second), word, *name(who), rule or None, why)
            for second, what in zip(words[::2], words[1::2], strict=True)
            for word, rule, why in [(what + "::").split(":")[:3]]
        ]
    return expected


def of_each(events: list[Happening]) -> dict[tuple[str, str | None], list[Happening]]:
    """Return what happened to each alarm instance, in order."""
    who = {(each.alarm, each.instance): each for each in events}
    return {key: [each for each in events if (each.alarm, each.instance) == key] for key in who}


def configured(alarms: dict[str, dict[str, Any]]) -> EngineSettings:
    """Return a configuration; an alarm without input is of source s."""
    made = {each: alarm if {"all", "any"} & set(alarm) else {"input": "s"} | alarm for each, alarm in alarms.items()}
    return settings(made, SOURCES, BUDGETS)


@pytest.mark.parametrize("waking", list(Waking), ids=lambda each: each.name.lower())
@pytest.mark.parametrize(("alarms", "script", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_sentence(alarms: dict[str, dict[str, Any]], script: str, expected: dict[str, str], waking: Waking) -> None:
    """The engine keeps it, however it is woken."""
    events = happened(play(configured(alarms), steps(script), END, waking=waking, poll=SECOND))
    assert of_each(events) == expectation(expected)


@pytest.mark.parametrize(("alarms", "script", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_reference_model_keeps_it(alarms: dict[str, dict[str, Any]], script: str, expected: dict[str, str]) -> None:
    """The model that random scripts are compared with is itself held against the sentences."""
    assert of_each(Model(configured(alarms), SECOND).play(steps(script), END)) == expectation(expected)
