"""What hypothesis draws to try the engine: configurations of every test and option, and scripts that go with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, cast

from hypothesis import strategies as st

from edge_agent.core.engine import EngineSettings
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading, Value, point_name, split_point
from edge_agent.core.schedules import Schedule
from edge_agent.core.settings import AlarmSettings
from tests.unit.engine_steps import Ack, Clock, Shelve, Step, Trigger, Unshelve

LAST_STEP = 60
END = 110
"""Units of time: the last step of a script, and the end of a play."""
_YEARS = 10 * 366 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """A schedule that opens and closes again and again: as `Schedule`, but on any grid."""

    period: int
    opens: int
    closes: int

    def is_open(self, wall: int) -> bool:
        """Return whether it is open at an instant."""
        return self.opens <= wall % self.period < self.closes

    def next_change(self, wall: int) -> int | None:
        """Return the first instant after this one at which it opens or closes."""
        start = wall - wall % self.period
        return min(
            at for turn in (0, self.period) for edge in (self.opens, self.closes) if (at := start + turn + edge) > wall
        )

    def describe(self) -> str:
        """Return it for people."""
        return f"{self.opens} to {self.closes} of {self.period}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A configuration, a script for it, and the grid on which all their times lie."""

    config: EngineSettings
    script: list[Step]
    unit: int

    @property
    def until(self) -> int:
        """Return the end of the play."""
        return END * self.unit

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001 - hypothesis's protocol
        """Print what was drawn as a person would write it."""
        assert not cycle
        printer.text(str(self))

    def __str__(self) -> str:
        alarms = [f"  {name} {_brief(each)}" for name, each in self.config.alarms.items()]
        sources = [f"  {name} {spec}" for name, spec in self.config.sources.items()]
        steps = [f"  {step.at / self.unit:g}: {step}" for step in self.script]
        return "\n".join([f"unit {self.unit}, budgets {self.config.budgets}", *alarms, *sources, *steps])


def _brief(alarm: AlarmSettings) -> dict[str, Any]:
    return alarm.model_dump(exclude_defaults=True, by_alias=True, mode="json")


NUMBERS = [12, 4.5, 5.5, 10, 5, -5, 0, 6, 7, 8, 9, 10.5, 11, 30]
TEXTS = ["on", "off", "", "error 7", "ON"]
KINDS = {
    "s": "number",
    "m": "number",
    "f.t": "number",
    "f.p": "boolean",
    "g.t": "number",
    "g.p": "text",
    "d": "boolean",
}
WILD = ["m", "g.t", "g.p"]
INPUTS = [*KINDS, "m[x]", "g[x].t", "s.online", "m.online"]


_LIMIT, _DEADBAND = st.sampled_from([5, 10]), st.sampled_from([0, 0, 1, 2.5])
_WITHIN = st.sampled_from([2, 7, 20])
_NUMERIC = st.one_of(
    st.fixed_dictionaries({"above": _LIMIT, "deadband": _DEADBAND}),
    st.fixed_dictionaries({"below": _LIMIT, "deadband": _DEADBAND}),
    st.fixed_dictionaries({"outside": st.just([4, 11]), "deadband": _DEADBAND}),
    st.fixed_dictionaries({"inside": st.just([5, 8]), "deadband": _DEADBAND}),
    st.fixed_dictionaries({"rises_by": st.just(4), "within": _WITHIN}),
    st.fixed_dictionaries({"falls_by": st.just(4), "within": _WITHIN}),
)
_EQUAL = [{"is": 5}, {"is": True}, {"is": "on"}, {"is_not": 10}, {"is_not": False}, {"is_not": "off"}]
_ANYTHING = st.sampled_from([*_EQUAL, {"changes": True}, {"changes": True}, *({"silent_for": n} for n in (3, 8, 20))])
_TRIPS = st.fixed_dictionaries({"trips": st.sampled_from([2, 1, 3]), "within": st.sampled_from([9, 4, 20])})
_MATCHES = st.sampled_from([{"matches": "on"}, {"matches": "(?i)^on$"}, {"matches": "error [0-9]"}])
_OF_KIND: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "number": st.one_of(_NUMERIC, _ANYTHING),
    "boolean": st.one_of(_TRIPS, _TRIPS, st.just({"is": True}), _ANYTHING),
    "text": st.one_of(_MATCHES, _ANYTHING),
}
WINDOWED = ("rises_by", "falls_by", "trips", "changes", "silent_for")
"""Tests that look at more than the last reading."""


def kind_of(point: str) -> str:
    """Return the type that a point's values mostly have."""
    source, _, part = split_point(point)
    return KINDS.get(source if part is None else f"{source}.{part}", "boolean")


