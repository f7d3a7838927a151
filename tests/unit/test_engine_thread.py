"""The engine's thread: commits, then acknowledges; nothing stops it."""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from edge_agent.core.engine import Engine, EngineSettings
from edge_agent.core.events import Changes
from edge_agent.core.points import SourceSpec
from edge_agent.core.reading import Reading
from edge_agent.core.settings import AlarmSettings
from edge_agent.delivery.rows import Call
from edge_agent.engine_thread import EngineThread
from edge_agent.inbox import Inbox
from edge_agent.system.clock import Clock
from tests.helpers import wait_until

DOOR = EngineSettings(
    {"door": SourceSpec(fields=())}, {"open": AlarmSettings.model_validate({"input": "door", "is": True, "call": "x"})}
)


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
    def __init__(self) -> None:
        self.clock = Clock()
        self.disk = Disk()
        self.inbox = Inbox()
        self.courier = Courier(self.disk.journal)
        engine = Engine(DOOR, self.clock.now())
        self.thread = EngineThread(engine, self.inbox, self.disk, self.clock, self.courier)

    def door(self, value: object, done: Callable[[], None] | None = None) -> None:
        self.inbox.put(Reading("door", value, self.clock.now(), "", done))  # type: ignore[arg-type]

    def note(self, word: str) -> Callable[[], None]:
        return lambda: self.disk.journal.append(word)


@contextmanager
def running() -> Iterator[Rig]:
    rig = Rig()
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
