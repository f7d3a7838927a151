"""The engine: readings and instants in, events and alarm records out. Pure: time is an argument, in microseconds."""

from collections.abc import Callable, Iterable, Mapping

from edge_agent.core.alarm import Alarm
from edge_agent.core.budget import Budget
from edge_agent.core.calls import CallDesk
from edge_agent.core.events import AlarmRecord, Changes, Event, EventKind, State
from edge_agent.core.handover import hand_over
from edge_agent.core.layout import ONLINE, EngineSettings, Layout
from edge_agent.core.points import Point
from edge_agent.core.reading import Reading, Value, point_name, split_point
from edge_agent.core.settings import Priority
from edge_agent.core.terms import Term
from edge_agent.core.timers import NEVER, Timers

__all__ = ["ONLINE", "Engine", "EngineSettings"]
_NOTHING = Changes((), ())
_CLOCK_SLACK = 10_000
"""Microseconds by which the wall clock may drift before schedules are judged anew."""


class Engine:
    """Feeds readings to alarms, serves what falls due in exact order, and collects what changed.

    One thread owns it; `points`, `alarms` and `stats` may be looked at by others.
    """

    def __init__(
        self,
        settings: EngineSettings,
        now: int,
        records: Iterable[AlarmRecord] = (),
        triggers: Mapping[str, Iterable[int]] | None = None,
        *,
        skew: int = 0,
        synced: bool = True,
    ) -> None:
        """Begin at `now` with what was remembered: alarm records, and each rule's triggers, which count in budgets.

        What fell due while nothing ran is served by the first `tick` or `feed`, as of `now`.

        Args:
            settings: what to do.
            now: the instant, in microseconds.
            records: of the same clock's instants.
            triggers: {rule: instants}.
            skew: Unix time less the engine's, in microseconds: schedules follow the wall clock.
            synced: whether that can be believed. While it cannot, every schedule is open.
        """
        self.settings = settings
        self.now = now
        self._layout = Layout(settings, now)
        self.points = self._layout.points
        self.alarms = self._layout.alarms
        self.stats = self._layout.stats
        self._timers: Timers[Alarm] = Timers()
        self._levels: Timers[Point] = Timers()
        self._next = NEVER
        self._events: list[Event] = []
        self._dirty: dict[Alarm, None] = {}
        past = triggers or {}
        budgets = {rule: Budget(calls, per, past.get(rule, ())) for rule, (calls, per) in settings.budgets.items()}
        self.desk = CallDesk(budgets, settings.schedules)
        self.desk.set_clock(skew, synced=synced)
        if not synced:
            self._tell_clock()
        self._restore(records)

    def _restore(self, records: Iterable[AlarmRecord]) -> None:
        for record in records:
            alarm = self._layout.recall(record, self.now)
            if alarm is None:
                self._end_for_good(record)
            else:
                alarm.restore(record, self.now)
                self._layout.remind(alarm, self.now)
        self._layout.fresh.clear()
        for alarm in self.alarms.values():
            if alarm.inhibits:
                self.desk.note(alarm)
            self.desk.restore(alarm)
            self._timers.schedule(alarm)
        self._plan()

    def _end_for_good(self, record: AlarmRecord) -> None:
        """Report the end of an alarm instance that the configuration has no longer."""
        known = self.settings.alarms.get(record.alarm)
        reason = "no longer in the configuration"
        if known is not None:
            reason = "the configuration has no such instance" if known.enabled else "disabled in the configuration"
        kinds = [EventKind.REMOVED]
        if record.state is not State.NORMAL:
            kinds.insert(0, EventKind.CLEARED if record.state.active else EventKind.DROPPED)
        for kind in kinds:
            subject = (record.alarm, record.instance, None)
            self._events.append(Event(self.now, kind, *subject, reason, record.episode, Priority.MEDIUM))

    # Readings and time --------------------------------------------------------------------------------------------

    def feed(self, reading: Reading) -> None:
        """Serve what falls due up to the reading's instant, then the reading.

        An instant before the engine's own is taken as the engine's. A reading of a point that the configuration does
        not know, or of an instance beyond max_instances, changes nothing.
        """
        at = reading.at
        if at >= self._next:
            self._serve(at)
        if at > self.now:
            self.now = at
        else:
            at = self.now
        point = self.points.get(reading.point) or self._meet(reading)
        if point is None:
            return
        stats = point.stats
        stats.readings += 1
        stats.last_at = at
        value = reading.value
        if value is None:
            stats.bad += 1
            point.raw = None
            self._judge(point, None, at, reading.reason)
        elif point.spec.debounce and not point.hold_level(value, at):
            self._levels.schedule(point)
            self._plan()
        else:
            self._accept(point, value, at)

    def tick(self, now: int) -> None:
        """Serve all that falls due up to `now`."""
        if now >= self._next:
            self._serve(now)
        self.now = max(self.now, now)

    def deadline(self) -> int | None:
        """Return when to tick next; None: nothing falls due without a reading. Perhaps too early, never too late."""
        return self._next if self._next < NEVER else None

    def set_clock(self, at: int, skew: int, synced: bool) -> None:  # noqa: FBT001 - a state, not a switch
        """Take what the wall clock shows: Unix time less the engine's in microseconds, and whether it is believed."""
        desk = self.desk
        if synced is desk.synced and abs(skew - desk.skew) < _CLOCK_SLACK:
            return
        self.tick(at)
        told = synced is desk.synced
        desk.set_clock(skew, synced=synced)
        if not told:
            self._tell_clock()
        self._settle([], self.now)

    def _tell_clock(self) -> None:
        if not any(alarm.enabled and alarm.schedule is not None for alarm in self.settings.alarms.values()):
            return
        reason = "the clock is synchronised: calls go by their schedules"
        if not self.desk.synced:
            reason = "the clock is not synchronised: every schedule counts as open"
        self._events.append(Event(self.now, EventKind.CLOCK, None, None, None, reason, 0, Priority.MEDIUM))

    # People -------------------------------------------------------------------------------------------------------

    def acknowledge(self, alarm: str, instance: str | None, at: int, reason: str = "") -> int:
        """Acknowledge the raised instances of an alarm (None: all of them); return how many that changed."""
        return self._command(alarm, instance, at, lambda each, now: each.acknowledge(now, reason, self._report))

    def shelve(self, alarm: str, instance: str | None, until: int, at: int, reason: str = "") -> int:
        """Hold back the calls of an alarm's instances until an instant; return how many that changed."""
        return self._command(alarm, instance, at, lambda each, now: each.shelve(until, now, reason, self._report))

    def unshelve(self, alarm: str, instance: str | None, at: int, reason: str = "") -> int:
        """End the shelving of an alarm's instances; return how many were shelved."""
        return self._command(alarm, instance, at, lambda each, now: each.unshelve(now, reason, self._report))

    def _command(self, name: str, instance: str | None, at: int, act: Callable[[Alarm, int], bool]) -> int:
        self.tick(at)
        named = [alarm for alarm in self.alarms.values() if alarm.name == name]
        changed = [each for each in named if (instance is None or each.instance == instance) and act(each, self.now)]
        for alarm in changed:
            self.desk.wake(alarm)
        if changed:
            self._settle(changed, self.now)
        return len(changed)

    def count_trigger(self, rule: str, at: int) -> None:
        """Count a trigger that no alarm made (by hand, or an ambiguous attempt) in the rule's budget."""
        if rule in self.desk.budgets:
            self.desk.budgets[rule].count(at)

    # What came of it ----------------------------------------------------------------------------------------------

    def take(self) -> Changes:
        """Return what happened since the last time, events in order."""
        if not self._events and not self._dirty:
            return _NOTHING
        changes = Changes(tuple(self._events), tuple(alarm.record() for alarm in self._dirty))
        self._events.clear()
        self._dirty.clear()
        return changes

    def records(self) -> list[AlarmRecord]:
        """Return what every alarm instance must remember over a restart or a reload."""
        return [alarm.record() for alarm in self.alarms.values()]

    def refuses(self, name: str) -> str | None:
        """Return why there is no such point, in words; None where a reading of it would be taken."""
        return self._layout.refuses(name)

    def held_back(self, alarm: Alarm) -> list[str]:
        """Return what would hold back a first call of an alarm now, each beginning with the contract's word."""
        return self.desk.held_back(alarm, self.now)

    def why_bad(self, source: str) -> str:
        """Return why the newest bad reading of a source was bad; "" where none is known."""
        stats = self.stats.get(source)
        points = [point for point in list(self.points.values()) if point.stats is stats and point.reason]
        return max(points, key=lambda point: point.at or 0).reason if points else ""

    def carry_over(self, old: "Engine") -> None:
        """Take over what another engine knew beyond its records: last values, windows and counts.

        Call it at once after beginning with the old one's records. What changed is judged at once on the last values.
        """
        if old.desk.synced is self.desk.synced:
            self._events = [event for event in self._events if event.kind is not EventKind.CLOCK]  # told already
        changed = hand_over(old._layout, self._layout, self.now)  # noqa: SLF001 - of the same class
        self._layout.fresh.clear()
        for point in self.points.values():
            self._levels.schedule(point)
        for alarm in self.alarms.values():
            self._timers.schedule(alarm)
        self._step(changed, self.now)

    # Steps --------------------------------------------------------------------------------------------------------

    def _meet(self, reading: Reading) -> Point | None:
        """Return the new point that a reading is for. One of a whole frame is judged here, for each of its fields."""
        source, instance, fld = split_point(reading.point)
        spec = self.settings.sources.get(source)
        if spec is None or (fld != ONLINE and spec.instances is not (instance is not None)):
            return None
        if self.refuses(reading.point) is None:
            return self._layout.meet(reading.point, self.now)
        if fld is None and reading.value is None:
            self._judge_frame(source, instance, reading.reason)
        return None

    def _judge_frame(self, source: str, instance: str | None, reason: str) -> None:
        """Judge a frame that could not be used: one reading, bad for each of its fields."""
        points = [
            self._layout.meet(point_name(source, each, instance), self.now) for each in self._layout.fields(source)
        ]
        if None in points:
            return  # beyond max_instances
        stats = self.stats[source]
        stats.readings += 1
        stats.bad += 1
        stats.last_at = self.now
        changed: list[Term] = []
        for point in points:
            if point is not None:
                point.raw = None
                changed += self._show(point, None, self.now, reason)
        self._follow(changed, self.now)

    def _accept(self, point: Point, value: Value, at: int) -> None:
        point.raw = value
        if point.plain:
            self._judge(point, value, at, "")
            return
        conditioned, reason = point.spec.condition(value)
        if conditioned is None:
            point.stats.bad += 1
        elif point.spec.smooth is not None:
            conditioned = point.smooth(conditioned)
        self._judge(point, conditioned, at, reason)

    def _judge(self, point: Point, value: Value | None, at: int, reason: str) -> None:
        """Show a value, or bad quality, to the conditions on its point: one step."""
        changed = self._show(point, value, at, reason)
        if changed or self._layout.fresh:
            self._follow(changed, at)

    @staticmethod
    def _show(point: Point, value: Value | None, at: int, reason: str) -> list[Term]:
        """Return the conditions that a value, or bad quality, has changed."""
        point.at = at
        changed: list[Term] = []
        if value is None:
            point.good = False
            point.reason = reason
            changed = [term for term in point.terms if term.on_bad(reason)]
        else:
            point.good = True
            point.value = value
            point.last_good_at = at
            for term in point.terms:
                if term.on_value(value, at):
                    changed.append(term)
        for model in point.models:
            model.on_bad(reason) if value is None else model.on_value(value, at)
        return changed

    def _follow(self, changed: list[Term], at: int) -> None:
        """Let the alarms follow their conditions, and those that came with this reading: one step."""
        self._note_fresh()
        # A pulse leaves nothing behind that were not an event.
        self._dirty.update((term.alarm, None) for term in changed if term.alarm and not term.is_pulse)
        self._step({**{term.alarm: None for term in changed if term.alarm}, **self._layout.fresh}, at)
        self._layout.fresh.clear()

    def _note_fresh(self) -> None:
        self._dirty.update(self._layout.fresh)  # so that after a restart its silence is noticed
        for alarm in self._layout.fresh:
            self._timers.schedule(alarm)

    def _step(self, alarms: Iterable[Alarm], at: int) -> None:
        """Let alarms, terms of which have changed, change state; then decide their calls. A pulse is two steps."""
        alarms = list(alarms)
        for alarm in alarms:
            alarm.weigh(at, self._report)
        self._settle(alarms, at)
        pulsed = [alarm for alarm in alarms if alarm.end_pulses()]
        if pulsed:
            for alarm in pulsed:
                alarm.weigh(at, self._report)
            self._settle(pulsed, at)

    def _serve(self, limit: int) -> None:
        """Serve what falls due up to `limit`, instant by instant: alarms first, then levels that have settled."""
        while self._next <= limit:
            at = self.now = max(self._next, self.now)
            due = self._timers.pop(at)
            for alarm in due:
                self._dirty[alarm] = None
                alarm.advance(at, self._report)
            self._settle(due, at)
            for point in self._levels.pop(at):
                point.settled = True
                if point.level is not None:
                    self._accept(point, point.level, at)
            self._plan()

    def _settle(self, touched: list[Alarm], at: int) -> None:
        """End a step: all states have changed, now the calls are decided."""
        for alarm in touched:
            if alarm.inhibits:
                self.desk.note(alarm)
        calling = [alarm for alarm in touched if alarm.call_due(at) and alarm.settings.call]
        if calling or self.desk.next_at(at) <= at:
            touched = [*touched, *self.desk.decide(calling, at, self._report)]
        for alarm in touched:
            self._timers.schedule(alarm)
        self._plan()

    def _report(self, event: Event) -> None:
        self._events.append(event)
        if event.alarm is not None:
            self._dirty[self.alarms[event.alarm, event.instance]] = None

    def _plan(self) -> None:
        self._next = min(self._timers.next_at(), self._levels.next_at(), self.desk.next_at(self.now))
