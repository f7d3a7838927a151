"""A reload: another engine takes over; what did not change goes on as if nothing had happened."""

from collections.abc import Mapping
from typing import Any

import pytest

from edge_agent.core.engine import Engine
from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from tests.unit.engine_script import brief, run, settings

Alarms = Mapping[str, Mapping[str, Any]]
HIGH = {"above": 10, "call": "r"}
MANY = {"s": SourceSpec(), "m": SourceSpec(instances=True)}


def reloaded(old: Engine, alarms: Alarms, at: float, sources: Mapping[str, SourceSpec] | None = None) -> Engine:
    """Return an engine that goes on at an instant with other settings."""
    old.take()
    budgets = {rule: budget.triggers() for rule, budget in old.desk.budgets.items()}
    new = Engine(settings(alarms, sources or old.settings.sources), round(at * SECOND), old.records(), budgets)
    new.carry_over(old)
    return new


def begun(alarms: Alarms, steps: list[Any], sources: Mapping[str, SourceSpec] | None = None) -> Engine:
    """Return an engine that has seen something."""
    engine = Engine(settings(alarms, sources), 0)
    run(engine, steps)
    return engine


@pytest.mark.parametrize(
    ("alarm", "steps", "more", "expected"),
    [
        ({"rises_by": 5, "within": "10s"}, [(0, 1), (2, 3)], [(4, 6)], [(4, "raised")]),
        ({"trips": 2, "within": "10s"}, [(0, False), (1, True), (2, False)], [(4, True)],
         [(4, "raised"), (11, "cleared")]),
        ({"changes": True}, [(0, "x")], [(4, "y")], [(4, "raised"), (4, "cleared")]),
        ({"silent_for": "10s"}, [(2, 1)], [], [(12, "raised")]),
        ({"above": 5, "deadband": 3}, [(0, 6), (1, 4)], [(4, 3), (5, 2)], [(5, "cleared")]),
        ({"above": 5, "on_delay": "10s"}, [(1, 6)], [], [(11, "raised")]),
        ({"above": 5, "off_delay": "10s"}, [(0, 6), (1, 0)], [], [(11, "cleared")]),
        ({"above": 5, "latching": True}, [(0, 6), (1, 0)], [], []),
    ],
)  # fmt: skip
def test_an_alarm_that_did_not_change_goes_on(
    alarm: dict[str, Any], steps: list[Any], more: list[Any], expected: list[tuple[float, str]]
) -> None:
    """With its windows, running delays, deadband and silence; another alarm beside it may be new."""
    new = reloaded(begun({"a": alarm}, steps), {"a": alarm, "b": {"above": 99}}, 3)
    assert brief(run(new, more, 60)) == expected


def test_smoothing_goes_on_and_begins_anew_where_the_source_changed() -> None:
    """The window is the source's: 8 and 11 are 9.5, 11 alone is above 10."""
    for smooth, expected in ((("mean", 2), []), (("mean", 3), [(2, "raised")])):
        old = begun({"a": {"above": 10}}, [(0, 8)], {"s": SourceSpec(smooth=("mean", 2))})
        new = reloaded(old, {"a": {"above": 10}}, 1, {"s": SourceSpec(smooth=smooth)})  # type: ignore[arg-type]
        assert brief(run(new, [(2, 11)])) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"above": 30}, {"above": 15}, [(5, "raised"), (5, "call")]),
        ({"above": 15}, {"above": 30}, [(5, "cleared")]),
        ({"above": 15, "deadband": 9}, {"above": 22, "deadband": 9}, []),
        ({"above": 30}, {"above": 15, "on_delay": "3s"}, [(5, "pending"), (8, "raised"), (8, "call")]),
        ({"above": 15, "on_delay": "1h"}, {"above": 15, "on_delay": "10s"}, [(10, "raised"), (10, "call")]),
        ({"above": 15, "on_delay": "1h"}, {"above": 15, "on_delay": "2s"}, [(5, "raised"), (5, "call")]),
        ({"above": 15}, {"is": 20.0}, []),
        ({"above": 15}, {"any": [{"input": "s", "above": 15}, {"input": "s", "below": 0}]}, []),
        ({"above": 15}, {"all": [{"input": "s", "above": 15}, {"input": "s", "below": 0}]}, [(5, "cleared")]),
    ],
)
def test_a_changed_alarm_is_judged_at_once(
    before: dict[str, Any], after: dict[str, Any], expected: list[tuple[float, str]]
) -> None:
    """On the last reading; an episode that goes on does not call again."""
    new = reloaded(begun({"a": {**before, "call": "r"}}, [(0, 20)]), {"a": {**after, "call": "r"}}, 5)
    assert brief(run(new, [], 60)) == expected


