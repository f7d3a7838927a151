"""Instants as people and scripts read them."""

from datetime import datetime, tzinfo

MILLION = 1_000_000


def iso(wall: int, zone: tzinfo) -> str:
    """Return Unix microseconds as RFC 3339 in a zone, with milliseconds and offset: 2026-01-31T09:05:00.000+09:00."""
    seconds, micros = divmod(wall, MILLION)
    return datetime.fromtimestamp(seconds, zone).replace(microsecond=micros).isoformat(timespec="milliseconds")
