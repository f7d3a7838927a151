"""States, delays, instances and calls, in exact time."""

import pytest

from edge_agent.core.engine import Engine
from edge_agent.core.events import Event, State
from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading
from tests.unit.engine_script import BAD, brief, engine, run, settings, story

HIGH = {"above": 10, "call": "r"}


@pytest.mark.parametrize(
    ("alarm", "steps", "expected"),
    [
        ({}, [(0, 20), (5, 0)], [(0, "raised"), (5, "cleared")]),
        ({"on_delay": "10s"}, [(0, 20), (9, 0)], [(0, "pending"), (9, "dropped")]),
        ({"on_delay": "10s"}, [(0, 20), (10, 0)], [(0, "pending"), (10, "raised"), (10, "cleared")]),
        ({"on_delay": "10s"}, [(0, 20), (5, 21), (50, 0)], [(0, "pending"), (10, "raised"), (50, "cleared")]),
        ({"off_delay": "10s"}, [(0, 20), (5, 0), (9, 20), (20, 0)], [
            (0, "raised"), (5, "clearing"), (9, "resumed"), (20, "clearing"), (30, "cleared")]),
        ({"off_delay": "10s"}, [(0, 20), (5, 0), (15, 20)], [
            (0, "raised"), (5, "clearing"), (15, "cleared"), (15, "raised")]),
    ],
)  # fmt: skip
def test_states(alarm: dict[str, object], steps: list[tuple[float, float]], expected: list[tuple[float, str]]) -> None:
    """A state changes exactly at the instant + its delay, before readings of that instant."""
    assert story({"above": 10, **alarm}, steps, 100) == expected


def test_microseconds_do_not_drift() -> None:
    """A delay of 100 ms, a thousand times over, is exact to the microsecond."""
    target = engine({"above": 10, "on_delay": "100ms"})
    raised = []
    for second in range(1000):
        events = run(target, [(second + 0.000001, 20), (second + 0.5, 0)])
        raised += [event.at for event in events if event.kind == "raised"]
    assert raised == [second * SECOND + 100_001 for second in range(1000)]


def test_disabled_alarm_does_nothing() -> None:
    """enabled = false: not evaluated, no events."""
    assert story({**HIGH, "enabled": False}, [(0, 20)], 100) == []


def test_each_instance_has_its_own_state() -> None:
    """With wildcards an alarm runs once for each instance."""
    source = SourceSpec(instances=True, fields=("t", "door"))
    target = Engine(settings({"a": {"input": "s.t", "above": 10}}, {"s": source}), 0)
    events = run(target, [(0, 20, "s[f1].t"), (1, 5, "s[a/b].t"), (2, 11, "s[a].b].t"), (3, 0, "s[f1].t")])
    assert [(event.instance, str(event.kind)) for event in events] == [
        ("f1", "raised"),
        ("a].b", "raised"),
        ("f1", "cleared"),
    ]
    assert set(target.alarms) == {("a", "f1"), ("a", "a/b"), ("a", "a].b")}


def test_instances_beyond_the_maximum_are_refused_and_counted() -> None:
    """A flood of names does not fill the memory."""
    target = Engine(settings({"a": {"above": 10}}, {"s": SourceSpec(instances=True, max_instances=2)}), 0)
    run(target, [(0, 1, f"s[{number}]") for number in range(10)])
    assert len(target.alarms) == 2
    assert target.stats["s"].refused == 8


def test_a_bad_frame_is_bad_for_each_field_and_counted_once() -> None:
    """A frame that cannot be used has no field of its own."""
    target = Engine(settings({"a": {"input": "s.t", "above": 10, "on_bad": "raise"}}, {"s": SourceSpec(("t", "p"))}), 0)
    events = run(target, [(0, 1, "s.t"), (1, BAD, "s")])
    assert [str(event.kind) for event in events] == ["raised"]
    assert not target.points["s.p"].good
    assert (target.stats["s"].readings, target.stats["s"].bad) == (2, 1)