def test_another_scale_is_judged_at_once() -> None:
    """Also a number that was rejected and is no longer."""
    old = begun({"a": HIGH}, [(0, 8)])
    assert brief(run(reloaded(old, {"a": HIGH}, 5, {"s": SourceSpec(scale=2.0)}), [])) == [(5, "raised"), (5, "call")]
    old = begun({"a": HIGH}, [(0, 85)], {"s": SourceSpec(reject=(85.0,))})
    assert brief(run(reloaded(old, {"a": HIGH}, 5, {"s": SourceSpec()}), [])) == [(5, "raised"), (5, "call")]


@pytest.mark.parametrize(
    ("alarm", "steps", "expected"),
    [
        ({"above": 10}, [(0, 20)], [(5, "cleared"), (5, "removed")]),
        ({"above": 10, "on_delay": "1h"}, [(0, 20)], [(5, "dropped"), (5, "removed")]),
        ({"above": 10}, [(0, 2)], [(5, "removed")]),
    ],
)
def test_an_alarm_that_is_gone_ends_with_events(
    alarm: dict[str, Any], steps: list[Any], expected: list[tuple[float, str]]
) -> None:
    """Nobody is left wondering what became of it: removed, disabled, or of another kind now."""
    for later in ({}, {"a": {**alarm, "enabled": False}}, {"a": {**alarm, "input": "m"}}):
        sources = {**MANY} if "a" in later else None
        new = reloaded(begun({"a": alarm}, steps, MANY), later, 5, sources)
        assert brief(run(new, [], 60)) == expected


def test_an_owed_call_goes_out_when_what_held_it_back_is_gone() -> None:
    """A cooldown that was taken out of the configuration holds nothing back."""
    old = begun({"a": {**HIGH, "cooldown": "1h"}}, [(0, 20), (1, 0), (2, 20)])
    assert brief(run(reloaded(old, {"a": HIGH}, 5), [], 60)) == [(5, "call")]
    old = begun({"a": {**HIGH, "inhibited_by": ["b"]}, "b": {"above": 5}}, [(0, 20)])
    assert [word for _, word in brief(run(reloaded(old, {"a": HIGH}, 5), [], 60))] == ["cleared", "removed", "call"]


def test_instances_are_kept_and_new_alarms_find_them() -> None:
    """An alarm that is new looks at the instances that have spoken, and at their last values."""
    old = begun({"a": {"input": "m", "above": 10}}, [(0, 20, "m[1]"), (0, 5, "m[2]")], MANY)
    new = reloaded(old, {"a": {"input": "m", "above": 10}, "b": {"input": "m", "below": 10}}, 5)
    events = [(event.alarm, event.instance, str(event.kind)) for event in run(new, [], 60)]
    assert events == [("b", "2", "raised")]


def test_a_shared_points_windows_outlive_a_reload_for_instances_to_come() -> None:
    """As if nothing had happened."""
    alarm = {"any": [{"input": "m", "above": 10}, {"input": "s", "trips": 2, "within": "20s"}]}
    old = begun({"a": alarm}, [(0, False), (1, True), (2, False)], MANY)
    new = reloaded(old, {"a": alarm, "b": HIGH}, 3)
    assert brief(run(new, [(4, True), (5, 0, "m[1]")], 60)) == [(5, "raised"), (21, "cleared")]


def test_the_clock_is_not_told_again() -> None:
    """Nothing happened to it."""
    old = Engine(settings({"a": HIGH}), 0, synced=False)
    assert brief(run(reloaded(old, {"a": HIGH}, 5), [])) == []
