"""Field types that the configuration models of all rooms share: durations, names, and keys that come later."""

import re
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_MAX_DURATION = 100 * 366 * _UNITS["d"]
SECOND = _UNITS["s"]
"""One second in the microseconds that durations and instants are kept in."""


def parse_duration(value: object) -> int:
    """Return a duration in microseconds, from "250ms", "30s", "5m", "2h", "1d", "1h30m", or a number of seconds.

    Raises:
        ValueError: with what would be right.
    """
    micros: int | None = None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MAX_DURATION:
        micros = round(value * SECOND)
    elif isinstance(value, str) and value and "".join(number + unit for number, unit in _PART.findall(value)) == value:
        micros = sum(round(float(number) * _UNITS[unit]) for number, unit in _PART.findall(value))
    if micros is None or micros > _MAX_DURATION:
        raise ValueError(f'{value!r} is no duration; write it like "250ms", "30s", "5m", "2h", "1d" or "1h30m"')
    return micros


def parse_positive_duration(value: object) -> int:
    """Return a duration in microseconds that is more than 0."""
    micros = parse_duration(value)
    if micros == 0:
        raise ValueError("must be more than 0")
    return micros


_DURATION_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"},
        {"type": "number", "minimum": 0},
    ],
    "description": 'A duration: "250ms", "30s", "5m", "2h", "1d", "1h30m", or a number of seconds',
}

Duration = Annotated[int, BeforeValidator(parse_duration), WithJsonSchema(_DURATION_SCHEMA)]
"""Microseconds; 0 allowed."""
PositiveDuration = Annotated[int, BeforeValidator(parse_positive_duration), WithJsonSchema(_DURATION_SCHEMA)]
"""Microseconds; more than 0."""

NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
"""A local name of a source, field, alarm, rule or broker."""


class Settings(BaseModel):
    """The base of every table's model: strict types, unknown keys refused, frozen.

    `later` names keys of the contract whose behaviour this version does not have: they are refused as "not
    supported in this version", never silently ignored.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    later: ClassVar[frozenset[str]] = frozenset()

    def replaced(self, **changes: Any) -> "Settings":
        """Return a copy with some values changed."""
        return self.model_copy(update=changes)
