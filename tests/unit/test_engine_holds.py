"""What holds a call back: schedule, inhibition, chatter, in the contract's order, and when it is made after all."""

from datetime import UTC

import pytest

from edge_agent.core.engine import Engine, EngineSettings
from edge_agent.core.events import Event
from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading
from edge_agent.core.schedules import Schedule
from edge_agent.core.settings import AlarmSettings, ScheduleSettings
from tests.unit.engine_script import Step, brief, engine, run, settings

HOUR = 3600
HIGH = {"input": "s", "above": 10, "call": "r"}
NIGHT = {"schedule": "night"}


def scheduled(alarm: dict[str, object], skew: float = 0, *, synced: bool = True) -> Engine:
    """Return an engine with one alarm `a` and the schedule `night`, 01:00 to 02:00 UTC; second 0 is 1970."""
    night = Schedule(ScheduleSettings.model_validate({"from": "01:00", "to": "02:00"}), UTC)
    config = EngineSettings(
        {"s": SourceSpec()}, {"a": AlarmSettings.model_validate({**HIGH, **NIGHT, **alarm})}, {}, {"night": night}
    )
    return Engine(config, 0, skew=round(skew * SECOND), synced=synced)


def words(events: list[Event]) -> list[tuple[float, str]]:
    """Return the calls among events as (second, word)."""
    return [(event.at / SECOND, str(event.kind)) for event in events if event.rule]


@pytest.mark.parametrize(
    ("alarm", "steps", "expected"),
    [
        ({}, [(0, 20)], [(0, "suppressed"), (HOUR, "call")]),
        ({}, [(0, 20), (9, 0)], [(0, "suppressed")]),
        ({}, [(HOUR, 20)], [(HOUR, "call")]),
        ({}, [(2 * HOUR - 1, 20)], [(2 * HOUR - 1, "call")]),
        ({}, [(2 * HOUR, 20)], [(2 * HOUR, "suppressed"), (25 * HOUR, "call")]),
        # one that has called does not call again because a schedule opens
        ({}, [(HOUR, 20), (30 * HOUR, 20)], [(HOUR, "call")]),
        # a repeat that falls due outside is owed, once, and the next counts from when it was made
        ({"repeat": "50m", "max_repeats": 3}, [(HOUR, 20)], [
            (HOUR, "call"), (HOUR + 3000, "repeat"), (HOUR + 6000, "suppressed"), (25 * HOUR, "repeat"),
            (25 * HOUR + 3000, "repeat")]),
    ],
)  # fmt: skip
def test_a_schedule(
    alarm: dict[str, object], steps: list[tuple[float, float]], expected: list[tuple[float, str]]
) -> None:
    """Calls go out only while it is open; one held back is made when it opens, if still raised."""
    assert words(run(scheduled(alarm), steps, 40 * HOUR)) == expected


def test_a_schedule_follows_the_wall_clock() -> None:
    """Instants are those of the boot's clock; the wall clock's hour decides."""
    target = scheduled({}, skew=3600 * 12)
    assert words(run(target, [(0, 20)], 24 * HOUR)) == [(0, "suppressed"), (13 * HOUR, "call")]


def test_a_jump_of_the_wall_clock_is_noticed_and_durations_do_not_follow_it() -> None:
    """A call that waits for a schedule goes out when the clock jumps into it; a delay runs on."""
    target = scheduled({"on_delay": "10m"})
    target.feed(Reading("s", 20, 0))
    target.set_clock(60 * SECOND, 10 * 366 * 86400 * SECOND, True)
    assert brief(run(target, [], 700)) == [(0, "pending"), (600, "raised"), (600, "suppressed")]
    target.set_clock(800 * SECOND, round((HOUR + 60 - 800) * SECOND), True)
    assert brief(list(target.take().events)) == [(800, "call")]


