"""Schedules: open by the local time of a zone; over midnight, over both clock changes, over Japan's holidays."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_agent.core.fields import SECOND
from edge_agent.core.schedules import Schedule
from edge_agent.core.settings import ScheduleSettings

TOKYO, BERLIN, NEW_YORK = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # 30 minutes of daylight saving
APIA = ZoneInfo("Pacific/Apia")  # had no 30 December 2011
SAO_PAULO = ZoneInfo("America/Sao_Paulo")  # its gaps were at midnight, until 2019
MINUTE = 60 * SECOND
DAY = 1440 * MINUTE

NIGHT = {"days": ["mon-fri"], "from": "18:00", "to": "08:00"}
DAWN = {"from": "02:30", "to": "05:00"}
LATE = {"from": "22:00", "to": "02:30"}


def schedule(zone: tzinfo, **keys: object) -> Schedule:
    return Schedule(ScheduleSettings.model_validate(keys), zone)


def at(text: str) -> int:
    """Return Unix microseconds of an ISO time with its offset."""
    return round(datetime.fromisoformat(text).timestamp()) * SECOND


def local(wall: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(wall // SECOND, zone).isoformat(timespec="minutes")


def turns(timed: Schedule, since: int, until: int) -> Iterator[int]:
    """Yield the instants of all changes after `since`, up to `until`."""
    wall = timed.next_change(since)
    while wall is not None and wall <= until:
        yield wall
        wall = timed.next_change(wall)


def changes(timed: Schedule, zone: tzinfo, since: str, until: str) -> Iterator[str]:
    """Yield every change in local time, "+" where it opens."""
    for wall in turns(timed, at(since), at(until)):
        yield f"{'+' if timed.is_open(wall) else '-'} {local(wall, zone)}"


# Tables ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "moment", "wanted"),
    [
        ({"from": "08:00", "to": "18:00"}, "2026-01-28T07:59:59.999+09:00", False),
        ({"from": "08:00", "to": "18:00"}, "2026-01-28T08:00+09:00", True),
        ({"from": "08:00", "to": "18:00"}, "2026-01-28T17:59:59.999+09:00", True),
        ({"from": "08:00", "to": "18:00"}, "2026-01-28T18:00+09:00", False),
        ({"from": "18:00", "to": "24:00"}, "2026-01-28T23:59:59.999+09:00", True),
        ({"from": "18:00", "to": "24:00"}, "2026-01-29T00:00+09:00", False),
        ({"from": "18:00", "to": "00:00"}, "2026-01-29T00:00+09:00", False),
        (NIGHT, "2026-01-30T23:00+09:00", True),  # a friday
        (NIGHT, "2026-01-31T07:59+09:00", True),  # its night ends on saturday
        (NIGHT, "2026-01-31T08:00+09:00", False),
        (NIGHT, "2026-01-31T18:00+09:00", False),
        (NIGHT, "2026-02-02T07:59+09:00", False),  # the night to monday began on sunday
        (NIGHT, "2026-02-02T18:00+09:00", True),
        ({"days": ["sat"]}, "2026-01-31T00:00+09:00", True),
        ({"days": ["sat"]}, "2026-02-01T00:00+09:00", False),
        ({"days": ["sat"], "from": "00:00", "to": "24:00"}, "2026-01-31T23:59+09:00", True),
        ({"days": ["sat"], "from": "00:00", "to": "24:00"}, "2026-02-01T00:00+09:00", False),
        ({"days": ["sat"], "from": "18:00", "to": "18:00"}, "2026-01-31T17:59+09:00", False),  # 24 h from 18:00 on
        ({"days": ["sat"], "from": "18:00", "to": "18:00"}, "2026-02-01T17:59+09:00", True),
        ({"days": ["sat"], "from": "18:00", "to": "18:00"}, "2026-02-01T18:00+09:00", False),
        ({"days": ["sat"], "from": "24:00", "to": "06:00"}, "2026-02-01T05:00+09:00", True),  # the end of saturday
        ({"days": ["sat"], "from": "24:00", "to": "06:00"}, "2026-01-31T05:00+09:00", False),
        ({"days": ["sat"], "from": "24:00", "to": "24:00"}, "2026-02-01T05:00+09:00", True),
        ({"days": ["sat"], "from": "24:00", "to": "00:00"}, "2026-02-01T23:59+09:00", True),
        ({}, "2026-01-28T12:00+09:00", True),
    ],
)
def test_open_from_from_to_before_to(keys: dict[str, object], moment: str, *, wanted: bool) -> None:
    """[from, to) of the local time; over midnight it belongs to the day on which it began; from = to: 24 h."""
    wall = round(datetime.fromisoformat(moment).timestamp() * 1000) * 1000
    assert schedule(TOKYO, **keys).is_open(wall) is wanted


@pytest.mark.parametrize(
    ("days", "wanted"),
    [
        (["daily"], "mon tue wed thu fri sat sun"),
        (["mon"], "mon"),
        (["mon-fri"], "mon tue wed thu fri"),
        (["fri-mon"], "mon fri sat sun"),
        (["sun-sat"], "mon tue wed thu fri sat sun"),
        (["wed-wed"], "wed"),
        (["weekends"], "sat sun"),
        (["tue", "sat-sun", "tue-wed"], "tue wed sat sun"),
        (["workdays"], "mon tue wed thu fri"),
    ],
)
def test_days_are_a_union_and_ranges_wrap(days: list[str], wanted: str) -> None:
    timed = schedule(TOKYO, days=days)
    week = {f"{day:%a}".lower(): day for day in (datetime(2026, 1, 26 + each, 12, tzinfo=TOKYO) for each in range(5))}
    week |= {f"{day:%a}".lower(): day for day in (datetime(2026, 1, 24 + each, 12, tzinfo=TOKYO) for each in range(2))}
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    assert " ".join(name for name in names if timed.is_open(at(week[name].isoformat()))) == wanted


@pytest.mark.parametrize(
    ("zone", "keys", "since", "until", "wanted"),
    [
        # Japan has no daylight saving.
        (TOKYO, DAWN, "2026-03-28T12:00Z", "2026-03-30T00:00Z",
         ["+ 2026-03-29T02:30+09:00", "- 2026-03-29T05:00+09:00", "+ 2026-03-30T02:30+09:00",
          "- 2026-03-30T05:00+09:00"]),
        # Berlin, spring: 02:00 to 03:00 is skipped. It opens, or closes, at the end of the gap.
        (BERLIN, DAWN, "2026-03-28T12:00Z", "2026-03-29T12:00Z",
         ["+ 2026-03-29T03:00+02:00", "- 2026-03-29T05:00+02:00"]),
        (BERLIN, LATE, "2026-03-28T12:00Z", "2026-03-29T12:00Z",
         ["+ 2026-03-28T22:00+01:00", "- 2026-03-29T03:00+02:00"]),
        (BERLIN, {"from": "02:15", "to": "02:45"}, "2026-03-28T12:00Z", "2026-03-30T12:00Z",
         ["+ 2026-03-30T02:15+02:00", "- 2026-03-30T02:45+02:00"]),  # all of it skipped: not at all that day
        # Berlin, autumn: 02:00 to 03:00 comes twice, and both count.
        (BERLIN, DAWN, "2026-10-24T12:00Z", "2026-10-25T12:00Z",
         ["+ 2026-10-25T02:30+02:00", "- 2026-10-25T02:00+01:00", "+ 2026-10-25T02:30+01:00",
          "- 2026-10-25T05:00+01:00"]),
        (BERLIN, LATE, "2026-10-24T12:00Z", "2026-10-25T12:00Z",
         ["+ 2026-10-24T22:00+02:00", "- 2026-10-25T02:30+02:00", "+ 2026-10-25T02:00+01:00",
          "- 2026-10-25T02:30+01:00"]),
        (BERLIN, {"from": "02:00", "to": "03:00"}, "2026-10-24T12:00Z", "2026-10-25T12:00Z",
         ["+ 2026-10-25T02:00+02:00", "- 2026-10-25T03:00+01:00"]),  # two hours
        (BERLIN, {"from": "18:00", "to": "08:00", "days": ["sat"]}, "2026-10-24T12:00Z", "2026-10-26T12:00Z",
         ["+ 2026-10-24T18:00+02:00", "- 2026-10-25T08:00+01:00"]),  # fifteen hours
        # New York, spring and autumn.
        (NEW_YORK, DAWN, "2026-03-07T12:00Z", "2026-03-08T12:00Z",
         ["+ 2026-03-08T03:00-04:00", "- 2026-03-08T05:00-04:00"]),
        (NEW_YORK, {"from": "01:30", "to": "05:00"}, "2026-10-31T12:00Z", "2026-11-01T12:00Z",
         ["+ 2026-11-01T01:30-04:00", "- 2026-11-01T01:00-05:00", "+ 2026-11-01T01:30-05:00",
          "- 2026-11-01T05:00-05:00"]),
        # Lord Howe: 02:00 to 02:30 is skipped in October, 01:30 to 02:00 comes twice in April.
        (LORD_HOWE, {"from": "02:15", "to": "05:00"}, "2026-10-03T06:00Z", "2026-10-03T20:00Z",
         ["+ 2026-10-04T02:30+11:00", "- 2026-10-04T05:00+11:00"]),
        (LORD_HOWE, {"from": "22:00", "to": "01:45"}, "2026-04-04T06:00Z", "2026-04-04T20:00Z",
         ["+ 2026-04-04T22:00+11:00", "- 2026-04-05T01:45+11:00", "+ 2026-04-05T01:30+10:30",
          "- 2026-04-05T01:45+10:30"]),
        # A gap at midnight, and a day that was not there at all.
        (SAO_PAULO, {"days": ["sun"]}, "2018-11-03T00:00Z", "2018-11-06T00:00Z",
         ["+ 2018-11-04T01:00-02:00", "- 2018-11-05T00:00-02:00"]),
        (APIA, {"days": ["fri"]}, "2011-12-24T20:00Z", "2012-01-07T20:00Z",
         ["+ 2012-01-06T00:00+14:00", "- 2012-01-07T00:00+14:00"]),
        (APIA, {"days": ["thu"], "from": "20:00", "to": "10:00"}, "2011-12-27T20:00Z", "2012-01-02T20:00Z",
         ["+ 2011-12-29T20:00-10:00", "- 2011-12-31T00:00+14:00"]),  # friday's morning is skipped
    ],
)  # fmt: skip
def test_both_clock_changes(zone: tzinfo, keys: dict[str, object], since: str, until: str, wanted: list[str]) -> None:
    """What the wall clock skips takes effect at the end of the gap; an hour that comes twice counts twice."""
    assert list(changes(schedule(zone, **keys), zone, since, until)) == wanted


# Holidays -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "moment", "wanted"),
    [
        (["workdays"], "2026-05-06T12:00+09:00", False),  # a wednesday, in lieu of 3 May
        (["workdays"], "2026-05-07T12:00+09:00", True),
        (["workdays"], "2026-05-09T12:00+09:00", False),
        (["holidays"], "2026-05-03T12:00+09:00", True),  # a sunday
        (["holidays"], "2026-05-06T12:00+09:00", True),
        (["holidays"], "2026-05-10T12:00+09:00", False),
        (["mon-fri"], "2026-05-06T12:00+09:00", True),  # a range of days does not ask for holidays
        (["weekends", "holidays"], "2026-09-22T12:00+09:00", True),  # between two holidays
        (["weekends", "holidays"], "2026-09-24T12:00+09:00", False),
    ],
)
def test_japans_holidays(days: list[str], moment: str, *, wanted: bool) -> None:
    assert schedule(TOKYO, days=days, holidays="JP").is_open(at(moment)) is wanted


def test_a_night_belongs_to_the_day_on_which_it_began_also_before_a_holiday() -> None:
    """Tuesday's night goes on into the holiday; the holiday has none; thursday's is one again."""
    timed = schedule(TOKYO, days=["workdays"], holidays=["2026-11-25"], **{"from": "18:00", "to": "08:00"})
    assert list(changes(timed, TOKYO, "2026-11-24T12:00+09:00", "2026-11-27T12:00+09:00")) == [
        "+ 2026-11-24T18:00+09:00", "- 2026-11-25T08:00+09:00", "+ 2026-11-26T18:00+09:00", "- 2026-11-27T08:00+09:00",
    ]  # fmt: skip
    festive = schedule(TOKYO, days=["holidays"], holidays=["2026-11-25"], **{"from": "18:00", "to": "08:00"})
    assert list(changes(festive, TOKYO, "2026-11-01T12:00+09:00", "2027-01-27T12:00+09:00")) == [
        "+ 2026-11-25T18:00+09:00", "- 2026-11-26T08:00+09:00",
    ]  # fmt: skip


def test_a_list_of_its_own_is_all_there_is() -> None:
    """New Year's Day is a holiday in Japan, and not where only other dates are listed; days in a row are one span."""
    timed = schedule(TOKYO, days=["holidays"], holidays=[date(2026, 12, 30), "2026-12-31", "2030-02-28"])
    assert list(changes(timed, TOKYO, "2026-01-01T00:00+09:00", "2039-01-01T00:00+09:00")) == [
        "+ 2026-12-30T00:00+09:00", "- 2027-01-01T00:00+09:00", "+ 2030-02-28T00:00+09:00", "- 2030-03-01T00:00+09:00",
    ]  # fmt: skip
    assert timed.next_change(at("2030-03-01T00:00+09:00")) is None


