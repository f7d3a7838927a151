"""The recorder: what the engine takes, for who asks, in a bounded ring; nothing while nobody does."""

from datetime import UTC
from typing import Any

import pytest

from edge_agent.core.engine import Engine, EngineSettings
from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading, Value
from edge_agent.recorder import PAGE, Done, Recorder, Taken, as_json

SOURCES = {
    "freezer": SourceSpec(instances=True, scale=0.1, reject=(850,)),
    "door": SourceSpec(debounce=SECOND),
    "boiler": SourceSpec(fields=("t", "p")),
}


class Rig:
    """An engine, and a recorder that takes what it is fed."""

    def __init__(self, capacity: int = 100) -> None:
        self.engine = Engine(EngineSettings(SOURCES), 0, skew=1_000 * SECOND)
        self.recorder = Recorder(capacity)
        self.now = 0

    def feed(self, point: str, value: Value | None, at: int) -> None:
        self.engine.feed(Reading(point, value, at))
        if self.recorder.running:
            self.recorder.take(Taken(self.engine.now, point, value))

    def read(self, after: str | None) -> Any:
        return self.recorder.read(after, self.engine, self.now)


def test_nothing_is_kept_before_somebody_asks() -> None:
    rig = Rig()
    assert not rig.recorder.running
    rig.read(None)
    assert rig.recorder.running


def test_it_begins_with_the_raw_values_that_a_new_engine_must_be_fed_to_be_in_the_same_state() -> None:
    rig = Rig()
    rig.feed("freezer[f1]", -180, 1)
    rig.feed("freezer[f2]", 850, 2)  # rejected
    rig.feed("boiler", None, 3)  # a frame that could not be read
    rig.feed("boiler.t", 20, 4)
    rig.feed("boiler.t", None, 5)
    rig.feed("door", True, 6)  # not settled
    rig.feed("freezer.online", True, 7)
    page = rig.read(None)
    assert {entry.at for entry in page.entries} == {6, 7}
    assert sorted((entry.point, entry.value) for entry in page.entries if entry.value is not None) == [
        ("boiler.t", 20),
        ("door", True),
        ("freezer.online", True),
        ("freezer[f1]", -180),
        ("freezer[f2]", 850),
    ]
    assert [entry.point for entry in page.entries if entry.value is None] == ["boiler.p", "boiler.t"]
    again = Engine(EngineSettings(SOURCES), 7)
    for entry in page.entries:
        again.feed(Reading(entry.point, entry.value, entry.at))
    for name, point in rig.engine.points.items():
        other = again.points[name]
        assert (other.value, other.good, other.level) == (point.value, point.good, point.level), name


@pytest.mark.parametrize(
    ("levels", "wanted"),
    [
        ([(0, False)], [(4 * SECOND, False)]),
        ([(0, False), (4 * SECOND + 1, True)], [(3 * SECOND + 1, False), (4 * SECOND + 1, True)]),
        ([(4 * SECOND + 1, True)], [(4 * SECOND + 1, True)]),
        ([(0, True), (2 * SECOND, None)], [(4 * SECOND, True), (5 * SECOND, None)]),
    ],
)
def test_a_debounced_level_is_in_force_when_the_recording_begins(
    levels: list[tuple[int, Value | None]], wanted: list[tuple[int, Value | None]]
) -> None:
    """Else a change in the first moments would be the first level, and no edge."""
    rig = Rig()
    for at, value in levels:
        rig.feed("door", value, at)
    rig.engine.tick(5 * SECOND)
    assert rig.read(None).entries == [Taken(at, "door", value) for at, value in wanted]


def test_entries_come_in_order_once_each() -> None:
    rig = Rig()
    cursor = rig.read(None).cursor
    rig.feed("door", True, 10)
    rig.feed("boiler.t", 5, 9)  # late: taken at the engine's instant
    page = rig.read(cursor)
    assert page.entries == [Taken(10, "door", True), Taken(10, "boiler.t", 5)]
    assert (page.lost, page.at, page.skew) == (0, 10, 1_000 * SECOND)
    assert rig.read(page.cursor).entries == []
    rig.engine.tick(25)
    assert rig.read(page.cursor).at == 25


def test_what_is_pushed_out_of_the_ring_is_counted() -> None:
    rig = Rig(capacity=3)
    cursor = rig.read(None).cursor
    for at in range(1, 8):
        rig.feed("boiler.t", at, at)
    page = rig.read(cursor)
    assert ([entry.value for entry in page.entries], page.lost) == ([5, 6, 7], 4)
    assert rig.read(page.cursor).lost == 0


def test_a_long_wait_is_read_page_by_page_and_complete_only_to_the_pages_end() -> None:
    rig = Rig(capacity=2 * PAGE)
    cursor = rig.read(None).cursor
    for at in range(1, PAGE + 3):
        rig.feed("boiler.t", at, at)
    first = rig.read(cursor)
    assert (len(first.entries), first.at) == (PAGE, PAGE)
    rest = rig.read(first.cursor)
    assert ([entry.at for entry in rest.entries], rest.at) == ([PAGE + 1, PAGE + 2], PAGE + 2)


def test_two_may_read_at_once_each_from_its_own_beginning() -> None:
    rig = Rig()
    one = rig.read(None).cursor
    rig.feed("door", True, 1)
    rig.feed("boiler.t", 5, 2)
    beginning = rig.read(None)
    assert [entry.point for entry in beginning.entries if entry.value is not None] == ["door", "boiler.t"]
    assert rig.read(beginning.cursor).entries == []
    assert len(rig.read(one).entries) == 2


def test_it_rests_when_nobody_asks_and_then_begins_anew() -> None:
    rig = Rig()
    cursor = rig.read(None).cursor
    rig.now = 20 * SECOND
    rig.recorder.rest(rig.now)
    assert rig.recorder.running
    rig.now = 31 * SECOND
    rig.recorder.rest(rig.now)
    assert not rig.recorder.running
    page = rig.read(cursor)
    assert page.cursor.partition("-")[0] != cursor.partition("-")[0]


@pytest.mark.parametrize("cursor", ["", "x", "-", "0-", "0-x", "0--1", "0-99", "zz-0", "0-٣"])
def test_a_cursor_that_is_none_is_a_beginning(cursor: str) -> None:
    rig = Rig()
    rig.read(None)
    rig.feed("boiler.t", 5, 2)
    assert [entry.point for entry in rig.read(cursor).entries] == ["boiler.t"]


def test_the_skew_of_a_recording_is_one_whatever_the_wall_clock_does() -> None:
    rig = Rig()
    cursor = rig.read(None).cursor
    rig.engine.set_clock(5, 9_999 * SECOND, True)
    assert rig.read(cursor).skew == 1_000 * SECOND


def test_entries_as_lines() -> None:
    entries: list[Taken | Done] = [
        Taken(1_500_001, "freezer[f1]", None),
        Done(2_000_000, "ack", "warm", None),
        Done(2_000_000, "shelve", "warm", "f1", 8_000_000),
    ]
    assert [as_json(entry, 10 * SECOND, UTC) for entry in entries] == [
        {"time": "1970-01-01T00:00:11.500001+00:00", "point": "freezer[f1]", "value": None},
        {"time": "1970-01-01T00:00:12.000000+00:00", "command": "ack", "alarm": "warm"},
        {
            "time": "1970-01-01T00:00:12.000000+00:00",
            "command": "shelve",
            "alarm": "warm",
            "instance": "f1",
            "until": "1970-01-01T00:00:18.000000+00:00",
        },
    ]
