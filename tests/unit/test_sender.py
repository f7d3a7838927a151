"""The sender on a clock that is moved by hand: what is sent when, hour by hour."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.core.events import Changes, EventKind
from edge_agent.core.fields import SECOND
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.sender import Sender
from edge_agent.delivery.store import DATABASE, Store
from edge_agent.iotcall.outcome import Outcome, Result
from edge_agent.iotcall.settings import RuleSettings
from tests.delivery_kit import (
    AMBIGUOUS,
    HOUR,
    MINUTE,
    OFFLINE,
    PLACED,
    FakeClient,
    FakeClocks,
    cleared,
    event,
    only,
    raised,
    rule,
)
from tests.helpers import wait_until

REFUSED = Outcome(Result.REFUSED, 'refused: status "ng"')
NO_RULE = Outcome(Result.RULE, "HTTP 404")
AUTH = Outcome(Result.AUTH, "HTTP 401")


class Rig:
    """A sender on an outbox, whose attempts are noted as seconds since the start."""

    def __init__(self, folder: Path) -> None:
        self.clocks = FakeClocks()
        self.began = self.clocks.now()
        self.answers: dict[str, Outcome] = {}
        self.client = FakeClient(self.clocks, lambda key: self.answers.get(key, PLACED))
        self.outbox = Outbox(Store(folder / DATABASE), self.clocks)
        self.counted: list[str] = []
        self.rules: dict[str, RuleSettings] = {"pump": rule("PUMP"), "manager": rule("MANAGER")}
        self.passes = threading.Semaphore(0)
        self._sender: Sender | None = None

    @property
    def sender(self) -> Sender:
        if self._sender is None:
            self._sender = Sender(
                self.outbox, lambda: self.client, self.rules, self.clocks, lambda who, _: self.counted.append(who),
                lambda: 0.5,
            )  # fmt: skip
            self._sender.start()
        return self._sender

    def settle(self) -> None:
        """Return when the sender has done all that is due now."""
        sender = self.sender
        for _ in range(2):
            wait_until(self._is_quiet, step_s=0.001)
            seen = threading.Event()
            original = self.outbox.dispatch.revivable

            def looked(original: Callable[[], list[object]] = original, seen: threading.Event = seen) -> list[object]:  # type: ignore[assignment]
                found = original()
                seen.set()
                return found

            self.outbox.dispatch.revivable = looked  # type: ignore[method-assign, assignment]
            sender.wake()
            assert seen.wait(10)
            self.outbox.dispatch.revivable = original  # type: ignore[method-assign]
        wait_until(self._is_quiet, step_s=0.001)

    def _is_quiet(self) -> bool:
        sender = self.sender
        workers = sender._workers  # noqa: SLF001 - there is no other sign
        return not sender._in_flight and not sender._woken and workers._free == workers._threads  # noqa: SLF001

    def sent(self, key: str = "PUMP") -> list[float]:
        return [(at - self.began) / SECOND for at, sent_key in self.client.sent if sent_key == key]

    def run(self, until_s: float, step_s: float = 1.0) -> None:
        """Let time pass in steps."""
        while self.clocks.now() - self.began < until_s * SECOND:
            self.settle()
            self.clocks.move(round(step_s * SECOND))
        self.settle()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.sender.stop(5.0)
    rig.outbox.close()


def test_a_wrong_rule_gets_3_attempts_5_and_20_seconds_apart_then_one_every_10_minutes(rig: Rig) -> None:
    rig.answers["PUMP"] = NO_RULE
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.run(30)
    assert rig.sent() == [0, 5, 25]
    assert (only(rig.outbox).state, only(rig.outbox).attempts) == ("failed", 3)
    rig.run(1900, 25)
    assert rig.sent()[3:] == pytest.approx([625, 1225, 1825], abs=80)
    assert only(rig.outbox).state == "failed"
    rig.answers.clear()
    rig.run(2700, 25)
    assert only(rig.outbox).state == "placed"
    assert len(rig.sent()) == 7


def test_a_refused_call_gets_6_attempts(rig: Rig) -> None:
    rig.answers["PUMP"] = REFUSED
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.run(60)
    assert rig.sent() == [0, 1, 3, 7, 15, 31]
    assert (only(rig.outbox).state, only(rig.outbox).last_result) == ("failed", "refused")


@pytest.mark.parametrize("why", ["cleared", "expired"])
def test_a_failed_call_is_given_up_when_its_alarm_is_over_or_it_is_too_old(rig: Rig, why: str) -> None:
    rig.rules["pump"] = rule("PUMP", expires="9m")
    rig.answers["PUMP"] = NO_RULE
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.run(30)
    if why == "cleared":
        rig.outbox.commit(cleared(rig.clocks.now()))
    rig.run(800, 30)
    assert len(rig.sent()) == 3
    assert (only(rig.outbox).state, only(rig.outbox).next_attempt_at) == ("failed", None)


def test_calls_that_failed_together_are_tried_again_together(rig: Rig) -> None:
    rig.answers["PUMP"] = NO_RULE
    for alarm in ("a", "b", "c"):
        rig.outbox.commit(raised(rig.clocks.now(), alarm=alarm))
    rig.run(30)
    rig.answers.clear()
    rig.run(660, 30)
    assert len(rig.sent()) == 4
    assert {call.state for call in rig.outbox.rows()} == {"placed"}


def test_a_new_call_is_sent_at_once_and_the_old_one_keeps_its_own_times(rig: Rig) -> None:
    rig.answers["PUMP"] = NO_RULE
    rig.outbox.commit(raised(rig.clocks.now(), alarm="a"))
    rig.run(2)
    rig.outbox.commit(raised(rig.clocks.now(), alarm="b"))
    rig.run(40)
    assert rig.sent() == [0, 2, 5, 7, 25, 27]
    assert [call.attempts for call in rig.outbox.rows()] == [3, 3]


def test_a_wrong_auth_code_is_tried_once_a_minute_for_each_rule_and_at_once_when_it_changes(rig: Rig) -> None:
    rig.answers = {"PUMP": AUTH, "MANAGER": AUTH}
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.outbox.commit(raised(rig.clocks.now(), "manager", "cold"))
    rig.run(10)
    rig.outbox.commit(raised(rig.clocks.now(), alarm="later"))
    rig.run(130)
    assert rig.sent() == [0, 60, 120]
    assert rig.sent("MANAGER") == [0, 60, 120]
    rig.answers.clear()
    rig.sender.auth_changed()
    rig.settle()
    assert rig.sent() == [0, 60, 120, 130]
    assert {call.state for call in rig.outbox.rows()} == {"placed"}


def test_patience_with_a_rule_is_kept_over_a_restart_and_by_its_new_calls(rig: Rig) -> None:
    rig.answers["PUMP"] = Outcome(Result.BUSY, "HTTP 429", 100.0)
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.run(1)
    rig.sender.stop(5.0)
    rig._sender = None  # noqa: SLF001 - another start
    rig.outbox.commit(raised(rig.clocks.now(), alarm="cold"))
    rig.outbox.commit(raised(rig.clocks.now(), "manager", "warm"))
    rig.run(110)
    assert rig.sent() == [0, 101]
    assert rig.sent("MANAGER") == [1], "the others go on"


def test_a_call_that_somebody_retries_is_sent_at_once_and_other_rules_keep_their_patience(rig: Rig) -> None:
    rig.answers = {key: Outcome(Result.BUSY, "HTTP 429", 100.0) for key in ("PUMP", "MANAGER")}
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.outbox.commit(raised(rig.clocks.now(), "manager", "cold"))
    rig.run(10)
    assert rig.outbox.retry(1)
    rig.sender.retried("pump")
    rig.run(20)
    assert (rig.sent(), rig.sent("MANAGER")) == ([0, 10], [0])


def test_each_attempt_without_an_answer_is_counted_and_over_the_budget_the_call_waits(rig: Rig) -> None:
    rig.rules["pump"] = rule("PUMP", max_calls=3, per="10m")
    rig.answers["PUMP"] = AMBIGUOUS
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.run(400, 5)
    assert rig.sent() == [0, 5, 10], "the call itself and two attempts without an answer: three triggers at most"
    assert rig.counted == ["pump"] * 3
    call = only(rig.outbox)
    assert call.state == "waiting"
    assert call.reason.startswith("budget")
    assert len(rig.outbox.triggers("pump", 10 * MINUTE)) == 4
    rig.answers.clear()
    rig.run(700, 5)
    assert rig.sent() == [0, 5, 10, 600]
    assert only(rig.outbox).state == "placed"


def test_over_the_budget_a_call_that_certainly_did_not_go_out_still_goes(rig: Rig) -> None:
    """It was counted when it was made; what may have gone out rides along."""
    rig.rules["pump"] = rule("PUMP", max_calls=1, per="1h")
    rig.answers["PUMP"] = AMBIGUOUS
    rig.outbox.commit(raised(rig.clocks.now(), alarm="a"))
    rig.run(60)
    assert rig.sent() == [0]
    rig.answers.clear()
    rig.outbox.commit(raised(rig.clocks.now(), alarm="b"))
    rig.run(70)
    assert rig.sent() == [0, 60]
    assert {call.state for call in rig.outbox.rows()} == {"placed"}


def test_somebody_s_retry_goes_out_whatever_the_budget(rig: Rig) -> None:
    rig.rules["pump"] = rule("PUMP", max_calls=1, per="1h")
    rig.answers["PUMP"] = AMBIGUOUS
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.run(30)
    assert rig.outbox.retry(1)
    rig.sender.retried("pump")
    rig.run(60)
    assert rig.sent() == [0, 30]


def test_no_limit_is_no_limit(rig: Rig) -> None:
    rig.rules["pump"] = rule("PUMP", max_calls=0)
    rig.answers["PUMP"] = AMBIGUOUS
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.run(40)
    assert rig.sent() == [0, 1, 3, 7, 15, 31]


def test_the_line_is_tried_every_5_seconds_and_its_return_sends_all(rig: Rig) -> None:
    rig.client.line_is_up = False
    for n in range(5):
        rig.outbox.commit(raised(rig.clocks.now(), "pump" if n % 2 else "manager", f"alarm {n}"))
    rig.run(300)
    assert rig.client.sent == []
    assert rig.client.probes >= 295 / 5
    assert rig.sender.reachable is False
    rig.client.line_is_up = True
    back = (rig.clocks.now() - rig.began) / SECOND
    rig.run(back + 5)
    assert {call.state for call in rig.outbox.rows()} == {"placed"}
    assert len(rig.client.sent) == 2
    assert rig.sender.reachable is True


def test_a_restart_without_a_line_goes_on_trying_it(rig: Rig) -> None:
    """The back-off of the row, up to 30 s, is not what the line waits for."""
    rig.client.line_is_up = False
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.run(100)
    rig.sender.stop(5.0)
    rig._sender = None  # noqa: SLF001 - another start
    rig.client.line_is_up = True
    rig.run(105)
    assert only(rig.outbox).state == "placed"


def test_only_the_most_urgent_waiting_call_is_posted_to_try_the_line(rig: Rig) -> None:
    """Behind a captive portal each try is a POST: of one rule, not of all."""
    portal = Outcome(Result.NOT_IOTCALL, "a captive portal")
    rig.rules |= {f"r{n}": rule(f"R{n}") for n in range(10)}
    rig.answers = {f"R{n}": portal for n in range(10)} | {"PUMP": portal}
    rig.outbox.commit(raised(rig.clocks.now()))
    for n in range(10):
        rig.outbox.commit(raised(rig.clocks.now(), f"r{n}", f"alarm {n}"))
    rig.run(200)
    gaps = [later - earlier for earlier, later in zip(rig.sent(), rig.sent()[1:], strict=False)]
    assert max(gaps) <= 5
    assert len(rig.sent("R0")) < len(rig.sent()) / 3
    rig.answers.clear()
    rig.run(205)
    assert {call.state for call in rig.outbox.rows()} == {"placed"}


def test_each_call_is_a_trigger_of_its_own_without_coalescing(rig: Rig) -> None:
    rig.rules["pump"] = rule("PUMP", coalesce=False)
    for alarm in ("a", "b", "c"):
        rig.outbox.commit(raised(rig.clocks.now(), alarm=alarm))
    rig.run(1)
    assert len(rig.sent()) == 3
    assert [call.attempts for call in rig.outbox.rows()] == [1, 1, 1]


def test_a_call_expires_and_is_not_sent_any_more(rig: Rig) -> None:
    rig.rules["pump"] = rule("PUMP", expires="1m")
    rig.client.line_is_up = False
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.run(70)
    assert only(rig.outbox).state == "expired"
    rig.client.line_is_up = True
    rig.run(100)
    assert rig.client.sent == []


def test_a_call_by_hand_is_one_attempt_whatever_comes_of_it(rig: Rig) -> None:
    rig.answers["PUMP"] = AMBIGUOUS
    row, outcome = rig.sender.call_by_hand("pump")
    rig.run(100, 10)
    assert (len(rig.sent()), outcome.result) == (1, Result.AMBIGUOUS)
    call = rig.outbox.get(row)
    assert call is not None
    assert (call.state, call.alarm, call.attempts) == ("failed", None, 1)
    assert rig.counted == ["pump", "pump"]
    rig.answers.clear()
    row, outcome = rig.sender.call_by_hand("pump")
    assert outcome.result is Result.PLACED
    rig.client.line_is_up = False
    row, outcome = rig.sender.call_by_hand("pump")
    assert [call.state for call in rig.outbox.rows()] == ["failed", "placed", "failed"]


def test_an_attempt_that_breaks_off_leaves_its_calls_ambiguous_not_stuck(rig: Rig) -> None:
    def broken(_key: str) -> Outcome:
        raise ZeroDivisionError

    rig.client.answer = broken
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.run(1)
    call = only(rig.outbox)
    assert (call.state, call.sending, call.last_result) == ("waiting", False, "ambiguous")
    rig.client.answer = lambda _key: PLACED
    rig.run(10)
    assert only(rig.outbox).state == "placed"


def test_a_reload_takes_rules_away_and_brings_others(rig: Rig) -> None:
    rig.client.line_is_up = False
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.run(3)
    rig.sender.configure({"manager": rule("MANAGER")}, lambda: rig.client)
    rig.client.line_is_up = True
    rig.run(40)
    assert (rig.client.sent, only(rig.outbox).state) == ([], "waiting")
    rig.sender.configure({"pump": rule("NEW")}, lambda: rig.client)
    rig.run(45)
    assert rig.sent("NEW") != []


def test_a_quiet_sender_costs_next_to_nothing(rig: Rig) -> None:
    """A waiting call or none: no write, and a handful of small queries a second."""
    rig.answers["PUMP"] = AUTH
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.outbox.commit(Changes((event(EventKind.SUPPRESSED, rig.clocks.now(), alarm="cold"),), ()))
    rig.run(1)
    store = rig.outbox._store  # noqa: SLF001 - its counters are what this is about
    before = store.changes
    reads = 0
    original = store.read

    def counting(sql: str, *values: object) -> list[object]:
        nonlocal reads
        reads += 1
        return original(sql, *values)  # type: ignore[return-value]

    store.read = counting  # type: ignore[method-assign, assignment]
    for _ in range(50):
        rig.clocks.move(SECOND // 2)
        rig.settle()
    store.read = original  # type: ignore[method-assign]
    assert store.changes == before
    assert reads <= 50 * 3 + 5


def test_offline_is_told_once(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.client.line_is_up = False
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.run(60)
    rig.client.line_is_up = True
    caplog.set_level("INFO")
    rig.run(70)
    told = [line.getMessage().split()[0] for line in caplog.records if line.name.startswith("edge_agent.delivery")]
    assert told == ["event=not_placed_yet", "event=line_down", "event=placed", "event=line_up"]


def test_hour_long_outage_is_no_loss(rig: Rig) -> None:
    rig.client.answer = lambda _key: OFFLINE
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.run(HOUR / SECOND, 20)
    rig.client.answer = lambda _key: PLACED
    rig.run(HOUR / SECOND + 25, 5)
    assert only(rig.outbox).state == "placed"


def test_what_is_claimed_is_sent_from_its_commit_on_and_freed_after(rig: Rig) -> None:
    """The engine's commit is the only one before the request; a rule is claimed once."""
    sender = rig.sender
    assert sender.claim(["pump", "nobody"]) == {"pump": True}
    assert sender.claim(["pump"]) == {}
    begun = rig.outbox.commit(raised(rig.clocks.now()), {"pump": True})
    assert rig.sent() == []
    sender.dispatch({"pump": True}, begun)
    rig.settle()
    assert rig.sent() == [0]
    assert (only(rig.outbox).state, only(rig.outbox).attempts) == ("placed", 1)
    assert sender.claim(["pump"]) == {"pump": True}
    sender.dispatch({"pump": True}, {})
    rig.outbox.commit(raised(rig.clocks.now(), alarm="cold"))
    rig.settle()
    assert rig.sent() == [0, 0]


def test_a_rule_on_hold_or_without_a_line_is_not_claimed(rig: Rig) -> None:
    """Such calls wait in the outbox as any other."""
    rig.answers["PUMP"] = AUTH
    rig.outbox.commit(raised(rig.clocks.now()))
    rig.settle()
    assert rig.sender.claim(["pump"]) == {}
    rig.answers["MANAGER"] = OFFLINE
    rig.outbox.commit(raised(rig.clocks.now(), "manager"))
    rig.settle()
    assert rig.sender.claim(["manager"]) == {}
