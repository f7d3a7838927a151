"""The models of `[alarms.NAME]` and `[schedules.NAME]`: what the engine is told to do."""

import re
from collections.abc import Mapping
from datetime import date
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

TESTS = ("above", "below", "outside", "inside", "is", "is_not", "silent_for")
_WITH_DEADBAND = ("above", "below", "outside", "inside")


class AlarmSettings(Settings):
    """An alarm: one test on one input, its delays, and the IoTCall rules that it triggers."""

    later: ClassVar[frozenset[str]] = frozenset(
        {
            "matches",
            "rises_by",
            "falls_by",
            "within",
            "changes",
            "trips",
            "all",
            "any",
            "schedule",
            "inhibited_by",
        }
    )

    later_values: ClassVar[Mapping[str, tuple[object, ...]]] = {"latching": (True,), "cancel_on_clear": (True,)}

    input: str
    above: Limit | None = None
    below: Limit | None = None
    outside: Range | None = None
    inside: Range | None = None
    is_: bool | Limit | str | None = Field(default=None, alias="is")
    is_not: bool | Limit | str | None = None
    silent_for: PositiveDuration | None = None
    deadband: Annotated[Limit, Field(ge=0)] = 0.0
    on_delay: Duration = 0
    off_delay: Duration = 0
    call: Names = ()
    repeat: PositiveDuration | None = None
    max_repeats: Annotated[int, Field(ge=0)] | None = None
    cooldown: Duration = 0
    latching: Literal[False] = False
    priority: Annotated[Priority, Field(strict=False)] = Priority.MEDIUM
    cancel_on_clear: Literal[False] = False
    on_bad: Annotated[OnBad, Field(strict=False)] = OnBad.HOLD
    enabled: bool = True
    description: str = ""

    def test(self) -> str:
        """Return the name of the alarm's test, as in the configuration."""
        return next(name for name in TESTS if self.limit(name) is not None)

    def limit(self, test: str) -> object:
        """Return what stands at the test's key, or None."""
        limit: object = getattr(self, "is_" if test == "is" else test)
        return limit

    @model_validator(mode="after")
    def _consistent(self) -> "AlarmSettings":
        problems = self._problems()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _problems(self) -> list[str]:
        tests = [name for name in TESTS if self.limit(name) is not None]
        problems = []
        if len(tests) != 1:
            found = f"has {' and '.join(tests)}" if tests else "has no test"
            problems.append(f"{found}; give exactly one of {', '.join(TESTS)}")
        for name in ("outside", "inside"):
            limits = self.limit(name)
            if isinstance(limits, tuple) and limits[0] > limits[1]:
                problems.append(f"{name} has its low limit above its high one; write [low, high]")
            elif name == "outside" and isinstance(limits, tuple) and 2 * self.deadband > limits[1] - limits[0]:
                problems.append("deadband is too large: outside could never end; at most half of high - low")
        if self.deadband and len(tests) == 1 and tests[0] not in _WITH_DEADBAND:
            problems.append(f"deadband does not apply to {tests[0]}; it serves {', '.join(_WITH_DEADBAND)}")
        if self.max_repeats is not None and self.repeat is None:
            problems.append('max_repeats needs repeat; for example repeat = "30m"')
        if len(set(self.call)) != len(self.call):
            problems.append("call names the same rule twice; name each once")
        return problems


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_WORDS = (*_DAYS, "daily", "weekends", "holidays", "workdays")
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
    known = (len(words) == 1 and words[0] in _DAY_WORDS) or (len(words) == 2 and set(words) <= set(_DAYS))  # noqa: PLR2004
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
        return self