def test_a_closure_longer_than_any_search() -> None:
    """Three years of listed days: it opens again after them."""
    closed = [date(2026, 1, 1) + timedelta(each) for each in range(1100)]
    timed = schedule(TOKYO, days=["workdays"], holidays=closed)
    after = closed[-1] + timedelta(1)
    assert timed.next_change(at("2026-01-01T00:00+09:00")) == at(f"{after}T00:00+09:00")


def test_no_list_no_holidays() -> None:
    """Without a list workdays are monday to friday; to ask for holidays that nobody named is an error."""
    timed = schedule(TOKYO, days=["workdays"])
    assert timed.is_open(at("2026-01-01T12:00+09:00"))
    for keys in ({"days": ["weekends", "holidays"]}, {"days": ["holidays"], "holidays": []}):
        with pytest.raises(ValidationError, match='holidays has no dates, though days names them; add holidays = "JP"'):
            ScheduleSettings.model_validate(keys)


@pytest.mark.parametrize(
    ("keys", "imported"),
    [
        ("{}", False),
        ("{'days': ['mon-fri'], 'holidays': 'JP'}", False),
        ("{'days': ['workdays'], 'holidays': 'JP'}", True),
    ],
)
def test_the_calendar_is_loaded_only_where_it_is_needed(keys: str, *, imported: bool) -> None:
    """Start-up time counts on a small board."""
    code = f"""import sys, datetime
from edge_agent.core.schedules import Schedule
from edge_agent.core.settings import ScheduleSettings
Schedule(ScheduleSettings.model_validate({keys}), datetime.UTC).is_open(0)
print('jpholiday' in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(imported)


# Never, and absurd clocks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys", [{}, {"days": ["fri-thu"]}, {"from": "18:00", "to": "18:00"}, {"days": ["workdays", "weekends"]}]
)
def test_always_open_never_changes(keys: dict[str, object]) -> None:
    for zone in (UTC, BERLIN, APIA):
        timed = schedule(zone, **keys)
        assert timed.is_open(at("2026-03-29T01:30Z"))
        assert timed.next_change(at("2026-03-20T01:30Z")) is None


@pytest.mark.parametrize(
    "keys", [{}, NIGHT, {"days": ["holidays"], "holidays": "JP"}, {"days": ["workdays"], "holidays": ["9999-12-31"]}]
)
@pytest.mark.parametrize("zone", [UTC, TOKYO, BERLIN, LORD_HOWE])
def test_a_clock_may_say_anything(zone: tzinfo, keys: dict[str, object]) -> None:
    """1970, ten years ahead, the first and the last year that a date can have, and what no date can: nothing raises."""
    timed = schedule(zone, **keys)
    years = (at("0001-01-01T00:00Z"), at("9999-12-31T23:59Z"), at("2046-11-23T00:00Z"), at("2016-11-23T00:00Z"))
    for wall in (0, -1, *years, years[0] - 3 * DAY, years[1] + 3 * DAY, -(10**18), 10**18, 2**63):
        for moment in (wall - DAY, wall, wall + DAY):
            opened = timed.is_open(moment)
            until = timed.next_change(moment)
            assert until is None or (until > moment and timed.is_open(until) is not opened)


# Properties -----------------------------------------------------------------------------------------------------------

ZONES = {
    # zone: instants around which something happens to its clocks
    TOKYO: ["2026-05-03T15:00Z", "2026-09-21T15:00Z"],
    BERLIN: ["2026-03-29T01:00Z", "2026-10-25T01:00Z"],
    NEW_YORK: ["2026-03-08T07:00Z", "2026-11-01T06:00Z"],
    LORD_HOWE: ["2026-04-04T15:00Z", "2026-10-03T15:30Z"],
    APIA: ["2011-12-30T10:00Z"],
    SAO_PAULO: ["2018-11-04T03:00Z", "2019-02-17T02:00Z"],
    ZoneInfo("Africa/Casablanca"): ["2026-02-15T02:00Z", "2026-03-22T02:00Z"],
    ZoneInfo("America/St_Johns"): ["2026-03-08T05:30Z", "2005-10-30T02:31Z"],
    UTC: ["1970-01-01T00:00Z", "2026-02-28T00:00Z"],
}
Script = tuple[dict[str, Any], set[date], tzinfo, int]
NAMES = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
BEFORE_AND_AFTER = 3 * 1440

words = st.sampled_from(
    [*NAMES, "mon-fri", "fri-mon", "sat-tue", "tue-tue", "daily", "weekends", "workdays", "holidays"]
)
times = st.one_of(
    st.sampled_from(["00:00", "24:00", "01:30", "02:00", "02:30", "03:00"]),
    st.integers(0, 1439).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}"),
)
spans: st.SearchStrategy[dict[str, str]] = st.one_of(st.just({}), st.fixed_dictionaries({"from": times, "to": times}))


def naive(keys: dict[str, Any], dates: set[date], zone: tzinfo, minute: int) -> bool:
    """Say by the book whether it is open: what the wall clock shows, today's span, and those of the days before."""
    shown = datetime.fromtimestamp(minute * 60, zone)
    now = shown.hour * 60 + shown.minute
    begin, end = (
        60 * int(text[:2]) + int(text[3:]) for text in (str(keys.get("from", "00:00")), str(keys.get("to", "00:00")))
    )
    length = (end - begin) % 1440 or 1440
    for back in (0, 1):
        day = shown.date() - timedelta(back)
        if named(keys["days"], day, dates) and begin <= now + back * 1440 < begin + length:
            return True
    return False


