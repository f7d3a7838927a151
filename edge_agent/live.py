"""One alarm instance as the engine has it this moment: conditions, state, what holds its calls back, what is next."""

from dataclasses import dataclass
from typing import Any

from edge_agent.core.alarm import Alarm
from edge_agent.core.conditions import show
from edge_agent.core.engine import Engine
from edge_agent.core.events import State
from edge_agent.core.reading import Value
from edge_agent.core.settings import NUMERIC_TESTS
from edge_agent.core.terms import Term


@dataclass(frozen=True, slots=True)
class Condition:
    """One test on one point, with the reading that it was last judged by."""

    input: str
    test: str
    value: Value | None
    quality: str | None
    """good, bad, or None: there was no reading."""
    at: int | None
    holds: bool
    reason: str
    """In words why it holds or does not."""


@dataclass(frozen=True, slots=True)
class Live:
    """An alarm instance now. Instants are the engine's, in microseconds."""

    state: State
    since: int
    acknowledged: bool
    shelved_until: int | None
    owed: tuple[str, ...]
    """The rules of a call that is held back."""
    held_back: tuple[str, ...]
    """What would hold a first call back now, in the contract's words."""
    next: tuple[tuple[int, str], ...]
    """What falls due without another reading, the first first."""
    conditions: tuple[Condition, ...]
    every: bool
    """All of the conditions must hold; else any."""


def look(engine: Engine, alarm: Alarm) -> Live:
    """Return what an alarm instance is now. Call it in the engine's thread."""
    return Live(
        alarm.state,
        alarm.since,
        alarm.acknowledged,
        alarm.shelved_until,
        alarm.owed.rules if alarm.owed is not None else (),
        tuple(engine.held_back(alarm)),
        tuple(sorted([*_next(alarm), *_opening(engine, alarm)])),
        tuple(map(_condition, alarm.terms)),
        alarm.settings.any is None,
    )


def owed(engine: Engine) -> list[dict[str, Any]]:
    """Return each call that is held back now, and by what. Call it in the engine's thread."""
    return [
        {
            "alarm": alarm.name,
            "instance": alarm.instance,
            "rules": list(alarm.owed.rules),
            "held_back": engine.held_back(alarm),
        }
        for alarm in engine.alarms.values()
        if alarm.owed is not None
    ]


def _next(alarm: Alarm) -> list[tuple[int, str]]:
    settings = alarm.settings
    due: list[tuple[int | None, str]] = [
        (alarm.shelved_until, "the shelf ends"),
        (alarm.chattering_until, "it no longer counts as chattering, unless it is raised before"),
    ]
    if alarm.state is State.PENDING:
        due.append((alarm.since + settings.on_delay, "it is raised, if the condition lasts"))
    elif alarm.state is State.CLEARING and alarm.ended_at is not None:
        due.append((alarm.ended_at + settings.off_delay, "it is cleared, if the condition does not come back"))
    if alarm.state.active:
        due.append((alarm.repeat_at(), "a repeat"))
    for term in alarm.terms:
        words = "no longer" if term.holds else "counts as"
        due.append((term.due_at(), f"{term.point.name} {words} {term.test.describe()}"))
    return [(at, what) for at, what in due if at is not None]


def _opening(engine: Engine, alarm: Alarm) -> list[tuple[int, str]]:
    """Return when the alarm's schedule opens, where it is closed."""
    name, skew = alarm.settings.schedule, engine.desk.skew
    schedule = engine.settings.schedules.get(name) if name is not None else None
    if schedule is None or not engine.desk.synced or schedule.is_open(engine.now + skew):
        return []
    opens = schedule.next_change(engine.now + skew)
    return [] if opens is None else [(opens - skew, f"the schedule {name} opens")]


def _condition(term: Term) -> Condition:
    point = term.point
    known = point.at is not None
    return Condition(
        point.name,
        term.test.describe(),
        point.value,
        ("good" if point.good else "bad") if known else None,
        point.at,
        term.holds,
        _words(term),
    )


def _can_judge(test: str, value: Value) -> bool:
    """Return whether a value is of the type that a test is for; else it is bad for that condition only."""
    if test in NUMERIC_TESTS:
        return not isinstance(value, bool | str)
    return isinstance(value, str) if test == "matches" else isinstance(value, bool) or test != "trips"


def _words(term: Term) -> str:
    """Return why a condition holds or does not, by its last good reading."""
    value, test, holds = term.point.value, term.settings.test(), term.holds
    words = term.test.describe()
    if term.forced:
        return term.why or f"bad quality, on_bad = {term.on_bad_word}"
    if test == "silent_for":
        return f"{words}{'' if holds else ': not yet'}"
    if value is None:
        return "no good reading yet" if not holds else f"{words}, since before the start"
    negation = "" if holds else "not "
    shown = show(value)
    if not _can_judge(test, value):
        return f"{shown} cannot be judged: it {'still holds' if holds else 'does not hold'}, as before"
    if test == "changes":
        return f"the value is {shown}, and does not change just now"
    if test == "trips":
        return f"it has {negation}{words}"
    if test in ("rises_by", "falls_by"):
        return f"{shown} has {negation}{words}"
    if test in ("is", "is_not"):
        return f"the value is {shown}"
    if holds and not term.strict:
        return f"{shown} is within the deadband ({term.settings.deadband:g}) of {words}"
    return f"{shown} is {negation}{words}"
