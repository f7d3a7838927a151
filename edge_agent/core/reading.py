"""A reading: what every source produces and the engine consumes."""

import re
from collections.abc import Callable
from typing import NamedTuple

Value = float | int | bool | str
"""What a point can be: a number, a boolean or a text."""

_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MAX_EXACT_INT = 2**53
_MAX_NUMBER_LENGTH = 400


class Reading(NamedTuple):
    """A point's value at an instant. A named tuple, since hundreds of thousands of them are made in a flood.

    `at` is CLOCK_BOOTTIME in microseconds. `value` None is bad quality, with `reason` for people. A bad
    reading may name a whole source (`boiler`, `freezer[f1]`) whose frame could not be used: it is then bad for
    each of its fields, and counted once. `done` is called once what the reading led to is on disk.
    """

    point: str
    value: Value | None
    at: int
    reason: str = ""
    done: Callable[[], None] | None = None


def number(value: object) -> float | int | None:
    """Return `value` as a usable number, or None: NaN, infinity, booleans and what is too large are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        if -_MAX_EXACT_INT <= value <= _MAX_EXACT_INT:
            return value
        try:
            return float(value)
        except OverflowError:
            return None
    return value if value - value == 0.0 else None


def parse_number(text: str) -> float | int | None:
    """Return the decimal number that `text` is (white space around it allowed), or None.

    `1_000`, `0x1F`, `21,5`, `nan` and `inf` are no numbers.
    """
    text = text.strip()
    if len(text) > _MAX_NUMBER_LENGTH or _DECIMAL.fullmatch(text) is None:
        return None
    if text.lstrip("+-").isdigit():
        return number(int(text))
    return number(float(text))


def parse_value(text: str) -> Value | None:
    """Return what a bare text is: true/false in any case, a decimal number, else text; None: empty, nan, inf."""
    parsed = parse_number(text)
    if parsed is not None:
        return parsed
    word = text.strip().lower()
    if word in ("true", "false"):
        return word == "true"
    if word.lstrip("+-") in ("", "nan", "inf", "infinity") or _DECIMAL.fullmatch(word):
        return None
    return text


def point_name(source: str, field: str | None = None, instance: str | None = None) -> str:
    """Return a point's name: `door`, `boiler.temperature`, `freezer[f1]`, `freezer[f1].temperature`."""
    name = source if instance is None else f"{source}[{instance}]"
    return name if field is None else f"{name}.{field}"


def log_word(text: str | None) -> str:
    """Return a text as the value of a `key=value` in a log line: quoted where it could be taken for more than that."""
    if text is None:
        return "-"
    return text if text.isprintable() and text and not set(" =\"'") & set(text) else repr(text)


def split_point(name: str) -> tuple[str, str | None, str | None]:
    """Return (source, instance, field) of a point's name. An instance may hold any character, `]` and `.` too."""
    opening = name.find("[")
    closing = name.rfind("]")
    if 0 < opening < closing and (closing == len(name) - 1 or name[closing + 1] == "."):
        return name[:opening], name[opening + 1 : closing], name[closing + 2 :] or None
    source, dot, field = name.partition(".")
    return source, None, field if dot else None
