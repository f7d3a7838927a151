"""What came of one attempt to trigger a rule: a value, never an exception."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Result(StrEnum):
    """What came back from one attempt; the words that `last_result` and the metrics show."""

    PLACED = "placed"
    REFUSED = "refused"
    NOT_IOTCALL = "not_iotcall"
    AUTH = "auth"
    RULE = "rule"
    BUSY = "busy"
    OFFLINE = "offline"
    AMBIGUOUS = "ambiguous"

    @property
    def reached(self) -> bool:
        """Return whether it was IoTCall itself that answered."""
        return self not in (Result.NOT_IOTCALL, Result.OFFLINE, Result.AMBIGUOUS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt's result, what to tell people (secrets and keys already shortened), and what the answer asked."""

    result: Result
    message: str
    retry_after_s: float | None = None
    """Seconds to wait at least, from Retry-After; None where there was none that can be used."""
    date: datetime | None = None
    """The answer's Date header."""
    clock_suspect: bool = False
    """TLS failed in a way that a wrong wall clock explains (a certificate not yet valid, or expired)."""
