"""What the configuration lays out: points, and the alarm instances that look at them; some come by readings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edge_agent.core.alarm import Alarm
from edge_agent.core.events import AlarmRecord, TermMemory
from edge_agent.core.own import OWN_SOURCE
from edge_agent.core.points import Point, SourceSpec, SourceStats
from edge_agent.core.reading import point_name, split_point
from edge_agent.core.schedules import Schedule
from edge_agent.core.settings import AlarmSettings, ConditionSettings
from edge_agent.core.terms import Term

ONLINE = "online"
"""The field of the agent's own point `SOURCE.online`."""
_ONLINE_SPEC = SourceSpec()


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the engine is told to do."""

    sources: Mapping[str, SourceSpec] = field(default_factory=dict)
    alarms: Mapping[str, AlarmSettings] = field(default_factory=dict)
    budgets: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """{rule: (max_calls, per in microseconds)}"""
    schedules: Mapping[str, Schedule] = field(default_factory=dict)


class Layout:
    """Owns the points and the alarm instances.

    An alarm with a condition on a source with instances runs once for each: its conditions are matched by the
    instance's name, those on other points serve every instance.
    """

    def __init__(self, settings: EngineSettings, start: int) -> None:
        self.settings = settings
        self.points: dict[str, Point] = {}
        self.alarms: dict[tuple[str, str | None], Alarm] = {}
        self.stats = {name: SourceStats() for name in settings.sources}
        self.fresh: dict[Alarm, None] = {}
        """Alarm instances that came, or whose points came, by a reading that has not been judged yet."""
        self._own_stats = SourceStats()
        self._instances: dict[str, set[str]] = {name: set() for name in settings.sources}
        self._unread: dict[str, Point] = {}
        """Points of instances that no reading has come for: named, or of the name of another source's instance."""
        self._templates: dict[tuple[str, str | None], list[str]] = {}
        self.models: dict[str, list[Term | None]] = {}
        """{alarm with instances: of each of its conditions that serves all of them, what a new one begins with}"""
        self._order = {name: number for number, name in enumerate(settings.alarms)}
        self._inhibitors = {
            name for alarm in settings.alarms.values() if alarm.enabled for name in alarm.inhibited_by
        }  # fmt: skip
        for source in settings.sources:
            if source != OWN_SOURCE:
                online = point_name(source, ONLINE)
                self.points[online] = Point(online, _ONLINE_SPEC, self._own_stats)
        for name, alarm in settings.alarms.items():
            if alarm.enabled and self._is_complete(alarm):
                self._lay_out(name, alarm, start)
        self.fresh.clear()

    def _is_complete(self, alarm: AlarmSettings) -> bool:
        return all(split_point(each.input)[0] in self.settings.sources for each in alarm.conditions)

    def _lay_out(self, name: str, alarm: AlarmSettings, start: int) -> None:
        wild = [each for each in alarm.conditions if self._is_wild(each)]
        if not wild:
            self._add(name, None, start)
            return
        for each in wild:
            source, _, fld = split_point(each.input)
            names = self._templates.setdefault((source, fld), [])
            if name not in names:
                names.append(name)
        models = self.models[name] = []
        for each in alarm.conditions:
            model = None if self._is_wild(each) else self._term(each, alarm, self._named(each.input), None, start)
            models.append(model)

    def _is_wild(self, condition: ConditionSettings) -> bool:
        source, instance, fld = split_point(condition.input)
        return self.settings.sources[source].instances and instance is None and fld != ONLINE

    # Points -------------------------------------------------------------------------------------------------------

    def _named(self, name: str) -> Point:
        """Return a point that the configuration names."""
        source, instance, fld = split_point(name)
        if instance is not None and fld != ONLINE:
            self._instances[source].add(instance)
            point = self._awaited(name)
            point.met = True
            return point
        if name not in self.points:
            self.points[name] = Point(name, self.settings.sources[source], self.stats[source])
        return self.points[name]

    def _awaited(self, name: str) -> Point:
        """Return a point of an instance; alarms that have one for each come with its first reading."""
        if name in self.points:
            return self.points[name]
        if name not in self._unread:
            source = split_point(name)[0]
            point = self._unread[name] = Point(name, self.settings.sources[source], self.stats[source])
            point.met = False
        return self._unread[name]

    def meet(self, name: str, at: int) -> Point | None:
        """Return the point that a first reading is for, with its instances of alarms; None: beyond max_instances."""
        if name in self.points:
            return self.points[name]
        source, instance, fld = split_point(name)
        if instance is not None and not self._admit(source, instance):
            return None
        point = self._awaited(name)
        del self._unread[name]
        self.points[name] = point
        point.met = True
        for term in point.terms:
            term.start(at)
            if term.alarm is not None:
                self.fresh[term.alarm] = None
        for alarm in self._templates.get((source, fld), ()) if instance is not None else ():
            if (alarm, instance) not in self.alarms:
                self._add(alarm, instance, at)
        return point

    def _admit(self, source: str, instance: str) -> bool:
        known = self._instances[source]
        if instance not in known and len(known) >= self.settings.sources[source].max_instances:
            self.stats[source].refused += 1
            return False
        known.add(instance)
        return True

    def fields(self, source: str) -> Iterable[str]:
        """Return the names of a source's fields; of one whose fields are known only live, those seen so far."""
        fields = self.settings.sources[source].fields
        if fields is not None:
            return fields
        prefix = f"{source}."
        names = (name.removeprefix(prefix) for name in self.points if name.startswith(prefix))
        return [name for name in names if name != ONLINE]

    def refuses(self, name: str) -> str | None:
        """Return why there is no such point, in words; None where a reading of it would be taken."""
        source, instance, fld = split_point(name)
        spec = self.settings.sources.get(source)
        if spec is None:
            return f"no source is called {source!r}"
        if fld == ONLINE and instance is None and source != OWN_SOURCE:
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

    # Alarms -------------------------------------------------------------------------------------------------------

    def _add(self, name: str, instance: str | None, at: int) -> Alarm:
        settings = self.settings.alarms[name]
        alarm = Alarm(name, instance, settings, order=(self._order[name], len(self.alarms)), start=at)
        alarm.inhibits = name in self._inhibitors
        self.alarms[name, instance] = alarm
        models = self.models.get(name) or [None] * len(settings.conditions)
        for condition, model in zip(settings.conditions, models, strict=True):
            if model is not None:
                term = self._term(condition, settings, model.point, alarm, at)
                term.begin_as(model, at)
            else:
                source, named, fld = split_point(condition.input)
                if instance is None or named is not None:
                    point = self._named(condition.input)
                else:
                    point = self._awaited(point_name(source, fld, instance))
                term = self._term(condition, settings, point, alarm, at)
            alarm.add(term)
        self.fresh[alarm] = None
        return alarm

    @staticmethod
    def _term(
        condition: ConditionSettings, settings: AlarmSettings, point: Point, alarm: Alarm | None, at: int
    ) -> Term:  # fmt: skip
        term = Term(condition, settings.on_bad, point, alarm)
        (point.models if alarm is None else point.terms).append(term)
        if point.met:
            term.start(at)
        return term

    def recall(self, record: AlarmRecord, at: int) -> Alarm | None:
        """Return the alarm instance of a record, which may have to be made; None: the configuration lacks it."""
        settings = self.settings.alarms.get(record.alarm)
        if settings is None or not settings.enabled:
            return None
        key = (record.alarm, record.instance)
        if record.instance is not None and record.alarm in self.models:
            alarm = self.alarms.get(key) or self._add(record.alarm, record.instance, at)
            seen = [term.met for term in record.terms] if len(record.terms) == len(alarm.terms) else None
            for number, term in enumerate(alarm.terms):
                if not term.point.met and (seen is None or seen[number]):
                    self.meet(term.point.name, at)
        return self.alarms.get(key)

    def remind(self, alarm: Alarm, at: int) -> None:
        """Let instances to come begin with what a restored one remembers of the points that serve them all."""
        for model, term in zip(self.models.get(alarm.name, ()), alarm.terms, strict=False):
            if model is not None:
                model.restore(TermMemory(term.strict, term.strict, met=True), at)
