"""The sender against the sandbox: real sockets, the real clock, short time-outs."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.core.fields import SECOND
from edge_agent.core.settings import Priority
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.rows import Call
from edge_agent.delivery.sender import Sender
from edge_agent.delivery.store import DATABASE, Store
from edge_agent.iotcall.client import Client
from edge_agent.iotcall.sandbox import Fault, FaultKind, Sandbox
from edge_agent.iotcall.settings import IotcallSettings, RuleSettings
from edge_agent.system.clock import Clock
from tests.delivery_kit import raised, rule
from tests.helpers import wait_until

CODE = "MFhjT0s2ODIDWA=="


class Rig:
    """A sender, its outbox on disk, and an IoTCall."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.clock = Clock(trusted=True)
        self.code = CODE
        self.rules: dict[str, RuleSettings] = {f"r{n}": rule(f"K{n}") for n in range(25)}
        self.counted: list[tuple[str, int]] = []
        self.begin()

    def begin(self, timeout: str = "1s") -> None:
        """Start as the agent does."""
        self.store = Store(self.folder / DATABASE)
        self.outbox = Outbox(self.store, self.clock)
        self.outbox.enter_boot()
        self.broken = self.outbox.dispatch.resume()
        settings = IotcallSettings.model_validate({"base_url": self.sandbox.url, "timeout": timeout})
        client = Client(settings, lambda: self.code)
        self.sender = Sender(
            self.outbox, lambda: client, self.rules, self.clock, lambda who, at: self.counted.append((who, at))
        )
        self.sender.start()

    def end(self) -> None:
        self.sender.stop(3.0)
        self.outbox.close()

    def alarm(self, number: int = 0, alarm: str = "hot", **others: object) -> int:
        """Raise an alarm that calls; return when."""
        at = self.clock.now()
        self.outbox.commit(raised(at, f"r{number}", alarm, **others))  # type: ignore[arg-type]
        self.sender.wake()
        return at

    def calls(self, number: int = 0) -> list[int]:
        """When each POST of a rule came."""
        return [call.at for call in self.sandbox.calls if call.url_key == f"K{number}"]

    def row(self, row: int = 1) -> Call:
        call = self.outbox.get(row)
        assert call is not None
        return call

    def wait(self, state: str, row: int = 1, timeout_s: float = 10) -> Call:
        wait_until(lambda: self.row(row).state == state, timeout_s)
        return self.row(row)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(CODE) as sandbox:
        yield sandbox


@pytest.fixture
def rig(tmp_path: Path, sandbox: Sandbox) -> Iterator[Rig]:
    rig = Rig(tmp_path, sandbox)
    yield rig
    rig.end()


def test_a_call_goes_out_at_once_and_once(rig: Rig) -> None:
    at = rig.alarm()
    call = rig.wait("placed")
    assert [(each.url_key, each.headers["authorization"], each.body) for each in rig.sandbox.calls] == [
        ("K0", CODE, b"")
    ]
    assert rig.calls()[0] - at < SECOND // 2
    assert (call.attempts, call.last_result, call.last_error) == (1, "placed", None)
    assert rig.sender.reachable is True


def test_a_call_goes_out_within_a_second_while_20_other_rules_hang(rig: Rig) -> None:
    for n in range(1, 21):
        rig.sandbox.faults[f"K{n}"] = Fault(FaultKind.HANG)
        rig.alarm(n, f"alarm {n}")
    wait_until(lambda: len(rig.sandbox.calls) >= 20)
    at = rig.alarm(0)
    rig.wait("placed", 21)
    assert rig.calls()[0] - at < SECOND


def test_what_waits_is_one_post_and_what_comes_during_it_is_not_in_it(rig: Rig) -> None:
    rig.sandbox.faults["K0"] = Fault(FaultKind.SLOW, 0.5)
    rig.alarm(0, "a")
    wait_until(lambda: len(rig.calls()) == 1)
    rig.alarm(0, "b")
    rig.alarm(0, "c")
    for row in (1, 2, 3):
        rig.wait("placed", row)
    assert len(rig.calls()) == 2
    assert rig.row(2).finished_wall == rig.row(3).finished_wall
    assert rig.row(1).finished_wall != rig.row(2).finished_wall


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        (FaultKind.REFUSED, "refused"),
        (FaultKind.HTTP_404, "rule"),
        (FaultKind.HTTP_401, "auth"),
        (FaultKind.HTTP_500, "busy"),
        (FaultKind.PORTAL, "not_iotcall"),
        (FaultKind.REDIRECT, "not_iotcall"),
        (FaultKind.HTTP_407, "not_iotcall"),
        (FaultKind.GARBAGE, "not_iotcall"),
        (FaultKind.LOST, "ambiguous"),
        (FaultKind.DOWN, "offline"),
    ],
)
def test_what_comes_back_is_kept_with_the_row(rig: Rig, fault: FaultKind, result: str) -> None:
    rig.sandbox.fault = Fault(fault)
    rig.alarm()
    wait_until(lambda: rig.row().attempts >= 1)
    call = rig.row()
    assert (call.state, call.last_result, bool(call.ambiguous)) == ("waiting", result, result == "ambiguous")
    assert call.last_error
    wait_until(lambda: [who for who, _ in rig.counted[:1]] == ["r0"] * bool(call.ambiguous))


@pytest.mark.parametrize("asked_s", [1.0, 2.5])
def test_retry_after_is_kept(rig: Rig, asked_s: float) -> None:
    rig.sandbox.fault = Fault(FaultKind.HTTP_429, asked_s)
    rig.alarm()
    wait_until(lambda: len(rig.calls()) == 1)
    rig.sandbox.fault = None
    rig.alarm(0, "cold")
    rig.wait("placed")
    first, second = rig.calls()
    # the header has whole seconds
    assert int(asked_s) * SECOND <= second - first <= (asked_s + 2.5) * SECOND


