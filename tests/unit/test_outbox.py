"""The outbox: one transaction for alarms and their calls, one row for each call, and what survives a restart."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.core.events import AlarmRecord, Changes, EventKind, Owed, State, TermMemory
from edge_agent.core.fields import SECOND
from edge_agent.core.settings import Priority
from edge_agent.delivery.dispatch import Due, Hold
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.policy import CallState, Verdict
from edge_agent.delivery.store import DATABASE, Store
from edge_agent.iotcall.outcome import Outcome, Result
from tests.delivery_kit import (
    AMBIGUOUS,
    HOUR,
    MINUTE,
    OFFLINE,
    PLACED,
    WALL,
    FakeClocks,
    cleared,
    event,
    only,
    opened,
    raised,
    record,
)

DAY = 24 * HOUR
WAIT = Verdict(CallState.WAITING, 30 * SECOND)
DONE = Verdict(CallState.PLACED, None)


@pytest.fixture
def clocks() -> FakeClocks:
    return FakeClocks()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / DATABASE)


@pytest.fixture
def outbox(store: Store, clocks: FakeClocks) -> Outbox:
    return Outbox(store, clocks)


def attempt(outbox: Outbox, outcome: Outcome, verdict: Verdict, rule: str = "pump") -> None:
    calls = outbox.dispatch.begin(rule, None)
    outbox.dispatch.finish([(call, verdict) for call in calls], outcome)


def states(outbox: Outbox) -> list[str]:
    return [call.state for call in outbox.rows()]


# What the engine commits ------------------------------------------------------------------------------------------


def test_an_alarm_and_its_calls_are_one_commit(outbox: Outbox, store: Store, clocks: FakeClocks) -> None:
    outbox.commit(raised(clocks.now()))
    assert store.changes == 1
    call = only(outbox)
    assert (call.rule, call.alarm, call.state, call.reason) == ("pump", "hot", "waiting", "31.5 is above 30")
    assert outbox.records() == [record(clocks.now())]
    assert [row["event"] for row in outbox.history.events(None, 10)] == ["call", "raised"]


def test_a_commit_that_fails_leaves_neither_alarm_nor_call(outbox: Outbox, clocks: FakeClocks) -> None:
    changes = raised(clocks.now())
    broken = replace(changes.events[1], priority=None)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        outbox.commit(Changes((*changes.events, broken), changes.records))
    assert (outbox.rows(), outbox.records(), outbox.history.events(None, 10)) == ([], [], [])


def test_a_call_held_back_and_made_after_all_is_one_row(outbox: Outbox, clocks: FakeClocks) -> None:
    at = clocks.now()
    outbox.commit(Changes((event(EventKind.SUPPRESSED, at, reason="cooldown: not yet"),), ()))
    held = only(outbox)
    assert (held.state, held.reason, held.next_attempt_at) == ("suppressed", "cooldown: not yet", None)
    assert outbox.dispatch.due() == []
    clocks.move(MINUTE)
    outbox.commit(Changes((event(EventKind.CALL, clocks.now()),), ()))
    made = only(outbox)
    assert (made.id, made.state, made.next_attempt_at) == (held.id, "waiting", clocks.now())
    assert made.age(clocks) == 0
    assert [(row["event"], row["call"]) for row in outbox.history.events(None, 9)] == [("call", 1), ("suppressed", 1)]


def test_a_call_held_back_for_long_expires_only_from_when_it_was_made(outbox: Outbox, clocks: FakeClocks) -> None:
    """Also where the clock turns out right later on: what it waited before does not count."""
    clocks.right = False
    outbox.commit(Changes((event(EventKind.SUPPRESSED, clocks.now(), reason="schedule: closed"),), ()))
    clocks.move(5 * HOUR)
    outbox.commit(Changes((event(EventKind.CALL, clocks.now()),), ()))
    clocks.right = True
    clocks.move(HOUR - 1)
    assert outbox.dispatch.expire({"pump": HOUR}) == []
    assert outbox.triggers("pump", 2 * HOUR) == [clocks.now() - HOUR + 1], "its budget counts it when it was made"
    clocks.move(1)
    assert len(outbox.dispatch.expire({"pump": HOUR})) == 1


def test_one_that_lapses_stays_held_back_and_the_next_episode_has_its_own_row(
    outbox: Outbox, clocks: FakeClocks
) -> None:
    outbox.commit(Changes((event(EventKind.SUPPRESSED, clocks.now()),), ()))
    outbox.commit(Changes((event(EventKind.CALL, clocks.now(), episode=2),), ()))
    assert states(outbox) == ["suppressed", "waiting"]


@pytest.mark.parametrize("other", [{"rule": "manager"}, {"alarm": "cold"}, {"instance": "f1"}])
def test_a_row_held_back_is_only_its_own_call_s(outbox: Outbox, clocks: FakeClocks, other: dict[str, str]) -> None:
    outbox.commit(Changes((event(EventKind.SUPPRESSED, clocks.now()),), ()))
    outbox.commit(Changes((event(EventKind.CALL, clocks.now(), **other),), ()))  # type: ignore[arg-type]
    assert states(outbox) == ["suppressed", "waiting"]


def test_an_alarm_that_was_gone_does_not_find_rows_of_its_former_life(outbox: Outbox, clocks: FakeClocks) -> None:
    """Taken out of the configuration and put back, it counts its episodes from 1 again."""
    held = event(EventKind.SUPPRESSED, clocks.now(), instance="f1")
    outbox.commit(Changes((held,), (record(clocks.now(), instance="f1"),)))
    outbox.keep_records([])
    assert outbox.records() == []
    outbox.commit(Changes((event(EventKind.CALL, clocks.now(), instance="f1"),), ()))
    assert states(outbox) == ["suppressed", "waiting"]


def test_records_that_are_known_already_are_not_written_again(outbox: Outbox, store: Store, clocks: FakeClocks) -> None:
    outbox.commit(raised(clocks.now()))
    outbox.keep_records([record(clocks.now())])
    assert store.changes == 1


def test_records_survive_as_they_are(outbox: Outbox) -> None:
    full = AlarmRecord(
        alarm="熱い",
        instance='a"[]',
        state=State.CLEARING,
        since=-5,
        holds=False,
        why="理由",
        episode=7,
        called_at=None,
        episode_called_at=3,
        repeats=2,
        owed=Owed(EventKind.REPEAT, ("a", "b")),
        terms=(TermMemory(holds=False, strict=True, met=False), TermMemory(holds=True, strict=False, met=True)),
        ended_at=-4,
        acknowledged=True,
        shelved_until=9,
        raised_at=(-7, -6, -5),
        chattering_until=55,
        chatter=3,
    )
    outbox.commit(Changes((), (full,)))
    assert outbox.records() == [full]


def test_all_instants_of_a_record_move_with_the_boot(tmp_path: Path, clocks: FakeClocks) -> None:
    now = clocks.now()
    full = replace(
        record(now), ended_at=now, shelved_until=now + HOUR, raised_at=(now - 1, now), chattering_until=now + MINUTE
    )
    with opened(tmp_path, clocks) as outbox:
        outbox.commit(Changes((), (full,)))
        outbox.close()
    booted = FakeClocks("boot-2", 20 * SECOND, WALL + 10 * SECOND)
    with opened(tmp_path, booted) as outbox:
        assert outbox.records() == [full.shifted(booted.now() - 10 * SECOND - now)]
        assert outbox.records()[0].shelved_until == booted.now() - 10 * SECOND + HOUR


def test_an_event_of_no_alarm_is_kept(outbox: Outbox, clocks: FakeClocks) -> None:
    outbox.commit(Changes((replace(event(EventKind.CLOCK, clocks.now(), None), alarm=None),), ()))
    (kept,) = outbox.history.events(None, 10)
    assert (kept["event"], kept["alarm"], kept["instance"], kept["rule"], kept["call"]) == ("clock", *[None] * 4)


def test_texts_that_are_no_texts_are_kept_all_the_same(outbox: Outbox, clocks: FakeClocks) -> None:
    """JSON of a sensor can hold half a surrogate pair."""
    outbox.commit(raised(clocks.now(), reason="\ud800 is on\0", instance="f\udfff"))
    assert only(outbox).reason == "? is on\0"
    assert outbox.records()[0].instance == "f\udfff"


def test_priorities_and_age_order_what_is_due(outbox: Outbox, clocks: FakeClocks) -> None:
    for rule, priority in (("low", Priority.LOW), ("first", Priority.MEDIUM), ("high", Priority.HIGH)):
        outbox.commit(raised(clocks.now(), rule, rule, priority=priority))
    outbox.commit(raised(clocks.now(), "second", "second"))
    assert [due.rule for due in outbox.dispatch.due()] == ["high", "first", "second", "low"]


# Attempts ---------------------------------------------------------------------------------------------------------


def test_one_attempt_places_all_of_the_rule_at_one_instant(outbox: Outbox, clocks: FakeClocks) -> None:
    outbox.commit(raised(clocks.now()))
    outbox.commit(raised(clocks.now(), alarm="cold"))
    calls = outbox.dispatch.begin("pump", None)
    outbox.commit(raised(clocks.now(), alarm="late"))
    outbox.dispatch.finish([(call, DONE) for call in calls], PLACED)
    assert states(outbox) == ["placed", "placed", "waiting"]
    first, second, _ = outbox.rows()
    assert first.finished_wall == second.finished_wall == clocks.wall()
    assert [row["event"] for row in outbox.history.events(None, 2)] == ["placed", "placed"]


def test_what_is_being_sent_is_not_due_again(outbox: Outbox, clocks: FakeClocks) -> None:
    outbox.commit(raised(clocks.now()))
    assert outbox.dispatch.due() == [Due("pump", clocks.now(), clocks.now(), 1, 1, for_line=False)]
    assert len(outbox.dispatch.begin("pump", None)) == 1
    assert outbox.dispatch.due() == []
    assert outbox.dispatch.begin("pump", None) == []


def test_a_cancelled_call_is_never_brought_back_by_a_late_result(outbox: Outbox, clocks: FakeClocks) -> None:
    """The attempt was still connecting: nothing was marked as being sent yet."""
    outbox.commit(raised(clocks.now()))
    asked = outbox.dispatch.open_calls("pump", None)
    assert outbox.cancel(1)
    assert outbox.dispatch.begin("pump", None) == []
    outbox.dispatch.finish([(call, WAIT) for call in asked], OFFLINE)
    assert (only(outbox).state, only(outbox).next_attempt_at) == ("cancelled", None)
    outbox.dispatch.release_line()
    assert outbox.dispatch.due() == []


def test_what_is_being_sent_can_be_neither_withdrawn_nor_made_due_nor_expire(
    outbox: Outbox, clocks: FakeClocks
) -> None:
    outbox.commit(raised(clocks.now()))
    outbox.dispatch.begin("pump", None)
    clocks.move(DAY)
    assert (outbox.cancel(1), outbox.retry(1), outbox.dispatch.expire({"pump": 1})) == (False, False, [])


@pytest.mark.parametrize(
    ("outcome", "verdict", "retry", "cancel"),
    [
        (OFFLINE, WAIT, True, True),
        (PLACED, DONE, False, False),
        (OFFLINE, Verdict(CallState.FAILED, 600 * SECOND), True, True),
        (OFFLINE, Verdict(CallState.FAILED, None), True, False),
    ],
)
def test_what_people_may_do(
    outbox: Outbox, clocks: FakeClocks, outcome: Outcome, verdict: Verdict, *, retry: bool, cancel: bool
) -> None:
    outbox.commit(raised(clocks.now()))
    attempt(outbox, outcome, verdict)
    assert outbox.retry(1) is retry
    if retry:
        call = only(outbox)
        assert (call.state, call.next_attempt_at, call.strikes) == ("waiting", clocks.now(), 0)
        attempt(outbox, outcome, verdict)
    assert outbox.cancel(1) is cancel
    if cancel:
        assert (only(outbox).state, only(outbox).reason) == ("cancelled", "by hand")
        assert outbox.history.events(None, 1)[0]["event"] == "cancelled"
        assert not outbox.retry(1)
        assert not outbox.cancel(1)


def test_no_row_is_no_row(outbox: Outbox) -> None:
    assert (outbox.retry(9), outbox.cancel(9), outbox.get(9)) == (False, False, None)


def test_a_failed_call_is_tried_again_only_while_its_episode_lasts(outbox: Outbox, clocks: FakeClocks) -> None:
    outbox.commit(raised(clocks.now()))
    attempt(outbox, OFFLINE, Verdict(CallState.FAILED, 600 * SECOND))
    clocks.move(599 * SECOND)
    assert outbox.dispatch.revivable() == []
    clocks.move(SECOND)
    (call,) = outbox.dispatch.revivable()
    assert outbox.dispatch.still_raised(call)
    outbox.commit(raised(clocks.now(), episode=2))
    assert not outbox.dispatch.still_raised(call)
    outbox.commit(cleared(clocks.now(), episode=1))
    assert not outbox.dispatch.still_raised(call)
    outbox.dispatch.give_up([call])
    assert outbox.dispatch.revivable() == []


def test_an_attempt_that_only_some_were_due_for_leaves_the_others_as_they_were(
    outbox: Outbox, clocks: FakeClocks
) -> None:
    outbox.commit(raised(clocks.now()))
    (call,) = outbox.dispatch.begin("pump", None)
    outbox.dispatch.finish([], OFFLINE, [call])
    assert only(outbox) == call


# Restarts ---------------------------------------------------------------------------------------------------------


def test_what_was_being_sent_when_the_agent_died_is_ambiguous_and_tried_again(
    tmp_path: Path, clocks: FakeClocks
) -> None:
    with opened(tmp_path, clocks) as outbox:
        outbox.commit(raised(clocks.now()))
        outbox.dispatch.begin("pump", None)
    clocks.move(SECOND)
    with opened(tmp_path, clocks) as outbox:
        assert [call.id for call in outbox.dispatch.resume()] == [1]
        call = only(outbox)
        assert (call.state, call.sending, call.attempts, call.last_result) == ("waiting", False, 1, "ambiguous")
        assert (call.ambiguous, call.next_attempt_at) == ((clocks.now(),), clocks.now())
        assert outbox.triggers("pump", HOUR) == [clocks.now() - SECOND, clocks.now()]
        assert outbox.dispatch.resume() == []


def test_a_call_by_hand_is_never_tried_again(tmp_path: Path, clocks: FakeClocks) -> None:
    with opened(tmp_path, clocks) as outbox:
        call = outbox.add_by_hand("pump")
        assert (call.alarm, call.sending) == (None, True)
        assert outbox.dispatch.due() == []
    with opened(tmp_path, clocks) as outbox:
        outbox.dispatch.resume()
        call = only(outbox)
        assert (call.state, call.last_result, call.next_attempt_at) == ("failed", "ambiguous", None)
        assert call.finished_wall == clocks.wall()


def test_waiting_times_and_holds_are_kept_over_a_restart(tmp_path: Path, clocks: FakeClocks) -> None:
    with opened(tmp_path, clocks) as outbox:
        outbox.commit(raised(clocks.now()))
        calls = outbox.dispatch.begin("pump", None)
        hold = Hold(clocks.now() + MINUTE, "auth")
        outbox.dispatch.finish([(call, WAIT) for call in calls], OFFLINE, hold=("pump", hold))
        due = only(outbox).next_attempt_at
        outbox.close()
    with opened(tmp_path, clocks) as outbox:
        outbox.dispatch.resume()
        assert due == clocks.now() + 30 * SECOND == only(outbox).next_attempt_at
        assert outbox.dispatch.holds() == {"pump": hold}
        outbox.dispatch.release_auth()
        assert outbox.dispatch.holds() == {}


@pytest.mark.parametrize(("code", "due"), [("wrong", False), ("mended", True)])
def test_a_code_mended_while_the_agent_was_down_sends_at_once(
    tmp_path: Path, clocks: FakeClocks, code: str, *, due: bool
) -> None:
    with opened(tmp_path, clocks) as outbox:
        outbox.note_auth_code("wrong")
        outbox.commit(raised(clocks.now()))
        calls = outbox.dispatch.begin("pump", None)
        outcome = Outcome(Result.AUTH, "HTTP 401")
        outbox.dispatch.finish([(calls[0], WAIT)], outcome, hold=("pump", Hold(clocks.now() + MINUTE, "auth")))
    with opened(tmp_path, clocks) as outbox:
        outbox.note_auth_code(code)
        assert (only(outbox).next_attempt_at == clocks.now()) is due
        assert (outbox.dispatch.holds() == {}) is due


def test_another_boot_goes_on_with_what_was_left(tmp_path: Path, clocks: FakeClocks) -> None:
    """The wall clock is not right yet: time switched off does not count."""
    with opened(tmp_path, clocks) as outbox:
        outbox.commit(raised(clocks.now()))
        attempt(outbox, AMBIGUOUS, Verdict(CallState.WAITING, 30 * SECOND))
        clocks.move(10 * SECOND)
        outbox.close()
    booted = FakeClocks("boot-2", 5 * SECOND, WALL - 90 * DAY)
    booted.right = False
    with opened(tmp_path, booted) as outbox:
        outbox.dispatch.resume()
        (kept,) = outbox.records()
        assert kept.since == booted.now() - 10 * SECOND
        call = only(outbox)
        assert call.next_attempt_at == booted.now() + 20 * SECOND
        assert call.ambiguous == (booted.now() - 10 * SECOND,)
        assert call.age(booted) == 15 * SECOND, "10 s in the last boot, and 5 s of this one"
        assert len(outbox.triggers("pump", HOUR)) == 2


def test_in_another_boot_time_switched_off_counts_where_the_clock_is_right_on_both_sides(
    tmp_path: Path, clocks: FakeClocks
) -> None:
    with opened(tmp_path, clocks) as outbox:
        outbox.commit(raised(clocks.now()))
        outbox.close()
    booted = FakeClocks("boot-2", 20 * SECOND, WALL + HOUR)
    with opened(tmp_path, booted) as outbox:
        assert outbox.records()[0].since == booted.now() - HOUR
        assert only(outbox).age(booted) == HOUR


def test_only_looking_from_another_boot_shows_no_plan(tmp_path: Path, clocks: FakeClocks) -> None:
    with opened(tmp_path, clocks) as outbox:
        outbox.commit(raised(clocks.now()))
    outbox = Outbox(Store(tmp_path / DATABASE), FakeClocks("boot-2"))
    assert only(outbox).next_attempt_at is None


# Expiry -----------------------------------------------------------------------------------------------------------


def test_expiry_counts_boot_time_and_no_jump_of_the_wall_clock(outbox: Outbox, clocks: FakeClocks) -> None:
    outbox.commit(raised(clocks.now()))
    clocks.world += 10_000 * DAY
    assert outbox.dispatch.expire({"pump": HOUR}) == []
    clocks.world -= 20_000 * DAY
    clocks.boot += HOUR - 1
    assert outbox.dispatch.expire({"pump": HOUR}) == []
    clocks.boot += 1
    assert [call.id for call in outbox.dispatch.expire({"pump": HOUR})] == [1]
    assert (only(outbox).state, only(outbox).next_attempt_at) == ("expired", None)
    assert outbox.history.events(None, 1)[0]["event"] == "expired"


@pytest.mark.parametrize(("limit", "expired"), [({"pump": None}, False), ({}, True)])
def test_never_means_never_and_a_rule_that_is_gone_means_a_day(
    outbox: Outbox, clocks: FakeClocks, limit: dict[str, int | None], *, expired: bool
) -> None:
    outbox.commit(raised(clocks.now()))
    assert outbox.dispatch.expire(limit) == []
    clocks.move(DAY)
    assert bool(outbox.dispatch.expire(limit)) is expired


@pytest.mark.parametrize(
    ("right_before", "right_after", "expired"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
def test_across_boots_expiry_believes_the_wall_clock_only_where_it_is_right_on_both_sides(
    tmp_path: Path, clocks: FakeClocks, *, right_before: bool, right_after: bool, expired: bool
) -> None:
    clocks.right = right_before
    with opened(tmp_path, clocks) as outbox:
        outbox.commit(raised(clocks.now()))
        outbox.close()
    booted = FakeClocks("boot-2", SECOND, WALL + DAY)
    booted.right = False
    with opened(tmp_path, booted) as outbox:
        assert outbox.dispatch.expire({"pump": HOUR}) == []
        booted.right = right_after
        booted.move(MINUTE)
        assert bool(outbox.dispatch.expire({"pump": HOUR})) is expired
        booted.move(HOUR - 2 * MINUTE)
        outbox.dispatch.expire({"pump": HOUR})
        assert (only(outbox).state == "expired") is expired
        booted.move(2 * MINUTE)
        outbox.dispatch.expire({"pump": HOUR})
        assert only(outbox).state == "expired", "the time lived in this boot counts in any case"


def test_a_clock_that_became_right_before_the_end_of_a_boot_vouches_for_what_was_before(
    tmp_path: Path, clocks: FakeClocks
) -> None:
    clocks.world, clocks.right = 0, False
    with opened(tmp_path, clocks) as outbox:
        outbox.commit(raised(clocks.now()))
        clocks.move(MINUTE)
        clocks.world, clocks.right = WALL, True
        outbox.close()
    with opened(tmp_path, FakeClocks("boot-2", SECOND, WALL + HOUR)) as outbox:
        assert only(outbox).created_wall == WALL - MINUTE
        assert only(outbox).age(FakeClocks("boot-2", SECOND, WALL + HOUR)) == HOUR + MINUTE


def test_time_of_several_boots_adds_up(tmp_path: Path) -> None:
    for number in range(4):
        clocks = FakeClocks(f"boot-{number}", 0)
        clocks.right = False
        with opened(tmp_path, clocks) as outbox:
            if not number:
                outbox.commit(raised(clocks.now()))
            assert only(outbox).age(clocks) == number * 10 * MINUTE
            clocks.move(10 * MINUTE)
            outbox.close()


def test_what_somebody_tries_again_expires_anew(outbox: Outbox, clocks: FakeClocks) -> None:
    outbox.commit(raised(clocks.now()))
    clocks.move(HOUR)
    outbox.dispatch.expire({"pump": HOUR})
    assert outbox.retry(1)
    clocks.move(HOUR - 1)
    assert outbox.dispatch.expire({"pump": HOUR}) == []
    clocks.move(1)
    assert len(outbox.dispatch.expire({"pump": HOUR})) == 1
    assert only(outbox).created_wall == WALL


# Budgets ----------------------------------------------------------------------------------------------------------


def test_each_attempt_without_an_answer_counts_once_however_many_calls_it_was_for(
    outbox: Outbox, clocks: FakeClocks
) -> None:
    made = clocks.now()
    for alarm in ("a", "b", "c"):
        outbox.commit(raised(made, alarm=alarm))
    clocks.move(MINUTE)
    attempt(outbox, AMBIGUOUS, WAIT)
    outbox.commit(Changes((event(EventKind.SUPPRESSED, clocks.now(), alarm="d"),), ()))
    outbox.commit(raised(clocks.now(), "other"))
    assert outbox.triggers("pump", HOUR) == [made, made, made, clocks.now()]
    clocks.move(HOUR - MINUTE)
    assert outbox.triggers("pump", HOUR) == [clocks.now() - HOUR + MINUTE], "half-open: an hour ago counts no more"


def test_what_waits_for_its_budget_is_looked_at_again_after_a_start(tmp_path: Path, clocks: FakeClocks) -> None:
    with opened(tmp_path, clocks) as outbox:
        outbox.commit(raised(clocks.now()))
        attempt(outbox, AMBIGUOUS, WAIT)
        outbox.dispatch.postpone("pump", clocks.now() + HOUR, "budget: 1 trigger")
        outbox.dispatch.postpone("pump", clocks.now() + 2 * HOUR, "budget: 1 trigger")
        assert only(outbox).reason == "budget: 1 trigger; 31.5 is above 30"
    with opened(tmp_path, clocks) as outbox:
        outbox.dispatch.resume()
        assert only(outbox).next_attempt_at == clocks.now()


# What is shown, and what is forgotten -----------------------------------------------------------------------------


def test_a_row_as_json(outbox: Outbox, clocks: FakeClocks) -> None:
    from datetime import UTC

    outbox.commit(raised(clocks.now()))
    attempt(outbox, AMBIGUOUS, WAIT)
    shown = only(outbox).as_json(clocks, UTC)
    assert shown == {
        "id": 1, "kind": "call", "rule": "pump", "alarm": "hot", "instance": None, "state": "waiting",
        "reason": "31.5 is above 30", "created_at": "2025-10-09T08:53:20.000+00:00", "attempts": 1,
        "next_attempt_at": "2025-10-09T08:53:50.000+00:00", "last_error": "no answer", "last_result": "ambiguous",
        "ambiguous": True, "placed_at": None, "activation_id": None, "outcome": None, "parent": None,
    }  # fmt: skip
    attempt(outbox, PLACED, DONE)
    shown = only(outbox).as_json(clocks, UTC)
    assert (shown["placed_at"], shown["next_attempt_at"], shown["ambiguous"]) == (
        "2025-10-09T08:53:20.000+00:00", None, True,
    )  # fmt: skip
    assert shown["last_error"] is None


def test_rows_can_be_narrowed(outbox: Outbox, clocks: FakeClocks) -> None:
    for alarm in ("a", "b", "c"):
        outbox.commit(raised(clocks.now(), alarm=alarm))
    outbox.cancel(2)
    assert [call.id for call in outbox.rows()] == [1, 2, 3]
    assert [call.id for call in outbox.rows("waiting")] == [1, 3]
    assert [call.id for call in outbox.rows("waiting", 1)] == [3]
    assert [call.id for call in outbox.rows(limit=2)] == [2, 3]


def test_the_summary_counts_every_state_and_names_rules_whose_last_call_failed(
    outbox: Outbox, clocks: FakeClocks
) -> None:
    outbox.commit(raised(clocks.now()))
    attempt(outbox, Outcome(Result.RULE, "no such rule"), Verdict(CallState.FAILED, None))
    outbox.commit(raised(clocks.now(), alarm="cold"))
    attempt(outbox, OFFLINE, WAIT)
    summary = outbox.summary()
    assert summary.counts == {
        "waiting": 1, "placed": 0, "failed": 1, "expired": 0, "cancelled": 0, "suppressed": 0,
    }  # fmt: skip
    assert (summary.waiting_line, summary.waiting_auth) == (1, 0)
    assert summary.failed_rules == {"pump": "no such rule"}
    assert outbox.summary() is summary
    outbox.cancel(2)
    assert outbox.summary().failed_rules == {"pump": "no such rule"}, "a withdrawn call says nothing of the rule"
    outbox.commit(raised(clocks.now(), alarm="warm"))
    attempt(outbox, PLACED, DONE)
    assert outbox.summary().failed_rules == {}


def test_finished_rows_and_events_are_kept_their_time_by_a_right_clock_only(outbox: Outbox, clocks: FakeClocks) -> None:
    clocks.right, clocks.world = False, 0
    outbox.commit(raised(clocks.now()))
    attempt(outbox, PLACED, DONE)  # in 1970, as far as the clock knows
    clocks.right, clocks.world = True, WALL
    outbox.commit(raised(clocks.now(), alarm="b"))
    attempt(outbox, PLACED, DONE)
    outbox.commit(Changes((event(EventKind.SUPPRESSED, clocks.now(), alarm="c"),), ()))
    outbox.commit(raised(clocks.now(), alarm="d"))

    def prune() -> list[int]:
        outbox.prune(90 * DAY, 30 * DAY, 100)
        return [call.id for call in outbox.rows()]

    assert prune() == [1, 2, 3, 4], "the first was not long ago, whatever its time says"
    assert len(outbox.history.events(None, 100)) == 9
    clocks.move(31 * DAY)
    prune()
    assert outbox.history.events(None, 100) == []
    clocks.move(60 * DAY)
    clocks.right = False
    assert prune() == [1, 2, 3, 4]
    clocks.right = True
    assert prune() == [4], "what waits is never forgotten"


def test_events_are_kept_up_to_their_number(outbox: Outbox, store: Store, clocks: FakeClocks) -> None:
    for number in range(20):
        outbox.commit(cleared(clocks.now(), episode=number))
    outbox.prune(DAY, DAY, 5)
    assert [row["id"] for row in outbox.history.events(None, 100)] == [20, 19, 18, 17, 16]
    assert [row["id"] for row in outbox.history.events(18, 1)] == [17]
    changes = store.changes
    outbox.prune(DAY, DAY, 5)
    assert store.changes == changes


def test_a_scheduler_s_look_at_10_000_waiting_rows_takes_tens_of_milliseconds(
    outbox: Outbox, clocks: FakeClocks
) -> None:
    for rule in range(100):
        events = tuple(event(EventKind.CALL, clocks.now(), f"rule {rule}", f"alarm {n}") for n in range(100))
        outbox.commit(Changes(events, ()))
    limits: dict[str, int | None] = {f"rule {n}": HOUR for n in range(100)}

    def look() -> float:
        outbox.dispatch.release_auth()
        begin = time.perf_counter()
        assert len(outbox.dispatch.due()) == 100
        outbox.dispatch.revivable()
        outbox.dispatch.expire(limits)
        return time.perf_counter() - begin

    assert look() < 0.2
    begin = time.perf_counter()
    for _ in range(100):
        look()
    assert time.perf_counter() - begin < 100 * 0.005, "when nothing changed it is not looked up again"


def test_a_call_by_express_is_written_as_being_sent(outbox: Outbox, clocks: FakeClocks) -> None:
    """One commit does for both; not where an older call of the rule waits."""
    begun = outbox.commit(raised(clocks.now(), alarm="a"), {"pump": True})
    assert {rule: [call.alarm for call in calls] for rule, calls in begun.items()} == {"pump": ["a"]}
    assert [(call.state, call.sending) for call in outbox.rows()] == [("waiting", True)]
    assert outbox.dispatch.due() == []
    assert outbox.commit(raised(clocks.now(), alarm="b"), {"pump": True}) == {}
    assert [call.sending for call in outbox.rows()] == [True, False]


def test_of_a_rule_that_does_not_coalesce_one_call_goes_by_express(outbox: Outbox, clocks: FakeClocks) -> None:
    """The others wait for their own request."""
    both = Changes((*raised(clocks.now(), alarm="a").events, *raised(clocks.now(), alarm="b").events), ())
    begun = outbox.commit(both, {"pump": False})
    assert [call.alarm for call in begun["pump"]] == ["a"]
    assert [call.sending for call in outbox.rows()] == [True, False]
