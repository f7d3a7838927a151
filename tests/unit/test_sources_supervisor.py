"""The supervisor, with drivers that fail in every way that one can."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from edge_agent.core.fields import SECOND
from edge_agent.sources.base import Intake, SourceError
from edge_agent.sources.supervisor import Restarts, Supervisor
from tests.helpers import wait_until
from tests.recording import RecordingIntake, now


class ScriptedDriver:
    """A driver whose `open` and `serve` do what the test gives them."""

    def __init__(self, name: str = "x") -> None:
        self.name = name
        self.sources: tuple[str, ...] = (name,)
        self.opening: Callable[[], None] = lambda: None
        self.serving: Callable[[], None] = lambda: time.sleep(0.01)
        self.back = False
        self.opened: list[float] = []
        self.closed = 0
        self.intake: Intake | None = None

    def open(self, intake: Intake) -> None:
        self.intake = intake
        self.opened.append(time.monotonic())
        self.opening()
        intake.online(self.name)

    def serve(self, timeout_s: float) -> None:
        del timeout_s
        self.serving()

    def close(self) -> None:
        self.closed += 1

    def returned(self) -> bool:
        return self.back


def failing(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


Start = Callable[..., tuple[Supervisor, RecordingIntake]]


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[Supervisor] = []

    def begin(*drivers: ScriptedDriver) -> tuple[Supervisor, RecordingIntake]:
        intake = RecordingIntake()
        supervisor = Supervisor(drivers, intake, now)
        made.append(supervisor)
        supervisor.start()
        return supervisor, intake

    yield begin
    for supervisor in made:
        supervisor.stop()


def test_every_source_is_offline_first_and_then_online(start: Start) -> None:
    _, intake = start(ScriptedDriver("a"), ScriptedDriver("b"))
    wait_until(lambda: intake.is_online("a") and intake.is_online("b"))
    assert intake.states[:2] == [("a", "not opened yet", ""), ("b", "not opened yet", "")]


@pytest.mark.parametrize(
    "error", [SourceError("gone", "look"), OSError("gone"), RuntimeError("a bug"), TypeError("x")], ids=repr
)
def test_whatever_a_driver_raises_it_is_closed_and_opened_again(
    start: Start, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "edge_agent.sources")
    driver = ScriptedDriver()
    driver.opening = failing(error)
    _, intake = start(driver)
    wait_until(lambda: len(driver.opened) == 2)
    driver.opening = lambda: None
    wait_until(lambda: intake.is_online("x"))
    assert str(error) in intake.states[1][1]
    assert [record.getMessage()[:22] for record in caplog.records] == [
        "source=x state=offline",
        "source=x state=online",
    ]
    assert driver.closed >= 2


def test_loss_in_serve_is_offline_and_logged_once(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "edge_agent.sources")
    driver = ScriptedDriver()
    driver.serving = failing(SourceError("unplugged", "plug it in"))
    _, intake = start(driver)
    wait_until(lambda: ("x", "unplugged", "plug it in") in intake.states)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_pause_doubles_and_ends_when_the_driver_says_so(start: Start) -> None:
    driver = ScriptedDriver()
    driver.opening = failing(SourceError("gone"))
    start(driver)
    wait_until(lambda: len(driver.opened) == 3)
    first, second = driver.opened[1] - driver.opened[0], driver.opened[2] - driver.opened[1]
    assert 0.9 < first < 1.5
    assert 1.9 < second < 2.6
    driver.back = True  # the next pause would be 4 s
    wait_until(lambda: len(driver.opened) == 4, timeout_s=2)


def test_threads_are_named_and_beat_also_in_a_pause(start: Start) -> None:
    good, bad = ScriptedDriver("good"), ScriptedDriver("bad")
    bad.opening = failing(SourceError("gone"))
    supervisor, _ = start(good, bad)
    assert set(supervisor.beats()) == {"source:good", "source:bad", "sources"}
    assert {"source:good", "source:bad"} <= {thread.name for thread in threading.enumerate()}
    before = supervisor.beats()
    wait_until(lambda: all(at > before[name] for name, at in supervisor.beats().items()))


def test_driver_that_hangs_does_not_beat_and_does_not_hold_up_stop(start: Start) -> None:
    release = threading.Event()
    driver = ScriptedDriver()

    def hang() -> None:
        release.wait(30)

    driver.serving = hang
    supervisor, _ = start(driver)
    wait_until(lambda: driver.opened)
    before = supervisor.beats()["source:x"]
    began = time.monotonic()
    supervisor.stop()
    supervisor.stop()
    assert time.monotonic() - began < 2.5
    assert supervisor.beats()["source:x"] - before < 500_000
    release.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_died_is_started_again(start: Start) -> None:
    driver = ScriptedDriver()
    driver.opening = failing(SystemExit())  # passes by `except Exception`
    _, intake = start(driver)
    wait_until(lambda: driver.opened)
    driver.opening = lambda: None
    wait_until(lambda: intake.is_online("x"))


def test_stop_closes_and_ends_all_threads(start: Start) -> None:
    drivers = [ScriptedDriver("a"), ScriptedDriver("b")]
    drivers[1].opening = failing(SourceError("gone"))
    supervisor, _ = start(*drivers)
    wait_until(lambda: all(driver.opened for driver in drivers))
    supervisor.stop()
    assert all(driver.closed for driver in drivers)
    assert not {thread.name for thread in threading.enumerate()} & {"source:a", "source:b", "sources"}


# Exchanging drivers -------------------------------------------------------------------------------------------------


def test_drivers_that_stay_notice_nothing_of_an_exchange(start: Start) -> None:
    """The others end, and new ones begin; a source that was online stays so until its new driver says otherwise."""
    stays, goes, comes = ScriptedDriver("stays"), ScriptedDriver("goes"), ScriptedDriver("goes")
    supervisor, intake = start(stays, goes)
    wait_until(lambda: intake.is_online("stays") and intake.is_online("goes"))
    told = len(intake.states)
    assert supervisor.end_all_but({"stays"}) == [goes]
    assert (goes.closed, stays.closed, len(stays.opened)) == (1, 0, 1)
    assert set(supervisor.beats()) == {"source:stays", "sources"}
    new = ScriptedDriver("new")
    supervisor.begin([comes, new], online={"stays", "goes"})
    wait_until(lambda: intake.is_online("new") and comes.opened)
    assert ("goes", "not opened yet", "") not in intake.states[told:]
    assert ("new", "not opened yet", "") in intake.states[told:]
    assert (len(stays.opened), stays.closed, len(goes.opened)) == (1, 0, 1)


def test_a_source_that_stays_online_for_its_new_driver_is_offline_when_that_fails(start: Start) -> None:
    supervisor, intake = start(ScriptedDriver())
    wait_until(lambda: intake.is_online("x"))
    supervisor.end_all_but(())
    new = ScriptedDriver()
    new.opening = failing(SourceError("no such port"))
    supervisor.begin([new], online={"x"})
    wait_until(lambda: intake.state("x") == "no such port")


def test_a_driver_that_was_ended_can_begin_again(start: Start) -> None:
    driver = ScriptedDriver()
    supervisor, intake = start(driver)
    wait_until(lambda: intake.is_online("x"))
    supervisor.begin(supervisor.end_all_but(()), online={"x"})
    wait_until(lambda: len(driver.opened) == 2)


def test_a_driver_that_hangs_is_not_heard_any_more_and_its_successor_waits_for_it(start: Start) -> None:
    """They would fight for the port, the pin or the session."""
    hangs, release = threading.Event(), threading.Event()
    old, new = ScriptedDriver(), ScriptedDriver()

    def hang() -> None:
        hangs.set()
        release.wait(30)

    supervisor, intake = start(old)
    wait_until(lambda: intake.is_online("x"))
    old.serving = hang
    assert hangs.wait(5)
    heard = old.intake
    began = time.monotonic()
    supervisor.end_all_but(())
    assert 1.5 < time.monotonic() - began < 3
    assert heard is not None
    heard.reading("x", True)
    heard.offline("x", "late")
    heard.count_refused("x", "late")
    supervisor.begin([new])
    time.sleep(0.1)
    assert new.opened == []
    assert intake.readings == intake.refused == []
    assert intake.state("x") == "not opened yet"
    release.set()
    wait_until(lambda: intake.is_online("x"))


def test_nothing_begins_after_the_end(start: Start) -> None:
    supervisor, _ = start()
    supervisor.stop()
    driver = ScriptedDriver()
    supervisor.begin([driver])
    time.sleep(0.05)
    assert driver.opened == []


def test_a_thread_that_dies_again_and_again_is_started_ever_more_rarely() -> None:
    """1 s after its start at the soonest, doubling to 30 s; one that lived for 30 s begins anew."""
    restarts = Restarts(0)
    assert [tick / 4 for tick in range(485) if restarts.due(tick * SECOND // 4)] == [1, 3, 7, 15, 31, 61, 91, 121]
    assert restarts.due(1000 * SECOND)
    assert not restarts.due(1000 * SECOND + SECOND // 2)
    assert restarts.due(1001 * SECOND)
