"""Which calls are made, and which are held back and owed: shelf, inhibition, schedule, cooldown, chatter, budget."""

from collections.abc import Iterable, Iterator, Mapping

from edge_agent.core.alarm import Alarm, Report
from edge_agent.core.budget import Budget
from edge_agent.core.events import EventKind, Owed
from edge_agent.core.fields import SECOND, format_duration
from edge_agent.core.schedules import Schedule
from edge_agent.core.timers import NEVER, Timers

Hold = tuple[str, int]
"""Why a call is held back, beginning with the contract's word, and the first instant at which that may be over."""


class _Debt:
    """When to look whether the call that an alarm owes can be made."""

    __slots__ = ("alarm", "look_at", "timer_at")

    def __init__(self, alarm: Alarm) -> None:
        self.alarm = alarm
        self.look_at = NEVER
        self.timer_at: int | None = None

    def due_at(self) -> int | None:
        """Return when to look; None: it has lapsed or was made, or only an event can free it."""
        return self.look_at if self.alarm.owed is not None and self.look_at < NEVER else None


class CallDesk:
    """Decides the calls of a step, once all its alarms have changed state.

    Owns the budgets, who owes a call, and which alarms are raised of those that inhibit others.
    """

    def __init__(self, budgets: Mapping[str, Budget], schedules: Mapping[str, Schedule]) -> None:
        self.budgets = dict(budgets)
        self.schedules = schedules
        self.skew = 0
        """Unix time less the engine's."""
        self.synced = True
        """Whether the wall clock can be believed; while it cannot, every schedule is open."""
        self._raised: dict[str, set[str | None]] = {}
        """{inhibitor: its raised instances}"""
        self._inhibited: dict[str, dict[Alarm, None]] = {}
        """{inhibitor: alarms that owe a call and may be waiting for its end}"""
        self._by_clock: dict[Alarm, None] = {}
        """Alarms that owe a call and may be waiting for a schedule."""
        self._debts: dict[Alarm, _Debt] = {}
        self._timers: Timers[_Debt] = Timers()
        self._woken: dict[Alarm, None] = {}

    def restore(self, alarm: Alarm) -> None:
        """Take up an alarm as it was remembered: what it owes is looked at in the first decision."""
        self.wake(alarm)

    # What changed -------------------------------------------------------------------------------------------------

    def note(self, alarm: Alarm) -> None:
        """Take note of the state of an alarm that inhibits others."""
        raised = self._raised.setdefault(alarm.name, set())
        if alarm.active:
            raised.add(alarm.instance)
        elif alarm.instance in raised:
            raised.remove(alarm.instance)
            self._woken.update(self._inhibited.pop(alarm.name, {}))

    def wake(self, alarm: Alarm) -> None:
        """Look at an owed call in the next decision: it may be free now."""
        if alarm.owed is not None:
            self._woken[alarm] = None

    def set_clock(self, skew: int, *, synced: bool) -> None:
        """Judge schedules by another wall clock from now on."""
        self.skew, self.synced = skew, synced
        self._woken.update(self._by_clock)
        self._by_clock.clear()

    def next_at(self, now: int) -> int:
        """Return the first instant at which an owed call may be free (perhaps too early, never too late), or NEVER."""
        return now if self._woken else self._timers.next_at()

    # Decisions ----------------------------------------------------------------------------------------------------

    def decide(self, due: Iterable[Alarm], at: int, report: Report) -> list[Alarm]:
        """Make or hold back the calls that fall due now, and make those owed that are free; return who changed."""
        due = set(due)
        woken, self._woken = self._woken, {}
        owing = {debt.alarm for debt in self._timers.pop(at)} | {alarm for alarm in woken if alarm.owed is not None}
        changed = []
        for alarm in sorted(due | owing, key=lambda alarm: alarm.order):
            if alarm in due:
                self._first_time(alarm, at, report)
                changed.append(alarm)
            elif self._again(alarm, at, report):
                changed.append(alarm)
        return changed

    def _first_time(self, alarm: Alarm, at: int, report: Report) -> None:
        kind = EventKind.CALL if alarm.episode_called_at is None else EventKind.REPEAT
        if kind is EventKind.REPEAT:
            alarm.repeats += 1
        hold = next(self._holds(alarm, kind, at), None)
        held = []
        look_at = NEVER
        for rule in alarm.settings.call:
            why = hold or self._over_budget(rule, at)
            reason = why[0] if why else self._reason(alarm, alarm.why)
            report(alarm.event(EventKind.SUPPRESSED if why else kind, at, reason, rule))
            if why is None:
                self._count(rule, at)
            else:
                held.append(rule)
                look_at = min(look_at, why[1])
        self._note(alarm, kind, held, look_at, at if len(held) < len(alarm.settings.call) else None)

    def _again(self, alarm: Alarm, at: int, report: Report) -> bool:
        owed = alarm.owed
        if owed is None:
            return False
        hold = next(self._holds(alarm, owed.kind, at), None)
        held = []
        look_at = NEVER
        for rule in owed.rules:
            why = hold or self._over_budget(rule, at)
            if why is None:
                report(alarm.event(owed.kind, at, self._reason(alarm, f"{alarm.why}; was held back until now"), rule))
                self._count(rule, at)
            else:
                held.append(rule)
                look_at = min(look_at, why[1])
        made = len(held) < len(owed.rules)
        self._note(alarm, owed.kind, held, look_at, at if made else None)
        return made

    def _reason(self, alarm: Alarm, why: str) -> str:
        if alarm.settings.schedule is None or self.synced:
            return why
        return f"{why}; schedule {alarm.settings.schedule} counts as open: the clock is not synchronised"

    def _note(self, alarm: Alarm, kind: EventKind, held: list[str], look_at: int, made_at: int | None) -> None:
        if made_at is not None:
            alarm.called_at = alarm.episode_called_at = made_at
        alarm.owed = Owed(kind, tuple(held)) if held else None
        if alarm.owed is None:
            return
        debt = self._debts.setdefault(alarm, _Debt(alarm))
        debt.look_at = look_at
        self._timers.schedule(debt)
        for name in alarm.settings.inhibited_by:
            self._inhibited.setdefault(name, {})[alarm] = None
        if alarm.settings.schedule is not None:
            self._by_clock[alarm] = None

    def _count(self, rule: str, at: int) -> None:
        if rule in self.budgets:
            self.budgets[rule].count(at)

    # What holds back ----------------------------------------------------------------------------------------------

    def held_back(self, alarm: Alarm, at: int) -> list[str]:
        """Return everything that would hold back a first call now, in the contract's words."""
        holds = [*self._holds(alarm, EventKind.CALL, at, again=True)]
        holds += [hold for rule in alarm.settings.call if (hold := self._over_budget(rule, at)) is not None]
        return [reason for reason, _ in holds]

    def _holds(self, alarm: Alarm, kind: EventKind, at: int, *, again: bool = False) -> Iterator[Hold]:
        """Yield what holds back an alarm's calls, to whatever rule, in the contract's order.

        Cooldown and chatter hold back the first call of an episode, never a repeat. Of a call to several rules one may
        have been made already: the rest is the same call (`again`: look as if it were not).
        """
        if alarm.shelved_until is not None and alarm.shelved_until > at:
            left = format_duration(-((at - alarm.shelved_until) // SECOND) * SECOND)
            yield f"shelved: for another {left}", alarm.shelved_until
        if (inhibitor := self._inhibitor(alarm)) is not None:
            yield f"inhibited: by {inhibitor}", NEVER
        if (closed := self._closed(alarm, at)) is not None:
            yield closed
        if kind is EventKind.REPEAT or (alarm.episode_called_at is not None and not again):
            return
        if alarm.called_at is not None and at < alarm.called_at + alarm.settings.cooldown:
            cooldown = format_duration(alarm.settings.cooldown)
            yield f"cooldown: {cooldown} after the last call are not over", alarm.called_at + alarm.settings.cooldown
        if alarm.chatter.until is not None and at < alarm.chatter.until:
            yield f"chattering: raised {alarm.chatter.count} times, until a minute without", alarm.chatter.until

    def _inhibitor(self, alarm: Alarm) -> str | None:
        """Return who inhibits an alarm: the same instance; any where one of the two has no instances; None: nobody."""
        for name in alarm.settings.inhibited_by:
            raised = self._raised.get(name)
            if raised and (None in raised or alarm.instance is None or alarm.instance in raised):
                return name
        return None

    def _closed(self, alarm: Alarm, at: int) -> Hold | None:
        name = alarm.settings.schedule
        schedule = self.schedules.get(name) if name is not None else None
        if schedule is None or not self.synced or schedule.is_open(at + self.skew):
            return None
        opens = schedule.next_change(at + self.skew)
        return f"schedule: outside {name} ({schedule.describe()})", NEVER if opens is None else opens - self.skew

    def _over_budget(self, rule: str, at: int) -> Hold | None:
        budget = self.budgets.get(rule)
        if budget is None or (free_at := budget.free_at(at)) <= at:
            return None
        return f"budget: {rule} was triggered {budget.max_calls} times within {format_duration(budget.per)}", free_at
