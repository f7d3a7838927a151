"""Which calls are made, and which are held back and owed: cooldown and the budgets of the rules."""

from collections.abc import Iterable, Mapping

from edge_agent.core.alarm import Alarm, Report
from edge_agent.core.budget import Budget
from edge_agent.core.events import EventKind, Owed
from edge_agent.core.fields import format_duration
from edge_agent.core.timers import NEVER


class CallDesk:
    """Decides the calls of a step, once all its alarms have changed state. Owns the budgets and who owes a call."""

    def __init__(self, budgets: Mapping[str, Budget]) -> None:
        self.budgets = dict(budgets)
        self._owing: dict[Alarm, None] = {}

    def restore(self, alarm: Alarm) -> None:
        """Take up an alarm that owed a call before the restart."""
        if alarm.owed is not None:
            self._owing[alarm] = None

    def recheck_at(self, now: int) -> int:
        """Return the first instant at which an owed call may be free, or NEVER."""
        if not self._owing:
            return NEVER
        return min((self._free_at(alarm, now) for alarm in self._owing if alarm.owed), default=NEVER)

    def decide(self, due: Iterable[Alarm], at: int, report: Report) -> set[Alarm]:
        """Make or hold back the calls that fall due now, and make those owed that are free; return who changed."""
        due = set(due)
        for alarm in [alarm for alarm in self._owing if alarm.owed is None]:
            del self._owing[alarm]
        changed = set()
        for alarm in sorted({*self._owing, *due}, key=lambda alarm: alarm.order):
            if alarm in due:
                self._first_time(alarm, at, report)
                changed.add(alarm)
            elif self._again(alarm, at, report):
                changed.add(alarm)
        return changed

    def _first_time(self, alarm: Alarm, at: int, report: Report) -> None:
        kind = EventKind.CALL if alarm.episode_called_at is None else EventKind.REPEAT
        if kind is EventKind.REPEAT:
            alarm.repeats += 1
        cooldown = self._cooldown_until(alarm, kind)
        held = []
        made = False
        for rule in alarm.settings.call:
            why = self._held_back(rule, cooldown, at, alarm)
            report(alarm.event(EventKind.SUPPRESSED if why else kind, at, why or alarm.why, rule))
            if why:
                held.append(rule)
            else:
                self._count(rule, at)
                made = True
        self._note(alarm, Owed(kind, tuple(held)) if held else None, at, made=made)

    def _again(self, alarm: Alarm, at: int, report: Report) -> bool:
        owed = alarm.owed
        if owed is None:
            return False
        cooldown = self._cooldown_until(alarm, owed.kind)
        free = [rule for rule in owed.rules if self._held_back(rule, cooldown, at, alarm) is None]
        for rule in free:
            report(alarm.event(owed.kind, at, f"{alarm.why}; was held back until now", rule))
            self._count(rule, at)
        if free:
            left = tuple(rule for rule in owed.rules if rule not in free)
            self._note(alarm, Owed(owed.kind, left) if left else None, at, made=True)
        return bool(free)

    def _note(self, alarm: Alarm, owed: Owed | None, at: int, *, made: bool) -> None:
        if made:
            alarm.called_at = alarm.episode_called_at = at
        alarm.owed = owed
        if owed is None:
            self._owing.pop(alarm, None)
        else:
            self._owing[alarm] = None

    def _count(self, rule: str, at: int) -> None:
        if rule in self.budgets:
            self.budgets[rule].count(at)

    def _cooldown_until(self, alarm: Alarm, kind: EventKind) -> int:
        """Return when the cooldown is over: it holds back the first call of an episode, never a repeat.

        Of a call to several rules one may have been made already: the rest is the same call, and is not held back.
        """
        if kind is EventKind.REPEAT or alarm.called_at is None or alarm.episode_called_at is not None:
            return 0
        return alarm.called_at + alarm.settings.cooldown

    def _held_back(self, rule: str, cooldown: int, at: int, alarm: Alarm) -> str | None:
        """Return why a rule may not be triggered now, beginning with the contract's word; None where it may."""
        if at < cooldown:
            return f"cooldown: {format_duration(alarm.settings.cooldown)} after the last call are not over"
        budget = self.budgets.get(rule)
        if budget is not None and budget.free_at(at) > at:
            return f"budget: {rule} was triggered {budget.max_calls} times within {format_duration(budget.per)}"
        return None

    def _free_at(self, alarm: Alarm, now: int) -> int:
        owed = alarm.owed
        if owed is None:
            return now
        frees = (self.budgets[rule].free_at(now) if rule in self.budgets else now for rule in owed.rules)
        return max(self._cooldown_until(alarm, owed.kind), min(frees))