def _condition(test: dict[str, Any], name: str) -> dict[str, Any]:
    return {"input": name, **test}


def _conditions(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from([name for name in INPUTS if kind_of(name) == kind])
    return st.builds(_condition, _OF_KIND[kind], names)


CONDITIONS = st.one_of(
    _conditions("number"),
    _conditions("number"),
    _conditions("boolean"),
    _conditions("text"),
    st.builds(_condition, st.one_of(_NUMERIC, _TRIPS, _MATCHES), st.sampled_from(INPUTS)),
)
"""One condition as in the configuration, durations in units; now and then on values of the wrong type."""
LATEST = CONDITIONS.filter(lambda made: not set(made) & set(WINDOWED))
"""Those that look at the last reading only."""
_OPTIONS = st.fixed_dictionaries(
    {
        "call": st.sampled_from([["r"], ["r"], ["r", "q"], ["q", "r"], []]),
        "on_delay": st.sampled_from([0, 0, 1, 2, 5]),
        "off_delay": st.sampled_from([0, 0, 1, 3, 8]),
        "cooldown": st.sampled_from([0, 0, 5, 15]),
        "latching": st.sampled_from([False, False, False, True]),
        "priority": st.sampled_from(["high", "medium", "low"]),
        "schedule": st.sampled_from([None, None, None, "x", "y"]),
        "on_bad": st.sampled_from(["hold", "raise", "clear"]),
        "enabled": st.sampled_from([*[True] * 20, False]),
    }
)
_REPEATS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"repeat": st.sampled_from([2, 3, 7]), "max_repeats": st.sampled_from([None, None, 0, 1, 2])}
    ),
)
_GROUPS = st.sampled_from(["one", "one", "one", "all", "any"])

NO_POINTS = ["nowhere", "nowhere.online", "m", "g", "g.t", "f", "f.x", "f[x].t", "s.t", "s[x]", "g[x]", "m[x].t"]
"""Names that a value can't be of; some of them can be of a bad frame."""


def mixed(made: dict[str, Any]) -> bool:
    """Return whether an alarm has conditions with instances beside such without.

    A new instance of such an alarm looks at the last reading of a point that it has no memory of.
    """
    wild = [term["input"] in WILD for term in (*made.get("all", ()), *made.get("any", ()))]
    return any(wild) and not all(wild)


def _alarm(group: str, terms: list[dict[str, Any]], options: dict[str, Any], repeats: dict[str, Any]) -> dict[str, Any]:
    """Return an alarm as in the configuration, durations in units."""
    made = options | repeats | (terms[0] if group == "one" else {group: terms})
    if any("changes" in term for term in terms):
        made["on_delay"] = 0
    return made


