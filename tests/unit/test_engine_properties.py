"""What holds for every sequence of readings: exact deadlines, no exception, one first call an episode."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.engine import Engine, EngineSettings
from edge_agent.core.events import Event, EventKind
from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading, Value
from tests.unit.engine_script import settings

STEP = SECOND // 10
TENTHS = st.integers(0, 40)

durations = st.sampled_from(["0s", "100ms", "300ms", "1s", "1.5s"])
numbers = st.sampled_from([-5, 0, 4.9, 5, 5.1, 7, 8.5, 10, 10.1, 12, 30])
values = st.one_of(numbers, st.none(), st.booleans(), st.sampled_from(["on", "off", ""]))
points = st.sampled_from(["s", "m[x]", "m[y]", "s.online", "f.t", "f", "nowhere", "m"])
tests = st.one_of(
    st.builds(lambda x, d: {"above": x, "deadband": d}, numbers, st.sampled_from([0, 1, 3.5])),
    st.builds(lambda x, d: {"below": x, "deadband": d}, numbers, st.sampled_from([0, 1, 3.5])),
    st.just({"outside": [0, 10], "deadband": 2}),
    st.just({"inside": [5, 8], "deadband": 1}),
    st.sampled_from([{"is": True}, {"is_not": "on"}, {"is": 5}]),
    st.builds(lambda d: {"silent_for": d}, st.sampled_from(["200ms", "1s", "2.5s"])),
)


@st.composite
def alarm(draw: st.DrawFn) -> dict[str, Any]:
    """Return an alarm as in the configuration."""
    made = dict(draw(tests))
    made["input"] = draw(st.sampled_from(["s", "m", "m[x]", "s.online", "f.t"]))
    made["call"] = draw(st.sampled_from([[], ["r"], ["r", "q"]]))
    for key in ("on_delay", "off_delay", "cooldown"):
        made[key] = draw(durations)
    made["on_bad"] = draw(st.sampled_from(["hold", "raise", "clear"]))
    if draw(st.booleans()):
        made["repeat"] = draw(st.sampled_from(["300ms", "1s"]))
        made["max_repeats"] = draw(st.sampled_from([None, 0, 2]))
    made["priority"] = draw(st.sampled_from(["high", "medium", "low"]))
    return made


@st.composite
def configuration(draw: st.DrawFn) -> EngineSettings:
    """Return settings of up to four alarms over sources of each kind."""
    debounce = draw(st.sampled_from([0, 150_000]))
    sources = {"s": SourceSpec(debounce=debounce), "m": SourceSpec(instances=True), "f": SourceSpec(("t", "p"))}
    alarms = {f"a{number}": draw(alarm()) for number in range(draw(st.integers(1, 4)))}
    budgets = {"r": (draw(st.sampled_from([0, 1, 3])), SECOND), "q": (2, 3 * SECOND)}
    return settings(alarms, sources, budgets)


script = st.lists(st.tuples(TENTHS, points, values), max_size=40).map(lambda steps: sorted(steps, key=lambda s: s[0]))
Script = list[tuple[int, str, Value | None]]


def play(config: EngineSettings, steps: Script, *, poll: int = 0, restart_at: int | None = None) -> list[Event]:
    """Return all events of a script, ticking only at deadlines, or every `poll` microseconds as well."""
    engine = Engine(config, 0)
    events: list[Event] = []
    todo = list(steps)
    for now in range(0, 80 * STEP, STEP):
        if restart_at is not None and now == restart_at * STEP:
            events += engine.take().events
            triggers = {rule: budget.triggers() for rule, budget in engine.desk.budgets.items()}
            engine = Engine(config, now, engine.records(), triggers)
        while todo and todo[0][0] * STEP <= now:
            at, point, value = todo.pop(0)
            engine.feed(Reading(point, value, at * STEP))
        if poll:
            for instant in range(now, now + STEP, poll):
                engine.tick(instant)
        else:
            while (deadline := engine.deadline()) is not None and deadline < now + STEP:
                engine.tick(deadline)
    return events + list(engine.take().events)


def in_order(events: list[Event]) -> list[tuple[object, ...]]:
    """Return events comparably: within one instant the order across alarms is free."""
    return sorted((e.at, e.alarm, e.instance or "", i, e.kind, e.rule) for i, e in _numbered(events))


def _numbered(events: list[Event]) -> list[tuple[int, Event]]:
    seen: Counter[tuple[int, str, str | None]] = Counter()
    out = []
    for event in events:
        key = (event.at, event.alarm, event.instance)
        out.append((seen[key], event))
        seen[key] += 1
    return out


@given(configuration(), script)
def test_ticking_at_deadlines_equals_polling(config: EngineSettings, steps: Script) -> None:
    """The thread may sleep until the deadline: nothing happens between, nothing happens later."""
    assert in_order(play(config, steps)) == in_order(play(config, steps, poll=STEP // 4))


@given(configuration(), script)
def test_one_first_call_an_episode_and_calls_only_while_raised(config: EngineSettings, steps: Script) -> None:
    """No sequence of readings makes two first calls of one rule in one episode, or a call outside one."""
    raised: set[tuple[str, str | None]] = set()
    first: Counter[tuple[str, str | None, int, str | None]] = Counter()
    for event in play(config, steps):
        who = (event.alarm, event.instance)
        if event.kind is EventKind.RAISED:
            assert who not in raised
            raised.add(who)
        elif event.kind is EventKind.CLEARED:
            raised.remove(who)
        elif event.rule is not None:
            assert who in raised
            first[(*who, event.episode, event.rule)] += event.kind is EventKind.CALL
    assert not [key for key, count in first.items() if count > 1]


@given(configuration(), script)
def test_every_episode_calls_or_says_why_not(config: EngineSettings, steps: Script) -> None:
    """At the instant of each raise there is, for each rule, a call or a suppressed one."""
    events = play(config, steps)
    for event in events:
        if event.kind is EventKind.RAISED:
            now = {e.rule for e in events if (e.alarm, e.instance, e.at) == (event.alarm, event.instance, event.at)}
            assert now >= set(config.alarms[event.alarm].call)


@given(configuration(), script)
def test_budgets_are_never_exceeded(config: EngineSettings, steps: Script) -> None:
    """In no window of `per` are there more than max_calls triggers."""
    calls = [e for e in play(config, steps) if e.kind in (EventKind.CALL, EventKind.REPEAT)]
    for rule, (most, per) in config.budgets.items():
        at = [e.at for e in calls if e.rule == rule]
        assert not most or all(sum(t <= other < t + per for other in at) <= most for t in at)


@given(configuration(), script, TENTHS)
def test_a_restart_makes_no_second_first_call(config: EngineSettings, steps: Script, restart_at: int) -> None:
    """With its records an engine goes on where another stopped: no raise of what is raised, no lost one."""
    state: dict[tuple[str, str | None], bool] = {}
    for event in play(config, steps, restart_at=restart_at):
        who = (event.alarm, event.instance)
        if event.kind in (EventKind.RAISED, EventKind.CLEARED):
            assert state.get(who, False) is (event.kind is EventKind.CLEARED)
            state[who] = event.kind is EventKind.RAISED


@given(configuration(), script, TENTHS)
def test_a_restart_without_silence_or_debounce_changes_nothing(
    config: EngineSettings, steps: Script, restart_at: int
) -> None:
    """Delays, cooldown, repeats and budgets go on: the events are those of an engine that never stopped."""
    alarms = {name: each for name, each in config.alarms.items() if each.silent_for is None}
    sources = {**config.sources, "s": SourceSpec()}
    config = EngineSettings(sources, alarms, config.budgets)
    assert in_order(play(config, steps, restart_at=restart_at)) == in_order(play(config, steps))