def test_another_auth_code_sends_at_once(rig: Rig) -> None:
    rig.code = "wrong"
    rig.alarm()
    wait_until(lambda: rig.row().last_result == "auth")
    rig.code = CODE
    rig.sender.auth_changed()
    rig.wait("placed", timeout_s=2)
    assert len(rig.calls()) == 2


@pytest.mark.parametrize("fault", [FaultKind.DOWN, FaultKind.PORTAL])
def test_within_5_s_of_the_line_s_return_all_goes_out(rig: Rig, fault: FaultKind) -> None:
    """Also when the back-off has grown: here each row is told to wait a minute."""
    rig.sandbox.fault = Fault(fault)
    for n in range(10):
        rig.alarm(n, f"alarm {n}")
    wait_until(lambda: all(call.attempts for call in rig.outbox.rows()))
    later = rig.clock.now() + 60 * SECOND
    rig.store.write(lambda db: db.execute("UPDATE calls SET next_attempt_at = ?", (later,)))
    seen = len(rig.sandbox.calls)
    rig.sandbox.fault = None
    back = rig.clock.now()
    wait_until(lambda: all(call.state == "placed" for call in rig.outbox.rows()), 6)
    times = [call.at for call in rig.sandbox.calls[seen:] if call.activated]
    assert min(times) - back <= 5 * SECOND
    assert max(times) - min(times) <= SECOND
    assert len(times) == 10


@pytest.mark.parametrize("fault", [FaultKind.DOWN, FaultKind.PORTAL])
def test_after_an_outage_the_most_urgent_call_goes_first(rig: Rig, fault: FaultKind) -> None:
    """Whoever finds that the line is back, and whatever the order in which they were raised."""
    ranks = [Priority.LOW, Priority.HIGH, Priority.MEDIUM, Priority.LOW, Priority.HIGH, Priority.MEDIUM]
    rig.sandbox.fault = Fault(fault)
    for number, rank in enumerate(ranks):
        rig.alarm(number, priority=rank)
    wait_until(lambda: all(call.last_result is not None for call in rig.outbox.rows()))
    wait_until(lambda: all(call.attempts > 1 for call in rig.outbox.rows()), 20)
    rig.sandbox.fault = None
    wait_until(lambda: all(call.state == "placed" for call in rig.outbox.rows()), 10)
    order = [ranks[int(call.url_key[1:])].rank for call in rig.sandbox.calls if call.activated]
    assert order == sorted(order)


def test_a_hanging_urgent_call_holds_up_no_other(rig: Rig) -> None:
    """It has a head start of a moment, not more."""
    rig.sandbox.set_fault(Fault(FaultKind.HANG), "K0")
    rig.outbox.commit(raised(rig.clock.now(), "r0", priority=Priority.HIGH))
    at = rig.alarm(1, priority=Priority.LOW)
    wait_until(lambda: rig.calls(1))
    assert rig.calls(1)[0] - at < SECOND


def test_a_kill_during_an_attempt_makes_it_ambiguous_and_it_is_tried_again(rig: Rig) -> None:
    rig.sandbox.fault = Fault(FaultKind.HANG)
    rig.alarm()
    wait_until(lambda: len(rig.calls()) == 1)
    rig.sender.stop(0.0)  # as far as the database can tell, killed: the answer is never recorded
    rig.store.close()
    rig.sandbox.fault = None
    rig.begin()
    assert [call.id for call in rig.broken] == [1]
    call = rig.wait("placed")
    assert (call.attempts, bool(call.ambiguous)) == (2, True)


def test_no_attempt_begins_after_stop(rig: Rig) -> None:
    rig.sender.stop(1.0)
    rig.alarm()
    assert not rig.sender.alive()
    assert (rig.sandbox.calls, rig.row().attempts) == ([], 0)


def test_people_may_withdraw_and_retry_whatever_goes_on(rig: Rig) -> None:
    """A withdrawn call stays withdrawn; none is sent after it was; none is lost."""
    rig.sandbox.fault = Fault(FaultKind.HTTP_500)
    for n in range(20):
        rig.alarm(n, f"alarm {n}")
    withdrawn: set[int] = set()
    stop = threading.Event()

    def meddle() -> None:
        while not stop.is_set():
            for row in range(1, 21, 2):
                if rig.outbox.cancel(row):
                    withdrawn.add(row)
            for row in range(2, 21, 2):
                if rig.outbox.retry(row):
                    rig.sender.retried(f"r{row - 1}")

    meddler = threading.Thread(target=meddle)
    meddler.start()
    time.sleep(0.5)
    rig.sandbox.fault = None
    wait_until(lambda: all(call.state in ("placed", "cancelled") for call in rig.outbox.rows()))
    stop.set()
    meddler.join()
    for call in rig.outbox.rows():
        assert (call.state == "cancelled") is (call.id in withdrawn)
        assert not call.sending
    assert all(rig.row(row).state == "placed" for row in range(2, 21, 2))


def test_a_call_by_hand(rig: Rig) -> None:
    row, outcome = rig.sender.call_by_hand("r3")
    assert (rig.row(row).state, outcome.result, len(rig.calls(3))) == ("placed", "placed", 1)
    rig.sandbox.fault = Fault(FaultKind.HTTP_500)
    row, outcome = rig.sender.call_by_hand("r3")
    assert (rig.row(row).state, outcome.result, len(rig.calls(3))) == ("failed", "busy", 2)