@pytest.mark.parametrize(
    ("point", "known"),
    [
        ("one", True), ("one.x", False), ("one[i]", False), ("one.online", True), ("two", False), ("two.t", True),
        ("two.x", False), ("many[i]", True), ("many", False), ("many.online", True), ("any.x", True), ("no", False),
    ],
)  # fmt: skip
def test_which_points_exist(point: str, known: bool) -> None:  # noqa: FBT001
    """A name that is no point is refused with a reason, and a reading of it changes nothing."""
    sources = {
        "one": SourceSpec(), "two": SourceSpec(("t", "p")), "many": SourceSpec(instances=True), "any": SourceSpec(None),
    }  # fmt: skip
    target = Engine(settings({}, sources), 0)
    assert (target.refuses(point) is None) is known
    before = set(target.points)
    run(target, [(0, 1.0, point)])
    assert (point in target.points) is known
    assert known or set(target.points) == before


def words(events: list[Event]) -> list[tuple[float, str, str | None]]:
    """Return the calls among events as (second, word, rule)."""
    return [(event.at / SECOND, str(event.kind), event.rule) for event in events if event.rule]


def test_calls_go_to_all_rules_in_order() -> None:
    """One event for each rule of `call`, in its order."""
    target = engine({"above": 10, "call": ["z", "b"]})
    assert words(run(target, [(0, 20)])) == [(0, "call", "z"), (0, "call", "b")]


def test_repeats_go_on_until_the_maximum_also_while_clearing() -> None:
    """Repeats count from the last call, in clearing too, and begin anew with each episode."""
    target = engine({**HIGH, "repeat": "10s", "max_repeats": 2, "off_delay": "15s"})
    assert words(run(target, [(0, 20), (9, 0), (60, 20)], 75)) == [
        (0, "call", "r"), (10, "repeat", "r"), (20, "repeat", "r"), (60, "call", "r"), (70, "repeat", "r"),
    ]  # fmt: skip


def test_no_repeat_at_the_instant_of_clearing() -> None:
    """An alarm that clears at an instant makes no repeat at it."""
    target = engine({**HIGH, "repeat": "10s", "off_delay": "5s"})
    assert words(run(target, [(0, 20), (5, 0)], 30)) == [(0, "call", "r")]


def test_no_repeats_where_there_are_none() -> None:
    """max_repeats = 0 is none; an alarm without a rule repeats nothing."""
    assert words(run(engine({**HIGH, "repeat": "1s", "max_repeats": 0}), [(0, 20)], 30)) == [(0, "call", "r")]
    assert words(run(engine({"above": 10, "repeat": "1s"}), [(0, 20)], 30)) == []


def test_cooldown_holds_back_the_first_call_of_a_new_episode() -> None:
    """It is owed, and made when the cooldown is over while the alarm is still raised; else it lapses."""
    alarm = {**HIGH, "cooldown": "60s"}
    assert words(run(engine(alarm), [(0, 20), (5, 0), (10, 20)], 100)) == [
        (0, "call", "r"), (10, "suppressed", "r"), (60, "call", "r"),
    ]  # fmt: skip
    lapsed = run(engine(alarm), [(0, 20), (5, 0), (10, 20), (15, 0)], 100)
    assert words(lapsed) == [(0, "call", "r"), (10, "suppressed", "r")]
    assert next(event.reason for event in lapsed if event.kind == "suppressed").startswith("cooldown")


def test_repeats_are_not_subject_to_the_cooldown() -> None:
    """The cooldown is for first calls only."""
    target = engine({**HIGH, "cooldown": "60s", "repeat": "10s"})
    assert words(run(target, [(0, 20)], 20)) == [(0, "call", "r"), (10, "repeat", "r"), (20, "repeat", "r")]


def test_budget_holds_back_what_is_over_it_and_makes_it_when_the_window_moves() -> None:
    """At most max_calls triggers in any half-open window; what is owed is made once, and repeats wait for it."""
    target = engine({**HIGH, "repeat": "10s"}, r=(2, 60 * SECOND))
    assert words(run(target, [(0, 20)], 75)) == [
        (0, "call", "r"), (10, "repeat", "r"), (20, "suppressed", "r"), (60, "repeat", "r"), (70, "repeat", "r"),
    ]  # fmt: skip


def test_budgets_of_several_rules_are_judged_each_by_itself() -> None:
    """Rules with room are triggered, the others are owed; no repeat falls due meanwhile."""
    target = engine({"above": 10, "call": ["a", "b"], "repeat": "30s"}, a=(9, SECOND), b=(1, 60 * SECOND))
    target.count_trigger("b", 0)
    assert words(run(target, [(5, 20)], 91)) == [
        (5, "call", "a"), (5, "suppressed", "b"), (60, "call", "b"), (90, "repeat", "a"), (90, "suppressed", "b"),
    ]  # fmt: skip