def _alarms(conditions: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(_alarm, _GROUPS, st.lists(conditions, min_size=1, max_size=3), _OPTIONS, _REPEATS)


_EVERY_ALARM, _LATEST_ALARM = _alarms(CONDITIONS), _alarms(LATEST).filter(lambda made: not mixed(made))
_DURATIONS = ("on_delay", "off_delay", "cooldown", "repeat", "within", "silent_for")


def in_seconds(made: Mapping[str, Any], unit: int) -> dict[str, Any]:
    """Return an alarm or condition whose durations were written in units."""
    scaled = {key: each * unit / 1_000_000 if key in _DURATIONS and each else each for key, each in made.items()}
    return scaled | {key: [in_seconds(term, unit) for term in made[key]] for key in ("all", "any") if key in made}


_CONDITIONED = st.builds(
    SourceSpec,
    reject=st.sampled_from([(), (5.0,)]),
    scale=st.sampled_from([1.0, 2.0, 0.5]),
    offset=st.sampled_from([0.0, 1.0]),
    min=st.sampled_from([None, 0.0]),
    max=st.sampled_from([None, 12.0]),
    smooth=st.sampled_from([None, ("median", 3), ("median", 4), ("mean", 2), ("mean", 4)]),
)
_SMOOTH: st.SearchStrategy[tuple[Literal["median", "mean"], int] | None] = st.sampled_from([None, None, ("median", 3)])
_SHORT = st.integers(1, 3)


@st.composite
def configurations(draw: st.DrawFn, unit: int, *, plain: bool) -> EngineSettings:
    """Return settings of one to four alarms; `plain`: nothing looks at more than the last reading."""
    made = draw(st.lists(_LATEST_ALARM if plain else _EVERY_ALARM, min_size=1, max_size=4))
    downward, by = draw(st.booleans()), draw(st.lists(st.integers(0, 3), max_size=3))
    for place, alarm in enumerate(made):
        others = range(place) if downward else range(place + 1, len(made))
        alarm["inhibited_by"] = [f"a{each}" for each in others if each in by]
    models = {f"a{place}": AlarmSettings.model_validate(in_seconds(alarm, unit)) for place, alarm in enumerate(made)}
    budgets = {
        "r": (draw(st.sampled_from([0, 1, 2, 3])), draw(st.sampled_from([4, 10, 20])) * unit),
        "q": (draw(st.sampled_from([0, 1])), 6 * unit),
    }
    sources = {
        "s": SourceSpec() if plain else draw(_CONDITIONED),
        "m": SourceSpec(instances=True, smooth=None if plain else draw(_SMOOTH)),
        "f": SourceSpec(("t", "p")),
        "g": SourceSpec(("t", "p"), instances=True),
        "d": SourceSpec(debounce=0 if plain else draw(_SHORT) * unit),
    }
    windows = {"x": Window(20 * unit, 3 * unit, 9 * unit), "y": Window(50 * unit, 10 * unit, 40 * unit)}
    return EngineSettings(sources, models, budgets, cast("Mapping[str, Schedule]", windows))


def points_of(config: EngineSettings) -> list[str]:
    """Return the points that alarms look at, two instances of those with wildcards."""
    points = []
    for alarm in config.alarms.values():
        for term in alarm.conditions:
            source, instance, part = split_point(term.input)
            wild = config.sources[source].instances and instance is None and part != "online"
            points += [point_name(source, part, each) for each in "xy"] if wild else [term.input]
    return list(dict.fromkeys(points))


_TIMES = st.integers(0, LAST_STEP)
_READINGS = st.lists(
    st.tuples(
        st.sampled_from([1, 0, 1, 2, 2, 3, 4, 9]),
        st.integers(0, 11),
        st.integers(0, 11),
        st.sampled_from(NUMBERS),
        st.sampled_from([True, False]),
        st.sampled_from(TEXTS),
    ),
    max_size=12,
)


def _reading(drawn: tuple[int, int, int, Value, bool, str], points: list[str], at: int) -> Reading:
    """Return a reading of one of these points: mostly of its type, else of another, bad, or a whole bad frame."""
    _, which, how, a_number, a_boolean, a_text = drawn
    point = points[which % len(points)]
    of_kind: dict[str, Value] = {"number": a_number, "boolean": a_boolean, "text": a_text}
    value: Value | None = of_kind[kind_of(point)]
    source, instance, _ = split_point(point)
    if point == "d":
        return Reading(point, value, at)  # a level is never bad
    if how == 8:
        value = list(of_kind.values())[which % 3]
    elif how == 9:
        point, value = point_name(source, None, instance), None
    elif how == 10:
        value = None
    elif how == 11:
        point = NO_POINTS[which % len(NO_POINTS)]
    return Reading(point, value, at)


_COMMANDS = st.lists(
    st.tuples(
        _TIMES,
        st.integers(0, 7),
        st.integers(0, 3),
        st.sampled_from([None, None, "x", "y"]),
        st.integers(1, 30),
        st.sampled_from([0, 1, -1]),
    ),
    max_size=8,
)


def _command(drawn: tuple[int, int, int, str | None, int, int], names: list[str], unit: int) -> Step:
    """Return what a person does, or the clock, or another call of a rule."""
    at, how, which, instance, units, years = drawn
    alarm = names[which % len(names)]
    match how:
        case 0 | 1 | 2:
            return Ack(alarm, instance, at * unit)
        case 3 | 4:
            return Shelve(alarm, instance, (at + units) * unit, at * unit)
        case 5:
            return Unshelve(alarm, instance, at * unit)
        case 6:
            return Trigger("r" if which else "q", at * unit)
        case _:
            return Clock(units * unit + years * _YEARS, which > 0, at * unit)


@st.composite
def scenarios(draw: st.DrawFn, *, plain: bool = False, tame: bool = False) -> Scenario:
    """Return a configuration with a script; `plain`: as for configurations; `tame`: readings only."""
    unit = draw(st.sampled_from([100_000, 10_000_000, 20_000_000]))
    config = draw(configurations(unit, plain=plain))
    points = points_of(config)
    drawn = [each for _ in range(5) for each in draw(_READINGS)]
    times = accumulate(each[0] for each in drawn)
    script: list[Step] = [
        _reading(each, points, at * unit) for each, at in zip(drawn, times, strict=True) if at <= LAST_STEP
    ]
    if not tame:
        script += [_command(each, list(config.alarms), unit) for each in draw(_COMMANDS)]
    return Scenario(config, sorted(script, key=lambda step: step.at), unit)
