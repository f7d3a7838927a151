"""Times as people and scripts read them."""

from datetime import datetime, tzinfo

MILLION = 1_000_000
DELAY_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
"""Upper bounds of the histogram from alarm to placed."""


def iso(wall: int, zone: tzinfo) -> str:
    """Return Unix microseconds as RFC 3339 in a zone, with milliseconds and offset: 2026-01-31T09:05:00.000+09:00."""
    seconds, micros = divmod(wall, MILLION)
    return datetime.fromtimestamp(seconds, zone).replace(microsecond=micros).isoformat(timespec="milliseconds")
