"""Terms: each condition of an alarm instance, with its memory. What several of them amount to is the alarm's affair."""

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from edge_agent.core.conditions import Above, Below, Inside, Is, IsNot, Matches, Outside, Test, show
from edge_agent.core.events import TermMemory
from edge_agent.core.reading import Value
from edge_agent.core.settings import ConditionSettings, OnBad
from edge_agent.core.windows import Changes, Fall, Rise, Silent, Timed, Trips

if TYPE_CHECKING:
    from edge_agent.core.alarm import Alarm
    from edge_agent.core.points import Point


@runtime_checkable
class Limits(Protocol):
    """A test against limits."""

    def retreat(self, value: float) -> float:
        """Return how far a value is from holding again."""


_BUILDERS: Mapping[str, Callable[[Any, ConditionSettings], Test]] = {
    "above": lambda limit, settings: Above(limit, settings.deadband),
    "below": lambda limit, settings: Below(limit, settings.deadband),
    "outside": lambda limits, settings: Outside(limits, settings.deadband),
    "inside": lambda limits, settings: Inside(limits, settings.deadband),
    "is": lambda wanted, _: Is(wanted),
    "is_not": lambda wanted, _: IsNot(wanted),
    "matches": lambda pattern, _: Matches(pattern),
    "rises_by": lambda by, settings: Rise(by, settings.within or 0),
    "falls_by": lambda by, settings: Fall(by, settings.within or 0),
    "silent_for": lambda time, _: Silent(time),
    "changes": lambda _, __: Changes(),
    "trips": lambda count, settings: Trips(count, settings.within or 0),
}


def build(settings: ConditionSettings) -> Test:
    """Return the test that a condition stands for."""
    name = settings.test()
    return _BUILDERS[name](settings.limit(name), settings)


class Term:
    """One condition of one alarm instance: whether it holds, and what it needs to go on judging."""

    __slots__ = ("alarm", "forced", "holds", "input", "on_bad_word", "point", "settings", "strict", "test", "timed",
                 "watch", "why")  # fmt: skip

    def __init__(self, settings: ConditionSettings, on_bad: OnBad, point: "Point", alarm: "Alarm | None") -> None:
        self.settings = settings
        self.on_bad_word = on_bad
        self.point = point
        self.alarm = alarm
        """None: a model, which no alarm listens to; instances that come later begin as it is."""
        self.test = build(settings)
        self.timed: Timed | None = self.test if isinstance(self.test, Timed) else None
        self.holds = False
        self.strict = False
        """Whether it would hold without the deadband."""
        self.forced = False
        """Bad quality says whether it holds, until the next good reading."""
        self.why = ""
        self.watch: Callable[[float], None] | None = None
        """Told, while the alarm chatters, how far a value is from holding again."""

    @property
    def is_pulse(self) -> bool:
        """Return whether it holds for single instants only."""
        return isinstance(self.test, Changes)

    def on_value(self, value: Value, at: int) -> bool:
        """Judge a good reading; return whether anything changed."""
        held = self.holds
        if held:
            held = self.alarm is not None and self.alarm.active
        holds = self.test.judge(value, at, held)
        if holds is None:
            return self.on_bad(f"{show(value)} cannot be judged")
        freed, self.forced = self.forced, False
        if self.watch is not None and not holds and isinstance(self.test, Limits) and not isinstance(value, bool | str):
            self.watch(self.test.retreat(value))
        strict = self.strict
        self.strict = bool(self.test.judge(value, at, held=False)) if held and self.settings.deadband else holds
        if holds is self.holds and not (holds and self.is_pulse):
            timed_again = freed and self.timed is not None
            return timed_again or (self.strict is not strict and self.alarm is not None and len(self.alarm.terms) > 1)
        self.why = self._told(value, holds)
        self.holds = holds
        return True

    def on_bad(self, reason: str) -> bool:
        """Do what `on_bad` says about a reading of bad quality; return whether anything changed."""
        wanted = self.on_bad_word
        if wanted is OnBad.HOLD or isinstance(self.test, Silent):
            return False
        self.forced = True
        self.strict = wanted is OnBad.RAISE
        if self.holds is self.strict:
            return False
        self.holds = self.strict
        self.why = f"bad quality ({reason}), on_bad = {wanted}"
        return True

    def start(self, at: int) -> None:
        """Begin to count silence: from the start, or from the first reading of an instance, good or bad."""
        if isinstance(self.test, Silent):
            self.test.start(at)

    def begin_as(self, model: "Term", at: int) -> None:
        """Begin as a condition stands that has served other instances."""
        if isinstance(self.test, Rise | Trips | Changes | Silent):
            self.test = copy.deepcopy(model.test)
            self.timed = self.test if isinstance(self.test, Timed) else None
        self.holds, self.strict, self.forced, self.why = model.holds, model.strict, model.forced, model.why
        if self.is_pulse and not self.forced:
            self.holds = self.strict = False
        self.advance(at)

    def go_on_as(self, before: "Term") -> bool:
        """Go on as the same condition did before a reload, windows included; return whether it is the same."""
        same_point = self.point.spec == before.point.spec and self.point.name == before.point.name
        if self.settings != before.settings or self.on_bad_word is not before.on_bad_word or not same_point:
            return False
        self.test, self.timed = before.test, before.timed
        self.holds, self.strict, self.forced, self.why = before.holds, before.strict, before.forced, before.why
        return True

    def due_at(self) -> int | None:
        """Return when it begins or ceases to hold without a reading."""
        return None if self.timed is None or self.forced else self.timed.due_at(self.holds)

    def advance(self, at: int) -> bool:
        """Change with the time; return whether it did."""
        due_at = self.due_at()
        if due_at is None or due_at > at:
            return False
        self.holds = self.strict = not self.holds
        self.why = self.test.describe() if self.holds else f"no longer {self.test.describe()}"
        return True

    def end_pulse(self) -> None:
        """Cease to hold: the single instant is over."""
        self.holds = self.strict = False
        self.why = "a change lasts an instant"

    def _told(self, value: Value, holds: bool) -> str:  # noqa: FBT001 - the condition's value, not a switch
        test = self.test
        words = test.describe()
        if isinstance(test, Silent):
            return "a reading came"
        if isinstance(test, Changes):
            return f"it changed to {show(value)}" if holds else "no change"
        if isinstance(test, Trips):
            return words if holds else f"no longer {words}"
        if isinstance(test, Rise):
            return f"{show(value)} has {'' if holds else 'no longer '}{words}"
        if isinstance(test, Is):
            return f"the value is {show(value)}"
        if holds:
            return f"{show(value)} is {words}"
        deadband = self.settings.deadband
        return f"{show(value)} is no longer {words}" + (f" (deadband {deadband:g})" if deadband else "")

    # Memory -------------------------------------------------------------------------------------------------------

    def memory(self) -> TermMemory:
        """Return what must be remembered over a restart."""
        return TermMemory(self.holds, self.strict, self.point.met)

    def restore(self, memory: TermMemory, at: int) -> None:
        """Become what was remembered; windows begin empty."""
        self.holds, self.strict = memory.holds, memory.strict
        self.why = "since before the start" if self.holds else ""
        if self.holds and isinstance(self.test, Trips):
            self.test.resume(at)

    def describe(self) -> str:
        """Return the whole condition in words."""
        return f"{self.settings.input} {self.test.describe()}"
