"""An alarm as it is this moment, in words: each test, each quality, what holds its calls back, what comes next."""

from typing import Any

import pytest

from edge_agent.core.engine import Engine
from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading, Value
from edge_agent.live import Condition, Live, look, owed
from tests.unit.engine_script import engine, settings


def fed(alarm: dict[str, Any], *values: Value | None) -> Engine:
    """Return an engine with one alarm `a` on `s`, fed a value each second from 1 s on."""
    one = engine(alarm)
    for second, value in enumerate(values, 1):
        one.feed(Reading("s", value, second * SECOND))
    return one


def seen(one: Engine, instance: str | None = None) -> Live:
    return look(one, one.alarms["a", instance])


def condition(alarm: dict[str, Any], *values: Value | None) -> Condition:
    (only,) = seen(fed(alarm, *values)).conditions
    return only


@pytest.mark.parametrize(
    ("alarm", "values", "holds", "reason"),
    [
        ({"above": -15}, (), False, "no good reading yet"),
        ({"above": -15}, (-17.2,), False, "-17.2 is not above -15"),
        ({"above": -15}, (-14,), True, "-14 is above -15"),
        ({"above": -15, "deadband": 2}, (-14, -16), True, "-16 is within the deadband (2) of above -15"),
        ({"outside": [2, 8]}, (5,), False, "5 is not outside 2 to 8"),
        ({"is": True}, (False,), False, "the value is false"),
        ({"is_not": "ok"}, ("bad",), True, "the value is 'bad'"),
        ({"matches": "^E"}, ("E7",), True, "'E7' is matched by '^E'"),
        ({"rises_by": 5, "within": "10m"}, (1, 2), False, "2 has not risen by 5 within 10m"),
        ({"trips": 3, "within": "60s"}, (False, True), False, "it has not tripped 3 times within 1m"),
        ({"changes": True}, (1, 1), False, "the value is 1, and does not change just now"),
        ({"silent_for": "10m"}, (1,), False, "silent for 10m: not yet"),
        ({"above": 30, "on_bad": "raise"}, (5, None), True, "bad quality (), on_bad = raise"),
    ],
)
def test_why_a_condition_holds_or_not(alarm: dict[str, Any], values: tuple[Value], holds: bool, reason: str) -> None:  # noqa: FBT001 - a table
    found = condition(alarm, *values)
    assert (found.holds, found.reason) == (holds, reason)


def test_a_condition_shows_its_last_reading() -> None:
    assert condition({"above": 30}) == Condition("s", "above 30", None, None, None, False, "no good reading yet")
    found = condition({"above": 30}, 5, None)
    assert (found.value, found.quality, found.at) == (5, "bad", 2 * SECOND)
    found = condition({"above": 30}, 5)
    assert (found.value, found.quality, found.at) == (5, "good", SECOND)


@pytest.mark.parametrize(
    ("alarm", "values", "wanted"),
    [
        ({"above": 30, "on_delay": "5s"}, (31,), [(6, "it is raised, if the condition lasts")]),
        (
            {"above": 30, "off_delay": "5s"},
            (31, 29),
            [(7, "it is cleared, if the condition does not come back")],
        ),
        ({"above": 30, "call": "boss", "repeat": "30s"}, (31,), [(31, "a repeat")]),
        ({"silent_for": "60s"}, (1,), [(61, "s counts as silent for 1m")]),
        ({"above": 30}, (31,), []),
    ],
)
def test_what_falls_due_next(alarm: dict[str, Any], values: tuple[Value], wanted: list[tuple[int, str]]) -> None:
    assert [(at / SECOND, what) for at, what in seen(fed(alarm, *values)).next] == wanted


def test_what_people_did_and_what_holds_calls_back() -> None:
    one = fed({"above": 30, "call": "boss"}, 29)
    one.shelve("a", None, 3600 * SECOND, 2 * SECOND, "by hand")
    one.feed(Reading("s", 31, 3 * SECOND))
    live = seen(one)
    assert (live.shelved_until, live.owed, live.acknowledged) == (3600 * SECOND, ("boss",), False)
    assert [word.partition(":")[0] for word in live.held_back] == ["shelved"]
    assert live.next == ((3600 * SECOND, "the shelf ends"),)
    assert owed(one) == [{"alarm": "a", "instance": None, "rules": ["boss"], "held_back": list(live.held_back)}]
    one.acknowledge("a", None, 4 * SECOND, "by hand")
    assert (seen(one).acknowledged, seen(one).owed, owed(one)) == (True, (), [])


def test_an_alarm_of_several_conditions_shows_each_with_the_point_of_its_instance() -> None:
    several = {"all": [{"input": "s", "above": 30}, {"input": "door", "is": True}]}
    sources = {"s": SourceSpec(instances=True), "door": SourceSpec()}
    one = Engine(settings({"a": several}, sources), 0)
    one.feed(Reading("s[f1]", 31, SECOND))
    live = seen(one, "f1")
    assert [(each.input, each.holds, each.quality) for each in live.conditions] == [
        ("s[f1]", True, "good"), ("door", False, None),
    ]  # fmt: skip
    assert live.every
