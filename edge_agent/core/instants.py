"""Instants as people write them: ISO 8601 with Z, an offset or neither, or Unix seconds; Unix microseconds here."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NoReturn

from edge_agent.core.reading import number, parse_number
from edge_agent.core.times import MILLION, local

EARLIEST = -2_208_988_800 * MILLION
"""The year 1900."""
LATEST = 32_503_680_000 * MILLION
"""The year 3000: what is later was written in milliseconds."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SHOWN = 60
_EXAMPLE = "write it like 2026-01-31T09:00:00+09:00, or as Unix seconds"


def parse_instant(text: str, zone: tzinfo, after: int = EARLIEST) -> int:
    """Return the instant that a text names; without an offset it is in `zone`.

    Where a clock is set back, such a time happens twice: it is the first of the two, unless that is before `after`,
    the instant of the line before. One that a clock skips is read as if it had not been set forward yet.

    Raises:
        ValueError: with what would be right.
    """
    if text[4:5] != "-":  # not the usual 2026-01-31…
        found = parse_number(text)
        if found is not None:
            return unix_instant(found)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _lenient(text)
    if moment.tzinfo is None:
        return _local(moment, zone, after)
    at = (moment - _EPOCH) // _MICROSECOND
    return at if EARLIEST <= at <= LATEST else _far_away()


def parse_time(value: object, zone: tzinfo) -> int:
    """Return the instant that a text or a number (Unix seconds) of somebody's request names.

    Raises:
        ValueError: with what would be right.
    """
    return parse_instant(value, zone) if isinstance(value, str) else unix_instant(value)


def unix_instant(value: object) -> int:
    """Return the instant of Unix seconds, as in JSON.

    Raises:
        ValueError: it is no number, or too far away.
    """
    seconds = number(value)
    if seconds is None:
        raise ValueError(f"the time is no usable number and no text; {_EXAMPLE}")
    if not EARLIEST <= seconds * MILLION <= LATEST:
        raise ValueError(f"the time {seconds!r} is not of the years 1900 to 2999; Unix time is written in seconds")
    return round(seconds * MILLION)


def iso_micros(at: int, zone: tzinfo) -> str:
    """Return an instant as RFC 3339 in a zone, with microseconds and offset."""
    return local(at, zone).isoformat(timespec="microseconds")


def _lenient(text: str) -> datetime:
    """Read a time with blanks around it, or with RFC 3339's small t and z."""
    try:
        return datetime.fromisoformat(text.strip().upper())
    except ValueError:
        raise ValueError(f"the time {text[:_SHOWN]!r} is none; {_EXAMPLE}") from None


def _local(moment: datetime, zone: tzinfo, after: int) -> int:
    at = _in_zone(moment, zone)
    if at < after:
        at = max(at, _in_zone(moment.replace(fold=1), zone))
    return at


def _in_zone(moment: datetime, zone: tzinfo) -> int:
    at = (moment.replace(tzinfo=zone) - _EPOCH) // _MICROSECOND
    return at if EARLIEST <= at <= LATEST else _far_away()


def _far_away() -> NoReturn:
    raise ValueError("the time is not of the years 1900 to 2999")
