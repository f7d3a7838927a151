"""The engine's thread: commits, then acknowledges; nothing stops it."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC

import pytest

from edge_agent.core.engine import Engine, EngineSettings
from edge_agent.core.events import Changes
from edge_agent.core.fields import SECOND
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading
from edge_agent.core.schedules import Schedule
from edge_agent.core.settings import AlarmSettings, ScheduleSettings
from edge_agent.delivery.rows import Call
from edge_agent.engine_thread import EngineThread
from edge_agent.inbox import Inbox
from edge_agent.question import NotAnsweredError, NotTakenError
from edge_agent.recorder import Done, Taken
from edge_agent.system.clock import Clock
from tests.helpers import wait_until

DOOR = EngineSettings(
    {"door": SourceSpec(fields=())}, {"open": AlarmSettings.model_validate({"input": "door", "is": True, "call": "x"})}
)


HOUR = 3600 * SECOND
OPEN_FOR_AN_HOUR = ScheduleSettings.model_validate({"from": "09:00", "to": "10:00"})
AT_NIGHT = EngineSettings(
    {"door": SourceSpec(fields=())},
    {"open": AlarmSettings.model_validate({"input": "door", "is": True, "call": "x", "schedule": "office"})},
    schedules={"office": Schedule(OPEN_FOR_AN_HOUR, UTC)},
)


class WallClock(Clock):
    """The machine's boot clock, and a wall clock that the test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.skew = 0
        self.is_synced = True

    def set(self, hour: int) -> None:
        """Set the wall clock to a full hour of some day."""
        self.skew = 10_000 * 24 * HOUR + hour * HOUR - self.now()

    def wall(self) -> int:
        return self.now() + self.skew

    def synced(self) -> bool:
        return self.is_synced


class Disk:
    """Keeps what is committed; refuses as long as `refuse` is set."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.refuse: Exception | None = None
        self.refused = threading.Event()

    def commit(self, changes: Changes, express: Mapping[str, bool]) -> dict[str, list[Call]]:
        if self.refuse is not None:
            self.refused.set()
            raise self.refuse
        self.journal += [str(event.kind) for event in changes.events]
        return {rule: [] for rule in express}


class Courier:
    """Stands ready for every rule; notes what it is given and whether it was woken."""

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        self.claimed: list[str] = []
        self.woken = threading.Event()

    def claim(self, rules: Iterable[str]) -> dict[str, bool]:
        self.claimed += rules
        return dict.fromkeys(rules, True)

    def dispatch(self, claimed: Iterable[str], begun: Mapping[str, Sequence[Call]]) -> None:  # noqa: ARG002
        for rule in claimed:
            self.claimed.remove(rule)
            self.journal.append("dispatched")

    def wake(self) -> None:
        self.woken.set()


class Rig:
    def __init__(self, settings: EngineSettings = DOOR) -> None:
        self.clock = WallClock()
        self.clock.set(8)
        self.disk = Disk()
        self.inbox = Inbox()
        self.courier = Courier(self.disk.journal)
        engine = Engine(settings, self.clock.now())
        self.thread = EngineThread(engine, self.inbox, self.disk, self.clock, self.courier)

    def door(self, value: object, done: Callable[[], None] | None = None) -> None:
        self.inbox.put(Reading("door", value, self.clock.now(), "", done))  # type: ignore[arg-type]

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Hold the engine's thread up meanwhile, and for a moment more: what is put waits."""
        begun, released = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            released.wait(5)
            time.sleep(0.2)

        self.inbox.put(hold)
        assert begun.wait(5)
        yield
        released.set()

    def note(self, word: str) -> Callable[[], None]:
        return lambda: self.disk.journal.append(word)


@contextmanager
def running(settings: EngineSettings = DOOR) -> Iterator[Rig]:
    rig = Rig(settings)
    rig.thread.start()
    try:
        yield rig
    finally:
        rig.disk.refuse = None
        rig.thread.stop(5.0)
        assert not rig.thread.alive()


def test_a_reading_is_acknowledged_after_what_it_led_to_is_committed() -> None:
    with running() as rig:
        rig.door(True, rig.note("done"))
        wait_until(lambda: "done" in rig.disk.journal)
        assert rig.disk.journal == ["raised", "call", "dispatched", "done"]
        assert rig.courier.woken.wait(5)


def test_nothing_is_acknowledged_while_the_disk_refuses_and_all_is_when_it_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge_agent.engine_thread._RETRY_COMMIT_S", 0.01)
    with running() as rig:
        rig.disk.refuse = sqlite3.OperationalError("database is locked")
        rig.door(True, rig.note("done"))
        assert rig.disk.refused.wait(5)
        wait_until(lambda: rig.thread.commit_error == "database is locked")
        assert set(rig.disk.journal) <= {"dispatched"}  # what was claimed in vain is given back
        rig.disk.refuse = None
        wait_until(lambda: "done" in rig.disk.journal)
        assert rig.disk.journal[-4:] == ["raised", "call", "dispatched", "done"]
        assert rig.courier.claimed == []
        assert rig.thread.commit_error is None


