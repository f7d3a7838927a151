"""Several conditions in one alarm: all and any, each with its memory, matched instance by instance."""

from typing import Any

import pytest

from edge_agent.core.engine import Engine
from edge_agent.core.events import Event
from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Value
from tests.unit.engine_script import run, settings

SOURCES = {"x": SourceSpec(), "y": SourceSpec(), "m": SourceSpec(instances=True), "n": SourceSpec(instances=True)}
X, Y = {"input": "x", "above": 10}, {"input": "y", "is": True}
Steps = list[tuple[float, Value | None, str]]


def group(how: str, *conditions: dict[str, Any], **more: Any) -> Engine:
    """Return an engine with one alarm `a` of several conditions."""
    return Engine(settings({"a": {how: list(conditions), "call": "r", **more}}, SOURCES), 0)


def story(target: Engine, steps: Steps, until: float = 100) -> list[tuple[float, str, str | None]]:
    """Return (second, word, instance) of what happens."""
    return [_told(event) for event in run(target, steps, until) if not event.rule]


def _told(event: Event) -> tuple[float, str, str | None]:
    return event.at / SECOND, str(event.kind), event.instance


@pytest.mark.parametrize(
    ("how", "steps", "expected"),
    [
        ("all", [(0, 20, "x"), (1, True, "y"), (5, 0, "x")], [(1, "raised"), (5, "cleared")]),
        ("all", [(0, True, "y"), (1, 20, "x"), (5, False, "y")], [(1, "raised"), (5, "cleared")]),
        ("all", [(0, 20, "x")], []),
        ("any", [(0, 20, "x"), (1, True, "y"), (5, 0, "x"), (6, False, "y")], [(0, "raised"), (6, "cleared")]),
        ("any", [(0, False, "y"), (1, None, "x")], []),
    ],
)
def test_all_and_any(how: str, steps: Steps, expected: list[tuple[float, str]]) -> None:
    """A condition without any good reading does not hold."""
    assert [(at, word) for at, word, _ in story(group(how, X, Y), steps)] == expected


def test_delays_run_from_the_reading_that_made_the_whole_true() -> None:
    """Not from the one that made its first condition true."""
    target = group("all", X, Y, on_delay="10s", off_delay="5s")
    assert story(target, [(0, 20, "x"), (7, True, "y"), (30, 0, "x")]) == [
        (7, "pending", None), (17, "raised", None), (30, "clearing", None), (35, "cleared", None),
    ]  # fmt: skip


def test_two_conditions_on_one_point_change_in_one_step() -> None:
    """A value that goes from one to the other does not let the whole go in between."""
    target = group("any", {"input": "x", "above": 10}, {"input": "x", "below": 0})
    assert story(target, [(0, 20, "x"), (1, -5, "x"), (2, 5, "x")]) == [(0, "raised", None), (2, "cleared", None)]


def test_each_condition_keeps_a_deadband_of_its_own() -> None:
    """It counts once the alarm is raised, and is forgotten once it is over."""
    deep = {**X, "deadband": 5}
    target = group("all", deep, Y)
    assert story(target, [(0, 20, "x"), (1, True, "y"), (2, 7, "x"), (3, 5, "x"), (4, 7, "x")]) == [
        (1, "raised", None), (3, "cleared", None),
    ]  # fmt: skip
    # held by the deadband when the other ended the alarm: 7 is not above 10, so the other alone does not raise it
    again: Steps = [(0, 20, "x"), (1, True, "y"), (2, 7, "x"), (3, False, "y"), (4, True, "y"), (5, 11, "x")]
    expected = [(1, "raised", None), (3, "cleared", None), (5, "raised", None)]
    assert story(group("all", deep, Y), again) == expected
    # … and a restart in between changes nothing of it
    first = group("all", deep, Y)
    begun = story(first, again[:3], 2)
    second = Engine(first.settings, 2 * SECOND, first.records())
    assert begun + story(second, again[3:]) == expected


@pytest.mark.parametrize(
    ("on_bad", "expected"),
    [("hold", [(1, "raised"), (9, "cleared")]), ("raise", [(1, "raised"), (9, "cleared")]),
     ("clear", [(1, "raised"), (5, "cleared"), (7, "raised"), (9, "cleared")])],
)  # fmt: skip
def test_bad_quality_applies_to_each_condition_by_itself(on_bad: str, expected: list[tuple[float, str]]) -> None:
    """The others go on."""
    steps: Steps = [(0, True, "y"), (1, 20, "x"), (5, None, "x"), (7, 20, "x"), (8, None, "x"), (9, False, "y")]
    told = story(group("all", X, Y, on_bad=on_bad), steps)
    if on_bad == "clear":
        expected = [*expected[:-1], (8, "cleared")]
    assert [(at, word) for at, word, _ in told] == expected


def test_conditions_with_instances_are_matched_by_name() -> None:
    """One of either source makes the instance; each needs its own."""
    target = group("all", {"input": "m", "above": 10}, {"input": "n", "is": True})
    assert story(target, [(0, 20, "m[1]"), (1, 20, "m[2]"), (2, True, "n[2]"), (3, True, "n[3]"), (4, 20, "m[3]")]) == [
        (2, "raised", "2"), (4, "raised", "3"),
    ]  # fmt: skip
    assert {instance for _, instance in target.alarms} == {"1", "2", "3"}


