"""The models of `[alarms.NAME]` and `[schedules.NAME]`: what the engine is told to do."""

import re
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from edge_agent.core.fields import NAME_PATTERN, Duration, Name, PositiveDuration, Settings
from edge_agent.core.reading import number


class Priority(StrEnum):
    """The order in which waiting calls go out."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """Return 0 for the most urgent."""
        return list(Priority).index(self)


class OnBad(StrEnum):
    """What a reading of bad quality does to a condition."""

    HOLD = "hold"
    RAISE = "raise"
    CLEAR = "clear"


def _finite(value: object) -> object:
    if isinstance(value, int | float) and number(value) is None:
        raise ValueError("must be a finite number")
    return value


def _names(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Limit = Annotated[float, BeforeValidator(_finite)]
Range = Annotated[tuple[Limit, Limit], Field(strict=False)]
_NAME_SCHEMA = {"type": "string", "pattern": NAME_PATTERN, "maxLength": 64}
_NAMES_SCHEMA = {"anyOf": [_NAME_SCHEMA, {"type": "array", "items": _NAME_SCHEMA, "uniqueItems": True}]}
Names = Annotated[
    tuple[Name, ...], BeforeValidator(_names), Field(strict=False), WithJsonSchema(_NAMES_SCHEMA, mode="validation")
]
"""One name, or a list of them."""

TESTS = (
    *("above", "below", "outside", "inside", "is", "is_not", "matches"),
    *("rises_by", "falls_by", "silent_for", "changes", "trips"),
)
NUMERIC_TESTS = ("above", "below", "outside", "inside", "rises_by", "falls_by")
"""Those that only a number can fulfil."""
WITH_DEADBAND = ("above", "below", "outside", "inside")
"""Those whose end a deadband moves."""
WITHIN = ("rises_by", "falls_by", "trips")
"""Those that look back over a time."""
_Above0 = Annotated[Limit, Field(gt=0)]


def _exactly(number: float) -> Decimal:
    """Return a number as it was written: 0.3 - 0.1 is 0.2."""
    return Decimal(repr(number))


def _pattern(value: object) -> object:
    if isinstance(value, str):
        try:
            re.compile(value)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"is no regular expression: {error}; try it with Python's re.search") from None
    return value


class TestSettings(Settings):
    """The tests that a condition can have, and what goes with some of them."""

    __test__ = False  # pytest: this is no test

    or_else: ClassVar[str] = ""
    """What may stand there instead of its own test."""

    above: Limit | None = None
    below: Limit | None = None
    outside: Range | None = None
    inside: Range | None = None
    is_: bool | Limit | str | None = Field(default=None, alias="is")
    is_not: bool | Limit | str | None = None
    matches: Annotated[str, BeforeValidator(_pattern)] | None = None
    rises_by: _Above0 | None = None
    falls_by: _Above0 | None = None
    silent_for: PositiveDuration | None = None
    changes: Literal[True] | None = None
    trips: Annotated[int, Field(ge=1, le=10_000)] | None = None
    within: PositiveDuration | None = None
    deadband: Annotated[Limit, Field(ge=0)] = 0.0

    def tests(self) -> list[str]:
        """Return the names of the tests that are given, as in the configuration."""
        return [name for name in TESTS if self.limit(name) is not None]

    def limit(self, test: str) -> object:
        """Return what stands at a test's key, or None."""
        limit: object = getattr(self, "is_" if test == "is" else test)
        return limit

    def test_problems(self) -> list[str]:
        """Return what is wrong with the one test that there must be, and with what goes with it."""
        tests = self.tests()
        problems = []
        if len(tests) != 1:
            found = f"has {' and '.join(tests)}" if tests else "has no test"
            problems.append(f"{found}; give exactly one of {', '.join(TESTS)}{self.or_else}")
        for name in ("outside", "inside"):
            limits = self.limit(name)
            if not isinstance(limits, tuple):
                continue
            width = _exactly(limits[1]) - _exactly(limits[0])
            if width < 0:
                problems.append(f"{name} has its low limit above its high one; write [low, high]")
            elif name == "outside" and 2 * _exactly(self.deadband) > width:
                problems.append("deadband is too large: outside could never end; at most half of high - low")
        if len(tests) == 1:
            problems += self._problems_beside(tests[0])
        return problems

    def _problems_beside(self, test: str) -> list[str]:
        problems = []
        if self.deadband and test not in WITH_DEADBAND:
            problems.append(f"deadband does not apply to {test}; it serves {', '.join(WITH_DEADBAND)}")
        if self.within is not None and test not in WITHIN:
            problems.append(f"within does not apply to {test}; it serves {', '.join(WITHIN)}")
        if self.within is None and test in WITHIN:
            problems.append(f'{test} needs within; for example within = "10m"')
        return problems


class ConditionSettings(TestSettings):
    """One test on one input: an entry of `all` or `any`."""

    input: str

    def test(self) -> str:
        """Return the name of its test, as in the configuration."""
        return self.tests()[0]

    @model_validator(mode="after")
    def _consistent(self) -> "ConditionSettings":
        problems = self.test_problems()
        if problems:
            raise ValueError("\n".join(problems))
        return self


