"""The tests of alarms and their deadbands, value by value."""

import pytest

from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Value
from tests.unit.engine_script import BAD, engine, run, story

UP, DOWN = "raised", "cleared"


@pytest.mark.parametrize(
    ("test", "values", "raised"),
    [
        ({"above": -15.0}, [-15, -14.9, -15], "010"),
        ({"below": 5}, [5, 4.9, 5], "010"),
        ({"outside": [0, 10]}, [0, 10, 10.1, 5, -0.1, 0], "001010"),
        ({"inside": [0, 10]}, [-0.1, 0, 10, 10.1], "0110"),
        ({"above": -15.0, "deadband": 2.0}, [-14.9, -16, -16.9, -17, -16, -15, -14], "1110001"),
        ({"below": 5, "deadband": 1}, [4.9, 5.9, 6, 5.5, 4], "11001"),
        ({"outside": [0, 10], "deadband": 1}, [-1, 0.9, 1, 0, 11, 9.1, 9], "1100110"),
        ({"inside": [0, 10], "deadband": 1}, [5, 10.9, -0.9, -1, -1.1, -0.5], "111100"),
        ({"above": 0.3, "deadband": 0.1}, [0.31, 0.2], "10"),
        ({"is": True}, [1, "true", False, True], "0001"),
        ({"is": 1}, [True, "1", 1.0, 1], "0011"),
        ({"is": "open"}, ["Open", "open", "closed"], "010"),
        ({"is_not": False}, [False, 0, "false", True], "0111"),
        ({"is_not": "ok"}, ["ok", "ko", "ok"], "010"),
    ],
)
def test_when_a_test_holds(test: dict[str, object], values: list[Value], raised: str) -> None:
    """Each limit is exact, and the deadband moves only the limit by which a raised alarm ends."""
    target = engine(test)
    seen = ""
    for second, value in enumerate(values):
        run(target, [(second, value)])
        seen += "1" if target.alarms["a", None].state.active else "0"
    assert seen == raised


def test_deadband_does_not_hold_a_pending_alarm() -> None:
    """One spike and then a value inside the deadband is not "above for five minutes"."""
    freezer = {"above": -15, "deadband": 2, "on_delay": "5m"}
    assert story(freezer, [(0, -14.9), (10, -16)], 1000) == [(0, "pending"), (10, "dropped")]


def test_clearing_is_not_resumed_inside_the_deadband() -> None:
    """In clearing only a value past the limit itself brings the alarm back."""
    steps = [(0, 20), (10, 7), (20, 9), (30, 11), (40, 7)]
    assert story({"above": 10, "deadband": 2, "off_delay": "1m"}, steps, 200) == [
        (0, UP),
        (10, "clearing"),
        (30, "resumed"),
        (40, "clearing"),
        (100, DOWN),
    ]


@pytest.mark.parametrize(
    ("on_bad", "expected"),
    [("hold", [(5, UP)]), ("raise", [(0, UP), (2, DOWN), (5, UP)]), ("clear", [(5, UP), (6, DOWN), (8, UP)])],
)
def test_bad_quality(on_bad: str, expected: list[tuple[float, str]]) -> None:
    """on_bad decides what a bad reading does; a good one ends it."""
    steps = [(0, BAD), (2, 1), (5, 20), (6, BAD), (8, 20)]
    assert story({"above": 10, "on_bad": on_bad}, steps) == expected


def test_a_dead_sensor_does_not_stop_a_pending_alarm() -> None:
    """on_bad = hold: delays that run go on."""
    assert story({"above": 10, "on_delay": "10s"}, [(0, 20), (3, BAD)], 60) == [(0, "pending"), (10, UP)]


def test_what_on_bad_made_of_a_condition_is_its_memory() -> None:
    """After on_bad = raise a value inside the deadband keeps the alarm; after clear it does not bring it back."""
    alarm = {"above": 10, "deadband": 5}
    assert story({**alarm, "on_bad": "raise"}, [(0, BAD), (1, 7)]) == [(0, UP)]
    assert story({**alarm, "on_bad": "clear", "off_delay": "1m"}, [(0, 20), (1, BAD), (2, 7)]) == [
        (0, UP),
        (1, "clearing"),
    ]


@pytest.mark.parametrize("value", [True, "21"])
def test_a_wrong_type_is_bad_for_the_condition_only(value: Value) -> None:
    """A text or a boolean is bad for a numeric test, and good for the point."""
    target = engine({"above": 10, "on_bad": "raise"})
    assert [str(event.kind) for event in run(target, [(0, value)])] == [UP]
    assert target.points["s"].good
    assert target.stats["s"].bad == 0


def test_silence_counts_from_the_start_and_ends_with_a_good_reading() -> None:
    """Bad readings are no readings, and on_bad does not apply."""
    steps = [(5, BAD), (20, 1), (25, 1), (29, BAD)]
    assert story({"silent_for": "10s", "on_bad": "clear"}, steps, 60) == [(10, UP), (20, DOWN), (35, UP)]


def test_silence_of_instances_counts_from_the_first_reading() -> None:
    """An instance never seen is missed only where it is named."""
    source = SourceSpec(instances=True)
    assert run(engine({"silent_for": "10s"}, source), [], 60) == []
    events = run(engine({"silent_for": "10s"}, source), [(5, BAD, "s[f1]"), (9, 1, "s[f2]")], 60)
    assert [(event.at // 1_000_000, event.instance) for event in events] == [(15, "f1"), (19, "f2")]
    named = run(engine({"silent_for": "10s", "input": "s[f1]"}, source), [], 60)
    assert [(event.at // 1_000_000, event.instance) for event in named] == [(10, None)]


@pytest.mark.parametrize(
    ("spec", "raw", "value"),
    [
        (SourceSpec(reject=(85.0, -127.0)), 85, None),
        (SourceSpec(reject=(85.0,), scale=0.1), 850, 85.0),
        (SourceSpec(scale=0.1), 253, 25.3),
        (SourceSpec(scale=2, offset=-1), 3, 5),
        (SourceSpec(min=0, max=10), 10, 10),
        (SourceSpec(min=0, max=10), 0, 0),
        (SourceSpec(min=0, max=10), 10.1, None),
        (SourceSpec(min=0, max=10), -1, None),
        (SourceSpec(scale=1e300), 1e300, None),
        (SourceSpec(scale=0.1, reject=(1.0,), max=0), True, True),
        (SourceSpec(scale=0.1), "12", "12"),
    ],
)
def test_reject_scale_offset_limits(spec: SourceSpec, raw: Value, value: Value | None) -> None:
    """reject is for the raw number, limits for the scaled one; booleans and texts pass untouched."""
    target = engine({"above": 1e9}, spec)
    run(target, [(0, raw)])
    point = target.points["s"]
    assert (point.value if point.good else None) == value
    assert target.stats["s"].bad == (value is None)


def test_debounce_counts_a_level_that_held() -> None:
    """The level counts as a reading of the instant at which it had held; the first level too."""
    source = SourceSpec(debounce=50_000)
    steps = [(1.0, False), (2.0, True), (2.01, False), (2.02, True), (2.03, True), (3.0, True)]
    events = run(engine({"is": True}, source), steps, 4)
    assert [(event.at, str(event.kind)) for event in events] == [(2_070_000, UP)]
    events = run(engine({"is": True}, source), [(0, True), (0.04, False)], 4)
    assert events == []
    events = run(engine({"is": True}, source), [(0, True)], 4)
    assert [event.at for event in events] == [50_000]
