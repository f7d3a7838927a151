"""The tables of a test file: which keys there are, and what may stand at them."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, tzinfo
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from edge_agent.core.events import EventKind
from edge_agent.core.fields import SECOND, Duration, PositiveDuration, Settings
from edge_agent.core.reading import number

MINUTE = 60 * SECOND
_START_FORM = 'is no time; write it like 2026-01-01T09:00:00, or "2026-01-01T09:00:00+09:00"'
_MAX_UNIX_S = 253_402_000_000
"""The year 9999, where Python's calendar ends."""
_FIRST_YEAR = 1970
_LAST_YEAR = 9990
CALL_EVENTS = (EventKind.CALL, EventKind.REPEAT, EventKind.SUPPRESSED)
"""Those that are about an IoTCall rule."""
_NEVER = (
    *(EventKind.ACKNOWLEDGED, EventKind.SHELVED, EventKind.UNSHELVED),  # people's
    *(EventKind.REMOVED, EventKind.CLOCK),
)
EVENTS = tuple(str(kind) for kind in EventKind if kind not in _NEVER)
"""The words of the events that readings alone can lead to."""


def _start(value: object) -> datetime:
    """Return a point in time; without an offset it is meant in the agent's zone."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        elif number(value) is not None and isinstance(value, int | float) and 0 <= value < _MAX_UNIX_S:
            value = datetime.fromtimestamp(value, UTC)
    except ValueError:
        raise ValueError(_START_FORM) from None
    if not isinstance(value, datetime) or not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise ValueError(_START_FORM)
    return value


def unix_micros(start: datetime, zone: tzinfo) -> int:
    """Return a start as Unix time in microseconds."""
    return round((start if start.tzinfo else start.replace(tzinfo=zone)).timestamp() * SECOND)


class TestTable(Settings):
    """A `[[test]]`; its readings and what is expected are looked at one by one."""

    __test__ = False  # pytest: this is no test

    name: Annotated[str, Field(min_length=1)]
    interval: PositiveDuration = MINUTE
    start: Annotated[datetime, BeforeValidator(_start)] = datetime(2026, 1, 1)  # noqa: DTZ001 - in the agent's zone
    others: bool = False
    readings: dict[str, Any] = Field(default_factory=dict)
    expect: list[Any] = Field(default_factory=list)


class ExpectTable(Settings):
    """A `[[test.expect]]`."""

    at: Duration
    alarm: str
    event: str
    instance: str | None = None
    rule: str | None = None


def test_example() -> Mapping[str, Any]:
    """Return a right `[[test]]`, for hints."""
    return {"name": "a warm freezer calls", "interval": "1m", "start": "2026-01-01T09:00:00", "others": True}


def expect_example() -> Mapping[str, Any]:
    """Return a right `[[test.expect]]`, for hints."""
    return {"at": "15m", "alarm": "freezer-warm", "event": "raised", "instance": "f1", "rule": "pump"}