def test_what_could_not_be_committed_before_the_end_is_never_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.engine_thread._RETRY_COMMIT_S", 0.01)
    rig = Rig()
    rig.disk.refuse = OSError("no disk")
    rig.thread.start()
    rig.door(True, rig.note("done"))
    assert rig.disk.refused.wait(5)
    rig.thread.stop(5.0)
    assert not rig.thread.alive()
    assert set(rig.disk.journal) <= {"dispatched"}
    assert rig.courier.claimed == []


def test_a_reading_that_makes_the_engine_raise_stops_nothing() -> None:
    with running() as rig:
        feed = rig.thread.engine.feed

        def poisoned(reading: Reading) -> None:
            if reading.value == "poison":
                raise ZeroDivisionError
            feed(reading)

        rig.thread.engine.feed = poisoned  # type: ignore[method-assign]
        rig.door("poison", rig.note("poison done"))
        rig.door(True, rig.note("done"))
        wait_until(lambda: "done" in rig.disk.journal)
        assert "poison done" in rig.disk.journal
        assert "call" in rig.disk.journal


@pytest.mark.parametrize("as_done", [False, True])
def test_a_command_or_a_driver_that_raises_stops_nothing(as_done: bool) -> None:  # noqa: FBT001 - a table
    def broken() -> None:
        raise ZeroDivisionError

    with running() as rig:
        if as_done:
            rig.door(False, broken)
        else:
            rig.inbox.put(broken)
        rig.inbox.put(rig.note("next"))
        wait_until(lambda: rig.disk.journal == ["next"])


def test_commands_and_readings_run_in_order() -> None:
    with running() as rig:
        seen: list[object] = []
        for value in (False, True, False):
            rig.door(value)
            rig.inbox.put(lambda: seen.append(rig.thread.engine.points["door"].value))
        wait_until(lambda: len(seen) == 3)
        assert seen == [False, True, False]


def test_stop_serves_what_is_in_the_inbox_and_does_not_linger() -> None:
    rig = Rig()
    for n in range(5_000):
        rig.door(n % 2 == 0, rig.note("done") if n == 4_999 else None)
    rig.thread.start()
    rig.thread.stop(10.0)
    assert not rig.thread.alive()
    assert rig.disk.journal[-1] == "done"


# The clock ----------------------------------------------------------------------------------------------------------


def test_a_jump_of_the_wall_clock_is_noticed_within_a_second_and_a_quiet_engine_acts_on_it() -> None:
    with running(AT_NIGHT) as rig:
        rig.door(True)
        wait_until(lambda: rig.disk.journal == ["raised", "suppressed"])
        rig.clock.set(9)
        wait_until(lambda: "call" in rig.disk.journal, 1.5)


def test_schedules_are_open_from_within_a_second_of_the_clock_not_being_synchronised_any_more() -> None:
    with running(AT_NIGHT) as rig:
        rig.door(True)
        wait_until(lambda: rig.disk.journal == ["raised", "suppressed"])
        rig.clock.is_synced = False
        wait_until(lambda: "call" in rig.disk.journal, 2.5)
        assert rig.disk.journal[:4] == ["raised", "suppressed", "clock", "call"]


def test_a_schedule_opens_at_its_instant_without_a_reading() -> None:
    with running(AT_NIGHT) as rig:
        rig.door(True)
        wait_until(lambda: rig.disk.journal == ["raised", "suppressed"])
        rig.clock.skew += HOUR - SECOND // 2
        wait_until(lambda: "call" in rig.disk.journal, 2.0)


def test_a_jump_moves_no_instant_of_the_engine() -> None:
    """A reading that waits in the inbox when a jump is noticed is taken at its own instant."""
    with running() as rig:
        with rig.held_up():
            rig.clock.set(20)
            at = rig.clock.now()
            rig.door(True)
        rig.thread.ask(lambda: None, 5)
        taken = rig.thread.engine.points["door"].at
        assert taken is not None
        assert at <= taken < at + SECOND // 10


# Questions and commands ---------------------------------------------------------------------------------------------


def test_a_question_is_answered_once_what_it_led_to_is_on_disk() -> None:
    with running() as rig:
        rig.door(True)
        at = rig.clock.now()
        assert rig.thread.ask(lambda: rig.thread.acknowledge("open", None, at, "by hand"), 5) == 1
        assert "acknowledged" in rig.disk.journal


