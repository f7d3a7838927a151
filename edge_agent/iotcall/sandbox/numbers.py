"""A rule's phone numbers: the form of endpoint 3 as the service takes it, and the numbers as they are dialled."""

import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from urllib.parse import parse_qsl

_FIELDS = ("tel", "group", "check", "international_prefix_id")
_NAME = re.compile(r"call_to_tels\[(0|[1-9][0-9]{0,3})\]\[(tel|group|check|international_prefix_id)\]")
_DIGITS = re.compile(r"[0-9]+")
_POSITIVE = re.compile(r"[1-9][0-9]*")
_CODES = (81, 1, 54, 44, 39, 91, 62, 20, 61, 31, 1, 82, 30, 1, 57, 966, 65, 41, 46, 34)
"""Country codes by their place in the console's list, from 1."""
_ITALY = 39
_MIN_SEVERAL = 2


class RuleKind(StrEnum):
    """How a rule phones its numbers (the manual's 発信種別)."""

    NORMAL = "normal"
    ALL = "all"
    ALL_UNTIL_ONE = "all-until-one"
    ROUND_ROBIN = "round-robin"
    ROUND_ROBIN_9 = "round-robin-9"


class FormError(ValueError):
    """A form that the service refuses; the text is its message."""


@dataclass(frozen=True, slots=True)
class Number:
    """One phone number of a rule, in the words of the form, all of them strings."""

    tel: str
    group: str = "1"
    check: str = "1"
    international_prefix_id: str = "1"

    def e164(self) -> str:
        """Return the number as the logs show it; a country past the known list is taken for Japan."""
        place = int(self.international_prefix_id)
        code = _CODES[place - 1] if place <= len(_CODES) else _CODES[0]
        return f"+{code}{self.tel if code == _ITALY else self.tel.removeprefix('0')}"

    def as_json(self) -> dict[str, str]:
        """Return the four fields."""
        return asdict(self)


def parse_form(body: bytes) -> tuple[Number, ...]:
    """Return the numbers of a form; FormError for unknown names, gaps, missing or repeated fields, and non-digits."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict")
    except ValueError:
        raise FormError("the body is no form") from None
    groups: dict[int, dict[str, str]] = {}
    for name, value in pairs:
        found = _NAME.fullmatch(name)
        if found is None:
            raise FormError(f"unknown field {name[:60]}")
        fields = groups.setdefault(int(found[1]), {})
        if found[2] in fields:
            raise FormError(f"{name} stands twice")
        fields[found[2]] = value
    if sorted(groups) != list(range(len(groups))):
        raise FormError("the index must run from 0 without gaps")
    return tuple(_number(index, groups[index]) for index in sorted(groups))


def _number(index: int, fields: dict[str, str]) -> Number:
    for name in _FIELDS:
        if name not in fields:
            raise FormError(f"call_to_tels[{index}][{name}] is missing")
    if not _DIGITS.fullmatch(fields["tel"]):
        raise FormError(f"call_to_tels[{index}][tel] must be digits only")
    if fields["check"] not in ("0", "1"):
        raise FormError(f"call_to_tels[{index}][check] must be 0 or 1")
    for name in ("group", "international_prefix_id"):
        if not _POSITIVE.fullmatch(fields[name]):
            raise FormError(f"call_to_tels[{index}][{name}] must be a number from 1")
    return Number(**fields)


def check_count(kind: RuleKind, numbers: tuple[Number, ...]) -> None:
    """Raise FormError where a rule of this kind needs more numbers."""
    if kind is not RuleKind.NORMAL and len(numbers) < _MIN_SEVERAL:
        raise FormError(f"a rule of type {kind} needs two numbers or more")