def test_a_point_without_instances_serves_every_instance_also_later_ones() -> None:
    """A named instance is such a point."""
    for shared in ("y", "n[0]"):
        target = group("all", {"input": "m", "above": 10}, {"input": shared, "is": True})
        steps: Steps = [(0, 20, "m[1]"), (1, True, shared), (2, 20, "m[2]"), (3, False, shared), (4, 20, "m[3]")]
        assert story(target, steps) == [
            (1, "raised", "1"), (2, "raised", "2"), (3, "cleared", "1"), (3, "cleared", "2"),
        ]  # fmt: skip


def test_windows_of_a_shared_point_are_those_that_it_had_before_the_instance_came() -> None:
    """A new instance sees the trips, the rise and the last value from before it."""
    trips = {"input": "y", "trips": 2, "within": "10s"}
    readings: Steps = [(0, False, "y"), (1, True, "y"), (2, False, "y"), (3, True, "y")]
    target = group("any", {"input": "m", "above": 10}, trips)
    assert story(target, [*readings, (5, 0, "m[1]")]) == [(5, "raised", "1"), (11, "cleared", "1")]
    target = group("any", {"input": "m", "above": 10}, trips)
    assert story(target, [*readings, (11, 0, "m[1]")]) == []
    changes = group("any", {"input": "m", "above": 10}, {"input": "y", "changes": True})
    assert story(changes, [*readings, (5, 0, "m[1]"), (6, True, "y"), (7, False, "y")]) == [
        (7, "raised", "1"), (7, "cleared", "1"),
    ]  # fmt: skip


def test_silence_of_an_instance_counts_from_its_first_reading() -> None:
    """Good or bad; one that was never seen is only missed where it is named."""
    silent = {"input": "n", "silent_for": "10s"}
    target = group("any", {"input": "m", "above": 10}, silent)
    assert story(target, [(0, 0, "m[1]"), (40, None, "n[1]")], 45) == []
    assert story(target, [], 60) == [(50, "raised", "1")]
    assert story(group("any", X, {"input": "n[1]", "silent_for": "10s"}), [], 60) == [(10, "raised", None)]


def test_the_instance_of_another_source_that_never_spoke_is_not_known_after_a_restart_either() -> None:
    """Nor is one that did forgotten."""
    first = group("any", {"input": "m", "above": 10}, {"input": "n", "silent_for": "10s"})
    run(first, [(0, 0, "m[1]"), (0, 0, "m[2]"), (1, 5, "n[2]")])
    second = Engine(first.settings, 5 * SECOND, first.records())
    assert story(second, [], 100) == [(15, "raised", "2")]


def test_conditions_are_remembered_one_by_one() -> None:
    """After a restart the other half alone is enough."""
    first = group("all", X, Y)
    run(first, [(0, 20, "x")])
    second = Engine(first.settings, 5 * SECOND, first.records())
    assert story(second, [(6, True, "y")]) == [(6, "raised", None)]


def test_an_alarm_whose_conditions_became_others_stays_raised_until_they_have_spoken() -> None:
    """No reading is no news, also after the configuration was changed while the agent was down."""
    first = group("any", X)
    run(first, [(0, 20, "x")])
    second = Engine(settings({"a": {"any": [X, Y]}}, SOURCES), 5 * SECOND, first.records())
    assert story(second, [(6, 0, "x"), (7, False, "y")]) == [(7, "cleared", None)]


def test_the_reason_names_the_inputs() -> None:
    """Which of them it was."""
    events = run(group("all", X, Y), [(0, 20, "x"), (1, True, "y"), (2, 0, "x")])
    assert [event.reason for event in events if not event.rule] == [
        "x: 20 is above 10 and y: the value is true", "x: 0 is no longer above 10",
    ]  # fmt: skip


def test_an_instance_that_comes_after_a_restart_begins_with_what_its_siblings_knew() -> None:
    """The door that was open before the restart is open for the freezer that speaks after it."""
    first = group("any", {"input": "m", "above": 10}, Y)
    run(first, [(0, True, "y"), (1, 0, "m[1]")])
    second = Engine(first.settings, 5 * SECOND, first.records())
    assert story(second, [(6, 0, "m[2]"), (7, False, "y")]) == [
        (6, "raised", "2"), (7, "cleared", "1"), (7, "cleared", "2"),
    ]  # fmt: skip


def test_what_was_tripped_stays_so_for_as_long_as_edges_from_before_a_restart_could_count() -> None:
    """Nobody knows them; a restart alone neither ends the episode nor lets it stand for ever."""
    first = group("any", {"input": "y", "trips": 2, "within": "10s"})
    run(first, [(0, False, "y"), (1, True, "y"), (2, False, "y"), (3, True, "y")])
    second = Engine(first.settings, 5 * SECOND, first.records())
    assert story(second, [(6, True, "y"), (7, False, "y")]) == [(15, "cleared", None)]