def test_a_question_to_an_engine_that_waits_for_the_disk_is_given_up_and_never_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge_agent.engine_thread._RETRY_COMMIT_S", 0.01)
    with running() as rig:
        rig.disk.refuse = sqlite3.OperationalError("database is locked")
        rig.door(True)
        assert rig.disk.refused.wait(5)
        asked: list[int] = []
        with pytest.raises(NotTakenError):
            rig.thread.ask(lambda: asked.append(1), 0.05)
        rig.disk.refuse = None
        rig.thread.ask(lambda: None, 5)
        assert asked == []


def test_an_order_that_is_carried_out_but_not_on_disk_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.engine_thread._RETRY_COMMIT_S", 0.01)
    with running() as rig:
        rig.door(True)
        wait_until(lambda: "raised" in rig.disk.journal)
        rig.disk.refuse = sqlite3.OperationalError("database is locked")
        at = rig.clock.now()
        with pytest.raises(NotAnsweredError):
            rig.thread.ask(lambda: rig.thread.acknowledge("open", None, at, "by hand"), 0.2)
        rig.disk.refuse = None
        wait_until(lambda: "acknowledged" in rig.disk.journal)


# Recording ----------------------------------------------------------------------------------------------------------


def test_what_is_recorded_is_what_the_engine_took_in_its_order_with_its_instants() -> None:
    with running() as rig:
        rig.door(False)
        rig.thread.ask(lambda: None, 5)
        page = rig.thread.ask(lambda: rig.thread.recorded(None), 5)
        assert [(entry.point, entry.value) for entry in page.entries if isinstance(entry, Taken)] == [("door", False)]
        at = rig.clock.now()
        thread = rig.thread
        thread.ask(lambda: None, 5)  # the engine's time is past `at` now
        rig.inbox.put(Reading("door", True, at))
        rig.inbox.put(lambda: thread.acknowledge("open", None, at, ""))  # type: ignore[arg-type]
        rig.inbox.put(lambda: thread.shelve("open", None, at + HOUR, at, ""))  # type: ignore[arg-type]
        rig.inbox.put(lambda: thread.unshelve("open", None, at, ""))  # type: ignore[arg-type]
        rig.inbox.put(Reading("nothing", 1, at))
        found = rig.thread.ask(lambda: rig.thread.recorded(page.cursor), 5)
        taken = found.entries[0].at
        assert taken > at
        assert found.entries == [
            Taken(taken, "door", True),
            Done(taken, "ack", "open", None),
            Done(taken, "shelve", "open", None, at + HOUR),
            Done(taken, "unshelve", "open", None),
            Taken(taken, "nothing", 1),
        ]
        assert thread.engine.alarms["open", None].acknowledged


def test_the_tap_is_closed_when_nobody_asks_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.recorder._FORGET_AFTER", 0)
    with running() as rig:
        rig.thread.ask(lambda: rig.thread.recorded(None), 5)
        wait_until(lambda: rig.thread._tap is None)  # noqa: SLF001 - that it costs nothing is what this is about


# Other settings -----------------------------------------------------------------------------------------------------


def test_other_settings_keep_what_is_remembered_and_end_what_is_gone() -> None:
    more = EngineSettings(
        DOOR.sources, {**DOOR.alarms, "shut": AlarmSettings.model_validate({"input": "door", "is": False})}
    )
    with running() as rig:
        rig.door(True)
        rig.thread.ask(lambda: rig.thread.replace(more, {}), 5)
        assert {name for name, _ in rig.thread.engine.alarms} == {"open", "shut"}
        assert str(rig.thread.engine.alarms["open", None].state) == "raised"
        rig.thread.ask(lambda: rig.thread.replace(EngineSettings(DOOR.sources), {}), 5)
        assert rig.disk.journal.count("call") == 1
        assert rig.disk.journal[-1] == "removed"


def test_settings_that_the_engine_cannot_take_change_nothing() -> None:
    broken = EngineSettings({"door": None}, DOOR.alarms)  # type: ignore[dict-item]
    with running() as rig:
        engine = rig.thread.engine
        with pytest.raises((AttributeError, TypeError)):
            rig.thread.ask(lambda: rig.thread.replace(broken, {}), 5)
        assert rig.thread.engine is engine
        rig.door(True)
        wait_until(lambda: "call" in rig.disk.journal)


def test_a_reading_of_a_source_that_is_gone_is_taken_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It waited in the queue while its source was removed."""
    with running() as rig:
        rig.inbox.put(lambda: rig.thread.replace(EngineSettings(), {}))
        rig.door(True, rig.note("done"))
        wait_until(lambda: "done" in rig.disk.journal)
        assert "call" not in rig.disk.journal
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_time_goes_on_from_where_the_old_engine_stood() -> None:
    """A reading that waits behind the new settings, and is older than they, is taken at its own instant."""
    with running() as rig:
        with rig.held_up():
            rig.inbox.put(lambda: rig.thread.replace(DOOR, {}))
            at = rig.clock.now()
            rig.inbox.put(Reading("door", True, at))
        rig.thread.ask(lambda: None, 5)
        assert rig.thread.engine.points["door"].at == at
