"""The ways in which the sandbox can be made to fail, by name."""

import contextlib
import math
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What goes wrong; the words of `--fault` and of the control door."""

    DOWN = "down"
    HANG = "hang"
    SLOW = "slow"
    DRIP = "drip"
    RESET = "reset"
    RESET_EARLY = "reset-early"
    LOST = "lost"
    TORN = "torn"
    REFUSED = "refused"
    EMPTY = "empty"
    GARBAGE = "garbage"
    HUGE = "huge"
    BOMB = "bomb"
    PORTAL = "portal"
    REDIRECT = "302"
    HTTP_400 = "400"
    HTTP_401 = "401"
    HTTP_403 = "403"
    HTTP_404 = "404"
    HTTP_407 = "407"
    HTTP_408 = "408"
    HTTP_425 = "425"
    HTTP_429 = "429"
    HTTP_500 = "500"
    HTTP_502 = "502"
    HTTP_503 = "503"

    @property
    def activates(self) -> bool:
        """Return whether the rule is triggered all the same: only the answer suffers."""
        return self in (FaultKind.SLOW, FaultKind.DRIP, FaultKind.TORN, FaultKind.LOST)

    @property
    def status(self) -> int | None:
        """Return the HTTP status that is all there is to this fault, or None."""
        return int(self.value) if self.value.isdecimal() else None


_SECONDS = {FaultKind.SLOW: 5.0, FaultKind.DRIP: 0.5, FaultKind.HTTP_429: 5.0}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, with its number of seconds: slow's delay, drip's gap between bytes, a busy status's Retry-After."""

    kind: FaultKind
    seconds: float | None = None

    @property
    def wait_s(self) -> float | None:
        """Return the seconds, or the kind's own default; None where it has none."""
        return _SECONDS.get(self.kind) if self.seconds is None else self.seconds

    @classmethod
    def parse(cls, text: str) -> "Fault | None":
        """Read `NAME` or `NAME=SECONDS`; "none" is None. ValueError, fit for people, for anything else."""
        name, equals, number = text.partition("=")
        if name == "none" and not equals:
            return None
        if name not in set(FaultKind):
            raise ValueError(f"there is no fault {name!r}; use none, {', '.join(FaultKind)}")
        return cls(FaultKind(name), seconds(number) if equals else None)

    def __str__(self) -> str:
        return self.kind if self.seconds is None else f"{self.kind}={self.seconds:g}"


def seconds(value: object) -> float:
    """Return a number of seconds, 0 or more; ValueError for anything else."""
    number = math.nan
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{value!r} is no number of seconds")
    return number
