"""What holds for every script of readings, commands, clock jumps and restarts: deadlines, first calls, budgets."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.events import Event, EventKind
from tests.unit.engine_play import Waking, by_alarm, happened, play
from tests.unit.engine_steps import Clock, Restart, Step, Trigger
from tests.unit.engine_strategies import LAST_STEP, Scenario, scenarios

pytestmark = pytest.mark.faults

MADE = (EventKind.CALL, EventKind.REPEAT)
Who = tuple[str | None, str | None]

restarts = st.lists(st.integers(0, 2 * LAST_STEP), max_size=3)
"""In halves of a scenario's unit."""


def with_restarts(scenario: Scenario, halves: Iterable[int]) -> list[Step]:
    """Return the script with restarts between its steps; one at the same instant as a step comes before it."""
    stops: list[Step] = [Restart(half * scenario.unit // 2) for half in halves]
    return sorted([*stops, *scenario.script], key=lambda step: step.at)


def events_of(scenario: Scenario, script: Iterable[Step] | None = None) -> list[Event]:
    """Return what the engine makes of a scenario."""
    return play(scenario.config, scenario.script if script is None else script, scenario.until)


@given(scenarios())
def test_ticking_at_deadlines_equals_polling(scenario: Scenario) -> None:
    """The thread may sleep until the deadline: nothing happens between, nothing happens later."""
    polled = play(scenario.config, scenario.script, scenario.until, waking=Waking.POLLING, poll=scenario.unit // 2)
    assert by_alarm(happened(events_of(scenario))) == by_alarm(happened(polled))


@given(scenarios(), restarts)
def test_states_alternate_and_calls_are_made_only_while_raised(scenario: Scenario, halves: list[int]) -> None:
    """Nothing is raised twice, cleared twice, or called outside an episode or after its acknowledgement."""
    active: set[Who] = set()
    quiet: set[Who] = set()
    for event in events_of(scenario, with_restarts(scenario, halves)):
        who = (event.alarm, event.instance)
        if event.kind is EventKind.RAISED:
            assert who not in active
            active.add(who)
        elif event.kind is EventKind.CLEARED:
            active.remove(who)
            quiet.discard(who)
        elif event.kind is EventKind.ACKNOWLEDGED:
            assert who in active
            assert who not in quiet
            quiet.add(who)
        elif event.rule is not None:
            assert who in active
            assert who not in quiet


@given(scenarios(), restarts)
def test_an_episode_has_one_first_call_of_each_rule(scenario: Scenario, halves: list[int]) -> None:
    """It comes with the raise, or later once `suppressed` said why; it is missing only where that was said."""
    for alarm, episode in episodes(events_of(scenario, with_restarts(scenario, halves))):
        raised = episode[0]
        assert raised.kind is EventKind.RAISED
        for rule in scenario.config.alarms[alarm].call:
            own = [event for event in episode if event.rule == rule]
            assert own, "neither called nor said why not"
            assert own[0].at == raised.at
            assert own[0].kind in (EventKind.CALL, EventKind.SUPPRESSED)
            first = [event for event in own if event.kind is EventKind.CALL]
            assert len(first) <= 1
            assert not first or own.index(first[0]) == (own[0].kind is EventKind.SUPPRESSED)


@given(scenarios(), restarts)
def test_repeats_keep_their_distance_and_their_number(scenario: Scenario, halves: list[int]) -> None:
    """A repeat comes `repeat` or more after the call before it, and no more often than max_repeats."""
    for alarm, episode in episodes(events_of(scenario, with_restarts(scenario, halves))):
        settings = scenario.config.alarms[alarm]
        for rule in settings.call:
            own = [event for event in episode if event.rule == rule and event.kind in MADE]
            repeats = [event for event in own if event.kind is EventKind.REPEAT]
            assert settings.max_repeats is None or len(repeats) <= settings.max_repeats
            assert not repeats or settings.repeat is not None
            assert all(
                later.at - earlier.at >= (settings.repeat or 0)
                for earlier, later in pairwise(own)
                if later.kind is EventKind.REPEAT and earlier.kind is EventKind.CALL
            )


def episodes(events: Iterable[Event]) -> list[tuple[str, list[Event]]]:
    """Return the events of each episode, from its raise on, with the alarm's name."""
    by: dict[tuple[str, str | None, int], list[Event]] = defaultdict(list)
    for event in events:
        if event.alarm is not None:
            by[event.alarm, event.instance, event.episode].append(event)
    begun = [(who[0], [event.kind for event in each], each) for who, each in by.items()]
    return [(alarm, each[kinds.index(EventKind.RAISED) :]) for alarm, kinds, each in begun if EventKind.RAISED in kinds]


@given(scenarios(), restarts)
def test_budgets_are_never_exceeded(scenario: Scenario, halves: list[int]) -> None:
    """A call or repeat is made only where its rule has room: at most max_calls in any window of `per`."""
    others = [(step.rule, step.at) for step in scenario.script if isinstance(step, Trigger)]
    calls = [e for e in events_of(scenario, with_restarts(scenario, halves)) if e.kind in MADE]
    for rule, (most, per) in scenario.config.budgets.items():
        made = [event.at for event in calls if event.rule == rule]
        # another trigger of the same instant may have come after the call
        before = [at for each, at in others if each == rule]
        for place, at in enumerate(made):
            window = [t for t in (*made[: place + 1], *(t for t in before if t < at)) if t <= at < t + per]
            assert not most or len(window) <= most


@given(scenarios(), restarts)
def test_a_restart_by_itself_is_no_event(scenario: Scenario, halves: list[int]) -> None:
    """It raises nothing, clears nothing and calls nobody: there is only what would have fallen due then anyway."""
    for half in halves:
        at = half * scenario.unit // 2
        quiet = [step for step in scenario.script if step.at < at]
        before = happened(play(scenario.config, quiet, at))
        after = happened(play(scenario.config, [*quiet, Restart(at)], at + 1))
        still = happened(play(scenario.config, quiet, at + 1))
        assert after[: len(before)] == before
        assert set(after[len(before) :]) <= set(still[len(before) :])


@given(scenarios(plain=True), restarts)
def test_a_restart_changes_nothing(scenario: Scenario, halves: list[int]) -> None:
    """Delays, cooldown, repeats, budgets, shelves and acknowledgements go on as if it had never stopped."""
    restarted = events_of(scenario, with_restarts(scenario, halves))
    assert by_alarm(happened(restarted)) == by_alarm(happened(events_of(scenario)))


@given(scenarios())
def test_durations_never_follow_the_wall_clock(scenario: Scenario) -> None:
    """Without schedules it does not matter what the wall clock does, ten years back or on."""
    alarms = {name: each.replaced(schedule=None) for name, each in scenario.config.alarms.items()}
    config = replace(scenario.config, alarms=alarms)
    steady = [step for step in scenario.script if not isinstance(step, Clock)]
    with_jumps = play(config, scenario.script, scenario.until)
    assert by_alarm(happened(with_jumps)) == by_alarm(happened(play(config, steady, scenario.until)))


@given(scenarios())
def test_a_schedule_is_open_while_the_clock_is_not_synchronised(scenario: Scenario) -> None:
    """Nothing is held back by a schedule then, and each change of that is an event where there are any."""
    synced = True
    changes = 0
    clocks = [step for step in scenario.script if isinstance(step, Clock)]
    for step in clocks:
        changes += step.synced is not synced
        synced = step.synced
    events = events_of(scenario)
    in_use = any(each.schedule and each.enabled for each in scenario.config.alarms.values())
    assert sum(event.kind is EventKind.CLOCK for event in events) == (changes if in_use else 0)
    for event in events:
        if event.kind is EventKind.SUPPRESSED and event.reason.startswith("schedule"):
            before = [step.synced for step in clocks if step.at < event.at]
            now = [step.synced for step in clocks if step.at == event.at]
            assert any([*(before or [True])[-1:], *now])
