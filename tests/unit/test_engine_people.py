"""What people do: acknowledge, shelve, unshelve; and alarms that wait for them (latching)."""

from collections.abc import Callable
from typing import Any

import pytest

from edge_agent.core.engine import Engine
from edge_agent.core.events import EventKind
from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading, Value
from tests.unit.engine_script import brief, engine, run, settings

HIGH = {"above": 10, "call": "r"}
Act = Callable[[Engine, int], int]
Script = list[tuple[float, Value | Act | None]]


def ack(target: Engine, at: int) -> int:
    """Acknowledge the alarm `a`."""
    return target.acknowledge("a", None, at, "by hand")


def unshelve(target: Engine, at: int) -> int:
    """End its shelf."""
    return target.unshelve("a", None, at, "by hand")


def shelve(until: float) -> Act:
    """Return what shelves it until that second."""
    return lambda target, at: target.shelve("a", None, round(until * SECOND), at, "by hand")


def play(target: Engine, script: Script, until: float) -> list[tuple[float, str]]:
    """Feed readings and commands; return (second, word)."""
    for second, what in script:
        at = round(second * SECOND)
        if callable(what):
            what(target, at)
        else:
            target.feed(Reading("s", what, at))
    return brief(run(target, [], until))


def told(alarm: dict[str, Any], script: Script, until: float = 100) -> list[tuple[float, str]]:
    """Return what one alarm makes of a script."""
    return play(engine(alarm), script, until)


@pytest.mark.parametrize(
    ("alarm", "script", "expected"),
    [
        # an acknowledgement covers one episode: no more repeats; the next episode is new
        (
            {"repeat": "10s"},
            [(0, 20), (15, ack), (40, 0), (50, 20)],
            [(0, "raised"), (0, "call"), (10, "repeat"), (15, "acknowledged"), (40, "cleared"), (50, "raised"),
             (50, "call"), (60, "repeat"), (70, "repeat"), (80, "repeat"), (90, "repeat"), (100, "repeat")],
        ),
        # twice, or where nothing is raised, it changes nothing
        ({}, [(0, ack), (1, 20), (2, ack), (3, ack)], [(1, "raised"), (1, "call"), (2, "acknowledged")]),
        ({"on_delay": "10s"}, [(0, 20), (5, ack)], [(0, "pending"), (10, "raised"), (10, "call")]),
        # an owed call lapses
        (
            {"cooldown": "60s"},
            [(0, 20), (1, 0), (2, 20), (10, ack)],
            [(0, "raised"), (0, "call"), (1, "cleared"), (2, "raised"), (2, "suppressed"), (10, "acknowledged")],
        ),
        # clearing counts as raised
        ({"off_delay": "10s"}, [(0, 20), (1, 0), (5, ack)], [
            (0, "raised"), (0, "call"), (1, "clearing"), (5, "acknowledged"), (11, "cleared")]),
    ],
)  # fmt: skip
def test_acknowledge(alarm: dict[str, Any], script: Script, expected: list[tuple[float, str]]) -> None:
    """It covers the episode, and only it."""
    assert told({**HIGH, **alarm}, script) == expected


@pytest.mark.parametrize(
    ("alarm", "script", "expected"),
    [
        # gone long ago: cleared at once
        ({}, [(0, 20), (5, 0), (9, ack)], [(0, "raised"), (0, "call"), (9, "acknowledged"), (9, "cleared")]),
        # off_delay counts from when it ended, and may be over
        ({"off_delay": "10s"}, [(0, 20), (5, 0), (9, ack)], [
            (0, "raised"), (0, "call"), (9, "acknowledged"), (9, "clearing"), (15, "cleared")]),
        ({"off_delay": "4s"}, [(0, 20), (5, 0), (9, ack)], [
            (0, "raised"), (0, "call"), (9, "acknowledged"), (9, "cleared")]),
        # repeats go on although the condition is gone
        ({"repeat": "10s"}, [(0, 20), (5, 0), (25, ack)], [
            (0, "raised"), (0, "call"), (10, "repeat"), (20, "repeat"), (25, "acknowledged"), (25, "cleared")]),
        # back before anybody came: the same episode
        ({"off_delay": "5s"}, [(0, 20), (5, 0), (50, 20), (60, ack), (70, 0)], [
            (0, "raised"), (0, "call"), (60, "acknowledged"), (70, "clearing"), (75, "cleared")]),
        # acknowledged first: the ordinary rules
        ({}, [(0, 20), (5, ack), (9, 0), (20, 20), (30, 0)], [
            (0, "raised"), (0, "call"), (5, "acknowledged"), (9, "cleared"), (20, "raised"), (20, "call")]),
    ],
)  # fmt: skip
def test_latching(alarm: dict[str, Any], script: Script, expected: list[tuple[float, str]]) -> None:
    """It stays raised until somebody acknowledges it."""
    assert told({**HIGH, "latching": True, **alarm}, script) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # the state goes on, the call is owed, and made when the shelf ends
        ([(0, shelve(30)), (5, 20)], [
            (0, "shelved"), (5, "raised"), (5, "suppressed"), (30, "unshelved"), (30, "call")]),
        # nothing is owed any more
        ([(0, shelve(30)), (5, 20), (9, 0)], [
            (0, "shelved"), (5, "raised"), (5, "suppressed"), (9, "cleared"), (30, "unshelved")]),
        # by hand
        ([(0, shelve(30)), (5, 20), (9, unshelve), (10, unshelve)], [
            (0, "shelved"), (5, "raised"), (5, "suppressed"), (9, "unshelved"), (9, "call")]),
        # one that has called does not call again
        ([(0, 20), (1, shelve(30))], [(0, "raised"), (0, "call"), (1, "shelved"), (30, "unshelved")]),
        # a second shelf takes the first one's place
        ([(0, shelve(30)), (5, 20), (9, shelve(12))], [
            (0, "shelved"), (5, "raised"), (5, "suppressed"), (9, "shelved"), (12, "unshelved"), (12, "call")]),
        # the past is no shelf
        ([(5, shelve(5)), (5, shelve(1)), (6, 20)], [(6, "raised"), (6, "call")]),
        # acknowledged on the shelf
        ([(0, shelve(30)), (5, 20), (9, ack)], [
            (0, "shelved"), (5, "raised"), (5, "suppressed"), (9, "acknowledged"), (30, "unshelved")]),
    ],
)  # fmt: skip
def test_shelve(script: Script, expected: list[tuple[float, str]]) -> None:
    """Calls are held back, the state goes on, and a shelf always ends."""
    assert told(HIGH, script) == expected


