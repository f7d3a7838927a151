"""One alarm instance: its terms, its state, and the calls of its episodes. The engine gives it time."""

from collections.abc import Callable, Iterable

from edge_agent.core.chatter import Chatter
from edge_agent.core.events import AlarmRecord, Event, EventKind, Owed, State, TermMemory
from edge_agent.core.fields import SECOND, format_duration
from edge_agent.core.settings import AlarmSettings
from edge_agent.core.terms import Term

Report = Callable[[Event], None]
_LONG = 60 * SECOND


def _shown(micros: int) -> int:
    """Return a duration in whole seconds where it has many: the last microseconds of a clock tell nobody anything."""
    return round(micros / SECOND) * SECOND if micros >= _LONG else micros


class Alarm:
    """The state machine normal → pending → raised → clearing → normal for one alarm and instance.

    It changes state at exact instants that it is told, and reports each change as an event. Which calls are made or
    held back is decided by the engine once all alarms of a step have changed.
    """

    __slots__ = ("_every", "_newly_raised", "_pulses", "_timed", "acknowledged", "active", "called_at", "chatter",
                 "ended_at", "episode", "episode_called_at", "holds", "inhibits", "instance", "name", "order", "owed",
                 "repeats", "settings", "shelved_until", "since", "state", "terms", "timer_at", "why")  # fmt: skip

    def __init__(
        self, name: str, instance: str | None, settings: AlarmSettings, *, order: tuple[int, int], start: int
    ) -> None:
        self.name = name
        self.instance = instance
        self.settings = settings
        self.order = (settings.priority.rank, *order)
        """Which alarm's call is decided first when several fall due at one instant."""
        self.terms: list[Term] = []
        self._timed: list[Term] = []
        self._pulses: list[Term] = []
        self._every = settings.any is None
        self.state = State.NORMAL
        self.active = False
        """The alarm counts as raised; the same as `state.active`, for the many that ask."""
        self.since = start
        self.holds = False
        self.why = ""
        self.ended_at: int | None = None
        self.episode = 0
        self.acknowledged = False
        self.shelved_until: int | None = None
        self.called_at: int | None = None
        self.episode_called_at: int | None = None
        self.repeats = 0
        self.owed: Owed | None = None
        self.chatter = Chatter()
        self.inhibits = False
        """Others are inhibited by it."""
        self.timer_at: int | None = None
        self._newly_raised = False

    def add(self, term: Term) -> None:
        """Take a condition; before the first reading."""
        self.terms.append(term)
        if term.timed is not None:
            self._timed.append(term)
        if term.is_pulse:
            self._pulses.append(term)

    @property
    def chattering_until(self) -> int | None:
        """Return until when it is said to chatter; None: it does not."""
        return self.chatter.until

    # Conditions ---------------------------------------------------------------------------------------------------

    def weigh(self, at: int, report: Report) -> None:
        """Look at the terms, some of which have changed, and change state accordingly."""
        terms = self.terms
        holds = all(term.holds for term in terms) if self._every else any(term.holds for term in terms)
        if holds is not self.holds:
            self.holds = holds
            self.why = self._told(holds)
            self._turn(at, report)

    def end_pulses(self) -> bool:
        """End what holds for an instant only; return whether anything did."""
        pulsed = [term for term in self._pulses if term.holds and not term.forced]
        for term in pulsed:
            term.end_pulse()
        return bool(pulsed)

    def _told(self, holds: bool) -> str:  # noqa: FBT001 - the condition's value, not a switch
        if len(self.terms) == 1:
            return self.terms[0].why
        decided = [term for term in self.terms if term.holds is holds and term.why]
        return " and ".join(f"{term.settings.input}: {term.why}" for term in decided)

    def _turn(self, at: int, report: Report) -> None:
        """Begin or end what the condition, which has just changed, asks for."""
        state = self.state
        if self.holds:
            self.ended_at = None
            if state is State.CLEARING:
                self._go(State.RAISED, EventKind.RESUMED, at, self.why, report)
            elif state is State.NORMAL and self.settings.on_delay:
                self._go(State.PENDING, EventKind.PENDING, at, self.why, report)
            elif state is State.NORMAL:
                self._raise(at, report)
        elif state is State.PENDING:
            self._go(State.NORMAL, EventKind.DROPPED, at, self.why, report)
        elif state is State.RAISED:
            self.ended_at = at
            self._end(at, report)

    def _end(self, at: int, report: Report) -> None:
        """Begin to clear, or clear, as long after the condition's end as off_delay says; latched, stay raised."""
        if self._latched() or self.ended_at is None:
            return
        if self.ended_at + self.settings.off_delay <= at:
            self._clear(at, report)
        else:
            self._go(State.CLEARING, EventKind.CLEARING, at, self.why, report)

    def _latched(self) -> bool:
        return self.settings.latching and not self.acknowledged

    # Time ---------------------------------------------------------------------------------------------------------

    def due_at(self) -> int | None:
        """Return the next instant at which something changes without a reading, or a repeat falls due."""
        instants = [self.shelved_until, self.chatter.until, self._state_due_at()]
        if self.active:
            instants.append(self.repeat_at())
        instants += [term.due_at() for term in self._timed]
        return min((at for at in instants if at is not None), default=None)

    def _state_due_at(self) -> int | None:
        if self.state is State.PENDING:
            return self.since + self.settings.on_delay
        if self.active and not self.holds and self.ended_at is not None and not self._latched():
            return self.ended_at + self.settings.off_delay
        return None

    def advance(self, at: int, report: Report) -> None:
        """Make the changes that fall due at an instant; what holds is judged first, then what has lasted."""
        if self.chatter.until is not None and self.chatter.until <= at:
            self._report(EventKind.SETTLED, at, self.chatter.settle(), report)
            self._watch()
        if self.shelved_until is not None and self.shelved_until <= at:
            self.unshelve(at, "the time is over", report)
        changed = [term for term in self._timed if term.advance(at)]
        if changed:
            self.weigh(at, report)
        due_at = self._state_due_at()
        if due_at is not None and due_at <= at:
            if self.state is State.PENDING:
                self._raise(at, report)
            else:
                self._clear(at, report)

    def call_due(self, at: int) -> bool:
        """Return, once a step, whether a call falls due in it: the first of the episode, or a repeat."""
        newly, self._newly_raised = self._newly_raised, False
        if not self.active:
            return False
        if newly:
            return True
        repeat_at = self.repeat_at()
        return repeat_at is not None and repeat_at <= at

    def repeat_at(self) -> int | None:
        """Return when the next repeat falls due: never once acknowledged, while a call is owed, or before a first."""
        if self.settings.repeat is None or self.acknowledged or self.owed or self.episode_called_at is None:
            return None
        if self.settings.max_repeats is not None and self.repeats >= self.settings.max_repeats:
            return None
        return self.episode_called_at + self.settings.repeat

    # People -------------------------------------------------------------------------------------------------------

    def acknowledge(self, at: int, reason: str, report: Report) -> bool:
        """Cover this episode: no more repeats, an owed call lapses, a latched alarm may clear. Was there one?"""
        if not self.active or self.acknowledged:
            return False
        self.acknowledged = True
        self.owed = None
        self._report(EventKind.ACKNOWLEDGED, at, reason, report)
        if self.state is State.RAISED and not self.holds:
            self._end(at, report)
        return True

    def shelve(self, until: int, at: int, reason: str, report: Report) -> bool:
        """Hold calls back until an instant; return whether that is anything new."""
        if until <= at or until == self.shelved_until:
            return False
        self.shelved_until = until
        words = f"for {format_duration(_shown(until - at))}"
        self._report(EventKind.SHELVED, at, f"{words}, {reason}" if reason else words, report)
        return True

    def unshelve(self, at: int, reason: str, report: Report) -> bool:
        """End the shelf; return whether there was one."""
        if self.shelved_until is None:
            return False
        self.shelved_until = None
        self._report(EventKind.UNSHELVED, at, reason, report)
        return True

    # States -------------------------------------------------------------------------------------------------------

    def _raise(self, at: int, report: Report) -> None:
        self.episode += 1
        self._newly_raised = True
        self.acknowledged = False
        self.episode_called_at = None
        self.repeats = 0
        self.owed = None
        delay = self.settings.on_delay
        reason = f"{self.why}, for {format_duration(delay)}" if delay else self.why
        self._go(State.RAISED, EventKind.RAISED, at, reason, report)
        if self.chatter.note_raise(at):
            self._watch()
            self._report(EventKind.CHATTERING, at, "raised 3 times within a minute: first calls wait", report)

    def _watch(self) -> None:
        """Let the chatter see by how much values come and go, as long as it lasts."""
        if len(self.terms) == 1:
            self.terms[0].watch = self.chatter.note_retreat if self.chatter.until is not None else None

    def _clear(self, at: int, report: Report) -> None:
        delay = self.settings.off_delay
        reason = f"{self.why}, for {format_duration(delay)}" if delay else self.why
        self.owed = None
        self.acknowledged = False
        self.ended_at = None
        self._go(State.NORMAL, EventKind.CLEARED, at, reason, report)
        for term in self.terms:  # the deadband counts only while the alarm is raised
            term.holds = term.strict
        self.chatter.note_clear(at)

    def _go(self, state: State, kind: EventKind, at: int, reason: str, report: Report) -> None:
        self.state = state
        self.active = state.active
        self.since = at
        self._report(kind, at, reason, report)

    def _report(self, kind: EventKind, at: int, reason: str, report: Report) -> None:
        report(self.event(kind, at, reason))

    def event(self, kind: EventKind, at: int, reason: str, rule: str | None = None) -> Event:
        """Return an event of this alarm."""
        withdraws = kind is EventKind.CLEARED and self.settings.cancel_on_clear
        priority = self.settings.priority
        return Event(at, kind, self.name, self.instance, rule, reason, self.episode, priority, withdraws)

    # Memory -------------------------------------------------------------------------------------------------------

    def record(self) -> AlarmRecord:
        """Return what must be remembered over a restart."""
        return AlarmRecord(
            alarm=self.name,
            instance=self.instance,
            state=self.state,
            since=self.since,
            holds=self.holds,
            why=self.why,
            episode=self.episode,
            called_at=self.called_at,
            episode_called_at=self.episode_called_at,
            repeats=self.repeats,
            owed=self.owed,
            terms=tuple(term.memory() for term in self.terms),
            ended_at=self.ended_at,
            acknowledged=self.acknowledged,
            shelved_until=self.shelved_until,
            raised_at=self.chatter.raised_at,
            chattering_until=self.chatter.until,
            chatter=self.chatter.count,
        )

    def restore(self, record: AlarmRecord, at: int) -> None:
        """Become what was remembered. Rules that an owed call no longer has are forgotten."""
        self.state, self.active = record.state, record.state.active
        self.since, self.holds, self.why = record.since, record.holds, record.why
        self.ended_at = record.ended_at
        if self.ended_at is None and self.active and not self.holds:
            self.ended_at = record.since  # of a version that did not note it
        self.episode, self.repeats = record.episode, record.repeats
        self.acknowledged, self.shelved_until = record.acknowledged, record.shelved_until
        self.called_at, self.episode_called_at = record.called_at, record.episode_called_at
        rules = tuple(rule for rule in record.owed.rules if rule in self.settings.call) if record.owed else ()
        self.owed = Owed(record.owed.kind, rules) if record.owed and rules else None
        self.chatter = Chatter(record.raised_at, record.chattering_until, record.chatter)
        for term, memory in zip(self.terms, self._memories(record), strict=True):
            term.restore(memory, at)
        self._watch()

    def _memories(self, record: AlarmRecord) -> Iterable[TermMemory]:
        """Return what each term remembers; where the conditions are others now, they begin as the whole did."""
        if len(record.terms) == len(self.terms):
            return record.terms
        return [TermMemory(record.holds, record.holds, term.point.met) for term in self.terms]