Conditions = Annotated[tuple[ConditionSettings, ...], Field(strict=False, min_length=1)]


class AlarmSettings(TestSettings):
    """An alarm: one test on one input, or several in `all` or `any`, its delays, and the IoTCall rules it triggers."""

    input: str | None = None
    all: Conditions | None = None
    any: Conditions | None = None
    or_else: ClassVar[str] = ", or several conditions in all or any"
    on_delay: Duration = 0
    off_delay: Duration = 0
    call: Names = ()
    repeat: PositiveDuration | None = None
    max_repeats: Annotated[int, Field(ge=0)] | None = None
    cooldown: Duration = 0
    latching: bool = False
    priority: Annotated[Priority, Field(strict=False)] = Priority.MEDIUM
    schedule: Name | None = None
    inhibited_by: Names = ()
    cancel_on_clear: bool = False
    on_bad: Annotated[OnBad, Field(strict=False)] = OnBad.HOLD
    enabled: bool = True
    description: str = ""

    @property
    def conditions(self) -> tuple[ConditionSettings, ...]:
        """Return its conditions, also where there is only its own."""
        if self.input is None:
            return self.all or self.any or ()
        own = {name: getattr(self, name) for name in TestSettings.model_fields}
        return (ConditionSettings.model_construct(input=self.input, **own),)

    @model_validator(mode="after")
    def _consistent(self) -> "AlarmSettings":
        problems = self._problems()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _problems(self) -> list[str]:
        problems = self._condition_problems()
        if self.max_repeats is not None and self.repeat is None:
            problems.append('max_repeats needs repeat; for example repeat = "30m"')
        for key in ("call", "inhibited_by"):
            names: tuple[str, ...] = getattr(self, key)
            if len(set(names)) != len(names):
                problems.append(f"{key} has the same name twice; name each once")
        return problems

    def _condition_problems(self) -> list[str]:
        if self.all is None and self.any is None:
            problems = self.test_problems()
            if self.input is None:
                problems.append('input is missing; add input = "freezer", or several conditions in all or any')
        else:
            both = self.all is not None and self.any is not None
            problems = ["any stands beside all; give one of them"] if both else []
            group = "all" if self.all is not None else "any"
            beside = [name for name in ("input", *TESTS, "within") if self.limit(name) is not None]
            problems += [f"{name} stands beside {group}; write it into one of {group}'s conditions" for name in beside]
            if self.deadband:
                problems.append(f"deadband belongs to each condition; write it into those of {group}")
        entries = (*(self.all or ()), *(self.any or ()))
        if self.on_delay and (self.changes or [entry for entry in entries if entry.changes]):
            problems.append("on_delay does not go with changes, which is true for an instant only; remove on_delay")
        return problems


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_WORDS = (*WEEKDAYS, "daily", "weekends", "holidays", "workdays")
_TIME_PATTERN = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"


def _time_of_day(value: object) -> object:
    if not isinstance(value, str) or re.fullmatch(_TIME_PATTERN, value) is None:
        raise ValueError('is no time of day; write it like "18:00"')
    return value


TimeOfDay = Annotated[
    str, BeforeValidator(_time_of_day), WithJsonSchema({"type": "string", "pattern": _TIME_PATTERN}, mode="validation")
]
"""HH:MM, 00:00 to 24:00."""


def _day(value: object) -> object:
    words = value.split("-") if isinstance(value, str) else []
    known = (len(words) == 1 and words[0] in _DAY_WORDS) or (len(words) == 2 and set(words) <= set(WEEKDAYS))  # noqa: PLR2004
    if not known:
        raise ValueError(f'{value!r} is no day; use mon … sun, a range like "mon-fri", or {", ".join(_DAY_WORDS[7:])}')
    return value


def _holidays(value: object) -> object:
    if not isinstance(value, list | tuple):
        return value
    dates = []
    for item in value:
        try:
            dates.append(item if type(item) is date else date.fromisoformat(item))
        except (TypeError, ValueError):
            raise ValueError(f"{item!r} is no date; write dates like 2026-12-31") from None
    return tuple(dates)


class ScheduleSettings(Settings):
    """A weekly span of local time."""

    days: Annotated[tuple[Annotated[str, BeforeValidator(_day)], ...], Field(strict=False, min_length=1)] = ("daily",)
    from_: TimeOfDay | None = Field(default=None, alias="from")
    to: TimeOfDay | None = None
    holidays: Annotated[Literal["JP"] | tuple[date, ...], BeforeValidator(_holidays)] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "ScheduleSettings":
        if (self.from_ is None) != (self.to is None):
            raise ValueError('give both from and to, or neither for the whole day; for example from = "18:00"')
        if "holidays" in self.days and not self.holidays:
            raise ValueError('holidays has no dates, though days names them; add holidays = "JP", or a list of dates')
        return self