def test_repeats_wait_on_the_shelf_and_are_one() -> None:
    """A repeat that falls due on the shelf is owed, once; the next counts from when it was made."""
    assert told({**HIGH, "repeat": "10s"}, [(0, 20), (5, shelve(35))], 50) == [
        (0, "raised"), (0, "call"), (5, "shelved"), (10, "suppressed"), (35, "unshelved"), (35, "repeat"),
        (45, "repeat"),
    ]  # fmt: skip


def test_commands_reach_one_instance_or_all() -> None:
    """Without an instance all are meant; what is not there changes nothing."""
    target = Engine(settings({"a": HIGH}, {"s": SourceSpec(instances=True)}), 0)
    run(target, [(0, 20, "s[x]"), (0, 20, "s[y]")])
    assert target.acknowledge("a", "x", SECOND) == 1
    assert target.acknowledge("a", None, SECOND) == 1
    assert target.shelve("a", None, 9 * SECOND, SECOND) == 2
    assert target.unshelve("a", "y", SECOND) == 1
    assert target.acknowledge("a", "z", SECOND) == target.shelve("b", None, 9 * SECOND, SECOND) == 0
    assert [alarm.acknowledged for alarm in target.alarms.values()] == [True, True]


def test_an_acknowledgement_and_a_shelf_survive_a_restart() -> None:
    """What people did is remembered, with the time that is left."""
    config = settings({"a": {**HIGH, "repeat": "10s"}, "b": {"above": 10, "call": "r", "latching": True}})
    first = Engine(config, 0)
    play(first, [(0, 20), (1, ack), (2, lambda e, at: e.shelve("b", None, 40 * SECOND, at)), (3, 0), (4, 20)], 4)
    second = Engine(config, 20 * SECOND, first.records())
    assert second.alarms["b", None].shelved_until == 40 * SECOND
    events = run(second, [], 60)
    assert [(e.alarm, str(e.kind), e.at / SECOND) for e in events] == [
        ("a", "repeat", 20), ("a", "repeat", 30), ("b", "unshelved", 40), ("a", "repeat", 40), ("a", "repeat", 50),
        ("a", "repeat", 60),
    ]  # fmt: skip
    third = Engine(config, 70 * SECOND, second.records())
    assert third.acknowledge("a", None, 70 * SECOND) == 1
    assert not [e for e in run(Engine(config, 80 * SECOND, third.records()), [], 200) if e.kind is EventKind.REPEAT]


def test_a_latched_alarm_that_is_latched_no_longer_clears() -> None:
    """A changed configuration does not leave an alarm raised for ever."""
    first = engine({**HIGH, "latching": True, "off_delay": "10s"})
    play(first, [(0, 20), (5, 0)], 6)
    second = Engine(settings({"a": {**HIGH, "off_delay": "10s"}}), 8 * SECOND, first.records())
    assert brief(run(second, [], 30)) == [(15, "cleared")]


def test_the_reasons_tell_who_and_how_long() -> None:
    """What people read in `explain`."""
    target = engine({**HIGH, "latching": True})
    play(target, [(0, 20)], 0)
    target.acknowledge("a", None, SECOND, "by ***34, digit 1")
    target.shelve("a", None, 7201 * SECOND, SECOND, "by hand")
    reasons = {str(event.kind): event.reason for event in target.take().events}
    assert reasons == {"acknowledged": "by ***34, digit 1", "shelved": "for 2h, by hand"}
