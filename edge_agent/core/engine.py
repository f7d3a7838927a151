"""The engine: readings and instants in, events and alarm records out. Pure: time is an argument, in microseconds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edge_agent.core.alarm import Alarm
from edge_agent.core.budget import Budget
from edge_agent.core.calls import CallDesk
from edge_agent.core.conditions import build
from edge_agent.core.events import AlarmRecord, Changes, Event
from edge_agent.core.points import Point, SourceSpec, SourceStats
from edge_agent.core.reading import Reading, Value, point_name, split_point
from edge_agent.core.settings import AlarmSettings
from edge_agent.core.timers import NEVER, Timers

ONLINE = "online"
"""The field of the agent's own point `SOURCE.online`."""
_ONLINE_SPEC = SourceSpec()
_NOTHING = Changes((), ())


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the engine is told to do."""

    sources: Mapping[str, SourceSpec] = field(default_factory=dict)
    alarms: Mapping[str, AlarmSettings] = field(default_factory=dict)
    budgets: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """{rule: (max_calls, per in microseconds)}"""


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
    ) -> None:
        """Begin at `now` with what was remembered: alarm records, and each rule's triggers, which count in budgets.

        What fell due while nothing ran is served by the first `tick` or `feed`, as of `now`.
        """
        self.settings = settings
        self.now = now
        self.points: dict[str, Point] = {}
        self.alarms: dict[tuple[str, str | None], Alarm] = {}
        self.stats = {name: SourceStats() for name in settings.sources}
        self._own_stats = SourceStats()
        self._instances: dict[str, set[str]] = {name: set() for name in settings.sources}
        self._templates: dict[tuple[str, str | None], list[str]] = {}
        self._timers: Timers[Alarm] = Timers()
        self._levels: Timers[Point] = Timers()
        self._next = NEVER
        self._events: list[Event] = []
        self._dirty: dict[Alarm, None] = {}
        past = triggers or {}
        self.desk = CallDesk(
            {rule: Budget(calls, per, past.get(rule, ())) for rule, (calls, per) in settings.budgets.items()}
        )
        self._build()
        self._restore(records)
        self._plan()

    # Input and output ---------------------------------------------------------------------------------------------

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

    def count_trigger(self, rule: str, at: int) -> None:
        """Count a trigger that no alarm made (by hand, or an ambiguous attempt) in the rule's budget."""
        if rule in self.desk.budgets:
            self.desk.budgets[rule].count(at)

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
        source, instance, fld = split_point(name)
        spec = self.settings.sources.get(source)
        if spec is None:
            return f"no source is called {source!r}"
        if fld == ONLINE and instance is None:
            return None
        if spec.instances and instance is None:
            return f"{source} has instances: name one, as in {point_name(source, fld, 'NAME')}"
        if instance is not None and not spec.instances:
            return f"{source} has no instances"
        if spec.fields == () and fld is not None:
            return f"{source} has one value, and no field {fld!r}"
        if spec.fields != () and (fld is None or (spec.fields is not None and fld not in spec.fields)):
            known = ", ".join(spec.fields) if spec.fields else "any name"
            return f"{name} is no point; the fields of {source} are: {known}"
        return None

    def why_bad(self, source: str) -> str:
        """Return why the newest bad reading of a source was bad; "" where none is known."""
        points = [
            point for point in list(self.points.values()) if point.stats is self.stats.get(source) and point.reason
        ]
        return max(points, key=lambda point: point.at or 0).reason if points else ""

    def carry_over(self, old: "Engine") -> None:
        """Take over the last values of another engine, and judge them at once by the settings of this one.

        They are no readings: a silence goes on, and nothing is counted.
        """
        for name, last in old.points.items():
            if last.at is None or self.refuses(name) is not None:
                continue
            point = self._point(name)
            point.copy(last)
            value, reason = (
                point.spec.condition(last.raw) if last.good and last.raw is not None else (None, last.reason)
            )
            point.good, point.value = value is not None, point.value if value is None else value
            for alarm in point.alarms:
                alarm.carry_over(value, reason, point.last_good_at, self.now, self._report)
            self._settle(point.alarms, self.now)
        for source, stats in self.stats.items():
            stats.add(old.stats.get(source, SourceStats()))

    # Building -----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        for source in self.settings.sources:
            online = point_name(source, ONLINE)
            self.points[online] = Point(online, _ONLINE_SPEC, self._own_stats)
        for name, settings in self.settings.alarms.items():
            source, instance, fld = split_point(settings.input)
            spec = self.settings.sources.get(source)
            if not settings.enabled or spec is None:
                continue
            if spec.instances and instance is None and fld != ONLINE:
                self._templates.setdefault((source, fld), []).append(name)
            else:
                self._add_alarm(name, None, self._point(settings.input))

    def _restore(self, records: Iterable[AlarmRecord]) -> None:
        for record in records:
            settings = self.settings.alarms.get(record.alarm)
            if settings is None or not settings.enabled:
                continue
            if record.instance is not None:
                source, _, fld = split_point(settings.input)
                if record.alarm in self._templates.get((source, fld), ()):
                    self._point(point_name(source, fld, record.instance))
            alarm = self.alarms.get((record.alarm, record.instance))
            if alarm is not None:
                alarm.restore(record)
                self.desk.restore(alarm)
                self._timers.schedule(alarm)
        self._dirty.clear()

    def _point(self, name: str) -> Point:
        """Return a point of the configuration; a new one comes with its instances of alarms."""
        if name in self.points:
            return self.points[name]
        source, instance, fld = split_point(name)
        point = self.points[name] = Point(name, self.settings.sources[source], self.stats[source])
        if instance is not None:
            self._instances[source].add(instance)
            for alarm in self._templates.get((source, fld), ()):
                self._add_alarm(alarm, instance, point)
        return point

    def _add_alarm(self, name: str, instance: str | None, point: Point) -> None:
        settings = self.settings.alarms[name]
        alarm = Alarm(name, instance, settings, build(settings), order=len(self.alarms), start=self.now)
        self.alarms[name, instance] = alarm
        point.alarms.append(alarm)
        if instance is not None:
            self._dirty[alarm] = None  # so that after a restart its silence is noticed
        self._timers.schedule(alarm)

    def _meet(self, reading: Reading) -> Point | None:
        """Return the new point that a reading is for. One of a whole frame is judged here, for each of its fields."""
        source, instance, fld = split_point(reading.point)
        spec = self.settings.sources.get(source)
        if spec is None or spec.instances is not (instance is not None):
            return None
        known = self._instances[source]
        stats = self.stats[source]
        if instance is not None and instance not in known and len(known) >= spec.max_instances:
            stats.refused += 1
            return None
        if self.refuses(reading.point) is None:
            point = self._point(reading.point)
            self._plan()
            return point
        if fld is None and reading.value is None:
            stats.readings += 1
            stats.bad += 1
            stats.last_at = self.now
            fields = spec.fields if spec.fields is not None else self._live_fields(source)
            for name in [point_name(source, each, instance) for each in fields]:
                self._judge(self._point(name), None, self.now, reading.reason)
            self._plan()
        return None

    def _live_fields(self, source: str) -> list[str]:
        prefix = f"{source}."
        names = (name.removeprefix(prefix) for name in self.points if name.startswith(prefix))
        return [name for name in names if name != ONLINE]

    # Steps --------------------------------------------------------------------------------------------------------

    def _accept(self, point: Point, value: Value, at: int) -> None:
        point.raw = value
        if point.plain:
            self._judge(point, value, at, "")
            return
        conditioned, reason = point.spec.condition(value)
        if conditioned is None:
            point.stats.bad += 1
        self._judge(point, conditioned, at, reason)

    def _judge(self, point: Point, value: Value | None, at: int, reason: str) -> None:
        """Show a value, or bad quality, to the alarms of its point: one step."""
        changed = None
        point.at = at
        if value is None:
            point.good = False
            point.reason = reason
            changed = [alarm for alarm in point.alarms if alarm.on_bad(at, reason, self._report)]
        else:
            point.good = True
            point.value = value
            point.last_good_at = at
            for alarm in point.alarms:
                if alarm.on_value(value, at, self._report):
                    changed = [*(changed or ()), alarm]
        if changed:
            self._settle(changed, at)

    def _serve(self, limit: int) -> None:
        """Serve what falls due up to `limit`, instant by instant: alarms first, then levels that have settled."""
        while self._next <= limit:
            at = self.now = max(self._next, self.now)
            due = self._timers.pop(at)
            for alarm in due:
                alarm.advance(at, self._report)
            self._settle(due, at)
            for point in self._levels.pop(at):
                point.settled = True
                if point.level is not None:
                    self._accept(point, point.level, at)
            self._plan()

    def _settle(self, touched: list[Alarm], at: int) -> None:
        """End a step: all states have changed, now the calls are decided."""
        calling = [alarm for alarm in touched if alarm.settings.call and alarm.call_due(at)]
        if calling or self.desk.recheck_at(at) <= at:
            touched = [*touched, *self.desk.decide(calling, at, self._report)]
        for alarm in touched:
            self._timers.schedule(alarm)
        self._plan()

    def _report(self, event: Event) -> None:
        self._events.append(event)
        self._dirty[self.alarms[event.alarm, event.instance]] = None

    def _plan(self) -> None:
        self._next = min(self._timers.next_at(), self._levels.next_at(), self.desk.recheck_at(self.now))
