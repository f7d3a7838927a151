"""Field types that the configuration models of all rooms share: durations, names, and keys that come later."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

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


_WORDS = {"description": 'A duration: "250ms", "30s", "5m", "2h", "1d", "1h30m", or a number of seconds'}
_FORM = r"([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
_ZERO_FORM = r"(0+(\.0+)?(ms|s|m|h|d))+$"
DURATION_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "string", "pattern": f"^{_FORM}"}, {"type": "number", "minimum": 0}]
} | _WORDS
POSITIVE_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "string", "pattern": f"^(?!{_ZERO_FORM}){_FORM}"}, {"type": "number", "exclusiveMinimum": 0}]
} | _WORDS
ZERO_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "string", "pattern": f"^{_ZERO_FORM}"}, {"const": 0}]}

Duration = Annotated[int, BeforeValidator(parse_duration), WithJsonSchema(DURATION_SCHEMA)]
"""Microseconds; 0 allowed."""
PositiveDuration = Annotated[int, BeforeValidator(parse_positive_duration), WithJsonSchema(POSITIVE_SCHEMA)]
"""Microseconds; more than 0."""

NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
"""A local name of a source, field, alarm, rule or broker."""


class Settings(BaseModel):
    """The base of every table's model: strict types, unknown keys refused, frozen.

    `later` names keys whose behaviour this version does not have, `later_values` such values of keys that it has:
    they are refused as "not supported in this version", never silently ignored.

    A validator's message reads "what is wrong; what would be right", several of them one a line. One of a whole
    table begins with the key that it is about, if it is about one ("deadband does not apply to is; …").
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    later: ClassVar[frozenset[str]] = frozenset()
    later_values: ClassVar[Mapping[str, tuple[object, ...]]] = {}

    def replaced(self, **changes: Any) -> Self:
        """Return a copy with some values changed."""
        return self.model_copy(update=changes)


def format_duration(micros: int) -> str:
    """Return a duration as people write it: "5m", "1h30m", "250ms"."""
    if micros < SECOND:
        return f"{micros / 1000:g}ms"
    parts = []
    for unit in ("d", "h", "m"):
        count, micros = divmod(micros, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    if micros:
        parts.append(f"{micros / SECOND:g}s")
    return "".join(parts)