def named(days: list[str], day: date, dates: set[date]) -> bool:
    weekday = day.weekday()
    for word in days:
        first, _, last = {"daily": "mon-sun", "weekends": "sat-sun", "workdays": "mon-fri"}.get(word, word).partition(
            "-"
        )
        if word == "holidays":
            found = day in dates
        else:
            begin, end = NAMES.index(first), NAMES.index(last or first)
            found = begin <= weekday <= end if begin <= end else weekday >= begin or weekday <= end
        if found and not (word == "workdays" and day in dates):
            return True
    return False


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Return a schedule's keys, its holidays, a zone, and a minute near something that happens to its clocks."""
    zone = draw(st.sampled_from(list(ZONES)))
    moment = at(draw(st.sampled_from(ZONES[zone]))) // MINUTE
    start = moment + draw(st.integers(-BEFORE_AND_AFTER, 1440))
    today = datetime.fromtimestamp(moment * 60, UTC).date()
    dates = {today + timedelta(each) for each in draw(st.sets(st.integers(-4, 6), min_size=1, max_size=4))}
    keys = {"days": draw(st.lists(words, min_size=1, max_size=3)), **draw(spans), "holidays": sorted(dates)}
    return keys, dates, zone, start


@given(scripts())
@settings(max_examples=150, deadline=None)
def test_next_change_is_where_a_scan_minute_by_minute_finds_it(
    script: Script,
) -> None:
    """Against what the wall clock shows, by zoneinfo; asked once, and asked at every minute up to there."""
    keys, dates, zone, start = script
    timed = schedule(zone, **keys)
    scan = range(start, start + BEFORE_AND_AFTER)
    shown = [naive(keys, dates, zone, minute) for minute in scan]
    pairs = pairwise(zip(scan, shown, strict=True))
    wanted = [minute * MINUTE for (_, before), (minute, now) in pairs if before is not now]
    assert list(turns(timed, start * MINUTE, scan[-1] * MINUTE)) == wanted
    assert [timed.is_open(minute * MINUTE) for minute in scan] == shown
    for wall in (wall + extra for wall in wanted for extra in (-1, 0, 1)):
        assert schedule(zone, **keys).is_open(wall) is shown[wall // MINUTE - start]


@given(scripts(), st.lists(st.integers(0, BEFORE_AND_AFTER), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_the_order_of_questions_does_not_matter(script: Script, asked: list[int]) -> None:
    """A clock that is set, or a look back at what was: what was remembered never answers for another time."""
    keys, dates, zone, start = script
    timed = schedule(zone, **keys)
    for minute in (start + each for each in asked):
        assert timed.is_open(minute * MINUTE + 59 * SECOND) is naive(keys, dates, zone, minute)
        until = timed.next_change(minute * MINUTE)
        assert until == schedule(zone, **keys).next_change(minute * MINUTE)


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        (NIGHT, "mon-fri 18:00 to 08:00 (Asia/Tokyo)"),
        ({}, "daily all day (Asia/Tokyo)"),
        ({"days": ["sat", "sun"], "from": "00:00", "to": "24:00"}, "sat, sun all day (Asia/Tokyo)"),
        ({"days": ["sat"], "from": "18:00", "to": "18:00"}, "sat 24 h from 18:00 (Asia/Tokyo)"),
    ],
)
def test_it_can_be_told_in_words(keys: dict[str, object], wanted: str) -> None:
    assert schedule(TOKYO, **keys).describe() == wanted
