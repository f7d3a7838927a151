"""Times as people and scripts read them."""

from datetime import UTC, datetime, timedelta, tzinfo

MILLION = 1_000_000
DELAY_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
"""Upper bounds of the histogram from alarm to placed."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = (datetime(1, 1, 3, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LAST = (datetime(9999, 12, 29, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def local(wall: int, zone: tzinfo) -> datetime:
    """Return Unix microseconds as a time in a zone; one beyond the years 1 to 9999 as their first or last days.

    By a timedelta, since `fromtimestamp` ends in 2038 where the machine's own time has 32 bits.
    """
    return (_EPOCH + timedelta(microseconds=max(_FIRST, min(wall, _LAST)))).astimezone(zone)


def nearest_iso(wall: int, zone: tzinfo) -> str:
    """Return the nearest millisecond of an instant that was reckoned from two clocks: 17:59:59.999998 is 18:00."""
    return iso(wall + 500, zone)


def iso(wall: int, zone: tzinfo) -> str:
    """Return Unix microseconds as RFC 3339 in a zone, with milliseconds and offset: 2026-01-31T09:05:00.000+09:00."""
    return local(wall, zone).isoformat(timespec="milliseconds")
