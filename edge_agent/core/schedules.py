"""Schedules: when calls may be made, by the local time of a zone. Pure: the instant, Unix microseconds, is given."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple, Protocol

from edge_agent.core.fields import SECOND
from edge_agent.core.settings import WEEKDAYS, ScheduleSettings

_MICROSECOND = timedelta(microseconds=1)
_DAY = 86_400 * SECOND
_SHIFT = 2 * _DAY
"""More than any zone ever put its clocks forward or back at once (a day, where the date line was moved)."""
_NEVER = 1 << 80
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH = _UNIX.toordinal()
_EPOCH_WEEKDAY = _UNIX.weekday()

# A clock may say anything, a date only the years 1 to 9999: beyond them a zone stays as it is there.
_FIRST_S = (date.min.toordinal() + 2 - _EPOCH) * 86_400
_LAST_S = (date.max.toordinal() - 2 - _EPOCH) * 86_400


class _Calendar(Protocol):
    """Holidays, as days since 1970-01-01."""

    patience: int
    """The days in which each weekday comes at least once that is no holiday."""

    def __contains__(self, day: int) -> bool:
        """Return whether that day is a holiday."""

    def after(self, day: int) -> Iterable[int]:
        """Return the holidays after that day, in order."""


class _Dates:
    """The holidays of a list."""

    def __init__(self, dates: Iterable[date]) -> None:
        self._known = frozenset(each.toordinal() - _EPOCH for each in dates)
        self._days = sorted(self._known)
        self.patience = 7 * (len(self._days) + 1)

    def __contains__(self, day: int) -> bool:
        return day in self._known

    def after(self, day: int) -> Iterable[int]:
        """Return the holidays after that day, in order."""
        return self._days[bisect_right(self._days, day) :]


class _Japan:
    """The public holidays of Japan."""

    patience = 800
    """By far: in so many days there are also holidays."""

    def __init__(self) -> None:
        import jpholiday  # noqa: PLC0415 - only where it is asked for: start-up counts on a small board

        self._is_holiday = jpholiday.is_holiday

    def __contains__(self, day: int) -> bool:
        inside = _FIRST_S <= day * 86_400 <= _LAST_S
        return inside and self._is_holiday(date.fromordinal(day + _EPOCH))

    def after(self, day: int) -> Iterator[int]:
        """Return the holidays after that day, in order."""
        return (each for each in range(day + 1, day + self.patience) if each in self)


class _Stretch(NamedTuple):
    """A time, `since` to before `until`, in which nothing changes."""

    since: int
    until: int
    is_open: bool


class Schedule:
    """A span of local time on certain days: [from, to), which belongs to the day on which it begins.

    It is open while the wall clock of the zone shows a time of the span. So an edge that daylight saving skips takes
    effect at the end of the gap, and an hour that comes twice counts twice. What was found last is remembered, as the
    next question is nearly always about the same stretch of time.
    """

    __slots__ = ("_festive", "_holidays", "_last", "_length", "_ordinary", "_settings", "_start", "_zone")

    def __init__(self, settings: ScheduleSettings, zone: tzinfo) -> None:
        self._settings = settings
        self._zone = zone
        self._start = _time_of_day(settings.from_)
        self._length = (_time_of_day(settings.to) - self._start) % _DAY or _DAY
        self._ordinary, self._festive = _weekdays(settings.days)
        self._holidays: _Calendar = _Dates(())
        if self._ordinary != self._festive:
            self._holidays = _Japan() if settings.holidays == "JP" else _Dates(settings.holidays)
        self._last = _Stretch(0, 0, is_open=False)

    def is_open(self, wall: int) -> bool:
        """Return whether calls may be made at an instant."""
        return self._stretch(wall).is_open

    def next_change(self, wall: int) -> int | None:
        """Return the first instant after `wall` at which it opens or closes; None: it never does."""
        until = self._stretch(wall).until
        return None if until == _NEVER else until

    def describe(self) -> str:
        """Return it in words: `mon-fri 18:00 to 08:00 (Asia/Tokyo)`."""
        given = self._settings
        if self._length < _DAY:
            span = f"{given.from_} to {given.to}"
        else:
            span = f"24 h from {given.from_}" if self._start % _DAY else "all day"
        return f"{', '.join(given.days)} {span} ({self._zone})"

    def _stretch(self, wall: int) -> _Stretch:
        last = self._last
        if not last.since <= wall < last.until:
            is_open = self._covers(wall + self._offset(wall))
            last = self._last = _Stretch(wall, self._end(wall, is_open=is_open), is_open)
        return last

    # Local time: microseconds that the zone's wall clock is past 1970-01-01 00:00 -----------------------------------

    def _covers(self, local: int) -> bool:
        day, time = divmod(local - self._start, _DAY)
        return time < self._length and self._counts(day)

    def _counts(self, day: int) -> bool:
        """Return whether a span begins on a day (days since 1970-01-01)."""
        weekday = (day + _EPOCH_WEEKDAY) % 7
        return (self._festive if day in self._holidays else self._ordinary)[weekday]

    def _edge_after(self, local: int) -> int | None:
        """Return the next local time at which a span begins, or ends without another one following at once."""
        day, time = divmod(local - self._start, _DAY)
        covered = time < self._length and self._counts(day)
        if covered and self._length < _DAY:
            return day * _DAY + self._start + self._length
        edge = self._day_after(day, counts=not covered)
        return None if edge is None else edge * _DAY + self._start

    def _day_after(self, day: int, *, counts: bool) -> int | None:
        """Return the next day that counts, or the next that does not."""
        days: Iterable[int] = range(day + 1, day + 8)
        if counts not in self._ordinary:
            days = self._holidays.after(day)
        elif self._ordinary != self._festive:
            days = range(day + 1, day + 1 + self._holidays.patience)
        return next((each for each in days if self._counts(each) is counts), None)

    # Instants -----------------------------------------------------------------------------------------------------

    def _offset(self, wall: int) -> int:
        """Return how far the zone's wall clock is ahead of UTC."""
        # Not by fromtimestamp: where the system's time has 32 bits it refuses what lies after 2038.
        moment = _UNIX + timedelta(seconds=min(max(wall // SECOND, _FIRST_S), _LAST_S))
        return (moment.astimezone(self._zone).utcoffset() or timedelta()) // _MICROSECOND

    def _end(self, wall: int, *, is_open: bool) -> int:
        """Return when it will no longer be as it is at `wall`."""
        at, near = wall, wall + _SHIFT
        while True:
            offset = self._offset(at)
            edge = self._edge_after(at + offset)
            target = _NEVER if edge is None else edge - offset
            if at >= near:  # far from the edge before, and so no clock that is put back comes to it again
                if target == _NEVER:
                    return _NEVER
                if at < target - _SHIFT:
                    at = target - _SHIFT
                    continue
            step = min(target, at + _DAY)
            moved = self._moved(at, step, offset)
            if moved is not None:
                if self._covers(moved + self._offset(moved)) is not is_open:
                    return moved
                at, near = moved, moved + _SHIFT
            elif step == target:
                return target
            else:
                at = step

    def _moved(self, after: int, until: int, offset: int) -> int | None:
        """Return when the zone's clocks were put forward or back, within a day; None: they were not."""
        if self._offset(until) == offset:
            return None
        low, high = after // SECOND, until // SECOND
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle * SECOND) == offset:
                low = middle
            else:
                high = middle
        return high * SECOND


def _time_of_day(text: str | None) -> int:
    hours, minutes = (text or "00:00").split(":")
    return (int(hours) * 60 + int(minutes)) * 60 * SECOND


def _weekdays(words: Iterable[str]) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    """Return which weekdays count, monday first: where they are no holidays, and where they are."""
    ordinary: set[int] = set()
    festive: set[int] = set()
    for word in words:
        if word == "workdays":
            ordinary |= set(range(5))
        elif word == "holidays":
            festive |= set(range(7))
        else:
            days = _range(word)
            ordinary |= days
            festive |= days
    return tuple(day in ordinary for day in range(7)), tuple(day in festive for day in range(7))


def _range(word: str) -> set[int]:
    word = {"daily": "mon-sun", "weekends": "sat-sun"}.get(word, word)
    first, _, last = word.partition("-")
    begin = WEEKDAYS.index(first)
    return {(begin + each) % 7 for each in range((WEEKDAYS.index(last or first) - begin) % 7 + 1)}
