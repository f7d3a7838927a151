"""The alarm semantics once more, naive and slow, to compare the engine with: every instant of a grid is judged anew.

Nothing is clever here: whole histories are kept, and what holds at an instant is worked out from them by the words of
the definitions. All instants and durations of a configuration and its script must lie on the grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from edge_agent.core.engine import EngineSettings
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading, Value, split_point
from edge_agent.core.settings import AlarmSettings
from tests.unit.engine_steps import Ack, Clock, Happening, Shelve, Step, Trigger, Unshelve
from tests.unit.reference_conditions import Log, Term, kind, same

MINUTE = 60_000_000


@dataclass(slots=True)
class Instance:
    """One alarm instance and all that it went through."""

    name: str
    instance: str | None
    settings: AlarmSettings
    terms: list[Term]
    order: tuple[int, int, int]
    state: str = "normal"
    since: int = 0
    gone: int | None = None
    """When the condition of an active alarm ended, if it has."""
    acked: bool = False
    shelved_until: int | None = None
    raises: list[int] = field(default_factory=list)
    chattering_until: int | None = None
    called: list[int] = field(default_factory=list)
    """Its calls and repeats of earlier episodes."""
    calls: list[int] = field(default_factory=list)
    """Those of this episode."""
    asked: bool = False
    """The first call of this episode fell due."""
    repeats: int = 0
    owed: tuple[str, list[str]] | None = None
    counted: bool = False
    """The repeat that is owed was made in part already."""

    @property
    def active(self) -> bool:
        """Return whether it counts as raised."""
        return self.state in ("raised", "clearing")


class Model:
    """All alarms, stepped through the grid."""

    def __init__(
        self, config: EngineSettings, grid: int, *, start: int = 0, skew: int = 0, synced: bool = True
    ) -> None:
        self.config = config
        self.grid = grid
        self.start = start
        self.skew = skew
        self.synced = synced
        self.happened: list[Happening] = []
        self.logs: dict[str, Log] = {}
        self.levels: dict[str, tuple[Value, int, bool]] = {}
        self.triggers: list[tuple[str, int]] = []
        self.instances: dict[tuple[str, str | None], Instance] = {}
        for name, alarm in config.alarms.items():
            if alarm.enabled and not self._wild_alarm(name):
                self._appear(name, None)

    def play(self, script: Sequence[Step], until: int) -> list[Happening]:
        """Return what happens from the start up to an instant, which is not included."""
        assert all(step.at % self.grid == 0 for step in script)
        for now in range(self.start, until, self.grid):
            self._due(now)
            for point, (level, since, counted) in list(self.levels.items()):
                if not counted and now == since + self._spec(point).debounce:
                    self.levels[point] = (level, since, True)
                    self._read(now, [(point, level)])
            for step in script:
                if step.at == now:
                    self._take(step)
        return self.happened

    # --- points

    def _spec(self, point: str) -> SourceSpec:
        return self.config.sources[split_point(point)[0]]

    def _wild(self, name: str) -> bool:
        source, instance, part = split_point(name)
        return instance is None and part != "online" and self.config.sources[source].instances

    def _wild_alarm(self, name: str) -> bool:
        return any(self._wild(term.input) for term in self.config.alarms[name].conditions)

    def _log(self, point: str) -> Log:
        return self.logs.setdefault(point, Log())

    def _points(self, reading: Reading) -> list[str]:
        """Return the points that a reading is of: several for a bad frame, none for a name that is no point."""
        source, instance, part = split_point(reading.point)
        spec = self.config.sources.get(source)
        if spec is None:
            return []
        if part == "online" and instance is None:
            return [reading.point]
        if spec.instances != (instance is not None):
            return []
        assert spec.fields is not None
        if part is None and spec.fields and reading.value is None:
            return [f"{reading.point}.{each}" for each in spec.fields]
        return [reading.point] if (part in spec.fields if spec.fields else part is None) else []

    def _condition(self, point: str, raw: Value | None) -> Value | None:
        """Return a raw value after reject, scale and offset, min and max, smooth."""
        spec = self._spec(point)
        if raw is None or kind(raw) != "number" or split_point(point)[2] == "online":
            return raw
        value = float(raw)
        if value in spec.reject:
            return None
        value = value * spec.scale + spec.offset
        if (spec.min is not None and value < spec.min) or (spec.max is not None and value > spec.max):
            return None
        if spec.smooth is None:
            return value
        how, most = spec.smooth
        window = self._log(point).window
        window.append(value)
        last = sorted(window[-most:])
        middle = last[(len(last) - 1) // 2], last[len(last) // 2]
        return sum(middle) / 2 if how == "median" else sum(last) / len(last)

    # --- steps

    def _take(self, step: Step) -> None:
        match step:
            case Reading():
                self._raw(step)
            case Ack() | Shelve() | Unshelve():
                for each in list(self.instances.values()):
                    if each.name == step.alarm and step.instance in (None, each.instance):
                        self._command(each, step)
                self._judge(step.at)
                self._decide(step.at)
            case Trigger():
                self.triggers.append((step.rule, step.at))
            case Clock():
                self.skew, self.synced = step.skew, step.synced
                self._decide(step.at)

    def _raw(self, reading: Reading) -> None:
        points = self._points(reading)
        if not points:
            return
        value = reading.value
        if value is not None and self._spec(points[0]).debounce and not points[0].endswith(".online"):
            level = self.levels.get(points[0])
            if level is None or not same(level[0], value):
                self.levels[points[0]] = (value, reading.at, False)
                return
            if not level[2]:
                return
        self._read(reading.at, [(point, value) for point in points])

    def _read(self, at: int, values: list[tuple[str, Value | None]]) -> None:
        for point, raw in values:
            self._hear(at, point, self._condition(point, raw))
        self._judge(at)
        self._decide(at)
        pulsing = [term for each in self.instances.values() for term in each.terms if term.pulse]
        for term in pulsing:
            term.pulse = False
        if pulsing:
            self._judge(at)
            self._decide(at)

    def _hear(self, at: int, point: str, value: Value | None) -> None:
        log = self._log(point)
        log.readings.append((at, value))
        source, instance, part = split_point(point)
        wild_name = source if part is None else f"{source}.{part}"
        for name, alarm in self.config.alarms.items():
            if instance is not None and alarm.enabled and wild_name in [term.input for term in alarm.conditions]:
                self._appear(name, instance)
        for each in self.instances.values():
            for term in each.terms:
                if term.log is log:
                    term.hear(len(log.readings) - 1, active=each.active)

    def _appear(self, name: str, instance: str | None) -> None:
        """Begin an alarm instance; what it hears of the reading that made it, it hears once."""
        if (name, instance) in self.instances:
            return
        alarm = self.config.alarms[name]
        terms = []
        for term in alarm.conditions:
            wild = self._wild(term.input)
            point = term.input
            if wild:
                source, _, part = split_point(term.input)
                point = f"{source}[{instance}]" + (f".{part}" if part else "")
            log = self._log(point)
            terms.append(Term(term, alarm.on_bad, log, None if wild else self.start))
        order = (alarm.priority.rank, list(self.config.alarms).index(name), len(self.instances))
        self.instances[name, instance] = Instance(name, instance, alarm, terms, order, since=self.start)

    def _due(self, now: int) -> None:
        """Serve all that falls due at an instant: states first, then calls.

        What begins or ends by the passing of time is known first: who is clearing when silence comes back is not over.
        """
        for each in self.instances.values():
            if each.shelved_until is not None and now >= each.shelved_until:
                each.shelved_until = None
                self._say(now, "unshelved", each)
            if each.chattering_until is not None and now >= each.chattering_until:
                each.chattering_until = None
                self._say(now, "settled", each)
        self._judge(now)
        for each in self.instances.values():
            if each.state == "pending" and now >= each.since + each.settings.on_delay:
                self._raise(now, each)
            elif each.state == "clearing" and each.gone is not None and now >= each.gone + each.settings.off_delay:
                self._clear(now, each)
        self._decide(now)

    def _say(self, at: int, word: str, each: Instance, rule: str | None = None, why: str = "") -> None:
        self.happened.append(Happening(at, word, each.name, each.instance, rule, why))

    # --- states

    def _judge(self, now: int) -> None:
        for each in self.instances.values():
            terms = [term.holds(now, active=each.active) for term in each.terms]
            self._state(now, each, holds=any(terms) if each.settings.any is not None else all(terms))

    def _state(self, now: int, each: Instance, *, holds: bool) -> None:
        match each.state:
            case "normal" if holds and each.settings.on_delay:
                each.state, each.since = "pending", now
                self._say(now, "pending", each)
            case "normal" if holds:
                self._raise(now, each)
            case "pending" if not holds:
                each.state = "normal"
                self._say(now, "dropped", each)
            case "raised" if holds:
                each.gone = None
            case "raised":
                each.gone = now if each.gone is None else each.gone
                self._let_go(now, each)
            case "clearing" if holds:
                each.state, each.gone = "raised", None
                self._say(now, "resumed", each)

    def _let_go(self, now: int, each: Instance) -> None:
        """The condition of a raised alarm is gone: it clears, unless it is latched."""
        assert each.gone is not None
        if each.settings.latching and not each.acked:
            return
        if now >= each.gone + each.settings.off_delay:
            self._clear(now, each)
        else:
            each.state = "clearing"
            self._say(now, "clearing", each)

    def _raise(self, now: int, each: Instance) -> None:
        each.state, each.gone, each.acked = "raised", None, False
        each.called += each.calls
        each.calls, each.asked, each.repeats, each.owed, each.counted = [], False, 0, None, False
        each.raises.append(now)
        self._say(now, "raised", each)
        lately = [at for at in each.raises if at <= now < at + MINUTE]
        if each.chattering_until is not None:
            each.chattering_until = now + MINUTE
        elif len(lately) >= 3:
            each.chattering_until = now + MINUTE
            self._say(now, "chattering", each)

    def _clear(self, now: int, each: Instance) -> None:
        each.state, each.gone = "normal", None
        for term in each.terms:
            term.memory = term.strict
        self._say(now, "cleared", each)

    def _command(self, each: Instance, step: Ack | Shelve | Unshelve) -> None:
        match step:
            case Ack() if each.active and not each.acked:
                each.acked = True
                self._say(step.at, "acknowledged", each)
                if each.state == "raised" and each.gone is not None:
                    self._let_go(step.at, each)
            case Shelve() if each.shelved_until != step.until:
                each.shelved_until = step.until
                self._say(step.at, "shelved", each)
            case Unshelve() if each.shelved_until is not None:
                each.shelved_until = None
                self._say(step.at, "unshelved", each)

    # --- calls

    def _decide(self, now: int) -> None:
        for each in sorted(self.instances.values(), key=lambda each: each.order):
            if not each.active or each.acked:
                each.owed = None
                continue
            asks = self._asks(now, each)
            if asks is not None:
                self._call(now, each, *asks)

    def _asks(self, now: int, each: Instance) -> tuple[str, list[str], bool] | None:
        """Return what an alarm would do now: call or repeat, which rules, and whether that fell due just now."""
        alarm = each.settings
        if each.owed is not None:
            return *each.owed, False
        if not each.asked:
            each.asked = True
            return "call", list(alarm.call), True
        over = alarm.max_repeats is not None and each.repeats >= alarm.max_repeats
        if alarm.repeat is None or over or not each.calls or now < each.calls[-1] + alarm.repeat:
            return None
        each.counted = False
        return "repeat", list(alarm.call), True

    def _call(self, now: int, each: Instance, word: str, rules: list[str], fresh: bool) -> None:  # noqa: FBT001 - says what it is
        held = self._held(now, each, word)
        left = []
        for rule in rules:
            why = held or ("" if self._room(now, rule) else "budget")
            if why:
                left.append(rule)
                if fresh:
                    self._say(now, "suppressed", each, rule, why)
                continue
            self._say(now, word, each, rule)
            each.calls.append(now)
            self.triggers.append((rule, now))
            if word == "repeat" and not each.counted:
                each.counted = True
                each.repeats += 1
        each.owed = (word, left) if left else None

    def _held(self, now: int, each: Instance, word: str) -> str:
        """Return the first word of what holds back all rules of an alarm, or nothing."""
        alarm = each.settings
        if each.shelved_until is not None:
            return "shelved"
        if any(self._inhibits(name, each) for name in alarm.inhibited_by):
            return "inhibited"
        if alarm.schedule and self.synced and not self.config.schedules[alarm.schedule].is_open(now + self.skew):
            return "schedule"
        if word == "call" and each.called and now < each.called[-1] + alarm.cooldown:
            return "cooldown"
        if word == "call" and each.chattering_until is not None:
            return "chattering"
        return ""

    def _inhibits(self, name: str, each: Instance) -> bool:
        active = {other.instance for other in self.instances.values() if other.name == name and other.active}
        if each.instance is not None and self._wild_alarm(name):
            return each.instance in active
        return bool(active)

    def _room(self, now: int, rule: str) -> bool:
        most, per = self.config.budgets.get(rule, (0, 0))
        return not most or sum(each == rule and at <= now < at + per for each, at in self.triggers) < most
