"""cancel_on_clear: what still waits when its alarm clears is withdrawn, and nothing else."""

from pathlib import Path

import pytest

from edge_agent.core.events import Changes, EventKind
from edge_agent.core.fields import SECOND
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.policy import CallState, Verdict
from edge_agent.delivery.store import DATABASE, Store
from edge_agent.iotcall.outcome import Outcome, Result
from tests.delivery_kit import AMBIGUOUS, OFFLINE, PLACED, FakeClocks, cleared, event, only, opened, raised

WAIT = Verdict(CallState.WAITING, 30 * SECOND)
FAILED = Verdict(CallState.FAILED, 600 * SECOND)
DONE = Verdict(CallState.PLACED, None)
REFUSED = Outcome(Result.REFUSED, "refused")


@pytest.fixture
def clocks() -> FakeClocks:
    return FakeClocks()


@pytest.fixture
def outbox(tmp_path: Path, clocks: FakeClocks) -> Outbox:
    return Outbox(Store(tmp_path / DATABASE), clocks)


def try_once(outbox: Outbox, outcome: Outcome, verdict: Verdict) -> None:
    calls = outbox.dispatch.begin("pump", None)
    outbox.dispatch.finish([(call, verdict) for call in calls], outcome)


def test_what_waits_is_withdrawn_with_its_reason_and_an_event(outbox: Outbox, clocks: FakeClocks) -> None:
    outbox.commit(raised(clocks.now()))
    try_once(outbox, OFFLINE, WAIT)
    outbox.commit(Changes((event(EventKind.REPEAT, clocks.now()),), ()))
    clocks.move(SECOND)
    outbox.commit(cleared(clocks.now(), withdraws=True))
    rows = outbox.rows()
    assert [(row.state, row.reason, row.next_attempt_at) for row in rows] == [("cancelled", "cleared", None)] * 2
    assert [row.finished_wall for row in rows] == [clocks.wall()] * 2
    told = outbox.history.events(None, 3)
    assert [(row["event"], row["call"], row["rule"], row["reason"]) for row in told] == [
        ("cancelled", 2, "pump", "cleared"), ("cancelled", 1, "pump", "cleared"),
        ("cleared", None, None, "31.5 is above 30"),
    ]  # fmt: skip
    assert outbox.dispatch.due() == []


@pytest.mark.parametrize(("verdict", "state"), [(FAILED, "cancelled"), (Verdict(CallState.FAILED, None), "failed")])
def test_a_failed_call_only_while_it_is_still_tried(
    outbox: Outbox, clocks: FakeClocks, verdict: Verdict, state: str
) -> None:
    outbox.commit(raised(clocks.now()))
    try_once(outbox, REFUSED, verdict)
    outbox.commit(cleared(clocks.now(), withdraws=True))
    assert only(outbox).state == state


@pytest.mark.parametrize(
    "other", [{"alarm": "cold"}, {"instance": "f1"}, {"episode": 2}], ids=["alarm", "instance", "episode"]
)
def test_calls_of_others_are_left_alone(outbox: Outbox, clocks: FakeClocks, other: dict[str, object]) -> None:
    outbox.commit(raised(clocks.now(), **other))  # type: ignore[arg-type]
    outbox.commit(cleared(clocks.now(), withdraws=True))
    assert only(outbox).state == "waiting"


def test_without_it_and_what_was_placed_or_held_back_stay(outbox: Outbox, clocks: FakeClocks) -> None:
    outbox.commit(raised(clocks.now()))
    try_once(outbox, PLACED, DONE)
    outbox.commit(Changes((event(EventKind.SUPPRESSED, clocks.now()),), ()))
    outbox.commit(cleared(clocks.now(), withdraws=True))
    outbox.commit(raised(clocks.now(), episode=2))
    outbox.commit(cleared(clocks.now(), episode=2))
    assert [call.state for call in outbox.rows()] == ["placed", "suppressed", "waiting"]


@pytest.mark.parametrize(
    ("outcome", "verdict", "state"),
    [
        (PLACED, DONE, "placed"),
        (OFFLINE, WAIT, "cancelled"),
        (AMBIGUOUS, WAIT, "cancelled"),
        (REFUSED, FAILED, "cancelled"),
    ],
)
def test_what_is_being_sent_may_be_placed_but_is_not_tried_again(
    outbox: Outbox, clocks: FakeClocks, outcome: Outcome, verdict: Verdict, state: str
) -> None:
    """The line is down, and the alarm clears within the first attempt: nobody is phoned hours later."""
    outbox.commit(raised(clocks.now()))
    calls = outbox.dispatch.begin("pump", None)
    outbox.commit(cleared(clocks.now(), withdraws=True))
    assert (only(outbox).state, only(outbox).sending) == ("waiting", True)
    outbox.dispatch.finish([(call, verdict) for call in calls], outcome)
    assert (only(outbox).state, only(outbox).sending) == (state, False)
    assert outbox.history.events(None, 1)[0]["event"] == state


def test_one_that_only_rode_along_is_withdrawn_too(outbox: Outbox, clocks: FakeClocks) -> None:
    outbox.commit(raised(clocks.now()))
    calls = outbox.dispatch.begin("pump", None)
    outbox.commit(cleared(clocks.now(), withdraws=True))
    outbox.dispatch.finish([], REFUSED, calls)
    assert only(outbox).state == "cancelled"


def test_an_agent_that_is_killed_in_between_does_not_call_again(tmp_path: Path, clocks: FakeClocks) -> None:
    with opened(tmp_path, clocks) as outbox:
        outbox.commit(raised(clocks.now()))
        outbox.dispatch.begin("pump", None)
        outbox.commit(cleared(clocks.now(), withdraws=True))
    with opened(tmp_path, clocks) as outbox:
        outbox.dispatch.resume()
        call = only(outbox)
        assert (call.state, call.last_result, call.reason) == ("cancelled", "ambiguous", "cleared")
