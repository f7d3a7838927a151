"""One alarm instance: its condition's memory, its state, and the calls of its episodes. The engine gives it time."""

from collections.abc import Callable

from edge_agent.core.conditions import Condition, Silent, show
from edge_agent.core.events import AlarmRecord, Event, EventKind, Owed, State
from edge_agent.core.fields import format_duration
from edge_agent.core.reading import Value
from edge_agent.core.settings import AlarmSettings, OnBad

Report = Callable[[Event], None]


class Alarm:
    """The state machine normal → pending → raised → clearing → normal for one alarm and instance.

    It changes state at exact instants that it is told, and reports each change as an event. Which calls are made or
    held back is decided by the engine once all alarms of a step have changed.
    """

    def __init__(
        self, name: str, instance: str | None, settings: AlarmSettings, condition: Condition, *, order: int, start: int
    ) -> None:
        self.name = name
        self.instance = instance
        self.settings = settings
        self.condition = condition
        self.order = (settings.priority.rank, order)
        """Which alarm's call is decided first when several fall due at one instant."""
        self.state = State.NORMAL
        self.since = start
        self.holds = False
        self.why = ""
        self.episode = 0
        self.called_at: int | None = None
        self.episode_called_at: int | None = None
        self.repeats = 0
        self.owed: Owed | None = None
        self.timer_at: int | None = None
        self._newly_raised = False
        self.silent_at = start + condition.silent_for if isinstance(condition, Silent) else None
        """When silence begins to hold, unless a good reading comes."""

    # Readings -----------------------------------------------------------------------------------------------------

    def on_value(self, value: Value, at: int, report: Report) -> bool:
        """Judge a good reading; return whether anything changed."""
        if isinstance(self.condition, Silent):
            self.silent_at = at + self.condition.silent_for
        holds = self.condition.judge(value, self.holds and self.state.active)
        if holds is None:
            return self.on_bad(at, f"{show(value)} cannot be judged", report)
        if holds is self.holds:
            return False
        self.why = "a reading came" if self.silent_at is not None else self._told(value, holds)
        self._set(holds, at, report)
        return True

    def on_bad(self, at: int, reason: str, report: Report) -> bool:
        """Do what `on_bad` says about a reading of bad quality; return whether anything changed."""
        wanted = self.settings.on_bad
        if self.silent_at is not None or wanted is OnBad.HOLD or self.holds is (wanted is OnBad.RAISE):
            return False
        self.why = f"bad quality ({reason}), on_bad = {wanted}"
        self._set(wanted is OnBad.RAISE, at, report)
        return True

    def _told(self, value: Value, holds: bool) -> str:  # noqa: FBT001 - the condition's value, not a switch
        test = self.condition.describe()
        if test.startswith("is "):
            return f"the value is {show(value)}"
        if holds:
            return f"{show(value)} is {test}"
        deadband = self.settings.deadband
        return f"{show(value)} is no longer {test}" + (f" (deadband {deadband:g})" if deadband else "")

    # Time ---------------------------------------------------------------------------------------------------------

    def due_at(self) -> int | None:
        """Return the next instant at which its state changes without a reading, or a repeat falls due."""
        due = self.silent_at if not self.holds else None
        state = self.state
        if state is State.PENDING:
            return self._sooner(due, self.since + self.settings.on_delay)
        if state is State.CLEARING:
            due = self._sooner(due, self.since + self.settings.off_delay)
        if state.active:
            due = self._sooner(due, self.repeat_at())
        return due

    @staticmethod
    def _sooner(first: int | None, second: int | None) -> int | None:
        if first is None or second is None:
            return second if first is None else first
        return min(first, second)

    def advance(self, at: int, report: Report) -> None:
        """Make the changes of state that fall due at an instant."""
        if self.silent_at is not None and not self.holds and self.silent_at <= at:
            self.why = f"{self.condition.describe()}"
            self._set(True, at, report)
        elif self.state is State.PENDING and self.since + self.settings.on_delay <= at:
            self._raise(at, report)
        elif self.state is State.CLEARING and self.since + self.settings.off_delay <= at:
            self._clear(at, report)

    def call_due(self, at: int) -> bool:
        """Return, once a step, whether a call falls due in it: the first of the episode, or a repeat."""
        newly, self._newly_raised = self._newly_raised, False
        repeat_at = self.repeat_at()
        return self.state.active and (newly or (repeat_at is not None and repeat_at <= at))

    def repeat_at(self) -> int | None:
        """Return when the next repeat falls due: never while a call is owed or none was made in this episode."""
        if self.settings.repeat is None or self.owed is not None or self.episode_called_at is None:
            return None
        if self.settings.max_repeats is not None and self.repeats >= self.settings.max_repeats:
            return None
        return self.episode_called_at + self.settings.repeat

    # States -------------------------------------------------------------------------------------------------------

    def _set(self, holds: bool, at: int, report: Report) -> None:  # noqa: FBT001 - the condition's value, not a switch
        self.holds = holds
        if holds and self.state is State.NORMAL:
            if self.settings.on_delay:
                self._go(State.PENDING, EventKind.PENDING, at, self.why, report)
            else:
                self._raise(at, report)
        elif holds and self.state is State.CLEARING:
            self._go(State.RAISED, EventKind.RESUMED, at, self.why, report)
        elif not holds and self.state is State.PENDING:
            self._go(State.NORMAL, EventKind.DROPPED, at, self.why, report)
        elif not holds and self.state is State.RAISED:
            if self.settings.off_delay:
                self._go(State.CLEARING, EventKind.CLEARING, at, self.why, report)
            else:
                self._clear(at, report)

    def _raise(self, at: int, report: Report) -> None:
        self.episode += 1
        self._newly_raised = True
        self.episode_called_at = None
        self.repeats = 0
        self.owed = None
        delay = self.settings.on_delay
        reason = f"{self.why}, for {format_duration(delay)}" if delay else self.why
        self._go(State.RAISED, EventKind.RAISED, at, reason, report)

    def _clear(self, at: int, report: Report) -> None:
        self.owed = None
        delay = self.settings.off_delay
        reason = f"{self.why}, for {format_duration(delay)}" if delay else self.why
        self._go(State.NORMAL, EventKind.CLEARED, at, reason, report)

    def _go(self, state: State, kind: EventKind, at: int, reason: str, report: Report) -> None:
        self.state = state
        self.since = at
        report(self.event(kind, at, reason))

    def event(self, kind: EventKind, at: int, reason: str, rule: str | None = None) -> Event:
        """Return an event of this alarm."""
        return Event(at, kind, self.name, self.instance, rule, reason, self.episode, self.settings.priority)

    # Memory -------------------------------------------------------------------------------------------------------

    def record(self) -> AlarmRecord:
        """Return what must be remembered over a restart."""
        return AlarmRecord(
            self.name, self.instance, self.state, self.since, self.holds, self.why, self.episode,
            self.called_at, self.episode_called_at, self.repeats, self.owed,
        )  # fmt: skip

    def carry_over(self, value: Value | None, reason: str, last_good_at: int | None, at: int, report: Report) -> None:
        """Judge the last value after a reload by these settings; a silence goes on from the last good reading."""
        if isinstance(self.condition, Silent):
            if last_good_at is not None:
                self.silent_at = last_good_at + self.condition.silent_for
        elif value is None:
            self.on_bad(at, reason, report)
        else:
            self.on_value(value, at, report)

    def restore(self, record: AlarmRecord) -> None:
        """Become what was remembered. Rules that an owed call no longer has are forgotten."""
        self.state, self.since, self.holds, self.why = record.state, record.since, record.holds, record.why
        self.episode, self.repeats = record.episode, record.repeats
        self.called_at, self.episode_called_at = record.called_at, record.episode_called_at
        rules = tuple(rule for rule in record.owed.rules if rule in self.settings.call) if record.owed else ()
        self.owed = Owed(record.owed.kind, rules) if record.owed and rules else None