def test_while_the_clock_is_not_synchronised_every_schedule_is_open_and_says_so() -> None:
    """A call too many beats none."""
    target = scheduled({}, synced=False)
    events = run(target, [(0, 20)], 10)
    assert brief(events) == [(0, "clock"), (0, "raised"), (0, "call")]
    assert "not synchronised" in events[0].reason
    assert "counts as open" in events[2].reason
    target.set_clock(20 * SECOND, 0, True)
    assert brief(run(target, [(30, 0), (40, 20)], 50)) == [
        (20, "clock"), (30, "cleared"), (40, "raised"), (40, "suppressed"),
    ]  # fmt: skip
    target.set_clock(60 * SECOND, 0, False)
    assert brief(list(target.take().events)) == [(60, "clock"), (60, "call")]


def test_a_clock_without_schedules_is_no_event() -> None:
    """Nobody needs to hear of what changes nothing."""
    target = Engine(settings({"a": HIGH}), 0, synced=False)
    target.set_clock(SECOND, 5, True)
    assert brief(run(target, [], 10)) == []


def pair(*, a_many: bool, b_many: bool) -> Engine:
    """Return an engine in which b inhibits a; each may have instances."""
    sources = {"s": SourceSpec(instances=a_many), "t": SourceSpec(instances=b_many)}
    alarms = {"a": {**HIGH, "inhibited_by": ["b"]}, "b": {"input": "t", "is": True}}
    return Engine(settings(alarms, sources), 0)


@pytest.mark.parametrize(
    ("a", "b", "inhibited"),
    [("s", "t", True), ("s[x]", "t", True), ("s", "t[y]", True), ("s[x]", "t[x]", True), ("s[x]", "t[y]", False)],
)
def test_who_inhibits_whom(a: str, b: str, inhibited: bool) -> None:  # noqa: FBT001
    """Both with instances: the same; inhibitor without: all; inhibited without: any."""
    target = pair(a_many="[" in a, b_many="[" in b)
    held = [(1, "suppressed"), (9, "call")] if inhibited else [(1, "call")]
    assert words(run(target, [(0, True, b), (1, 20, a), (9, False, b)], 20)) == held


def test_an_inhibition_ends_only_with_its_last_instance() -> None:
    """Of an inhibitor with instances any holds back an alarm without."""
    steps = [(0, True, "t[x]"), (0, True, "t[y]"), (1, 20, "s"), (5, False, "t[x]"), (9, False, "t[y]")]
    assert words(run(pair(a_many=False, b_many=True), steps, 20)) == [(1, "suppressed"), (9, "call")]


def test_an_alarm_raised_by_the_same_reading_inhibits_already() -> None:
    """In each step all states change first; then calls are decided, whatever the order in the file."""
    target = Engine(settings({"a": {**HIGH, "inhibited_by": ["b"]}, "b": {"above": 15, "call": "r"}}), 0)
    calls = [(e.alarm, e.at / SECOND, str(e.kind)) for e in run(target, [(0, 20), (5, 12)], 9) if e.rule]
    assert calls == [("a", 0, "suppressed"), ("b", 0, "call"), ("a", 5, "call")]


def test_an_inhibitor_that_is_clearing_or_latched_still_inhibits_and_a_disabled_one_never() -> None:
    """Clearing counts as raised everywhere."""
    b = {"input": "t", "is": True, "off_delay": "10s"}
    sources = {"s": SourceSpec(), "t": SourceSpec()}
    steps: list[Step] = [(0, True, "t"), (1, 20), (2, False, "t")]
    target = Engine(settings({"a": {**HIGH, "inhibited_by": ["b"]}, "b": b}, sources), 0)
    assert words(run(target, steps, 30)) == [(1, "suppressed"), (12, "call")]
    target = Engine(settings({"a": {**HIGH, "inhibited_by": ["b"]}, "b": {**b, "enabled": False}}, sources), 0)
    assert words(run(target, steps, 30)) == [(1, "call")]


def test_an_inhibition_outlives_a_restart() -> None:
    """The inhibitor is still raised, the call still owed."""
    first = pair(a_many=False, b_many=False)
    run(first, [(0, True, "t"), (1, 20)])
    second = Engine(first.settings, 5 * SECOND, first.records())
    assert words(run(second, [(6, True, "t"), (9, False, "t")], 20)) == [(9, "call")]


FLAPS: list[tuple[float, float]] = [(0, 20), (10, 9.5), (20, 20), (30, 9.6), (40, 20)]


