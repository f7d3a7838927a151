"""What several commands for alarms say and understand: an alarm's name, an instant, a time that somebody typed."""

import re
from datetime import UTC, date, datetime, time, timedelta

import click

from edge_agent.cli import CliError
from edge_agent.config.words import clean
from edge_agent.core.fields import NAME_PATTERN
from edge_agent.core.instants import parse_time
from edge_agent.core.reading import split_point
from edge_agent.core.times import MILLION

_TIME_OF_DAY = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?")


def named(alarm: str, instance: str | None) -> str:
    """Return an alarm instance as people write it: `freezer-warm[f1]`."""
    return alarm if instance is None else f"{alarm}[{instance}]"


def alarm_of(alarm: str, instance: str | None) -> tuple[str, str | None]:
    """Return (alarm, instance) of a command's two arguments; the first may be `freezer-warm[f1]` by itself.

    Raises:
        CliError: it is no alarm's name.
    """
    name, inner, field = split_point(alarm)
    if inner is not None and instance is None and field is None:
        alarm, instance = name, inner
    if re.fullmatch(NAME_PATTERN, alarm) is None:
        raise CliError(clean(f"no alarm is called {alarm!r}"), "edge-agent alarms shows them")
    return alarm, instance


def when(instant: str | None) -> str:
    """Return an instant of the API to the second, as people read it; "-" where there is none."""
    if instant is None:
        return "-"
    day, _, clock = instant.partition("T")
    return f"{day} {clock[:8]}"


def next_time(text: str, now: datetime) -> int:
    """Return the Unix microseconds of a time that somebody typed; a time of day ("18:00") is the next such time.

    Raises:
        click.BadParameter: it is none.
    """
    today = _time_of_day(text, now)
    if today is None:
        return _instant(text, now)
    return _micros(today if today > now else _on(now.date() + timedelta(days=1), today))


def last_time(text: str, now: datetime) -> int:
    """Return the Unix microseconds of a time that somebody typed; a time of day ("03:12") is the last such time.

    Raises:
        click.BadParameter: it is none.
    """
    today = _time_of_day(text, now)
    if today is None:
        return _instant(text, now)
    return _micros(today if today <= now else _on(now.date() - timedelta(days=1), today))


def _time_of_day(text: str, now: datetime) -> datetime | None:
    """Return a bare time of day as one of today; None: it is none."""
    if _TIME_OF_DAY.fullmatch(text) is None:
        return None
    try:
        return datetime.combine(now.date(), time.fromisoformat(text if text[2] == ":" else f"0{text}"), now.tzinfo)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time of day; write it like 18:00") from None


def _on(day: date, of_day: datetime) -> datetime:
    return datetime.combine(day, of_day.timetz())


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * MILLION)


def _instant(text: str, now: datetime) -> int:
    try:
        return parse_time(text, now.tzinfo or UTC)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