def test_the_more_urgent_alarm_gets_the_last_trigger() -> None:
    """At one instant calls are decided by priority, whatever the order in the file."""
    low = {**HIGH, "priority": "low"}
    target = Engine(settings({"low": low, "high": {**HIGH, "priority": "high"}}, None, {"r": (1, 60 * SECOND)}), 0)
    calls = [(event.alarm, str(event.kind)) for event in run(target, [(0, 20)], 60) if event.rule]
    assert calls == [("high", "call"), ("low", "suppressed"), ("low", "call")]


def test_a_restart_changes_nothing_by_itself() -> None:
    """Raised stays raised without a call; a pending delay goes on; what fell due meanwhile is served at start."""
    config = settings({"a": {**HIGH, "on_delay": "60s", "repeat": "10m"}})
    first = Engine(config, 0)
    run(first, [(0, 20)])
    second = Engine(config, 30 * SECOND, first.records())
    second.tick(30 * SECOND)
    assert brief(run(second, [(31, 21)], 60)) == [(60, "raised"), (60, "call")]
    third = Engine(config, 100 * SECOND, second.records())
    assert brief(run(third, [(100, 21)], 659)) == []
    assert brief(run(third, [], 660)) == [(660, "repeat")]
    late = Engine(config, 300 * SECOND, first.records())
    assert brief(run(late, [], 300)) == [(300, "raised"), (300, "call")]


def test_an_owed_call_survives_a_restart() -> None:
    """What was held back before is made after, at its time."""
    config = settings({"a": {**HIGH, "cooldown": "60s"}})
    first = Engine(config, 0)
    run(first, [(0, 20), (5, 0), (10, 20)])
    second = Engine(config, 20 * SECOND, first.records())
    assert brief(run(second, [], 100)) == [(60, "call")]


def test_silence_of_an_instance_seen_before_a_restart_is_noticed() -> None:
    """An instance that stopped while the agent was down is missed after it."""
    config = settings({"a": {"silent_for": "10s"}}, {"s": SourceSpec(instances=True)})
    first = Engine(config, 0)
    run(first, [(0, 1, "s[f1]")])
    second = Engine(config, 100 * SECOND, first.records())
    events = run(second, [], 200)
    assert [(event.at / SECOND, event.instance) for event in events] == [(110, "f1")]


def test_records_of_alarms_that_are_gone_are_left_out() -> None:
    """A record that no longer fits the configuration is no error."""
    first = Engine(settings({"a": HIGH}, {"s": SourceSpec(instances=True)}), 0)
    run(first, [(0, 20, "s[f1]")])
    assert Engine(settings({"a": HIGH}), 0, first.records()).alarms["a", None].state is State.NORMAL
    assert Engine(settings({"b": HIGH}), 0, first.records()).records()[0].state is State.NORMAL
    assert not Engine(settings({"a": {**HIGH, "enabled": False}}), 0, first.records()).alarms


def test_a_reload_judges_the_last_value_at_once_and_keeps_running_delays() -> None:
    """A changed threshold needs no new reading; an unchanged alarm keeps its timer; silence goes on."""
    old = Engine(settings({"a": {"above": 30}, "b": {"above": 10, "on_delay": "60s"}, "c": {"silent_for": "50s"}}), 0)
    run(old, [(5, 20)])
    new = Engine(settings({"a": {"above": 15}, "b": {"above": 10, "on_delay": "60s"}, "c": {"silent_for": "50s"}}),
                 20 * SECOND, old.records())  # fmt: skip
    new.carry_over(old)
    assert [(e.alarm, e.at / SECOND, str(e.kind)) for e in run(new, [], 70)] == [
        ("a", 20, "raised"), ("c", 55, "raised"), ("b", 65, "raised"),
    ]  # fmt: skip
    assert new.stats["s"].readings == 1


def test_an_instant_that_goes_back_is_taken_as_now() -> None:
    """Readings of two threads may arrive some microseconds out of order."""
    target = engine({"above": 10})
    assert brief(run(target, [(5, 0), (4, 20)])) == [(5, "raised")]


def test_deadline_is_when_the_next_thing_falls_due() -> None:
    """The thread can sleep till then, and need not wake where nothing runs."""
    target = engine({"above": 10, "on_delay": "60s"})
    assert target.deadline() is None
    target.feed(Reading("s", 20, SECOND))
    assert target.deadline() == 61 * SECOND