def test_chatter_begins_with_the_third_raise_within_a_minute() -> None:
    """First calls are held back until a minute after the last raise, then what is owed is made."""
    assert brief(run(engine(HIGH), FLAPS, 200)) == [
        (0, "raised"), (0, "call"), (10, "cleared"), (20, "raised"), (20, "call"), (30, "cleared"), (40, "raised"),
        (40, "chattering"), (40, "suppressed"), (100, "settled"), (100, "call"),
    ]  # fmt: skip


@pytest.mark.parametrize(("third", "chatters"), [(59.999999, True), (60, False)])
def test_the_minute_is_half_open(third: float, chatters: bool) -> None:  # noqa: FBT001
    """What happened at e counts during e <= t < e + 60 s."""
    steps: list[tuple[float, float]] = [(0, 20), (1, 0), (30, 20), (31, 0), (third, 20)]
    assert ("chattering" in [word for _, word in brief(run(engine(HIGH), steps, 61))]) is chatters


def test_each_further_raise_prolongs_it_and_repeats_are_not_held() -> None:
    """Until a minute after the last raise, however many came."""
    steps = [*FLAPS, (50, 0), (95, 20), (96, 0), (150, 20)]
    assert words(run(engine(HIGH), steps, 300))[2:] == [
        (40, "suppressed"), (95, "suppressed"), (150, "suppressed"), (210, "call"),
    ]  # fmt: skip


def test_what_would_have_calmed_it_is_told_from_what_was_seen() -> None:
    """A deadband over what values went back by, or an off_delay over the longest gap."""
    events = run(engine(HIGH), [*FLAPS, (50, 9.2), (55, 20)], 200)
    settled = next(event for event in events if event.kind == "settled")
    assert settled.reason == 'raised 4 times in 55s; one episode with deadband = 1 or off_delay = "15s"'
    contact = run(engine({"is": True, "call": "r"}), [(second, second % 2 == 0) for second in range(7)], 200)
    assert next(e.reason for e in contact if e.kind == "settled") == (
        'raised 4 times in 6s; one episode with off_delay = "1.5s"'
    )


def test_chatter_goes_on_over_a_restart() -> None:
    """The raises are remembered, and so is until when."""
    config = settings({"a": HIGH})
    first = Engine(config, 0)
    run(first, FLAPS[:3])
    second = Engine(config, 25 * SECOND, first.records())
    run(second, FLAPS[3:])
    third = Engine(config, 50 * SECOND, second.records())
    assert brief(run(third, [], 200)) == [(100, "settled"), (100, "call")]


def test_the_first_reason_in_the_contracts_order_is_told_and_all_of_them_to_who_asks() -> None:
    """Shelved, inhibited, schedule, cooldown, chattering, budget."""
    night = Schedule(ScheduleSettings.model_validate({"from": "01:00", "to": "02:00"}), UTC)
    alarm = {**HIGH, **NIGHT, "inhibited_by": ["b"], "cooldown": "1h"}
    alarms = {"a": AlarmSettings.model_validate(alarm), "b": AlarmSettings.model_validate({"input": "t", "is": True})}
    sources = {"s": SourceSpec(), "t": SourceSpec()}
    target = Engine(EngineSettings(sources, alarms, {"r": (1, HOUR * SECOND)}, {"night": night}), 0)
    begin = HOUR + 3000
    run(target, [(begin, 20), (begin + 1, 0), (begin + 2, 20), (begin + 3, 0), (begin + 4, 20)])
    target.feed(Reading("t", True, (begin + 5) * SECOND))
    target.shelve("a", None, 9 * HOUR * SECOND, (begin + 6) * SECOND)
    target.tick((2 * HOUR) * SECOND)
    told = [reason.partition(":")[0] for reason in target.held_back(target.alarms["a", None])]
    assert told == ["shelved", "inhibited", "schedule", "cooldown", "budget"]
    run(target, [(2 * HOUR + 1, 0)])
    events = run(target, [(2 * HOUR + 2, 20)])
    assert [event.reason.partition(":")[0] for event in events if event.rule] == ["shelved"]
    # the shelf ends, but not the rest: nothing is told a second time
    assert words(run(target, [], 9 * HOUR)) == []
